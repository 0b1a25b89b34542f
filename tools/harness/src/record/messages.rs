//! The messages between clients and servers: every RPC with its times, its fate, and what it holds.
//!
//! An RPC takes 56 bytes here, in blocks that are never moved, and the bytes of its arguments and its reply lie in a
//! second list of blocks. Both lists have limits; beyond these, the oldest blocks are dropped.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many RPCs are kept, up to a block more.
const KEPT: usize = 600_000;

/// How many RPCs a block has.
const BLOCK: usize = 4096;

/// The total size in bytes of the arguments and replies that are kept, up to a block more.
const KEPT_BYTES: usize = 32 << 20;

/// The size in bytes of a block of arguments and replies.
const BYTE_BLOCK: usize = 1 << 18;

/// How many bytes of one message are kept.
const LONGEST: usize = 1000;

/// How many requests are read for what they tell of their senders.
const MOST_READ: usize = 60_000;

/// Describes the bytes of a message in words.
pub(crate) type Describe = fn(&[u8]) -> String;

/// What became of an RPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is on its way, or with its handler; or its reply has arrived.
    #[default]
    Open,
    /// The sender was disconnected from the receiver.
    Disconnected,
    /// The receiver was down.
    Down,
    /// The network lost the request.
    RequestLost,
    /// The network lost the reply.
    ReplyLost,
    /// The two were disconnected, or the server was crashed, before the reply had left.
    CutOff,
}

/// Who sends through an end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Server(usize),
    /// A client, by the name of its lane.
    Client(String),
}

/// An RPC.
#[derive(Clone, Copy)]
pub(crate) struct Rpc {
    /// An index into [`Messages::senders`].
    pub(crate) sender: u16,
    /// The number of the server that is called, if its name is a number.
    pub(crate) server: Option<u8>,
    /// An index into [`Messages::methods`].
    pub(crate) method: u8,
    pub(crate) fate: Fate,
    /// Whether reordering has held the reply back.
    pub(crate) is_held_back: bool,
    /// Whether the caller got the reply.
    pub(crate) has_reply: bool,
    /// When the request left.
    sent: Micros,
    /// When the handler started.
    arrived: Micros,
    /// When the handler returned.
    answered: Micros,
    /// When the caller's wait ended.
    ended: Micros,
    args: Piece,
    reply: Piece,
}

/// A time since the test began, in microseconds; the highest value: never.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Micros(u32);

impl Micros {
    const NEVER: Micros = Micros(u32::MAX);

    fn of(time: Duration) -> Micros {
        Micros(u32::try_from(time.as_micros()).unwrap_or(u32::MAX - 1))
    }

    fn get(self) -> Option<u32> {
        (self != Micros::NEVER).then_some(self.0)
    }
}

impl Rpc {
    /// When the request left, in microseconds since the test began.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.0
    }

    /// When the handler started. None: it has not.
    pub(crate) fn arrived(&self) -> Option<u32> {
        self.arrived.get()
    }

    /// When the handler returned.
    pub(crate) fn answered(&self) -> Option<u32> {
        self.answered.get()
    }

    /// When the caller's wait ended, with a reply or without.
    pub(crate) fn ended(&self) -> Option<u32> {
        self.ended.get()
    }
}

/// The place of some kept bytes.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// The number of the first byte, among all bytes that were ever kept.
    start: u64,
    len: u16,
}

/// A handler of a service.
pub(crate) struct Method {
    /// "Raft.AppendEntries".
    pub(crate) name: String,
    /// Describe its arguments and its reply. None: no server has offered it.
    pub(crate) contents: Option<(Describe, Describe)>,
}

/// All messages that are kept.
pub(crate) struct Messages {
    rpcs: VecDeque<Vec<Rpc>>,
    /// The number of the oldest RPC that is kept.
    first: u64,
    bytes: VecDeque<Vec<u8>>,
    /// The number of the oldest byte that is kept.
    first_byte: u64,
    pub(crate) methods: Vec<Method>,
    pub(crate) senders: Vec<Sender>,
    /// None until the first message: a `HashMap` cannot be made at compile time.
    names: Option<Names>,
}

#[derive(Default)]
struct Names {
    methods: HashMap<String, u8>,
    senders: HashMap<Sender, u16>,
    /// The sender of each end.
    ends: HashMap<String, u16>,
}

impl Messages {
    pub(crate) const fn new() -> Messages {
        Messages {
            rpcs: VecDeque::new(),
            first: 0,
            bytes: VecDeque::new(),
            first_byte: 0,
            methods: Vec::new(),
            senders: Vec::new(),
            names: None,
        }
    }

    /// Notes who sends through an end.
    pub(crate) fn end(&mut self, end: &str, sender: Sender) {
        let sender = self.sender(sender);
        self.names.get_or_insert_default().ends.insert(end.to_string(), sender);
    }

