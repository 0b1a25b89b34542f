//! Decides which thread runs, and when.
//!
//! Exactly one of the simulated threads runs at a time: the one that has the baton. Only that thread may access the
//! `Simulation`. A thread passes the baton on when it has to wait, and sometimes when it need not; the simulation's
//! seed and strategy decide which thread gets the baton. When no thread can run, the clock jumps to the earliest
//! deadline of a waiting thread. When no waiting thread has a deadline, the threads are deadlocked.

use super::clock::{ALLOCATION, BYTES_FILLED, CLOCK_READ, Clock, EDGE, SECOND, STEP, YIELD};
use super::deadlock::{self, Waiting};
use super::edges::{self, Edge};
use super::inbox::Message;
use super::stacks::{self, NoStack, Stack, Stacks};
use super::thread::{self, Thread, current, is_simulated, outside};
use super::threads::{Record, State, Threads};
use super::trace::Trace;
use super::{baton, progress, real};
use crate::options::{Hooks, Place};
use crate::rng::Rng;
use crate::strategy::Strategy;
use crate::strategy::chooser::{AtEdge, Chooser};
use std::cell::UnsafeCell;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A thread that reads the clock this many times, without any other call to the scheduler, waits for a time to pass. It
/// passes the baton on.
const READS_IN_A_ROW: u32 = 32;

/// A thread that yields this many times without waiting passes the baton on at each further yield. Libraries yield a
/// few times before they wait; passing the baton on at those yields would cost time for nothing.
const YIELDS_IN_A_ROW: u32 = 16;

/// A thread that comes this many times to an edge at which another could run, without waiting, gets the lowest priority: it may
/// wait in a loop for a thread that was interrupted. So does crossbeam's receiver, which makes no call meanwhile, for a sender in
/// the middle of its send.
const EDGE_STOPS_IN_A_ROW: u32 = 64;

// At other calls the baton is passed on with a probability of 1 in:
const YIELD_ODDS: u64 = 64;
const WAKE_ODDS: u64 = 4;
const START_ODDS: u64 = 2;

/// The baton may be passed on at some allocations. Between two of these there is a random number of other allocations,
/// below this limit.
const ALLOCATIONS_BETWEEN: u64 = 200;
/// An allocation with so many bytes is a large one: it costs time to fill it.
const LARGE: usize = 4096;
/// The same for edges in the control flow of instrumented code: the random number lies in this range.
const EDGES_BETWEEN: Range<u64> = 20..100;

/// The scheduler adds a line to the trace each time it has made this many steps.
const STEPS_PER_TRACE_LINE: u64 = 1_000;

/// The state of a simulation.
struct Simulation {
    clock: Clock,
    threads: Threads,
    chooser: Box<dyn Chooser>,
    /// The random numbers of the scheduler and the strategy.
    choices: Rng,
    /// The random numbers that the program draws.
    entropy: Rng,
    /// How many times the running thread has read the clock since it made another call.
    reads: u32,
    steps: u64,
    fingerprint: u64,
    /// The thread that ended last, until the next thread has the baton: the last instructions of the one that ended
    /// still use its stack.
    dying: Option<usize>,
    stacks: Stacks,
    /// The thread that asks the others where they are.
    reporter: Option<&'static Thread>,
    trace: Option<Trace>,
    hooks: Hooks,
}

/// Holds the simulation.
struct Shared(UnsafeCell<Option<Simulation>>);

// SAFETY: only `with` and `simulate` access the content; they say why no other thread does so at that time.
unsafe impl Sync for Shared {}

static SIMULATION: Shared = Shared(UnsafeCell::new(None));

/// How many allocations, and how many edges, remain until the next one at which the baton may be passed on.
static ALLOCATIONS_LEFT: AtomicU64 = AtomicU64::new(0);
static EDGES_LEFT: AtomicU64 = AtomicU64::new(0);

