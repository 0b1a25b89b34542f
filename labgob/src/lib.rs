//! Encodes values as bytes, and decodes them again. The arguments and replies of RPCs cross the network as labgob bytes,
//! and a server gives its persister labgob bytes. This keeps two servers from sharing memory by accident.
//!
//! ```text
//! LabEncoder::new(w)              encodes values, one after the other, into a writer
//!     .encode(&x)
//! LabDecoder::new(r)              decodes values from a reader, in the same order
//!     .decode(&mut x)             into a variable (Go's form)
//!     .decode_next::<T>()         returns the next value
//!     .decode_next_or_end::<T>()  returns the next value, or None at the end of the stream
//! encode(&x), decode::<T>(..)     a single value, to and from bytes, in the same format
//! describe::<T>(..)               what the bytes of a value hold, for people to read
//! Bytes                           a byte string that is cheap to clone and to encode: commands, snapshots
//! Error, ErrorKind                which type could not be encoded or decoded, where, and why
//! ```
//!
//! Any type with serde's derives, `#[derive(Serialize, Deserialize)]`, can be encoded and decoded.
//!
//! # Example
//!
//! Raft's `persist` and `read_persist`: three values in sequence.
//!
//! ```
//! use labgob::{Bytes, Error, LabDecoder, LabEncoder};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
//! struct Entry {
//!     term: u64,
//!     command: Bytes,
//! }
//!
//! #[derive(Default, Debug, PartialEq)]
//! struct State {
//!     current_term: u64,
//!     voted_for: Option<usize>,
//!     log: Vec<Entry>,
//! }
//!
//! fn persist(state: &State) -> Result<Vec<u8>, Error> {
//!     let mut data = Vec::new();
//!     let mut e = LabEncoder::new(&mut data);
//!     e.encode(&state.current_term)?;
//!     e.encode(&state.voted_for)?;
//!     e.encode(&state.log)?;
//!     Ok(data)
//! }
//!
//! fn read_persist(data: &[u8]) -> Result<State, Error> {
//!     let mut state = State::default();
//!     let mut d = LabDecoder::new(data);
//!     d.decode(&mut state.current_term)?;
//!     d.decode(&mut state.voted_for)?;
//!     d.decode(&mut state.log)?;
//!     Ok(state)
//! }
//!
//! let entry = Entry { term: 7, command: labgob::encode("x 1")?.into() };
//! let state = State { current_term: 8, voted_for: Some(2), log: vec![entry] };
//! assert_eq!(read_persist(&persist(&state)?)?, state);
//! # Ok::<(), Error>(())
//! ```
//!
//! # Limits
//!
//! Whatever bytes the decoder gets, it returns a value or an [`Error`]. It never panics, overflows the stack or loops
//! for ever. It never takes more memory than a megabyte plus the input's length times a constant of the type. To ensure
//! this, a value to be decoded has
//! - at most 128 levels of values within values: each struct, tuple, sequence, map, enum and `Some` is a level;
//! - at most 4096 elements of sequences and maps that take no bytes at all, such as the elements of a `Vec<()>`.
//!
//! The encoder does not check these limits. For example, it encodes a linked list of 200 nodes, each within the one
//! before, and then the list cannot be decoded. Keep a list in a `Vec`.
//!
//! An integer below 251 takes one byte, a larger one three, five, nine or seventeen, so small integers are cheap where
//! Lab 3B counts the bytes. Only their order tells fields apart: the decoder must name the type that was encoded, and
//! serde's `flatten`, `untagged`, `tag` and `skip_serializing_if` cannot work.
//!
//! # What Go's labgob has and this one lacks
//!
//! - The warning that a field's name begins with a small letter. Go leaves such fields out silently, and Raft breaks.
//!   Here the derives take every field, whatever its name or visibility.
//! - The warning that a value is decoded into a variable that is not at its default. Where the encoder had zero, Go
//!   leaves the variable's field as it was. Here decoding makes a new value, and replaces the old one when the new one is
//!   complete.
//! - `Register`. Go must be told which types may stand behind an `interface{}`. A Rust program names the type that it
//!   decodes, and an enum lists the types that are possible.
#![forbid(unsafe_code)]

