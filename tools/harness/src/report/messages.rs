//! The messages on the page. There can be hundreds of thousands, so that their times are one long list of numbers, and only
//! those nearest to the failure have their contents on the page.

use super::lanes::{self, Lanes};
use crate::record::{Fate, Messages, Rpc, Sender};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// The total size in bytes of the contents on a page.
const CONTENTS: usize = 6 << 20;

/// The messages of a page.
pub(super) struct Drawn {
    /// A JSON list with eight numbers for each RPC, in the order of sending: the sender's lane, the receiver's lane (or
    /// 0: it is no server with a number), the method, the time from the RPC before it to this one, the times from its
    /// sending to the start of its handler, to the handler's return and to the end of the call (each -1: never), and its
    /// fate; see [`code`].
    pub(super) numbers: String,
    /// Further fields: the methods' names; the number of the first RPC with contents; the contents; how many RPCs were
    /// not kept.
    pub(super) fields: Value,
}

/// Draws the messages. The contents are those of RPCs that were sent at about the time `at`.
pub(super) fn draw(messages: &Messages, at: Duration, lanes: &mut Lanes) -> Drawn {
    let mut rpcs: Vec<&Rpc> = messages.iter().collect();
    // Threads that send at the same time write into the record in any order.
    rpcs.sort_by_key(|rpc| rpc.sent());
    let mut numbers = "[".to_string();
    let mut before = 0;
    for rpc in &rpcs {
        let from = match messages.sender_of(rpc) {
            Some(Sender::Server(server) | Sender::Crashed(server)) => lanes::of_server(*server),
            Some(Sender::Client(name)) => lanes.number(name) as i64,
            None => 0,
        };
        let to = rpc.server.map_or(0, |server| lanes::of_server(server.into()));
        let since = |time: Option<u32>| time.map_or(-1, |time| i64::from(time.saturating_sub(rpc.sent())));
        let [arrived, answered, ended] = [rpc.arrived(), rpc.answered(), rpc.ended()].map(since);
        let comma = if numbers.len() > 1 { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(
            numbers,
            "{comma}{from},{to},{},{},{arrived},{answered},{ended},{}",
            rpc.method,
            rpc.sent() - before,
            code(rpc)
        );
        before = rpc.sent();
    }
    numbers.push(']');
    let (first, contents) = contents(messages, &rpcs, at);
    let methods: Vec<&str> = messages.methods.iter().map(|method| method.name.as_str()).collect();
    let fields = json!({
        "methods": methods, "first": first, "contents": contents, "dropped": messages.dropped()
    });
    Drawn { numbers, fields }
}

/// What became of an RPC: its fate, plus 8 if its reply was held back, plus 16 if the caller got the reply.
fn code(rpc: &Rpc) -> u8 {
    let fate = match rpc.fate {
        Fate::Open => 0,
        Fate::Disconnected => 1,
        Fate::Down => 2,
        Fate::RequestLost => 3,
        Fate::ReplyLost => 4,
        Fate::CutOff => 5,
    };
    fate + 8 * u8::from(rpc.is_held_back) + 16 * u8::from(rpc.has_reply)
}

/// The contents of the RPCs that are nearest to a time, and the number of the first of them. Each has its arguments and
/// its reply; null: not kept, or there is none.
fn contents(messages: &Messages, rpcs: &[&Rpc], at: Duration) -> (usize, Vec<Value>) {
    let middle = rpcs.partition_point(|rpc| u128::from(rpc.sent()) <= at.as_micros());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut size = 0;
    let mut describe = |rpc: &Rpc| {
        let (args, reply) = (messages.args(rpc), messages.reply(rpc));
        size += 16 + args.as_ref().map_or(0, String::len) + reply.as_ref().map_or(0, String::len);
        (size <= CONTENTS).then(|| json!([args, reply]))
    };
    let (mut left, mut right) = (rpcs[..middle].iter().rev(), rpcs[middle..].iter());
    loop {
        let (one, other) = (left.next(), right.next());
        let earlier = one.and_then(|rpc| describe(rpc));
        let later = other.and_then(|rpc| describe(rpc));
        if earlier.is_none() && later.is_none() {
            break;
        }
        before.extend(earlier);
        after.extend(later);
    }
    let first = middle - before.len();
    before.reverse();
    before.append(&mut after);
    (first, before)
}
