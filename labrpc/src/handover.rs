//! A place through which one thread hands a value to another. A request reaches its handler's thread through one, and a
//! reply reaches its caller through another.
//!
//! It is a channel for one value, with one difference. Before a crossbeam channel parks a thread, it gives up the processor
//! a few times (`yield_now`). On a busy machine, all other programs that wait for the processor then go first, each time,
//! while a thread that is woken goes before them. That made RPCs several times slower.

use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a receiver spins before it parks. With 5 us, RPCs that followed one another often took several times as long.
const SPIN: Duration = Duration::from_micros(20);

/// A thread that has parked `TRIES` times in a row does not spin: its RPCs are rare, or the other thread waits for the same
/// core. It tries again later: it spins `TRIES` times in every `PERIOD`.
const TRIES: u32 = 2;
const PERIOD: u32 = 64;

thread_local! {
    /// The number of times in a row that this thread has parked.
    static PARKED: Cell<u32> = const { Cell::new(0) };
}

/// Holds at most one value.
pub(crate) struct Handover<T> {
    /// Mirrors `value.is_some()`, so that a receiver can spin without the lock.
    full: AtomicBool,
    value: Mutex<Option<T>>,
    filled: Condvar,
}

impl<T> Handover<T> {
    pub(crate) fn new() -> Handover<T> {
        Handover { full: AtomicBool::new(false), value: Mutex::new(None), filled: Condvar::new() }
    }

    /// Puts a value into the empty place, and wakes the thread that waits for it.
    pub(crate) fn put(&self, value: T) {
        let old = self.value.lock().replace(value);
        debug_assert!(old.is_none(), "the value before was not taken");
        self.full.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Waits for the value, and takes it.
    pub(crate) fn take(&self) -> T {
        self.spin();
        let mut value = self.value.lock();
        loop {
            if let Some(value) = value.take() {
                self.full.store(false, Ordering::Release);
                return value;
            }
            self.filled.wait(&mut value);
        }
    }

    /// Spins until there is a value, for a short time, if spinning has been of use lately.
    fn spin(&self) {
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
                // Give the other side time to park now and then.
                if n % 1000 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                there.put(n);
                assert_eq!(back.take(), n + 1);
            }
        });
    }
}