    /// Notes how to describe what a handler takes and returns.
    pub(crate) fn offer(&mut self, method: &str, args: Describe, reply: Describe) {
        let method = self.method(method);
        self.methods[usize::from(method)].contents = Some((args, reply));
    }

    fn sender(&mut self, sender: Sender) -> u16 {
        let next = u16::try_from(self.senders.len()).unwrap_or(u16::MAX);
        let number = *self.names.get_or_insert_default().senders.entry(sender.clone()).or_insert(next);
        if number == next && next < u16::MAX {
            self.senders.push(sender);
        }
        number
    }

    fn method(&mut self, name: &str) -> u8 {
        let names = self.names.get_or_insert_default();
        if let Some(number) = names.methods.get(name) {
            return *number;
        }
        let number = u8::try_from(self.methods.len()).unwrap_or(u8::MAX);
        if number < u8::MAX {
            names.methods.insert(name.to_string(), number);
            self.methods.push(Method { name: name.to_string(), contents: None });
        }
        number
    }

    /// Notes that a request leaves through `end`, and returns the number of the RPC. `task` returns the client whose
    /// thread sends, if the end is not a server's.
    pub(crate) fn send(
        &mut self,
        at: Duration,
        end: &str,
        server: Option<usize>,
        method: &str,
        args: &[u8],
        task: impl FnOnce() -> Option<String>,
    ) -> u64 {
        let of_end = self.names.get_or_insert_default().ends.get(end).copied();
        let sender = match of_end {
            Some(sender) if matches!(self.senders[usize::from(sender)], Sender::Server(_)) => sender,
            _ => match (task(), of_end) {
                (Some(name), _) => self.sender(Sender::Client(name)),
                (None, Some(sender)) => sender,
                (None, None) => self.sender(Sender::Client(end.to_string())),
            },
        };
        let rpc = Rpc {
            sender,
            server: server.and_then(|server| u8::try_from(server).ok()),
            method: self.method(method),
            fate: Fate::Open,
            is_held_back: false,
            has_reply: false,
            sent: Micros::of(at),
            arrived: Micros::NEVER,
            answered: Micros::NEVER,
            ended: Micros::NEVER,
            args: self.keep(args),
            reply: Piece::default(),
        };
        if self.rpcs.back().is_none_or(|block| block.len() == BLOCK) {
            if self.rpcs.len() * BLOCK >= KEPT {
                // The blocks before the last one are full.
                self.rpcs.pop_front();
                self.first += BLOCK as u64;
            }
            self.rpcs.push_back(Vec::with_capacity(BLOCK));
        }
        let before = self.first + ((self.rpcs.len() - 1) * BLOCK) as u64;
        let Some(block) = self.rpcs.back_mut() else { return 0 };
        block.push(rpc);
        before + block.len() as u64 - 1
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        if self.bytes.back().is_none_or(|block| block.len() + bytes.len() > BYTE_BLOCK) {
            // Fill the block up, so that a byte's number says where it is.
            if let Some(block) = self.bytes.back_mut() {
                block.resize(BYTE_BLOCK, 0);
            }
            if self.bytes.len() * BYTE_BLOCK >= KEPT_BYTES {
                self.bytes.pop_front();
                self.first_byte += BYTE_BLOCK as u64;
            }
            self.bytes.push_back(Vec::with_capacity(BYTE_BLOCK));
        }
        let before = self.first_byte + ((self.bytes.len() - 1) * BYTE_BLOCK) as u64;
        let Some(block) = self.bytes.back_mut() else { return Piece::default() };
        let start = before + block.len() as u64;
        block.extend_from_slice(bytes);
        Piece { start, len: bytes.len() as u16 }
    }

    /// None: the bytes are not kept any more.
    fn bytes_of(&self, piece: Piece) -> Option<&[u8]> {
        let start = usize::try_from(piece.start.checked_sub(self.first_byte)?).ok()?;
        let (block, begin) = (self.bytes.get(start / BYTE_BLOCK)?, start % BYTE_BLOCK);
        block.get(begin..begin + usize::from(piece.len))
    }

    fn open(&mut self, rpc: u64) -> Option<&mut Rpc> {
        let index = usize::try_from(rpc.checked_sub(self.first)?).ok()?;
        self.rpcs.get_mut(index / BLOCK)?.get_mut(index % BLOCK)
    }

    /// Notes that the handler starts.
    pub(crate) fn arrive(&mut self, at: Duration, rpc: u64) {
        if let Some(rpc) = self.open(rpc) {
            rpc.arrived = Micros::of(at);
        }
    }

    /// Notes that the handler has returned.
    pub(crate) fn answer(&mut self, at: Duration, rpc: u64, reply: &[u8]) {
        let reply = self.keep(reply);
        if let Some(rpc) = self.open(rpc) {
            rpc.answered = Micros::of(at);
            rpc.reply = reply;
        }
    }

