//! The process of one title: runs it on a thread, and watches it from the main thread.

use crate::picture::Focus;
use crate::process::{DRAWN, LINE_BREAK, SEALED, TITLE_VARIABLE};
use crate::{Title, lines, operations, page, picture, seeds, simulation, threads};
use backtrace::Backtrace;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How often the watch looks for deadlocks.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often it counts the threads, when asked to.
const COUNT_INTERVAL: Duration = Duration::from_millis(5);

/// How long threads may take to end after the title has cleaned up: they may be sleeping for an election timeout.
pub(crate) const CLEANUP_GRACE: Duration = Duration::from_secs(5);

static PARENT: OnceLock<Parent> = OnceLock::new();
static STARTED: OnceLock<Instant> = OnceLock::new();
static LAST_LINE: Mutex<Option<String>> = Mutex::new(None);
static DESCRIPTION: Mutex<String> = Mutex::new(String::new());
static NAME: OnceLock<&str> = OnceLock::new();
/// Whether a picture is drawn if the title fails.
static DRAWS: OnceLock<bool> = OnceLock::new();

/// When a picture is drawn: never ("0"), when the title fails, or always ("1").
pub(crate) const PICTURE_VARIABLE: &str = "LAB_PICTURE";

/// Prints a title's first line, as the Go lab does: "Test: one client (3A) ...".
pub fn begin(description: &str) {
    *lock(&DESCRIPTION) = description.to_string();
    println!("{description} ...");
}

/// Sets a title's last line, such as "  ... Passed --  15.1  5  4653  126". It is printed when the title has returned
/// and left no thread behind.
pub fn passed(line: String) {
    *lock(&LAST_LINE) = Some(line);
}

pub(crate) fn run(limit: Duration, titles: &[Title], name: &str) -> ExitCode {
    let Some(&(name, title)) = titles.iter().find(|(n, _)| *n == name) else {
        eprintln!("{} names no title of this binary: {name}", TITLE_VARIABLE);
        return ExitCode::from(2);
    };
    STARTED.get_or_init(Instant::now);
    NAME.get_or_init(|| name);
    let sealed = meet_parent();
    std::panic::set_hook(Box::new(fail_by_panic));
    let wanted = std::env::var(PICTURE_VARIABLE).unwrap_or_default();
    // A grader keeps no pictures, and wants nothing to run beside the title.
    let draws = *DRAWS.get_or_init(|| !sealed && wanted != "0");
    let seed = simulation::run(limit, (name, title));
    let peak = if seed.is_none() { run_in_real_time(limit, (name, title), draws) } else { None };
    let line = lock(&LAST_LINE).take().unwrap_or_default();
    match seed {
        _ if line.is_empty() => {}
        Some(seed) => println!("{line}  (virtual time, seed {seed})"),
        None => println!("{line}"),
    }
    if let Some(peak) = peak {
        println!("  peak: {} threads", peak.highest());
    }
    if draws && wanted == "1" {
        draw(None, &line);
    }
    report(|token| format!("passed {token} {line}"));
    ExitCode::SUCCESS
}

fn run_in_real_time(limit: Duration, (name, title): Title, observed: bool) -> Option<threads::Peak> {
    if observed {
        picture::start();
    }
    lines::start(observed);
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
    peak
}

/// Where the verdict goes.
struct Parent {
    /// The other end of standard input. Nothing that is written to it can be read in this process again: it is a pair of
    /// sockets, not a pipe that /proc/self/fd would open a second time.
    channel: UnixStream,
    /// What only the harness knows. It leaves this process only when the title has passed: a failure needs no proof, so
    /// that there is never one to be stolen.
    token: String,
}

