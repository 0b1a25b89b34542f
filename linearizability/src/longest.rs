//! The longest orders that a search comes upon.
//!
//! Optional reading: a check does not need them, only the explanation of a history that is not linearizable.

use std::cmp::Reverse;
use std::rc::Rc;

/// For each operation, by number, the longest order found that it is part of. It is empty if there is none.
pub(crate) struct Longest {
    with: Vec<Rc<[u32]>>,
}

impl Longest {
    pub(crate) fn new(operations: usize) -> Longest {
        Longest { with: vec![[].into(); operations] }
    }

    /// Keeps an order for each of its operations from the place `first` on, unless a longer one with that operation is
    /// known.
    pub(crate) fn keep(&mut self, order: &[u32], first: usize) {
        let shared: Rc<[u32]> = order.into();
        for &number in &order[first..] {
            let longest = &mut self.with[number as usize];
            if longest.len() < shared.len() {
                *longest = shared.clone();
            }
        }
    }

    /// The orders, each once, the longest first. At least one, which is empty if nothing could be placed.
    pub(crate) fn into_orders(self) -> Vec<Rc<[u32]>> {
        let mut orders = self.with;
        orders.retain(|order| !order.is_empty());
        // Operations with the same longest order share it, so equal orders have equal addresses.
        orders.sort_by_key(|order| (Reverse(order.len()), Rc::as_ptr(order).addr()));
        orders.dedup_by(|one, other| Rc::ptr_eq(one, other));
        if orders.is_empty() {
            orders.push([].into());
        }
        orders
    }
}
