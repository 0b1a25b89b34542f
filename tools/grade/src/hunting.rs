//! The hunt: makes many short simulated runs of the hand-in, each with faults of its own, until one fails or the time is up
//! (`make hunt`, docs/simulation.md). This module finds a failure, and says what it costs.

use crate::run::Hunter;
use crate::strays;
use anyhow::{Error, Result};
use hunt::{Failure, Found, Outcome, Search, Trial};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long to look for a smaller run that fails in the same way.
pub const SHRINKING: Duration = Duration::from_secs(30);

/// How many runs to make at once: a grading has two processors, and others may grade beside it.
const WORKERS: usize = 2;

/// How often to kill the processes that runs have left behind. Meanwhile no run can go on.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a run may take at least, even if the hunt is over meanwhile. Runs take some milliseconds.
const SHORTEST_LIMIT: Duration = Duration::from_secs(1);

/// What a hunt has found.
#[derive(Clone, Debug)]
pub enum Hunted {
    /// Nothing: there was no hunt, for this reason.
    NotRun(String),
    /// Nothing: no run has failed.
    Nothing {
        /// How many runs were made.
        runs: u64,
        /// How long that took.
        took: Duration,
        /// How long it should take; it takes less if the time is up before.
        asked: Duration,
    },
    /// A run has failed, and has failed again when it was repeated.
    Bug {
        /// The number of the run.
        run: u64,
        /// After how long it failed.
        took: Duration,
        /// The run.
        failure: Failure,
    },
}

impl Hunted {
    /// The points that are taken off: `cost`, but no more than `earned`, if there is a bug.
    pub fn taken(&self, cost: f64, earned: f64) -> f64 {
        if matches!(self, Hunted::Bug { .. }) { cost.min(earned) } else { 0.0 }
    }
}

/// Points of tests, after the hunt has taken points off. It takes them from the last tests that have any.
pub fn reduced(points: impl DoubleEndedIterator<Item = f64>, mut taken: f64) -> Vec<f64> {
    let mut reduced: Vec<f64> = points
        .rev()
        .map(|points| {
            let part = points.min(taken);
            taken -= part;
            // Differences of decimal numbers are not exact.
            ((points - part) * 1e6).round() / 1e6
        })
        .collect();
    reduced.reverse();
    reduced
}

/// A search with the asked time, if `left` is enough for that. If it is not, shrinking gets less time, and then the search.
pub fn search(asked: Duration, left: Duration, first_seed: u64, snapshots: bool) -> Search {
    let time = asked.min(left);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Search {
        first_seed,
        time,
        shrinking: SHRINKING.min(left - time),
        workers: processors.min(WORKERS),
        snapshots,
        scenario: None,
    }
}

/// Hunts. A run counts as failed only if it fails in the same way when it is repeated. Returns also the first warning.
///
/// # Errors
/// When the grader cannot make a run.
pub fn hunt(hunter: &Hunter<'_>, search: &Search, asked: Duration) -> Result<(Hunted, Option<String>)> {
    let until = Instant::now() + search.time + search.shrinking;
    let sweeper = Sweeper { running: RwLock::new(()), last: Mutex::new(Instant::now()) };
    let error = Mutex::new(None);
    let once = |trial: &Trial| {
        let made = sweeper.while_none_are_swept(|| {
            hunter.run(trial, until.saturating_duration_since(Instant::now()).max(SHORTEST_LIMIT))
        });
        sweeper.sweep_now_and_then();
        made.unwrap_or_else(|e| end_search(&error, e))
    };
    let run = |trial: &Trial| repeat_failure(&|| once(trial));
    let Found { runs, took, warning, failure } = search.search(&run, &|_| ());
    strays::kill_all();
    if let Some(e) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(e);
    }
    let hunted = match failure {
        None => Hunted::Nothing { runs, took, asked },
        Some(failure) => Hunted::Bug { run: runs + 1, took, failure },
    };
    Ok((hunted, warning))
}

/// Keeps an error of the grader, and returns an outcome that ends the search.
fn end_search(error: &Mutex<Option<Error>>, e: Error) -> Outcome {
    error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    Outcome { failure: Some("the grader failed".to_string()), warning: None }
}

