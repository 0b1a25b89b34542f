//! The strategy of pauses.

use super::chooser::Chooser;
use super::uniform::Uniform;
use crate::rng::Rng;

const MILLISECOND: u64 = 1_000_000;

/// Chooses as [`Uniform`] does, and now and then pauses a thread.
pub(super) struct Pauses {
    /// The average time from the start of one pause to the start of the next.
    interval: u64,
    /// The upper limit of a pause's length.
    longest: u64,
    /// The earliest time of the next pause.
    next: u64,
}

impl Pauses {
    /// Starts a pause every `interval` milliseconds on average; each is shorter than `longest` milliseconds.
    pub(super) fn new(interval: u64, longest: u64) -> Pauses {
        Pauses { interval: interval * MILLISECOND, longest: longest * MILLISECOND, next: 0 }
    }
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses::new(50, 20)
    }
}

impl Chooser for Pauses {
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        Uniform.choose(ready, choices)
    }

    fn pause(&mut self, now: u64, choices: &mut Rng) -> Option<u64> {
        if now < self.next {
            return None;
        }
        self.next = now + choices.below(2 * self.interval);
        Some(now + choices.below(self.longest))
    }
}
