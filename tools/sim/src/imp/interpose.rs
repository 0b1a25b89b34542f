//! The functions of the C library by which threads wait, wake each other, start, end, and ask for the time or for
//! random numbers. The executable defines these functions itself, so the linker uses these definitions for std,
//! parking_lot and crossbeam too. On a thread that is not simulated they call the C library's own functions.

use super::destructors::{self, Destructor};
use super::edges::{self, Edge};
use super::thread::{Thread, current, is_simulated, outside, this};
use super::threads::State;
use super::{baton, clock, real, scheduler};
use clock::SECOND;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// An interposed function.
pub(crate) struct Call {
    pub(crate) name: &'static CStr,
    /// Returns the address of the function in this file. This reference makes the linker include the function.
    pub(crate) address: fn() -> usize,
    /// How many calls of the function were simulated.
    pub(crate) count: AtomicU64,
}

static SYSCALL: Call = Call::new(c"syscall", || syscall as *const () as usize);
static CLOCK_GETTIME: Call = Call::new(c"clock_gettime", || clock_gettime as *const () as usize);
static NANOSLEEP: Call = Call::new(c"nanosleep", || nanosleep as *const () as usize);
static CLOCK_NANOSLEEP: Call = Call::new(c"clock_nanosleep", || clock_nanosleep as *const () as usize);
static SCHED_YIELD: Call = Call::new(c"sched_yield", || sched_yield as *const () as usize);
static GETRANDOM: Call = Call::new(c"getrandom", || getrandom as *const () as usize);
static PTHREAD_CREATE: Call = Call::new(c"pthread_create", || pthread_create as *const () as usize);
static PTHREAD_JOIN: Call = Call::new(c"pthread_join", || pthread_join as *const () as usize);
static PTHREAD_DETACH: Call = Call::new(c"pthread_detach", || pthread_detach as *const () as usize);
static PTHREAD_SETNAME_NP: Call =
    Call::new(c"pthread_setname_np", || pthread_setname_np as *const () as usize);
static PTHREAD_GETATTR_NP: Call =
    Call::new(c"pthread_getattr_np", || pthread_getattr_np as *const () as usize);

static CXA_THREAD_ATEXIT_IMPL: Call =
    Call::new(c"__cxa_thread_atexit_impl", || __cxa_thread_atexit_impl as *const () as usize);
/// This function is not simulated. The simulator notes the keys.
pub(crate) static PTHREAD_KEY_CREATE: Call =
    Call::new(c"pthread_key_create", || pthread_key_create as *const () as usize);

/// All functions that are simulated.
pub(crate) static CALLS: [&Call; 12] = [
    &SYSCALL,
    &CLOCK_GETTIME,
    &NANOSLEEP,
    &CLOCK_NANOSLEEP,
    &SCHED_YIELD,
    &GETRANDOM,
    &PTHREAD_CREATE,
    &PTHREAD_JOIN,
    &PTHREAD_DETACH,
    &PTHREAD_SETNAME_NP,
    &PTHREAD_GETATTR_NP,
    &CXA_THREAD_ATEXIT_IMPL,
];

impl Call {
    const fn new(name: &'static CStr, address: fn() -> usize) -> Call {
        Call { name, address, count: AtomicU64::new(0) }
    }

    /// The calling thread, if the call is simulated; counts the call.
    fn simulated(&self) -> Option<&'static Thread> {
        let me = current()?;
        // Simulated threads run one at a time, so no increment is lost.
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(me)
    }
}

