//! Messages from one simulated thread to another.

use super::real;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a thread is told when it gets the baton.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    /// Go on.
    Run = 1,
    /// Write a statement about where you are, for the report of a deadlock, and pass the baton back.
    Locate = 2,
    /// Report that all threads are deadlocked.
    ReportDeadlock = 3,
}

/// The value of an inbox without a message.
const EMPTY: u32 = 0;

/// Holds one message at most. A thread gets a message only when it waits for one, so none is overwritten.
pub(crate) struct Inbox(AtomicU32);

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox(AtomicU32::new(EMPTY))
    }

    /// Leaves a message. Its reader sees everything that this thread wrote before.
    #[inline]
    pub(crate) fn put(&self, message: Message) {
        self.0.store(message as u32, Ordering::Release);
    }

    /// Wakes the kernel thread that waits for a message.
    pub(crate) fn wake(&self) {
        real::wake(&self.0);
    }

    /// Puts the calling kernel thread to sleep until there is a message.
    pub(crate) fn wait(&self) {
        while self.0.load(Ordering::Acquire) == EMPTY {
            real::wait(&self.0, EMPTY);
        }
    }

    /// Takes the message that is there.
    #[inline]
    pub(crate) fn take(&self) -> Message {
        let value = self.0.load(Ordering::Acquire);
        self.0.store(EMPTY, Ordering::Relaxed);
        match value {
            value if value == Message::Locate as u32 => Message::Locate,
            value if value == Message::ReportDeadlock as u32 => Message::ReportDeadlock,
            _ => Message::Run,
        }
    }
}
