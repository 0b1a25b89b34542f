//! The random number generator behind every choice.

/// SplitMix64: small, fast, and good enough for choices. Its numbers can be predicted, which does no harm here.
#[derive(Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// One of the independent streams of numbers that belong to a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Rng {
        let mut rng = Rng(seed ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which must not be 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// True with a probability of 1 in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_the_bound_and_streams_differ() {
        let (mut a, mut b) = (Rng::new(7, 1), Rng::new(7, 2));
        let mut seen = [0; 5];
        for _ in 0..5000 {
            seen[a.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
        assert_ne!(a.next(), b.next());
        assert_eq!(Rng::new(7, 1).next(), Rng::new(7, 1).next());
    }
}
