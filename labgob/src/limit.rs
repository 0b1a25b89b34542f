//! A decoder with limits: no input can make it panic, overflow the stack, run for ever, or take much memory.
//!
//! bincode reads numbers and strings safely, but it trusts the input where values contain values. It recurses as deep as
//! the input says. It announces as many elements as the input says, and collections allocate memory for them in advance.
//! It reads that many elements even if an element takes no bytes. For this reason [`Limited`] reads structs, sequences,
//! maps and enums itself, in bincode's format, and leaves only numbers and strings to bincode.

use crate::error::{Error, ErrorKind};
use bincode::{BincodeRead, DefaultOptions};
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::io;

/// The most levels of values within values. Each level takes a few stack frames, and a thread may have a small stack.
pub(crate) const MAX_DEPTH: usize = 128;

/// The most elements of sequences and maps in a value that take no bytes, such as `()` or a struct whose fields are all
/// skipped. The input's length bounds the number of all other elements.
pub(crate) const MAX_EMPTY: usize = 4096;

type Result<T> = std::result::Result<T, bincode::Error>;

/// Decodes one value from exactly these bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Error> {
    let mut limited = Limited { input: Input::new(bytes), depth: 0, promised: 0, empty: 0 };
    let result = T::deserialize(&mut limited);
    let Input { rest, missing } = limited.input;
    let (total, at) = (bytes.len(), bytes.len() - rest.len());
    let (kind, reason) = match (result, missing) {
        (Ok(value), _) if rest.is_empty() => return Ok(value),
        (Ok(_), _) => (ErrorKind::Malformed, String::from("bytes are left over after the value")),
        (Err(_), Some(wanted)) => {
            (ErrorKind::Truncated, format!("the input ended after {} of {wanted} bytes", rest.len()))
        }
        (Err(error), None) => explain(*error),
    };
    let reason = format!("{reason}, at byte {at} of {total}");
    let hint =
        if kind == ErrorKind::Unsupported { "" } else { "; were these bytes encoded from another type?" };
    Err(Error::decoding::<T>(kind, reason + hint))
}

/// Puts bincode's errors into words. The errors of this module and of `Deserialize` implementations have their own text.
fn explain(error: bincode::ErrorKind) -> (ErrorKind, String) {
    use bincode::ErrorKind as B;
    let reason = match error {
        B::InvalidUtf8Encoding(error) => format!("a string is not UTF-8 ({error})"),
        B::InvalidBoolEncoding(byte) => format!("a bool must be 0 or 1 and is {byte}"),
        B::InvalidTagEncoding(tag) => format!("an Option must begin with 0 or 1 and begins with {tag}"),
        B::InvalidCharEncoding => String::from("a char is not UTF-8"),
        B::DeserializeAnyNotSupported => {
            let reason =
                "the type asks what the bytes hold (serde's untagged, tag, flatten), which they do not say";
            return (ErrorKind::Unsupported, String::from(reason));
        }
        other => other.to_string(),
    };
    (ErrorKind::Malformed, reason)
}

/// The bytes of a value that are not read yet.
pub(crate) struct Input<'de> {
    rest: &'de [u8],
    /// The number of bytes that were wanted when fewer were left. None: there were always enough.
    missing: Option<usize>,
}

impl<'de> Input<'de> {
    pub(crate) fn new(bytes: &'de [u8]) -> Input<'de> {
        Input { rest: bytes, missing: None }
    }

    /// The number of bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn take(&mut self, len: usize) -> io::Result<&'de [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            self.missing = Some(len);
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.rest = rest;
        Ok(taken)
    }
}

impl io::Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.rest.read(out)
    }

    #[inline]
    fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(self.take(out.len())?);
        Ok(())
    }
}

impl<'de> BincodeRead<'de> for &mut Input<'de> {
    fn forward_read_str<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        let text = std::str::from_utf8(self.take(len)?).map_err(bincode::ErrorKind::InvalidUtf8Encoding)?;
        visitor.visit_borrowed_str(text)
    }

    fn get_byte_buffer(&mut self, len: usize) -> Result<Vec<u8>> {
        Ok(self.take(len)?.to_vec())
    }

    fn forward_read_bytes<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.take(len)?)
    }
}

