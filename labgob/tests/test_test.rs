//! Tests of labgob's encoder and decoder. The first three are the port of Go's three tests. Two of these test warnings in
//! Go; here they show that there is nothing to warn of.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use labgob::{Bytes, Error, ErrorKind, LabDecoder, LabEncoder, decode, describe, encode};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Encodes and decodes `x`, as a single value and in a stream, with both methods of the decoder.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(x: T) {
    let bytes = encode(&x).unwrap();
    assert_eq!(decode::<T>(&bytes).unwrap(), x);
    assert_eq!(LabDecoder::new(&bytes[..]).decode_next::<T>().unwrap(), x);
    let mut data = Vec::new();
    let mut e = LabEncoder::new(&mut data);
    e.encode(&x).unwrap();
    e.encode(&x).unwrap();
    assert_eq!(data, [&bytes[..], &bytes[..]].concat(), "there is one format");
    assert_eq!(decode::<T>(&data[..data.len() / 2]).unwrap(), x);
    let mut d = LabDecoder::new(&data[..]);
    assert_eq!(d.decode_next::<T>().unwrap(), x);
    assert_eq!(d.decode_next_or_end::<T>().unwrap(), Some(x));
    assert_eq!(d.decode_next_or_end::<T>().unwrap(), None);
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Default)]
struct Inner {
    term: u64,
    command: Bytes,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Op {
    Nothing,
    Get(String),
    Append(String, String),
    Put { key: String, value: Option<Box<Op>> },
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Newtype(i32);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Everything {
    numbers: (u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize),
    floats: (f32, f64),
    truth: [bool; 2],
    letter: char,
    text: String,
    inner: Inner,
    ops: Vec<Op>,
    unit: ((), Unit, Newtype),
    by_name: HashMap<String, Inner>,
    by_number: BTreeMap<i64, Vec<Option<u8>>>,
}

#[test]
fn basic() {
    for n in [0, 1, 250, 251, 255, 256, 65_535, 65_536, u32::MAX as u64, 1 << 32, u64::MAX] {
        round_trip(n);
        round_trip((n as u8, n as u16, n as u32, n as usize, n as u128, u128::MAX - n as u128));
        round_trip((n as i8, n as i16, n as i32, n as i64, n as isize, i128::MIN + n as i128));
        round_trip((-(n as i128), (n as i64).wrapping_neg()));
    }
    for x in [0.0, -0.0, 1.5, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY] {
        round_trip((x, x as f32));
        assert_eq!(decode::<f64>(&encode(&x).unwrap()).unwrap().to_bits(), x.to_bits());
    }
    assert!(decode::<f64>(&encode(&f64::NAN).unwrap()).unwrap().is_nan());
    round_trip((true, false));
    for letter in ['a', '\0', 'é', '€', '🦀', char::MAX] {
        round_trip(letter);
    }
    for text in ["", "x 0 1 y", "Zürich 🦀"] {
        round_trip(String::from(text));
        round_trip(Bytes::from(text.as_bytes()));
    }
    round_trip((None::<u8>, Some(7), Some(None::<String>), Some(Some(String::new()))));
    round_trip(((), Unit, Newtype(-1)));
    let get = Op::Get("k".into());
    let put = Op::Put { key: "k".into(), value: Some(Box::new(get.clone())) };
    let ops = vec![
        Op::Nothing,
        get,
        Op::Append("k".into(), "v".into()),
        put,
        Op::Put { key: "".into(), value: None },
    ];
    round_trip(ops.clone());
    round_trip(vec![(); 1000]);
    round_trip(([1u64, 2, 3], [String::new(), "b".into()], [0u8; 0]));
    round_trip(VecDeque::from([BTreeSet::from([3, 1, 2]), BTreeSet::new()]));
    round_trip((Ipv4Addr::LOCALHOST, Duration::from_millis(1500), NonZeroU32::MIN, Ok::<u8, String>(3)));
    let inner = Inner { term: 3, command: Bytes::from(vec![0, 255, 7]) };
    round_trip(Everything {
        numbers: (255, 65535, 7, 8, 9, 10, -1, -2, -3, -4, -5, -6),
        floats: (0.5, -0.25),
        truth: [true, false],
        letter: 'λ',
        text: "six five".into(),
        inner: inner.clone(),
        ops,
        unit: ((), Unit, Newtype(i32::MIN)),
        by_name: HashMap::from([("a".into(), inner.clone()), ("".into(), Inner::default())]),
        by_number: BTreeMap::from([(i64::MIN, vec![]), (0, vec![None, Some(1)])]),
    });
    round_trip(inner);
}

/// Go leaves out a field whose name begins with a small letter, and warns. Here every field is encoded. The fields of this
/// struct have small letters and are private, and the name of one is a keyword.
#[test]
fn every_field_travels() {
    mod private {
        use serde::{Deserialize, Serialize};

        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        pub struct Args {
            yes: i32,
            no: i32,
            r#type: (String, bool),
        }

        pub fn args() -> Args {
            Args { yes: 1, no: 2, r#type: ("no".into(), true) }
        }
    }
    round_trip(private::args());
}

/// Where the encoder had zero, Go leaves the variable's field as it was, and warns. Here the whole variable is replaced.
#[test]
fn a_dirty_variable_is_replaced() {
    #[derive(Serialize, Deserialize, Debug, PartialEq, Default, Clone)]
    struct Reply {
        err: String,
        term: u64,
        value: Option<u8>,
        list: Vec<u8>,
        map: BTreeMap<u8, Inner>,
    }
    let dirty = Reply {
        err: "ErrNoKey".into(),
        term: 77,
        value: Some(1),
        list: vec![1, 2, 3],
        map: BTreeMap::from([(1, Inner::default())]),
    };
    let sent = Reply { list: vec![9], ..Reply::default() };
    let mut data = Vec::new();
    LabEncoder::new(&mut data).encode(&sent).unwrap();
    let mut reply = dirty.clone();
    LabDecoder::new(&data[..]).decode(&mut reply).unwrap();
    assert_eq!(reply, sent);

    // The last byte is missing. The fields before it must not have been stored.
    let mut reply = dirty.clone();
    LabDecoder::new(&data[..data.len() - 1]).decode(&mut reply).unwrap_err();
    assert_eq!(reply, dirty);
}

#[test]
fn values_in_sequence() {
    let mut data = Vec::new();
    let mut e = LabEncoder::new(&mut data);
    e.encode(&7u64).unwrap();
    e.encode(&Some(2usize)).unwrap();
    // This value is longer than the next ones: nothing of it may be left in the buffers of the encoder and the decoder.
    e.encode("a string of some length").unwrap();
    e.encode(&()).unwrap();
    e.encode(&[Inner::default()][..]).unwrap();

    let (mut term, mut voted_for) = (0u64, None::<usize>);
    let mut d = LabDecoder::new(&data[..]);
    d.decode(&mut term).unwrap();
    d.decode(&mut voted_for).unwrap();
    assert_eq!((term, voted_for), (7, Some(2)));
    assert_eq!(d.decode_next::<String>().unwrap(), "a string of some length");
    d.decode_next::<()>().unwrap();
    assert_eq!(d.decode_next::<Vec<Inner>>().unwrap(), [Inner::default()]);
    for _ in 0..2 {
        assert_eq!(d.decode_next_or_end::<u64>().unwrap(), None);
    }
    let error = d.decode_next::<u64>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(
        error.to_string(),
        "labgob cannot decode u64 (value 6 of the stream): the input has ended: there is no further value"
    );
}

/// If a value cannot be decoded, the next value can: it begins where it should.
#[test]
fn a_value_of_another_type_does_not_hide_the_next() {
    let mut data = Vec::new();
    let mut e = LabEncoder::new(&mut data);
    e.encode(&(1u64, 2u64)).unwrap();
    e.encode(&3u64).unwrap();
    let mut d = LabDecoder::new(&data[..]);
    assert_eq!(d.decode_next::<u64>().unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(d.decode_next::<u64>().unwrap(), 3);
}

/// A reader that returns one byte at a time, with an interruption before each.
struct Drip<'a> {
    rest: &'a [u8],
    taken: &'a Cell<usize>,
    interrupt: bool,
}

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = self.rest.len().min(out.len()).min(1);
        let n = self.rest.read(&mut out[..len])?;
        self.taken.set(self.taken.get() + n);
        Ok(n)
    }
}

#[test]
fn a_slow_reader_and_nothing_read_ahead() {
    let long = "x".repeat(300);
    let mut data = Vec::new();
    LabEncoder::new(&mut data).encode(&long).unwrap();
    let first = data.len();
    LabEncoder::new(&mut data).encode(&(1u8, 2u64)).unwrap();

    let taken = Cell::new(0);
    let mut d = LabDecoder::new(Drip { rest: &data, taken: &taken, interrupt: false });
    assert_eq!(d.decode_next::<String>().unwrap(), long);
    assert_eq!(taken.get(), first);
    assert_eq!(d.decode_next::<(u8, u64)>().unwrap(), (1, 2));
    assert_eq!(d.decode_next_or_end::<u8>().unwrap(), None);
}

/// This test fixes the format: sizes count in Lab 3B, and old persisters must stay readable.
#[test]
fn the_bytes_are_few_and_fixed() {
    let stream = |len: usize| {
        let mut data = Vec::new();
        LabEncoder::new(&mut data).encode(&Bytes::from(vec![b'b'; len])).unwrap();
        data
    };
    assert_eq!(stream(0), [1, 0]);
    assert_eq!(stream(3), [4, 3, b'b', b'b', b'b']);
    assert_eq!(stream(126)[..2], [127, 126]);
    assert_eq!(stream(127)[..3], [0x80, 0x01, 127]);
    assert_eq!(stream(300)[..6], [0xaf, 0x02, 251, 44, 1, b'b']);
    assert_eq!(encode(&(1u64, Some(250usize), "ab", true)).unwrap(), [7, 1, 1, 250, 2, b'a', b'b', 1]);
    assert_eq!(encode(&Op::Get("k".into())).unwrap(), [3, 1, 1, b'k']);
    assert_eq!(encode(&Inner { term: 5, command: Bytes::from(vec![9]) }).unwrap(), [3, 5, 1, 9]);
    assert_eq!(encode(&Bytes::from(vec![b'b'; 300])).unwrap(), stream(300));
}

#[test]
fn a_length_has_one_form() {
    let decode = |data: &[u8]| LabDecoder::new(data).decode_next_or_end::<u8>().map_err(|e| e.kind());
    assert_eq!(decode(&[1, 7]), Ok(Some(7)));
    let overlong: &[u8] = &[0x81, 0x00, 7];
    let beyond_64_bits: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 7];
    let without_end: &[u8] = &[0x80; 20];
    for data in [overlong, beyond_64_bits, without_end] {
        assert_eq!(decode(data), Err(ErrorKind::Malformed), "{data:?}");
    }
    let largest: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 7];
    for data in [largest, &[0x80]] {
        assert_eq!(decode(data), Err(ErrorKind::Truncated), "{data:?}");
    }
}

