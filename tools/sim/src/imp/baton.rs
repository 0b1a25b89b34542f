//! Passes the baton from one simulated thread to another.
//!
//! There are two ways to do it (see `Switcher`): the simulated threads share one kernel thread, which exchanges its
//! registers, or they have a kernel thread each, of which all but one sleep. The modules above this one do not know which
//! way it is. Therefore a seed gives the same run in both.

use super::inbox::Message;
use super::stacks::Stack;
use super::thread::Thread;
use super::{context, husk};
use crate::options::Switcher;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether each simulated thread has a kernel thread of its own.
static ON_KERNEL_THREADS: AtomicBool = AtomicBool::new(false);

/// Chooses how the baton is passed on. Call this before the simulation begins.
pub(crate) fn choose_switcher(switcher: Switcher) {
    let on_kernel_threads = switcher == Switcher::Kernel || !context::can_switch();
    ON_KERNEL_THREADS.store(on_kernel_threads, Ordering::Relaxed);
}

/// Whether each simulated thread has a kernel thread of its own.
#[inline]
pub(crate) fn on_kernel_threads() -> bool {
    ON_KERNEL_THREADS.load(Ordering::Relaxed)
}

/// Passes the baton to the waiting thread `to`, and waits until the calling thread, `me`, gets a message.
#[inline]
pub(crate) fn pass(me: &Thread, to: &Thread, message: Message) -> Message {
    send(me, to, message);
    receive(me)
}

/// Passes the baton to the waiting thread `to` for good: the calling thread, `me`, has ended. Returns only if `me` has
/// a kernel thread of its own, which can end now.
pub(crate) fn pass_for_good(me: &Thread, to: &Thread, message: Message) {
    send(me, to, message);
}

#[inline]
fn send(me: &Thread, to: &Thread, message: Message) {
    to.inbox.put(message);
    if on_kernel_threads() {
        to.inbox.wake();
    } else {
        // SAFETY: `to` waits: it has called this function too, or it has not begun.
        unsafe { context::switch(&me.context, &to.context) };
    }
}

/// Waits until the calling thread, `me`, gets a message.
#[inline]
pub(crate) fn receive(me: &Thread) -> Message {
    if on_kernel_threads() {
        me.inbox.wait();
    }
    me.inbox.take()
}

/// Makes `thread` one that calls `function(argument)` on this stack, and that waits for a message in its first call of
/// `receive`. Returns the thread's kernel thread if it has one of its own.
///
/// # Errors
/// The number of the error with which the C library did not start the thread.
///
/// # Safety
/// `function` must end with `pass_for_good`, and `argument` must be what it takes. Nobody else may have the stack.
pub(crate) unsafe fn start(
    thread: &Thread,
    stack: Stack,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<Option<libc::pthread_t>, c_int> {
    if !on_kernel_threads() {
        // SAFETY: the caller vouches for the stack and the function, which does not return from `pass_for_good`. All
        // simulated threads, and so the calling one, are on one kernel thread.
        unsafe { husk::begin(&thread.context, stack, function, argument)? };
        return Ok(None);
    }
    let first = Box::into_raw(Box::new(First { top: stack.top(), function, argument }));
    match stack.start(on_kernel_thread, first.cast()) {
        Ok(kernel_thread) => Ok(Some(kernel_thread)),
        Err(error) => {
            // SAFETY: no thread was started, so nobody else has the box.
            drop(unsafe { Box::from_raw(first) });
            Err(error)
        }
    }
}

/// What a thread with a kernel thread of its own does first.
struct First {
    top: usize,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
}

/// The first function of such a kernel thread.
extern "C" fn on_kernel_thread(first: *mut c_void) -> *mut c_void {
    // SAFETY: this is the box that `start` made for this thread, and nobody else has it.
    let First { top, function, argument } = *unsafe { Box::from_raw(first.cast::<First>()) };
    // SAFETY: the caller of `start` vouches for the stack, of which this thread uses only the part above `top`.
    unsafe { context::call_on(top, function, argument) };
    std::ptr::null_mut()
}