/// Runs `f` with the simulation. The calling thread has the baton.
fn with<T>(f: impl FnOnce(&mut Simulation) -> T) -> T {
    debug_assert!(is_simulated());
    outside(|| {
        progress::advance();
        // SAFETY: no other thread is here: a simulated thread runs only while it has the baton, or while it makes its
        // statement about a deadlock, for which the thread with the baton waits outside of `with`. This thread is not
        // here twice either: `f` does not call `with` directly, and calls inside `outside` are real, so no call of `f`
        // enters the scheduler.
        let simulation = unsafe { &mut *SIMULATION.0.get() };
        let simulation = simulation.as_mut().expect("a simulated thread runs in a simulation");
        let result = f(simulation);
        progress::set_elapsed(simulation.clock.elapsed());
        result
    })
}

impl Simulation {
    fn new(seed: u64, strategy: Strategy, trace: Option<File>, hooks: Hooks) -> Simulation {
        Simulation {
            clock: Clock::new(),
            threads: Threads::default(),
            chooser: strategy.chooser(),
            choices: Rng::new(seed, 1),
            entropy: Rng::new(seed, 2),
            reads: 0,
            steps: 0,
            fingerprint: seed,
            dying: None,
            stacks: Stacks::default(),
            reporter: None,
            trace: trace.map(Trace::new),
            hooks,
        }
    }

    fn add_thread(&mut self, state: State) -> &'static Thread {
        self.chooser.add_thread(self.choices.next());
        self.threads.add(state)
    }

    /// Chooses the thread that gets the baton. None: no thread can ever run again.
    fn next(&mut self) -> Option<&'static Thread> {
        self.clock.charge(STEP);
        self.reads = 0;
        self.threads.ring_timers(self.clock.now());
        while self.threads.ready().is_empty() {
            let deadline = self.threads.next_deadline()?;
            self.clock.advance_to(deadline);
            self.threads.ring_timers(self.clock.now());
        }
        let index = self.chooser.choose(self.threads.ready(), &mut self.choices);
        let id = self.threads.set_running(index);
        self.steps += 1;
        self.fingerprint = (self.fingerprint ^ self.clock.now() ^ ((id as u64) << 48))
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
        if self.steps.is_multiple_of(STEPS_PER_TRACE_LINE) {
            let (steps, fingerprint) = (self.steps, self.fingerprint);
            self.trace(id, format_args!("{steps} steps, fingerprint {fingerprint:016x}"));
        }
        Some(self.threads.get(id).thread)
    }

    /// Makes the running thread ready, or pauses it.
    fn step_aside(&mut self, id: usize) {
        match self.chooser.pause(self.clock.now(), &mut self.choices) {
            Some(until) => self.threads.park(id, State::Pause, Some(until)),
            None => self.threads.set_ready(id),
        }
    }

    fn trace(&mut self, id: usize, text: fmt::Arguments<'_>) {
        if let Some(trace) = &mut self.trace {
            let seconds = self.clock.elapsed() as f64 / SECOND as f64;
            let name = &self.threads.get(id).name;
            trace.add_line(format_args!("{seconds:13.9} {id} {name}: {text}"));
        }
    }

    fn flush_trace(&mut self) {
        self.trace.iter_mut().for_each(Trace::flush);
    }

    /// The threads that have not ended, except the first one. The program does not know of that thread: it only waits
    /// for the second one, which is the program's first.
    fn others(&self) -> impl Iterator<Item = &Record> {
        self.threads.iter().skip(1).filter(|record| record.is_alive())
    }

    /// Takes back the stack of the thread that has ended.
    fn bury(&mut self) {
        if let Some(id) = self.dying.take() {
            let record = self.threads.get(id);
            if let Some(kernel_thread) = record.kernel_thread {
                // SAFETY: the thread has not been joined yet: the program knows only the simulator's handle of the
                // thread, and `dying` names each thread once. The join does not wait for long, because the thread is
                // about to end.
                unsafe { real::pthread_join()(kernel_thread, std::ptr::null_mut()) };
            }
            if let Some(stack) = record.stack {
                self.stacks.give(stack);
            }
        }
    }
}

