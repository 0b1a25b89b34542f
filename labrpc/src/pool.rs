//! The port of the `go` statement: threads that are reused, because a thread's start costs a hundred times what a
//! goroutine's does.
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

/// On the heap: in a simulation, its lock's address is then the same in each run, as other addresses are.
static POOL: LazyLock<Box<Pool>> = LazyLock::new(Box::default);

#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    /// Every thread of the pool. Idle ones wait for the next task and never end: they are few, and cost no CPU.
    workers: Vec<Arc<Worker>>,
    /// The idle ones. The last to become idle is the first to get a task, since it may still be spinning.
    idle: Vec<Arc<Worker>>,
}

/// One thread of the pool.
pub(crate) struct Worker {
    /// Holds one task: a worker is handed the next one when it is on the idle list, and at no other time.
    tasks: Handover<Task>,
    /// What the thread was handed to run, and when. None: it is on the idle list. Both change together, so that a task
    /// is seen to run from the moment in which it is handed over.
    running: Mutex<Option<(TaskName, Instant)>>,
    /// Whether the task that it runs has put it on the idle list already. Of interest to the thread itself only: it may
    /// have been handed the next task meanwhile.
    rested: AtomicBool,
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
/// `name` says whose thread it is and what for ("server 2: applier"); messages about panics, deadlocks and threads
/// that were left behind use it.
///
/// # Panics
/// A panic in `f` ends the process with exit code 2, after a message with the name, as a panic in a goroutine does.
/// So does the failure to start a thread: the message then says how many run and what the limit is.
pub fn go(name: impl Into<TaskName>, f: impl FnOnce() + Send + 'static) {
    start(name.into(), |_| f());
}

/// The name of the pool's task that the calling thread is running; None on a thread that is not the pool's.
pub fn current_task() -> Option<TaskName> {
    // A thread that ends may ask behind the end of its thread-local values: a line of a log can come from a destructor.
    CURRENT.try_with(|name| name.borrow().clone()).ok().flatten()
}

/// A task that runs on the pool now.
pub struct Running {
    /// Its name: the one given to [`go`], or a handler's.
    pub name: TaskName,
    /// How long it has been running.
    pub elapsed: Duration,
    /// The thread it runs on; None for a moment after the thread's start.
    pub thread: Option<ThreadId>,
}

/// The tasks that run on the pool now: what is left of a test, once its network is cleaned up and its servers are
/// killed, was leaked.
pub fn running() -> Vec<Running> {
    let workers = POOL.state.lock().workers.clone();
    let task = |worker: &Arc<Worker>| {
        let (name, since) = worker.running.lock().clone()?;
        let thread = worker.thread.get().copied();
        Some(Running { name, elapsed: since.elapsed(), thread })
    };
    workers.iter().filter_map(task).collect()
}

/// How many threads of the pool wait for a task.
pub fn idle_threads() -> usize {
    POOL.state.lock().idle.len()
}

/// Hands a task to an idle thread, or starts one. The task may call [`Worker::rest`] once nothing but a last,
/// non-blocking step is left.
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
    let (running, rested, thread) = (Mutex::new(None), AtomicBool::new(false), OnceLock::new());
    let worker = Arc::new(Worker { tasks: Handover::new(), running, rested, thread });
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
            self.rested.store(false, Ordering::Relaxed);
            CURRENT.set(Some(name.clone()));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&self))) {
                fatal(&format!("{name} panicked: {}", panic_message(&*panic)));
            }
            CURRENT.set(None);
            self.rest();
        }
    }

    /// Puts the thread on the idle list. Called before an RPC's reply is handed over, so that the caller's next RPC
    /// finds this thread, still awake, at the top.
    pub(crate) fn rest(self: &Arc<Worker>) {
        if !self.rested.swap(true, Ordering::Relaxed) {
            let mut state = POOL.state.lock();
            *self.running.lock() = None;
            state.idle.push(self.clone());
        }
    }

    fn note(&self, task: &Task) {
        *self.running.lock() = Some((task.name.clone(), Instant::now()));
    }
}

/// Says why the process cannot go on, and ends it as Go ends a process in which a goroutine panicked.
///
/// Writes to the real standard error: what a test prints by `eprintln!` is captured, and would be lost here.
fn fatal(message: &str) -> ! {
    use std::io::Write;
    // Nothing is left to be done if even standard error is closed.
    let _ = writeln!(std::io::stderr(), "fatal: {message}");
    std::process::exit(2);
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

/// How many threads there are, what limits them, and what they do: what a person needs to know when none more can be
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
