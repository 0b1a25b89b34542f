//! The C library's own functions. The executable's functions of the same names hide them from all other code.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Defines a function that returns a pointer to the C library's own `$name`. It looks the symbol up at its first call.
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
            // SAFETY: the pointer is not null, and the C library documents that this symbol is a function of this type.
            unsafe { std::mem::transmute::<*mut c_void, $type>(found) }
        }
    };
}

/// The function that the executable would call if it did not define `name` itself.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: `name` is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        // Nothing works without this function, not even a panic.
        std::process::abort();
    }
    found
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Destructor = unsafe extern "C" fn(*mut c_void);

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
real!(__cxa_thread_atexit_impl: unsafe extern "C" fn(Destructor, *mut c_void, *mut c_void) -> c_int);
real!(pthread_key_create: unsafe extern "C" fn(*mut libc::pthread_key_t, Option<Destructor>) -> c_int);
real!(pthread_getattr_np: unsafe extern "C" fn(libc::pthread_t, *mut libc::pthread_attr_t) -> c_int);

/// Sleeps in the kernel until another thread wakes the word. Returns at once if the word does not have this value. May
/// also return for no reason.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word lives as long as the call. The call may end for any reason: callers look at the word again.
    unsafe {
        syscall()(libc::SYS_futex, word.as_ptr(), operation, value, std::ptr::null::<libc::timespec>())
    };
}

/// Wakes the threads that sleep on the word.
pub(crate) fn wake(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel uses the address as a key; it reads and writes nothing there.
    unsafe { syscall()(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}
