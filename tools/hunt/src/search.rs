//! The search for a run that fails, and for the smallest run that fails in the same way. It knows scenarios, and not how
//! they are run.

use crate::scenario::Scenario;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many seeds of a smaller scenario are tried. With other faults, the threads run in another order: a scenario that
/// can fail seldom fails with each seed.
const SEEDS_OF_SMALLER: u64 = 60;

/// One run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The simulation's seed.
    pub seed: u64,
    /// What the run is like.
    pub scenario: Scenario,
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Why it failed: the first line names what was violated. None: it did not fail.
    pub failure: Option<String>,
    /// Something that should be mended, but is no failure.
    pub warning: Option<String>,
}

/// What to look for, and how long.
#[derive(Clone, Debug)]
pub struct Search {
    /// The first seed. The others follow it.
    pub first_seed: u64,
    /// How long to look for a run that fails.
    pub time: Duration,
    /// How long to look for a smaller run that fails in the same way.
    pub shrinking: Duration,
    /// How many runs to make at once.
    pub workers: usize,
    /// Whether servers may take snapshots.
    pub snapshots: bool,
    /// The scenario of all runs. None: each seed has its own.
    pub scenario: Option<Scenario>,
}

/// What a search has found so far.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// No run has failed yet.
    Searching {
        /// How many runs were made.
        runs: u64,
    },
    /// A run has failed. The search looks for a smaller one.
    Shrinking {
        /// How many runs were made for that.
        runs: u64,
    },
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Found {
    /// How many runs were made until the time was up or one failed.
    pub runs: u64,
    /// How long that took.
    pub took: Duration,
    /// The first warning.
    pub warning: Option<String>,
    /// The run that failed. None: none did.
    pub failure: Option<Failure>,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The first run that failed.
    pub first: Trial,
    /// The smallest run that was found to fail in the same way.
    pub smallest: Trial,
    /// Why it failed.
    pub message: String,
}

impl Search {
    /// Searches. `run` makes one run; several threads call it at once. `progress` is called now and then.
    pub fn search(
        &self,
        run: &(dyn Fn(&Trial) -> Outcome + Sync),
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Found {
        let begun = Instant::now();
        let warning = Mutex::new(None);
        let draw = |number| {
            let seed = self.first_seed.wrapping_add(number);
            let scenario = self.scenario.clone().unwrap_or_else(|| Scenario::draw(seed, self.snapshots));
            Trial { seed, scenario }
        };
        let is_failure = |outcome: Outcome| {
            if outcome.warning.is_some() {
                let mut first = warning.lock();
                *first = first.take().or(outcome.warning);
            }
            outcome.failure
        };
        let tell = |runs| progress(Progress::Searching { runs });
        let round = Round { workers: self.workers, most: u64::MAX, until: begun + self.time };
        let (runs, first) = round.run(&draw, &|trial| is_failure(run(trial)), &tell);
        let took = begun.elapsed();
        let failure = first.map(|(first, message)| self.shrink(first, message, run, progress));
        Found { runs, took, warning: warning.into_inner(), failure }
    }

    /// Takes away one thing after the other, for as long as a run fails in the same way.
    fn shrink(
        &self,
        first: Trial,
        message: String,
        run: &(dyn Fn(&Trial) -> Outcome + Sync),
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Failure {
        let until = Instant::now() + self.shrinking;
        let kind = kind(&message);
        let mut failure = Failure { smallest: first.clone(), first, message };
        let runs = AtomicU64::new(0);
        let again = |trial: &Trial| {
            let failure = run(trial).failure.filter(|message| self::kind(message) == kind);
            runs.fetch_add(1, Ordering::Relaxed);
            failure
        };
        let tell = |_| progress(Progress::Shrinking { runs: runs.load(Ordering::Relaxed) });
        if self.shrinking.is_zero() {
            return failure;
        }
        'smaller: loop {
            for scenario in failure.smallest.scenario.smaller() {
                let seed = failure.smallest.seed;
                // The same seed first: if what is taken away did not matter, it may fail in the same way.
                let draw = |number| Trial {
                    seed: if number == 0 { seed } else { number },
                    scenario: scenario.clone(),
                };
                let round = Round { workers: self.workers, most: SEEDS_OF_SMALLER, until };
                if let (_, Some((smallest, message))) = round.run(&draw, &again, &tell) {
                    failure = Failure { smallest, message, ..failure };
                    continue 'smaller;
                }
                if Instant::now() >= until {
                    return failure;
                }
            }
            return failure;
        }
    }
}

/// Runs that are made by several threads, until one fails.
struct Round {
    workers: usize,
    /// How many runs there are at most.
    most: u64,
    until: Instant,
}

impl Round {
    /// Returns how many runs did not fail, and one that did, with its message.
    fn run(
        &self,
        draw: &(dyn Fn(u64) -> Trial + Sync),
        fails: &(dyn Fn(&Trial) -> Option<String> + Sync),
        tell: &(dyn Fn(u64) + Sync),
    ) -> (u64, Option<(Trial, String)>) {
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let is_over = AtomicBool::new(false);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.workers {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) && Instant::now() < self.until {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if number >= self.most {
                            return;
                        }
                        let trial = draw(number);
                        match fails(&trial) {
                            None => tell(done.fetch_add(1, Ordering::SeqCst) + 1),
                            Some(message) => {
                                is_over.store(true, Ordering::SeqCst);
                                failure.lock().get_or_insert((trial, message));
                            }
                        }
                    }
                });
            }
        });
        (done.into_inner(), failure.into_inner())
    }
}

