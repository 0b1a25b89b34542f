//! Who runs, and what time it is.
//!
//! Of the simulated threads exactly one runs: the one that holds the baton. Everything in `Simulation` belongs to the
//! holder. A thread gives the baton away when it has to wait, and now and then when it need not; whom it goes to is
//! drawn from the seed. When nobody can run, the clock jumps to the next time for which somebody waits; when nobody
//! waits for a time, the threads are deadlocked.

use super::real;
use super::report::{self, ThreadReport};
use super::rng::Rng;
use crate::{Hooks, Strategy};
use backtrace::Backtrace;
use std::cell::{Cell, UnsafeCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::ptr::null;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// What the monotonic clock shows at the start of a simulation. It is beyond what a machine's own shows, so that times
/// from before the simulation are all in the past.
const CLOCK_START: u64 = 1_000_000_000 * SECOND;
/// The same moment on the wall clock.
const WALL_START: u64 = 1_800_000_000 * SECOND;
const SECOND: u64 = 1_000_000_000;

// What things cost, in virtual nanoseconds: more than they really take, or a loop would never see its time pass.
const STEP: u64 = 5_000;
const CLOCK_READ: u64 = 50;
const YIELD: u64 = 500;
const ALLOCATION: u64 = 100;
const EDGE: u64 = 20;

/// A thread that reads the clock so often without doing anything else gives the baton away.
const READS_IN_A_ROW: u32 = 2_000;

/// A thread may yield so often before the baton really goes on: libraries spin and yield a few times before they wait,
/// and are about to give it away anyhow.
const YIELDS_IN_A_ROW: u32 = 16;

/// The baton goes on, on average, at one in so many: yields, wake-ups, thread starts.
const YIELD_ODDS: u64 = 64;
const WAKE_ODDS: u64 = 4;
const START_ODDS: u64 = 2;

/// The baton may go on at an allocation: at every so many, on average half as many.
const ALLOCATIONS_BETWEEN: u64 = 200;
/// The same at the edges of the instrumented build's control flow: at every 20 to 100.
const EDGES_BETWEEN: std::ops::Range<u64> = 20..100;

/// How often a trace tells what the scheduler has done.
const STEPS_PER_TRACE_LINE: u64 = 1_000;

/// Values of a thread's baton.
const WAIT: u32 = 0;
const RUN: u32 = 1;
/// The thread is to say where it is, and to wait on.
const TELL: u32 = 2;
/// The thread is to say that all are deadlocked.
const DEADLOCK: u32 = 3;

/// A simulated thread, as it is known to others. It lives as long as the process.
pub(crate) struct Thread {
    pub(crate) id: usize,
    baton: AtomicU32,
    tid: AtomicI32,
    /// Written by the thread when it is told to, read by the one that told it.
    told: UnsafeCell<Option<(Option<String>, Backtrace)>>,
}

// SAFETY: `told` is accessed by one thread at a time; the baton's changes order the accesses.
unsafe impl Sync for Thread {}

thread_local! {
    /// Null: the thread is not simulated.
    static SELF: Cell<*const Thread> = const { Cell::new(null()) };
    /// Not 0: the thread is in the simulator, or in something that is not to be simulated.
    static OUTSIDE: Cell<u32> = const { Cell::new(0) };
}

/// What the holder of the baton owns.
struct Shared(UnsafeCell<Option<Simulation>>);

// SAFETY: only the holder of the baton, and `begin` before there is one, looks into it (see `with`).
unsafe impl Sync for Shared {}

static SIMULATION: Shared = Shared(UnsafeCell::new(None));

/// Grows while the simulation gets on. Its watch on the real clock looks at it.
pub(crate) static PROGRESS: AtomicU64 = AtomicU64::new(0);
/// The kernel's number of the thread that has the baton.
pub(crate) static HOLDER: AtomicI32 = AtomicI32::new(0);
/// How long the simulation has been going on, in nanoseconds, for everybody; or this, when there is none.
static ELAPSED: AtomicU64 = AtomicU64::new(NONE);
const NONE: u64 = u64::MAX;
/// Counts the answers to `TELL`.
static ANSWERS: AtomicU32 = AtomicU32::new(0);

static ALLOCATIONS_LEFT: AtomicU64 = AtomicU64::new(0);
static EDGES_LEFT: AtomicU64 = AtomicU64::new(0);

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Ready,
    Running,
    /// For the word at this address.
    Futex(usize),
    Sleep,
    /// As it sleeps, but it was made to: it goes on with whatever it does.
    Pause,
    /// For the end of the thread with this number.
    Join(usize),
    Exited,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Ready => f.write_str("could run"),
            State::Running => f.write_str("runs"),
            State::Futex(_) => f.write_str("waits for a lock, a channel or a condition"),
            State::Sleep | State::Pause => f.write_str("sleeps"),
            State::Join(id) => write!(f, "waits for the end of thread {id}"),
            State::Exited => f.write_str("has ended"),
        }
    }
}

