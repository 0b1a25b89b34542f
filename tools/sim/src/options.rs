//! The settings of a simulation, and its result.

use crate::strategy::Strategy;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a simulation.
pub struct Options {
    /// Determines every choice of the scheduler and every random number that the program draws.
    pub seed: u64,
    /// How the scheduler chooses.
    pub strategy: Strategy,
    /// The file that the trace is written to.
    pub trace: Option<File>,
    /// How the simulation switches threads. This changes nothing in the run.
    pub switcher: Switcher,
    /// The functions that the simulator calls.
    pub hooks: Hooks,
}

/// How a simulation switches from one thread to another. The same seed gives the same run with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Switcher {
    /// All simulated threads run on one kernel thread. A switch exchanges registers. This is the default. Where it does
    /// not work, the simulation uses [`Switcher::Kernel`].
    #[default]
    Registers,
    /// Each simulated thread runs on a kernel thread of its own, so that debuggers see all of them. A switch wakes one
    /// kernel thread and puts another to sleep, which takes much longer.
    Kernel,
}

/// Functions that the simulator calls.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Describes what the calling thread does. None: the thread's name is used.
    pub describe: fn() -> Option<String>,
    /// Ends the process with this message, because the simulation cannot go on.
    pub fail: fn(&str) -> !,
    /// Writes a backtrace: a line of text for each place that the reader should see.
    pub places: fn(&[Place]) -> String,
}

/// One line of a backtrace.
pub struct Place {
    /// The file, by the path that the compiler was given.
    pub file: PathBuf,
    /// The line in the file.
    pub line: u32,
    /// The function.
    pub function: String,
}

/// How a simulation ended.
#[derive(Debug)]
pub struct Outcome {
    /// How long it took on the virtual clock.
    pub elapsed: Duration,
    /// How many times the scheduler chose a thread.
    pub steps: u64,
    /// A hash of which thread ran when. Two different runs almost certainly have different fingerprints.
    pub fingerprint: u64,
    /// The threads that had not ended.
    pub left: Vec<String>,
}
