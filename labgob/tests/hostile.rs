//! Decodes bytes that no encoder wrote. Each attempt must soon return an error (or a value, by chance), and take little
//! memory and little stack. This file's allocator counts the memory.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use labgob::{Bytes, Error, ErrorKind, LabDecoder, LabEncoder, describe};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, LinkedList};
use std::fmt::Debug;
use std::thread;

/// Counts the bytes that each thread has allocated and not freed, and the highest count since the last [`peak_of`].
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    LIVE.set(LIVE.get() + change);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing, as the two cells need
// neither initialisation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(block, layout) }
    }

    // For a moment the old block and the new one may both exist.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn peak_of<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = f();
    (result, (PEAK.get() - before) as usize)
}

/// The most bytes of memory for each byte of input, for the types below. `Named` takes the most: two bytes can make a
/// B-tree node, which has room for eleven entries.
const FACTOR: usize = 256;
const SLACK: usize = 1 << 20;

#[track_caller]
fn bounded<T>(input: usize, f: impl FnOnce() -> T) -> T {
    let (result, peak) = peak_of(f);
    assert!(peak <= FACTOR * input + SLACK, "{peak} bytes of memory for {input} bytes of input");
    result
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
enum Op {
    Nothing,
    Get(String),
    Append(String, Bytes),
    Put { key: String, value: Option<Box<Op>> },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Append {
    term: u64,
    entries: Vec<(u64, Op)>,
    seen: HashMap<String, i128>,
    letter: char,
    sure: [bool; 2],
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Tree(Vec<Tree>);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Named(BTreeMap<u8, Named>);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum List {
    Nil,
    Cons(Box<List>),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Chain {
    next: Option<Box<Chain>>,
}

/// A type that is large in memory and takes no byte when encoded.
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Default)]
struct Skipped {
    #[serde(skip)]
    cache: [u64; 8],
}

/// Decodes a value from its bytes without their length.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    labgob::decode(&framed(bytes))
}

/// The bytes of a value without their length.
fn encode<T: Serialize + ?Sized>(x: &T) -> Result<Vec<u8>, Error> {
    let bytes = labgob::encode(x)?;
    let length = bytes.iter().position(|byte| *byte < 0x80).map_or(0, |last| last + 1);
    Ok(bytes[length..].to_vec())
}

/// Decodes the bytes as a single value, and as a stream from a slice and from another reader; and describes them.
fn try_type<T: DeserializeOwned>(bytes: &[u8]) {
    let _ = bounded(bytes.len(), || decode::<T>(bytes));
    let _ = bounded(bytes.len(), || labgob::decode::<T>(bytes));
    for bytes in [bytes, &framed(bytes)] {
        assert!(bounded(bytes.len(), || describe::<T>(bytes)).len() < 1010);
    }
    let _ = bounded(bytes.len(), || LabDecoder::new(bytes).decode_next::<T>());
    bounded(bytes.len(), || {
        let mut d = LabDecoder::new(std::io::BufReader::with_capacity(16, bytes));
        while let Ok(Some(value)) = d.decode_next_or_end::<T>() {
            drop(value);
        }
    });
}

fn try_types(bytes: &[u8]) {
    try_type::<Append>(bytes);
    try_type::<Op>(bytes);
    try_type::<Tree>(bytes);
    try_type::<Named>(bytes);
    try_type::<List>(bytes);
    try_type::<Chain>(bytes);
    try_type::<Vec<()>>(bytes);
    try_type::<Vec<Vec<Vec<()>>>>(bytes);
    try_type::<Vec<Skipped>>(bytes);
    try_type::<LinkedList<Skipped>>(bytes);
    try_type::<HashMap<u8, Skipped>>(bytes);
    try_type::<Vec<[u64; 16]>>(bytes);
    try_type::<HashMap<String, Vec<u8>>>(bytes);
    try_type::<BTreeMap<i16, (f32, f64)>>(bytes);
    try_type::<(String, Bytes, char, Option<u128>)>(bytes);
}

/// bincode's encoding of 2^60, a length that no input has.
const HUGE: [u8; 9] = [253, 0, 0, 0, 0, 0, 0, 0, 0x10];

/// The encoding of 2^60 as the length before a value in a stream.
const HUGE_PREFIX: [u8; 9] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];

/// A value as it is in a stream: its length and then its bytes.
fn framed(value: &[u8]) -> Vec<u8> {
    [&leb128(value.len()), value].concat()
}

fn leb128(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn any_op() -> impl Strategy<Value = Op> {
    let key = || "[a-zé]{0,8}";
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        Just(Op::Nothing),
        key().prop_map(Op::Get),
        (key(), value).prop_map(|(key, value)| Op::Append(key, value.into())),
    ];
    leaf.prop_recursive(6, 6, 1, move |op| {
        (key(), proptest::option::of(op)).prop_map(|(key, op)| Op::Put { key, value: op.map(Box::new) })
    })
}

