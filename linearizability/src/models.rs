//! Ready-made models: the lab's key/value store, a register, and a register with compare-and-set.
//!
//! Go counterpart: `linearizability/models.go`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::ids::IdMap;
use crate::model::{Event, Kind, Model, Operation};
use crate::seen::FastHasher;

type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// The kind of a key/value operation. The numbers are those of the Go library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvOp {
    /// Reads the value. The value of an absent key is the empty string.
    Get = 0,
    /// Replaces the value.
    Put = 1,
    /// Adds to the end of the value. The value of an absent key is the empty string.
    Append = 2,
}

/// What a client asks the key/value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvInput {
    /// The kind of operation.
    pub op: KvOp,
    /// The key.
    pub key: String,
    /// The value to put or to append. A get ignores it.
    pub value: String,
}

/// What the key/value store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvOutput {
    /// The value that a get read. Ignored for a put and an append.
    pub value: String,
}

/// The key/value store of Lab 3.
///
/// Operations on different keys are independent, so each key's operations are a part. (The Go library does not split
/// histories of events.) The state of a part is the value of its key.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvModel;

/// The value of a part's key, in pieces that states share.
///
/// A value grows with every append, and the checker keeps every value that it has seen. For this reason a state holds only
/// the last bytes of the value and refers to the others, and an append computes the new hash from the old one.
#[derive(Clone, Debug)]
pub struct KvState {
    length: usize,
    hash: u64,
    /// All full pieces, from the last to the first.
    pieces: Option<Arc<Piece>>,
    /// The bytes after the full pieces.
    rest: Arc<[u8]>,
}

/// The length of a piece in bytes.
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

    /// The value with `suffix` appended.
    fn append(&self, suffix: &str) -> KvState {
        // A polynomial in an odd number, 2^64 divided by the golden ratio, modulo 2^64.
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

    /// True if `value` is the value.
    fn is(&self, value: &[u8]) -> bool {
        if value.len() != self.length {
            return false;
        }
        // Compare from the end: different values of a key most often begin alike.
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
    /// Drops the pieces one after the other. Nested drops of a long value would overflow the stack.
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

    fn describe(&self, KvInput { op, key, value }: &KvInput, output: &KvOutput) -> String {
        match op {
            KvOp::Get => format!("get({key:?}) \u{2192} {:?}", output.value),
            KvOp::Put => format!("put({key:?}, {value:?})"),
            KvOp::Append => format!("append({key:?}, {value:?})"),
        }
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

/// Adds an item to the part with this number, which is in `parts` or the next one to be added to it.
fn push_at<T>(parts: &mut Vec<Vec<T>>, part: usize, item: T) {
    if part == parts.len() {
        parts.push(Vec::with_capacity(64));
    }
    parts[part].push(item);
}

/// What a client asks the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterInput {
    /// Reads the number.
    Read,
    /// Replaces the number.
    Write(u64),
}

/// A register that holds one number, zero at the start. The output is the number that a read got; the output of a write
/// is ignored.
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

    fn describe(&self, input: &RegisterInput, output: &u64) -> String {
        match input {
            RegisterInput::Read => format!("read \u{2192} {output}"),
            RegisterInput::Write(value) => format!("write({value})"),
        }
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

/// What a client asks the register with compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasInput {
    /// Reads the number.
    Read,
    /// Replaces the number.
    Write(u64),
    /// Replaces the number if it is `expected`, otherwise fails.
    CompareAndSet {
        /// The number that must be in the register.
        expected: u64,
        /// The number that replaces it.
        new: u64,
    },
}

/// What the register with compare-and-set answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CasOutput {
    /// The number that a read got. `None` if nothing had been written.
    Read(Option<u64>),
    /// A write is done.
    Written,
    /// A compare-and-set is done. True if it found the number that it expected.
    Set(bool),
    /// No answer came. The operation may have taken effect, with any outcome, or not. Give it a return after all others: it
    /// may then take effect at the end, which the others cannot tell from an operation that never took effect.
    Unknown,
}

/// A register that holds one number, or none at the start, with compare-and-set. Jepsen tests etcd and other stores with
/// this model.
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

    fn describe(&self, input: &CasInput, output: &CasOutput) -> String {
        let asked = match input {
            CasInput::Read => "read".to_string(),
            CasInput::Write(value) => format!("write({value})"),
            CasInput::CompareAndSet { expected, new } => format!("compare_and_set({expected}, {new})"),
        };
        match output {
            CasOutput::Read(Some(value)) => format!("{asked} \u{2192} {value}"),
            CasOutput::Read(None) => format!("{asked} \u{2192} nothing"),
            CasOutput::Written => asked,
            CasOutput::Set(is_set) => format!("{asked} \u{2192} {is_set}"),
            CasOutput::Unknown => format!("{asked} \u{2192} ?"),
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
