//! What every strategy implements.

use crate::rng::Rng;

/// Makes the scheduler's choices. Every random number comes from `choices`, which the seed determines. Threads are
/// numbered from 0 in the order in which they are added; times are nanoseconds on the virtual clock.
pub(crate) trait Chooser: Send {
    /// A thread was added. `lot` is a random number that the scheduler draws for each new thread.
    fn add_thread(&mut self, _lot: u64) {}

    /// Which thread runs next, as an index into `ready`. `ready` holds the numbers of the threads that can run, and is
    /// not empty.
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize;

    /// The thread has yielded many times in a row: it probably waits for another thread.
    fn defer(&mut self, _thread: usize) {}

    /// Until when to pause the running thread; None: do not pause it. The scheduler asks whenever it takes the
    /// processor away from a thread that could go on.
    fn pause(&mut self, _now: u64, _choices: &mut Rng) -> Option<u64> {
        None
    }
}
