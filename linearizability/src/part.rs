//! A part of a history, made ready for the search.

use std::mem;
use std::ptr;

use crate::ids::{IdMap, NONE};
use crate::model::{Event, Operation};

/// The operations of a part, numbered in the order of their calls, and what the search must know of their times.
pub(crate) struct Part<'a, I, O> {
    /// What was asked and answered.
    pub(crate) operations: Vec<(&'a I, &'a O)>,
    /// Where in the whole history each operation is, in a history of events its call.
    pub(crate) indexes: Vec<usize>,
    /// The operations in the order of their returns.
    pub(crate) returns: Vec<u32>,
    /// For each return, in their order, how many operations have been called before it.
    pub(crate) called: Vec<u32>,
}

impl<'a, I, O> Part<'a, I, O> {
    /// `part` holds items of `history`.
    pub(crate) fn from_operations(
        history: &'a [Operation<I, O>],
        mut part: Vec<&'a Operation<I, O>>,
    ) -> Part<'a, I, O> {
        part.sort_by_key(|operation| operation.call);
        let mut returns: Vec<u32> = (0..number_of(part.len())).collect();
        returns.sort_by_key(|&number| part[number as usize].ret);
        // Intervals are closed: at equal times calls come before returns, and so their operations overlap.
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

    /// `part` holds events of the history that `ids` is of.
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
            None => torn_apart(part),
        };
        Part { operations: operations.into_iter().map(finished).collect(), indexes, returns, called }
    }

    /// How many operations there are.
    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// For each operation, by number, how many operations have been called before it returns.
    pub(crate) fn called_before_return(&self) -> Vec<u32> {
        let mut called = vec![0; self.len()];
        for (&number, &count) in self.returns.iter().zip(&self.called) {
            called[number as usize] = count;
        }
        called
    }

    /// For each operation a seat, and how many seats there are. No two operations that run at the same time have the
    /// same, and nobody has that of one of the last `optional` to return. There are no more than needed.
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

/// A well-formed history of events, and which of its events belong together.
pub(crate) struct Ids<'a, I, O> {
    history: &'a [Event<I, O>],
    // For each event the operation it is of, as a rank in the order of all calls.
    ranks: Vec<u32>,
    // For each rank the operation's number in its part, once it has been called there.
    numbers: Vec<u32>,
}

impl<'a, I, O> Ids<'a, I, O> {
    /// Panics with a message that names the event and the id if the history is malformed.
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

    /// Makes the parts of the history that a model has split it into ready for the search.
    pub(crate) fn parts(mut self, parts: Vec<Vec<&'a Event<I, O>>>) -> Vec<Part<'a, I, O>> {
        parts.iter().map(|part| Part::from_events(&mut self, part)).collect()
    }
}

/// Refuses a part that has a call without its return.
fn torn_apart<I, O>(part: &[&Event<I, O>]) -> ! {
    let id_of = |event: &Event<I, O>| match event {
        Event::Call { id, .. } | Event::Return { id, .. } => *id,
    };
    let alone = |event: &Event<I, O>| part.iter().filter(|other| id_of(other) == id_of(event)).count() == 1;
    let index = part.iter().position(|event| alone(event)).expect("an unpaired call");
    panic!("malformed partition_event: event {index} calls id {}, which never returns", id_of(part[index]));
}

/// Operations are numbered in 32 bits, which halves what the search touches.
fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("a part of a history has fewer than 2^32 operations")
}

/// The index of an item of a slice.
fn index_in<T>(slice: &[T], item: &T) -> usize {
    let index = ptr::from_ref(item).addr().wrapping_sub(slice.as_ptr().addr()) / size_of::<T>();
    assert!(index < slice.len(), "a partition gives what is not in the history");
    index
}
