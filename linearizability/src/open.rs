//! The operations that the search has not placed yet.
//!
//! Optional reading: three linked lists make it cheap to take an operation out and to put it back.

use crate::model::Kind;

/// The lists of the operations that are not placed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum List {
    /// Operations that only read. They are placed as soon as the model accepts them.
    Reads,
    /// All others but the optional ones.
    Updates,
    /// Updates that need not be placed: the last ones to return.
    Optional,
}

/// Three doubly linked lists, each in the order of the calls. The nodes stay where they are, so an operation that was
/// taken out knows where it belongs. Operations are put back in the reverse order of being taken out.
pub(crate) struct Open {
    /// For each operation, by number, the one after it in its list. Three more nodes, behind those of all operations, are
    /// both ends of the lists.
    next: Vec<u32>,
    previous: Vec<u32>,
    /// For each operation the list that it belongs to.
    lists: Vec<List>,
}

impl Open {
    /// All operations, by their kinds. Those in `optional` go to the list of optional ones.
    pub(crate) fn new(kinds: &[Kind], optional: &[u32]) -> Open {
        let list = |kind: &Kind| if *kind == Kind::Read { List::Reads } else { List::Updates };
        let mut lists: Vec<_> = kinds.iter().map(list).collect();
        optional.iter().for_each(|&number| lists[number as usize] = List::Optional);
        let size = kinds.len();
        let ends = (0..size + 3).map(|node| node as u32);
        let mut open = Open { next: ends.clone().collect(), previous: ends.collect(), lists };
        for number in 0..size {
            let end = open.end(open.lists[number]);
            let last = open.previous[end];
            open.next[last as usize] = number as u32;
            open.next[number] = end as u32;
            open.previous[number] = last;
            open.previous[end] = number as u32;
        }
        open
    }

    fn end(&self, list: List) -> usize {
        self.lists.len() + list as usize
    }

    /// The list that an operation belongs to.
    pub(crate) fn list(&self, number: u32) -> List {
        self.lists[number as usize]
    }

    /// The first operation of a list. If the list is empty, a number greater than that of any operation.
    pub(crate) fn first(&self, list: List) -> u32 {
        self.next[self.end(list)]
    }

    /// The operation after this one in its list. At the end of the list, a number greater than that of any operation. If
    /// `number` has been taken out, the answer is as it was then.
    pub(crate) fn after(&self, number: u32) -> u32 {
        self.next[number as usize]
    }

    /// Takes an operation out of its list.
    pub(crate) fn take_out(&mut self, number: u32) {
        let (previous, next) = (self.previous[number as usize], self.next[number as usize]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
    }

    /// Puts the operation back that was taken out last.
    pub(crate) fn put_back(&mut self, number: u32) {
        let (previous, next) = (self.previous[number as usize], self.next[number as usize]);
        self.next[previous as usize] = number;
        self.previous[next as usize] = number;
    }
}
