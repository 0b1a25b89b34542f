//! Shares out the time: a test that hangs must leave enough time to the later tests.

use crate::hunting::SHRINKING;
use crate::run;
use std::time::Duration;

/// The longest share of a test: longer than the test's own limit, so that its process can say what hangs.
pub(crate) const LONGEST: Duration = Duration::from_secs(run::LIMIT.as_secs() + 10);

/// After how many seconds the scores are printed, unless `--deadline` is given. Autolab stops a job after at most 900.
pub const DEADLINE: u64 = 870;

/// The time that is kept for one simulated run. On average, even on a busy machine, a run takes half of this time.
const SEED: Duration = Duration::from_secs(2);

/// The time that [`most_seeds`] keeps for building.
const BUILD: Duration = Duration::from_secs(60);

/// How long a test may run.
///
/// `left` is the time for this test, the later tests and the simulations. `usual` is how many seconds the test takes
/// when all is well, `later` the same of each later test. `simulations` is kept for seeds and for the hunt if there is that
/// much.
pub(crate) fn share(
    left: Duration,
    usual: f64,
    later: impl Iterator<Item = f64>,
    simulations: Duration,
) -> Duration {
    let (own, later) = (reserve(usual), later.map(reserve).sum::<Duration>());
    // When there is not enough time for all, each test gets its part of it.
    let part = left.mul_f64(own.as_secs_f64() / (own + later).as_secs_f64());
    left.saturating_sub(later + simulations).max(part.min(own)).min(LONGEST)
}

/// The time that is kept for simulating `seeds` seeds of each of `tests` tests.
pub(crate) fn seeds_reserve(seeds: u32, tests: usize) -> Duration {
    SEED * seeds * tests as u32
}

/// How long all simulated runs of a test may take, when no test runs in real time. `left` is the time for them and for the
/// later tests, of which `later` has the numbers of seeds.
///
/// A right solution may take twenty times as long as another for a test with many clients, so a test gets what is left
/// over by the later ones. A test that hangs leaves each of them [`LEAST_SIMULATED`] at least, if there is as much.
pub(crate) fn simulated_share(left: Duration, later: &[u32]) -> Duration {
    let kept: Duration = later.iter().map(|seeds| (SEED * *seeds).max(LEAST_SIMULATED)).sum();
    left.saturating_sub(kept).min(LONGEST).max(left / (later.len() as u32 + 1))
}

/// How long one simulated run may take, when no test runs in real time, and `left` is the time that is left for it. A run that hangs
/// gets time enough to say so. A long test that has not ended by then runs in real time instead: that takes less than half of
/// [`LONG_RUN`], and can also say what hangs.
pub(crate) fn simulated_limit(is_long: bool, left: Duration) -> Duration {
    left.min(if is_long { LONG_RUN } else { LONGEST })
}

/// The longest simulated run of a long test.
const LONG_RUN: Duration = Duration::from_secs(60);

/// The time that is kept for the simulated runs of a later test, however few these are.
const LEAST_SIMULATED: Duration = Duration::from_secs(20);

/// The time that is kept for a hunt.
pub(crate) fn hunt_reserve(hunt: Option<Duration>) -> Duration {
    hunt.map_or(Duration::ZERO, |time| time + SHRINKING)
}

/// How many seeds of each test fit into `time`, beside the build and `runs` real runs of each test. `usual` holds how
/// many seconds each test takes when all is well.
pub fn most_seeds(time: Duration, usual: &[f64], runs: usize) -> u32 {
    (room(time, usual, runs).as_secs_f64() / seeds_reserve(1, usual.len()).as_secs_f64()) as u32
}

/// How many seconds of a hunt fit into `time`, beside the build, `runs` real runs of each test, and `seeds` seeds of each.
pub fn most_hunt(time: Duration, usual: &[f64], runs: usize, seeds: u32) -> u64 {
    room(time, usual, runs).saturating_sub(seeds_reserve(seeds, usual.len()) + SHRINKING).as_secs()
}

/// The part of `time` that the build and the runs in real time leave over.
fn room(time: Duration, usual: &[f64], runs: usize) -> Duration {
    let needed = BUILD + usual.iter().map(|usual| reserve(*usual)).sum::<Duration>() * runs as u32;
    time.saturating_sub(needed)
}

