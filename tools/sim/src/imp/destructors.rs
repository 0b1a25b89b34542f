//! The end of a simulated thread: the destructors of its thread-local values.
//!
//! The C library calls these when a kernel thread ends. A simulated thread may have no kernel thread. If it has one, the
//! destructors must run before that ends, because they are a part of the simulation. So the simulator keeps the list of
//! destructors, and calls them as the C library would.

use super::thread::{current, outside};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

pub(crate) type Destructor = unsafe extern "C" fn(*mut c_void);

/// The largest number of rounds in which the destructors of thread-specific values are called. One round may not be
/// enough, because destructors may set values anew. POSIX demands at least this number.
const ROUNDS: usize = 4;

/// The destructor of one thread-local value.
struct Registered {
    destructor: Destructor,
    value: *mut c_void,
    /// Whether it was registered inside `outside`. It runs there too.
    is_outside: bool,
    before: *mut Registered,
}

thread_local! {
    /// The destructor that the calling thread has registered last.
    static LAST: Cell<*mut Registered> = const { Cell::new(null_mut()) };
}

/// All keys of thread-specific values, with their destructors.
static KEYS: Mutex<Vec<(libc::pthread_key_t, Option<Destructor>)>> = Mutex::new(Vec::new());

/// Notes that `destructor(value)` is to be called when the calling thread ends.
pub(crate) fn register(destructor: Destructor, value: *mut c_void) {
    let registered = Registered { destructor, value, is_outside: current().is_none(), before: LAST.get() };
    LAST.set(outside(|| Box::into_raw(Box::new(registered))));
}

/// Notes a key of thread-specific values.
pub(crate) fn add_key(key: libc::pthread_key_t, destructor: Option<Destructor>) {
    outside(|| {
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        // The C library gives the number of a deleted key to a new one.
        keys.retain(|(other, _)| *other != key);
        keys.push((key, destructor));
        keys.sort_unstable_by_key(|(key, _)| *key);
    });
}

/// Calls the destructors of the calling thread's values: first those of its thread-local values, the newest first, then
/// those of its thread-specific values.
pub(crate) fn run() {
    while let Some(Registered { destructor, value, is_outside, .. }) = take_last() {
        // SAFETY: whoever registered the destructor vouches for this one call of it.
        let destroy = || unsafe { destructor(value) };
        if is_outside { outside(destroy) } else { destroy() }
    }
    let mut round = 0;
    while round < ROUNDS && destroy_specific_values() {
        round += 1;
    }
    // The next thread in this husk begins without values.
    for (key, _) in keys() {
        // SAFETY: any value may be set; a key that was deleted is an error that changes nothing.
        unsafe { libc::pthread_setspecific(key, null()) };
    }
}

fn take_last() -> Option<Registered> {
    let last = LAST.get();
    if last.is_null() {
        return None;
    }
    // SAFETY: `register` made this box, and each is taken once.
    let registered = outside(|| *unsafe { Box::from_raw(last) });
    LAST.set(registered.before);
    Some(registered)
}

/// Calls the destructors of the values that are set now. Returns false if there was none.
fn destroy_specific_values() -> bool {
    let mut has_called = false;
    for (key, destructor) in keys() {
        // SAFETY: the C library accepts any key.
        let value = unsafe { libc::pthread_getspecific(key) };
        if let Some(destructor) = destructor
            && !value.is_null()
        {
            has_called = true;
            // SAFETY: whoever made the key vouches for one call of the destructor with each value that was set.
            unsafe {
                libc::pthread_setspecific(key, null());
                destructor(value);
            }
        }
    }
    has_called
}

/// All keys, in order. The lock is held only while one key is read, because destructors may make keys.
fn keys() -> impl Iterator<Item = (libc::pthread_key_t, Option<Destructor>)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let key = outside(|| KEYS.lock().unwrap_or_else(PoisonError::into_inner).get(next).copied());
        next += 1;
        key
    })
}
