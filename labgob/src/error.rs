//! The error of an encoder or a decoder.

use std::any::type_name;
use std::{fmt, io};

/// Why a value could not be encoded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ended within the value, or where a value should have begun.
    Truncated,
    /// The bytes are not an encoding of the type, some bytes are left over, or the value exceeds a [limit](crate#limits).
    Malformed,
    /// The reader or the writer failed. [`source`](std::error::Error::source) returns its error.
    Io,
    /// The type needs something that labgob cannot do, such as a sequence whose length is not known in advance.
    Unsupported,
}

/// A value could not be encoded or decoded. The printed error says which type, where, and why.
///
/// Go's `Encode` and `Decode` return an `error` that most solutions ignore. Here the compiler warns if an error is ignored.
pub struct Error(Box<Inner>);

/// In a box, so that an `Error` is one word: every RPC passes on several results.
struct Inner {
    action: &'static str,
    type_name: &'static str,
    /// The number of the value in its stream, from 1.
    nth: Option<u64>,
    kind: ErrorKind,
    reason: String,
    io: Option<io::Error>,
}

impl Error {
    /// Why the value could not be encoded or decoded.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn decoding<T>(kind: ErrorKind, reason: String) -> Error {
        Error::new("decode", type_name::<T>(), kind, reason, None)
    }

    pub(crate) fn reading<T>(io: io::Error) -> Error {
        let reason = format!("the reader failed: {io}");
        Error::new("decode", type_name::<T>(), ErrorKind::Io, reason, Some(io))
    }

    pub(crate) fn encoding<T: ?Sized>(reason: String) -> Error {
        Error::new("encode", type_name::<T>(), ErrorKind::Unsupported, reason, None)
    }

    pub(crate) fn writing<T: ?Sized>(bytes: usize, io: io::Error) -> Error {
        let reason = format!("its {bytes} bytes could not be written: {io}");
        Error::new("encode", type_name::<T>(), ErrorKind::Io, reason, Some(io))
    }

    pub(crate) fn at_value(mut self, nth: u64) -> Error {
        self.0.nth = Some(nth);
        self
    }

    fn new(
        action: &'static str,
        type_name: &'static str,
        kind: ErrorKind,
        reason: String,
        io: Option<io::Error>,
    ) -> Error {
        Error(Box::new(Inner { action, type_name, nth: None, kind, reason, io }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { action, type_name, nth, reason, .. } = &*self.0;
        write!(f, "labgob cannot {action} {type_name}")?;
        if let Some(nth) = nth {
            write!(f, " (value {nth} of the stream)")?;
        }
        write!(f, ": {reason}")
    }
}

/// Prints the kind, and then the sentence of `Display`: `unwrap` prints this form, and a student should be able to read it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.io.as_ref().map(|io| io as _)
    }
}
