//! Pauses of servers, and of single threads of theirs, in simulations.

use std::collections::BTreeSet;
use std::time::Duration;

/// Keeps all threads that work for server `i` from running for `duration`, as a machine that stands still. Requests that
/// arrive meanwhile start new threads, which run. Does nothing in real time, and to threads that the server has started
/// with `std::thread`.
pub fn pause_server(i: usize, duration: Duration) {
    let threads = threads_of(i);
    sim::pause(duration, |_, name| threads.contains(name));
}

/// As [`pause_server`], for one of the server's threads: the one that `choose` chooses by its place among `n`. It is not
/// called if the server has no thread.
pub fn pause_thread(i: usize, duration: Duration, choose: impl FnOnce(usize) -> usize) {
    let threads: Vec<String> = threads_of(i).into_iter().collect();
    if !threads.is_empty() {
        let chosen = &threads[choose(threads.len())];
        sim::pause(duration, |_, name| name == chosen);
    }
}

/// Lets the simulation's strategy pause threads seldom (see `sim::calm`). Does nothing in real time.
pub fn calm() {
    sim::calm();
}

/// The names of labrpc's threads that work for server `i`.
fn threads_of(i: usize) -> BTreeSet<String> {
    let tasks = labrpc::running().into_iter().filter(|task| task.name.server() == Some(i));
    tasks.map(|task| format!("labrpc-{}", task.worker)).collect()
}
