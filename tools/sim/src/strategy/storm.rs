//! The storm: pauses longer than an election takes.

use super::chooser::Chooser;
use super::pauses::Pauses;
use crate::rng::Rng;

/// Pauses threads less often than the strategy of pauses, but for far longer.
pub(super) struct Storm(Pauses);

impl Default for Storm {
    fn default() -> Storm {
        Storm(Pauses::new(400, 400))
    }
}

impl Chooser for Storm {
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        self.0.choose(ready, choices)
    }

    fn pause(&mut self, now: u64, choices: &mut Rng) -> Option<u64> {
        self.0.pause(now, choices)
    }
}
