//! The pool of threads behind the `go` statement. Threads are reused, because to start one costs a hundred times as much as
//! to start a goroutine.
//!
//! Where the system allows no more threads, tasks wait for a thread (`queue.rs` says which goes first).
//!
//! Lock order: `Pool::state`, then a worker's `running`. Neither is held while a task runs.

use crate::handover::Handover;
use crate::queue::{Busy, Queue};
use crate::task_name::TaskName;
use parking_lot::{Mutex, MutexGuard};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// In a box: in a simulation, heap addresses are the same in each run, so the address of the pool's lock is too.
static POOL: LazyLock<Box<Pool>> = LazyLock::new(Box::default);

#[derive(Default)]
struct Pool {
    state: Mutex<PoolState>,
    /// Mirrors whether the queue has anything, for those who do not lock the state.
    is_short: AtomicBool,
}

struct PoolState {
    /// All threads of the pool. An idle thread waits for the next task and never ends: there are few, and they cost no
    /// processor time.
    workers: Vec<Arc<Worker>>,
    /// The idle threads. The last to become idle is the first to get a task, because it may still be spinning.
    idle: Vec<Arc<Worker>>,
    /// How many threads the pool can have, as far as anybody knows.
    most: usize,
    /// How many it was told that it can have.
    told: Option<usize>,
    /// Threads that the system did not start. They are in `workers`, and may be tried again.
    not_started: Vec<(usize, Arc<Worker>)>,
    /// When the system last did not start a thread.
    refused: Option<Instant>,
    /// The tasks that wait for a thread.
    queue: Queue<Task>,
    /// What has waited for a thread so far.
    waits: Waits,
    /// Whom to ask to end calls early when a task must wait.
    relief: Vec<Weak<dyn Relief>>,
}

impl Default for PoolState {
    fn default() -> PoolState {
        PoolState {
            workers: Vec::new(),
            idle: Vec::new(),
            most: MOST,
            told: None,
            not_started: Vec::new(),
            refused: None,
            queue: Queue::default(),
            waits: Waits::default(),
            relief: Vec::new(),
        }
    }
}

/// Whoever can end calls early: each network.
pub(crate) trait Relief: Send + Sync {
    /// Ends the call that would be the next to end by itself, if a thread waits for it. True if there is one.
    fn relieve(&self) -> bool;
}

/// The tasks that have waited for a thread so far.
#[derive(Default)]
struct Waits {
    count: usize,
    /// The longest time that one of them has waited.
    longest: Duration,
    /// The largest number of threads that the pool had when one of them had to wait.
    threads: usize,
    /// The largest number of threads that the whole process had then; 0 where that cannot be known.
    threads_of_process: usize,
    /// When these were counted last.
    counted: Option<Instant>,
}

impl Waits {
    /// Notes that a task has to wait. `threads`: how many threads the pool has.
    fn note(&mut self, now: Instant, threads: usize) {
        self.count += 1;
        self.threads = self.threads.max(threads);
        if self.counted.is_none_or(|at| now - at >= RETRY) {
            self.counted = Some(now);
            let all = threads_of_process().unwrap_or_default();
            self.threads_of_process = self.threads_of_process.max(all);
        }
    }
}

/// Words in a message about threads, when others than this process have too many of them.
pub const OTHERS_HAVE_THEM: &str = "Other processes of the same user have taken the rest";

/// How long after the system has refused a thread the pool tries to have more again, and how many more.
const RETRY: Duration = Duration::from_millis(100);
const MORE: usize = 4;

/// How long a task may wait for a thread. After that, threads that are busy will hardly become free.
const PATIENCE: Duration = Duration::from_secs(20);

/// The most threads that the pool ever has.
const MOST: usize = 10_000;

/// The size of a thread's stack in bytes. `MOST` of them are 5 GiB of addresses; only what a thread uses takes memory.
const STACK: usize = 512 << 10;

/// One thread of the pool.
pub(crate) struct Worker {
    /// The next task. There is at most one: a worker is given a task only when it is on the idle list.
    tasks: Handover<Task>,
    /// The task that was handed to the thread, and the time. None: the thread is on the idle list. It changes together with
    /// the idle list, so that a task counts as running from the moment in which it is handed over.
    running: Mutex<Option<Noted>>,
    /// True if the current task has put the thread on the idle list already. Only the thread itself uses it: the next task
    /// may have been handed to it meanwhile.
    is_at_rest: AtomicBool,
    thread: OnceLock<ThreadId>,
}