    /// Notes that reordering holds the reply back.
    pub(crate) fn hold_back(&mut self, rpc: u64) {
        if let Some(rpc) = self.open(rpc) {
            rpc.is_held_back = true;
        }
    }

    /// Notes why a message will not arrive, unless the call has ended already.
    pub(crate) fn fail(&mut self, rpc: u64, fate: Fate) {
        if let Some(rpc) = self.open(rpc).filter(|rpc| rpc.fate == Fate::Open && rpc.ended == Micros::NEVER) {
            rpc.fate = fate;
        }
    }

    /// Notes that the caller's wait is over.
    pub(crate) fn finish(&mut self, at: Duration, rpc: u64, has_reply: bool) {
        if let Some(rpc) = self.open(rpc) {
            rpc.ended = Micros::of(at);
            rpc.has_reply = has_reply;
        }
    }

    /// The server whose reply was the last that came to a client from one time to another, and when it answered.
    pub(crate) fn answer_to(
        &self,
        client: &str,
        begin: Duration,
        end: Duration,
    ) -> Option<(usize, Duration)> {
        let sender = *self.names.as_ref()?.senders.get(&Sender::Client(client.to_string()))?;
        let (begin, end) = (Micros::of(begin).0, Micros::of(end).0);
        let came = self
            .iter()
            .filter(|rpc| rpc.sender == sender && rpc.has_reply && rpc.sent.0 >= begin && rpc.ended.0 <= end);
        let last = came.max_by_key(|rpc| rpc.ended.0)?;
        Some((last.server?.into(), Duration::from_micros(last.answered.0.into())))
    }

    /// The RPCs that a client has sent from one time on, and before another. A client sends the first request of its next
    /// operation in the microsecond in which it ends the one before.
    pub(crate) fn tries(&self, client: &str, begin: Duration, end: Duration) -> Vec<Rpc> {
        let names = self.names.as_ref();
        let sender = names.and_then(|names| names.senders.get(&Sender::Client(client.to_string())));
        let times = Micros::of(begin).0..Micros::of(end).0;
        let is_own = |rpc: &&Rpc| Some(&rpc.sender) == sender && times.contains(&rpc.sent.0);
        self.iter().filter(is_own).copied().collect()
    }

    /// The RPCs that are kept, in the order in which they were sent.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rpc> {
        self.rpcs.iter().flatten()
    }

    /// How many RPCs are no longer kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.first
    }

    /// Describes an RPC's arguments. None: they are not kept any more, or nobody has said how.
    pub(crate) fn args(&self, rpc: &Rpc) -> Option<String> {
        let (args, _) = self.methods.get(usize::from(rpc.method))?.contents?;
        Some(args(self.bytes_of(rpc.args)?))
    }

    /// Describes an RPC's reply, if the handler has returned.
    pub(crate) fn reply(&self, rpc: &Rpc) -> Option<String> {
        rpc.answered()?;
        let (_, reply) = self.methods.get(usize::from(rpc.method))?.contents?;
        Some(reply(self.bytes_of(rpc.reply)?))
    }

    /// Who has sent an RPC.
    pub(crate) fn sender_of(&self, rpc: &Rpc) -> Option<&Sender> {
        self.senders.get(usize::from(rpc.sender))
    }
}

/// What a server's request tells of the server: it asks for votes in a term, or it leads in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) term: u64,
    pub(crate) is_leader: bool,
}

impl Messages {
    /// What the newest [`MOST_READ`] requests tell that only a candidate or only a leader sends, in the order of sending. What
    /// they are, the names say: a candidate's method has "vote" in its name, a leader's "append", "heartbeat" or "snapshot".
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let is_leaders: Vec<Option<bool>> =
            self.methods.iter().map(|method| is_leaders(&method.name)).collect();
        let is_leader = |rpc: &Rpc| is_leaders.get(usize::from(rpc.method)).copied().flatten();
        let tells =
            |rpc: &&Rpc| is_leader(rpc).is_some() && matches!(self.sender_of(rpc), Some(Sender::Server(_)));
        let newest = self.rpcs.iter().rev().flat_map(|block| block.iter().rev()).filter(tells);
        let tell = |rpc: &Rpc| {
            let (is_leader, term) = (is_leader(rpc)?, term(&self.args(rpc)?)?);
            let Some(&Sender::Server(server)) = self.sender_of(rpc) else { return None };
            Some(Claim { at: Duration::from_micros(rpc.sent().into()), server, term, is_leader })
        };
        let mut claims: Vec<Claim> = newest.take(MOST_READ).filter_map(tell).collect();
        claims.reverse();
        claims.sort_by_key(|claim| claim.at);
        claims
    }
}

