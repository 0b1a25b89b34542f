//! The messages between clients and servers: every RPC with its times, its fate, and what it holds.
//!
//! An RPC takes 56 bytes here, in blocks that are never moved, and the bytes of its arguments and its reply lie in a
//! second list of blocks. Both lists have limits; beyond these, the oldest blocks are dropped.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// A server that has crashed. Some of its threads may still run and send. Its successor is another sender.
    Crashed(usize),
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

    /// Notes that a server crashes: what still comes through its ends says nothing of its successor.
    pub(crate) fn crash(&mut self, server: usize) {
        let (running, crashed) = (self.sender(Sender::Server(server)), self.sender(Sender::Crashed(server)));
        let ends = &mut self.names.get_or_insert_default().ends;
        ends.values_mut().filter(|sender| **sender == running).for_each(|sender| *sender = crashed);
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
            Some(sender) if !matches!(self.senders[usize::from(sender)], Sender::Client(_)) => sender,
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

    /// How many requests of this method servers that have not crashed have sent from this time on, as far as they are kept.
    pub(crate) fn requests_since(&self, method: &str, at: Duration) -> usize {
        let is_one = |rpc: &&Rpc| {
            u128::from(rpc.sent()) >= at.as_micros()
                && self.methods.get(usize::from(rpc.method)).is_some_and(|own| own.name == method)
                && matches!(self.sender_of(rpc), Some(Sender::Server(_)))
        };
        self.iter().filter(is_one).count()
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

    /// The RPC whose reply was the last that came to a client from one time to another.
    pub(crate) fn answer_to(&self, client: &str, begin: Duration, end: Duration) -> Option<Rpc> {
        let sender = *self.names.as_ref()?.senders.get(&Sender::Client(client.to_string()))?;
        let (begin, end) = (Micros::of(begin).0, Micros::of(end).0);
        let came = self
            .iter()
            .filter(|rpc| rpc.sender == sender && rpc.has_reply && rpc.sent.0 >= begin && rpc.ended.0 <= end);
        came.max_by_key(|rpc| rpc.ended.0).copied()
    }

    /// Whether a server got a request or a reply of another server while it handled an RPC. None: not all messages of that
    /// time are kept.
    pub(crate) fn has_heard_during(&self, rpc: &Rpc) -> Option<bool> {
        let (server, time) = (rpc.server?, rpc.arrived()?..=rpc.answered()?);
        let sender_of = |rpc: &Rpc| match self.sender_of(rpc) {
            Some(Sender::Server(sender) | Sender::Crashed(sender)) => Some(*sender),
            _ => None,
        };
        let is_heard = |rpc: &Rpc| match sender_of(rpc) {
            Some(sender) if sender == usize::from(server) => {
                rpc.has_reply && rpc.ended().is_some_and(|at| time.contains(&at))
            }
            Some(_) => rpc.server == Some(server) && rpc.arrived().is_some_and(|at| time.contains(&at)),
            None => false,
        };
        (self.dropped() == 0).then(|| self.iter().any(is_heard))
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

    /// The first of the RPCs that a server has sent one right after the other, up to `last`: same sender, same method, and each
    /// left within a millisecond of the end of the one before. Stops at one that had left by `by`. None: there is no such RPC.
    pub(crate) fn first_in_a_row(&self, last: &Rpc, by: Duration) -> Option<Rpc> {
        const PAUSE: u32 = 1000;
        let mut first = *last;
        while first.sent.0 > Micros::of(by).0 {
            let leads_to = |rpc: &&Rpc| {
                let is_alike = rpc.sender == first.sender && rpc.method == first.method;
                let is_just_before = |end: u32| {
                    end <= first.sent.0 && first.sent.0 - end <= PAUSE && rpc.sent.0 < first.sent.0
                };
                is_alike && rpc.ended().is_some_and(is_just_before)
            };
            first = *self.iter().filter(leads_to).max_by_key(|rpc| rpc.ended())?;
        }
        Some(first)
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

/// What a message tells of the server that has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// When the message left.
    pub(crate) at: Duration,
    /// When the server began to prepare it, as far as that is known: when it got the request that it answers.
    pub(crate) since: Duration,
    pub(crate) server: usize,
    pub(crate) term: u64,
    pub(crate) says: Says,
}

/// What a server is in a term, as a message of it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It sends what only leaders send.
    Leads,
    /// It asks for votes.
    Stands,
    /// It accepts what a leader sends.
    Follows,
    /// Its term, and nothing else.
    Term,
}

/// A vote that a candidate got, or the candidate's own.
#[derive(Clone)]
pub(crate) struct Vote {
    /// When the voter answered; for a candidate's own vote: when it asked another server for the first time.
    pub(crate) at: Duration,
    pub(crate) term: u64,
    pub(crate) voter: usize,
    pub(crate) candidate: usize,
    /// The arguments and the reply in words. None: a candidate that asks others votes for itself.
    pub(crate) said: Option<(String, String)>,
}

impl Messages {
    /// What the newest [`MOST_READ`] RPCs between servers tell of both, in the order of time. A request tells what only a
    /// candidate or only a leader sends, and a reply tells the receiver's term. What they are, the names say: a candidate's
    /// method has "vote" in its name, a leader's "append", "heartbeat" or "snapshot"; the reply's field is "term".
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let newest = self.rpcs.iter().rev().flat_map(|block| block.iter().rev());
        let between_servers = newest.filter_map(|rpc| Some((rpc, self.is_leaders(rpc)?)));
        let mut claims: Vec<Claim> = Vec::new();
        for (rpc, is_leaders) in between_servers.take(MOST_READ) {
            let asked = self.args(rpc).filter(|args| !is_trial(args)).and_then(|args| term(&args));
            let sent = Duration::from_micros(rpc.sent().into());
            if let (Some(term), Some(&Sender::Server(server))) = (asked, self.sender_of(rpc)) {
                let says = if is_leaders { Says::Leads } else { Says::Stands };
                claims.push(Claim { at: sent, since: sent, server, term, says });
            }
            let reply = self.reply(rpc).and_then(|reply| Some((own_term(&reply)?, reply)));
            if let (Some(asked), Some(server), Some(arrived), Some(answered), Some((term, reply))) =
                (asked, rpc.server, rpc.arrived(), rpc.answered(), reply)
            {
                let follows = is_leaders && term == asked && has_succeeded(&reply);
                let [since, at] = [arrived, answered].map(|time| Duration::from_micros(time.into()));
                let says = if follows { Says::Follows } else { Says::Term };
                claims.push(Claim { at, since, server: server.into(), term, says });
            }
        }
        claims.reverse();
        claims.sort_by_key(|claim| claim.at);
        claims
    }

    /// The votes in the newest [`MOST_READ`] requests for votes, in the order of time: those that candidates got, and the
    /// candidates' own. A vote that a candidate gets has a field that is true. A voter's votes for the same candidate in the
    /// same term are one. Also returns whether these are all votes of the test.
    pub(crate) fn votes(&self) -> (Vec<Vote>, bool) {
        let newest = self.rpcs.iter().rev().flat_map(|block| block.iter().rev());
        let asks = newest.filter(|rpc| self.is_leaders(rpc) == Some(false));
        let mut asks: Vec<&Rpc> = asks.take(MOST_READ + 1).collect();
        let are_all = asks.len() <= MOST_READ && self.first == 0 && self.first_byte == 0;
        asks.truncate(MOST_READ);
        let mut votes: Vec<Vote> = Vec::new();
        for rpc in asks.into_iter().rev() {
            let (Some(&Sender::Server(candidate)), Some(args)) = (self.sender_of(rpc), self.args(rpc)) else {
                continue;
            };
            let Some(term) = term(&args).filter(|_| !is_trial(&args)) else { continue };
            let sent = Duration::from_micros(rpc.sent().into());
            votes.push(Vote { at: sent, term, voter: candidate, candidate, said: None });
            let reply = self.reply(rpc).filter(|reply| rpc.has_reply && reply.contains(": true"));
            if let (Some(voter), Some(answered), Some(reply)) = (rpc.server, rpc.answered(), reply) {
                let at = Duration::from_micros(answered.into());
                votes.push(Vote { at, term, voter: voter.into(), candidate, said: Some((args, reply)) });
            }
        }
        votes.sort_by_key(|vote| vote.at);
        let mut known = HashSet::new();
        votes.retain(|vote| known.insert((vote.term, vote.voter, vote.candidate)));
        (votes, are_all)
    }

    /// Whether leaders (true) or candidates (false) send an RPC. None: its method's name does not say.
    fn is_leaders(&self, rpc: &Rpc) -> Option<bool> {
        let method = &self.methods.get(usize::from(rpc.method))?.name;
        matches!(self.sender_of(rpc), Some(Sender::Server(_) | Sender::Crashed(_)))
            .then(|| is_leaders(method))
            .flatten()
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

/// The fields of a described message: their names in small letters, and their values.
fn fields(described: &str) -> impl Iterator<Item = (String, &str)> {
    let fields = described.split(['{', ',', '(']).filter_map(|field| field.split_once(": "));
    fields.map(|(name, value)| (name.trim().to_lowercase(), value.trim_end_matches([' ', '}', ')'])))
}

/// Whether a request only asks who would vote: a field such as "pre_vote" is true.
fn is_trial(args: &str) -> bool {
    fields(args).any(|(name, value)| name.contains("pre") && !name.contains("prev") && value == "true")
}

/// The sender's term in a description of a request: the first field whose name ends in "term", except for terms of entries.
fn term(args: &str) -> Option<u64> {
    let is_senders = |name: &str| name.ends_with("term") && !name.contains("last") && !name.contains("prev");
    let (_, value) = fields(args).find(|(name, _)| is_senders(name))?;
    value.parse().ok()
}

/// The receiver's term in a description of a reply. Replies may hold terms of entries too, with longer names.
fn own_term(reply: &str) -> Option<u64> {
    let is_own = |name: &str| ["term", "current_term", "currentterm"].contains(&name);
    let (_, value) = fields(reply).find(|(name, _)| is_own(name))?;
    value.parse().ok()
}

/// Whether a reply says that what the leader sent was accepted.
fn has_succeeded(reply: &str) -> bool {
    fields(reply).any(|(name, value)| name.contains("success") && value == "true")
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
    fn requests_are_counted_by_method_time_and_sender() {
        let mut messages = Messages::new();
        messages.end("0 to 1", Sender::Server(0));
        messages.end("2 to 1", Sender::Crashed(2));
        let ms = Duration::from_millis;
        for (at, end, method) in [
            (1, "0 to 1", "A"),
            (2, "0 to 1", "A"),
            (2, "0 to 1", "B"),
            (3, "2 to 1", "A"),
            (4, "0 to 1", "A"),
        ] {
            messages.send(ms(at), end, Some(1), method, &[], || None);
        }
        let count = |method, at| messages.requests_since(method, ms(at));
        assert_eq!((count("A", 1), count("A", 2), count("B", 2), count("A", 5)), (3, 2, 1, 0));
    }

    #[test]
    fn messages_tell_the_roles_and_terms_of_servers() {
        let mut messages = Messages::new();
        let args: Describe = |bytes| {
            let [term, is_trial] = [bytes[0], bytes[1]];
            format!(
                "Args {{ last_log_term: 9, term: {term}, pre_vote: {}, entries: [Entry {{ term: 8 }}] }}",
                is_trial == 1
            )
        };
        let reply: Describe = |bytes| {
            let [term, success] = [bytes[0], bytes[1]];
            format!("Reply {{ conflict_term: 9, success: {}, term: {term} }}", success == 1)
        };
        for method in ["Raft.RequestVote", "Raft.AppendEntries", "Raft.PreVote"] {
            messages.offer(method, args, reply);
        }
        messages.end("of 1", Sender::Server(1));
        messages.end("of a client", Sender::Client("client".to_string()));
        for (end, method, term, is_trial, reply) in [
            ("of 1", "Raft.PreVote", 4, 0, None),
            ("of 1", "Raft.RequestVote", 4, 1, None),
            ("of 1", "Raft.RequestVote", 4, 0, Some([4, 0])),
            ("of a client", "Raft.AppendEntries", 6, 0, Some([6, 1])),
            ("of 1", "Raft.AppendEntries", 5, 0, Some([5, 1])),
            ("of 1", "Raft.AppendEntries", 5, 0, Some([6, 0])),
        ] {
            let rpc = messages.send(AT, end, Some(0), method, &[term, is_trial], || None);
            if let Some(reply) = reply {
                messages.arrive(2 * AT, rpc);
                messages.answer(3 * AT, rpc, &reply);
            }
        }
        let asks = |term, says| Claim { at: AT, since: AT, server: 1, term, says };
        let answers = |term, says| Claim { at: 3 * AT, since: 2 * AT, server: 0, term, says };
        let told = [
            asks(4, Says::Stands),
            asks(5, Says::Leads),
            asks(5, Says::Leads),
            answers(4, Says::Term),
            answers(5, Says::Follows),
            answers(6, Says::Term),
        ];
        assert_eq!(messages.claims(), told);
    }

    #[test]
    fn what_a_crashed_server_still_sends_tells_nothing_of_its_successor() {
        let mut messages = Messages::new();
        let describe: Describe = |bytes| format!("Args {{ term: {} }}", bytes[0]);
        messages.offer("Raft.RequestVote", describe, describe);
        messages.end("old end", Sender::Server(1));
        messages.send(AT, "old end", Some(0), "Raft.RequestVote", &[4], || None);
        messages.crash(1);
        messages.end("new end", Sender::Server(1));
        messages.send(AT, "old end", Some(0), "Raft.RequestVote", &[5], || None);
        messages.send(AT, "new end", Some(0), "Raft.RequestVote", &[6], || None);
        let terms: Vec<u64> = messages.claims().iter().map(|claim| claim.term).collect();
        assert_eq!(terms, [4, 6]);
    }

    #[test]
    fn a_vote_is_one_that_a_candidate_got_or_its_own() {
        let mut messages = Messages::new();
        let args: Describe = |bytes| format!("Args {{ term: {} }}", bytes[0]);
        let reply: Describe = |bytes| format!("Reply {{ granted: {} }}", bytes[0] == 1);
        messages.offer("Raft.RequestVote", args, reply);
        for server in [0, 1] {
            messages.end(&format!("of {server}"), Sender::Server(server));
        }
        for (at, from, term, granted, has_reply) in [
            (1, 0, 3, 1, true),
            (3, 0, 4, 1, true),
            (5, 0, 4, 1, true),
            (7, 1, 4, 0, true),
            (9, 1, 4, 1, false),
            (11, 1, 4, 1, true),
            (13, 1, 4, 1, true),
        ] {
            let rpc =
                messages.send(at * AT, &format!("of {from}"), Some(2), "Raft.RequestVote", &[term], || None);
            messages.answer((at + 1) * AT, rpc, &[granted]);
            messages.finish((at + 1) * AT, rpc, has_reply);
        }
        let (votes, are_all) = messages.votes();
        let votes: Vec<(u128, u64, usize, usize)> =
            (votes.iter()).map(|vote| (vote.at.as_millis(), vote.term, vote.voter, vote.candidate)).collect();
        assert_eq!(
            votes,
            [(1, 3, 0, 0), (2, 3, 2, 0), (3, 4, 0, 0), (4, 4, 2, 0), (7, 4, 1, 1), (12, 4, 2, 1)]
        );
        assert!(are_all);
        // Of many requests, the newest are read.
        for _ in 0..MOST_READ {
            messages.send(20 * AT, "of 1", Some(2), "Raft.RequestVote", &[5], || None);
        }
        let (votes, are_all) = messages.votes();
        assert!(!are_all && votes.iter().all(|vote| (vote.term, vote.voter) == (5, 1)));
    }

    #[test]
    fn what_a_server_hears_while_it_handles_a_request_is_known() {
        let heard = |from: Sender, to: usize, arrived: u32, ended: u32| {
            let mut messages = Messages::new();
            messages.end("client end", Sender::Client("client 1".to_string()));
            messages.end("other end", from);
            let get = messages.send(AT, "client end", Some(0), "KVServer.Get", &[], || None);
            messages.arrive(10 * AT, get);
            let other = messages.send(AT, "other end", Some(to), "Raft.AppendEntries", &[], || None);
            messages.arrive(arrived * AT, other);
            messages.answer(arrived * AT, other, &[]);
            messages.finish(ended * AT, other, true);
            messages.answer(20 * AT, get, &[]);
            let get = *messages.iter().next().unwrap();
            messages.has_heard_during(&get).unwrap()
        };
        // A request to it, and a reply to its own request.
        assert!(heard(Sender::Server(1), 0, 15, 30) && heard(Sender::Server(0), 1, 5, 15));
        assert!(!heard(Sender::Server(1), 0, 5, 15) && !heard(Sender::Server(0), 1, 15, 30));
        assert!(!heard(Sender::Server(1), 2, 15, 15));
        assert!(!heard(Sender::Client("client 2".to_string()), 0, 15, 15));
    }

    #[test]
    fn rpcs_in_a_row_have_a_first_one() {
        let mut messages = Messages::new();
        messages.end("of 0", Sender::Server(0));
        messages.end("of 1", Sender::Server(1));
        for (end, sent, ended) in
            [("of 0", 1, 4), ("of 0", 10, 20), ("of 1", 12, 30), ("of 0", 20, 30), ("of 0", 31, 0)]
        {
            let rpc = messages.send(sent * AT, end, Some(2), "Raft.X", &[], || None);
            if ended > 0 {
                messages.finish(ended * AT, rpc, false);
            }
        }
        let last = *messages.iter().last().unwrap();
        let first = |by| messages.first_in_a_row(&last, by * AT).map(|rpc| rpc.sent() / 1000);
        assert_eq!([first(40), first(21), first(10)], [Some(31), Some(20), Some(10)]);
        assert_eq!(first(9), None, "it paused before the one at 10 ms");
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
