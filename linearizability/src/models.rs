//! Ready-made models: the lab's key/value store, and a register.
//!
//! Go counterpart: `linearizability/models.go`.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::model::{Event, Model, Operation};

/// What a key/value operation does. The numbers are those of the Go library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvOp {
    /// Reads the value; an absent key reads as the empty string.
    Get = 0,
    /// Replaces the value.
    Put = 1,
    /// Adds to the end of the value; an absent key counts as empty.
    Append = 2,
}

/// What a client asks of the key/value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvInput {
    /// What to do.
    pub op: KvOp,
    /// Where to do it.
    pub key: String,
    /// What to put or append; ignored by a get.
    pub value: String,
}

/// What the key/value store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvOutput {
    /// What a get read; ignored for a put and an append.
    pub value: String,
}

/// The key/value store of Lab 3.
///
/// Operations on different keys are independent, so histories are partitioned by key (of events too, which the Go
/// library left whole). Within a partition there is one key, and the state is its value.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvModel;

/// The value of the one key of a partition, shared rather than copied, with a hash that an append can carry on.
///
/// A value grows with every append and is looked up in the checker's memory at every step: hashing all of it each time
/// would be the larger part of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvState {
    // Determined by `value`; it comes first so that comparing two states looks at it first.
    hash: u64,
    value: Arc<str>,
}

impl KvState {
    fn empty() -> KvState {
        KvState { hash: 0, value: Arc::from("") }
    }

    fn append(&self, suffix: &str) -> KvState {
        // A polynomial in an odd number (here 2^64 over the golden ratio), modulo 2^64.
        let hash = suffix.bytes().fold(self.hash, |hash, byte| {
            hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(byte) + 1)
        });
        let value =
            if self.value.is_empty() { Arc::from(suffix) } else { [&self.value, suffix].concat().into() };
        KvState { hash, value }
    }
}

impl Hash for KvState {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Model for KvModel {
    type Input = KvInput;
    type Output = KvOutput;
    type State = KvState;

    fn partition<'a>(
        &self,
        history: &'a [Operation<KvInput, KvOutput>],
    ) -> Vec<Vec<&'a Operation<KvInput, KvOutput>>> {
        let mut part_of_key = HashMap::new();
        let mut parts = Vec::new();
        for operation in history {
            let part = *part_of_key.entry(&operation.input.key).or_insert(parts.len());
            push_at(&mut parts, part, operation);
        }
        parts
    }

    fn partition_event<'a>(
        &self,
        history: &'a [Event<KvInput, KvOutput>],
    ) -> Vec<Vec<&'a Event<KvInput, KvOutput>>> {
        let mut part_of_key = HashMap::new();
        let mut part_of_id = HashMap::new();
        let mut parts = Vec::new();
        for event in history {
            let part = match event {
                Event::Call { id, input } => {
                    let part = *part_of_key.entry(&input.key).or_insert(parts.len());
                    part_of_id.insert(id, part);
                    part
                }
                Event::Return { id, .. } => match part_of_id.get(id) {
                    Some(part) => *part,
                    None => panic!("id {id} returns before it is called"),
                },
            };
            push_at(&mut parts, part, event);
        }
        parts
    }

    fn init(&self) -> KvState {
        KvState::empty()
    }

    fn step(&self, state: &KvState, input: &KvInput, output: &KvOutput) -> Option<KvState> {
        match input.op {
            KvOp::Get => (*state.value == *output.value).then(|| state.clone()),
            KvOp::Put => Some(KvState::empty().append(&input.value)),
            KvOp::Append => Some(state.append(&input.value)),
        }
    }
}

/// Adds an item to a part, which is one of `parts` or the next to be opened.
fn push_at<T>(parts: &mut Vec<Vec<T>>, part: usize, item: T) {
    if part == parts.len() {
        parts.push(Vec::new());
    }
    parts[part].push(item);
}

/// What a client asks of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterInput {
    /// Reads the number.
    Read,
    /// Replaces the number.
    Write(u64),
}

/// One number, zero at the start. The output is what a read got; a write's output is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegisterModel;

impl Model for RegisterModel {
    type Input = RegisterInput;
    type Output = u64;
    type State = u64;

    fn init(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, input: &RegisterInput, output: &u64) -> Option<u64> {
        match *input {
            RegisterInput::Read => (state == output).then_some(*state),
            RegisterInput::Write(value) => Some(value),
        }
    }
}
