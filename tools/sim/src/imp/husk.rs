//! Threads without kernel threads.
//!
//! The C library makes each thread: it initialises the thread-local storage, and starts a kernel thread on one of the
//! simulator's stacks. That kernel thread ends at once, without the C library's knowledge. What remains is a *husk*: a
//! stack, and a thread-local storage as the C library wants it. Simulated threads run in husks, all on one kernel
//! thread. When a simulated thread has ended, the next one can use its husk. The program's own part of the thread-local
//! storage is then set to its initial values again.

use super::context::{self, Context};
use super::image::Image;
use super::real;
use super::stacks::Stack;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The husks: the address of the stack of each, and its thread pointer. They remain when a simulation ends.
static HUSKS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Makes `context` a thread that begins with `function(argument)`, in the husk with this stack. Makes the husk if there
/// is none.
///
/// # Errors
/// The number of the error with which the C library did not start a thread.
///
/// # Safety
/// Nobody may use the stack, and `function` must not return.
pub(crate) unsafe fn begin(
    context: &Context,
    stack: Stack,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<(), c_int> {
    let mut husks = HUSKS.lock().unwrap_or_else(PoisonError::into_inner);
    let thread_pointer = match husks.get(&stack.address) {
        Some(&thread_pointer) => {
            // SAFETY: the thread that used the husk has ended.
            unsafe { Image::of_program().restore(thread_pointer) };
            thread_pointer
        }
        None => {
            let thread_pointer = make(stack)?;
            husks.insert(stack.address, thread_pointer);
            thread_pointer
        }
    };
    // SAFETY: the caller vouches for the stack and the function. The husk's last thread has ended.
    unsafe { context.begin(stack.top(), thread_pointer, function, argument) };
    Ok(())
}

/// What a kernel thread that becomes a husk tells its maker.
struct Making {
    thread_pointer: AtomicUsize,
    kernel_id: AtomicI32,
    /// 1; the kernel sets it to 0 when the kernel thread does not use its stack any more.
    runs: AtomicU32,
}

/// Makes a husk, and waits until its kernel thread has ended. Returns its thread pointer.
fn make(stack: Stack) -> Result<usize, c_int> {
    let making =
        Making { thread_pointer: AtomicUsize::new(0), kernel_id: AtomicI32::new(0), runs: AtomicU32::new(1) };
    stack.start(become_husk, (&raw const making).cast_mut().cast())?;
    while making.runs.load(Ordering::Acquire) != 0 {
        // The kernel wakes this word as one that processes share.
        // SAFETY: the word lives as long as the call.
        unsafe {
            real::syscall()(
                libc::SYS_futex,
                making.runs.as_ptr(),
                libc::FUTEX_WAIT,
                1,
                null::<libc::timespec>(),
            )
        };
    }
    // Until the kernel has forgotten the thread, it counts for the user's limit of processes.
    let kernel_id = making.kernel_id.load(Ordering::Relaxed);
    // SAFETY: signal 0 is not sent; the call only looks for the thread.
    while unsafe { real::syscall()(libc::SYS_tgkill, libc::getpid(), kernel_id, 0) } == 0 {
        // SAFETY: the function takes no arguments.
        unsafe { real::sched_yield()() };
    }
    Ok(making.thread_pointer.load(Ordering::Relaxed))
}

/// What a husk's kernel thread does: it says where the thread-local storage is, and ends.
extern "C" fn become_husk(making: *mut c_void) -> *mut c_void {
    // SAFETY: this is the maker's `Making`, which lives until the kernel has set `runs` to 0.
    let making = unsafe { &*making.cast::<Making>() };
    making.thread_pointer.store(context::thread_pointer(), Ordering::Relaxed);
    // SAFETY: gettid takes no argument. The maker keeps `runs` until the kernel has set it to 0.
    unsafe {
        making.kernel_id.store(libc::gettid(), Ordering::Relaxed);
        context::end_kernel_thread(&making.runs)
    }
}
