//! Simulated threads, and whether the calling thread is one of them.

use super::context::Context;
use super::inbox::Inbox;
use backtrace::Backtrace;
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

/// A simulated thread. It is never freed.
pub(crate) struct Thread {
    /// The thread's number: threads are numbered from 0 in the order in which they are started.
    pub(crate) id: usize,
    /// The inbox at which the thread waits while it does not run.
    pub(crate) inbox: Inbox,
    /// Where the thread goes on, if it shares its kernel thread with others.
    pub(crate) context: Context,
    /// The thread's statement for the report of a deadlock. The thread writes it when it is asked.
    pub(crate) statement: Mutex<Option<Statement>>,
    kernel_id: AtomicI32,
}

/// What a thread says about itself in the report of a deadlock.
pub(crate) struct Statement {
    /// What the thread does, if `Hooks::describe` knows more than its name.
    pub(crate) task: Option<String>,
    pub(crate) backtrace: Backtrace,
}

thread_local! {
    /// The calling thread, if it is simulated.
    static SELF: Cell<Option<&'static Thread>> = const { Cell::new(None) };
    /// How many calls of `outside` the calling thread is in.
    static OUTSIDE: Cell<u32> = const { Cell::new(0) };
}

impl Thread {
    pub(crate) fn new(id: usize) -> &'static Thread {
        Box::leak(Box::new(Thread {
            id,
            inbox: Inbox::new(),
            context: Context::new(),
            statement: Mutex::new(None),
            kernel_id: AtomicI32::new(0),
        }))
    }

    /// Makes the calling thread this simulated thread.
    pub(crate) fn enter(&'static self) {
        self.context.note_thread_pointer();
        // SAFETY: gettid takes no argument and always succeeds.
        self.kernel_id.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        SELF.set(Some(self));
    }

    /// Whether the thread has run. Before that, nothing may be called on it: std refuses to start a thread on which
    /// `std::thread::current` was called already.
    pub(crate) fn has_begun(&self) -> bool {
        self.kernel_id() != 0
    }

    /// The kernel's id of the kernel thread on which this thread runs.
    pub(crate) fn kernel_id(&self) -> libc::pid_t {
        self.kernel_id.load(Ordering::Relaxed)
    }
}

/// Makes the calling thread one that is not simulated.
pub(crate) fn leave() {
    SELF.set(None);
}

/// The calling thread, if it is simulated, even inside `outside`.
#[inline]
pub(crate) fn this() -> Option<&'static Thread> {
    SELF.get()
}

/// The calling thread, if its calls are simulated.
#[inline]
pub(crate) fn current() -> Option<&'static Thread> {
    let thread = SELF.get()?;
    (OUTSIDE.get() == 0).then_some(thread)
}

/// True if the calling thread is simulated, even inside `outside`.
#[inline]
pub(crate) fn is_simulated() -> bool {
    this().is_some()
}

/// Runs `f` with the calls and allocations of the calling thread real. The simulator's own code runs in this way.
#[inline]
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