fn any_append() -> impl Strategy<Value = Append> {
    let entries = proptest::collection::vec((any::<u64>(), any_op()), 0..8);
    let seen = proptest::collection::hash_map("[a-c]{0,3}", any::<i128>(), 0..4);
    (any::<u64>(), entries, seen, any::<char>(), any::<[bool; 2]>())
        .prop_map(|(term, entries, seen, letter, sure)| Append { term, entries, seen, letter, sure })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_types(&bytes);
        try_types(&framed(&bytes));
    }

    /// Small bytes are plausible tags and lengths, so that decoding gets further than with random bytes.
    #[test]
    fn random_small_bytes(bytes in proptest::collection::vec(0u8..6, 0..3000)) {
        try_types(&bytes);
        try_types(&framed(&bytes));
    }

    /// bincode or a collection might believe any of these claims of 2^60 elements, bytes or levels.
    #[test]
    fn huge_lengths(pieces in proptest::collection::vec(
        prop_oneof![Just(HUGE.to_vec()), Just(HUGE_PREFIX.to_vec()), proptest::collection::vec(0u8..4, 0..4)],
        0..60,
    )) {
        let bytes = pieces.concat();
        try_types(&bytes);
        try_types(&framed(&bytes));
    }

    #[test]
    fn truncated(append in any_append()) {
        let bytes = encode(&append).unwrap();
        let stream = framed(&bytes);
        for end in 0..bytes.len() {
            let error = bounded(end, || decode::<Append>(&bytes[..end])).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Truncated, "{}", error);
        }
        for end in 1..stream.len() {
            let result = bounded(end, || LabDecoder::new(&stream[..end]).decode_next_or_end::<Append>());
            prop_assert_eq!(result.unwrap_err().kind(), ErrorKind::Truncated);
        }
        prop_assert_eq!(LabDecoder::new(&stream[..]).decode_next::<Append>().unwrap(), append);
    }

    #[test]
    fn flipped_bits(append in any_append(), flips in proptest::collection::vec(any::<(u16, u8)>(), 1..4)) {
        let mut bytes = encode(&append).unwrap();
        for (at, bit) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            try_type::<Append>(&bytes);
            try_type::<Append>(&framed(&bytes));
        }
    }

    #[test]
    fn left_over(append in any_append(), more in proptest::collection::vec(any::<u8>(), 1..9)) {
        let mut bytes = encode(&append).unwrap();
        bytes.extend(more);
        prop_assert_eq!(decode::<Append>(&bytes).unwrap_err().kind(), ErrorKind::Malformed);
        let error = LabDecoder::new(&framed(&bytes)[..]).decode_next::<Append>().unwrap_err();
        prop_assert_eq!(error.kind(), ErrorKind::Malformed);
    }

    /// labgob reads and writes bincode's format. For any bytes, it decodes the same value as bincode, or none as bincode.
    #[test]
    fn as_bincode(append in any_append(), bytes in proptest::collection::vec(0u8..6, 0..40)) {
        use bincode::Options;
        let plain = bincode::DefaultOptions::new();
        let encoded = plain.serialize(&append).unwrap();
        prop_assert_eq!(&encode(&append).unwrap(), &encoded);
        prop_assert_eq!(&decode::<Append>(&encoded).unwrap(), &append);
        prop_assert_eq!(decode::<Append>(&bytes).ok(), plain.deserialize(&bytes).ok());
        prop_assert_eq!(decode::<Vec<Op>>(&bytes).ok(), plain.deserialize(&bytes).ok());
        prop_assert_eq!(decode::<Named>(&bytes).ok(), plain.deserialize(&bytes).ok());
    }
}

/// Runs `f` on a thread with a smaller stack than the default.
fn on_a_small_stack(f: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(512 << 10).spawn(f).unwrap().join().unwrap();
}

