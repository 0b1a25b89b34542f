//! How many threads a test's process has, and the largest number that it had.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest number of threads that this process has had at a [`count`].
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Counts the threads of this process, for [`peak`].
pub(super) fn count() {
    let now = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    PEAK.fetch_max(now, Ordering::Relaxed);
}

/// The largest number of threads that were counted, or that a simulation had.
pub(super) fn peak() -> usize {
    PEAK.load(Ordering::Relaxed).max(sim::peak())
}

/// How many threads a simulation has that have not ended. Those of labrpc that wait for a task are not counted.
pub fn busy_threads() -> usize {
    sim::threads().map_or(0, |threads| threads.len()).saturating_sub(labrpc::idle_threads())
}
