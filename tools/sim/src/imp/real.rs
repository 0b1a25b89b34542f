//! The C library's own functions, which this executable's hide from everybody else.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Defines a function that finds the C library's own `$name` at its first call, and gives it as a pointer.
macro_rules! real {
    ($(#[$doc:meta])* $name:ident: $type:ty) => {
        $(#[$doc])*
        pub(crate) fn $name() -> $type {
            static FOUND: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => unreachable!(),
            };
            let mut found = FOUND.load(Ordering::Relaxed);
            if found.is_null() {
                found = next(NAME);
                FOUND.store(found, Ordering::Relaxed);
            }
            // SAFETY: it is not null, and the C library documents this symbol to be a function of this type.
            unsafe { std::mem::transmute::<*mut c_void, $type>(found) }
        }
    };
}

/// What the executable would be linked to if it did not define `name` itself.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: `name` is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        // Nothing works without it, not even a panic.
        std::process::abort();
    }
    found
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

real!(syscall: unsafe extern "C" fn(c_long, ...) -> c_long);
real!(clock_gettime: unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int);
real!(nanosleep: unsafe extern "C" fn(*const libc::timespec, *mut libc::timespec) -> c_int);
real!(clock_nanosleep: unsafe extern "C" fn(libc::clockid_t, c_int, *const libc::timespec, *mut libc::timespec) -> c_int);
real!(sched_yield: unsafe extern "C" fn() -> c_int);
real!(getrandom: unsafe extern "C" fn(*mut c_void, usize, u32) -> isize);
real!(pthread_create: unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int);
real!(pthread_join: unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int);
real!(pthread_detach: unsafe extern "C" fn(libc::pthread_t) -> c_int);
real!(pthread_setname_np: unsafe extern "C" fn(libc::pthread_t, *const c_char) -> c_int);
real!(pthread_getattr_np: unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> c_int);

/// Sleeps in the kernel while the word has this value.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word lives as long as the call. Any way in which the call ends is right: callers look at the word.
    unsafe {
        syscall()(libc::SYS_futex, word.as_ptr(), operation, value, std::ptr::null::<libc::timespec>())
    };
}

/// Wakes the threads that sleep on the word.
pub(crate) fn wake(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel takes the address for a name; it reads and writes nothing there.
    unsafe { syscall()(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}