/// Whether leaders (true) or candidates (false) call a method. None: its name does not say.
fn is_leaders(method: &str) -> Option<bool> {
    let name = method.rsplit('.').next()?.to_lowercase();
    if ["append", "heartbeat", "snapshot"].iter().any(|word| name.contains(word)) {
        return Some(true);
    }
    // Before an election, some ask who would vote for them. They are no candidates yet.
    (name.contains("vote") && !name.contains("pre")).then_some(false)
}

/// The sender's term in a description of a request: the first field whose name ends in "term", except for terms of entries.
fn term(args: &str) -> Option<u64> {
    let fields = args.split(['{', ',', '(']).filter_map(|field| field.split_once(": "));
    let is_senders = |name: &str| {
        let name = name.trim().to_lowercase();
        name.ends_with("term") && !name.contains("last") && !name.contains("prev")
    };
    let (_, value) = fields.into_iter().find(|(name, _)| is_senders(name))?;
    value.trim_end_matches([' ', '}', ')']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_millis(1);

    fn send(messages: &mut Messages, args: &[u8]) -> u64 {
        messages.send(AT, "0 to 1", Some(1), "Raft.X", args, || None)
    }

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let mut messages = Messages::new();
        messages.offer("Raft.X", |bytes| format!("{bytes:?}"), |bytes| format!("reply {bytes:?}"));
        messages.end("0 to 1", Sender::Server(0));
        let long = [7; LONGEST + 5];
        let numbers: Vec<u64> = (0..KEPT + 3 * BLOCK).map(|_| send(&mut messages, &long)).collect();
        assert!(numbers.iter().enumerate().all(|(i, number)| i as u64 == *number));
        let kept = messages.iter().count();
        assert!((KEPT..KEPT + 2 * BLOCK).contains(&kept), "{kept}");
        assert_eq!(messages.dropped() as usize + kept, numbers.len());
        // A step of an RPC that is not kept any more changes nothing.
        messages.answer(AT, 0, &[1]);
        let last = *numbers.last().unwrap();
        messages.answer(AT, last, &[2]);
        let rpcs: Vec<Rpc> = messages.iter().copied().collect();
        assert_eq!(rpcs.iter().filter(|rpc| rpc.answered().is_some()).count(), 1);
        assert_eq!(messages.reply(rpcs.last().unwrap()).unwrap(), "reply [2]");
        assert_eq!(messages.args(rpcs.last().unwrap()).unwrap(), format!("{:?}", [7; LONGEST]));
        assert_eq!(messages.args(&rpcs[0]), None, "its bytes made room for others");
    }

    #[test]
    fn an_operation_has_no_request_of_the_next_one() {
        let mut messages = Messages::new();
        messages.end("client end", Sender::Client("client 1".to_string()));
        let ms = Duration::from_millis;
        for at in [1, 2] {
            messages.send(ms(at), "client end", Some(0), "KVServer.Get", &[], || None);
        }
        let tries = |begin, end| messages.tries("client 1", ms(begin), ms(end)).len();
        assert_eq!((tries(1, 2), tries(2, 3), tries(1, 3)), (1, 1, 2));
    }

    #[test]
    fn requests_tell_the_roles_of_servers() {
        let mut messages = Messages::new();
        let describe: Describe = |bytes| {
            format!("Args {{ last_log_term: 9, term: {}, entries: [Entry {{ term: 8 }}] }}", bytes[0])
        };
        for method in ["Raft.RequestVote", "Raft.AppendEntries", "Raft.PreVote"] {
            messages.offer(method, describe, describe);
        }
        messages.end("of 1", Sender::Server(1));
        messages.end("of a client", Sender::Client("client".to_string()));
        for (end, method, term) in [
            ("of 1", "Raft.PreVote", 4),
            ("of 1", "Raft.RequestVote", 4),
            ("of a client", "Raft.AppendEntries", 6),
            ("of 1", "Raft.AppendEntries", 5),
        ] {
            messages.send(AT, end, Some(0), method, &[term], || None);
        }
        let claim = |term, is_leader| Claim { at: AT, server: 1, term, is_leader };
        assert_eq!(messages.claims(), [claim(4, false), claim(5, true)]);
    }

    #[test]
    fn a_call_that_has_ended_does_not_fail() {
        let mut messages = Messages::new();
        let (good, bad) = (send(&mut messages, &[]), send(&mut messages, &[]));
        messages.finish(AT, good, true);
        messages.fail(good, Fate::CutOff);
        messages.fail(bad, Fate::RequestLost);
        messages.fail(bad, Fate::CutOff);
        let fates: Vec<Fate> = messages.iter().map(|rpc| rpc.fate).collect();
        assert_eq!(fates, [Fate::Open, Fate::RequestLost]);
    }
}
