//! The simulation's progress, which the scheduler writes and threads outside the simulation read.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Grows with each use of the scheduler.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// The kernel's id of the thread that has the baton.
static HOLDER: AtomicI32 = AtomicI32::new(0);
/// The time since the simulation began, in virtual nanoseconds; `NONE` if there was no simulation.
static ELAPSED: AtomicU64 = AtomicU64::new(NONE);
const NONE: u64 = u64::MAX;

/// A number that grows while the simulation gets on.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Notes that the simulation gets on. Only the thread with the baton calls this, so no increment is lost.
#[inline]
pub(crate) fn advance() {
    COUNT.store(count() + 1, Ordering::Relaxed);
}

pub(crate) fn holder() -> libc::pid_t {
    HOLDER.load(Ordering::Relaxed)
}

#[inline]
pub(crate) fn set_holder(kernel_id: libc::pid_t) {
    HOLDER.store(kernel_id, Ordering::Relaxed);
}

pub(crate) fn elapsed() -> Option<u64> {
    Some(ELAPSED.load(Ordering::Relaxed)).filter(|elapsed| *elapsed != NONE)
}

#[inline]
pub(crate) fn set_elapsed(nanoseconds: u64) {
    ELAPSED.store(nanoseconds, Ordering::Relaxed);
}

/// Forgets the time, as if there had been no simulation.
pub(crate) fn clear_elapsed() {
    ELAPSED.store(NONE, Ordering::Relaxed);
}
