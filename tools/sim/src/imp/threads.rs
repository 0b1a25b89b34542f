//! The scheduler's record of each thread: what it does, and what it waits for.

use super::stacks::Stack;
use super::thread::Thread;
use super::timers::Timers;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It can run, and waits for the baton.
    Ready,
    Running,
    /// It waits for a wake-up of the futex at this address.
    Futex(usize),
    Sleep,
    /// The strategy or `crate::pause` has paused it. It waits as if it slept, but it did not ask to.
    Pause,
    /// It waits for the end of the thread with this number.
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
pub(crate) struct Record {
    pub(crate) thread: &'static Thread,
    pub(crate) name: String,
    pub(crate) state: State,
    /// The time at which the thread stops waiting at the latest.
    deadline: Option<u64>,
    /// How many times the thread has waited. This number tells a timer of the current wait from an earlier wait's.
    waits: u64,
    /// True if the last wait ended at its deadline.
    pub(crate) timed_out: bool,
    /// The time before which the thread must not run, once its present wait has ended.
    paused_until: Option<u64>,
    /// Whether the wait timed out that ended while the thread was paused.
    has_timed_out: Option<bool>,
    /// How many times the thread has yielded since it last waited.
    pub(crate) yields: u32,
    /// How many times since then the thread has come to an edge at which another could run.
    pub(crate) edge_stops: u32,
    /// True if the thread only watches the others (see `crate::stand_by`).
    pub(crate) stands_by: bool,
    /// The thread's own kernel thread, if it has one. It is joined after the simulated thread has ended.
    pub(crate) kernel_thread: Option<libc::pthread_t>,
    /// The thread's stack. None: the first thread, which begins on a real one.
    pub(crate) stack: Option<Stack>,
}

impl Record {
    /// True if a deadline of this thread means that the simulation is not deadlocked.
    fn counts(&self) -> bool {
        !self.stands_by || self.state == State::Pause
    }

    /// True until the thread has ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.state != State::Exited
    }
}

/// All threads of a simulation.
#[derive(Default)]
pub(crate) struct Threads {
    records: Vec<Record>,
    /// The numbers of the threads that can run.
    ready: Vec<usize>,
    waiters: Waiters,
    timers: Timers,
    /// How many threads have a deadline that counts (see `Record::counts`).
    timed: usize,
    /// How many threads have not ended.
    alive: usize,
}

/// The largest number of threads that had not ended at any one time. Outside of `Threads`, because the simulation may have
/// ended when somebody asks.
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// See `crate::peak`.
pub(crate) fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}

