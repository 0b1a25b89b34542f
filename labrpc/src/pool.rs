//! The pool of threads behind the `go` statement. Threads are reused, because to start one costs a hundred times as much as
//! to start a goroutine.
//!
//! Lock order: `Pool::state`, then a worker's `running`. Neither is held while a task runs.

use crate::handover::Handover;
use crate::task_name::TaskName;
use parking_lot::Mutex;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// In a box: in a simulation, heap addresses are the same in each run, so the address of the pool's lock is too.
static POOL: LazyLock<Box<Pool>> = LazyLock::new(Box::default);

#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// All threads of the pool. An idle thread waits for the next task and never ends: there are few, and they cost no
    /// processor time.
    workers: Vec<Arc<Worker>>,
    /// The idle threads. The last to become idle is the first to get a task, because it may still be spinning.
    idle: Vec<Arc<Worker>>,
}

/// One thread of the pool.
pub(crate) struct Worker {
    /// The next task. There is at most one: a worker is given a task only when it is on the idle list.
    tasks: Handover<Task>,
    /// The task that was handed to the thread, and the time. None: the thread is on the idle list. It changes together with
    /// the idle list, so that a task counts as running from the moment in which it is handed over.
    running: Mutex<Option<(TaskName, Instant)>>,
    /// True if the current task has put the thread on the idle list already. Only the thread itself uses it: the next task
    /// may have been handed to it meanwhile.
    is_at_rest: AtomicBool,
    thread: OnceLock<ThreadId>,
}

struct Task {
    name: TaskName,
    run: Run,
}

type Run = Box<dyn FnOnce(&Arc<Worker>) + Send>;

thread_local! {
    static CURRENT: RefCell<Option<TaskName>> = const { RefCell::new(None) };
}

/// Runs `f` on another thread, as Go's `go f()` does. The thread comes from a pool and returns to it.
///
/// `name` says whose thread it is and what it is for ("server 2: applier"). Messages about panics, deadlocks and threads
/// that did not end use it; see [`TaskName`].
///
/// # Panics
/// As in a goroutine, a panic in `f` ends the process with exit code 2, after a message with the name. The process also
/// ends if no thread can be started. Then the message says how many threads run and what the limit is.
pub fn go(name: impl Into<TaskName>, f: impl FnOnce() + Send + 'static) {
    start(name.into(), |_| f());
}

/// The name of the task that the calling thread is running. None if the thread is not one of the pool.
pub fn current_task() -> Option<TaskName> {
    // `CURRENT` may be gone: a destructor may log a line, and ask for the task, while its thread is ending.
    CURRENT.try_with(|name| name.borrow().clone()).ok().flatten()
}

/// A task that is running on the pool.
pub struct Running {
    /// The name of the task.
    pub name: TaskName,
    /// The time since the task was handed to its thread.
    pub elapsed: Duration,
    /// The thread that runs the task. None for a moment after the thread's start.
    pub thread: Option<ThreadId>,
    /// The number of that thread in the pool. The thread's name is "labrpc-" and this number.
    pub worker: usize,
}

/// The tasks that are running on the pool. Tasks that still run when a test has killed its servers and cleaned up its
/// network were leaked.
pub fn running() -> Vec<Running> {
    let workers = POOL.state.lock().workers.clone();
    let task = |(index, worker): (usize, &Arc<Worker>)| {
        let (name, since) = worker.running.lock().clone()?;
        let thread = worker.thread.get().copied();
        Some(Running { name, elapsed: since.elapsed(), thread, worker: index + 1 })
    };
    workers.iter().enumerate().filter_map(task).collect()
}

/// The number of threads of the pool that wait for a task.
pub fn idle_threads() -> usize {
    POOL.state.lock().idle.len()
}

/// Hands a task to an idle thread, or to a new one. The task may call [`Worker::rest`] before its last step, if that step
/// does not block.
pub(crate) fn start(name: TaskName, run: impl FnOnce(&Arc<Worker>) + Send + 'static) {
    let task = Task { name, run: Box::new(run) };
    let idle = {
        let mut state = POOL.state.lock();
        let idle = state.idle.pop();
        if let Some(worker) = &idle {
            worker.note(&task);
        }
        idle
    };
    match idle {
        Some(worker) => worker.tasks.put(task),
        None => start_thread(task),
    }
}

fn start_thread(task: Task) {
    let (running, is_at_rest, thread) = (Mutex::new(None), AtomicBool::new(false), OnceLock::new());
    let worker = Arc::new(Worker { tasks: Handover::new(), running, is_at_rest, thread });
    worker.note(&task);
    let number = {
        let mut state = POOL.state.lock();
        state.workers.push(worker.clone());
        state.workers.len()
    };
    let name = task.name.clone();
    worker.tasks.put(task);
    let thread = std::thread::Builder::new().name(format!("labrpc-{number}"));
    if let Err(e) = thread.spawn(move || worker.work()) {
        fatal(&format!("cannot start a thread for \"{name}\": {e}. {}", thread_census()));
    }
}

impl Worker {
    /// Runs tasks for ever.
    fn work(self: Arc<Worker>) {
        self.thread.get_or_init(|| std::thread::current().id());
        loop {
            let Task { name, run } = self.tasks.take();
            self.is_at_rest.store(false, Ordering::Relaxed);
            CURRENT.set(Some(name.clone()));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&self))) {
                fatal(&format!("{name} panicked: {}", panic_message(&*panic)));
            }
            CURRENT.set(None);
            self.rest();
        }
    }

    /// Puts the thread on the idle list, unless it is there already. A handler's task calls this before it hands over the
    /// reply: the caller's next RPC then finds this thread at the top of the list, and still awake.
    pub(crate) fn rest(self: &Arc<Worker>) {
        if !self.is_at_rest.swap(true, Ordering::Relaxed) {
            let mut state = POOL.state.lock();
            *self.running.lock() = None;
            state.idle.push(self.clone());
        }
    }

    fn note(&self, task: &Task) {
        *self.running.lock() = Some((task.name.clone(), Instant::now()));
    }
}

/// Prints why the process cannot go on, and ends it as Go ends a process in which a goroutine panicked.
///
/// Writes to the real standard error: a test's output by `eprintln!` is captured, and would be lost here.
fn fatal(message: &str) -> ! {
    use std::io::Write;
    // Ignore the error: if standard error is closed, the message cannot be printed at all.
    let _ = writeln!(std::io::stderr(), "fatal: {message}");
    std::process::exit(2);
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// The number of threads, their limit, and what labrpc's threads are doing: the end of a message that no thread can be
/// started.
pub fn thread_census() -> String {
    let field = |file: &str, label: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(label))?;
        line[label.len()..].split_whitespace().next().map(str::to_string)
    };
    let unknown = || "an unknown number of".to_string();
    let threads = field("/proc/self/status", "Threads:").unwrap_or_else(unknown);
    let limit = field("/proc/self/limits", "Max processes").unwrap_or_else(unknown);
    let mut names: Vec<String> = running().iter().map(|task| task.name.to_string()).collect();
    names.sort();
    format!(
        "This process runs {threads} threads; the limit (ulimit -u) is {limit} for all processes and threads of the \
         user together. Start fewer threads, or raise the limit. Running on labrpc's threads: {}",
        names.join("; ")
    )
}