/// What the scheduler knows of a thread.
struct Record {
    thread: &'static Thread,
    name: String,
    state: State,
    /// Until when it waits at most.
    deadline: Option<u64>,
    /// Counts its waits, so that a timer of an earlier one is known.
    waits: u64,
    timed_out: bool,
    priority: u64,
    yields: u32,
    /// Its waiting is no sign of life: see `crate::stand_by`.
    stands_by: bool,
    /// The real thread, once its end has been seen: to be joined.
    real: libc::pthread_t,
    stack: usize,
}

impl Record {
    /// Whether a time for which it waits keeps the simulation from being deadlocked.
    fn counts(&self) -> bool {
        !self.stands_by || self.state == State::Pause
    }
}

pub(crate) struct Simulation {
    clock: u64,
    strategy: Strategy,
    /// Whom to run.
    choices: Rng,
    /// What the program takes for random.
    entropy: Rng,
    threads: Vec<Record>,
    ready: Vec<usize>,
    /// Threads that wait for a futex, the longest first.
    waiters: Vec<(usize, usize)>,
    /// Time, number, thread, which of its waits.
    timers: BinaryHeap<Reverse<(u64, u64, usize, u64)>>,
    timers_made: u64,
    /// How many threads that count wait until a time.
    timed: usize,
    reads: u32,
    steps: u64,
    fingerprint: u64,
    /// Has ended, but the kernel may not know yet.
    dying: Option<usize>,
    next_pause: u64,
    /// Stacks that nobody uses, and how many were made.
    stacks: Vec<usize>,
    stacks_made: usize,
    trace: Option<Trace>,
    hooks: Hooks,
}

struct Trace {
    file: File,
    text: String,
}

impl Trace {
    fn flush(&mut self) {
        // A trace that cannot be written is found to be short by whoever wanted it.
        let _ = self.file.write_all(self.text.as_bytes());
        self.text.clear();
    }
}

/// The calling thread, if it is simulated and not in the simulator.
#[inline]
pub(crate) fn current() -> Option<&'static Thread> {
    let thread = SELF.get();
    if thread.is_null() || OUTSIDE.get() != 0 {
        return None;
    }
    // SAFETY: threads are never freed.
    Some(unsafe { &*thread })
}

/// Whether the calling thread is simulated, wherever it is.
pub(crate) fn is_simulated() -> bool {
    !SELF.get().is_null()
}

/// Runs `f` with the calling thread's calls, times and allocations left alone.
pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            OUTSIDE.set(OUTSIDE.get() - 1);
        }
    }
    OUTSIDE.set(OUTSIDE.get() + 1);
    let _back = Back;
    f()
}