// Passing the baton on.

/// Passes the baton to `next` and waits until it comes back.
fn switch(me: &'static Thread, next: Option<&'static Thread>) {
    let Some(next) = next else { report_deadlock(me) };
    if next.id != me.id {
        obey(me, baton::pass(me, next, Message::Run));
    } else {
        with(Simulation::bury);
    }
}

/// Does what the calling thread was told when it got the baton, and returns when it may run.
fn obey(me: &'static Thread, mut message: Message) {
    loop {
        match message {
            Message::Run => break,
            Message::Locate => {
                let (describe, reporter) = with(|s| (s.hooks.describe, s.reporter));
                outside(|| deadlock::make_statement(me, describe));
                message = match reporter {
                    Some(reporter) => baton::pass(me, reporter, Message::Run),
                    None => baton::receive(me),
                };
            }
            Message::ReportDeadlock => report_deadlock(me),
        }
    }
    progress::set_holder(me.kernel_id());
    with(Simulation::bury);
}

/// Fails, because no thread can ever run again. `me` has the baton.
fn report_deadlock(me: &'static Thread) -> ! {
    flush_trace();
    let (waiting, hooks) = with(|s| {
        s.reporter = Some(me);
        let records = s.threads.iter().filter(|r| r.thread.id == me.id || (r.thread.id > 0 && r.is_alive()));
        let waiting = records.map(|record| Waiting {
            thread: record.thread,
            name: record.name.clone(),
            state: record.state.to_string(),
            is_shown: !record.stands_by,
        });
        (waiting.collect::<Vec<_>>(), s.hooks)
    });
    outside(|| deadlock::fail(me, &waiting, hooks))
}

/// Makes the calling thread wait in virtual time. Returns true if the deadline has come.
pub(crate) fn block(me: &'static Thread, state: State, deadline: Option<u64>) -> bool {
    let next = with(|s| {
        s.threads.park(me.id, state, deadline);
        s.next()
    });
    switch(me, next);
    with(|s| s.threads.get(me.id).timed_out)
}

/// Passes the baton on with a probability of 1 in `odds`, if another thread can run.
pub(crate) fn maybe_switch(me: &'static Thread, odds: u64) {
    let next = with(|s| {
        s.threads.ring_timers(s.clock.now());
        if s.threads.ready().is_empty() || !s.choices.one_in(odds) {
            return None;
        }
        s.step_aside(me.id);
        Some(s.next())
    });
    if let Some(next) = next {
        switch(me, next);
    }
}

// What the program's calls do.

pub(crate) fn yield_now(me: &'static Thread) {
    let odds = with(|s| {
        s.clock.charge(YIELD);
        let record = s.threads.get_mut(me.id);
        record.yields += 1;
        if record.yields < YIELDS_IN_A_ROW {
            return YIELD_ODDS;
        }
        s.chooser.defer(me.id);
        1
    });
    maybe_switch(me, odds);
}

/// The allocator calls this at each allocation.
#[inline]
pub(crate) fn at_allocation(size: usize) {
    if size >= LARGE && current().is_some() {
        with(|s| s.clock.charge(size as u64 / BYTES_FILLED));
    }
    let left = ALLOCATIONS_LEFT.load(Ordering::Relaxed);
    if left > 0 {
        return ALLOCATIONS_LEFT.store(left - 1, Ordering::Relaxed);
    }
    if let Some(me) = current() {
        let again = with(|s| {
            s.clock.charge(ALLOCATION * ALLOCATIONS_BETWEEN / 2);
            s.choices.below(ALLOCATIONS_BETWEEN)
        });
        ALLOCATIONS_LEFT.store(again, Ordering::Relaxed);
        maybe_switch(me, 1);
    }
}

