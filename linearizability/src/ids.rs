//! A map from the ids of operations to numbers.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::model::Event;
use crate::seen::FastHasher;

/// A number for each id. Most histories count their ids from zero; a list is faster for them than a map.
pub(crate) enum IdMap {
    List(Vec<u32>),
    Map(HashMap<u64, u32, BuildHasherDefault<FastHasher>>),
}

/// Stands for no number.
pub(crate) const NONE: u32 = u32::MAX;

impl IdMap {
    /// An empty map for the ids of a history.
    pub(crate) fn new<I, O>(history: &[Event<I, O>]) -> IdMap {
        let ids = history.iter().map(|event| match event {
            Event::Call { id, .. } | Event::Return { id, .. } => *id,
        });
        match ids.max() {
            Some(greatest) if greatest < 4 * history.len() as u64 => {
                IdMap::List(vec![NONE; greatest as usize + 1])
            }
            _ => IdMap::Map(HashMap::with_capacity_and_hasher(
                history.len() / 2,
                BuildHasherDefault::default(),
            )),
        }
    }

    /// The number of an id. None if the id has no number.
    pub(crate) fn get(&self, id: u64) -> Option<u32> {
        match self {
            IdMap::List(list) => list.get(id as usize).copied().filter(|&number| number != NONE),
            IdMap::Map(map) => map.get(&id).copied(),
        }
    }

    /// Gives an id a number. Returns the number that it had before.
    pub(crate) fn insert(&mut self, id: u64, number: u32) -> Option<u32> {
        match self {
            IdMap::List(list) => {
                Some(std::mem::replace(&mut list[id as usize], number)).filter(|&old| old != NONE)
            }
            IdMap::Map(map) => map.insert(id, number),
        }
    }
}