/// The simulation, for the holder of the baton.
fn with<T>(f: impl FnOnce(&mut Simulation) -> T) -> T {
    debug_assert!(is_simulated());
    outside(|| {
        PROGRESS.store(PROGRESS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // SAFETY: a simulated thread runs only while it has the baton, so no other is here; or it has been told to tell,
        // while the one that has the baton waits for the answer. And this one is not here twice: `f` calls nothing that
        // is simulated, because the thread is outside.
        let simulation = unsafe { &mut *SIMULATION.0.get() };
        let simulation = simulation.as_mut().expect("a simulated thread runs in a simulation");
        let result = f(simulation);
        ELAPSED.store(simulation.clock - CLOCK_START, Ordering::Relaxed);
        result
    })
}

impl Simulation {
    fn new(seed: u64, strategy: Strategy, trace: Option<File>, hooks: Hooks) -> Simulation {
        Simulation {
            clock: CLOCK_START,
            strategy,
            choices: Rng::new(seed, 1),
            entropy: Rng::new(seed, 2),
            threads: Vec::new(),
            ready: Vec::new(),
            waiters: Vec::new(),
            timers: BinaryHeap::new(),
            timers_made: 0,
            timed: 0,
            reads: 0,
            steps: 0,
            fingerprint: seed,
            dying: None,
            next_pause: CLOCK_START,
            stacks: Vec::new(),
            stacks_made: 0,
            trace: trace.map(|file| Trace { file, text: String::new() }),
            hooks,
        }
    }

    fn add_thread(&mut self, state: State) -> &'static Thread {
        let thread = Box::leak(Box::new(Thread {
            id: self.threads.len(),
            baton: AtomicU32::new(WAIT),
            tid: AtomicI32::new(0),
            told: UnsafeCell::new(None),
        }));
        self.threads.push(Record {
            thread,
            name: String::new(),
            state,
            deadline: None,
            waits: 0,
            timed_out: false,
            priority: self.choices.next(),
            yields: 0,
            stands_by: false,
            real: 0,
            stack: 0,
        });
        if state == State::Ready {
            self.ready.push(thread.id);
        }
        thread
    }

    /// Has a thread wait.
    fn park(&mut self, id: usize, state: State, deadline: Option<u64>) {
        let record = &mut self.threads[id];
        (record.state, record.deadline, record.timed_out, record.yields) = (state, deadline, false, 0);
        record.waits += 1;
        if let State::Futex(address) = state {
            self.waiters.push((address, id));
        }
        if let Some(deadline) = deadline {
            self.timed += usize::from(record.counts());
            self.timers.push(Reverse((deadline, self.timers_made, id, record.waits)));
            self.timers_made += 1;
        }
    }

    /// Ends a thread's waiting.
    fn unpark(&mut self, id: usize, timed_out: bool) {
        let record = &mut self.threads[id];
        if record.deadline.take().is_some() {
            self.timed -= usize::from(record.counts());
        }
        if let State::Futex(_) = record.state
            && timed_out
        {
            self.waiters.retain(|(_, waiter)| *waiter != id);
        }
        (record.state, record.timed_out) = (State::Ready, timed_out);
        self.ready.push(id);
    }

    /// The earliest time for which somebody waits.
    fn next_timer(&mut self) -> Option<(u64, usize)> {
        while let Some(&Reverse((at, _, id, wait))) = self.timers.peek() {
            let record = &self.threads[id];
            if record.deadline.is_some() && record.waits == wait {
                return Some((at, id));
            }
            self.timers.pop();
        }
        None
    }

    fn ring_timers(&mut self) {
        while let Some((at, id)) = self.next_timer()
            && at <= self.clock
        {
            self.timers.pop();
            self.unpark(id, true);
        }
    }

    /// Who gets the baton; None: nobody ever can.
    fn next(&mut self) -> Option<&'static Thread> {
        self.clock += STEP;
        self.reads = 0;
        self.ring_timers();
        while self.ready.is_empty() {
            if self.timed == 0 {
                return None;
            }
            let (at, _) = self.next_timer()?;
            self.clock = self.clock.max(at);
            self.ring_timers();
        }
        let id = self.pick();
        self.threads[id].state = State::Running;
        self.steps += 1;
        self.fingerprint = (self.fingerprint ^ self.clock ^ ((id as u64) << 48))
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
        if self.trace.is_some() && self.steps.is_multiple_of(STEPS_PER_TRACE_LINE) {
            let text = format!("{} steps, fingerprint {:016x}", self.steps, self.fingerprint);
            self.trace(id, format_args!("{text}"));
        }
        Some(self.threads[id].thread)
    }

    fn pick(&mut self) -> usize {
        let place = match self.strategy {
            Strategy::Uniform | Strategy::Pauses | Strategy::Storm => {
                self.choices.below(self.ready.len() as u64) as usize
            }
            Strategy::Priorities => {
                // Now and then one of them rises or falls.
                if self.choices.one_in(300) {
                    let id = self.choices.below(self.threads.len() as u64) as usize;
                    self.threads[id].priority = self.choices.next();
                }
                let highest = (0..self.ready.len()).max_by_key(|i| self.threads[self.ready[*i]].priority);
                highest.expect("somebody is ready")
            }
        };
        self.ready.swap_remove(place)
    }

    /// The first thread that has not ended, but for the one that only waits for what the program takes for the first.
    fn witness(&self) -> &'static Thread {
        let (first, others) = self.threads.split_first().expect("a simulation has threads");
        others.iter().find(|record| record.state != State::Exited).unwrap_or(first).thread
    }

    /// Puts the running thread among those that could run, or has it pause.
    fn step_aside(&mut self, id: usize) {
        if let Some((between, longest)) = pauses(self.strategy)
            && self.clock >= self.next_pause
        {
            self.next_pause = self.clock + self.choices.below(2 * between);
            let until = self.clock + self.choices.below(longest);
            return self.park(id, State::Pause, Some(until));
        }
        self.threads[id].state = State::Ready;
        self.ready.push(id);
    }

    fn trace(&mut self, id: usize, text: fmt::Arguments<'_>) {
        let seconds = (self.clock - CLOCK_START) as f64 / SECOND as f64;
        let name = &self.threads[id].name;
        if let Some(trace) = &mut self.trace {
            // Writing to a String does not fail.
            let _ = writeln!(trace.text, "{seconds:13.9} {id} {name}: {text}");
            if trace.text.len() > 1 << 16 {
                trace.flush();
            }
        }
    }

    /// Waits for the end of the real thread whose simulated one has ended.
    fn bury(&mut self) {
        if let Some(id) = self.dying.take() {
            let record = &mut self.threads[id];
            // SAFETY: nobody else joins it: others know the simulator's handle only. It ends without a further call
            // that is simulated.
            unsafe { real::pthread_join()(record.real, std::ptr::null_mut()) };
            self.stacks.push(record.stack);
        }
    }
}

