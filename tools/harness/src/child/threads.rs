//! The threads of a test's process: finds deadlocks, counts threads, and finds threads that were left behind.
//!
//! labrpc knows the threads it started. The others are found in /proc, on Linux only.

use super::session;
use backtrace::Backtrace;
use labrpc::TaskName;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
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

fn lines<'a>(places: impl Iterator<Item = (&'a Path, u32, String)>) -> String {
    let lab: PathBuf =
        session::start().and_then(|start| start.workspace.clone()).unwrap_or(here().to_path_buf());
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

/// What runs on labrpc's threads, the oldest first.
pub(super) fn report() -> String {
    let mut tasks = labrpc::running();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.elapsed));
    let mut text = String::new();
    for task in tasks {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread running for {:.1} s: {}", task.elapsed.as_secs_f64(), task.name);
    }
    text
}

/// The ids and names of the threads of this process; empty where there is no /proc.
fn all() -> Vec<(String, String)> {
    // In a simulation the system may list a thread that has ended in virtual time, or miss one that has started.
    if let Some(threads) = sim::threads() {
        return threads.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    }
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    (tasks.flatten())
        .filter_map(|task| {
            // The name of a thread that has just ended cannot be read.
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            Some((task.file_name().to_string_lossy().into_owned(), name.trim().to_string()))
        })
        .collect()
}

/// The harness's own threads.
pub(super) struct Own {
    ids: BTreeSet<String>,
}

impl Own {
    /// The threads that run now. Call this before the test starts.
    pub(super) fn now() -> Own {
        Own { ids: all().into_iter().map(|(id, _)| id).collect() }
    }

    /// Waits for the test's threads to end or to return to labrpc's pool; returns those that do not.
    pub(super) fn wait_for_the_others(&self, grace: Duration) -> Vec<Left> {
        let deadline = Instant::now() + grace;
        let mut left = self.others();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            left = self.others();
        }
        left
    }

    fn others(&self) -> Vec<Left> {
        let tasks = labrpc::running().into_iter().map(|task| Left::Task(task.name));
        // A thread without a name inherits the name of the thread that starts it. If two threads have the name of one
        // of the pool's threads, only one of them is the pool's.
        let mut pool = BTreeSet::new();
        let mut is_pool = |name: &String| is_labrpc(name) && pool.insert(name.clone());
        let threads = all().into_iter().filter(|(id, name)| !self.ids.contains(id) && !is_pool(name));
        tasks.chain(threads.map(|(_, name)| Left::Thread(name))).collect()
    }
}

/// A thread that was left behind.
pub(super) enum Left {
    /// One of labrpc's threads, with the task that it runs.
    Task(TaskName),
    /// Any other thread, with its name.
    Thread(String),
}

impl Left {
    /// The server that it works for.
    pub(super) fn server(&self) -> Option<usize> {
        match self {
            Left::Task(name) => name.server(),
            Left::Thread(_) => None,
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::Task(name) => name.fmt(f),
            Left::Thread(name) => write!(f, "{name} (started by std::thread)"),
        }
    }
}

/// Whether this is the name of a thread of labrpc's pool. `labrpc::running` lists the tasks on those threads.
fn is_labrpc(name: &str) -> bool {
    name.strip_prefix("labrpc-").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// The largest number of threads that this process has had at a count.
#[derive(Default)]
pub(super) struct Peak(usize);

impl Peak {
    pub(super) fn count(&mut self) {
        let now = sim::outside(|| std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count));
        self.0 = self.0.max(now);
    }

    pub(super) fn highest(&self) -> usize {
        self.0
    }
}