/// Reads the token, before any code under test runs. From then on, the end of standard input says that the parent is
/// gone; then so is our reason to be. Tells whether the parent wants the memory sealed, as graders do.
fn meet_parent() -> bool {
    let stranger = || -> ! {
        eprintln!("{TITLE_VARIABLE} is for the test binary's own use");
        std::process::exit(2);
    };
    let mut line = String::new();
    let Ok(1..) = std::io::stdin().lock().read_line(&mut line) else { stranger() };
    let mut words = line.split_whitespace();
    let (token, seal) = (words.next().unwrap_or_default().to_string(), words.next() == Some(SEALED));
    if seal {
        close_memory();
    }
    let Ok(channel) = std::io::stdin().as_fd().try_clone_to_owned() else { stranger() };
    PARENT.get_or_init(|| Parent { channel: channel.into(), token });
    let (runs, started) = std::sync::mpsc::channel();
    let watch = std::thread::Builder::new().name("titles-parent".to_string()).spawn(move || {
        let _ = runs.send(());
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
    watch.unwrap_or_else(|e| fail(&format!("cannot start a thread: {e}. {}", labrpc::thread_census())));
    // std notes each thread in a table of its own. Nothing that is real may change it during a simulation.
    let _ = started.recv();
    seal
}

/// Keeps /proc/self/mem, and every other process of the same user, from reading the token in this process's memory.
/// Root's processes are not kept.
fn close_memory() {
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        fail(&format!("cannot keep others from reading this process's memory: {e}"));
    }
}

pub(crate) fn watch(limit: Duration) {
    if let Some(deadlock) = threads::deadlock() {
        fail(&format!(
            "deadlock: these threads wait for each other's locks\n{deadlock}{}",
            operations::report()
        ));
    }
    if elapsed() > limit {
        if let Some(oldest) = operations::oldest_pending() {
            picture::touch(Focus::Operation(oldest));
        }
        fail(&format!(
            "test took longer than {} seconds\n{}{}",
            limit.as_secs(),
            operations::report(),
            threads::report()
        ));
    }
}

/// Since the title began. In a simulation this is its own time, and asking does not count as a look at the clock.
pub fn elapsed() -> Duration {
    if let Some(time) = sim::elapsed() {
        return time;
    }
    STARTED.get().map_or(Duration::ZERO, Instant::elapsed)
}

/// The panic hook: a panic on any thread fails the title.
fn fail_by_panic(info: &PanicHookInfo<'_>) {
    if picture::is_observer() {
        return;
    }
    let thread = thread_name().unwrap_or_else(|| "without a name".to_string());
    let text = info.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("(a panic without a message)");
    let place = info.location().map_or(String::new(), |l| format!("\n  at {}:{}", l.file(), l.line()));
    fail(&format!("thread \"{thread}\": {message}{place}\n{}", threads::lines_of_the_lab(&Backtrace::new())));
}

/// What the calling thread does, or at least its name.
pub(crate) fn thread_name() -> Option<String> {
    labrpc::current_task()
        .map(|task| task.to_string())
        .or_else(|| std::thread::current().name().map(str::to_string))
}

/// Ends this process with the title failed. The first failure counts; a second thread that fails stops here.
pub(crate) fn fail(message: &str) -> ! {
    sim::flush_trace();
    // A simulation stands still from here on.
    sim::outside(|| end_failed(message.trim_end()))
}

fn end_failed(message: &str) -> ! {
    static FIRST: Mutex<()> = Mutex::new(());
    std::mem::forget(lock(&FIRST));
    let at = elapsed();
    say(&format!("  ... FAILED after {:.1} s -- {message}\n", at.as_secs_f64()));
    report(|_| format!("failed {}", one_line(message)));
    // The verdict is out: whatever becomes of the picture, it stands.
    if DRAWS.get() == Some(&true) {
        draw(Some(at), message);
    }
    std::process::exit(1);
}

/// Writes to standard error, but not through std's: in a simulation another thread may hold its lock, and wait.
fn say(text: &str) {
    // As with eprintln, but for the panic: without standard error there is nobody to be told.
    if let Ok(stderr) = stderr() {
        let _ = (&stderr).write_all(text.as_bytes());
    }
}

/// Standard error without std's lock.
pub(crate) fn stderr() -> std::io::Result<File> {
    std::io::stderr().as_fd().try_clone_to_owned().map(File::from)
}

/// Writes the picture and the log, and says where they are.
fn draw(failed: Option<Duration>, message: &str) {
    let focus = failed.and_then(|_| picture::focus());
    let name = NAME.get().copied().unwrap_or_default();
    let title = page::Title {
        name,
        description: &lock(&DESCRIPTION).clone(),
        failed,
        at: failed.unwrap_or_else(elapsed),
        message,
        focus,
        simulation: simulation::settings().map(|settings| page::Simulation {
            seed: settings.seed,
            replay: seeds::command(settings.strategy, name, settings.seed),
        }),
    };
    let drawn = match page::write(&title) {
        Ok([log, picture]) => format!("  log: {}\n  picture: {}", log.display(), picture.display()),
        Err(e) => format!("  no picture: {e}"),
    };
    if failed.is_some() {
        say(&format!("{drawn}\n"));
    } else {
        println!("{drawn}");
    }
    report(|_| format!("{DRAWN} {}", one_line(&drawn)));
}

fn one_line(text: &str) -> String {
    text.replace('\n', &LINE_BREAK.to_string())
}

/// Tells the parent how the title ended.
fn report(verdict: impl FnOnce(&str) -> String) {
    // Without a parent that reads, nobody is there to be told.
    if let Some(parent) = PARENT.get() {
        let _ = (&parent.channel).write_all(format!("{}\n", verdict(&parent.token)).as_bytes());
    }
}

/// The harness's locks are held for a moment, by code that does not panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
