//! Messages by which one kernel thread tells another to run.
//!
//! Each simulated thread has an inbox and sleeps on it while it does not run. `Message::Run` gives
//! the baton to the inbox's owner.

use super::real;
use std::sync::atomic::{AtomicU32, Ordering};

/// An order to the owner of an inbox.
#[derive(Clone, Copy)]
pub(crate) enum Message {
    /// Run: the owner has the baton now.
    Run = 1,
    /// Write a statement about where the owner is, for the report of a deadlock, and go on waiting.
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

    /// Leaves a message and wakes the owner. The owner sees everything that this thread wrote before.
    pub(crate) fn send(&self, message: Message) {
        self.0.store(message as u32, Ordering::Release);
        real::wake(&self.0);
    }

    /// Waits for a message and takes it.
    pub(crate) fn receive(&self) -> Message {
        let message = loop {
            match self.0.load(Ordering::Acquire) {
                EMPTY => real::wait(&self.0, EMPTY),
                value if value == Message::Run as u32 => break Message::Run,
                value if value == Message::Locate as u32 => break Message::Locate,
                _ => break Message::ReportDeadlock,
            }
        };
        self.0.store(EMPTY, Ordering::Relaxed);
        message
    }
}