struct Task {
    name: TaskName,
    started_at: Option<&'static Location<'static>>,
    run: Run,
}

/// What is noted of a task that runs.
#[derive(Clone)]
struct Noted {
    name: TaskName,
    since: Instant,
    started_at: Option<&'static Location<'static>>,
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
/// Where the system allows no more threads, `f` waits until one is free. Handlers go first. The network then ends calls
/// early that only wait for a time to pass, because nobody answers or the reply is held back. If no thread becomes free for
/// a long time, the process ends. The message says how many threads run and what the limit is.
///
/// # Panics
/// As in a goroutine, a panic in `f` ends the process with exit code 2, after a message with the name.
#[track_caller]
pub fn go(name: impl Into<TaskName>, f: impl FnOnce() + Send + 'static) {
    let started_at = Some(Location::caller());
    let _ = hand_over(Task { name: name.into(), started_at, run: Box::new(|_| f()) });
}

/// The name of the task that the calling thread is running. None if the thread is not one of the pool.
pub fn current_task() -> Option<TaskName> {
    // `CURRENT` may be gone: a destructor may log a line, and ask for the task, while its thread is ending.
    CURRENT.try_with(|name| name.borrow().clone()).ok().flatten()
}

/// Whether the calling thread is one of the pool.
pub(crate) fn is_worker() -> bool {
    CURRENT.try_with(|name| name.borrow().is_some()).unwrap_or(false)
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
    /// The call of [`go`] that started the task. None for a handler.
    pub started_at: Option<&'static Location<'static>>,
}

/// The tasks that are running on the pool. Tasks that still run when a test has killed its servers and cleaned up its
/// network were leaked.
pub fn running() -> Vec<Running> {
    let workers = POOL.state.lock().workers.clone();
    let task = |(index, worker): (usize, &Arc<Worker>)| {
        let Noted { name, since, started_at } = worker.running.lock().clone()?;
        let thread = worker.thread.get().copied();
        Some(Running { name, elapsed: since.elapsed(), thread, worker: index + 1, started_at })
    };
    workers.iter().enumerate().filter_map(task).collect()
}

/// The number of threads of the pool that wait for a task.
pub fn idle_threads() -> usize {
    POOL.state.lock().idle.len()
}

/// Runs a handler. It may call [`Worker::rest`] before its last step, if that step does not block. True: no thread is free,
/// and it waits for one.
pub(crate) fn start(name: TaskName, run: impl FnOnce(&Arc<Worker>) + Send + 'static) -> bool {
    hand_over(Task { name, started_at: None, run: Box::new(run) })
}

/// Tells the pool how many threads it can have. It keeps some of them for handlers, so that calls can end.
pub fn limit_threads(most: usize) {
    let mut state = POOL.state.lock();
    (state.most, state.told) = (most.min(MOST), Some(most));
}

/// One sentence on the tasks that had to wait for a thread. None: there was none, or it cannot be known now.
pub fn shortage() -> Option<String> {
    let (waits, told) = {
        // A test may fail while a thread holds this lock.
        let state = POOL.state.try_lock()?;
        let Waits { count, longest, threads, threads_of_process, .. } = state.waits;
        if count == 0 {
            return None;
        }
        ((count, longest, threads, threads.max(threads_of_process)), state.told)
    };
    let (count, longest, threads, all) = waits;
    let others = told.map_or(String::new(), |told| about_others(told, all));
    Some(format!(
        "{count} times a call or a handler had to wait for a free thread, up to {:.1} s: labrpc had {threads} threads, and {}. \
         Start fewer threads: send each follower one append at a time, or use ClientEnd::go_to (docs/go-to-rust.md).{}",
        longest.as_secs_f64(),
        limit_in_words(),
        others
    ))
}

/// A sentence, after a blank, if the threads that a process lacked belong to others. `told`: how many it could have when it began;
/// `threads`: how many it had, those that the pool does not know among them.
fn about_others(told: usize, threads: usize) -> String {
    if threads.saturating_add(SLACK) >= told {
        return String::new();
    }
    format!(" There was room for {told} when the test began. {OTHERS_HAVE_THEM}.")
}

/// By how much the number of threads that the pool was told may be wrong.
const SLACK: usize = 10;

/// Asks `relief` to end calls early when a task must wait for a thread.
pub(crate) fn add_relief(relief: Weak<dyn Relief>) {
    let mut state = POOL.state.lock();
    state.relief.retain(|relief| relief.strong_count() > 0);
    state.relief.push(relief);
}

/// Hands a task to an idle thread, or to a new one. If there can be no more threads, puts it into the queue; then it returns
/// true.
fn hand_over(task: Task) -> bool {
    let mut state = POOL.state.lock();
    match state.place(&task) {
        Place::Idle(worker) => {
            worker.note(&task);
            drop(state);
            worker.tasks.put(task);
            false
        }
        Place::New(number, worker) => {
            worker.note(&task);
            drop(state);
            start_thread(number, worker, task)
        }
        Place::Queue => wait(state, task),
    }
}

/// Starts a thread for a task. As [`hand_over`], if the system does not start it.
fn start_thread(number: usize, worker: Arc<Worker>, task: Task) -> bool {
    let name = task.name.clone();
    worker.tasks.put(task);
    let builder = std::thread::Builder::new().name(format!("labrpc-{number}")).stack_size(STACK);
    let thread = builder.spawn({
        let worker = worker.clone();
        move || worker.work()
    });
    let Err(e) = thread else { return false };
    let mut state = POOL.state.lock();
    let task = worker.tasks.take();
    *worker.running.lock() = None;
    state.not_started.push((number, worker));
    state.refused = Some(Instant::now());
    if e.kind() != ErrorKind::WouldBlock || state.threads() == 0 {
        drop(state);
        fatal(&format!("cannot start a thread for \"{name}\": {e}. {}", thread_census()));
    }
    state.most = state.threads();
    // A thread may have become idle meanwhile.
    match state.place(&task) {
        Place::Idle(worker) => {
            worker.note(&task);
            drop(state);
            worker.tasks.put(task);
            false
        }
        _ => wait(state, task),
    }
}

/// Puts a task into the queue, and lets a call end early that keeps a thread. Returns true.
fn wait(mut state: MutexGuard<'_, PoolState>, task: Task) -> bool {
    let (now, threads) = (Instant::now(), state.threads());
    state.waits.note(now, threads);
    let method = task.name.method().cloned();
    state.queue.push(method, now, task);
    POOL.is_short.store(true, Ordering::Relaxed);
    let oldest = state.queue.oldest_task().map_or(Duration::ZERO, |since| now - since);
    drop(state);
    if oldest > PATIENCE {
        fatal(&format!("no thread has become free for {} s. {}", oldest.as_secs(), thread_census()));
    }
    relieve();
    true
}

/// Lets one call end early that keeps a thread, if tasks wait for threads. Called when a task begins to wait, and when a call
/// begins to wait for nothing but a time.
pub(crate) fn relieve() {
    if POOL.is_short.load(Ordering::Relaxed) {
        let relief = POOL.state.lock().relief.clone();
        let _ = relief.iter().filter_map(Weak::upgrade).any(|relief| relief.relieve());
    }
}

/// Where a task is to run.
enum Place {
    Idle(Arc<Worker>),
    /// On a new thread, with this number.
    New(usize, Arc<Worker>),
    Queue,
}

impl PoolState {
    /// How many threads the pool has.
    fn threads(&self) -> usize {
        self.workers.len() - self.not_started.len()
    }