/// The error's kind and text. Asserts that `Debug`, which `unwrap` uses, prints both.
#[track_caller]
fn error<T: Debug>(result: Result<T, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{:?}: {error}", error.kind()));
    (error.kind(), error.to_string())
}

#[test]
fn errors_in_a_stream_say_which_value() {
    let stream = |bytes: &[u8]| error(LabDecoder::new(bytes).decode_next::<u64>());
    let text =
        "labgob cannot decode u64 (value 1 of the stream): the input ended after 3 of the value's 17 bytes";
    assert_eq!(stream(&[17, 1, 2, 3]), (ErrorKind::Truncated, text.into()));
    let text = "labgob cannot decode u64 (value 1 of the stream): \
                it begins with what is no length: the bytes are not a labgob stream";
    assert_eq!(stream(&[0x81, 0]), (ErrorKind::Malformed, text.into()));
}

#[test]
fn decoding_errors_say_what_where_and_why() {
    use ErrorKind::{Malformed, Truncated};
    #[track_caller]
    fn check<T: DeserializeOwned + Debug>(bytes: &[u8], kind: ErrorKind, why: &str) {
        let name = std::any::type_name::<T>();
        let text = format!("labgob cannot decode {name}: {why}; were these bytes encoded from another type?");
        // The length comes first.
        let bytes = [&[bytes.len() as u8], bytes].concat();
        assert_eq!(error(decode::<T>(&bytes)), (kind, text));
    }
    check::<(u8, String)>(&[1], Truncated, "the input ended after 0 of 1 bytes, at byte 1 of 1");
    check::<(u8, String)>(&[1, 17, b'a'], Truncated, "the input ended after 1 of 17 bytes, at byte 2 of 3");
    check::<char>(&[0xe2, 0x82], Truncated, "the input ended after 1 of 2 bytes, at byte 1 of 2");
    check::<u8>(&[1, 0, 0], Malformed, "bytes are left over after the value, at byte 1 of 3");
    check::<bool>(&[7], Malformed, "a bool must be 0 or 1 and is 7, at byte 1 of 1");
    check::<char>(&[0xff], Malformed, "a char is not UTF-8, at byte 1 of 1");
    let why = "an Option must begin with 0 or 1 and begins with 2, at byte 1 of 2";
    check::<Option<u8>>(&[2, 0], Malformed, why);
    let why = "a string is not UTF-8 (invalid utf-8 sequence of 1 bytes from index 0), at byte 2 of 2";
    check::<String>(&[1, 0xff], Malformed, why);
    let why = "invalid value: integer `9`, expected variant index 0 <= i < 4, at byte 1 of 1";
    check::<Op>(&[9], Malformed, why);
}