#[track_caller]
fn too_deep<T: DeserializeOwned + Debug>(bytes: &[u8]) {
    let error = bounded(bytes.len(), || decode::<T>(bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("values are nested deeper than 128"), "{error}");
    let framed = framed(bytes);
    let error = bounded(framed.len(), || LabDecoder::new(&framed[..]).decode_next::<T>()).unwrap_err();
    assert!(error.to_string().contains("values are nested deeper than 128"), "{error}");
}

#[test]
fn deep_bytes_do_not_overflow_the_stack() {
    on_a_small_stack(|| {
        const LEVELS: usize = 1_000_000;
        too_deep::<Tree>(&[1; LEVELS]);
        too_deep::<List>(&[1; LEVELS]);
        too_deep::<Chain>(&[1; LEVELS]);
        too_deep::<Named>(&[1; LEVELS]);
        too_deep::<Op>(&[3, 0, 1].repeat(LEVELS));
        too_deep::<Tree>(&HUGE.repeat(LEVELS / 9));
    });
}

/// Decoding this type recurses without taking any input. No value of the type exists, but a program can ask for one.
#[test]
fn a_type_without_end_does_not_overflow_the_stack() {
    #[derive(Deserialize, Debug)]
    struct Endless(#[expect(dead_code, reason = "never made")] Box<Endless>);
    on_a_small_stack(|| too_deep::<Endless>(&[]));
}

fn list(nodes: usize) -> List {
    (1..nodes).fold(List::Nil, |list, _| List::Cons(Box::new(list)))
}

#[test]
fn depth_up_to_the_limit_is_allowed() {
    on_a_small_stack(|| {
        assert_eq!(decode::<List>(&encode(&list(128)).unwrap()).unwrap(), list(128));
        too_deep::<List>(&encode(&list(129)).unwrap());
        // Many values beside each other are not deep: each level is left again.
        let wide: Vec<List> = (0..1000).map(|_| list(100)).collect();
        assert_eq!(decode::<Vec<List>>(&encode(&wide).unwrap()).unwrap(), wide);
    });
}

#[track_caller]
fn too_empty<T: DeserializeOwned + Debug>(bytes: &[u8]) {
    let error = bounded(bytes.len(), || decode::<T>(bytes)).unwrap_err();
    assert!(error.to_string().contains("more than 4096 elements take no bytes"), "{error}");
}

#[test]
fn elements_without_bytes_are_counted() {
    assert_eq!(decode::<Vec<()>>(&encode(&vec![(); 4096]).unwrap()).unwrap().len(), 4096);
    assert_eq!(
        decode::<Vec<Skipped>>(&encode(&vec![Skipped::default(); 4096]).unwrap()).unwrap().len(),
        4096
    );
    // Ten million comes before 2^60: without the limit, the former ends and fails the test, and the latter never ends.
    let ten_million = encode(&10_000_000u64).unwrap();
    for claim in [&encode(&4097u64).unwrap()[..], &ten_million, &HUGE] {
        too_empty::<Vec<()>>(claim);
        too_empty::<Vec<Skipped>>(claim);
        too_empty::<LinkedList<Skipped>>(claim);
        too_empty::<HashMap<(), ()>>(claim);
    }
    // The limit is for the whole value, not for each sequence in it.
    too_empty::<Vec<Vec<()>>>(&encode(&vec![vec![(); 100]; 41]).unwrap());
    // Elements that take bytes are not counted.
    assert_eq!(decode::<Vec<Vec<()>>>(&encode(&vec![vec![(); 0]; 9000]).unwrap()).unwrap().len(), 9000);
}

/// Each level claims 2^60 elements. The memory that all levels together allocate in advance must be bounded by the input.
/// A limit for each level (serde's is a megabyte) would not achieve this.
#[test]
fn claims_are_not_believed() {
    for size in [1, 100, 100_000] {
        let mut bytes = HUGE.repeat(60);
        bytes.resize(bytes.len() + size, 0);
        for bytes in
            [&bytes[..], &framed(&bytes), &HUGE_PREFIX.iter().chain(&bytes).copied().collect::<Vec<_>>()]
        {
            try_types(bytes);
        }
        let (_, peak) = peak_of(|| decode::<Vec<[u64; 16]>>(&bytes));
        assert!(peak <= 4 * size_of::<[u64; 16]>() * bytes.len(), "{peak}");
        let (_, peak) = peak_of(|| decode::<Tree>(&bytes));
        assert!(peak <= 4 * size_of::<Tree>() * bytes.len(), "{peak}");
    }
    let prefix: &[u8] = &HUGE_PREFIX;
    let (result, peak) = peak_of(|| LabDecoder::new(prefix).decode_next::<Bytes>());
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Truncated);
    assert!(peak < 4096 + 1024, "{peak}: more than a page and the error's text");
}

/// If the input holds as many elements as it claims, a collection is allocated once, at its size.
#[test]
fn honest_claims_are_believed() {
    let numbers = labgob::encode(&vec![7u64; 10_000]).unwrap();
    let (_, peak) = peak_of(|| labgob::decode::<Vec<u64>>(&numbers).unwrap());
    assert_eq!(peak, 10_000 * size_of::<u64>());

    let log: Vec<(u64, Vec<u64>)> = (0..100).map(|term| (term, vec![term; 10])).collect();
    let exact = size_of_val(&log[..]) + 1000 * size_of::<u64>();
    let log = labgob::encode(&log).unwrap();
    let (_, peak) = peak_of(|| labgob::decode::<Vec<(u64, Vec<u64>)>>(&log).unwrap());
    assert_eq!(peak, exact);
}

/// The encoder and the decoder each keep their buffer for the next value.
#[test]
fn buffers_are_reused() {
    let value = Bytes::from(vec![7; 1000]);
    let mut data = Vec::with_capacity(1 << 20);
    let mut e = LabEncoder::new(&mut data);
    e.encode(&value).unwrap();
    let (_, peak) = peak_of(|| (0..100).for_each(|_| e.encode(&value).unwrap()));
    assert_eq!(peak, 0);
    let mut d = LabDecoder::new(&data[..]);
    d.decode_next::<Bytes>().unwrap();
    let (_, peak) = peak_of(|| (0..100).for_each(|_| drop(d.decode_next::<Bytes>().unwrap())));
    assert!(peak < 1100, "{peak}: more than one value at a time");
}
