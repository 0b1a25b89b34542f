//! The uniform strategy.

use super::chooser::Chooser;
use crate::rng::Rng;

/// Chooses each thread that can run with the same probability.
pub(super) struct Uniform;

impl Chooser for Uniform {
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        choices.below(ready.len() as u64) as usize
    }
}