/// The bytes of a persister that has no snapshot.
#[test]
fn no_bytes_are_no_value() {
    let why = "there are no bytes: nothing was saved or sent here (a persister without state or snapshot returns no \
               bytes; check is_empty() before you decode)";
    let text = format!("labgob cannot decode u64: {why}");
    assert_eq!(error(decode::<u64>(&[])), (ErrorKind::Truncated, text));
    let text = format!("labgob cannot decode u64 (value 1 of the stream): {why}");
    assert_eq!(error(LabDecoder::new(&[][..]).decode_next::<u64>()), (ErrorKind::Truncated, text));
}

#[test]
fn a_single_value_has_exactly_its_bytes() {
    let mut data = encode(&7u64).unwrap();
    data.extend(encode("x").unwrap());
    let text = "labgob cannot decode u64: after the value, 3 bytes are left over: if they are further values, read them \
                with a LabDecoder";
    assert_eq!(error(decode::<u64>(&data)), (ErrorKind::Malformed, text.into()));
    let text = "labgob cannot decode u64: the input ended after 1 of the value's 9 bytes";
    assert_eq!(error(decode::<u64>(&[9, 7])), (ErrorKind::Truncated, text.into()));
}

/// A stream that always fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the cable is cut"))
    }
}

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("the cable is cut"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_of_reader_and_writer_come_through() {
    let reading = LabDecoder::new(Broken).decode_next::<u8>().unwrap_err();
    let within = LabDecoder::new([3, 1].chain(Broken)).decode_next::<u8>().unwrap_err();
    let writing = LabEncoder::new(Broken).encode(&7u8).unwrap_err();
    for error in [reading, within, writing] {
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().ends_with(": the cable is cut"), "{error}");
        // `?` does this conversion in a function that returns any error.
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        assert_eq!(error.source().unwrap().to_string(), "the cable is cut");
    }
}

