//! The process of one test: runs the test on a thread, and watches it from the main thread, or as a simulation.

mod hang;
mod leftovers;
mod logger;
mod messages;
mod observer;
mod pauses;
mod peak;
mod session;
mod simulation;
mod tasks;
mod threads;
mod watch;

pub use leftovers::WORDS as THREADS_ARE_LEFT;
pub use observer::observe;
pub use pauses::{calm, pause_server, pause_thread};
pub use peak::busy_threads;
pub use simulation::{latency, scenario};
pub use tasks::{Task, spawn, spawn_client};
pub use watch::fail;

use crate::protocol::{CHILD_VARIABLE, Start};
use crate::record;
use crate::test::Test;
use lines::PassedLine;
use session::NoSession;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often the threads are counted, if `LAB_PEAK_THREADS` asks for it.
const COUNT_INTERVAL: Duration = Duration::from_millis(5);

/// Prints a test's first line, as the Go lab does: "Test: one client (3A) ...".
pub fn begin(title: &str) {
    record::set_title(title);
    println!("{title} ...");
}

/// Sets a test's last line. It is printed when the test has returned. From now on, nothing but the test's own thread can fail
/// the test, unless the test is strict.
pub fn passed(line: PassedLine) {
    session::set_last_line(line);
}

/// Notes something that does not fail the test, and that whoever judges it should know: prints it as a warning, and gives it
/// to the caller of [`run_test`](crate::run_test).
pub fn remark(text: &str) {
    session::print(&format!("warning: {text}\n"));
    session::remark(text);
}

/// Runs the test that the parent wants.
pub(crate) fn run(limit: Duration, tests: &[Test]) -> ExitCode {
    record::start_clock();
    let start = match session::begin() {
        Ok(start) => start,
        Err(NoSession::NoParent) => {
            eprintln!("{CHILD_VARIABLE} is for the test binary's own use");
            return ExitCode::from(2);
        }
        Err(NoSession::OpenMemory(e)) => {
            fail(&format!("cannot keep others from reading this process's memory: {e}"))
        }
        Err(NoSession::NoThread(e)) => watch::fail_to_start(&e),
    };
    let Some(&test) = tests.iter().find(|(name, _)| *name == start.test) else {
        eprintln!("this binary has no test {:?}", start.test);
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(watch::fail_by_panic));
    let (time, warnings) = match &start.simulation {
        Some(settings) => {
            let warning = simulation::run(limit, test, settings);
            (simulation::time(settings), warning.into_iter().collect())
        }
        None => (String::new(), run_in_real_time(limit, test, start)),
    };
    session::conclude(&time, &warnings);
    ExitCode::SUCCESS
}

/// Runs the test. Returns warnings.
fn run_in_real_time(limit: Duration, (name, test): Test, start: &Start) -> Vec<String> {
    let is_observed = session::draws(start);
    if is_observed {
        record::start();
        messages::start();
        observer::start();
    }
    logger::install(is_observed);
    let own = leftovers::Own::now();
    crate::limits::threads_of_the_pool().into_iter().for_each(labrpc::limit_threads);

    let (done, finished) = channel();
    let thread = std::thread::Builder::new().name(name.to_string()).spawn(move || {
        threads::as_test(test);
        // Ignore the error: the receiver exists, because the main thread waits for this message.
        let _ = done.send(());
    });
    let thread = thread.unwrap_or_else(|e| watch::fail_to_start(&e));
    let interval = if start.counts_threads { COUNT_INTERVAL } else { watch::INTERVAL };
    while finished.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        if start.counts_threads {
            peak::count();
        }
        watch::look(limit);
    }
    watch::look(limit);
    if thread.join().is_err() {
        fail("the test's thread ended without a result");
    }
    let shortage = labrpc::shortage().map(|shortage| shortage.to_string());
    shortage.into_iter().chain(watch::wait_for_the_others(&own)).collect()
}
