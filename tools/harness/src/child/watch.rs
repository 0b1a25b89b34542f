//! Watches the test: fails it when a thread panics, hangs, deadlocks or is left behind.

use super::{observer, session, threads};
use crate::record::{self, Focus};
use crate::report;
use backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often to look for deadlocks, and whether the time limit has passed.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// How long threads may take to end after the test has cleaned up: they may be sleeping for an election timeout.
const CLEANUP_GRACE: Duration = Duration::from_secs(5);

/// Whether threads that are left behind fail the test.
static TOLERATES_LEFTOVERS: AtomicBool = AtomicBool::new(false);

/// From now on, threads that are left when the test ends do not fail the test. They are printed as a warning.
pub fn tolerate_leftover_threads() {
    TOLERATES_LEFTOVERS.store(true, Ordering::Relaxed);
}

/// Fails the test with this message, and ends this process. A panic does the same, and adds the thread and its lines.
pub fn fail(message: &str) -> ! {
    sim::flush_trace();
    // Virtual time stands still from here on.
    sim::outside(|| session::fail(message, threads::server()))
}

/// The same, for a failure that is about a server.
fn fail_about(server: Option<usize>, message: &str) -> ! {
    sim::flush_trace();
    sim::outside(|| session::fail(message, server))
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
    let place = info.location().map_or(String::new(), |l| format!("\n  at {}:{}", l.file(), l.line()));
    fail(&format!("thread \"{thread}\": {message}{place}\n{}", threads::lines_of_the_lab(&Backtrace::new())));
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
            record::touch(Focus::Operation(oldest));
        }
        fail(&format!(
            "test took longer than {} seconds\n{}{}",
            limit.as_secs(),
            report::operations(),
            threads::report()
        ));
    }
}

/// Waits for the test's threads to end or to return to labrpc's pool; fails the test if some do not.
pub(super) fn wait_for_the_others(own: &threads::Own) {
    let left = own.wait_for_the_others(CLEANUP_GRACE);
    let Some(first) = left.first() else { return };
    let names: Vec<String> = left.iter().map(ToString::to_string).collect();
    let count =
        if left.len() == 1 { "1 thread is".to_string() } else { format!("{} threads are", left.len()) };
    let message = format!(
        "{count} left {} s after all servers were killed and the network was cleaned up:\n  {}\n\
         Each thread that a server starts must end soon after its kill().",
        CLEANUP_GRACE.as_secs(),
        names.join("\n  ")
    );
    if TOLERATES_LEFTOVERS.load(Ordering::Relaxed) {
        session::print(&format!("warning: {message}\n"));
    } else {
        fail_about(first.server(), &message);
    }
}
