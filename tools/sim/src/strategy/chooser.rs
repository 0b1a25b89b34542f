//! What every strategy implements.

use crate::rng::Rng;

/// Makes the scheduler's choices. Every random number comes from `choices`, which the seed determines. Threads are
/// numbered from 0 in the order in which they are added; times are nanoseconds on the virtual clock.
pub(crate) trait Chooser: Send {
    /// Notes that a thread was added. `lot` is a random number that the scheduler draws for each new thread.
    fn add_thread(&mut self, _lot: u64) {}

    /// Chooses the thread that runs next. Returns its index in `ready`, which holds the numbers of the threads that can
    /// run, and is not empty.
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize;

    /// Notes that the thread has yielded many times in a row: it probably waits for another thread.
    fn defer(&mut self, _thread: usize) {}

    /// The time until which to pause the running thread. None: do not pause it. The scheduler calls this whenever it
    /// takes the processor away from a thread that could go on.
    fn pause(&mut self, _now: u64, _choices: &mut Rng) -> Option<u64> {
        None
    }
}
