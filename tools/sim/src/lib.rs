//! Runs a program's threads one at a time, on a clock of their own, in an order drawn from a seed: the same seed gives
//! the same run, and sleeping takes no time. The program is not changed for it: it uses std's threads and clocks,
//! parking_lot's locks, crossbeam's channels, rand. `docs/simulation.md` says how that works.
//!
//! | item | what it is |
//! | --- | --- |
//! | [`run`] | runs a closure, and what it starts, as a simulation; once in a process |
//! | [`Options`], [`Strategy`], [`Hooks`] | its seed, how choices are drawn, whom it asks and tells |
//! | [`is_simulated`] | what the calling thread lives in |
//! | [`elapsed`] | the simulation's clock |
//! | [`outside`] | does what is not to be simulated: it changes nothing in the run |
//! | [`trace`], [`is_tracing`], [`flush_trace`] | writes to the simulation's trace |
//! | [`threads`] | which there are |
//! | [`stand_by`] | what a thread calls that only watches the others |
//!
//! This crate alone in the workspace has unsafe code. It is for x86-64 Linux with the GNU C library; elsewhere, and with
//! `--cfg lab_without_sim`, [`SUPPORTED`] is false and no unsafe code is compiled.
// The grader denies it to all crates when it simulates, which it does with this one.
#![cfg_attr(not(lab_without_sim), allow(unsafe_code))]

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(lab_without_sim)))]
mod imp;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(lab_without_sim))))]
#[path = "none.rs"]
mod imp;

mod strategy;

pub use strategy::Strategy;

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// Whether [`run`] can simulate.
pub const SUPPORTED: bool = imp::SUPPORTED;

/// What a simulation depends on.
pub struct Options {
    /// All choices, and all that the program takes for random, come from it.
    pub seed: u64,
    /// How the choices are drawn.
    pub strategy: Strategy,
    /// Where the trace goes.
    pub trace: Option<File>,
    /// Which of the processors that the process may use is to run it; None: the one that it is on.
    pub processor: Option<usize>,
    /// Whether it leaves the processor to whatever else wants it.
    pub steps_back: bool,
    /// Whom the simulation asks and tells.
    pub hooks: Hooks,
}

/// What the simulator asks, and whom it tells that a simulation cannot go on.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// What the calling thread does, if it has more to say than its name.
    pub describe: fn() -> Option<String>,
    /// Ends the process, with this message.
    pub fail: fn(&str) -> !,
    /// What to show of a backtrace: a line of text for each place of interest.
    pub places: fn(&[Place]) -> String,
}

/// A line of the program where a thread is, or from which it was called.
pub struct Place {
    /// The file, as the compiler knew it.
    pub file: PathBuf,
    /// The line in it.
    pub line: u32,
    /// The function.
    pub function: String,
}

/// How a simulation ended.
#[derive(Debug)]
pub struct Outcome {
    /// How long it took on its own clock.
    pub elapsed: Duration,
    /// How often the scheduler chose a thread.
    pub steps: u64,
    /// Differs, with all but certainty, when two runs have differed in which thread ran when.
    pub fingerprint: u64,
    /// The threads that had not ended.
    pub left: Vec<String>,
}

/// Runs `f` as the first thread, named `name`, of a simulation, and waits for it on the calling thread, which remains a
/// real one. When `f` returns, the simulation's other threads are frozen where they are. A process can do this once:
/// libraries remember in their statics what was.
///
/// Calls `Options::hooks.fail` when all threads wait and none for a time, when one keeps the others from running for 10
/// seconds (of a processor's time, or of waiting in the system), and when the simulator does not work as it is linked. A
/// panic on any thread is the panic hook's matter.
pub fn run(options: Options, name: &str, f: impl FnOnce() + Send + 'static) -> Outcome {
    imp::run(options, name, f)
}

/// Whether the calling thread is one of a simulation's.
pub fn is_simulated() -> bool {
    imp::is_simulated()
}

/// Runs `f` as if there were no simulation: its calls are real, and the simulation does not notice it. It must not wait
/// for another simulated thread, nor take a lock that others take outside of `outside`.
pub fn outside<T>(f: impl FnOnce() -> T) -> T {
    imp::outside(f)
}

/// How long the simulation has been going on, on its clock, or how long it was when it ended. Every thread may ask; it
/// costs no time. None: there is none.
pub fn elapsed() -> Option<Duration> {
    imp::elapsed()
}

/// Adds a line to the trace, if there is one and the calling thread is simulated. It changes nothing in the run.
pub fn trace(text: fmt::Arguments<'_>) {
    imp::trace(text);
}

/// Writes what is held back of the trace, for a simulated thread that is about to end the process.
pub fn flush_trace() {
    imp::flush_trace();
}

/// Whether the calling thread is simulated and there is a trace.
pub fn is_tracing() -> bool {
    imp::is_tracing()
}

/// The calling thread only watches others: when only threads like it still wait for a time, that is a deadlock.
pub fn stand_by() {
    imp::stand_by();
}

/// The simulation's threads that have not ended: their numbers and names. None: the calling thread is not simulated.
pub fn threads() -> Option<Vec<(usize, String)>> {
    imp::threads()
}

/// Whether the program was built so that threads can lose the processor anywhere (`make sim-races`).
pub fn is_instrumented() -> bool {
    imp::is_instrumented()
}
