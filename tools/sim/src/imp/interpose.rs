//! The functions of the C library through which threads wait, wake each other, start, end, and learn the time or
//! anything random. The executable defines them, so that std, parking_lot and crossbeam are linked to these. In a thread
//! that is not simulated they do what the C library's do.

use super::scheduler::{self as s, State, Thread, current};
use super::{memory, real};
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// The interposed functions, by name, and how often each was simulated.
pub(crate) static CALLS: [(&CStr, AtomicU64); 11] = [
    (c"syscall", AtomicU64::new(0)),
    (c"clock_gettime", AtomicU64::new(0)),
    (c"nanosleep", AtomicU64::new(0)),
    (c"clock_nanosleep", AtomicU64::new(0)),
    (c"sched_yield", AtomicU64::new(0)),
    (c"getrandom", AtomicU64::new(0)),
    (c"pthread_create", AtomicU64::new(0)),
    (c"pthread_join", AtomicU64::new(0)),
    (c"pthread_detach", AtomicU64::new(0)),
    (c"pthread_setname_np", AtomicU64::new(0)),
    (c"pthread_getattr_np", AtomicU64::new(0)),
];

/// Where they are: in the order of `CALLS`. Who refers to this has them all linked.
pub(crate) fn addresses() -> [usize; CALLS.len()] {
    [
        syscall as *const () as usize,
        clock_gettime as *const () as usize,
        nanosleep as *const () as usize,
        clock_nanosleep as *const () as usize,
        sched_yield as *const () as usize,
        getrandom as *const () as usize,
        pthread_create as *const () as usize,
        pthread_join as *const () as usize,
        pthread_detach as *const () as usize,
        pthread_setname_np as *const () as usize,
        pthread_getattr_np as *const () as usize,
    ]
}

/// The calling thread, if the call is to be simulated; counts it.
fn simulated(call: usize) -> Option<&'static Thread> {
    let me = current()?;
    let count = &CALLS[call].1;
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    Some(me)
}

fn fail(error: c_int) -> c_long {
    // SAFETY: it is a valid pointer to the calling thread's own errno.
    unsafe { *libc::__errno_location() = error };
    -1
}

const SECOND: u64 = 1_000_000_000;

/// What a handle of a simulated thread looks like: no real one does, since those are addresses.
const HANDLE: u64 = 0x51e0_0000_0000_0000;

fn handle(thread: &Thread) -> libc::pthread_t {
    HANDLE | thread.id as u64
}

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
/// As for the C library's: the arguments must be those that the call of this number takes.
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
        && let Some(me) = simulated(0)
    {
        let operation = a2 as c_int & !libc::FUTEX_PRIVATE_FLAG & !libc::FUTEX_CLOCK_REALTIME;
        let by_wall = a2 as c_int & libc::FUTEX_CLOCK_REALTIME != 0;
        match operation {
            libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
                let deadline = (a4 != 0).then(|| {
                    // SAFETY: the caller of futex gives a time or null here.
                    let time = unsafe { nanoseconds(a4 as *const libc::timespec) };
                    match (operation, by_wall) {
                        (libc::FUTEX_WAIT, _) => s::after(time),
                        (_, true) => s::from_wall(time),
                        (_, false) => time,
                    }
                });
                // SAFETY: the caller of futex gives the address of an aligned word that it can read.
                let word = unsafe { &*(a1 as *const std::sync::atomic::AtomicU32) };
                if word.load(Ordering::SeqCst) != a3 as u32 {
                    return fail(libc::EAGAIN);
                }
                return if s::block(me, State::Futex(a1 as usize), deadline) {
                    fail(libc::ETIMEDOUT)
                } else {
                    0
                };
            }
            libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
                let woken = s::wake(me, a1 as usize, a3.max(0) as usize);
                if woken > 0 {
                    return woken as c_long;
                }
                // It may be for a thread that is not simulated.
            }
            _ => {}
        }
    }
    // SAFETY: the caller vouches for the arguments. Surplus ones are ignored.
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
    let Some(me) = simulated(1) else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::clock_gettime()(clock, time) };
    };
    let now = s::read_clock(me);
    let now = if wall { s::wall(now) } else { now };
    let now = libc::timespec { tv_sec: (now / SECOND) as i64, tv_nsec: (now % SECOND) as i64 };
    // SAFETY: the caller vouches for the pointer.
    unsafe { time.write(now) };
    0
}

/// # Safety
/// `wait` must be valid for reading, `rest` for writing or null.
#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(wait: *const libc::timespec, rest: *mut libc::timespec) -> c_int {
    let Some(me) = simulated(2) else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::nanosleep()(wait, rest) };
    };
    // SAFETY: the caller vouches for the pointer.
    let until = s::after(unsafe { nanoseconds(wait) });
    s::block(me, State::Sleep, Some(until));
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
    let Some(me) = simulated(3) else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::clock_nanosleep()(clock, flags, time, rest) };
    };
    // SAFETY: the caller vouches for the pointer.
    let time = unsafe { nanoseconds(time) };
    let until = match (flags & libc::TIMER_ABSTIME != 0, clock) {
        (false, _) => s::after(time),
        (true, libc::CLOCK_REALTIME) => s::from_wall(time),
        (true, _) => time,
    };
    s::block(me, State::Sleep, Some(until));
    0
}

