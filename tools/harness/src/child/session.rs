//! The child's connection to its parent: receives the order, and reports how the test ended.

use super::peak;
use crate::protocol::{self, Drawing, Pictures, Report, Start};
use crate::record::{self, Focus};
use crate::report::{self, Outcome, Replay, Story};
use lines::PassedLine;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

static SESSION: OnceLock<Session> = OnceLock::new();

/// The test's last line. Once it is set, the test has passed all its checks.
static LAST_LINE: Mutex<Option<PassedLine>> = Mutex::new(None);

struct Session {
    start: Start,
    /// A copy of standard input, which is the child's end of the sockets, to write to. This process cannot read back
    /// what it writes there: a socket, unlike a pipe, cannot be opened a second time in /proc/self/fd.
    channel: UnixStream,
    /// Locked by the first thread that fails, and never unlocked.
    failing: Mutex<()>,
}

/// Why there is no session.
pub(super) enum NoSession {
    /// Standard input does not come from a parent.
    NoParent,
    /// Other processes could read this process's memory.
    OpenMemory(std::io::Error),
    /// A thread could not be started.
    NoThread(std::io::Error),
}

/// Reads the parent's order, with the token, before any code under test runs. The token leaves this process only when
/// the test has passed: a failure needs no proof. Also starts a thread that ends this process when standard input
/// ends: the parent is gone then.
pub(super) fn begin() -> Result<&'static Start, NoSession> {
    let start: Start = protocol::receive(&mut std::io::stdin().lock()).ok_or(NoSession::NoParent)?;
    if start.sealed {
        close_memory().map_err(NoSession::OpenMemory)?;
    }
    let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| NoSession::NoParent)?;
    let session = Session { start, channel: channel.into(), failing: Mutex::new(()) };
    let session = SESSION.get_or_init(|| session);
    let (runs, started) = std::sync::mpsc::channel();
    let watch = std::thread::Builder::new().name("harness-parent".to_string()).spawn(move || {
        let _ = runs.send(());
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
    watch.map_err(NoSession::NoThread)?;
    // Wait until the thread runs: std notes each new thread in a table, and no real thread may change that table
    // during a simulation.
    let _ = started.recv();
    Ok(&session.start)
}

/// Keeps /proc/self/mem, and every other process of the same user, from reading the token in this process's memory.
/// Processes of root can still read it.
fn close_memory() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// What the parent wants. None before [`begin`].
pub(super) fn start() -> Option<&'static Start> {
    SESSION.get().map(|session| &session.start)
}

/// Whether a picture is drawn if the test fails. When a test is graded, no picture is kept, and no observer runs
/// beside the test.
pub(super) fn draws(start: &Start) -> bool {
    !start.sealed && start.pictures != Pictures::Never
}

/// Sets the test's last line.
pub(super) fn set_last_line(line: PassedLine) {
    *last_line() = Some(line);
}

/// Whether the test has set its last line: it has passed all its checks, and only cleans up.
pub(super) fn has_last_line() -> bool {
    last_line().is_some()
}

fn last_line() -> MutexGuard<'static, Option<PassedLine>> {
    LAST_LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the parent that nothing can fail the test any more.
pub(super) fn announce_pass() {
    if let Some(start) = start() {
        tell(&Report::Returned { token: start.token.clone(), line: *last_line() });
    }
}

/// Prints the test's last line, with `time` at its end, how many threads there were at most if that is wanted, and these
/// warnings, and tells the parent that the test has passed.
pub(super) fn conclude(time: &str, warnings: &[String]) {
    let line = last_line().take();
    if let Some(line) = line {
        print(&format!("{line}{time}\n"));
    }
    print_peak();
    for warning in warnings {
        print(&format!("warning: {warning}\n"));
        remark(warning);
    }
    pass(line);
}

/// Prints how many threads there were at most, if that is wanted.
fn print_peak() {
    if start().is_some_and(|start| start.counts_threads) {
        print(&format!("  peak: {} threads\n", peak::peak()));
    }
}