    /// Where this new task is to run. Takes the thread from the list of those that are idle.
    fn place(&mut self, task: &Task) -> Place {
        if self.refused.is_some_and(|at| at.elapsed() >= RETRY) {
            self.most = (self.most + MORE).min(self.told.unwrap_or(MOST));
            self.refused = None;
        }
        let busy = self.threads() - self.idle.len();
        // With half of the threads free, there is enough for everybody.
        if 2 * busy >= self.most && !self.busy().admits(task.name.method(), self.queue.has_tasks()) {
            return Place::Queue;
        }
        match self.idle.pop() {
            Some(worker) => Place::Idle(worker),
            None if self.threads() >= self.most => Place::Queue,
            None => self.new_worker(),
        }
    }

    fn new_worker(&mut self) -> Place {
        if let Some((number, worker)) = self.not_started.pop() {
            return Place::New(number, worker);
        }
        let (running, is_at_rest, thread) = (Mutex::new(None), AtomicBool::new(false), OnceLock::new());
        let worker = Arc::new(Worker { tasks: Handover::new(), running, is_at_rest, thread });
        self.workers.push(worker.clone());
        Place::New(self.workers.len(), worker)
    }

    /// What the threads do.
    fn busy(&self) -> Busy {
        let mut busy = Busy::new(self.most.max(self.threads()));
        for worker in &self.workers {
            if let Some(Noted { name, .. }) = &*worker.running.lock() {
                busy.count(name.method());
            }
        }
        busy
    }

