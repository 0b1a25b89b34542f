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

    /// Notes that the thread probably waits in a loop, for another thread or for a time: without any other wait, it has yielded, read
    /// the clock, or come to edges many times.
    fn defer(&mut self, _thread: usize) {}

    /// The time until which to pause the running thread. None: do not pause it. The scheduler calls this whenever it
    /// takes the processor away from a thread that could go on.
    fn pause(&mut self, _now: u64, _choices: &mut Rng) -> Option<u64> {
        None
    }

    /// From now on, pauses together must be short beside the time after which a server starts an election.
    fn calm(&mut self) {}

    /// What the running thread does at this edge in the control flow of instrumented code. Edges are numbered from 0 on.
    /// The scheduler calls this whenever a thread passes the edge, until the answer is `Never`.
    fn at_edge(&mut self, _edge: usize, _now: u64, _choices: &mut Rng) -> AtEdge {
        AtEdge::Never
    }
}

/// What a thread does at an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEdge {
    /// It goes on, and so does each thread that passes this edge later.
    Never,
    /// It goes on.
    GoOn,
    /// It is paused until this time.
    PauseUntil(u64),
}