/// A deserializer for the bytes of one value. It enforces the limits.
struct Limited<'de> {
    input: Input<'de>,
    /// The number of values that enclose the one being read; at most [`MAX_DEPTH`].
    depth: usize,
    /// The number of elements that have been announced to collections on all levels, and are not read yet. At most the
    /// length of the input; this also bounds the memory that the collections allocate in advance.
    promised: usize,
    /// The number of elements that took no bytes; at most [`MAX_EMPTY`].
    empty: usize,
}

impl<'de> Limited<'de> {
    #[inline]
    fn plain(&mut self) -> bincode::Deserializer<&mut Input<'de>, DefaultOptions> {
        bincode::Deserializer::with_bincode_read(&mut self.input, DefaultOptions::new())
    }

    /// Reads the content of a value, which is one level down.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(bincode::Error::custom(format!("values are nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Reads how many elements of a sequence or map the input claims, and returns an iterator over them.
    fn claimed(&mut self) -> Result<Claimed<'_, 'de>> {
        let claim = u64::deserialize(&mut self.plain())?;
        let left = usize::try_from(claim).unwrap_or(usize::MAX);
        let promised = left.min(self.input.rest.len().saturating_sub(self.promised));
        self.promised += promised;
        Ok(Claimed { limited: self, left, promised })
    }
}

macro_rules! hand_through {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.plain().$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Limited<'de> {
    type Error = bincode::Error;

    hand_through! {
        deserialize_bool deserialize_char deserialize_f32 deserialize_f64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_any deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match u8::deserialize(&mut self.plain())? {
            0 => visitor.visit_none(),
            1 => self.nested(|limited| visitor.visit_some(limited)),
            tag => Err(bincode::ErrorKind::InvalidTagEncoding(tag.into()).into()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.nested(|limited| visitor.visit_newtype_struct(limited))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.nested(|limited| visitor.visit_seq(limited.claimed()?))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.nested(|limited| visitor.visit_map(limited.claimed()?))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.nested(|limited| visitor.visit_seq(Fields { limited, left: len }))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(|limited| visitor.visit_enum(limited))
    }

    /// bincode's serializer says the same. If this were true, some types would expect text.
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The fields of a struct, tuple, array or variant. The type says how many there are, not the input.
struct Fields<'a, 'de> {
    limited: &'a mut Limited<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = bincode::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.limited).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The elements of a sequence or the entries of a map. The input claims how many there are.
struct Claimed<'a, 'de> {
    limited: &'a mut Limited<'de>,
    left: usize,
    /// The share of this sequence in [`Limited::promised`]; at most `left`.
    promised: usize,
}

impl<'de> Claimed<'_, 'de> {
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if self.promised > 0 {
            self.promised -= 1;
            self.limited.promised -= 1;
        }
        let before = self.limited.input.rest.len();
        let element = seed.deserialize(&mut *self.limited)?;
        if self.limited.input.rest.len() == before {
            self.limited.empty += 1;
            if self.limited.empty > MAX_EMPTY {
                return Err(bincode::Error::custom(format!("more than {MAX_EMPTY} elements take no bytes")));
            }
        }
        Ok(Some(element))
    }
}

impl<'de> SeqAccess<'de> for Claimed<'_, 'de> {
    type Error = bincode::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.promised)
    }
}

/// An entry takes no bytes if its key takes none.
impl<'de> MapAccess<'de> for Claimed<'_, 'de> {
    type Error = bincode::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        seed.deserialize(&mut *self.limited)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.promised)
    }
}

impl<'de> EnumAccess<'de> for &mut Limited<'de> {
    type Error = bincode::Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let index = u32::deserialize(&mut self.plain())?;
        let variant: Result<S::Value> = seed.deserialize(index.into_deserializer());
        Ok((variant?, self))
    }
}

/// The fields of a variant are on the level that [`Deserializer::deserialize_enum`] has counted.
impl<'de> VariantAccess<'de> for &mut Limited<'de> {
    type Error = bincode::Error;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Fields { limited: self, left: len })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.tuple_variant(fields.len(), visitor)
    }
}