impl Threads {
    /// Adds a thread without a name.
    pub(crate) fn add(&mut self, state: State) -> &'static Thread {
        let thread = Thread::new(self.records.len());
        self.records.push(Record {
            thread,
            name: String::new(),
            state,
            deadline: None,
            waits: 0,
            timed_out: false,
            paused_until: None,
            has_timed_out: None,
            yields: 0,
            edge_stops: 0,
            stands_by: false,
            kernel_thread: None,
            stack: None,
        });
        if state == State::Ready {
            self.ready.push(thread.id);
        }
        self.alive += 1;
        PEAK.fetch_max(self.alive, Ordering::Relaxed);
        thread
    }

    pub(crate) fn get(&self, id: usize) -> &Record {
        &self.records[id]
    }

    pub(crate) fn get_mut(&mut self, id: usize) -> &mut Record {
        &mut self.records[id]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    pub(crate) fn ready(&self) -> &[usize] {
        &self.ready
    }

    /// Makes the ready thread at this index of `ready` the running one, and returns its number.
    pub(crate) fn set_running(&mut self, index: usize) -> usize {
        let id = self.ready.swap_remove(index);
        self.records[id].state = State::Running;
        id
    }

    /// Makes the running thread one that can run.
    pub(crate) fn set_ready(&mut self, id: usize) {
        self.records[id].state = State::Ready;
        self.ready.push(id);
    }

    /// Makes a thread wait.
    pub(crate) fn park(&mut self, id: usize, state: State, deadline: Option<u64>) {
        let record = &mut self.records[id];
        (record.state, record.deadline, record.timed_out) = (state, deadline, false);
        (record.yields, record.edge_stops) = (0, 0);
        record.waits += 1;
        if let State::Futex(address) = state {
            self.waiters.add(address, id);
        }
        if let Some(deadline) = deadline {
            self.timed += usize::from(record.counts());
            self.timers.add(deadline, id, record.waits);
        }
    }

    /// Ends a thread's wait.
    fn unpark(&mut self, id: usize, timed_out: bool) {
        let record = &mut self.records[id];
        if record.deadline.take().is_some() {
            self.timed -= usize::from(record.counts());
        }
        if let State::Futex(address) = record.state {
            self.waiters.remove(address, id);
        }
        // The end of a pause does not hide how the wait before it ended.
        record.timed_out = record.has_timed_out.take().unwrap_or(timed_out);
        match record.paused_until.take() {
            // If this time has passed, the pause ends at once.
            Some(until) => {
                record.has_timed_out = Some(record.timed_out);
                self.park(id, State::Pause, Some(until));
            }
            None => self.set_ready(id),
        }
    }

    /// Keeps a thread, which is not the running one, from running before `until`.
    pub(crate) fn pause(&mut self, id: usize, until: u64) {
        let record = &mut self.records[id];
        if record.state == State::Ready {
            record.has_timed_out = Some(record.timed_out);
            self.ready.retain(|ready| *ready != id);
            self.park(id, State::Pause, Some(until));
        } else {
            record.paused_until = Some(until);
        }
    }

    /// Ends the waits of up to `count` threads that wait for the futex at `address`, the longest-waiting first. Returns
    /// the number of threads that it has woken.
    pub(crate) fn wake(&mut self, address: usize, count: usize) -> usize {
        let mut woken = 0;
        while woken < count
            && let Some(id) = self.waiters.first(address)
        {
            self.unpark(id, false);
            woken += 1;
        }
        woken
    }

    /// Ends a thread, and the waits of those that join it.
    pub(crate) fn exit(&mut self, id: usize) {
        self.records[id].state = State::Exited;
        self.alive -= 1;
        for other in 0..self.records.len() {
            if self.records[other].state == State::Join(id) {
                self.unpark(other, false);
            }
        }
    }

    /// Ends a ready thread that has never run. Returns its stack.
    pub(crate) fn discard(&mut self, id: usize) -> Option<Stack> {
        self.ready.retain(|ready| *ready != id);
        self.records[id].state = State::Exited;
        self.alive -= 1;
        self.records[id].stack
    }

    /// The earliest deadline. None: no thread has a deadline that counts, so the threads are deadlocked.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        if self.timed == 0 {
            return None;
        }
        self.first_timer().map(|(deadline, _)| deadline)
    }

    /// Ends the waits whose deadlines have come.
    pub(crate) fn ring_timers(&mut self, now: u64) {
        while let Some((deadline, id)) = self.first_timer()
            && deadline <= now
        {
            self.timers.remove_first();
            self.unpark(id, true);
        }
    }

    /// The earliest deadline and its thread, even if that thread's deadline does not count.
    fn first_timer(&mut self) -> Option<(u64, usize)> {
        let records = &self.records;
        self.timers.first(|id, wait| records[id].deadline.is_some() && records[id].waits == wait)
    }
}

/// The threads that wait for a futex, in a table that is hashed by the futex's address.
struct Waiters([Vec<Waiter>; WAITER_LISTS]);

const WAITER_LISTS: usize = 64;

/// The address of a futex, and a thread that waits for it.
type Waiter = (usize, usize);

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters([const { Vec::new() }; WAITER_LISTS])
    }
}

impl Waiters {
    /// The waiters for the futex at this address and at some others, the longest-waiting first.
    fn list(&mut self, address: usize) -> &mut Vec<Waiter> {
        // The addresses are multiples of 4, and neighbours are often in one allocation.
        &mut self.0[(address >> 2 ^ address >> 8) % WAITER_LISTS]
    }

    fn add(&mut self, address: usize, thread: usize) {
        self.list(address).push((address, thread));
    }

    fn remove(&mut self, address: usize, thread: usize) {
        self.list(address).retain(|waiter| *waiter != (address, thread));
    }

    /// The thread that has waited longest for the futex at this address.
    fn first(&mut self, address: usize) -> Option<usize> {
        self.list(address).iter().find(|(waited_for, _)| *waited_for == address).map(|(_, thread)| *thread)
    }
}
