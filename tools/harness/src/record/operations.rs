//! What the test does: the operations that are pending, and the last ones that ended.

use super::excerpt::Excerpt;
use super::ring::Ring;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many ended operations the report of a test that hangs lists.
pub(crate) const REPORTED: usize = 8;

/// How many ended operations are kept for a picture: more than most tests have.
const KEPT: usize = 60_000;

pub(crate) struct Operations {
    next: u64,
    pending: BTreeMap<u64, Call>,
    ended: Ring<Ended>,
}

/// The beginning of an operation.
#[derive(Clone)]
pub(crate) struct Call {
    /// The client: "client 3".
    pub(crate) who: String,
    /// The call: `get("0")`.
    pub(crate) what: String,
    /// The time of the call, since the test began.
    pub(crate) at: Duration,
}

pub(crate) struct Ended {
    pub(crate) id: u64,
    pub(crate) call: Call,
    pub(crate) result: Option<Excerpt>,
    pub(crate) at: Duration,
}

/// An operation as the picture needs it.
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) call: Call,
    /// The result, and when it came. None: the operation is pending.
    pub(crate) ret: Option<(String, Duration)>,
}

impl Operations {
    pub(crate) const fn new() -> Operations {
        Operations { next: 0, pending: BTreeMap::new(), ended: Ring::new(REPORTED) }
    }

    /// From now on, keeps as many ended operations as a picture needs.
    pub(crate) fn keep_many(&mut self) {
        self.ended = Ring::new(KEPT);
    }

    /// Notes that an operation begins, and returns its id.
    pub(crate) fn begin(&mut self, call: Call) -> u64 {
        let id = self.next;
        self.next += 1;
        self.pending.insert(id, call);
        id
    }

    /// Notes that an operation ends, and returns its beginning.
    pub(crate) fn end(&mut self, id: u64, result: Option<Excerpt>, at: Duration) -> Option<&Call> {
        let call = self.pending.remove(&id)?;
        self.ended.push(Ended { id, call, result, at });
        self.ended.iter().last().map(|ended| &ended.call)
    }

    pub(crate) fn is_pending(&self, id: u64) -> bool {
        self.pending.contains_key(&id)
    }

    /// The last operation of a client: one that is pending, or the last that ended.
    pub(crate) fn last_of(&self, who: &str) -> Option<u64> {
        let pending = self.pending.iter().rev().find(|(_, call)| call.who == who).map(|(id, _)| *id);
        pending.or_else(|| self.ended.iter().rev().find(|ended| ended.call.who == who).map(|ended| ended.id))
    }

    /// When an operation ended. None: it has not, or is no longer kept.
    pub(crate) fn ended_at(&self, id: u64) -> Option<Duration> {
        self.ended.iter().rev().find(|ended| ended.id == id).map(|ended| ended.at)
    }

    /// The operation that has been pending for the longest time.
    pub(crate) fn oldest_pending(&self) -> Option<u64> {
        self.pending.keys().next().copied()
    }

    /// The pending operations, the oldest first.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Call> {
        self.pending.values()
    }

    /// The last operations that ended, the oldest first: enough for a report.
    pub(crate) fn last_ended(&self) -> impl Iterator<Item = &Ended> {
        let surplus = self.ended.iter().len().saturating_sub(REPORTED);
        self.ended.iter().skip(surplus)
    }

    /// All operations that are kept or pending, in the order of their calls.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let ended = self.ended.iter().map(|Ended { id, call, result, at }| Seen {
            id: *id,
            call: call.clone(),
            ret: Some((result.as_ref().map_or(String::new(), |result| format!("\u{2192} {result}")), *at)),
        });
        let pending = self.pending.iter().map(|(id, call)| Seen { id: *id, call: call.clone(), ret: None });
        let mut seen: Vec<Seen> = ended.chain(pending).collect();
        seen.sort_by_key(|operation| operation.id);
        seen
    }

    /// How many operations are no longer kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.ended.dropped()
    }
}
