//! What the title is doing: the operations that are pending, and the last ones that ended.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How many operations that have ended are remembered.
const REMEMBERED: usize = 20;

/// On the heap: in a simulation, its lock's address is then the same in each run, as other addresses are.
static OPERATIONS: LazyLock<Box<Mutex<Operations>>> = LazyLock::new(Box::default);

#[derive(Default)]
struct Operations {
    next: u64,
    pending: BTreeMap<u64, (String, Instant)>,
    /// What it was, how long it took, and when it ended.
    ended: VecDeque<(String, Duration, Instant)>,
}

/// An operation that is pending until this is dropped.
pub struct Operation {
    id: u64,
}

/// Notes that an operation begins, such as `client 3: get("0")`.
#[must_use = "the operation ends when this is dropped"]
pub fn operation(what: impl Into<String>) -> Operation {
    let what = what.into();
    sim::trace(format_args!("begins: {what}"));
    let mut operations = OPERATIONS.lock();
    let id = operations.next;
    operations.next += 1;
    operations.pending.insert(id, (what, Instant::now()));
    Operation { id }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut operations = OPERATIONS.lock();
        let Some((what, since)) = operations.pending.remove(&self.id) else { return };
        sim::trace(format_args!("has done: {what}"));
        if operations.ended.len() == REMEMBERED {
            operations.ended.pop_front();
        }
        operations.ended.push_back((what, since.elapsed(), Instant::now()));
    }
}

/// The operations that are pending, the oldest first, and the last ones that ended.
pub(crate) fn report() -> String {
    let operations = OPERATIONS.lock();
    let mut text = String::new();
    // Writing to a String does not fail.
    for (what, since) in operations.pending.values() {
        let _ = writeln!(text, "  pending for {:.1} s: {what}", since.elapsed().as_secs_f64());
    }
    for (what, took, at) in &operations.ended {
        let ago = at.elapsed().as_secs_f64();
        let _ = writeln!(text, "  ended {ago:.1} s ago, took {:.3} s: {what}", took.as_secs_f64());
    }
    text
}
