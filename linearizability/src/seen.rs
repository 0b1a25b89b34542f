//! The configurations that a search has entered.
//!
//! Optional reading: a hash map of configurations would do the same. This one keeps each configuration once, finds it by
//! number too, and knows when a configuration is as good as another.

use std::hash::{Hash, Hasher};

use crate::bitset::Bitset;

/// All configurations that a search has entered. A configuration consists of the placed operations and of the state that
/// they led to.
///
/// Two values say which operations are placed: the front, which is the first operation in the order of returns that is
/// not placed, and the set of the seats of the placed operations that return after the front.
pub(crate) struct Seen<S> {
    /// A hash table with open addressing. The upper half of an entry is the upper half of the configuration's hash. The
    /// lower half is the configuration's number plus one. An empty place is zero. The length is a power of two.
    table: Vec<u64>,
    /// The front of each configuration, by number. Configurations are numbered in the order in which they were entered.
    fronts: Vec<u32>,
    /// The sets of all configurations, one after the other. Each takes `words` words.
    sets: Vec<u64>,
    states: Vec<S>,
    words: usize,
    /// The seats of optional operations, as the words of a set.
    optional: Vec<u64>,
}

impl<S: Eq + Hash> Seen<S> {
    /// No configurations, with room for `room` of them. `optional` is the set of the optional operations' seats.
    pub(crate) fn new(optional: &Bitset, room: usize) -> Seen<S> {
        let optional = optional.words().to_vec();
        Seen {
            table: vec![0; (2 * room).next_power_of_two().max(64)],
            fronts: Vec::with_capacity(room),
            sets: Vec::with_capacity(room * optional.len()),
            states: Vec::with_capacity(room),
            words: optional.len(),
            optional,
        }
    }

    /// Keeps a configuration, and returns its number. Returns None, and keeps nothing, if this configuration was kept
    /// before, or one that is as good: one that differs only in having fewer of the optional operations placed.
    pub(crate) fn insert(&mut self, front: u32, set: &[u64], state: S) -> Option<u32> {
        let mut hasher = FastHasher::default();
        hasher.write_u32(front);
        set.iter().zip(&self.optional).for_each(|(word, optional)| hasher.write_u64(word & !optional));
        state.hash(&mut hasher);
        let tag = hasher.finish() & TAG;

        let mut place = self.home(tag);
        while self.table[place] != 0 {
            let entry = self.table[place];
            if entry & TAG == tag {
                let number = (entry & !TAG) as usize - 1;
                if self.fronts[number] == front
                    && self.is_as_good(number, set)
                    && self.states[number] == state
                {
                    return None;
                }
            }
            place = (place + 1) & (self.table.len() - 1);
        }
        let number =
            u32::try_from(self.states.len() + 1).expect("memory ends before 2^32 configurations") - 1;
        self.table[place] = tag | u64::from(number + 1);
        self.fronts.push(front);
        self.sets.extend_from_slice(set);
        self.states.push(state);
        if self.states.len() > self.table.len() / 4 * 3 {
            self.grow();
        }
        Some(number)
    }

    /// The number of configurations.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// The front, the set's words and the state of a configuration.
    pub(crate) fn get(&self, number: u32) -> (u32, &[u64], &S) {
        let number = number as usize;
        (self.fronts[number], self.set(number), &self.states[number])
    }

    /// True if the configuration has the same operations placed as `set`, or fewer of the optional ones.
    fn is_as_good(&self, number: usize, set: &[u64]) -> bool {
        let words = self.set(number).iter().zip(set).zip(&self.optional);
        words.fold(true, |so_far, ((&old, &new), &optional)| {
            so_far && old & !new == 0 && (old ^ new) & !optional == 0
        })
    }

    fn set(&self, number: usize) -> &[u64] {
        &self.sets[number * self.words..][..self.words]
    }

    /// The place in the table at which the search for a tag begins. The tag's upper bits say it.
    fn home(&self, tag: u64) -> usize {
        (tag >> (64 - self.table.len().ilog2())) as usize
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.table);
        self.table = vec![0; old.len() * 2];
        for entry in old.into_iter().filter(|&entry| entry != 0) {
            let mut place = self.home(entry & TAG);
            while self.table[place] != 0 {
                place = (place + 1) & (self.table.len() - 1);
            }
            self.table[place] = entry;
        }
    }
}

/// The part of a table's entry that comes from the hash.
const TAG: u64 = u64::MAX << 32;

/// A hasher that is fast for numbers. It has no defence against inputs that were chosen to collide; such inputs cost time,
/// and do no other harm.
#[derive(Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        // The upper half comes out well mixed.
        (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(26) ^ number).wrapping_mul(0xF135_7AEA_2E62_A9C5);
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
}