/// The time that is kept for a test that takes `usual` seconds: some machines are slower.
pub(crate) fn reserve(usual: f64) -> Duration {
    Duration::from_secs_f64(3.0 + 1.25 * usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Part, Test};

    fn tests() -> &'static [Test] {
        Part::Lab3A.tests()
    }

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    /// Gives each test its share, of which it uses what `used` says.
    fn run(total: f64, used: impl Fn(usize, Duration) -> Duration) -> Vec<Duration> {
        let mut left = seconds(total);
        let mut shares = Vec::new();
        for (i, test) in tests().iter().enumerate() {
            let share = share(left, test.seconds, tests()[i + 1..].iter().map(|t| t.seconds), Duration::ZERO);
            left = left.checked_sub(used(i, share)).unwrap();
            shares.push(share);
        }
        shares
    }

    #[test]
    fn with_time_enough_each_test_gets_more_than_its_own_limit() {
        let usual = |i: usize, _| seconds(tests()[i].seconds);
        assert!(run(600.0, usual).iter().all(|share| *share == seconds(130.0)));
    }

    #[test]
    fn the_default_deadline_has_room_for_both_parts() {
        let both = Part::Lab3.tests().iter().map(|test| reserve(test.seconds)).sum::<Duration>();
        assert!(both < seconds(700.0), "{both:?}");
    }

    #[test]
    fn tests_that_hang_leave_the_others_their_time() {
        for hang in 0..tests().len() {
            let shares = run(800.0, |_, share| share);
            assert!(shares[hang] >= reserve(tests()[hang].seconds), "{hang}: {:?}", shares[hang]);
        }
        let shares = run(400.0, |i, share| if i < 3 { share } else { seconds(tests()[i].seconds) });
        for (test, share) in tests().iter().zip(shares) {
            assert!(share >= reserve(test.seconds), "{}: {share:?}", test.problem);
        }
    }

    #[test]
    fn with_too_little_time_each_gets_its_part_and_the_sum_is_kept() {
        let shares = run(130.0, |_, share| share);
        assert!(shares.iter().sum::<Duration>() <= seconds(130.0));
        for (test, share) in tests().iter().zip(shares) {
            assert!(share >= reserve(test.seconds).mul_f64(0.2), "{}: {share:?}", test.problem);
        }
        assert_eq!(share(Duration::ZERO, 5.0, [5.0].into_iter(), seconds(9.0)), Duration::ZERO);
    }

    #[test]
    fn the_last_gets_all_that_is_left() {
        assert_eq!(share(seconds(40.0), 20.0, std::iter::empty(), Duration::ZERO), seconds(40.0));
    }

    #[test]
    fn seeds_use_only_time_that_is_left_over() {
        let later = || [20.0, 20.0].into_iter();
        let kept = reserve(20.0) * 2;
        // Enough for all: this test gets the rest.
        assert_eq!(share(kept + seconds(90.0), 20.0, later(), seconds(30.0)), seconds(60.0));
        // Not enough: this test gets what it would get if all others hung.
        assert_eq!(share(kept + seconds(30.0), 20.0, later(), seconds(30.0)), reserve(20.0));
        let short = kept;
        assert_eq!(share(short, 20.0, later(), seconds(30.0)), share(short, 20.0, later(), Duration::ZERO));
    }

    #[test]
    fn a_slow_simulation_gets_what_the_later_ones_leave() {
        let share = |left: f64, later: &[u32]| simulated_share(seconds(left), later).as_secs_f64();
        assert_eq!(share(800.0, &[10; 14]), 130.0);
        assert_eq!(share(150.0, &[10, 1, 20]), 70.0);
        assert_eq!(share(100.0, &[10; 4]), 20.0);
        assert_eq!(share(50.0, &[10; 4]), 10.0);
        assert_eq!(share(50.0, &[]), 50.0);
    }

    #[test]
    fn a_long_test_that_is_slow_to_simulate_soon_runs_in_real_time() {
        for part in [Part::Lab3A, Part::Lab3B, Part::Lab2] {
            for test in part.tests() {
                let limit = simulated_limit(test.is_long, seconds(500.0));
                assert_eq!(limit, seconds(if test.is_long { 60.0 } else { 130.0 }));
                assert!(!test.is_long || seconds(2.0 * test.seconds) < limit);
                assert_eq!(simulated_limit(test.is_long, seconds(10.0)), seconds(10.0));
            }
        }
    }

    #[test]
    fn the_default_deadline_has_room_for_some_seeds() {
        let usual = |part: Part| part.tests().iter().map(|test| test.seconds).collect::<Vec<_>>();
        for (part, some) in [(Part::Lab3A, 10), (Part::Lab3B, 30), (Part::Lab3, 5)] {
            let most = most_seeds(seconds(DEADLINE as f64), &usual(part), 1);
            assert!((some..2 * some).contains(&most), "{part:?}: {most}");
        }
        assert_eq!(most_seeds(seconds(300.0), &usual(Part::Lab3A), 1), 0);
    }

    #[test]
    fn the_default_deadline_has_room_for_a_hunt_of_a_minute() {
        let usual = |part: Part| part.tests().iter().map(|test| test.seconds).collect::<Vec<_>>();
        let deadline = seconds(DEADLINE as f64);
        for part in [Part::Lab3A, Part::Lab3B, Part::Lab3] {
            assert!(most_hunt(deadline, &usual(part), 1, 0) >= 60, "{part:?}");
        }
        let [without, with] = [0, 3].map(|seeds| most_hunt(deadline, &usual(Part::Lab3A), 1, seeds));
        assert_eq!(without - with, 3 * 2 * Part::Lab3A.tests().len() as u64);
        assert_eq!(most_hunt(seconds(300.0), &usual(Part::Lab3A), 1, 0), 0);
    }
}