/// Instrumented code calls this at each edge of its control flow. It does so millions of times a second, and mostly nothing
/// happens: what is rare is kept out of line, so that the rest needs no stack.
#[inline]
pub(super) fn at_edge(edge: Option<Edge>) {
    let Some(me) = current() else { return };
    match edge.filter(|edge| edge.matters()) {
        Some(edge) => at_edge_that_matters(me, edge),
        None => count_edge(me),
    }
}

#[cold]
#[inline(never)]
fn at_edge_that_matters(me: &'static Thread, edge: Edge) {
    pass(me, edge);
    count_edge(me);
}

#[inline]
fn count_edge(me: &'static Thread) {
    let left = EDGES_LEFT.load(Ordering::Relaxed);
    if left == 0 {
        return let_another_run(me);
    }
    EDGES_LEFT.store(left - 1, Ordering::Relaxed);
}

/// So many edges were passed that another thread may run.
#[cold]
#[inline(never)]
fn let_another_run(me: &'static Thread) {
    let again = with(|s| {
        let edges = EDGES_BETWEEN.start + s.choices.below(EDGES_BETWEEN.end - EDGES_BETWEEN.start);
        s.clock.charge(EDGE * edges);
        let record = s.threads.get_mut(me.id);
        record.edge_stops += 1;
        if record.edge_stops.is_multiple_of(EDGE_STOPS_IN_A_ROW) {
            s.chooser.defer(me.id);
        }
        edges
    });
    EDGES_LEFT.store(again, Ordering::Relaxed);
    maybe_switch(me, 1);
}

/// Pauses the calling thread if the strategy wants that at this edge.
fn pass(me: &'static Thread, edge: Edge) {
    let next = with(|s| match s.chooser.at_edge(edge.number(), s.clock.now(), &mut s.choices) {
        AtEdge::Never => {
            edge.forget();
            None
        }
        AtEdge::GoOn => None,
        AtEdge::PauseUntil(until) => {
            s.threads.park(me.id, State::Pause, Some(until));
            Some(s.next())
        }
    });
    if let Some(next) = next {
        switch(me, next);
    }
}

/// The time on the monotonic clock, in nanoseconds.
pub(crate) fn read_clock(me: &'static Thread) -> u64 {
    let (now, in_a_loop) = with(|s| {
        s.clock.charge(CLOCK_READ);
        s.reads += 1;
        (s.clock.now(), s.reads >= READS_IN_A_ROW)
    });
    if in_a_loop {
        with(|s| {
            s.reads = 0;
            s.clock.charge(STEP);
            s.chooser.defer(me.id);
        });
        maybe_switch(me, 1);
    }
    now
}

/// The time that the monotonic clock will show after `wait` nanoseconds.
pub(crate) fn after(wait: u64) -> u64 {
    with(|s| s.clock.now().saturating_add(wait))
}

