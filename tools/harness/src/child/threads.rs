//! The threads of a test's process: names them, lists and counts them, says where they are, and finds deadlocks.
//!
//! labrpc knows the threads it started. The others are found in /proc, on Linux only.

use super::session;
use backtrace::Backtrace;
use labrpc::TaskName;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
    static IS_TEST: Cell<bool> = const { Cell::new(false) };
}

/// What the calling thread does if it runs one of labrpc's tasks; otherwise its name.
pub(super) fn name() -> Option<String> {
    let task = labrpc::current_task().map(|task| task.to_string());
    task.or_else(|| std::thread::current().name().map(str::to_string))
}

/// The server that the calling thread works for.
pub(super) fn server() -> Option<usize> {
    labrpc::current_task().as_ref().and_then(TaskName::server)
}

/// Runs `f` with the calling thread marked as a client's.
pub(super) fn as_client<T>(f: impl FnOnce() -> T) -> T {
    IS_CLIENT.set(true);
    let result = f();
    IS_CLIENT.set(false);
    result
}

/// Runs `test` with the calling thread marked as the test's own.
pub(super) fn as_test(test: fn()) {
    IS_TEST.set(true);
    test();
    IS_TEST.set(false);
}

/// Whether the calling thread is the test's own.
pub(super) fn is_test() -> bool {
    IS_TEST.get()
}

/// Whether the calling thread is a client's.
pub(super) fn is_client() -> bool {
    IS_CLIENT.get()
}

/// Threads that wait for each other's locks.
pub(super) struct Deadlock {
    /// The threads, and where in the lab's code they wait.
    pub(super) text: String,
    /// The first server with such a thread.
    pub(super) server: Option<usize>,
}

/// The threads that wait for each other's parking_lot locks; None when there are none.
pub(super) fn deadlock() -> Option<Deadlock> {
    let deadlocks = parking_lot::deadlock::check_deadlock();
    if deadlocks.is_empty() {
        return None;
    }
    let tasks = labrpc::running();
    let mut threads: Vec<_> = (deadlocks.iter().flatten())
        .map(|thread| {
            let task = tasks.iter().find(|task| task.thread == Some(thread.thread_id()));
            let name = task.map_or_else(|| format!("{:?}", thread.thread_id()), |task| task.name.to_string());
            (name, task.and_then(|task| task.name.server()), thread)
        })
        .collect();
    // parking_lot's order is that of addresses, which differ from run to run.
    threads.sort_by(|a, b| a.0.cmp(&b.0));
    let server = threads.iter().find_map(|(_, server, _)| *server);
    let mut text = String::new();
    for (name, _, thread) in threads {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread \"{name}\" waits for a lock at");
        text += &lines_of_the_lab(thread.backtrace());
    }
    Some(Deadlock { text, server })
}

/// Where the workspace was when this crate was compiled.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"))
}

/// The places of a backtrace that lie in the lab's files. Leaves out libraries, this harness, the simulator and
/// labrpc's thread pool: they help nobody to find a bug.
pub(super) fn lines_of_the_lab(backtrace: &Backtrace) -> String {
    let symbols = backtrace.frames().iter().flat_map(|frame| frame.symbols());
    lines(symbols.filter_map(|symbol| {
        let name = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
        Some((symbol.filename()?, symbol.lineno()?, name))
    }))
}

/// The same for places that the simulator found.
pub(super) fn places_of_the_lab(places: &[sim::Place]) -> String {
    lines(places.iter().map(|place| (place.file.as_path(), place.line, place.function.clone())))
}

/// Where the workspace of the code under test was when that code was compiled.
fn lab() -> PathBuf {
    session::start().and_then(|start| start.workspace.clone()).unwrap_or(here().to_path_buf())
}

/// The path as seen from the workspace.
pub(super) fn short(file: &Path) -> String {
    file.strip_prefix(lab()).unwrap_or(file).display().to_string()
}

/// What a thread does, and at which line of the lab: the first one that is not labrpc's.
pub(super) struct Stand {
    pub(super) wait: Wait,
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) function: String,
}

/// What a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The reply of an RPC.
    Reply,
    /// A mutex, or another lock.
    Lock,
    /// A channel that takes what it sends.
    Send,
    /// Anything else, in words: "sleeps".
    Other(&'static str),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Reply => "waits for the reply of an RPC",
            Wait::Lock => "waits for a lock",
            Wait::Send => "waits until a channel takes what it sends",
            Wait::Other(what) => what,
        })
    }
}

