//! Ready-made models: the lab's key/value store, and a register.
//!
//! Go counterpart: `linearizability/models.go`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::ids::IdMap;
use crate::model::{Event, Kind, Model, Operation};
use crate::seen::FastHasher;

type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

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

/// The value of the one key of a partition, in pieces that states share.
///
/// A value grows with every append, and the checker keeps each that it has come upon. So a state has its last bytes,
/// and refers to the rest; and it has a hash that an append can carry on.
#[derive(Clone, Debug)]
pub struct KvState {
    length: usize,
    hash: u64,
    // All full pieces, from the last to the first.
    pieces: Option<Arc<Piece>>,
    // Shorter than a piece.
    rest: Arc<[u8]>,
}

/// How long a piece is, in bytes.
const PIECE: usize = 256;

#[derive(Debug)]
struct Piece {
    text: [u8; PIECE],
    before: Option<Arc<Piece>>,
}

impl KvState {
    fn empty() -> KvState {
        KvState { length: 0, hash: 0, pieces: None, rest: Arc::default() }
    }

    /// The value with this at its end.
    fn append(&self, suffix: &str) -> KvState {
        // A polynomial in an odd number (here 2^64 over the golden ratio), modulo 2^64.
        let hash = suffix.bytes().fold(self.hash, |hash, byte| {
            hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(byte) + 1)
        });
        let mut after = KvState { length: self.length + suffix.len(), hash, ..self.clone() };
        let mut left = suffix.as_bytes();
        let mut text = [0; PIECE];
        let mut used = self.rest.len();
        text[..used].copy_from_slice(&self.rest);
        while used + left.len() >= PIECE {
            let (fits, others) = left.split_at(PIECE - used);
            text[used..].copy_from_slice(fits);
            after.pieces = Some(Arc::new(Piece { text, before: after.pieces }));
            (left, used) = (others, 0);
        }
        text[used..][..left.len()].copy_from_slice(left);
        after.rest = text[..used + left.len()].into();
        after
    }

    /// Whether this is the value.
    fn is(&self, value: &[u8]) -> bool {
        if value.len() != self.length {
            return false;
        }
        // From the end: values of one key that differ have most often the same beginning.
        let (mut left, rest) = value.split_at(self.length - self.rest.len());
        let mut pieces = &self.pieces;
        let mut equal = *rest == *self.rest;
        while equal && let Some(piece) = pieces {
            let (others, last) = left.split_at(left.len() - PIECE);
            equal = *last == piece.text;
            (left, pieces) = (others, &piece.before);
        }
        equal
    }
}

impl PartialEq for KvState {
    fn eq(&self, other: &KvState) -> bool {
        if (self.length, self.hash) != (other.length, other.hash) || self.rest != other.rest {
            return false;
        }
        let (mut ours, mut theirs) = (&self.pieces, &other.pieces);
        while let (Some(one), Some(two)) = (ours, theirs) {
            if Arc::ptr_eq(one, two) {
                return true;
            }
            if one.text != two.text {
                return false;
            }
            (ours, theirs) = (&one.before, &two.before);
        }
        true
    }
}

impl Eq for KvState {}

impl Hash for KvState {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

impl Drop for Piece {
    /// One after the other: a long value has more pieces than would fit on the stack one in the other.
    fn drop(&mut self) {
        let mut before = self.before.take();
        while let Some(piece) = before {
            before = Arc::into_inner(piece).and_then(|mut piece| piece.before.take());
        }
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
        let mut part_of_key: FastMap<_, _> = HashMap::default();
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
        let mut part_of_key: FastMap<_, _> = HashMap::default();
        let mut part_of_id = IdMap::new(history);
        let mut parts = Vec::new();
        for event in history {
            let part = match event {
                Event::Call { id, input } => {
                    let part = *part_of_key.entry(&input.key).or_insert(parts.len());
                    part_of_id.insert(*id, part as u32);
                    part
                }
                Event::Return { id, .. } => match part_of_id.get(*id) {
                    Some(part) => part as usize,
                    None => panic!("id {id} returns before it is called"),
                },
            };
            push_at(&mut parts, part, event);
        }
        parts
    }

    fn kind(&self, input: &KvInput, _: &KvOutput) -> Kind {
        match input.op {
            KvOp::Get => Kind::Read,
            KvOp::Put | KvOp::Append => Kind::Update,
        }
    }