/// Wakes up to `count` threads that wait for the futex at `address`. Returns the number of threads that it has woken.
pub(crate) fn wake(me: &'static Thread, address: usize, count: usize) -> usize {
    let woken = with(|s| s.threads.wake(address, count));
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

// How threads start and end.

/// Adds a thread, which the caller is about to start, and returns it with its stack of at least `stack_size` bytes.
pub(crate) fn new_thread(me: &Thread, stack_size: usize) -> (&'static Thread, Stack) {
    let new = with(|s| {
        let stack = s.stacks.take(stack_size).map_err(|e| (e, s.others().count(), s.hooks))?;
        let thread = s.add_thread(State::Ready);
        // As in Linux, a new thread has its parent's name until it gets a name of its own.
        let name = s.threads.get(me.id).name.clone();
        let record = s.threads.get_mut(thread.id);
        (record.name, record.stack) = (name, Some(stack));
        Ok((thread, stack))
    });
    new.unwrap_or_else(|(NoStack { size }, others, hooks): (NoStack, usize, Hooks)| {
        (hooks.fail)(&format!(
            "simulation: there is no memory for the stack of another thread, of {} KiB, beside those of {others} \
             threads that have not ended (a simulation has room for {} stacks of the usual size; ulimit -v and \
             vm.max_map_count may allow fewer)",
            size >> 10,
            stacks::MOST
        ))
    })
}

/// Notes that a new thread has been started.
pub(crate) fn started(me: &'static Thread, thread: &'static Thread, kernel_thread: Option<libc::pthread_t>) {
    with(|s| s.threads.get_mut(thread.id).kernel_thread = kernel_thread);
    maybe_switch(me, START_ODDS);
}

/// Removes a new thread, because it could not be started.
pub(crate) fn not_started(thread: &'static Thread) {
    with(|s| {
        if let Some(stack) = s.threads.discard(thread.id) {
            s.stacks.give(stack);
        }
    });
}

/// Makes the calling thread `thread`, and waits until it may run.
pub(crate) fn enter(thread: &'static Thread) {
    let message = baton::receive(thread);
    thread.enter();
    obey(thread, message);
}

/// Ends the calling thread, `me`. Returns only if it has a kernel thread of its own, whose later calls are real.
pub(crate) fn exit(me: &'static Thread) {
    let (next, message) = with(|s| {
        s.threads.exit(me.id);
        s.dying = Some(me.id);
        match s.next() {
            Some(next) => (next, Message::Run),
            // This thread cannot report the deadlock that it leaves behind: its thread-local values are gone.
            None => {
                let witness = s.others().next().unwrap_or(s.threads.get(0));
                (witness.thread, Message::ReportDeadlock)
            }
        }
    });
    thread::leave();
    baton::pass_for_good(me, next, message);
}

/// Waits for the end of a thread.
pub(crate) fn join(me: &'static Thread, id: usize) {
    if with(|s| s.threads.get(id).is_alive()) {
        block(me, State::Join(id), None);
    }
}

/// The stack of a thread. None: a real one.
pub(crate) fn stack(id: usize) -> Option<Stack> {
    with(|s| s.threads.get(id).stack)
}

pub(crate) fn set_name(id: usize, name: &str) {
    with(|s| s.threads.get_mut(id).name = name.to_string());
}

/// The numbers and names of the threads that have not ended.
pub(crate) fn alive() -> Vec<(usize, String)> {
    with(|s| {
        let alive = s.threads.iter().filter(|record| record.is_alive());
        alive.map(|record| (record.thread.id, record.name.clone())).collect()
    })
}

/// The places where these threads are, by their numbers. Empty for a thread that has not begun or has ended, and for `me`.
pub(crate) fn locate(me: &'static Thread, ids: &[usize]) -> Vec<Vec<Place>> {
    let alive: Vec<(usize, &'static Thread)> = with(|s| {
        s.reporter = Some(me);
        let records = ids.iter().enumerate().map(|(i, id)| (i, s.threads.get(*id)));
        let threads = records.filter(|(_, r)| r.is_alive()).map(|(i, r)| (i, r.thread));
        threads.filter(|(_, thread)| thread.has_begun() && thread.id != me.id).collect()
    });
    let mut places: Vec<Vec<Place>> = ids.iter().map(|_| Vec::new()).collect();
    let threads: Vec<&Thread> = alive.iter().map(|(_, thread)| *thread).collect();
    let located = outside(|| deadlock::locate(me, &threads));
    for ((i, _), found) in alive.into_iter().zip(located) {
        places[i] = found;
    }
    with(|s| s.reporter = None);
    progress::set_holder(me.kernel_id());
    places
}

