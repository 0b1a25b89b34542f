//! Shares out the time: a title that hangs must leave enough to those behind it.

use std::time::Duration;

/// Longer than a title's own limit: the title's process then says itself what hangs.
pub const LONGEST: Duration = Duration::from_secs(harness::LIMIT.as_secs() + 10);

/// When the scores are printed, in seconds, unless somebody says otherwise: Autolab stops a job after at most 900.
pub const DEADLINE: u64 = 870;

/// What is kept for one simulated run. On average they take half of it, on a machine that has other work too.
const SEED: Duration = Duration::from_secs(2);

/// What is kept for building, when it is about seeds.
const BUILD: Duration = Duration::from_secs(60);

/// How long a title may run, when `left` is left for it and for those behind it. `usual` is how many seconds it takes
/// when all is well, `later` how many each of the others does; `seeds` is kept for simulations, if there is that much.
pub fn share(left: Duration, usual: f64, later: impl Iterator<Item = f64>, seeds: Duration) -> Duration {
    let (own, later) = (reserve(usual), later.map(reserve).sum::<Duration>());
    // When there is not enough for all, each gets its part of what there is.
    let part = left.mul_f64(own.as_secs_f64() / (own + later).as_secs_f64());
    left.saturating_sub(later + seeds).max(part.min(own)).min(LONGEST)
}

/// What is kept for simulating `seeds` seeds of each of so many titles.
pub fn seeds_reserve(seeds: u32, titles: usize) -> Duration {
    SEED * seeds * titles as u32
}

/// How many seeds of each of these titles fit into `time`, beside the build and `runs` real runs of each. `usual` is as in
/// [`share`], of all titles.
pub fn most_seeds(time: Duration, usual: &[f64], runs: usize) -> u32 {
    let needed = BUILD + usual.iter().map(|usual| reserve(*usual)).sum::<Duration>() * runs as u32;
    (time.saturating_sub(needed).as_secs_f64() / seeds_reserve(1, usual.len()).as_secs_f64()) as u32
}

/// What is kept for a title: machines are not all equally fast.
pub fn reserve(usual: f64) -> Duration {
    Duration::from_secs_f64(3.0 + 1.25 * usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Part, Title};

    fn titles() -> &'static [Title] {
        Part::A.titles()
    }

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    /// Gives each title its share, of which it uses what `used` says.
    fn run(total: f64, used: impl Fn(usize, Duration) -> Duration) -> Vec<Duration> {
        let mut left = seconds(total);
        let mut shares = Vec::new();
        for (i, title) in titles().iter().enumerate() {
            let share =
                share(left, title.seconds, titles()[i + 1..].iter().map(|t| t.seconds), Duration::ZERO);
            left = left.checked_sub(used(i, share)).unwrap();
            shares.push(share);
        }
        shares
    }

    #[test]
    fn with_time_enough_each_title_gets_more_than_its_own_limit() {
        let usual = |i: usize, _| seconds(titles()[i].seconds);
        assert!(run(600.0, usual).iter().all(|share| *share == seconds(130.0)));
    }

    #[test]
    fn the_default_deadline_has_room_for_both_parts() {
        let both = Part::Both.titles().iter().map(|title| reserve(title.seconds)).sum::<Duration>();
        assert!(both < seconds(700.0), "{both:?}");
    }

    #[test]
    fn titles_that_hang_leave_the_others_their_time() {
        for hang in 0..titles().len() {
            let shares = run(800.0, |_, share| share);
            assert!(shares[hang] >= reserve(titles()[hang].seconds), "{hang}: {:?}", shares[hang]);
        }
        let shares = run(400.0, |i, share| if i < 3 { share } else { seconds(titles()[i].seconds) });
        for (title, share) in titles().iter().zip(shares) {
            assert!(share >= reserve(title.seconds), "{}: {share:?}", title.problem);
        }
    }

    #[test]
    fn with_too_little_time_each_gets_its_part_and_the_sum_is_kept() {
        let shares = run(130.0, |_, share| share);
        assert!(shares.iter().sum::<Duration>() <= seconds(130.0));
        for (title, share) in titles().iter().zip(shares) {
            assert!(share >= reserve(title.seconds).mul_f64(0.2), "{}: {share:?}", title.problem);
        }
        assert_eq!(share(Duration::ZERO, 5.0, [5.0].into_iter(), seconds(9.0)), Duration::ZERO);
    }

    #[test]
    fn the_last_gets_all_that_is_left() {
        assert_eq!(share(seconds(40.0), 20.0, std::iter::empty(), Duration::ZERO), seconds(40.0));
    }

    #[test]
    fn seeds_take_of_what_is_left_over_only() {
        let later = || [20.0, 20.0].into_iter();
        let kept = reserve(20.0) * 2;
        // Enough for all: the rest is the title's.
        assert_eq!(share(kept + seconds(90.0), 20.0, later(), seconds(30.0)), seconds(60.0));
        // Not enough: the title has what it would have if all others hung.
        assert_eq!(share(kept + seconds(30.0), 20.0, later(), seconds(30.0)), reserve(20.0));
        let short = kept;
        assert_eq!(share(short, 20.0, later(), seconds(30.0)), share(short, 20.0, later(), Duration::ZERO));
    }

    #[test]
    fn the_default_deadline_has_room_for_some_seeds() {
        let usual = |part: Part| part.titles().iter().map(|title| title.seconds).collect::<Vec<_>>();
        for (part, some) in [(Part::A, 10), (Part::B, 30), (Part::Both, 5)] {
            let most = most_seeds(seconds(DEADLINE as f64), &usual(part), 1);
            assert!((some..2 * some).contains(&most), "{part:?}: {most}");
        }
        assert_eq!(most_seeds(seconds(300.0), &usual(Part::A), 1), 0);
    }
}
