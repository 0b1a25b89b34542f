//! The strategy of random priorities, after "A randomized scheduler with probabilistic guarantees of finding bugs"
//! (PCT; Burckhardt and others, 2010).

use super::chooser::Chooser;
use crate::rng::Rng;

/// Before one choice in this many, one of the threads that can run gets a new priority. A choice takes 5 us, so that with
/// twenty such threads each of them gets one every 30 ms: a thread that starves longer than on a busy machine would make a
/// right solution miss its time limits.
const CHANGE_ODDS: u64 = 300;

/// All priorities that are drawn are at least this high. A deferred thread has a lower one.
const LOWEST_DRAWN: u64 = 1 << 63;

/// Runs the thread with the highest priority.
#[derive(Default)]
pub(super) struct Priorities {
    /// The priority of each thread, by its number.
    priorities: Vec<u64>,
    /// How many times a thread was deferred. The thread that was deferred last has the lowest priority: two threads that
    /// yield to each other then run by turns.
    deferrals: u64,
}

impl Chooser for Priorities {
    fn add_thread(&mut self, lot: u64) {
        self.priorities.push(lot | LOWEST_DRAWN);
    }

    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        if choices.one_in(CHANGE_ODDS) {
            let thread = choices.below(ready.len() as u64) as usize;
            self.priorities[ready[thread]] = choices.next() | LOWEST_DRAWN;
        }
        let highest = (0..ready.len()).max_by_key(|i| self.priorities[ready[*i]]);
        highest.expect("the scheduler asks only when a thread can run")
    }

    fn defer(&mut self, thread: usize) {
        self.deferrals += 1;
        self.priorities[thread] = LOWEST_DRAWN - self.deferrals;
    }
}
