//! A set of small numbers. The search keeps in it which of the running operations are placed.
//!
//! Go counterpart: `linearizability/bitset.go`.

/// A set of the numbers below a size that is fixed when it is made.
pub(crate) struct Bitset {
    words: Vec<u64>,
}

impl Bitset {
    /// The empty set, with room for the numbers below `size`.
    pub(crate) fn new(size: usize) -> Bitset {
        Bitset { words: vec![0; size.div_ceil(64)] }
    }

    pub(crate) fn insert(&mut self, number: u32) {
        self.words[word(number)] |= bit(number);
    }

    pub(crate) fn remove(&mut self, number: u32) {
        self.words[word(number)] &= !bit(number);
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.words[word(number)] & bit(number) != 0
    }

    /// The set as words. Sets made with the same size have the same number of words.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Replaces this set by the one that had these words.
    pub(crate) fn restore(&mut self, words: &[u64]) {
        self.words.copy_from_slice(words);
    }
}

fn word(number: u32) -> usize {
    number as usize / 64
}

fn bit(number: u32) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn behaves_as_a_set() {
        let (mut set, mut model) = (Bitset::new(150), BTreeSet::new());
        for round in 0..1000_u32 {
            let number = round * round * 7 % 150;
            if round % 3 == 0 {
                set.remove(number);
                model.remove(&number);
            } else {
                set.insert(number);
                model.insert(number);
            }
            assert!((0..150).all(|number| set.contains(number) == model.contains(&number)), "round {round}");
        }
        let words = set.words().to_vec();
        let mut copy = Bitset::new(150);
        copy.restore(&words);
        assert!((0..150).all(|number| copy.contains(number) == model.contains(&number)));
    }
}
