//! Runs a program as a simulation: one thread at a time, on a virtual clock, in an order drawn from a seed. The same
//! seed gives the same run, and sleeping takes no real time. The program needs no change: it uses std's threads and
//! clocks, parking_lot's locks, crossbeam's channels and rand as always. `docs/simulation.md` explains how this works.
//!
//! | item | purpose |
//! | --- | --- |
//! | [`run`] | runs a closure, and every thread that it starts, as a simulation; once in a process |
//! | [`Options`], [`Strategy`], [`Hooks`] | the simulation's settings: its seed, its strategy, the functions it calls |
//! | [`is_simulated`] | tells whether the calling thread belongs to a simulation |
//! | [`elapsed`] | reads the virtual clock |
//! | [`outside`] | runs a closure without simulating its calls: it changes nothing in the run |
//! | [`trace`], [`is_tracing`], [`flush_trace`] | write to the trace |
//! | [`threads`], [`peak`] | lists the simulated threads; the largest number of them |
//! | [`whereabouts`] | finds where other threads are, simulated or not |
//! | [`stand_by`] | marks a thread that only watches the others |
//! | [`pause`] | keeps other threads from running for a while |
//! | [`calm`] | lets the strategy pause threads seldom |
//!
//! This is the only crate of the workspace with unsafe code. The simulator runs on Linux with the GNU C library, on x86-64
//! and aarch64. Elsewhere, and with `--cfg lab_without_sim`, [`SUPPORTED`] is false and the crate contains no unsafe code.
// The grader forbids unsafe code in every crate when it builds the lab, except in this one when it simulates.
#![cfg_attr(not(lab_without_sim), allow(unsafe_code))]
#![cfg_attr(
    not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_env = "gnu",
        not(lab_without_sim)
    )),
    allow(dead_code, reason = "without the simulator, only the names of the strategies are used")
)]

#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
))]
mod imp;

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
)))]
#[path = "none.rs"]
mod imp;

mod options;
mod rng;
mod strategy;

pub use options::{Hooks, Options, Outcome, Place, Switcher};
pub use strategy::{Strategy, UnknownStrategy};

use std::fmt;
use std::time::Duration;

/// True if [`run`] can simulate.
pub const SUPPORTED: bool = imp::SUPPORTED;

/// Runs `f` on the first thread of a simulation, which gets the name `name`, and waits until `f` returns. The calling
/// thread is not simulated. When `f` returns, the other simulated threads stop where they are, for good. A process can
/// do this only once, because libraries keep state in their statics.
///
/// Calls `Options::hooks.fail` in three cases: when all threads wait and none of them has a deadline; when one thread
/// keeps the others from running for 10 seconds, because it computes or waits in the kernel; and when the simulator
/// cannot work in this program, because of how the program was linked. The simulator does not handle panics: the panic
/// hook does.
pub fn run(options: Options, name: &str, f: impl FnOnce() + Send + 'static) -> Outcome {
    imp::run(options, name, f)
}

/// True if the calling thread belongs to a simulation.
pub fn is_simulated() -> bool {
    imp::is_simulated()
}

/// Runs `f` as if there were no simulation: its calls are real, and they change nothing in the run. `f` must not wait
/// for another simulated thread, and must not take a lock that other threads also take without `outside`.
pub fn outside<T>(f: impl FnOnce() -> T) -> T {
    imp::outside(f)
}

/// The time since the simulation began, on the virtual clock. The clock stops when the simulation ends. None: no
/// simulation has begun. Every thread may call this function; the call takes no virtual time.
pub fn elapsed() -> Option<Duration> {
    imp::elapsed()
}

/// Adds a line to the trace if the calling thread is simulated and a trace is written. This changes nothing in the run.
pub fn trace(text: fmt::Arguments<'_>) {
    imp::trace(text);
}

/// Writes the buffered lines of the trace to its file. A simulated thread calls this before it ends the process.
pub fn flush_trace() {
    imp::flush_trace();
}

/// True if the calling thread is simulated and a trace is written.
pub fn is_tracing() -> bool {
    imp::is_tracing()
}

/// Marks the calling thread as one that only watches the others. If all other threads wait without a deadline, the
/// simulation is deadlocked, even if this thread has a deadline.
pub fn stand_by() {
    imp::stand_by();
}

/// The numbers and names of the simulated threads that have not ended. None: the calling thread is not simulated.
pub fn threads() -> Option<Vec<(usize, String)>> {
    imp::threads()
}

/// The largest number of simulated threads that had not ended at any one time; 0 if nothing has been simulated. Every thread
/// of the process can ask, also after the simulation.
pub fn peak() -> usize {
    imp::peak()
}

/// The places where other threads are, the innermost first. On a simulated thread, `ids` are numbers that [`threads`] gives;
/// otherwise they are the kernel's ids of threads of this process, which a signal (SIGUSR2) asks. Empty for a thread that has
/// not begun, has ended or does not answer, and where there is no simulator.
pub fn whereabouts(ids: &[usize]) -> Vec<Vec<Place>> {
    imp::whereabouts(ids)
}

/// Keeps some simulated threads from running for `duration`, as if the machine had no processor for them. `is_chosen` gets
/// each thread's number and name; the calling thread is never paused. A thread that waits for a lock or a time goes on
/// waiting, and is paused if the wait ends too early. Does nothing on a thread that is not simulated.
pub fn pause(duration: Duration, is_chosen: impl FnMut(usize, &str) -> bool) {
    imp::pause(duration, is_chosen);
}

/// From now on, the strategy `slow-places` pauses one thread at a time, and none for three quarters of the time. Raft elects a
/// leader only if messages are much faster than election timeouts (section 5.6 of the Raft paper). Does nothing on a thread
/// that is not simulated.
pub fn calm() {
    imp::calm();
}

/// True if the program was built so that a thread can lose the processor at any branch (`make sim-races`).
pub fn is_instrumented() -> bool {
    imp::is_instrumented()
}
