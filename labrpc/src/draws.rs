//! The random draws of Go's network: every delay range and drop rate of `ProcessReq` in labrpc.go.

use rand::{Rng, RngExt};
use std::time::Duration;

/// Draws how long an unreliable network delays a request: 0 to 26 ms.
pub(crate) fn request_delay(rng: &mut impl Rng) -> Duration {
    Duration::from_millis(rng.random_range(0..27))
}

/// Draws whether an unreliable network loses a message: it loses 10 % of the requests, and 10 % of the replies.
pub(crate) fn message_is_lost(rng: &mut impl Rng) -> bool {
    rng.random_range(0..1000) < 100
}

/// Draws how long a network that reorders holds a reply back: two replies in three, for 200 to 2199 ms. Short times are
/// likelier than long ones.
pub(crate) fn reordering_delay(rng: &mut impl Rng) -> Option<Duration> {
    let reordered = rng.random_range(0..900) < 600;
    reordered.then(|| {
        let longest = 1 + rng.random_range(0..2000);
        Duration::from_millis(200 + rng.random_range(0..longest))
    })
}

/// Draws how long it takes to find out that nobody answers: 0 to 99 ms, or 0 to 6999 ms with long delays.
pub(crate) fn no_answer_delay(rng: &mut impl Rng, long_delays: bool) -> Duration {
    Duration::from_millis(rng.random_range(0..if long_delays { 7000 } else { 100 }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    pub(crate) const DRAWS: usize = 100_000;

    /// Asserts that the values are spread over exactly `0..=longest` ms with the given mean (to 2 %).
    pub(crate) fn assert_spread(
        delays: impl Iterator<Item = Duration>,
        shortest: u128,
        longest: u128,
        mean: f64,
    ) {
        let ms: Vec<u128> = delays.map(|d| d.as_millis()).collect();
        assert_eq!(ms.iter().min(), Some(&shortest));
        assert_eq!(ms.iter().max(), Some(&longest));
        let measured = ms.iter().sum::<u128>() as f64 / ms.len() as f64;
        assert!((measured / mean - 1.0).abs() < 0.02, "mean {measured} ms, wanted {mean} ms");
    }

    pub(crate) fn assert_rate(hits: usize, rate: f64) {
        let measured = hits as f64 / DRAWS as f64;
        assert!((measured - rate).abs() < 0.005, "rate {measured}, wanted {rate}");
    }

    #[test]
    fn a_request_waits_0_to_26_ms() {
        let rng = &mut StdRng::seed_from_u64(1);
        assert_spread((0..DRAWS).map(|_| request_delay(rng)), 0, 26, 13.0);
    }

    #[test]
    fn one_message_in_ten_is_lost() {
        let rng = &mut StdRng::seed_from_u64(2);
        assert_rate((0..DRAWS).filter(|_| message_is_lost(rng)).count(), 0.1);
    }

    #[test]
    fn two_replies_in_three_are_held_back_for_200_ms_and_more() {
        let rng = &mut StdRng::seed_from_u64(3);
        let held: Vec<Duration> = (0..DRAWS).filter_map(|_| reordering_delay(rng)).collect();
        assert_rate(held.len(), 2.0 / 3.0);
        // 200 + rand(1 + rand(2000)): the inner draw is uniform below a uniform bound, a quarter of 2000 on average.
        let mean = held.iter().map(Duration::as_secs_f64).sum::<f64>() * 1e3 / held.len() as f64;
        assert!((mean - 699.75).abs() < 10.0, "mean {mean} ms");
        assert_eq!(held.iter().min(), Some(&Duration::from_millis(200)));
        let longest = *held.iter().max().unwrap();
        assert!(
            longest > Duration::from_millis(2100) && longest < Duration::from_millis(2200),
            "{longest:?}"
        );
    }

    #[test]
    fn nobody_answers_within_99_ms_or_6999_ms() {
        let rng = &mut StdRng::seed_from_u64(4);
        assert_spread((0..DRAWS).map(|_| no_answer_delay(rng, false)), 0, 99, 49.5);
        assert_spread((0..DRAWS).map(|_| no_answer_delay(rng, true)), 0, 6999, 3499.5);
    }
}
