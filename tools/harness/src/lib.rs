//! Runs the lab's tests ("Test: one client (3A)"): each in a process of its own, one at a time, in the Go lab's order and
//! output format, and under watch.
//!
//! A test binary with `harness = false` calls [`run`] with its tests. The binary then behaves as any Rust test binary
//! (`--list`, `--exact`, several filters, cargo-nextest), and runs each test in a child of itself, so that a test that
//! fails, hangs or crashes cannot touch the next.
//!
//! The functions of the tests have the attribute `#[cfg_attr(rust_analyzer, test)]`. The compiler passes over it.
//! rust-analyzer, which runs in editors, takes it for `#[test]`, and offers to run and to debug each test; it then starts
//! the test binary with the test's name, as cargo-nextest does.
//!
//! The command line may have Go's names (`TestBasic3A`). A filter that matches no test is an error, with exit code 4,
//! unless cargo has started other test binaries with the same filter, and one of those has a test that matches.
//!
//! A test fails at once, with a message that names the thread, when any thread panics, when threads are deadlocked on
//! parking_lot's locks, or when the test takes longer than [`LIMIT`]. The test passes when its function has returned and
//! none of that happened. Neither the output nor the exit code of the code under test can make the test pass.
//!
//! If threads still run after the test has cleaned up, a warning names them, and the test passes as in Go. With
//! `LAB_STRICT=1` they fail the test, and in a test whose name ends in `_extra` they always do.
//!
//! A test that measures time is passed to [`run_with_simulated`]: it is always simulated, because a busy machine does not
//! slow virtual time down.
//!
//! What a test calls:
//! - [`begin`] prints its first line; [`passed`] sets its last line, which is printed once the test has really passed;
//! - [`spawn`] runs something beside the test's own thread, [`spawn_client`] a client;
//! - [`remark`] notes what does not fail the test, and what whoever judges it should know;
//! - [`operation`] notes what a client does, and [`record`] what happens to the servers. Both are for the report of a
//!   test that hangs, and for the picture.
//!
//! A test fails by panicking, on any thread. The harness then draws a picture of the test and keeps its log, both in
//! `target/pictures`.
//!
//! A program that judges other people's solutions runs single tests of a test binary with [`run_test`].
//!
//! `docs/variables.md` lists the environment variables ([`VARIABLES`]). `RUST_LOG=debug` prints what the servers log
//! (their `dprintf!`).
//!
//! # Modules
//!
//! `record` holds what happened. `report` draws it. `protocol` defines what the `parent` (the process that a user starts)
//! and the `child` (the process of one test) say to each other. `environment` reads the environment variables, for the
//! parent alone. `limits` knows how many threads there can be.
#![forbid(unsafe_code)]

mod child;
mod environment;
mod limits;
mod parent;
mod protocol;
pub mod record;
mod report;
mod test;

pub use child::{
    THREADS_ARE_LEFT, Task, begin, busy_threads, calm, fail, latency, observe, passed, pause_server,
    pause_thread, remark, scenario, spawn, spawn_client,
};
pub use environment::{VARIABLES, Variable};
pub use labrpc::OTHERS_HAVE_THEM;
pub use limits::threads_of_user;
pub use lines::PassedLine;
pub use parent::{SimulatedRun, TestFailure, TestPass, TestRun, Trust, fresh_seed, replay, run_test};
pub use protocol::Drawing;
pub use record::{Operation, elapsed, excerpt, operation};
pub use sim::Strategy;
pub use test::Test;

use std::process::ExitCode;
use std::time::Duration;

/// How long a test may take, in real time (`checkTimeout` in the Go lab's config.go).
pub const LIMIT: Duration = Duration::from_secs(120);

/// Whether tests can be simulated: the simulator is for x86-64 and aarch64 Linux with glibc.
pub const CAN_SIMULATE: bool = sim::SUPPORTED;

/// The `main` of a test binary: runs the tests that the command line asks for.
pub fn run(tests: &'static [Test]) -> ExitCode {
    run_within(LIMIT, tests, &[])
}

/// Whether this process runs one test for another process of the same program. [`run`] then does what that process wants.
pub fn is_child() -> bool {
    std::env::var_os(protocol::CHILD_VARIABLE).is_some()
}

/// As [`run`], with more tests: `simulated` are always simulated, even without `LAB_SIM`. They measure time, which only
/// virtual time allows on a busy machine. On a system without simulator they are listed as ignored.
pub fn run_with_simulated(tests: &'static [Test], simulated: &'static [Test]) -> ExitCode {
    run_within(LIMIT, tests, simulated)
}

/// As [`run_with_simulated`], with another limit for each test.
pub fn run_within(limit: Duration, tests: &'static [Test], simulated: &'static [Test]) -> ExitCode {
    if is_child() {
        child::run(limit, &[tests, simulated].concat())
    } else {
        parent::run(limit, tests, simulated)
    }
}
