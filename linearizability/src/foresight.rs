//! Turns the search back early: at a state from which an answer that is still to come cannot be explained.
//!
//! Optional reading: without it the search finds the same verdict, and may take exponentially longer. It turns back when
//! the read is due instead of where the wrong order begins. The model says what cannot be explained any more
//! ([`Model::leads_to`], [`Model::brings`]).

use crate::model::Model;
use crate::open::{List, Open};
use crate::part::Part;

/// The most reads beyond the front's return that are looked at.
const MOST_AHEAD: usize = 32;

/// Looks at the reads that are not placed.
pub(crate) struct Foresight<'a, M: Model> {
    model: &'a M,
    part: &'a Part<'a, M::Input, M::Output>,
    /// For each operation, how many operations have been called before it returns.
    called_before_return: Vec<u32>,
}

impl<'a, M: Model> Foresight<'a, M> {
    pub(crate) fn new(model: &'a M, part: &'a Part<'a, M::Input, M::Output>) -> Foresight<'a, M> {
        Foresight { model, part, called_before_return: part.called_before_return() }
    }

    /// True if one of the next reads cannot be accepted any more, whatever order follows `state`. `called`: how many
    /// operations were called before the front returned. `seen`: how many configurations the search has come upon.
    pub(crate) fn is_hopeless(&self, state: &M::State, open: &Open, called: u32, seen: usize) -> bool {
        let mut ahead = self.look_ahead(seen);
        let mut number = open.first(List::Reads);
        while (number as usize) < self.part.len() && ahead > 0 {
            let (input, output) = self.part.operations[number as usize];
            if !self.model.leads_to(state, input, output) && !self.is_brought(number, open) {
                return true;
            }
            if number >= called {
                ahead -= 1;
            }
            number = open.after(number);
        }
        false
    }

    /// How many reads beyond the front's return to look at: the more often the search has turned back, the more.
    fn look_ahead(&self, seen: usize) -> usize {
        let operations = self.part.len();
        (1 + 16 * seen.saturating_sub(operations) / operations).min(MOST_AHEAD)
    }

    /// True if an operation that can still come before this read brings what it read.
    fn is_brought(&self, read: u32, open: &Open) -> bool {
        let got = self.part.operations[read as usize];
        [List::Updates, List::Optional].into_iter().any(|list| {
            let mut number = open.first(list);
            while number < self.called_before_return[read as usize] {
                if self.model.brings(self.part.operations[number as usize], got) {
                    return true;
                }
                number = open.after(number);
            }
            false
        })
    }
}
