//! The set of operations that the search has linearized so far.
//!
//! Operations are numbered in the order of their calls, and the search takes them in nearly that order. So at any
//! time the set is all of a prefix and a few beyond: a long run of full words, a few mixed ones, then empty ones. Only
//! the mixed ones need to be kept to remember the set, which makes the checker's memory linear in the length of the
//! history where whole sets would make it quadratic.
//!
//! Go counterpart: `linearizability/bitset.go`.

/// A set of small numbers, with the words between its full beginning and its empty end marked.
pub(crate) struct Bitset {
    words: Vec<u64>,
    // All words before `low` are full and `words[low]`, if there is one, is not.
    low: usize,
    // All words from `high` on are empty, and `words[high - 1]` is not empty unless `high == low`; `low <= high`.
    high: usize,
}

/// A set as it was at some time. Equal sets have equal copies, provided they are over the same numbers.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Frozen {
    full: usize,
    mixed: Box<[u64]>,
}

impl Bitset {
    /// The empty set, with room for the numbers below `size`.
    pub(crate) fn new(size: usize) -> Bitset {
        Bitset { words: vec![0; size.div_ceil(64)], low: 0, high: 0 }
    }

    /// Adds a number.
    pub(crate) fn insert(&mut self, number: usize) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        self.words[word] |= bit;
        self.high = self.high.max(word + 1);
        while self.low < self.high && self.words[self.low] == u64::MAX {
            self.low += 1;
        }
    }

    /// Takes a number away.
    pub(crate) fn remove(&mut self, number: usize) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        self.words[word] &= !bit;
        self.low = self.low.min(word);
        while self.high > self.low && self.words[self.high - 1] == 0 {
            self.high -= 1;
        }
    }

    /// A copy to remember the set by.
    pub(crate) fn freeze(&self) -> Frozen {
        Frozen { full: self.low, mixed: self.words[self.low..self.high].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set that got its numbers in the given order.
    fn set_of(numbers: impl IntoIterator<Item = usize>) -> Bitset {
        let mut set = Bitset::new(300);
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }

    #[test]
    fn equal_sets_freeze_equal_whatever_their_past() {
        let mut wandering = set_of((0..300).rev());
        for number in (0..300).filter(|number| number % 3 != 0) {
            wandering.remove(number);
        }
        assert!(wandering.freeze() == set_of((0..300).step_by(3)).freeze());
        for number in 0..300 {
            wandering.remove(number);
        }
        assert!(wandering.freeze() == set_of([]).freeze());
    }

    #[test]
    fn different_sets_freeze_differently() {
        for number in 0..300 {
            let others = (0..300).filter(|&other| other != number);
            assert!(set_of(0..300).freeze() != set_of(others).freeze(), "all but {number}");
            assert!(set_of([]).freeze() != set_of([number]).freeze(), "only {number}");
            assert!(set_of(0..number).freeze() != set_of(0..=number).freeze(), "up to {number}");
        }
    }

    #[test]
    fn a_long_prefix_costs_nothing() {
        let prefix_and_one = set_of((0..200).chain([210])).freeze();
        assert_eq!((prefix_and_one.full, prefix_and_one.mixed.len()), (3, 1));
    }
}