#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    match simulated(4) {
        Some(me) => {
            s::yield_now(me);
            0
        }
        // SAFETY: it takes no arguments.
        None => unsafe { real::sched_yield()() },
    }
}

/// # Safety
/// `bytes` must be valid for writing `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(bytes: *mut c_void, count: usize, flags: u32) -> isize {
    // Nothing is asked for by who wants to know whether the kernel has it.
    if count == 0 || simulated(5).is_none() {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::getrandom()(bytes, count, flags) };
    }
    // SAFETY: the caller vouches for the buffer; nobody else looks at it during the call.
    s::fill_random(unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), count) });
    count as isize
}

/// What a new simulated thread runs.
struct Start {
    thread: &'static Thread,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
}

/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    created: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    let Some(me) = simulated(6) else {
        // SAFETY: the caller vouches for the arguments.
        return unsafe { real::pthread_create()(created, attributes, routine, argument) };
    };
    let (thread, stack) = s::new_thread(me, memory::stack);
    let error = s::outside(|| {
        let start = Box::into_raw(Box::new(Start { thread, routine, argument }));
        let mut real: libc::pthread_t = 0;
        // SAFETY: the attributes are initialised before they are used, and destroyed after. The stack is mapped, and
        // nobody else's. `run` frees `start`.
        let error = unsafe {
            let mut own: libc::pthread_attr_t = std::mem::zeroed();
            libc::pthread_attr_init(&mut own);
            libc::pthread_attr_setstack(&mut own, stack as *mut c_void, memory::STACK_SIZE);
            let error = real::pthread_create()(&mut real, &own, run, start.cast());
            libc::pthread_attr_destroy(&mut own);
            error
        };
        if error != 0 {
            // SAFETY: no thread was started that could free it.
            drop(unsafe { Box::from_raw(start) });
        }
        (error, real)
    });
    match error {
        (0, real) => {
            // SAFETY: the caller vouches for the pointer.
            unsafe { created.write(handle(thread)) };
            s::started(me, thread, real);
            0
        }
        (error, _) => {
            s::not_started(thread);
            error
        }
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: this is the box that `pthread_create` made for this thread alone.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let Start { thread, routine, argument } = *start;
    at_end(ROUNDS);
    s::enter(thread);
    routine(argument)
}

/// How often the C library goes through the destructors of thread-specific values at most.
const ROUNDS: usize = 4;

/// Has `ending` called when the calling thread ends, behind the destructors of its thread-local values.
fn at_end(round: usize) {
    static KEY: std::sync::OnceLock<libc::pthread_key_t> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is valid for writing; the destructor takes any value.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(ending)) };
        assert!(error == 0, "the C library has no key left for thread-specific values");
        key
    });
    // SAFETY: the key was created; the value is a number that is never followed as a pointer.
    unsafe { libc::pthread_setspecific(*key, round as *const c_void) };
}

/// Others' destructors may still run behind this one: so it asks to be called again, as often as that happens.
unsafe extern "C" fn ending(round: *mut c_void) {
    match round as usize {
        0 | 1 => s::exit(),
        round => at_end(round - 1),
    }
}

/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    match (simulated(7), id(thread)) {
        (Some(me), Some(id)) => {
            s::join(me, id);
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
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_detach(thread: libc::pthread_t) -> c_int {
    if id(thread).is_some() {
        simulated(8);
        return 0;
    }
    // SAFETY: the caller vouches for the argument.
    unsafe { real::pthread_detach()(thread) }
}

/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setname_np(thread: libc::pthread_t, name: *const c_char) -> c_int {
    // SAFETY: it takes no arguments.
    let own = unsafe { libc::pthread_self() } == thread;
    if let Some(me) = simulated(9).filter(|_| own) {
        // SAFETY: the caller vouches for the C string.
        let name = unsafe { CStr::from_ptr(name) };
        s::outside(|| s::set_name(me.id, &name.to_string_lossy()));
    }
    // SAFETY: the caller vouches for the arguments.
    unsafe { real::pthread_setname_np()(thread, name) }
}

/// # Safety
/// As for the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_getattr_np(
    thread: libc::pthread_t,
    attributes: *mut libc::pthread_attr_t,
) -> c_int {
    // SAFETY: the caller vouches for the arguments.
    let error = unsafe { real::pthread_getattr_np()(thread, attributes) };
    if error == 0 && simulated(10).is_some() {
        // The C library knows of no guard page below a stack that it has not made. std wants one, and it is there.
        // SAFETY: the call above has initialised the attributes.
        unsafe { libc::pthread_attr_setguardsize(attributes, memory::GUARD_SIZE) };
    }
    error
}

/// Instrumented code calls this at each edge of its control flow (`-sanitizer-coverage-trace-pc-guard`).
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_guard(_guard: *mut u32) {
    s::at_edge();
}

/// Instrumented code calls this once, before `main`.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_guard_init(_start: *mut u32, _stop: *mut u32) {
    INSTRUMENTED.store(1, Ordering::Relaxed);
}

/// Whether there is instrumented code.
pub(crate) static INSTRUMENTED: AtomicU64 = AtomicU64::new(0);
