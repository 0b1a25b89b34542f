//! Each thread says what it does and where it is: for the report of a deadlock, and when the program asks.

use super::inbox::Message;
use super::thread::{Statement, Thread};
use super::{baton, places};
use crate::options::{Hooks, Place};
use backtrace::Backtrace;
use std::fmt::Write;
use std::sync::PoisonError;

/// A thread that waits forever.
pub(crate) struct Waiting {
    pub(crate) thread: &'static Thread,
    pub(crate) name: String,
    /// What it waits for.
    pub(crate) state: String,
    /// False for a thread that only watches the others.
    pub(crate) is_shown: bool,
}

/// Makes the calling thread, which is `me`, say where it is.
pub(crate) fn make_statement(me: &Thread, describe: fn() -> Option<String>) {
    let statement = Statement { task: describe(), backtrace: Backtrace::new_unresolved() };
    *me.statement.lock().unwrap_or_else(PoisonError::into_inner) = Some(statement);
}

/// Asks these threads, which have not ended, where they are. The calling thread is `me`, none of them.
pub(crate) fn locate(me: &Thread, threads: &[&Thread]) -> Vec<Vec<Place>> {
    let place = |thread: &&Thread| {
        baton::pass(me, thread, Message::Locate);
        let statement = thread.statement.lock().unwrap_or_else(PoisonError::into_inner).take();
        statement.map_or_else(Vec::new, |statement| places::of_backtrace(statement.backtrace))
    };
    threads.iter().map(place).collect()
}

/// Asks each waiting thread for its statement, and fails with the report. The calling thread is `me`, one of them.
pub(crate) fn fail(me: &Thread, waiting: &[Waiting], hooks: Hooks) -> ! {
    make_statement(me, hooks.describe);
    for other in waiting.iter().filter(|waiting| waiting.thread.id != me.id) {
        baton::pass(me, other.thread, Message::Locate);
    }
    let mut text = "deadlock: every thread waits, and no wait has a time limit\n".to_string();
    for waiting in waiting.iter().filter(|waiting| waiting.is_shown) {
        let statement = waiting.thread.statement.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Statement { task, backtrace }) = statement else { continue };
        let name = task.as_ref().unwrap_or(&waiting.name);
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread \"{name}\" {}, at", waiting.state);
        text += &(hooks.places)(&places::of_backtrace(backtrace));
    }
    (hooks.fail)(&text)
}
