//! The threads of a title's process: which wait for each other, how many there are, which were left behind.
//!
//! labrpc knows the threads it started. The others are found in /proc, on Linux only.

use crate::child::fail;
use crate::process::FOLDER_VARIABLE;
use backtrace::Backtrace;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The threads that wait for each other's parking_lot locks, and where in our code; None when there are none.
pub(crate) fn deadlock() -> Option<String> {
    let deadlocks = parking_lot::deadlock::check_deadlock();
    if deadlocks.is_empty() {
        return None;
    }
    let tasks = labrpc::running();
    let mut text = String::new();
    // Writing to a String does not fail.
    for thread in deadlocks.iter().flatten() {
        let name = (tasks.iter().find(|task| task.thread == Some(thread.thread_id())))
            .map_or_else(|| format!("{:?}", thread.thread_id()), |task| task.name.to_string());
        let _ = writeln!(text, "  thread \"{name}\" waits for a lock at");
        text += &lines_of_the_lab(thread.backtrace());
    }
    Some(text)
}

/// Where the workspace was when this crate was compiled.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_path_buf()
}

/// Where a thread is, in the lab's own files: those of libraries, of this harness and of labrpc's thread pool help
/// nobody to find a bug.
pub(crate) fn lines_of_the_lab(backtrace: &Backtrace) -> String {
    let symbols = backtrace.frames().iter().flat_map(|frame| frame.symbols());
    lines(symbols.filter_map(|symbol| {
        let name = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
        Some((symbol.filename()?, symbol.lineno()?, name))
    }))
}

/// The same of what the simulator found.
pub(crate) fn places_of_the_lab(places: &[sim::Place]) -> String {
    lines(places.iter().map(|place| (place.file.as_path(), place.line, place.function.clone())))
}

fn lines<'a>(places: impl Iterator<Item = (&'a Path, u32, String)>) -> String {
    let lab = std::env::var_os(FOLDER_VARIABLE).map_or_else(here, PathBuf::from);
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
pub(crate) fn report() -> String {
    let mut tasks = labrpc::running();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.elapsed));
    let mut text = String::new();
    for task in tasks {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread running for {:.1} s: {}", task.elapsed.as_secs_f64(), task.name);
    }
    text
}

/// The ids and names of the threads of this process; none where there is no /proc.
fn all() -> Vec<(String, String)> {
    // In a simulation the system lists threads for a moment longer or shorter, as chance will have it.
    if let Some(threads) = sim::threads() {
        return threads.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    }
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    (tasks.flatten())
        .filter_map(|task| {
            // A thread that ends meanwhile has no name any more.
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            Some((task.file_name().to_string_lossy().into_owned(), name.trim().to_string()))
        })
        .collect()
}

/// The harness's own threads.
pub(crate) struct Own {
    ids: BTreeSet<String>,
}

impl Own {
    /// Those that run now, before the title starts.
    pub(crate) fn now() -> Own {
        Own { ids: all().into_iter().map(|(id, _)| id).collect() }
    }

    /// Waits for the title's threads to end or to return to labrpc's pool; fails the title when some do not.
    pub(crate) fn wait_for_the_others(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut left = self.others();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            left = self.others();
        }
        if !left.is_empty() {
            fail(&format!(
                "{} left {} s after all servers were killed and the network was cleaned up:\n  {}\n\
                 Each thread that a server starts must end soon after its kill().",
                if left.len() == 1 {
                    "1 thread is".to_string()
                } else {
                    format!("{} threads are", left.len())
                },
                grace.as_secs(),
                left.join("\n  ")
            ));
        }
    }

    fn others(&self) -> Vec<String> {
        let tasks = labrpc::running().into_iter().map(|task| task.name.to_string());
        // A thread without a name has that of the thread which started it: a second one with a pool thread's name is
        // none of the pool.
        let mut pool = BTreeSet::new();
        let mut is_pool = |name: &String| is_labrpc(name) && pool.insert(name.clone());
        let threads = all().into_iter().filter(|(id, name)| !self.ids.contains(id) && !is_pool(name));
        tasks.chain(threads.map(|(_, name)| format!("{name} (started by std::thread)"))).collect()
    }
}

/// Whether this is one of the threads that labrpc reuses; what they run, it knows itself.
fn is_labrpc(name: &str) -> bool {
    name.strip_prefix("labrpc-").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Counts the threads of this process.
pub(crate) struct Peak(usize);

impl Peak {
    pub(crate) fn from_environment() -> Option<Peak> {
        std::env::var_os("LAB_PEAK_THREADS").map(|_| Peak(0))
    }

    pub(crate) fn count(&mut self) {
        let now = sim::outside(|| std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count));
        self.0 = self.0.max(now);
    }

    pub(crate) fn highest(&self) -> usize {
        self.0
    }
}