impl fmt::Display for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stand { wait, file, line, function } = self;
        write!(f, "{wait} at {file}:{line} {function}")
    }
}

/// What a thread with this backtrace does, and where. None: it has no line of the lab.
pub(super) fn stand_in_the_lab(places: &[sim::Place]) -> Option<Stand> {
    let lab = lab();
    let is_anyones = |file: &Path| {
        let file = file.strip_prefix(&lab).ok()?;
        let others = ["labrpc/src", "tools/harness/src", "tools/sim/src", "vendor"];
        (!others.iter().any(|place| file.starts_with(place))).then(|| file.display().to_string())
    };
    let (i, file) = places.iter().enumerate().find_map(|(i, place)| Some((i, is_anyones(&place.file)?)))?;
    let sim::Place { line, function, .. } = &places[i];
    Some(Stand { wait: wait(&places[..i]), file, line: *line, function: function.clone() })
}

/// The lock that is taken in a line of the lab, as the line names it: `self.state`. None: the line cannot be read, or it names
/// none.
pub(super) fn lock_at(file: &str, line: u32) -> Option<String> {
    let text = std::fs::read_to_string(lab().join(file)).ok()?;
    let line = text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let end = line.find(".lock()").or_else(|| line.find(".write()")).or_else(|| line.find(".read()"))?;
    let is_name = |c: char| c.is_alphanumeric() || "_.[]()".contains(c);
    let begin = line[..end].rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
    // After a bracket that is not closed, such as that of a call.
    let name = line.get(begin..end)?.rsplit('(').next()?;
    (!name.is_empty() && !name.contains(')')).then(|| name.to_string())
}

/// What a thread does in these calls.
fn wait(calls: &[sim::Place]) -> Wait {
    // A word of a call's file and one of its function, and what the call does. The first that fits counts: a call of the
    // network waits with a condition, and a channel with a lock.
    const CALLS: [(&str, &str, Wait); 13] = [
        ("labrpc/src/client_end", "", Wait::Reply),
        ("labrpc/src/network", "cleanup", Wait::Other("waits for the network's end")),
        ("crossbeam-channel", "select", Wait::Other("waits in a select")),
        ("crossbeam-channel", "send", Wait::Send),
        ("crossbeam-channel", "recv", Wait::Other("waits for a message of a channel")),
        ("mpmc", "send", Wait::Send),
        ("mpmc", "recv", Wait::Other("waits for a message of a channel")),
        ("condvar", "", Wait::Other("waits for a condition")),
        ("mutex", "", Wait::Lock),
        ("rwlock", "", Wait::Lock),
        ("thread", "join", Wait::Other("waits for a thread's end")),
        ("", "sleep", Wait::Other("sleeps")),
        ("", "park", Wait::Other("is parked")),
    ];
    let is_in = |file: &str, function: &str| {
        let is_it = |call: &sim::Place| {
            call.file.to_string_lossy().contains(file) && call.function.contains(function)
        };
        calls.iter().any(is_it)
    };
    let found = CALLS.iter().find(|(file, function, _)| is_in(file, function));
    found.map_or(Wait::Other(if calls.is_empty() { "runs" } else { "waits" }), |(_, _, wait)| *wait)
}

fn lines<'a>(places: impl Iterator<Item = (&'a Path, u32, String)>) -> String {
    let lab = lab();
    let mut text = String::new();
    for (file, line, name) in places {
        let Ok(file) = file.strip_prefix(&lab) else { continue };
        let harness = ["tools/harness/src", "tools/sim/src", "labrpc/src/pool.rs"];
        if !harness.iter().any(|place| file.starts_with(place)) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "    {}:{line} {name}", file.display());
        }
    }
    if text.is_empty() {
        "    (no line of the lab; or the binary has no line tables)\n".to_string()
    } else {
        text
    }
}

/// The ids and names of the threads of this process; empty where there is no /proc.
pub(super) fn all() -> Vec<(usize, String)> {
    // In a simulation the system may list a thread that has ended in virtual time, or miss one that has started.
    if let Some(threads) = sim::threads() {
        return threads;
    }
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    (tasks.flatten())
        .filter_map(|task| {
            // The name of a thread that has just ended cannot be read.
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            Some((task.file_name().to_str()?.parse().ok()?, name.trim().to_string()))
        })
        .collect()
}
