//! Strategies: how the next thread is chosen, and which threads are paused.
//!
//! Each strategy is a type that implements [`Chooser`], in a file of its own. A new strategy needs its file, a `mod`
//! line and an entry in the list below. Nothing else in this crate names a strategy.

pub(crate) mod chooser;
mod pauses;
mod priorities;
mod slow_places;
mod uniform;

use chooser::Chooser;

use std::fmt;
use std::str::FromStr;

/// Defines [`Strategy`] from the list of strategies: variant, name on the command line, new chooser.
macro_rules! strategies {
    ($($(#[$attribute:meta])* $variant:ident, $name:literal, $chooser:expr;)*) => {
        /// How the next thread is chosen, and which threads are paused.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum Strategy {
            $($(#[$attribute])* $variant,)*
        }

        impl Strategy {
            /// All strategies, with their names.
            pub const ALL: [(&'static str, Strategy); [$($name),*].len()] = [$(($name, Strategy::$variant)),*];

            /// A new chooser that follows this strategy.
            pub(crate) fn chooser(self) -> Box<dyn Chooser> {
                match self {
                    $(Strategy::$variant => Box::new($chooser),)*
                }
            }
        }
    };
}

strategies! {
    /// Chooses each thread that can run with the same probability.
    #[default]
    Uniform, "uniform", uniform::Uniform;

    /// Runs the thread with the highest priority. Priorities are random, and now and then one changes, so that some
    /// threads starve for a while.
    Priorities, "priorities", priorities::Priorities::default();

    /// As uniform, but several times a second a thread pauses wherever it is, for up to 20 ms, as on a busy machine.
    Pauses, "pauses", pauses::Pauses::default();

    /// As uniform, but some places in the code, others in each run, are slow: threads pause there, for up to 20 ms. Only
    /// instrumented code has such places.
    SlowPlaces, "slow-places", slow_places::SlowPlaces::default();
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Strategy, UnknownStrategy> {
        let found = Strategy::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, strategy)| *strategy).ok_or_else(|| UnknownStrategy { name: name.to_string() })
    }
}

/// No strategy has this name. The message lists those that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStrategy {
    /// The name that was asked for.
    pub name: String,
}

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Strategy::ALL.map(|(name, _)| name).join(", ");
        write!(f, "there is no strategy {:?}; there are {names}", self.name)
    }
}

impl std::error::Error for UnknownStrategy {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::strategy::chooser::AtEdge;

    const MILLISECOND: u64 = 1_000_000;

    /// A chooser that knows `threads` threads, and the choices of a seed.
    fn chooser(strategy: Strategy, threads: usize) -> (Box<dyn Chooser>, Rng) {
        let (mut chooser, mut choices) = (strategy.chooser(), Rng::new(7, 1));
        (0..threads).for_each(|_| chooser.add_thread(choices.next()));
        (chooser, choices)
    }

    /// The threads, out of 0 to 3, that run in 4,000 choices.
    fn runs(strategy: Strategy) -> Vec<usize> {
        let (mut chooser, mut choices) = chooser(strategy, 4);
        let ready = [3, 1, 0, 2];
        (0..4000).map(|_| ready[chooser.choose(&ready, &mut choices)]).collect()
    }

