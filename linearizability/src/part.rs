//! A part of a history, prepared for the search.

use std::mem;
use std::ptr;

use crate::ids::{IdMap, NONE};
use crate::model::{Event, Operation};

/// The operations of a part, numbered in the order of their calls, and the order of their calls and returns.
pub(crate) struct Part<'a, I, O> {
    /// The input and the output of each operation, by number.
    pub(crate) operations: Vec<(&'a I, &'a O)>,
    /// The index of each operation in the whole history. In a history of events, the index of its call.
    pub(crate) indexes: Vec<usize>,
    /// The operations in the order of their returns.
    pub(crate) returns: Vec<u32>,
    /// For each return, in the order of returns, how many operations were called before it.
    pub(crate) called: Vec<u32>,
}

impl<'a, I, O> Part<'a, I, O> {
    /// `part` refers to items of `history`.
    pub(crate) fn from_operations(
        history: &'a [Operation<I, O>],
        mut part: Vec<&'a Operation<I, O>>,
    ) -> Part<'a, I, O> {
        part.sort_by_key(|operation| operation.call);
        let mut returns: Vec<u32> = (0..number_of(part.len())).collect();
        returns.sort_by_key(|&number| part[number as usize].ret);
        // Intervals are closed: a call comes before a return at the same time, and the two operations overlap.
        let mut calls = 0;
        let called = returns.iter().map(|&number| {
            let ret = part[number as usize].ret;
            calls += part[calls..].iter().take_while(|other| other.call <= ret).count();
            number_of(calls)
        });
        Part {
            called: called.collect(),
            operations: part.iter().map(|operation| (&operation.input, &operation.output)).collect(),
            indexes: part.iter().map(|operation| index_in(history, operation)).collect(),
            returns,
        }
    }

    /// `part` refers to events of the history that `ids` was made from.
    fn from_events(ids: &mut Ids<'a, I, O>, part: &[&'a Event<I, O>]) -> Part<'a, I, O> {
        let mut operations = Vec::with_capacity(part.len() / 2);
        let mut indexes = Vec::with_capacity(part.len() / 2);
        let mut returns = Vec::with_capacity(part.len() / 2);
        let mut called = Vec::with_capacity(part.len() / 2);
        for (position, event) in part.iter().enumerate() {
            let index = index_in(ids.history, event);
            let number = &mut ids.numbers[ids.ranks[index] as usize];
            match event {
                Event::Call { id, input } => {
                    assert!(
                        *number == NONE,
                        "malformed partition_event: event {position} calls id {id} again"
                    );
                    *number = number_of(operations.len());
                    operations.push((input, None));
                    indexes.push(index);
                }
                Event::Return { id, output } => {
                    let operation = operations.get_mut(*number as usize);
                    let (_, answer) = operation.unwrap_or_else(|| {
                        panic!(
                            "malformed partition_event: event {position} returns id {id} before it is called"
                        )
                    });
                    let earlier = answer.replace(output);
                    assert!(
                        earlier.is_none(),
                        "malformed partition_event: event {position} returns id {id} again"
                    );
                    returns.push(*number);
                    called.push(number_of(operations.len()));
                }
            }
        }
        let finished = |(input, output): (_, Option<_>)| match output {
            Some(output) => (input, output),
            None => refuse_incomplete(part),
        };
        Part { operations: operations.into_iter().map(finished).collect(), indexes, returns, called }
    }

    /// The number of operations.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// For each operation, by number, how many operations were called before it returns.
    pub(crate) fn called_before_return(&self) -> Vec<u32> {
        let mut called = vec![0; self.len()];
        for (&number, &count) in self.returns.iter().zip(&self.called) {
            called[number as usize] = count;
        }
        called
    }

    /// A seat for each operation, by number, and the number of seats. Two operations that run at the same time have
    /// different seats. Each of the last `optional` operations to return has a seat that no other operation has. There are
    /// as few seats as possible.
    pub(crate) fn seats(&self, optional: usize) -> (Vec<u32>, usize) {
        let mut seats = vec![NONE; self.len()];
        let (passing, lasting) = self.returns.split_at(self.len() - optional);
        let mut count = 0;
        let mut add = || {
            count += 1;
            count - 1
        };
        lasting.iter().for_each(|&number| seats[number as usize] = add());
        let (mut free, mut seated) = (Vec::new(), 0);
        for (&number, &called) in passing.iter().zip(&self.called) {
            for seat in &mut seats[seated..called as usize] {
                if *seat == NONE {
                    *seat = free.pop().unwrap_or_else(&mut add);
                }
            }
            seated = called as usize;
            free.push(seats[number as usize]);
        }
        (seats, count as usize)
    }
}

