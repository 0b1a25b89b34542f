//! Counts the messages between servers, and compares them with what consensus needs.

use labrpc::Departure;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The messages between a test's servers, and the operations of its clients. Several threads may call the methods at once.
pub struct Traffic {
    /// How many requests other servers have sent to each server.
    to: Vec<AtomicUsize>,
    /// How many requests each server has sent to others. A server that leads all the time may get none.
    from: Vec<AtomicUsize>,
    /// How many operations have begun.
    begun: AtomicUsize,
    /// How many operations are under way.
    pending: AtomicUsize,
    /// How many puts and appends were lone: no other operation was under way while they were.
    lone_writes: AtomicUsize,
}

/// An operation under way.
pub struct UnderWay {
    number: usize,
    is_alone: bool,
}

impl Traffic {
    pub fn new(servers: usize) -> Traffic {
        let none = || (0..servers).map(|_| AtomicUsize::new(0)).collect();
        Traffic {
            to: none(),
            from: none(),
            begun: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            lone_writes: AtomicUsize::new(0),
        }
    }

    /// Notes a message that leaves its sender. The ends of servers are named "1 to 2, 7": from server 1 to server 2.
    pub fn note(&self, departure: Departure<'_>) {
        let Departure::Request { end } = departure else { return };
        let Some((from, to)) = end.split_once(" to ") else { return };
        let to = to.split(',').next().and_then(|to| to.parse::<usize>().ok());
        if let (Ok(from), Some(to)) = (from.parse::<usize>(), to)
            && from != to
            && let (Some(sent), Some(got)) = (self.from.get(from), self.to.get(to))
        {
            sent.fetch_add(1, Ordering::Relaxed);
            got.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A client begins an operation.
    pub fn begin(&self) -> UnderWay {
        let is_alone = self.pending.fetch_add(1, Ordering::SeqCst) == 0;
        UnderWay { number: self.begun.fetch_add(1, Ordering::SeqCst) + 1, is_alone }
    }

    /// The operation has ended. `is_write`: it was a put or an append.
    pub fn end(&self, UnderWay { number, is_alone }: UnderWay, is_write: bool) {
        if is_write && is_alone && self.begun.load(Ordering::SeqCst) == number {
            self.lone_writes.fetch_add(1, Ordering::Relaxed);
        }
        self.pending.fetch_sub(1, Ordering::SeqCst);
    }

    /// What is odd about the messages: a sentence for each thing.
    ///
    /// A server executes a write when a majority has it, so half of the other servers at least have got it in a message. Two
    /// writes of which one ended before the other began were not in the same message. Every server gets the leader's requests, or
    /// leads.
    pub fn remarks(&self) -> Vec<String> {
        let count = |counts: &[AtomicUsize], i: usize| counts[i].load(Ordering::Relaxed);
        let servers = self.to.len();
        let is_alone = |i: &usize| count(&self.to, *i) == 0 && count(&self.from, *i) == 0;
        let alone: Vec<String> = (0..servers).filter(is_alone).map(|i| i.to_string()).collect();
        let mut remarks = Vec::new();
        if !alone.is_empty() {
            let (noun, verb) = if alone.len() == 1 { ("server", "has") } else { ("servers", "have") };
            remarks.push(format!(
                "{noun} {} {verb} exchanged no message with another server: look at how the servers communicate",
                alone.join(", ")
            ));
        }
        let lone_writes = self.lone_writes.load(Ordering::Relaxed);
        let needed = lone_writes * (servers / 2);
        let sent = (0..servers).map(|i| count(&self.from, i)).sum::<usize>();
        if sent < needed {
            remarks.push(format!(
                "{sent} messages between servers, and {lone_writes} writes of a lone client need at least {needed}: look at \
                 how the servers communicate"
            ));
        }
        remarks
    }
}