    #[test]
    fn names_are_parsed_and_a_wrong_one_is_answered_with_the_list() {
        for (name, strategy) in Strategy::ALL {
            assert_eq!(name.parse(), Ok(strategy));
        }
        assert_eq!(Strategy::default(), Strategy::Uniform);
        let error = "luck".parse::<Strategy>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no strategy \"luck\"; there are uniform, priorities, pauses, slow-places"
        );
    }

    #[test]
    fn threads_are_equally_likely_but_for_priorities() {
        for strategy in [Strategy::Uniform, Strategy::Pauses] {
            let runs = runs(strategy);
            for thread in 0..4 {
                let count = runs.iter().filter(|run| **run == thread).count();
                assert!((900..1100).contains(&count), "{strategy:?} runs thread {thread} {count} times");
            }
        }
        // The thread with the highest priority runs until a priority changes.
        let runs = runs(Strategy::Priorities);
        let changes = runs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((1..40).contains(&changes), "{changes} changes");
    }

    #[test]
    fn places_are_slow_for_one_strategy_only() {
        for (_, strategy) in Strategy::ALL {
            let (mut chooser, mut choices) = chooser(strategy, 1);
            let edge = |edge| chooser.at_edge(edge, 0, &mut choices) == AtEdge::Never;
            assert_eq!((0..1000).all(edge), strategy != Strategy::SlowPlaces, "{strategy:?}");
        }
    }

    #[test]
    fn slow_places_share_the_time_of_pauses() {
        const EDGES: usize = 1000;
        for seed in 0..20 {
            let (mut chooser, mut choices) = (Strategy::SlowPlaces.chooser(), Rng::new(seed, 1));
            let mut pauses = [0; EDGES];
            let mut is_slow = [true; EDGES];
            let (mut total, mut longest) = (0, 0);
            // Every millisecond, for 40 seconds, threads pass all edges with even numbers, and one of the others.
            for now in (0..40_000).map(|i| i * MILLISECOND) {
                let seldom = (now / MILLISECOND) as usize % EDGES;
                for edge in (0..EDGES).filter(|edge| edge % 2 == 0 || *edge == seldom) {
                    if !is_slow[edge] {
                        continue;
                    }
                    match chooser.at_edge(edge, now, &mut choices) {
                        AtEdge::Never => is_slow[edge] = false,
                        AtEdge::GoOn => {}
                        AtEdge::PauseUntil(until) => {
                            pauses[edge] += 1;
                            total += until - now;
                            longest = longest.max(until - now);
                        }
                    }
                }
            }
            let percent = total / (400 * MILLISECOND);
            let slow: Vec<usize> = (0..EDGES).filter(|edge| is_slow[*edge]).collect();
            assert!((1..200).contains(&slow.len()), "seed {seed}: {} slow edges", slow.len());
            assert!((1..=105).contains(&percent), "seed {seed}: {percent} %");
            assert!(longest < 20 * MILLISECOND, "seed {seed}: {longest} ns");
            // Of 40 passes of an edge that is seldom passed, many lead to a pause.
            let seldom: Vec<u64> =
                slow.iter().filter(|edge| *edge % 2 == 1).map(|edge| pauses[*edge]).collect();
            assert!(seldom.iter().all(|count| *count >= 5), "seed {seed}: {seldom:?}");
        }
    }

    #[test]
    fn threads_pause_at_slow_places_for_a_quarter_of_the_time_when_all_is_calm() {
        for is_calm in [false, true] {
            let (mut chooser, mut choices) = chooser(Strategy::SlowPlaces, 7);
            if is_calm {
                chooser.calm();
            }
            const TIME: u64 = 100_000 * MILLISECOND;
            let pauses =
                (0..TIME).step_by(MILLISECOND as usize / 10).enumerate().filter_map(|(i, now)| match chooser
                    .at_edge(i % 3000, now, &mut choices)
                {
                    AtEdge::PauseUntil(until) => Some(until - now),
                    _ => None,
                });
            let percent = pauses.sum::<u64>() * 100 / TIME;
            assert!(if is_calm { (5..=25).contains(&percent) } else { percent > 50 }, "{percent} %");
        }
    }

    #[test]
    fn a_deferred_thread_has_the_lowest_priority() {
        let (mut chooser, mut choices) = chooser(Strategy::Priorities, 2);
        let favourite = chooser.choose(&[0, 1], &mut choices);
        chooser.defer(favourite);
        assert_eq!(chooser.choose(&[0, 1], &mut choices), 1 - favourite);
        // Two threads that yield to each other run by turns.
        let mut last = 1 - favourite;
        for _ in 0..20 {
            chooser.defer(last);
            let next = chooser.choose(&[0, 1], &mut choices);
            assert_eq!(next, 1 - last);
            last = next;
        }
    }

    #[test]
    fn pauses_are_as_long_and_as_frequent_as_the_strategy_says() {
        for (strategy, longest, counts) in [
            (Strategy::Uniform, 0, 0..=0),
            (Strategy::Priorities, 0, 0..=0),
            (Strategy::Pauses, 20 * MILLISECOND, 180..=220),
        ] {
            let (mut chooser, mut choices) = chooser(strategy, 1);
            // The scheduler asks every 10 us, for ten seconds.
            let times = (0..1_000_000).map(|i| i * MILLISECOND / 100);
            let pauses: Vec<_> =
                times.filter_map(|now| chooser.pause(now, &mut choices).map(|until| until - now)).collect();
            assert!(counts.contains(&pauses.len()), "{strategy:?}: {} pauses", pauses.len());
            let max = pauses.iter().copied().max().unwrap_or(0);
            assert!(max <= longest && max >= longest * 4 / 5, "{strategy:?}: {max} ns");
        }
    }
}
