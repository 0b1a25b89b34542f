//! A list that keeps only its newest items.

use std::collections::VecDeque;

/// The newest items.
pub(crate) struct Ring<T> {
    items: VecDeque<T>,
    limit: usize,
    dropped: u64,
}

impl<T> Ring<T> {
    /// Keeps at most `limit` items.
    pub(crate) const fn new(limit: usize) -> Ring<T> {
        Ring { items: VecDeque::new(), limit, dropped: 0 }
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() == self.limit {
            self.items.pop_front();
            self.dropped += 1;
        }
        self.items.push_back(item);
    }

    /// From the oldest to the newest.
    pub(crate) fn iter(&self) -> std::collections::vec_deque::Iter<'_, T> {
        self.items.iter()
    }

    /// How many items are no longer kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
