//! Watches the test: fails it when a thread panics, hangs, deadlocks or is left behind.

use super::leftovers::Own;
use super::{hang, observer, session, threads};
use crate::record::{self, Focus};
use crate::report;
use backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::time::Duration;

/// How often to look for deadlocks, and whether the time limit has passed.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// How long threads may take to end after the test has cleaned up, if threads that are left fail the test: they may be
/// sleeping for an election timeout.
const STRICT_GRACE: Duration = Duration::from_secs(5);

/// The same, if threads that are left are only named in a warning.
const GRACE: Duration = Duration::from_secs(1);

/// The end of the name of a test that fails if threads are left.
const EXTRA: &str = "_extra";

/// Whether the test has passed all its checks, and what its threads still do does not matter.
pub(super) fn is_over() -> bool {
    session::has_last_line() && !is_strict()
}

/// Whether threads that are left behind fail the test.
fn is_strict() -> bool {
    session::start()
        .is_some_and(|start| !start.is_lenient && (start.is_strict || start.test.ends_with(EXTRA)))
}

/// Fails the test with this message, and ends this process. A panic does the same, and adds the thread and its lines.
pub fn fail(message: &str) -> ! {
    sim::flush_trace();
    // Virtual time stands still from here on.
    sim::outside(|| session::fail(session::claim(threads::server()), message))
}

/// The same, for a failure that is about a server.
fn fail_about(server: Option<usize>, message: &str) -> ! {
    sim::flush_trace();
    sim::outside(|| session::fail(session::claim(server), message))
}

/// Fails the test because a thread cannot be started.
pub(super) fn fail_to_start(e: &std::io::Error) -> ! {
    fail(&format!("cannot start a thread: {e}. {}", labrpc::thread_census()))
}

/// The panic hook: a panic on any thread fails the test.
pub(super) fn fail_by_panic(info: &PanicHookInfo<'_>) {
    if observer::is_observer() {
        return;
    }
    let thread = threads::name().unwrap_or_else(|| "without a name".to_string());
    let text = info.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("(a panic without a message)");
    let place = info.location().filter(|l| !threads::is_support(l.file()));
    let place = place.map_or(String::new(), |l| format!("\n  at {}:{}", l.file(), l.line()));
    if is_over() && !threads::is_test() {
        session::say(&format!(
            "warning: after the test had passed, thread \"{thread}\" panicked: {message}{place}\n"
        ));
        // The thread goes no further: the pool ends the process when one of its threads panics.
        loop {
            std::thread::sleep(Duration::MAX);
        }
    }
    // std's words.
    let census =
        if message.starts_with("failed to spawn thread") { labrpc::thread_census() } else { String::new() };
    let said = format!("thread \"{thread}\": {message}{place}\n");
    sim::flush_trace();
    sim::outside(|| {
        // It takes long to find the lines of a backtrace on a busy machine. Until then, no other failure may be the first, and
        // the parent must know of this one.
        let claim = session::claim(threads::server());
        session::announce(&claim, &format!("{said}{census}"));
        let lines = threads::lines_to_look_at(&Backtrace::new());
        session::fail(claim, &format!("{said}{lines}{census}"))
    })
}

/// Fails the test if it is deadlocked or has taken too long.
pub(super) fn look(limit: Duration) {
    if let Some(deadlock) = threads::deadlock() {
        fail_about(
            deadlock.server,
            &format!(
                "deadlock: these threads wait for each other's locks\n{}{}",
                deadlock.text,
                report::operations()
            ),
        );
    }
    if record::elapsed() > limit {
        if let Some(oldest) = record::operations(|operations| operations.oldest_pending()) {
            record::about(Focus::Operation(oldest));
        } else if let Some((server, _)) = record::silent() {
            record::about(Focus::Server(server));
        }
        // Before the threads are asked where they are, which takes a while.
        let operations = report::operations();
        let hang::Report { diagnosis, threads } = hang::report();
        fail(&format!("test took longer than {} seconds\n{diagnosis}{operations}{threads}", limit.as_secs()));
    }
}

/// Waits for the test's threads to end or to return to labrpc's pool. If some do not, fails the test, or returns a warning
/// that names them. The test's function has returned.
pub(super) fn wait_for_the_others(own: &Own) -> Option<String> {
    let is_strict = is_strict();
    if !is_strict {
        sim::outside(session::announce_pass);
    }
    let left = own.wait_for_the_others(if is_strict { STRICT_GRACE } else { GRACE })?;
    if is_strict {
        fail_about(
            left.server,
            &format!("{left}\nEach thread that a server starts must end soon after its kill()."),
        );
    }
    Some(format!("{left}\n  The test has passed: as in Go, the threads of a killed server may stay."))
}