/// Pauses the threads that `is_chosen` chooses by number and name, except `me`.
pub(crate) fn pause(me: &'static Thread, duration: u64, mut is_chosen: impl FnMut(usize, &str) -> bool) {
    with(|s| {
        let alive = s.threads.iter().filter(|record| record.is_alive() && record.thread.id != me.id);
        let chosen: Vec<usize> =
            alive.filter(|r| is_chosen(r.thread.id, &r.name)).map(|r| r.thread.id).collect();
        let until = s.clock.now() + duration;
        chosen.into_iter().for_each(|id| s.threads.pause(id, until));
    });
}

pub(crate) fn calm() {
    with(|s| s.chooser.calm());
}

pub(crate) fn stand_by(me: &'static Thread) {
    with(|s| s.threads.get_mut(me.id).stands_by = true);
}

// The trace.

pub(crate) fn trace(me: &'static Thread, text: fmt::Arguments<'_>) {
    with(|s| s.trace(me.id, text));
}

pub(crate) fn flush_trace() {
    with(Simulation::flush_trace);
}

pub(crate) fn is_tracing() -> bool {
    with(|s| s.trace.is_some())
}

// A simulation from its beginning to its end.

/// The totals of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) nanoseconds: u64,
    pub(crate) steps: u64,
    pub(crate) fingerprint: u64,
}

/// Makes the calling thread the first one of a simulation, and runs `f` on it. When `f` returns, the other threads stop
/// where they are, for good. Returns the totals and the names of the threads that have not ended.
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
    ALLOCATIONS_LEFT.store(simulation.choices.below(ALLOCATIONS_BETWEEN), Ordering::Relaxed);
    EDGES_LEFT.store(simulation.choices.below(EDGES_BETWEEN.end), Ordering::Relaxed);
    edges::all_matter();
    // SAFETY: no thread has the baton, so no thread is in `with`. An earlier simulation has ended, and the threads that
    // it left have stopped for good.
    unsafe { *SIMULATION.0.get() = Some(simulation) };
    me.enter();
    progress::set_holder(me.kernel_id());
    f();
    let end = with(|s| {
        let totals = Totals { nanoseconds: s.clock.elapsed(), steps: s.steps, fingerprint: s.fingerprint };
        s.trace(me.id, format_args!("end: {totals:?}"));
        s.flush_trace();
        (totals, s.others().map(|record| record.name.clone()).collect())
    });
    thread::leave();
    end
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;
    use crate::options::{Options, Switcher};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    fn simulate_priorities(seed: u64, f: impl FnOnce() + Send + 'static) -> Duration {
        let hooks = Hooks { describe: || None, fail: |why| panic!("{why}"), places: |_| String::new() };
        let strategy = Strategy::Priorities;
        let options = Options { seed, strategy, trace: None, switcher: Switcher::Registers, hooks };
        run(options, "test", f).elapsed
    }

    /// Many threads wait in a loop for one, which may have the lowest priority. However they wait, that one must get on.
    #[test]
    fn a_thread_that_waits_in_a_loop_gets_a_low_priority() {
        fn pass_edges() {
            at_edge(None);
        }
        fn look_at_the_clock() {
            let _ = Instant::now();
        }
        for wait in [pass_edges, look_at_the_clock, std::thread::yield_now] {
            for seed in 1..=10 {
                let elapsed = simulate_priorities(seed, move || {
                    let is_done = Arc::new(AtomicBool::new(false));
                    let work = |i: usize| {
                        let is_done = is_done.clone();
                        std::thread::spawn(move || match i {
                            30 => {
                                (0..1000).for_each(|_| at_edge(None));
                                is_done.store(true, Ordering::Relaxed);
                            }
                            _ => {
                                while !is_done.load(Ordering::Relaxed) {
                                    wait();
                                }
                            }
                        })
                    };
                    let threads: Vec<_> = (0..60).map(work).collect();
                    threads.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
                });
                assert!(elapsed < Duration::from_millis(100), "seed {seed}: {elapsed:?}");
            }
        }
    }
}
