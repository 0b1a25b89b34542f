//! The network's draws of luck: every delay range and drop rate in one place (`ProcessReq` in labrpc.go).

use rand::{Rng, RngExt};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long messages take on their way, beside the delays of a network that is unreliable or reorders, and how long
/// threads stand still in the middle of an RPC. By default no time at all, as in Go.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Drawn for each request on a reliable network, and for each reply that is not held back by reordering.
    pub usual: Option<RangeInclusive<Duration>>,
    /// One message in so many takes up to so long instead.
    pub stragglers: Option<(u32, Duration)>,
    /// At one RPC in so many the caller's thread stands still for up to so long before its arguments are read, as if it
    /// had lost the processor there; and at one in so many the handler's thread, between its answer and the sending of it.
    pub stalls: Option<(u32, Duration)>,
}

impl Latency {
    /// None: the message is there at once.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Option<Duration> {
        let late = self.stragglers.and_then(|stragglers| rare(rng, stragglers));
        late.or_else(|| self.usual.clone().map(|usual| rng.random_range(usual)))
    }

    /// How long a thread stands still in the middle of an RPC.
    pub(crate) fn draw_stall(&self, rng: &mut impl Rng) -> Option<Duration> {
        self.stalls.and_then(|stalls| rare(rng, stalls))
    }
}

/// With one chance in so many, a time of up to so long.
fn rare(rng: &mut impl Rng, (one_in, longest): (u32, Duration)) -> Option<Duration> {
    rng.random_ratio(1, one_in).then(|| rng.random_range(Duration::ZERO..=longest))
}

/// How long a request waits on an unreliable network: 0 to 26 ms.
pub(crate) fn request_delay(rng: &mut impl Rng) -> Duration {
    Duration::from_millis(rng.random_range(0..27))
}

/// Whether an unreliable network loses this message. Drawn for the request, and again for the reply: 10 % each.
pub(crate) fn message_is_lost(rng: &mut impl Rng) -> bool {
    rng.random_range(0..1000) < 100
}

/// How long a network that reorders holds this reply back: 600 of 900 replies, for 200 to 2199 ms, the shorter the
/// likelier.
pub(crate) fn reordering_delay(rng: &mut impl Rng) -> Option<Duration> {
    let reordered = rng.random_range(0..900) < 600;
    reordered.then(|| {
        let longest = 1 + rng.random_range(0..2000);
        Duration::from_millis(200 + rng.random_range(0..longest))
    })
}

/// How long it takes to find out that nobody answers: 0 to 99 ms, or 0 to 6999 ms with long delays.
pub(crate) fn no_answer_delay(rng: &mut impl Rng, long_delays: bool) -> Duration {
    Duration::from_millis(rng.random_range(0..if long_delays { 7000 } else { 100 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const DRAWS: usize = 100_000;

    /// Asserts that the values are spread over exactly `0..=longest` ms with the given mean (to 2 %).
    fn assert_spread(delays: impl Iterator<Item = Duration>, shortest: u128, longest: u128, mean: f64) {
        let ms: Vec<u128> = delays.map(|d| d.as_millis()).collect();
        assert_eq!(ms.iter().min(), Some(&shortest));
        assert_eq!(ms.iter().max(), Some(&longest));
        let measured = ms.iter().sum::<u128>() as f64 / ms.len() as f64;
        assert!((measured / mean - 1.0).abs() < 0.02, "mean {measured} ms, wanted {mean} ms");
    }

    fn assert_rate(hits: usize, rate: f64) {
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
    fn messages_take_no_time_unless_they_are_told_to() {
        let rng = &mut StdRng::seed_from_u64(5);
        assert_eq!(Latency::default().draw(rng), None);
        let ms = Duration::from_millis;
        let latency = Latency { usual: Some(ms(1)..=ms(3)), ..Latency::default() };
        // In tenths of a millisecond: in nanoseconds, the very ends are hardly ever drawn.
        let tenths = |d: Duration| ms((d.as_micros() as f64 / 100.0).round() as u64);
        assert_spread((0..DRAWS).filter_map(|_| latency.draw(rng)).map(tenths), 10, 30, 20.0);
        let latency = Latency { stragglers: Some((4, ms(500))), ..Latency::default() };
        let late: Vec<Duration> = (0..DRAWS).filter_map(|_| latency.draw(rng)).collect();
        assert_rate(late.len(), 0.25);
        assert!(late.iter().max().unwrap() > &ms(490));
    }

    #[test]
    fn threads_stand_still_only_when_they_are_told_to() {
        let rng = &mut StdRng::seed_from_u64(6);
        assert_eq!(Latency::default().draw_stall(rng), None);
        let latency = Latency { stalls: Some((4, Duration::from_millis(500))), ..Latency::default() };
        let stalls: Vec<Duration> = (0..DRAWS).filter_map(|_| latency.draw_stall(rng)).collect();
        assert_rate(stalls.len(), 0.25);
        assert_eq!(latency.draw(rng), None);
    }

    #[test]
    fn nobody_answers_within_99_ms_or_6999_ms() {
        let rng = &mut StdRng::seed_from_u64(4);
        assert_spread((0..DRAWS).map(|_| no_answer_delay(rng, false)), 0, 99, 49.5);
        assert_spread((0..DRAWS).map(|_| no_answer_delay(rng, true)), 0, 6999, 3499.5);
    }
}
