//! The threads of a test's process: names them, lists and counts them, says where they are, and finds deadlocks.
//!
//! labrpc knows the threads it started. The others are found in /proc, on Linux only.

use super::session;
use backtrace::Backtrace;
use labrpc::TaskName;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::thread::ThreadId;

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
    let name = |id: ThreadId| {
        let task = tasks.iter().find(|task| task.thread == Some(id));
        let name = task.map_or_else(|| format!("{id:?}"), |task| task.name.to_string());
        (name, task.and_then(|task| task.name.server()))
    };
    let mut threads = Vec::new();
    for circle in &deadlocks {
        let names: Vec<_> = circle.iter().map(|thread| name(thread.thread_id())).collect();
        for (i, (thread, (name, server))) in circle.iter().zip(&names).enumerate() {
            let others: Vec<&str> =
                names[..i].iter().chain(&names[i + 1..]).map(|(name, _)| &**name).collect();
            threads.push((name.clone(), *server, of_holder(&others), thread));
        }
    }
    // parking_lot's order is that of addresses, which differ from run to run.
    threads.sort_by(|a, b| a.0.cmp(&b.0));
    let server = threads.iter().find_map(|(_, server, ..)| *server);
    let mut text = String::new();
    for (name, _, holder, thread) in threads {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread \"{name}\" waits for a lock{holder} at");
        text += &lines_of_the_lab(thread.backtrace());
    }
    Some(Deadlock { text, server })
}

/// Who holds the lock for which a thread of a deadlock waits, if that is certain. `others`: the other threads of the circle.
fn of_holder(others: &[&str]) -> String {
    match others {
        [] => " that it holds itself".to_string(),
        [other] => format!(", which \"{other}\" holds,"),
        // parking_lot does not say in which order they wait for each other.
        _ => String::new(),
    }
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

/// The same without the files that the tests share: a message of theirs says what is wrong, and nobody finds it there. Empty if
/// there is no other line.
pub(super) fn lines_to_look_at(backtrace: &Backtrace) -> String {
    without_support(&lines_of_the_lab(backtrace))
}

fn without_support(lines: &str) -> String {
    let is_other = |line: &&str| !line.split(':').next().is_some_and(is_support);
    lines.split_inclusive('\n').filter(is_other).collect()
}

/// Whether a file is one that the tests share, and no test's own.
pub(super) fn is_support(file: &str) -> bool {
    const FILES: [&str; 5] = ["config.rs", "history.rs", "appends.rs", "logs.rs", "traffic.rs"];
    file.rsplit_once("/tests/").is_some_and(|(_, name)| FILES.contains(&name))
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
    pub(super) at: Line,
    /// Who called that, the innermost first: all lines of the lab.
    callers: Vec<Line>,
}

/// How many callers of a line are told.
const CALLERS: usize = 3;

impl Stand {
    #[cfg(test)]
    pub(super) fn new(wait: Wait, at: Line, callers: Vec<Line>) -> Stand {
        Stand { wait, at, callers }
    }

    /// All lines of the lab, the innermost first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.at).chain(&self.callers)
    }

    /// The callers that are told: the innermost lines of the code under test. The tests' own code explains nothing.
    pub(super) fn callers(&self) -> impl Iterator<Item = &Line> {
        self.callers.iter().filter(|line| !line.file.contains("/tests/")).take(CALLERS)
    }
}

/// A line of the lab's code.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) file: String,
    pub(super) line: u32,
    /// Empty if it is not known for sure: see [`known_function`].
    pub(super) function: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { file, line, function } = self;
        write!(f, "{file}:{line}")?;
        if function.is_empty() { Ok(()) } else { write!(f, " {function}") }
    }
}

/// The name of a function without its type arguments, or nothing for a closure. If closures of several functions have the same machine code, the compiler
/// keeps one of them, and all of them go by the name of its function.
fn known_function(name: &str) -> &str {
    let is_closure = name.contains("{{closure}}") || name.contains("{closure");
    let bare = name.split('<').next().filter(|bare| !bare.is_empty()).unwrap_or(name);
    if is_closure { "" } else { bare }
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
        let Stand { wait, at, .. } = self;
        write!(f, "{wait} at {at}")?;
        self.callers().try_for_each(|caller| write!(f, ", called from {caller}"))
    }
}

/// What a thread with this backtrace does, and where. None: it has no line of the lab. `started_at`: the `labrpc::go` that
/// started it, if that is known.
pub(super) fn stand_in_the_lab(
    places: &[sim::Place],
    started_at: Option<&'static Location<'static>>,
) -> Option<Stand> {
    stand_in(&lab(), places, started_at.map(|at| (Path::new(at.file()), at.line())))
}