    fn leads_to(&self, state: &KvState, _: &KvInput, output: &KvOutput) -> bool {
        output.value.as_bytes().get(..state.length).is_some_and(|start| state.is(start))
    }

    fn brings(&self, (input, _): (&KvInput, &KvOutput), (get, got): (&KvInput, &KvOutput)) -> bool {
        input.op == KvOp::Put && input.key == get.key && got.value.starts_with(&input.value)
    }

    fn init(&self) -> KvState {
        KvState::empty()
    }

    fn step(&self, state: &KvState, input: &KvInput, output: &KvOutput) -> Option<KvState> {
        match input.op {
            KvOp::Get => state.is(output.value.as_bytes()).then(|| state.clone()),
            KvOp::Put => Some(KvState::empty().append(&input.value)),
            KvOp::Append => Some(state.append(&input.value)),
        }
    }
}

/// Adds an item to a part, which is one of `parts` or the next to be opened.
fn push_at<T>(parts: &mut Vec<Vec<T>>, part: usize, item: T) {
    if part == parts.len() {
        parts.push(Vec::with_capacity(64));
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

    fn kind(&self, input: &RegisterInput, _: &u64) -> Kind {
        match input {
            RegisterInput::Read => Kind::Read,
            RegisterInput::Write(_) => Kind::Update,
        }
    }

    fn leads_to(&self, state: &u64, _: &RegisterInput, output: &u64) -> bool {
        state == output
    }

    fn brings(&self, (input, _): (&RegisterInput, &u64), (_, got): (&RegisterInput, &u64)) -> bool {
        *input == RegisterInput::Write(*got)
    }

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

/// What a client asks of the register with compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasInput {
    /// Reads the number.
    Read,
    /// Replaces the number.
    Write(u64),
    /// Replaces the number if it is `expected`, else fails.
    CompareAndSet {
        /// What the number must be.
        expected: u64,
        /// What it becomes.
        new: u64,
    },
}

/// What the register with compare-and-set answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasOutput {
    /// What a read got; `None` if nothing had been written.
    Read(Option<u64>),
    /// A write is done.
    Written,
    /// Whether a compare-and-set found what it expected.
    Set(bool),
    /// No answer came: the operation may have taken effect with any outcome, once, or at the end, which none of the
    /// others can tell from never. Give it a return after all others.
    Unknown,
}

/// One number, none at the start, with compare-and-set: what Jepsen tests of etcd and of other stores.
#[derive(Clone, Copy, Debug, Default)]
pub struct CasModel;

impl Model for CasModel {
    type Input = CasInput;
    type Output = CasOutput;
    type State = Option<u64>;

    fn kind(&self, input: &CasInput, output: &CasOutput) -> Kind {
        match (input, output) {
            (CasInput::Read, _) | (_, CasOutput::Set(false)) => Kind::Read,
            (CasInput::Write(_), CasOutput::Written) | (_, CasOutput::Unknown) => Kind::Update,
            _ => Kind::Any,
        }
    }

    fn leads_to(&self, state: &Option<u64>, input: &CasInput, output: &CasOutput) -> bool {
        self.step(state, input, output).is_some()
    }

    fn brings(&self, (input, _): (&CasInput, &CasOutput), (read, output): (&CasInput, &CasOutput)) -> bool {
        match *input {
            CasInput::Read => false,
            CasInput::Write(new) | CasInput::CompareAndSet { new, .. } => {
                self.leads_to(&Some(new), read, output)
            }
        }
    }

    fn init(&self) -> Option<u64> {
        None
    }

    fn step(&self, state: &Option<u64>, input: &CasInput, output: &CasOutput) -> Option<Option<u64>> {
        let (right, after) = match *input {
            CasInput::Read => (CasOutput::Read(*state), *state),
            CasInput::Write(value) => (CasOutput::Written, Some(value)),
            CasInput::CompareAndSet { expected, new } if *state == Some(expected) => {
                (CasOutput::Set(true), Some(new))
            }
            CasInput::CompareAndSet { .. } => (CasOutput::Set(false), *state),
        };
        (*output == right || *output == CasOutput::Unknown).then_some(after)
    }
}