mod bytes;
mod describe;
mod error;
mod length;
mod limit;

pub use bytes::Bytes;
pub use describe::describe;
pub use error::{Error, ErrorKind};

use bincode::{DefaultOptions, Options};
use length::Length;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// Encodes a single value, to the bytes that a [`LabEncoder`] writes for it. [`decode`] reads it back, and so does a
/// [`LabDecoder`].
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] if the type cannot be encoded. A type made of derives and the standard collections can.
pub fn encode<T: Serialize + ?Sized>(x: &T) -> Result<Vec<u8>, Error> {
    let len = DefaultOptions::new().serialized_size(x).map_err(|error| unsupported::<T>(*error))?;
    let mut prefix = [0; length::MAX_BYTES];
    let prefix = length::encode(len, &mut prefix);
    let mut bytes = Vec::with_capacity(prefix.len() + len as usize);
    bytes.extend_from_slice(prefix);
    DefaultOptions::new().serialize_into(&mut bytes, x).map_err(|error| unsupported::<T>(*error))?;
    Ok(bytes)
}

/// Decodes the single value that [`encode`] or a [`LabEncoder`] has made these bytes from.
///
/// # Errors
///
/// If the bytes are not exactly one `T`: [`ErrorKind::Truncated`] if there are too few or none, [`ErrorKind::Malformed`]
/// if some are left over or wrong.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let (length, value) = length::split(bytes);
    let Some(len) = checked::<T>(length)? else {
        return Err(Error::decoding::<T>(ErrorKind::Truncated, NOTHING.to_string()));
    };
    match value.len() as u64 {
        got if got < len => Err(ended::<T>(got, len)),
        got if got > len => {
            let reason = format!(
                "after the value, {} bytes are left over: if they are further values, read them with a LabDecoder",
                got - len
            );
            Err(Error::decoding::<T>(ErrorKind::Malformed, reason))
        }
        _ => limit::decode(value),
    }
}

/// The length of a value. None: the input has ended before it.
fn checked<T>(length: Length) -> Result<Option<u64>, Error> {
    match length {
        Length::Bytes(len) => Ok(Some(len)),
        Length::End => Ok(None),
        Length::Cut => {
            let reason = String::from("the input ended within the value's length");
            Err(Error::decoding::<T>(ErrorKind::Truncated, reason))
        }
        Length::Malformed => {
            let reason = String::from("it begins with what is no length: the bytes are not a labgob stream");
            Err(Error::decoding::<T>(ErrorKind::Malformed, reason))
        }
    }
}

/// Why no value can be decoded from no bytes.
const NOTHING: &str = "there are no bytes: nothing was saved or sent here (a persister without state or snapshot returns no \
                       bytes; check is_empty() before you decode)";

fn ended<T>(got: u64, len: u64) -> Error {
    let reason = format!("the input ended after {got} of the value's {len} bytes");
    Error::decoding::<T>(ErrorKind::Truncated, reason)
}

fn unsupported<T: ?Sized>(error: bincode::ErrorKind) -> Error {
    Error::encoding::<T>(match error {
        bincode::ErrorKind::SequenceMustHaveLength => String::from(
            "a sequence or map in it does not know its length in advance (an iterator, serde's flatten): \
             collect it first",
        ),
        other => other.to_string(),
    })
}

/// Writes values to a stream, one after the other (`NewEncoder` in Go's labgob.go).
///
/// It writes the length of each value, seven bits to a byte and the low bits first, and then the value's bytes. Thanks to
/// the length, a [`LabDecoder`] stops exactly where the value ends, and notices a value that is decoded as another type.
pub struct LabEncoder<W> {
    writer: W,
    /// The value being encoded; kept for its capacity.
    value: Vec<u8>,
}