fn stand_in(lab: &Path, places: &[sim::Place], started_at: Option<(&Path, u32)>) -> Option<Stand> {
    let is_anyones = |file: &Path| {
        let file = file.strip_prefix(lab).ok()?;
        let others = ["labrpc/src", "tools/harness/src", "tools/sim/src", "vendor"];
        (!others.iter().any(|place| file.starts_with(place))).then(|| file.display().to_string())
    };
    let anyones = |(i, place): (usize, &sim::Place)| {
        let function = known_function(&place.function).to_string();
        Some((i, Line { file: is_anyones(&place.file)?, line: place.line, function }))
    };
    let mut lines: Vec<(usize, Line)> = places.iter().enumerate().filter_map(anyones).collect();
    let innermost = lines.first().map(|(i, _)| *i)?;
    // The outermost line is in the closure that was given to `labrpc::go`, which stands behind the call of `go`. If it is not
    // there, another closure with the same machine code may stand for it. The innermost line is told in any case: closures with
    // the same machine code are short, and do no more than to call something.
    if let (Some((file, line)), Some((i, last))) = (started_at, lines.last())
        && lines.len() > 1
        && known_function(&places[*i].function).is_empty()
        && (last.file != file.strip_prefix(lab).unwrap_or(file).display().to_string() || last.line < line)
    {
        lines.pop();
    }
    let mut lines = lines.into_iter().map(|(_, line)| line);
    let at = lines.next()?;
    let mut callers: Vec<Line> = lines.filter(|line| *line != at).collect();
    callers.dedup();
    Some(Stand { wait: wait(&places[..innermost]), at, callers })
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
            let (file, function) = (file.display().to_string(), known_function(&name).to_string());
            let _ = writeln!(text, "    {}", Line { file, line, function });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str, line: u32, function: &str) -> sim::Place {
        sim::Place { file: file.into(), line, function: function.to_string() }
    }

    fn told(places: &[sim::Place], started_at: Option<(&Path, u32)>) -> String {
        stand_in(Path::new("/lab"), places, started_at).unwrap().to_string()
    }

    #[test]
    fn a_thread_is_told_with_its_callers() {
        let places = [
            place("/registry/parking_lot/src/raw_mutex.rs", 9, "lock_slow"),
            place("/lab/raft/src/raft.rs", 412, "lock<raft::State>"),
            place("/lab/raft/src/raft.rs", 300, "raft::Raft::request_vote"),
            place("/lab/raft/src/raft.rs", 120, "raft::Raft::make::{{closure}}"),
            place("/lab/labrpc/src/service.rs", 40, "labrpc::Service::dispatch"),
        ];
        let whole = "waits for a lock at raft/src/raft.rs:412 lock, called from raft/src/raft.rs:300 \
                     raft::Raft::request_vote, called from raft/src/raft.rs:120";
        assert_eq!(told(&places, None), whole);
        let deep: Vec<_> = (0..9).map(|line| place("/lab/raft/src/raft.rs", line, "f")).collect();
        assert_eq!(told(&deep, None).matches(", called from ").count(), CALLERS);
    }

    #[test]
    fn what_the_tests_share_is_left_out() {
        let lines = "    raft/tests/config.rs:679 check\n    raft/src/raft.rs:9 apply\n    raft/tests/test_test.rs:7\n";
        let rest = "    raft/src/raft.rs:9 apply\n    raft/tests/test_test.rs:7\n";
        assert_eq!(without_support(lines), rest);
        assert_eq!(without_support("    raft/tests/config.rs:679 check\n"), "");
    }

    #[test]
    fn a_closure_that_another_stands_for_is_not_believed() {
        let places = [
            place("/lab/kvraft/src/server.rs", 99, "kvraft::server::KVServer::apply"),
            place("/lab/kvraft/src/server.rs", 517, "kvraft::server::another::{{closure}}"),
        ];
        let at = |file: &'static str, line| Some((Path::new(file), line));
        let apply = "runs at kvraft/src/server.rs:99 kvraft::server::KVServer::apply";
        // The code of a closure that `go` was given comes behind the call of `go`, in the same file.
        assert_eq!(told(&places, at("/lab/raft/src/raft.rs", 44)), apply);
        assert_eq!(told(&places, at("kvraft/src/server.rs", 600)), apply);
        let whole = format!("{apply}, called from kvraft/src/server.rs:517");
        assert_eq!(told(&places, at("kvraft/src/server.rs", 515)), whole);
        assert_eq!(told(&places, None), whole);
        // Somebody may have written a function around `go`. The innermost line is the one that matters.
        assert_eq!(told(&places[1..], at("/lab/raft/src/raft.rs", 44)), "runs at kvraft/src/server.rs:517");
    }

    #[test]
    fn the_holder_is_told_if_it_is_certain() {
        assert_eq!(of_holder(&[]), " that it holds itself");
        assert_eq!(of_holder(&["server 1: ticker"]), ", which \"server 1: ticker\" holds,");
        assert_eq!(of_holder(&["a", "b"]), "");
    }
}
