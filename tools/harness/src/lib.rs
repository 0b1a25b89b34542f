//! Runs the lab's titles ("Test: one client (3A)"): each in a process of its own, one at a time, in the Go lab's
//! order and output format, and under watch.
//!
//! A test binary with `harness = false` calls [`run`] with its titles. The binary then behaves as any Rust test binary
//! (`--list`, `--exact`, filters, cargo-nextest), and runs each title in a child of itself, so that a title that
//! fails, hangs or crashes cannot touch the next.
//!
//! A title fails at once, with a message that names the thread, when any thread panics, when threads are deadlocked on
//! parking_lot's locks, when it takes longer than [`LIMIT`], or when a thread is left once it has cleaned up. It
//! passes when it has returned and none of that happened; what the code under test prints, or its exit code, cannot
//! make it pass.
//!
//! What a title calls:
//! - [`begin`] prints its first line, [`passed`] sets its second, which is printed once it has really passed;
//! - [`spawn`] runs something beside the title's own thread;
//! - [`operation`] notes what is being done, for the report of a title that hangs, and for the picture.
//!
//! A title fails by panicking, on any thread. Then a [`picture`] of it is drawn, and its log is kept, in `target/pictures`.
//!
//! A program that judges other people's solutions runs single titles of a test binary with [`run_title`], in simulation
//! too ([`simulate`], [`fresh_seed`], [`replay`]).
//!
//! `RUST_LOG=debug` prints what the servers log (their `dprintf!`); `LAB_PICTURE=1` draws a picture of a title that passes
//! too, and `LAB_PICTURE=0` none; `LAB_PEAK_THREADS=1` prints how many threads a title's process had at its peak.
#![forbid(unsafe_code)]

mod child;
mod lines;
mod operations;
mod page;
mod parent;
pub mod picture;
mod process;
mod ring;
mod seeds;
mod simulation;
mod tasks;
mod threads;

pub use child::{begin, elapsed, passed};
pub use operations::{Operation, excerpt, operation};
pub use process::{FOLDER_VARIABLE, Trust, run_title};
pub use seeds::{fresh as fresh_seed, replay};
pub use simulation::{latency, simulate};
pub use tasks::{Task, spawn};

use std::process::ExitCode;
use std::time::Duration;

/// How long a title may take, in real time (`checkTimeout` in the Go lab's config.go).
pub const LIMIT: Duration = Duration::from_secs(120);

/// Whether titles can be simulated: the simulator is for x86-64 Linux.
pub const CAN_SIMULATE: bool = sim::SUPPORTED;

/// A title: the name of its test function, and the function.
pub type Title = (&'static str, fn());

/// The `main` of a test binary: runs the titles that the command line asks for.
pub fn run(titles: &'static [Title]) -> ExitCode {
    run_within(LIMIT, titles)
}

/// As [`run`], with another limit for each title.
pub fn run_within(limit: Duration, titles: &'static [Title]) -> ExitCode {
    match std::env::var(process::TITLE_VARIABLE) {
        Ok(name) => child::run(limit, titles, &name),
        Err(_) => parent::run(limit, titles),
    }
}