/// Makes a run. If it fails, makes it again: a failure that does not come back is only a warning.
fn repeat_failure(run: &dyn Fn() -> Outcome) -> Outcome {
    let first = run();
    let Some(message) = &first.failure else { return first };
    let line = |message: &str| message.lines().next().unwrap_or_default().to_string();
    match run().failure {
        Some(again) if line(&again) == line(message) => first,
        _ => Outcome {
            failure: None,
            warning: Some(format!(
                "a run failed, but not when it was repeated; it costs no points: {}",
                line(message)
            )),
        },
    }
}

/// Kills the processes that runs have left behind, at times when there is no run.
struct Sweeper {
    running: RwLock<()>,
    /// When it swept last.
    last: Mutex<Instant>,
}

impl Sweeper {
    fn while_none_are_swept<T>(&self, run: impl FnOnce() -> T) -> T {
        let _running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        run()
    }

    fn sweep_now_and_then(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= SWEEP_INTERVAL {
            let _alone = self.running.write().unwrap_or_else(PoisonError::into_inner);
            strays::kill_all();
            *last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn points_are_taken_from_the_last_tests_and_no_test_falls_below_zero() {
        let points = || [5.0, 5.0, 0.0, 2.5, 2.5].into_iter();
        assert_eq!(reduced(points(), 0.0), [5.0, 5.0, 0.0, 2.5, 2.5]);
        assert_eq!(reduced(points(), 4.0), [5.0, 5.0, 0.0, 1.0, 0.0]);
        assert_eq!(reduced(points(), 7.0), [5.0, 3.0, 0.0, 0.0, 0.0]);
        assert_eq!(reduced(points(), 99.0), [0.0; 5]);
        assert_eq!(reduced([5.0].into_iter(), 4.9), [0.1]);
    }

    #[test]
    fn only_a_bug_costs_points_and_no_more_than_were_earned() {
        let trial = Trial { seed: 7, scenario: "3 servers: crash".parse().unwrap() };
        let failure =
            Failure { first: trial.clone(), smallest: trial, message: "Election Safety: two".to_string() };
        let bug = Hunted::Bug { run: 1, took: Duration::ZERO, failure };
        assert_eq!((bug.taken(10.0, 60.0), bug.taken(10.0, 7.5), bug.taken(0.0, 60.0)), (10.0, 7.5, 0.0));
        let nothing = Hunted::Nothing { runs: 9, took: Duration::ZERO, asked: Duration::ZERO };
        for harmless in [nothing, Hunted::NotRun("the time was up".to_string())] {
            assert_eq!(harmless.taken(10.0, 60.0), 0.0);
        }
    }

    #[test]
    fn a_hunt_with_too_little_time_first_shrinks_less() {
        let seconds = Duration::from_secs;
        for (left, time, shrinking) in [(100, 20, 30), (50, 20, 30), (35, 20, 15), (20, 20, 0), (8, 8, 0)] {
            let search = search(seconds(20), seconds(left), 1, true);
            assert_eq!((search.time, search.shrinking), (seconds(time), seconds(shrinking)), "{left}");
        }
    }

    #[test]
    fn a_failure_that_does_not_come_back_is_a_warning() {
        // Runs end with these outcomes, one after the other.
        let repeated = |messages: [Option<&str>; 2]| {
            let next = Cell::new(0);
            repeat_failure(&|| {
                let message = messages[next.replace(next.get() + 1)];
                Outcome { failure: message.map(str::to_string), warning: None }
            })
        };
        let same = repeated([Some("Order: a\nfirst"), Some("Order: a\nsecond")]);
        assert_eq!((same.failure.as_deref(), same.warning), (Some("Order: a\nfirst"), None));
        for again in [None, Some("Liveness: b")] {
            let other = repeated([Some("Order: a"), again]);
            assert_eq!(other.failure, None);
            assert!(other.warning.unwrap().contains("costs no points: Order: a"));
        }
        assert_eq!(repeated([None, Some("Order: a")]).failure, None);
    }
}