/// How long it is on average from one pause of a thread to the next, and how long the longest is.
fn pauses(strategy: Strategy) -> Option<(u64, u64)> {
    const MILLISECOND: u64 = 1_000_000;
    match strategy {
        Strategy::Uniform | Strategy::Priorities => None,
        Strategy::Pauses => Some((50 * MILLISECOND, 20 * MILLISECOND)),
        Strategy::Storm => Some((400 * MILLISECOND, 400 * MILLISECOND)),
    }
}

/// Gives the baton to `next` and waits until it comes back.
fn switch(me: &'static Thread, next: Option<&'static Thread>) {
    let Some(next) = next else { deadlock(me) };
    if next.id != me.id {
        hand_over(next, RUN);
        wait_for_baton(me);
    } else {
        with(Simulation::bury);
    }
}

fn hand_over(next: &Thread, what_for: u32) {
    next.baton.store(what_for, Ordering::Release);
    real::wake(&next.baton);
}

fn wait_for_baton(me: &'static Thread) {
    loop {
        match me.baton.load(Ordering::Acquire) {
            RUN => break,
            TELL => outside(|| tell(me)),
            DEADLOCK => deadlock(me),
            value => real::wait(&me.baton, value),
        }
    }
    me.baton.store(WAIT, Ordering::Relaxed);
    HOLDER.store(me.tid.load(Ordering::Relaxed), Ordering::Relaxed);
    with(Simulation::bury);
}

