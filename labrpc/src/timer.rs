//! The network's one thread: it delivers what is delayed, and looks after calls whose handler takes long.
//!
//! Lock order: the timer's queue, then the network's state. The queue is not held while anything happens to a call.

use crate::network::{Call, State};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the network looks whether a call's server is still there, while its handler runs (`ProcessReq` in
/// labrpc.go).
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is due at a time.
pub(crate) enum Due {
    /// A delayed request reaches its server, or is lost on the way.
    Request(Box<dyn FnOnce() + Send>),
    /// A call ends: with a delayed reply, or with none.
    Answer(Option<Vec<u8>>),
}

struct Entry {
    at: Instant,
    /// Entries due at the same time leave in the order in which they came.
    seq: u64,
    call: Arc<Call>,
    due: Due,
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.seq)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Default)]
struct Queue {
    delayed: BinaryHeap<Reverse<Entry>>,
    /// Calls whose handler runs, by the time of the next look; every call waits equally long, so this is a queue.
    /// Calls whose handler has returned leave it with the next look at any.
    looks: VecDeque<(Instant, Arc<Call>)>,
    seq: u64,
    stopped: bool,
    /// Until when the thread sleeps; None: until it is woken.
    asleep_until: Option<Instant>,
}

impl Queue {
    fn next(&self) -> Option<Instant> {
        let delayed = self.delayed.peek().map(|Reverse(entry)| entry.at);
        let look = self.looks.front().map(|(at, _)| *at);
        [delayed, look].into_iter().flatten().min()
    }
}

#[derive(Default)]
pub(crate) struct Timer {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Timer {
    /// Lets `due` happen to the call after `delay`. Once the timer has stopped, the call ends with no reply at once.
    pub(crate) fn after(&self, delay: Duration, call: Arc<Call>, due: Due) {
        let mut queue = self.queue.lock();
        if queue.stopped {
            drop(queue);
            return call.finish(None);
        }
        let (at, seq) = (Instant::now() + delay, queue.seq);
        queue.seq += 1;
        queue.delayed.push(Reverse(Entry { at, seq, call, due }));
        self.wake_for(&queue, at);
    }

    /// Has the call looked after while its handler runs. False when the timer has stopped: the call has ended.
    pub(crate) fn look_after(&self, call: &Arc<Call>) -> bool {
        let mut queue = self.queue.lock();
        if queue.stopped {
            drop(queue);
            call.finish(None);
            return false;
        }
        let at = Instant::now() + LOOK_INTERVAL;
        queue.looks.push_back((at, call.clone()));
        self.wake_for(&queue, at);
        true
    }

    fn wake_for(&self, queue: &Queue, at: Instant) {
        if queue.asleep_until.is_none_or(|until| at < until) {
            self.wake.notify_one();
        }
    }

    /// Ends every pending call with no reply, and the thread.
    pub(crate) fn stop(&self) {
        let mut queue = self.queue.lock();
        queue.stopped = true;
        let delayed = std::mem::take(&mut queue.delayed);
        let looks = std::mem::take(&mut queue.looks);
        drop(queue);
        self.wake.notify_one();
        for Reverse(entry) in delayed {
            entry.call.finish(None);
        }
        for (_, call) in looks {
            call.finish(None);
        }
    }

    /// The thread. Nothing it runs blocks: requests go to the pool, answers into channels.
    pub(crate) fn run(&self, state: &Mutex<State>) {
        let mut queue = self.queue.lock();
        while !queue.stopped {
            let now = Instant::now();
            if let Some(entry) = pop_due(&mut queue, now) {
                MutexGuard::unlocked(&mut queue, || entry.happen());
                continue;
            }
            match look(&mut queue, now, state) {
                Look::CutOff(call) => MutexGuard::unlocked(&mut queue, || call.finish(None)),
                Look::Intact => {}
                Look::NothingDue => self.sleep(&mut queue),
            }
        }
    }
}

impl Timer {
    fn sleep(&self, queue: &mut MutexGuard<'_, Queue>) {
        queue.asleep_until = queue.next();
        match queue.asleep_until {
            Some(until) => drop(self.wake.wait_until(queue, until)),
            None => self.wake.wait(queue),
        }
        // While the thread is awake it sees for itself what is new: nothing is earlier than now.
        queue.asleep_until = Some(Instant::now());
    }
}

impl Entry {
    fn happen(self) {
        match self.due {
            Due::Request(deliver) => deliver(),
            Due::Answer(reply) => self.call.finish(reply),
        }
    }
}

fn pop_due(queue: &mut Queue, now: Instant) -> Option<Entry> {
    if queue.delayed.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
        return queue.delayed.pop().map(|Reverse(entry)| entry);
    }
    None
}

/// What a look at the calls whose handler runs found.
enum Look {
    /// This call's server is gone: it ends without a reply.
    CutOff(Arc<Call>),
    /// A call was due, and goes on.
    Intact,
    NothingDue,
}

/// Drops the calls at the head of the queue whose handler has returned, and looks at one whose time has come.
fn look(queue: &mut Queue, now: Instant, state: &Mutex<State>) -> Look {
    while let Some((at, call)) = queue.looks.pop_front() {
        if !call.is_with_handler() {
            continue;
        }
        if at > now {
            queue.looks.push_front((at, call));
            return Look::NothingDue;
        }
        if call.is_cut_off(&state.lock()) {
            return Look::CutOff(call);
        }
        queue.looks.push_back((at + LOOK_INTERVAL, call));
        return Look::Intact;
    }
    Look::NothingDue
}