    /// The task in the queue that is to run on a thread that has just become idle.
    fn next(&mut self) -> Option<Task> {
        if self.queue.is_empty() {
            return None;
        }
        let busy = self.busy();
        let (since, task) = self.queue.pop(&busy)?;
        POOL.is_short.store(!self.queue.is_empty(), Ordering::Relaxed);
        self.waits.longest = self.waits.longest.max(since.elapsed());
        Some(task)
    }
}

impl Worker {
    /// Runs tasks for ever.
    fn work(self: Arc<Worker>) {
        self.thread.get_or_init(|| std::thread::current().id());
        loop {
            let Task { name, run, .. } = self.tasks.take();
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
            match state.next() {
                Some(task) => {
                    self.note(&task);
                    drop(state);
                    self.tasks.put(task);
                }
                None => state.idle.push(self.clone()),
            }
        }
    }

    fn note(&self, task: &Task) {
        let Task { name, started_at, .. } = task;
        *self.running.lock() =
            Some(Noted { name: name.clone(), since: Instant::now(), started_at: *started_at });
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
    let threads = threads_of_process();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    running().iter().for_each(|task| *counts.entry(task.name.to_string()).or_default() += 1);
    let names = counts.into_iter().map(|(name, n)| if n > 1 { format!("{name} ({n} times)") } else { name });
    let names: Vec<String> = names.collect();
    let told = POOL.state.lock().told;
    let others = told.zip(threads).map_or(String::new(), |(told, threads)| about_others(told, threads));
    let counts = threads.map_or_else(
        || "How many threads run, and how many may run, can be seen on Linux only.".to_string(),
        |threads| format!("This process runs {threads} threads; {}.", limit_in_words()),
    );
    format!(
        "{counts}{others} Start fewer threads, end those of killed servers, or raise the limit. Running on labrpc's threads: {}",
        names.join("; ")
    )
}

/// How many threads this process has, whoever has started them. None where that cannot be known.
fn threads_of_process() -> Option<usize> {
    field("/proc/self/status", "Threads:")?.parse().ok()
}

/// The limit that keeps the system from starting another thread, in words.
fn limit_in_words() -> String {
    let used =
        field("/proc/self/status", "VmSize:").and_then(|kib| kib.parse::<usize>().ok()).map(|kib| kib << 10);
    let most = field("/proc/self/limits", "Max address space").and_then(|bytes| bytes.parse().ok());
    let processes =
        field("/proc/self/limits", "Max processes").unwrap_or_else(|| "an unknown number".to_string());
    words_of_limit(used, most, &processes)
}

/// As [`limit_in_words`], for a process that uses so many bytes of addresses and may use so many, and whose user may have so
/// many processes.
fn words_of_limit(used: Option<usize>, most: Option<usize>, processes: &str) -> String {
    match (used, most) {
        (Some(used), Some(most)) if used + LARGE_STACK > most => format!(
            "the limit on memory (ulimit -v) is {} KiB of addresses, of which this process uses {}: there is no room for \
             another thread's stack",
            most >> 10,
            used >> 10
        ),
        _ => {
            format!("the limit (ulimit -u) is {processes} for all processes and threads of the user together")
        }
    }
}

/// The size of a stack in bytes that hardly any thread exceeds, whoever starts it.
const LARGE_STACK: usize = 8 << 20;

/// The first word after this label in a file of the system. None: there is none.
fn field(file: &str, label: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(label))?;
    line[label.len()..].split_whitespace().next().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_not_taken_for_the_limit_on_threads() {
        let words = words_of_limit(Some(1_999_780 << 10), Some(2_000_000 << 10), "100");
        assert!(
            words.contains("(ulimit -v) is 2000000 KiB of addresses, of which this process uses 1999780")
        );
        for (used, most) in [(Some(90 << 20), Some(2_000_000 << 10)), (Some(90 << 20), None), (None, None)] {
            let words = words_of_limit(used, most, "100");
            assert_eq!(
                words,
                "the limit (ulimit -u) is 100 for all processes and threads of the user together"
            );
        }
    }
}