fn tell(me: &'static Thread) {
    let describe = with(|s| s.hooks.describe);
    let told = Some((describe(), Backtrace::new_unresolved()));
    // SAFETY: who told this thread to tell waits for the answer that is counted below.
    unsafe { *me.told.get() = told };
    me.baton.store(WAIT, Ordering::Relaxed);
    ANSWERS.fetch_add(1, Ordering::Release);
    real::wake(&ANSWERS);
}

/// Waits in simulated time. True: the deadline has come.
pub(crate) fn block(me: &'static Thread, state: State, deadline: Option<u64>) -> bool {
    let next = with(|s| {
        s.park(me.id, state, deadline);
        s.next()
    });
    switch(me, next);
    with(|s| s.threads[me.id].timed_out)
}

/// Lets another thread run, if one can; one in so many times.
pub(crate) fn maybe_switch(me: &'static Thread, odds: u64) {
    let next = with(|s| {
        s.ring_timers();
        if s.ready.is_empty() || !s.choices.one_in(odds) {
            return None;
        }
        s.step_aside(me.id);
        Some(s.next())
    });
    if let Some(next) = next {
        switch(me, next);
    }
}

pub(crate) fn yield_now(me: &'static Thread) {
    let odds = with(|s| {
        s.clock += YIELD;
        let record = &mut s.threads[me.id];
        record.yields += 1;
        if record.yields < YIELDS_IN_A_ROW {
            return YIELD_ODDS;
        }
        // It waits for somebody else.
        record.priority = 0;
        1
    });
    maybe_switch(me, odds);
}

/// Called at each allocation.
#[inline]
pub(crate) fn at_allocation() {
    let left = ALLOCATIONS_LEFT.load(Ordering::Relaxed);
    if left > 0 {
        return ALLOCATIONS_LEFT.store(left - 1, Ordering::Relaxed);
    }
    if let Some(me) = current() {
        let again = with(|s| {
            s.clock += ALLOCATION * ALLOCATIONS_BETWEEN / 2;
            s.choices.below(ALLOCATIONS_BETWEEN)
        });
        ALLOCATIONS_LEFT.store(again, Ordering::Relaxed);
        maybe_switch(me, 1);
    }
}

/// Called at each edge of the control flow of instrumented code.
#[inline]
pub(crate) fn at_edge() {
    let Some(me) = current() else { return };
    let left = EDGES_LEFT.load(Ordering::Relaxed);
    if left > 0 {
        return EDGES_LEFT.store(left - 1, Ordering::Relaxed);
    }
    let again = with(|s| {
        let edges = EDGES_BETWEEN.start + s.choices.below(EDGES_BETWEEN.end - EDGES_BETWEEN.start);
        s.clock += EDGE * edges;
        edges
    });
    EDGES_LEFT.store(again, Ordering::Relaxed);
    maybe_switch(me, 1);
}

/// The time on the monotonic clock, in nanoseconds.
pub(crate) fn read_clock(me: &'static Thread) -> u64 {
    let (now, patient) = with(|s| {
        s.clock += CLOCK_READ;
        s.reads += 1;
        (s.clock, s.reads < READS_IN_A_ROW)
    });
    if !patient {
        with(|s| {
            s.reads = 0;
            s.clock += STEP;
        });
        maybe_switch(me, 1);
    }
    now
}

/// The time of the wall clock that is meant by this one of the monotonic clock.
pub(crate) fn wall(monotonic: u64) -> u64 {
    monotonic - CLOCK_START + WALL_START
}

/// The inverse of `wall`. A time from before the simulation is its start.
pub(crate) fn from_wall(wall: u64) -> u64 {
    (wall + CLOCK_START).saturating_sub(WALL_START)
}

/// The time since the simulation's start, in nanoseconds, on any thread; it is not charged for.
pub(crate) fn elapsed() -> Option<u64> {
    Some(ELAPSED.load(Ordering::Relaxed)).filter(|elapsed| *elapsed != NONE)
}

