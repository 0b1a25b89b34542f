//! Runs several threads on one kernel thread: saves what one thread needs to go on, and goes on with another.
//!
//! A thread that does not run is a stack and a thread-local storage. The thread pointer is the register by which the
//! program and the C library find the thread-local storage. The other registers lie on the thread's stack while it does
//! not run.
//!
//! What a kernel thread has, these threads share: the signal mask, the processors that it may use, its id. They also
//! share the floating-point control registers, which programs hardly ever change.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod processor;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod processor;

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::AtomicU32;

pub(crate) use processor::{call_on, can_switch, thread_pointer};

/// Where a thread goes on. The assembly code of `processor` knows the order of the fields.
#[repr(C)]
pub(crate) struct Context {
    stack_pointer: Cell<usize>,
    thread_pointer: Cell<usize>,
}

// SAFETY: only the thread with the baton accesses the contexts, its own and the next thread's.
unsafe impl Sync for Context {}

impl Context {
    /// The context of a thread that has not run yet.
    pub(crate) const fn new() -> Context {
        Context { stack_pointer: Cell::new(0), thread_pointer: Cell::new(0) }
    }

    /// Notes the calling thread's thread pointer. This never changes.
    pub(crate) fn note_thread_pointer(&self) {
        self.thread_pointer.set(thread_pointer());
    }

    /// Makes the thread begin with `function(argument)`, at the upper end `top` of its stack.
    ///
    /// # Safety
    /// The memory below `top` must be a stack that nobody uses, and `top` a multiple of 16. `thread_pointer` must be
    /// that of a thread-local storage that nobody else uses. `function` must not return.
    pub(crate) unsafe fn begin(
        &self,
        top: usize,
        thread_pointer: usize,
        function: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
    ) {
        self.thread_pointer.set(thread_pointer);
        // SAFETY: the caller vouches for the stack.
        self.stack_pointer.set(unsafe { processor::prepare(top, function, argument) });
    }
}

/// Goes on with the thread `to` and returns when somebody goes on with the thread `from`, which is the calling one.
///
/// # Safety
/// `to` must be the context of a thread that does not run and that has begun, or for which `begin` was called.
#[inline]
pub(crate) unsafe fn switch(from: &Context, to: &Context) {
    // SAFETY: the caller vouches for `to`.
    unsafe { processor::switch(from, to) }
}

/// Ends the calling kernel thread without the C library's knowledge, and without any use of the stack after the kernel
/// has set `runs` to 0.
///
/// # Safety
/// `runs` must live until the kernel has set it to 0.
pub(crate) unsafe fn end_kernel_thread(runs: &AtomicU32) -> ! {
    // SAFETY: the caller vouches for `runs`.
    unsafe { processor::end_kernel_thread(runs.as_ptr()) }
}