/// Tells the parent that the test has passed.
fn pass(line: Option<PassedLine>) {
    let Some(start) = start() else { return };
    if draws(start) && start.pictures == Pictures::Always {
        let message = line.map_or(String::new(), |line| line.to_string());
        let story = Story { events: Vec::new(), left_out: 0 };
        print(&format!("{}\n", draw(start, false, record::elapsed(), &message, None, &story)));
    }
    // The parent may kill this process once it has the verdict, so everything is printed by now.
    tell(&Report::Passed { token: start.token.clone(), line });
}

/// Tells the parent something that does not fail the test.
pub(super) fn remark(text: &str) {
    tell(&Report::Remark { text: text.to_string() });
}

/// The right to fail the test.
pub(super) struct Claim {
    /// When the failure was noticed.
    at: Duration,
    focus: Option<Focus>,
}

/// Claims the right to fail the test. Only the first failure counts; a second thread that fails stops here. `server`: the
/// server that the calling thread works for, if any. In a simulation, call this within [`sim::outside`].
pub(super) fn claim(server: Option<usize>) -> Claim {
    if let Some(session) = SESSION.get() {
        std::mem::forget(session.failing.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Claim { at: record::elapsed(), focus: record::focus(server) }
}

/// Tells the parent why the test will fail: it may be killed while it looks for the lines of a backtrace.
pub(super) fn announce(_: &Claim, message: &str) {
    tell(&Report::Panicked { message: message.to_string() });
}

/// Fails the test and ends this process. In a simulation, call this within [`sim::outside`].
pub(super) fn fail(Claim { at, focus }: Claim, message: &str) -> ! {
    let message = message.trim_end();
    let shortage = labrpc::shortage().map_or(String::new(), |shortage| format!("\n{shortage}"));
    let property = record::violated().map_or(String::new(), |property| format!("\nThis breaks {property}."));
    let message = &format!("{message}{shortage}{property}");
    let story = report::story(at, focus);
    let told = format!("{message}{}", report::list(&story));
    say(&format!("  ... FAILED after {:.1} s -- {told}\n", at.as_secs_f64()));
    print_peak();
    tell(&Report::Failed { message: told });
    // The parent has the verdict: an error in drawing the picture cannot change it.
    if let Some(start) = start().filter(|start| draws(start)) {
        let drawing = draw(start, true, at, message, focus, &story);
        say(&format!("{drawing}\n"));
    }
    std::process::exit(1);
}

/// Writes the picture and the log, and tells the parent where they are.
fn draw(
    start: &Start,
    has_failed: bool,
    at: Duration,
    message: &str,
    focus: Option<Focus>,
    story: &Story,
) -> Drawing {
    let simulation = start.simulation.as_ref().and_then(|simulation| {
        Some(Replay { seed: simulation.seed, command: simulation.replay.as_deref()? })
    });
    let drawn =
        report::draw(&Outcome { test: &start.test, has_failed, at, message, focus, story, simulation });
    let drawing = match drawn {
        Ok(files) => Drawing::Drawn {
            log: files.log.display().to_string(),
            picture: files.picture.display().to_string(),
        },
        Err(e) => Drawing::NotDrawn { why: e.to_string() },
    };
    tell(&Report::Picture(drawing.clone()));
    drawing
}

/// Sends the parent a report. Ignores an error: it means that the parent is gone.
fn tell(report: &Report) {
    if let Some(session) = SESSION.get()
        && let Ok(line) = report.encode()
    {
        let _ = (&session.channel).write_all(&line);
    }
}

/// Writes to standard output without std's lock: a thread that the test has left may hold that lock for ever. What it has
/// begun to write, and has not ended with a new line, comes later or never.
pub(super) fn print(text: &str) {
    // Ignore the error: it means that nobody reads the output any more.
    if let Ok(stdout) = std::io::stdout().as_fd().try_clone_to_owned() {
        let _ = File::from(stdout).write_all(text.as_bytes());
    }
}

/// Writes to standard error without std's lock: in a simulation another thread may hold that lock, and wait.
pub(super) fn say(text: &str) {
    // Ignore the error: without standard error, nobody could read a message about it.
    if let Ok(stderr) = stderr() {
        let _ = (&stderr).write_all(text.as_bytes());
    }
}

/// Standard error without std's lock.
pub(super) fn stderr() -> std::io::Result<File> {
    std::io::stderr().as_fd().try_clone_to_owned().map(File::from)
}