/// The simulation that has ended was none that others are to know of.
pub(crate) fn forget() {
    ELAPSED.store(NONE, Ordering::Relaxed);
}

/// The time on the monotonic clock after `wait` nanoseconds.
pub(crate) fn after(wait: u64) -> u64 {
    with(|s| s.clock.saturating_add(wait))
}

/// Wakes up to `count` threads that wait for the word at `address`; how many there were.
pub(crate) fn wake(me: &'static Thread, address: usize, count: usize) -> usize {
    let woken = with(|s| {
        let mut woken = Vec::new();
        s.waiters.retain(|&(waited_for, id)| {
            let wakes = waited_for == address && woken.len() < count;
            if wakes {
                woken.push(id);
            }
            !wakes
        });
        woken.iter().for_each(|id| s.unpark(*id, false));
        woken.len()
    });
    if woken > 0 {
        maybe_switch(me, WAKE_ODDS);
    }
    woken
}

pub(crate) fn fill_random(bytes: &mut [u8]) {
    with(|s| {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&s.entropy.next().to_le_bytes()[..chunk.len()]);
        }
    });
}

/// A thread that is to be started, on this stack.
pub(crate) fn new_thread(
    me: &Thread,
    stack: impl FnOnce(Option<usize>, &mut usize) -> usize,
) -> (&'static Thread, usize) {
    with(|s| {
        let free = s.stacks.pop();
        let stack = stack(free, &mut s.stacks_made);
        let thread = s.add_thread(State::Ready);
        s.threads[thread.id].stack = stack;
        // As in Linux, until it has one of its own.
        s.threads[thread.id].name = s.threads[me.id].name.clone();
        (thread, stack)
    })
}

/// The real thread of a new one has been started.
pub(crate) fn started(me: &'static Thread, thread: &'static Thread, real: libc::pthread_t) {
    with(|s| s.threads[thread.id].real = real);
    maybe_switch(me, START_ODDS);
}

/// No real thread could be started for a new one.
pub(crate) fn not_started(thread: &'static Thread) {
    with(|s| {
        s.ready.retain(|id| *id != thread.id);
        let record = &mut s.threads[thread.id];
        record.state = State::Exited;
        s.stacks.push(record.stack);
    });
}

/// The calling real thread is `thread` from now on, and waits until it may run.
pub(crate) fn enter(thread: &'static Thread) {
    // SAFETY: gettid takes no argument and always succeeds.
    thread.tid.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    SELF.set(thread);
    wait_for_baton(thread);
}

/// The calling thread has run its course: it does nothing more that is simulated.
pub(crate) fn exit() {
    let me = SELF.get();
    if me.is_null() {
        return;
    }
    // SAFETY: threads are never freed.
    let me: &'static Thread = unsafe { &*me };
    let (next, what_for) = with(|s| {
        s.threads[me.id].state = State::Exited;
        s.dying = Some(me.id);
        for id in 0..s.threads.len() {
            if s.threads[id].state == State::Join(me.id) {
                s.unpark(id, false);
            }
        }
        // This thread cannot say that it leaves the others in a deadlock: its thread-local values are gone.
        s.next().map_or_else(|| (s.witness(), DEADLOCK), |next| (next, RUN))
    });
    SELF.set(null());
    hand_over(next, what_for);
}

/// Waits for the end of a thread.
pub(crate) fn join(me: &'static Thread, id: usize) {
    if with(|s| s.threads[id].state != State::Exited) {
        block(me, State::Join(id), None);
    }
}

pub(crate) fn set_name(id: usize, name: &str) {
    with(|s| s.threads[id].name = name.to_string());
}

/// The threads that have not ended, by number and name.
pub(crate) fn alive() -> Vec<(usize, String)> {
    with(|s| {
        let alive = s.threads.iter().filter(|record| record.state != State::Exited);
        alive.map(|record| (record.thread.id, record.name.clone())).collect()
    })
}

