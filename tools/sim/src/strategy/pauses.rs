//! The strategy of pauses.

use super::chooser::Chooser;
use super::uniform::Uniform;
use crate::rng::Rng;

const MILLISECOND: u64 = 1_000_000;

/// The average time from the start of one pause to the start of the next.
const INTERVAL: u64 = 50 * MILLISECOND;

/// The upper limit of a pause's length.
const LONGEST: u64 = 20 * MILLISECOND;

/// Chooses as [`Uniform`] does, and now and then pauses a thread.
#[derive(Default)]
pub(super) struct Pauses {
    /// The earliest time of the next pause.
    next: u64,
}

impl Chooser for Pauses {
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        Uniform.choose(ready, choices)
    }

    fn pause(&mut self, now: u64, choices: &mut Rng) -> Option<u64> {
        if now < self.next {
            return None;
        }
        self.next = now + choices.below(2 * INTERVAL);
        Some(now + choices.below(LONGEST))
    }
}
