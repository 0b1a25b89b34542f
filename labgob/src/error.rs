//! What went wrong, in words that help whoever wrote the encoder.

use std::any::type_name;
use std::{fmt, io};

/// Why a value could not be encoded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input ended inside the value, or where a value should have begun.
    Truncated,
    /// The bytes are not an encoding of the type, have some left over, or go beyond a [limit](crate#limits).
    Malformed,
    /// The reader or the writer failed; [`source`](std::error::Error::source) has its error.
    Io,
    /// The type needs what labgob cannot do, such as a sequence whose length is not known in advance.
    Unsupported,
}

/// A value could not be encoded or decoded: which type, where, and why.
///
/// Its text is meant to be printed. Go's `Encode` and `Decode` return an `error` that most solutions drop; here the
/// compiler asks that it be looked at.
pub struct Error(Box<Inner>);

/// Boxed, so that a `Result` on the path of every RPC stays one word.
struct Inner {
    action: &'static str,
    type_name: &'static str,
    /// Which value of a stream, counted from 1.
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

/// The kind and then the sentence of `Display`: `unwrap` prints this, and a student should be able to read it.
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
