//! The process of one title: runs it on a thread, and watches it from the main thread.

use crate::parent::LINE_BREAK;
use crate::{Title, operations, threads};
use backtrace::Backtrace;
use std::io::{BufRead, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How often the watch looks for deadlocks.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often it counts the threads, when asked to.
const COUNT_INTERVAL: Duration = Duration::from_millis(5);

/// How long threads may take to end after the title has cleaned up: they may be sleeping for an election timeout.
const CLEANUP_GRACE: Duration = Duration::from_secs(5);

/// The word that begins the report to the parent.
static TOKEN: OnceLock<String> = OnceLock::new();
static STARTED: OnceLock<Instant> = OnceLock::new();
static LAST_LINE: Mutex<Option<String>> = Mutex::new(None);

/// Prints a title's first line, as the Go lab does: "Test: one client (3A) ...".
pub fn begin(description: &str) {
    println!("{description} ...");
}

/// Sets a title's last line, such as "  ... Passed --  15.1  5  4653  126". It is printed when the title has returned
/// and left no thread behind.
pub fn passed(line: String) {
    *lock(&LAST_LINE) = Some(line);
}

pub(crate) fn run(limit: Duration, titles: &[Title], name: &str) -> ExitCode {
    let Some(&(name, title)) = titles.iter().find(|(n, _)| *n == name) else {
        eprintln!("{} names no title of this binary: {name}", crate::parent::TITLE_VARIABLE);
        return ExitCode::from(2);
    };
    STARTED.get_or_init(Instant::now);
    meet_parent();
    std::panic::set_hook(Box::new(fail_by_panic));
    // Reads RUST_LOG; silent without it. Each line has the seconds since the title began.
    let line = |out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        writeln!(out, "{:10.6} {}", elapsed().as_secs_f64(), record.args())
    };
    env_logger::builder().format(line).init();
    let own = threads::Own::now();

    let (done, finished) = channel();
    let test = std::thread::Builder::new().name(name.to_string()).spawn(move || {
        title();
        // The main thread waits for this for as long as it lives.
        let _ = done.send(());
    });
    let test = test.unwrap_or_else(|e| {
        fail(&format!("cannot start the title's thread: {e}. {}", labrpc::thread_census()))
    });
    let mut peak = threads::Peak::from_environment();
    let interval = if peak.is_some() { COUNT_INTERVAL } else { WATCH_INTERVAL };
    while finished.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        if let Some(peak) = &mut peak {
            peak.count();
        }
        watch(limit);
    }
    watch(limit);
    if test.join().is_err() {
        fail("the title's thread ended without a result");
    }
    own.wait_for_the_others(CLEANUP_GRACE);
    if let Some(line) = lock(&LAST_LINE).take() {
        println!("{line}");
    }
    if let Some(peak) = peak {
        println!("  peak: {} threads", peak.highest());
    }
    report("passed");
    ExitCode::SUCCESS
}

/// Reads the token. From then on, the end of standard input says that the parent is gone; then so is our reason to be.
fn meet_parent() {
    let mut token = String::new();
    match std::io::stdin().lock().read_line(&mut token) {
        Ok(1..) => TOKEN.get_or_init(|| token.trim().to_string()),
        _ => {
            eprintln!("{} is for the test binary's own use", crate::parent::TITLE_VARIABLE);
            std::process::exit(2);
        }
    };
    let watch = std::thread::Builder::new().name("titles-parent".to_string()).spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
    watch.unwrap_or_else(|e| fail(&format!("cannot start a thread: {e}. {}", labrpc::thread_census())));
}

fn watch(limit: Duration) {
    if let Some(deadlock) = threads::deadlock() {
        fail(&format!(
            "deadlock: these threads wait for each other's locks\n{deadlock}{}",
            operations::report()
        ));
    }
    if elapsed() > limit {
        fail(&format!(
            "test took longer than {} seconds\n{}{}",
            limit.as_secs(),
            operations::report(),
            threads::report()
        ));
    }
}

fn elapsed() -> Duration {
    STARTED.get().map_or(Duration::ZERO, Instant::elapsed)
}

/// The panic hook: a panic on any thread fails the title.
fn fail_by_panic(info: &PanicHookInfo<'_>) {
    let thread = labrpc::current_task()
        .or_else(|| std::thread::current().name().map(str::to_string))
        .unwrap_or_else(|| "without a name".to_string());
    let text = info.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("(a panic without a message)");
    let place = info.location().map_or(String::new(), |l| format!("\n  at {}:{}", l.file(), l.line()));
    fail(&format!("thread \"{thread}\": {message}{place}\n{}", threads::lines_of_the_lab(&Backtrace::new())));
}

/// Ends this process with the title failed. The first failure counts; a second thread that fails stops here.
pub(crate) fn fail(message: &str) -> ! {
    static FIRST: Mutex<()> = Mutex::new(());
    std::mem::forget(lock(&FIRST));
    eprintln!("  ... FAILED after {:.1} s -- {message}", elapsed().as_secs_f64());
    report(&format!("failed {}", message.replace('\n', &LINE_BREAK.to_string())));
    std::process::exit(1);
}

/// Tells the parent how the title ended.
fn report(verdict: &str) {
    let mut stdout = std::io::stdout();
    // Without its token, or without a parent that reads, nobody is there to be told.
    let token = TOKEN.get().map_or("", String::as_str);
    let _ = writeln!(stdout, "{token} {verdict}").and_then(|()| stdout.flush());
}

/// These locks are held for a moment, by code that does not panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