/// Sets errno, and returns what a failed call returns.
fn fail(error: c_int) -> c_long {
    // SAFETY: the C library returns a valid pointer to the calling thread's errno.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// The upper 16 bits of the handle of every simulated thread. The handle of a real thread is an address, and no address
/// has these bits.
const HANDLE: u64 = 0x51e0_0000_0000_0000;

fn handle(thread: &Thread) -> libc::pthread_t {
    HANDLE | thread.id as u64
}

/// The number of the simulated thread with this handle; None: the handle is a real thread's.
fn id(handle: libc::pthread_t) -> Option<usize> {
    (handle >> 48 == HANDLE >> 48).then_some((handle & 0xffff_ffff) as usize)
}

/// # Safety
/// `time` must be valid for reading.
unsafe fn nanoseconds(time: *const libc::timespec) -> u64 {
    // SAFETY: the caller vouches for it.
    let time = unsafe { &*time };
    (time.tv_sec.max(0) as u64).saturating_mul(SECOND).saturating_add(time.tv_nsec.max(0) as u64)
}

/// # Safety
/// The same as for the C library's function: the arguments must be those that the system call with this number takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a1: c_long,
    a2: c_long,
    a3: c_long,
    a4: c_long,
    a5: c_long,
    a6: c_long,
) -> c_long {
    if number == libc::SYS_futex
        && let Some(me) = SYSCALL.simulated()
    {
        let operation = a2 as c_int & !libc::FUTEX_PRIVATE_FLAG & !libc::FUTEX_CLOCK_REALTIME;
        let by_wall = a2 as c_int & libc::FUTEX_CLOCK_REALTIME != 0;
        match operation {
            libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
                let deadline = (a4 != 0).then(|| {
                    // SAFETY: the caller of futex passes null or a valid time, and it is not null.
                    let time = unsafe { nanoseconds(a4 as *const libc::timespec) };
                    match (operation, by_wall) {
                        (libc::FUTEX_WAIT, _) => scheduler::after(time),
                        (_, true) => clock::from_wall(time),
                        (_, false) => time,
                    }
                });
                // SAFETY: the caller of futex passes the address of an aligned word that it may read.
                let word = unsafe { &*(a1 as *const AtomicU32) };
                if word.load(Ordering::SeqCst) != a3 as u32 {
                    return fail(libc::EAGAIN);
                }
                return if scheduler::block(me, State::Futex(a1 as usize), deadline) {
                    fail(libc::ETIMEDOUT)
                } else {
                    0
                };
            }
            libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
                let woken = scheduler::wake(me, a1 as usize, a3.max(0) as usize);
                if woken > 0 {
                    return woken as c_long;
                }
                // The wake-up may be meant for a thread that is not simulated.
            }
            _ => {}
        }
    }
    // SAFETY: the caller vouches for the arguments. Those that the call does not take are ignored.
    unsafe { real::syscall()(number, a1, a2, a3, a4, a5, a6) }
}

/// # Safety
/// `time` must be valid for writing.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let wall = match clock {
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME => false,
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => true,
        // SAFETY: the caller vouches for the arguments.
        _ => return unsafe { real::clock_gettime()(clock, time) },
    };
    let Some(me) = CLOCK_GETTIME.simulated() else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::clock_gettime()(clock, time) };
    };
    let now = scheduler::read_clock(me);
    let now = if wall { clock::to_wall(now) } else { now };
    let now = libc::timespec { tv_sec: (now / SECOND) as i64, tv_nsec: (now % SECOND) as i64 };
    // SAFETY: the caller vouches for the pointer.
    unsafe { time.write(now) };
    0
}

/// # Safety
/// `wait` must be valid for reading, `rest` for writing or null.
#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(wait: *const libc::timespec, rest: *mut libc::timespec) -> c_int {
    let Some(me) = NANOSLEEP.simulated() else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::nanosleep()(wait, rest) };
    };
    // SAFETY: the caller vouches for the pointer.
    let until = scheduler::after(unsafe { nanoseconds(wait) });
    scheduler::block(me, State::Sleep, Some(until));
    0
}

/// # Safety
/// `time` must be valid for reading, `rest` for writing or null.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    time: *const libc::timespec,
    rest: *mut libc::timespec,
) -> c_int {
    let Some(me) = CLOCK_NANOSLEEP.simulated() else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::clock_nanosleep()(clock, flags, time, rest) };
    };
    // SAFETY: the caller vouches for the pointer.
    let time = unsafe { nanoseconds(time) };
    let until = match (flags & libc::TIMER_ABSTIME != 0, clock) {
        (false, _) => scheduler::after(time),
        (true, libc::CLOCK_REALTIME) => clock::from_wall(time),
        (true, _) => time,
    };
    scheduler::block(me, State::Sleep, Some(until));
    0
}

#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    match SCHED_YIELD.simulated() {
        Some(me) => {
            scheduler::yield_now(me);
            0
        }
        // SAFETY: the function takes no arguments.
        None => unsafe { real::sched_yield()() },
    }
}

/// # Safety
/// `bytes` must be valid for writing `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(bytes: *mut c_void, count: usize, flags: u32) -> isize {
    // std asks for 0 bytes to find out whether the kernel has this call.
    if count == 0 || GETRANDOM.simulated().is_none() {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::getrandom()(bytes, count, flags) };
    }
    // SAFETY: the caller vouches for the buffer, and nobody else uses it during the call.
    scheduler::fill_random(unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), count) });
    count as isize
}

/// What a new thread needs to become a simulated thread.
struct Start {
    thread: &'static Thread,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    created: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    let Some(me) = PTHREAD_CREATE.simulated() else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::pthread_create()(created, attributes, routine, argument) };
    };
    let mut stack_size = 0;
    if !attributes.is_null() {
        // SAFETY: the caller vouches for the attributes.
        unsafe { libc::pthread_attr_getstacksize(attributes, &mut stack_size) };
    }
    let (thread, stack) = scheduler::new_thread(me, stack_size);
    let started = outside(|| {
        let start = Box::into_raw(Box::new(Start { thread, routine, argument }));
        // SAFETY: `run` takes this box, and ends with the end of the thread. The stack is the new thread's.
        let started = unsafe { baton::start(thread, stack, run, start.cast()) };
        if started.is_err() {
            // SAFETY: no thread was started, so nobody else has the box.
            drop(unsafe { Box::from_raw(start) });
        }
        started
    });
    match started {
        Ok(kernel_thread) => {
            // SAFETY: the caller vouches for the pointer.
            unsafe { created.write(handle(thread)) };
            scheduler::started(me, thread, kernel_thread);
            0
        }
        Err(error) => {
            scheduler::not_started(thread);
            error
        }
    }
}

