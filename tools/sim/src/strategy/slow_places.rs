//! The strategy of slow places. Code that looks at something under a lock, releases the lock, and takes it again to act
//! is wrong only if another thread comes in between, which hardly ever happens. Here it happens whenever the place
//! between the two is a slow one.

use super::chooser::{AtEdge, Chooser};
use super::uniform::Uniform;
use crate::rng::Rng;
use std::collections::BTreeMap;

const MILLISECOND: u64 = 1_000_000;

/// In each run, one of so many edges is slow: one of these numbers is drawn.
const ONE_IN: [u64; 4] = [10, 30, 100, 300];

/// The upper limit of a pause's length: one of these is drawn for each run.
const LONGEST: [u64; 2] = [4 * MILLISECOND, 20 * MILLISECOND];

/// After [`Chooser::calm`], a pause is followed by so many times its length without a pause, anywhere. A request for a vote can pass
/// several slow places, and must not take so long that another server starts an election meanwhile.
const REST_WHEN_CALM: u64 = 3;

/// At one place, so many pauses may come at once. Two servers that do the same at the same time both pause.
const AT_ONCE: u64 = 3;

/// Chooses as [`Uniform`] does, and pauses threads at slow places.
#[derive(Default)]
pub(super) struct SlowPlaces {
    run: Option<Run>,
    /// The edges that are slow, with the pauses there.
    slow: BTreeMap<usize, Budget>,
    /// When the next pause may begin, once all is calm. None: it is not.
    rest_until: Option<u64>,
}

/// What is drawn for each run.
#[derive(Clone, Copy)]
struct Run {
    one_in: u64,
    longest: u64,
}

/// Limits how much of the time is spent in pauses at one place. Each place has the same share, so that places that threads
/// pass all the time do not hide those that they seldom pass. All shares together are the whole time: there is about one
/// thread, of all servers, that pauses.
struct Budget {
    /// The time from which on the pauses so far, with the rests between them, count no longer.
    paid_at: u64,
}

impl Budget {
    /// Whether there may be a pause. `places`: how many slow places there are.
    fn allows(&self, now: u64, places: u64, longest: u64) -> bool {
        self.paid_at <= now + (AT_ONCE - 1) * places * longest / 2
    }

    fn spend(&mut self, now: u64, places: u64, pause: u64) {
        self.paid_at = self.paid_at.max(now) + (1 + places) * pause;
    }
}

impl Chooser for SlowPlaces {
    fn choose(&mut self, ready: &[usize], choices: &mut Rng) -> usize {
        Uniform.choose(ready, choices)
    }

    fn calm(&mut self) {
        self.rest_until = Some(0);
    }

    fn at_edge(&mut self, edge: usize, now: u64, choices: &mut Rng) -> AtEdge {
        let Run { one_in, longest } = *self.run.get_or_insert_with(|| Run {
            one_in: ONE_IN[choices.below(ONE_IN.len() as u64) as usize],
            longest: LONGEST[choices.below(LONGEST.len() as u64) as usize],
        });
        // An edge that is not in the map is passed for the first time.
        if !self.slow.contains_key(&edge) && !choices.one_in(one_in) {
            return AtEdge::Never;
        }
        if let Some(rest_until) = &mut self.rest_until {
            self.slow.entry(edge).or_insert(Budget { paid_at: 0 });
            if now < *rest_until {
                return AtEdge::GoOn;
            }
            let pause = choices.below(longest);
            *rest_until = now + (1 + REST_WHEN_CALM) * pause;
            return AtEdge::PauseUntil(now + pause);
        }
        let places = 1 + self.slow.len() as u64;
        // The first pauses of hot places must not all come at the beginning.
        let place = (self.slow.entry(edge))
            .or_insert_with(|| Budget { paid_at: now + choices.below(AT_ONCE * places * longest) });
        if !place.allows(now, places, longest) {
            return AtEdge::GoOn;
        }
        let pause = choices.below(longest);
        place.spend(now, places, pause);
        AtEdge::PauseUntil(now + pause)
    }
}
