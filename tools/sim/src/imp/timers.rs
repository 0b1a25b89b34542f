//! The deadlines of waiting threads, in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The deadline of one wait of one thread. The order of the fields decides the order of timers: timers with the same
/// deadline ring in the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    deadline: u64,
    number: u64,
    thread: usize,
    wait: u64,
}

#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    added: u64,
}

impl Timers {
    /// Adds a timer for a thread's wait. `wait` is the number of that wait among the thread's waits.
    pub(crate) fn add(&mut self, deadline: u64, thread: usize, wait: u64) {
        self.heap.push(Reverse(Timer { deadline, number: self.added, thread, wait }));
        self.added += 1;
    }

    /// The earliest deadline and its thread. Removes timers of waits that are over. `is_waiting` gets a thread and the
    /// number of a wait, and returns false if that wait is over.
    pub(crate) fn first(&mut self, is_waiting: impl Fn(usize, u64) -> bool) -> Option<(u64, usize)> {
        while let Some(Reverse(timer)) = self.heap.peek() {
            if is_waiting(timer.thread, timer.wait) {
                return Some((timer.deadline, timer.thread));
            }
            self.heap.pop();
        }
        None
    }

    /// Removes the timer that `first` returned.
    pub(crate) fn remove_first(&mut self) {
        self.heap.pop();
    }
}