/// The first function of each simulated thread.
unsafe extern "C" fn run(start: *mut c_void) {
    // SAFETY: this is the box that `pthread_create` made for this thread, and nobody else has it.
    let Start { thread, routine, argument } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    scheduler::enter(thread);
    routine(argument);
    destructors::run();
    scheduler::exit(thread);
}

/// # Safety
/// The same as for the C library's function, which compilers use for the destructors of thread-local values.
#[unsafe(no_mangle)]
unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: Destructor,
    value: *mut c_void,
    library: *mut c_void,
) -> c_int {
    CXA_THREAD_ATEXIT_IMPL.simulated();
    // A simulated thread's values are destroyed when that thread ends, even those that it first uses inside `outside`.
    if is_simulated() {
        destructors::register(destructor, value);
        return 0;
    }
    // SAFETY: the caller vouches for the arguments.
    unsafe { real::__cxa_thread_atexit_impl()(destructor, value, library) }
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(
    key: *mut libc::pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    // SAFETY: the caller vouches for the arguments.
    let error = unsafe { real::pthread_key_create()(key, destructor) };
    if error == 0 {
        // SAFETY: the call above has written the key.
        destructors::add_key(unsafe { *key }, destructor);
    }
    error
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    match (PTHREAD_JOIN.simulated(), id(thread)) {
        (Some(me), Some(id)) => {
            scheduler::join(me, id);
            if !result.is_null() {
                // SAFETY: the caller vouches for the pointer.
                unsafe { result.write(std::ptr::null_mut()) };
            }
            0
        }
        (None, Some(_)) => libc::ESRCH,
        // SAFETY: the caller vouches for the arguments.
        (_, None) => unsafe { real::pthread_join()(thread, result) },
    }
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_detach(thread: libc::pthread_t) -> c_int {
    if id(thread).is_some() {
        PTHREAD_DETACH.simulated();
        return 0;
    }
    // SAFETY: the caller vouches for the argument.
    unsafe { real::pthread_detach()(thread) }
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(thread: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: the function takes no arguments.
    let own = unsafe { libc::pthread_self() } == thread;
    if let Some(me) = PTHREAD_SETNAME_NP.simulated().filter(|_| own) {
        // SAFETY: the caller vouches for the C string.
        let name = unsafe { CStr::from_ptr(name) };
        outside(|| scheduler::set_name(me.id, &name.to_string_lossy()));
        if !baton::on_kernel_threads() {
            return 0;
        }
    }
    // SAFETY: the caller vouches for the arguments.
    unsafe { real::pthread_setname_np()(thread, name) }
}

/// # Safety
/// The same as for the C library's function.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getattr_np(
    thread: libc::pthread_t,
    attributes: *mut libc::pthread_attr_t,
) -> c_int {
    // SAFETY: the function takes no arguments.
    let own = unsafe { libc::pthread_self() } == thread;
    let simulated = PTHREAD_GETATTR_NP.simulated();
    // The C library cannot answer for a thread without a kernel thread, so this holds inside `outside` too.
    let id = if own { this().map(|me| me.id) } else { simulated.and(id(thread)) };
    let Some(stack) = id.and_then(scheduler::stack) else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::pthread_getattr_np()(thread, attributes) };
    };
    // std reports a fault in the guard page, which is below the stack, as a stack overflow. New attributes have such a page.
    // SAFETY: the caller vouches for the pointer. The attributes are initialised before they are used.
    unsafe {
        libc::pthread_attr_init(attributes);
        libc::pthread_attr_setstack(attributes, stack.address as *mut c_void, stack.size)
    }
}

/// Instrumented code calls this at each edge of its control flow (`-sanitizer-coverage-trace-pc`).
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc() {
    scheduler::at_edge(None);
}

/// The same where edges are told from each other (`-sanitizer-coverage-trace-pc-guard`).
#[unsafe(no_mangle)]
unsafe extern "C" fn __sanitizer_cov_trace_pc_guard(guard: *mut u32) {
    // SAFETY: the compiler passes the guard.
    scheduler::at_edge(Some(unsafe { Edge::new(guard) }));
}

/// Such code calls this before `main`.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_guard_init(start: *mut u32, stop: *mut u32) {
    edges::found(start, stop);
}