pub(crate) fn stand_by(me: &'static Thread) {
    with(|s| s.threads[me.id].stands_by = true);
}

pub(crate) fn trace(me: &'static Thread, text: fmt::Arguments<'_>) {
    with(|s| s.trace(me.id, text));
}

pub(crate) fn flush_trace() {
    with(|s| s.trace.iter_mut().for_each(Trace::flush));
}

pub(crate) fn is_tracing() -> bool {
    with(|s| s.trace.is_some())
}

/// What a simulation has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) nanoseconds: u64,
    pub(crate) steps: u64,
    pub(crate) fingerprint: u64,
}

/// Makes the calling thread the first one of a simulation, and runs `f` there. When `f` returns, the others are frozen
/// wherever they are; the names of those that have not ended are given too.
pub(crate) fn simulate(
    seed: u64,
    strategy: Strategy,
    trace: Option<File>,
    hooks: Hooks,
    f: impl FnOnce(),
) -> (Totals, Vec<String>) {
    assert!(!is_simulated(), "a simulation is begun in another");
    let mut simulation = Simulation::new(seed, strategy, trace, hooks);
    let me = simulation.add_thread(State::Running);
    // SAFETY: gettid takes no argument and always succeeds.
    me.tid.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    HOLDER.store(me.tid.load(Ordering::Relaxed), Ordering::Relaxed);
    ALLOCATIONS_LEFT.store(simulation.choices.below(ALLOCATIONS_BETWEEN), Ordering::Relaxed);
    EDGES_LEFT.store(simulation.choices.below(EDGES_BETWEEN.end), Ordering::Relaxed);
    // SAFETY: nobody has the baton of another simulation: theirs have ended, and the threads they left are frozen.
    unsafe { *SIMULATION.0.get() = Some(simulation) };
    SELF.set(me);
    f();
    let end = with(|s| {
        let totals =
            Totals { nanoseconds: s.clock - CLOCK_START, steps: s.steps, fingerprint: s.fingerprint };
        s.trace(me.id, format_args!("end: {totals:?}"));
        s.trace.iter_mut().for_each(Trace::flush);
        let others = s.threads.iter().skip(1).filter(|record| record.state != State::Exited);
        (totals, others.map(|record| record.name.clone()).collect())
    });
    SELF.set(null());
    end
}

/// Nobody can ever run again: says who waits where, and fails.
fn deadlock(me: &'static Thread) -> ! {
    flush_trace();
    OUTSIDE.set(OUTSIDE.get() + 1);
    let describe = with(|s| s.hooks.describe);
    // SAFETY: this thread does not read its own answer before it has written it.
    unsafe { *me.told.get() = Some((describe(), Backtrace::new_unresolved())) };
    let others: Vec<&'static Thread> = with(|s| {
        // The first only waits for the second, which the program takes for the first.
        let alive = s.threads.iter().skip(1).filter(|r| r.thread.id != me.id && r.state != State::Exited);
        alive.map(|r| r.thread).collect()
    });
    for other in &others {
        let answers = ANSWERS.load(Ordering::Acquire);
        other.baton.store(TELL, Ordering::Release);
        real::wake(&other.baton);
        while ANSWERS.load(Ordering::Acquire) == answers {
            real::wait(&ANSWERS, answers);
        }
    }
    let (hooks, reports) =
        with(|s| (s.hooks, s.threads.iter().filter_map(thread_report).collect::<Vec<_>>()));
    (hooks.fail)(&report::deadlock(&reports, hooks.places))
}

fn thread_report(record: &Record) -> Option<ThreadReport> {
    // SAFETY: the thread has answered, and waits for its baton.
    let (task, backtrace) = unsafe { (*record.thread.told.get()).take() }?;
    let name = task.unwrap_or_else(|| record.name.clone());
    (!record.stands_by).then(|| ThreadReport {
        name,
        state: record.state.to_string(),
        places: report::places(backtrace),
    })
}