impl<W: Write> LabEncoder<W> {
    /// An encoder that writes to this writer, most often a `&mut Vec<u8>`. It holds nothing back.
    pub fn new(writer: W) -> LabEncoder<W> {
        LabEncoder { writer, value: Vec::new() }
    }

    /// Writes one value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the type cannot be encoded; then nothing has been written. [`ErrorKind::Io`] if the
    /// writer fails. A type made of derives and the standard collections can be encoded, and a vector does not fail.
    pub fn encode<T: Serialize + ?Sized>(&mut self, x: &T) -> Result<(), Error> {
        self.value.clear();
        DefaultOptions::new().serialize_into(&mut self.value, x).map_err(|error| unsupported::<T>(*error))?;
        let mut prefix = [0; length::MAX_BYTES];
        let prefix = length::encode(self.value.len() as u64, &mut prefix);
        self.writer
            .write_all(prefix)
            .and_then(|()| self.writer.write_all(&self.value))
            .map_err(|error| Error::writing::<T>(self.value.len(), error))
    }
}

/// Reads values from a stream that a [`LabEncoder`] wrote, in the same order (`NewDecoder` in Go's labgob.go).
///
/// It reads no byte beyond the value that it returns.
pub struct LabDecoder<R> {
    reader: R,
    /// The value being decoded; kept for its capacity.
    value: Vec<u8>,
    /// How many values have been begun.
    count: u64,
}

impl<R: Read> LabDecoder<R> {
    /// A decoder that reads from this reader, most often a `&[u8]`.
    pub fn new(reader: R) -> LabDecoder<R> {
        LabDecoder { reader, value: Vec::new(), count: 0 }
    }

    /// Reads the next value and replaces `x` by it.
    ///
    /// # Errors
    ///
    /// As for [`decode_next`](LabDecoder::decode_next). After an error `x` is as it was.
    pub fn decode<T: DeserializeOwned>(&mut self, x: &mut T) -> Result<(), Error> {
        *x = self.decode_next()?;
        Ok(())
    }

    /// Reads the next value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] if the stream has ended or ends within the value. [`ErrorKind::Malformed`] if the bytes
    /// are not a `T`. [`ErrorKind::Io`] if the reader fails.
    pub fn decode_next<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.decode_next_or_end()?.ok_or_else(|| {
            let reason = match self.count {
                0 => NOTHING,
                _ => "the input has ended: there is no further value",
            };
            Error::decoding::<T>(ErrorKind::Truncated, reason.to_string()).at_value(self.count + 1)
        })
    }

    /// Reads the next value. Returns `None` if the stream has ended. This is for a stream that does not say how many values
    /// it holds.
    ///
    /// # Errors
    ///
    /// As for [`decode_next`](LabDecoder::decode_next), except that the end of the stream is no error. A stream that ends
    /// within a value is one.
    pub fn decode_next_or_end<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let value = self.read_length::<T>().and_then(|len| match len {
            Some(len) => self.read_value(len).map(Some),
            None => Ok(None),
        });
        value.map_err(|error| error.at_value(self.count))
    }

    fn read_value<T: DeserializeOwned>(&mut self, len: u64) -> Result<T, Error> {
        self.value.clear();
        // The length may be a false claim. Beyond a page, the vector grows with the bytes that arrive.
        self.value.reserve(len.min(4096) as usize);
        let got = self.reader.by_ref().take(len).read_to_end(&mut self.value).map_err(Error::reading::<T>)?;
        if (got as u64) < len {
            return Err(ended::<T>(got as u64, len));
        }
        limit::decode(&self.value)
    }

    /// Reads a value's length, or `None` at the end of the stream.
    fn read_length<T>(&mut self) -> Result<Option<u64>, Error> {
        let mut has_begun = false;
        let length = length::read(|| {
            let byte = self.read_byte()?;
            has_begun |= byte.is_some();
            Ok(byte)
        });
        self.count += u64::from(has_begun);
        checked::<T>(length.map_err(Error::reading::<T>)?)
    }

    fn read_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.reader.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