/// What a failure is about: two messages of one kind tell of the same violation.
fn kind(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    // "thread "server 2: raft main loop": a message"
    let line = line
        .strip_prefix("thread \"")
        .and_then(|rest| rest.split_once("\": "))
        .map_or(line, |(_, rest)| rest);
    let end = line.find(": ").unwrap_or(line.len());
    line[..end].chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Fault;

    fn search(time: Duration) -> Search {
        let shrinking = Duration::from_secs(60);
        Search { first_seed: 1, time, shrinking, workers: 2, snapshots: true, scenario: None }
    }

    #[test]
    fn a_failure_is_found_and_shrunk_to_what_it_needs() {
        // Fails if servers crash before a save and there is a partition, with one seed in seven.
        let run = |trial: &Trial| {
            let Scenario { faults, .. } = &trial.scenario;
            let fails = faults.contains(&Fault::Partition)
                && faults.contains(&Fault::CrashBeforeSave)
                && trial.seed.is_multiple_of(7);
            Outcome {
                failure: fails.then(|| format!("State Machine Safety: at index {}", trial.seed)),
                warning: None,
            }
        };
        let found = search(Duration::from_secs(60)).search(&run, &|_| ());
        let Failure { smallest, message, .. } = found.failure.expect("some scenario has both faults");
        assert_eq!(
            smallest.scenario.to_string(),
            "3 servers, 1 client, 500 ms, uniform: partition, crash before a save"
        );
        assert_eq!(message, format!("State Machine Safety: at index {}", smallest.seed));
    }

    #[test]
    fn a_search_ends_when_its_time_is_up() {
        let warns = |_: &Trial| Outcome { failure: None, warning: Some("threads are left".to_string()) };
        let found = search(Duration::from_millis(50)).search(&warns, &|_| ());
        assert!(found.failure.is_none() && found.runs > 0);
        assert_eq!(found.warning.as_deref(), Some("threads are left"));
    }

    #[test]
    fn a_kind_is_what_was_violated() {
        for (a, b, are_same) in [
            ("Election Safety: server 1", "Election Safety: server 2", true),
            ("Election Safety: server 1", "State Machine Safety: server 1", false),
            (
                "thread \"server 2: raft main loop\": index 7 is too large\n  at x",
                "thread \"server 1: applier\": index 8 is too large",
                true,
            ),
        ] {
            assert_eq!(kind(a) == kind(b), are_same, "{a}; {b}");
        }
    }
}