struct UnknownLength;

impl Serialize for UnknownLength {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(None)?.end()
    }
}

#[test]
fn types_that_cannot_work_are_named() {
    let mut data = Vec::new();
    let (kind, text) = error(LabEncoder::new(&mut data).encode(&(1u8, UnknownLength)));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("UnknownLength): a sequence or map in it does not know its length"), "{text}");
    assert!(data.is_empty(), "half a value has been written: {data:?}");

    #[derive(Deserialize, Debug)]
    #[serde(untagged)]
    enum Untagged {
        Number(#[expect(dead_code, reason = "never made")] u8),
    }
    let (kind, text) = error(decode::<Untagged>(&[1, 1]));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("the type asks what the bytes hold"), "{text}");
    assert!(!text.contains("another type"), "{text}");
}

/// The description of a value, which is the same as what `Debug` prints, except for `Bytes`.
#[track_caller]
fn described<T: Serialize + DeserializeOwned + Debug>(x: T) {
    assert_eq!(describe::<T>(&encode(&x).unwrap()), format!("{x:?}"));
}

#[test]
fn values_are_described_with_the_names_of_their_fields() {
    described((1u8, -70_000i64, 1u128 << 100, 0.5f32, -1.5, 'x', true, ()));
    described(("two \"words\"".to_string(), None::<u8>, Some(Some(3)), (1, 2)));
    described(vec![Op::Nothing, Op::Get("k".into()), Op::Append("k".into(), "v".into())]);
    described(Op::Put { key: "k".into(), value: Some(Box::new(Op::Nothing)) });
    described(BTreeMap::from([("a".to_string(), vec![1, 2]), ("b".to_string(), vec![])]));
    described((Unit, Newtype(-3), NonZeroU32::MIN));
    let inner = encode(&Inner { term: 3, command: vec![0, b'x'].into() }).unwrap();
    assert_eq!(describe::<Inner>(&inner), r#"Inner { term: 3, command: 2 bytes "\x00x" }"#);
}

#[test]
fn a_description_ends_where_the_bytes_do() {
    let bytes = encode(&vec![Op::Get("key".into()), Op::Get("another".into())]).unwrap();
    assert_eq!(describe::<Vec<Op>>(&bytes[..7]), r#"[Get("key"), ..."#);
    assert_eq!(describe::<Vec<Op>>(&[]), "...");
    assert_eq!(describe::<bool>(&[1, 7]), "...", "no bool");
    assert_eq!(describe::<bool>(&[1, 1, 1]), "true...", "bytes are left over");
    let long = describe::<String>(&encode(&"é".repeat(5000)).unwrap());
    assert!((990..1010).contains(&long.len()) && long.ends_with("é..."), "{long}");
}

#[test]
fn bytes_are_shared_and_print_briefly() {
    let bytes = Bytes::from(vec![b'x'; 1000]);
    let clone = bytes.clone();
    assert_eq!(bytes, clone);
    assert_eq!(bytes.as_ptr(), clone.as_ptr(), "a clone must not copy");
    assert_eq!(bytes.as_ref(), &[b'x'; 1000]);
    assert_eq!(format!("{bytes:?}"), "Bytes(1000, \"xxxxxxxxxxxxxxxx...\")");
    assert_eq!(format!("{:?}", Bytes::from(&b"k\0\xff"[..])), "Bytes(3, \"k\\x00\\xff\")");
    assert_eq!(format!("{:?}", Bytes::default()), "Bytes(0, \"\")");
    assert_eq!(HashMap::from([(bytes, 1)])[&clone], 1);
}