/// A well-formed history of events, and the operation that each event belongs to.
pub(crate) struct Ids<'a, I, O> {
    history: &'a [Event<I, O>],
    /// The operation of each event, as its rank in the order of all calls.
    ranks: Vec<u32>,
    /// For each rank, the number of the operation in its part. [`NONE`] until the part's call has been read.
    numbers: Vec<u32>,
}

impl<'a, I, O> Ids<'a, I, O> {
    /// Reads a history.
    ///
    /// # Panics
    /// When the history is malformed. The message names the event and the id.
    pub(crate) fn new(history: &'a [Event<I, O>]) -> Ids<'a, I, O> {
        let mut rank_of = IdMap::new(history);
        let mut returned = Vec::with_capacity(history.len() / 2);
        let rank = |(index, event): (usize, &Event<I, O>)| match event {
            Event::Call { id, .. } => {
                let rank = number_of(returned.len());
                let earlier = rank_of.insert(*id, rank);
                assert!(earlier.is_none(), "malformed history: event {index} calls id {id} again");
                returned.push(false);
                rank
            }
            Event::Return { id, .. } => {
                let Some(rank) = rank_of.get(*id) else {
                    panic!("malformed history: event {index} returns id {id} before it is called")
                };
                let earlier = mem::replace(&mut returned[rank as usize], true);
                assert!(!earlier, "malformed history: event {index} returns id {id} again");
                rank
            }
        };
        let ranks: Vec<_> = history.iter().enumerate().map(rank).collect();
        let calls = returned.len();
        if ranks.len() != 2 * calls {
            let alone = returned.iter().position(|returned| !returned).expect("a call without its return");
            let index = ranks.iter().position(|&rank| rank as usize == alone).expect("its call");
            let (Event::Call { id, .. } | Event::Return { id, .. }) = &history[index];
            panic!("malformed history: event {index} calls id {id}, which never returns");
        }
        Ids { history, ranks, numbers: vec![NONE; calls] }
    }

    /// Prepares the parts into which the model has split the history.
    pub(crate) fn parts(mut self, parts: Vec<Vec<&'a Event<I, O>>>) -> Vec<Part<'a, I, O>> {
        parts.iter().map(|part| Part::from_events(&mut self, part)).collect()
    }
}

/// Panics because a part has a call without its return. The message names the call.
fn refuse_incomplete<I, O>(part: &[&Event<I, O>]) -> ! {
    let id_of = |event: &Event<I, O>| match event {
        Event::Call { id, .. } | Event::Return { id, .. } => *id,
    };
    let alone = |event: &Event<I, O>| part.iter().filter(|other| id_of(other) == id_of(event)).count() == 1;
    let index = part.iter().position(|event| alone(event)).expect("an unpaired call");
    panic!("malformed partition_event: event {index} calls id {}, which never returns", id_of(part[index]));
}

/// The number of an operation. 32 bits halve the memory that the search touches.
fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("a part of a history has fewer than 2^32 operations")
}

/// The index of an item of a slice.
fn index_in<T>(slice: &[T], item: &T) -> usize {
    let index = ptr::from_ref(item).addr().wrapping_sub(slice.as_ptr().addr()) / size_of::<T>();
    assert!(index < slice.len(), "a partition gives what is not in the history");
    index
}
