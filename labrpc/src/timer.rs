//! The timer: one thread that does what is due at a time, and that looks again and again at what takes long.
//!
//! The timer does not know what it keeps; see [`Pending`].
//!
//! Lock order: the timer's queue, then whatever lock [`Pending::is_doomed`] takes. The queue is not locked while anything
//! happens or ends.

use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something that a timer waits for.
pub(crate) trait Pending {
    /// What can happen to it later.
    type Event;

    /// The time from one look at it to the next, for as long as it is watched.
    const LOOK_INTERVAL: Duration;

    /// Lets an event happen that is due. Runs on the timer's thread, and must not block.
    fn happen(self: Arc<Self>, event: Self::Event);

    /// True while it is to be looked at.
    fn is_watched(&self) -> bool;

    /// A look at it. True: it cannot succeed any more, and is to end.
    fn is_doomed(&self) -> bool;

    /// Ends it before its time. Must not block.
    fn end(&self);
}

pub(crate) struct Timer<P: Pending> {
    queue: Mutex<Queue<P>>,
    wake: Condvar,
}

struct Queue<P: Pending> {
    events: BinaryHeap<Reverse<Entry<P>>>,
    /// What is watched, by the time of the next look. Each waits for the same time, so new ones go to the back. One that is
    /// not watched any more leaves when it gets to the front.
    looks: VecDeque<(Instant, Arc<P>)>,
    /// The `seq` of the next entry.
    seq: u64,
    is_stopped: bool,
    /// Until when the thread sleeps. None: until it is woken.
    asleep_until: Option<Instant>,
}

struct Entry<P: Pending> {
    at: Instant,
    /// Of the events that are due at the same time, the one with the lowest number happens first.
    seq: u64,
    pending: Arc<P>,
    event: P::Event,
}

impl<P: Pending> Timer<P> {
    pub(crate) fn new() -> Timer<P> {
        let queue = Queue {
            events: BinaryHeap::new(),
            looks: VecDeque::new(),
            seq: 0,
            is_stopped: false,
            asleep_until: None,
        };
        Timer { queue: Mutex::new(queue), wake: Condvar::new() }
    }

    /// Lets `event` happen after `delay`. Once the timer has stopped, ends `pending` at once.
    pub(crate) fn after(&self, delay: Duration, pending: Arc<P>, event: P::Event) {
        let mut queue = self.queue.lock();
        if queue.is_stopped {
            drop(queue);
            return pending.end();
        }
        let (at, seq) = (Instant::now() + delay, queue.seq);
        queue.seq += 1;
        queue.events.push(Reverse(Entry { at, seq, pending, event }));
        self.wake_for(&queue, at);
    }

    /// Looks at `pending` once in each interval, for as long as it is watched. False when the timer has stopped: then `pending`
    /// has ended.
    pub(crate) fn watch(&self, pending: &Arc<P>) -> bool {
        let mut queue = self.queue.lock();
        if queue.is_stopped {
            drop(queue);
            pending.end();
            return false;
        }
        let at = Instant::now() + P::LOOK_INTERVAL;
        queue.looks.push_back((at, pending.clone()));
        self.wake_for(&queue, at);
        true
    }

    fn wake_for(&self, queue: &Queue<P>, at: Instant) {
        if queue.asleep_until.is_none_or(|until| at < until) {
            self.wake.notify_one();
        }
    }

    /// Lets the earliest of the events happen now that `may` happen before their time. False: there is none. Runs on the
    /// calling thread.
    pub(crate) fn hurry(&self, may: impl Fn(&P, &P::Event) -> bool) -> bool {
        let mut queue = self.queue.lock();
        let mut events = std::mem::take(&mut queue.events).into_vec();
        let candidates = (events.iter().enumerate()).filter(|(_, Reverse(e))| may(&e.pending, &e.event));
        let first = candidates.min_by_key(|(_, Reverse(entry))| entry.key()).map(|(i, _)| i);
        let first = first.map(|i| events.swap_remove(i));
        queue.events = events.into();
        drop(queue);
        let Some(Reverse(Entry { pending, event, .. })) = first else { return false };
        pending.happen(event);
        true
    }

    /// Ends all that is pending, and the thread.
    pub(crate) fn stop(&self) {
        let mut queue = self.queue.lock();
        queue.is_stopped = true;
        let events = std::mem::take(&mut queue.events);
        let looks = std::mem::take(&mut queue.looks);
        drop(queue);
        self.wake.notify_one();
        for Reverse(entry) in events {
            entry.pending.end();
        }
        for (_, pending) in looks {
            pending.end();
        }
    }

    /// The thread.
    pub(crate) fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.is_stopped {
            let now = Instant::now();
            if let Some(Entry { pending, event, .. }) = queue.pop_due(now) {
                MutexGuard::unlocked(&mut queue, || pending.happen(event));
                continue;
            }
            match queue.look(now) {
                Look::Doomed(pending) => MutexGuard::unlocked(&mut queue, || pending.end()),
                Look::GoesOn => {}
                Look::NothingDue => self.sleep(&mut queue),
            }
        }
    }

    fn sleep(&self, queue: &mut MutexGuard<'_, Queue<P>>) {
        queue.asleep_until = queue.next();
        match queue.asleep_until {
            Some(until) => drop(self.wake.wait_until(queue, until)),
            None => self.wake.wait(queue),
        }
        // Nothing is due before now, so nobody wakes the thread while it is awake: it sees for itself what is new.
        queue.asleep_until = Some(Instant::now());
    }
}

/// What became of one look.
enum Look<P> {
    Doomed(Arc<P>),
    GoesOn,
    NothingDue,
}

impl<P: Pending> Queue<P> {
    /// When the thread has to do something next.
    fn next(&self) -> Option<Instant> {
        let event = self.events.peek().map(|Reverse(entry)| entry.at);
        let look = self.looks.front().map(|(at, _)| *at);
        [event, look].into_iter().flatten().min()
    }

    fn pop_due(&mut self, now: Instant) -> Option<Entry<P>> {
        if self.events.peek().is_some_and(|Reverse(entry)| entry.at <= now) {
            return self.events.pop().map(|Reverse(entry)| entry);
        }
        None
    }

    /// Drops what is not watched any more from the front, and takes one look if its time has come.
    fn look(&mut self, now: Instant) -> Look<P> {
        while let Some((at, pending)) = self.looks.pop_front() {
            if !pending.is_watched() {
                continue;
            }
            if at > now {
                self.looks.push_front((at, pending));
                return Look::NothingDue;
            }
            if pending.is_doomed() {
                return Look::Doomed(pending);
            }
            self.looks.push_back((at + P::LOOK_INTERVAL, pending));
            return Look::GoesOn;
        }
        Look::NothingDue
    }
}

impl<P: Pending> Entry<P> {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.seq)
    }
}

impl<P: Pending> PartialEq for Entry<P> {
    fn eq(&self, other: &Entry<P>) -> bool {
        self.key() == other.key()
    }
}

impl<P: Pending> Eq for Entry<P> {}

impl<P: Pending> PartialOrd for Entry<P> {
    fn partial_cmp(&self, other: &Entry<P>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P: Pending> Ord for Entry<P> {
    fn cmp(&self, other: &Entry<P>) -> Ordering {
        self.key().cmp(&other.key())
    }
}
