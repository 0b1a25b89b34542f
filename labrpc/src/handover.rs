//! A place for one value on its way from one thread to another: how a request reaches its handler's thread, and a
//! reply its caller.
//!
//! It waits as a channel does, with one difference. crossbeam's channels give up the processor a few times before they
//! park a thread (`yield_now`). Where other programs want it as well, each time lets all of them go first, while a
//! thread that is parked is woken before them: on a busy machine that made RPCs several times slower.

use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a receiver looks before it parks. With 5 us, RPCs that followed one another often took several times as long.
const SPIN: Duration = Duration::from_micros(20);

/// A thread that has parked `TRIES` times in a row parks at once: its RPCs are seldom, or the other thread waits for the
/// same core. Of every `PERIOD` times it looks `TRIES` times again.
const TRIES: u32 = 2;
const PERIOD: u32 = 64;

thread_local! {
    /// How many times in a row this thread has parked.
    static PARKED: Cell<u32> = const { Cell::new(0) };
}

/// Holds at most one value.
pub(crate) struct Handover<T> {
    /// Whether there is a value; for those who look without the lock.
    full: AtomicBool,
    value: Mutex<Option<T>>,
    filled: Condvar,
}

impl<T> Handover<T> {
    pub(crate) fn new() -> Handover<T> {
        Handover { full: AtomicBool::new(false), value: Mutex::new(None), filled: Condvar::new() }
    }

    /// Puts a value into the empty place, and wakes whoever waits for it.
    pub(crate) fn put(&self, value: T) {
        let old = self.value.lock().replace(value);
        debug_assert!(old.is_none(), "the value before was not taken");
        self.full.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Waits for the value, and takes it.
    pub(crate) fn take(&self) -> T {
        self.look();
        let mut value = self.value.lock();
        loop {
            if let Some(value) = value.take() {
                self.full.store(false, Ordering::Release);
                return value;
            }
            self.filled.wait(&mut value);
        }
    }

    /// Looks for the value for a while, if that has been of use lately.
    fn look(&self) {
        let parked = PARKED.get();
        if parked % PERIOD < TRIES {
            let begun = Instant::now();
            while !self.full.load(Ordering::Acquire) && begun.elapsed() < SPIN {
                spin_loop();
            }
        }
        PARKED.set(if self.full.load(Ordering::Acquire) { 0 } else { parked.wrapping_add(1) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_arrive_once_and_in_order() {
        let (there, back) = (Handover::new(), Handover::new());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10_000).for_each(|_| back.put(there.take() + 1)));
            for n in 0..10_000 {
                // Now and then the other side has parked.
                if n % 1000 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                there.put(n);
                assert_eq!(back.take(), n + 1);
            }
        });
    }
}
