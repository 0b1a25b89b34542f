//! Writes what the bytes of a value hold, for people: the names of the type's fields, and what is in them.

use crate::length;
use crate::limit::{Input, MAX_DEPTH, MAX_EMPTY};
use bincode::{DefaultOptions, ErrorKind};
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::fmt::{Debug, Write};

/// The length in bytes at which a description is cut.
const LONGEST: usize = 1000;

type Result<T> = std::result::Result<T, bincode::Error>;

/// Describes the value of type `T` that these bytes hold, as Go's `%+v` does: `RequestVoteArgs { term: 3, candidate: 1 }`.
///
/// The type's `Deserialize` says what its fields are called; the type needs no `Debug`. If some bytes are missing at the
/// end, or are not those of a `T`, the description ends there with "...". A description of more than about a thousand
/// bytes is cut in the same way.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct RequestVoteArgs {
///     term: u64,
///     candidate: usize,
/// }
///
/// let bytes = labgob::encode(&RequestVoteArgs { term: 3, candidate: 1 })?;
/// assert_eq!(labgob::describe::<RequestVoteArgs>(&bytes), "RequestVoteArgs { term: 3, candidate: 1 }");
/// assert_eq!(labgob::describe::<RequestVoteArgs>(&bytes[..2]), "RequestVoteArgs { term: 3, candidate: ...");
/// # Ok::<(), labgob::Error>(())
/// ```
pub fn describe<T: DeserializeOwned>(bytes: &[u8]) -> String {
    let (_, value) = length::split(bytes);
    let mut reader = Reader { input: Input::new(value), text: String::new(), depth: 0, empty: 0 };
    let is_whole = T::deserialize(&mut reader).is_ok() && reader.input.is_empty();
    reader.text + if is_whole { "" } else { "..." }
}

/// A deserializer that writes down what it reads.
struct Reader<'de> {
    input: Input<'de>,
    text: String,
    /// The number of values that enclose the one being read; at most [`MAX_DEPTH`].
    depth: usize,
    /// The number of elements that took no bytes; at most [`MAX_EMPTY`].
    empty: usize,
}

impl<'de> Reader<'de> {
    /// Reads a number, a text or the like.
    fn plain<T: Deserialize<'de>>(&mut self) -> Result<T> {
        T::deserialize(&mut bincode::Deserializer::with_bincode_read(&mut self.input, DefaultOptions::new()))
    }

    /// Reads such a value, and writes it.
    fn written<T: Deserialize<'de> + Debug>(&mut self) -> Result<T> {
        let value = self.plain()?;
        self.write_value(&value)?;
        Ok(value)
    }

    fn write_value(&mut self, value: &dyn Debug) -> Result<()> {
        self.write(&format!("{value:?}"))
    }

    /// Adds to the description. An error ends the reading: the description is long enough.
    fn write(&mut self, more: &str) -> Result<()> {
        let room = LONGEST - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| more.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&more[..end]);
        Err(bincode::Error::custom("the description is long enough"))
    }

    /// Writes a value that is made of others: `begin`, what `read` writes, and `end`.
    fn nested<T>(&mut self, begin: &str, end: &str, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(bincode::Error::custom("values are nested too deeply"));
        }
        self.write(begin)?;
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        self.write(end)?;
        Ok(value)
    }

    fn fields<V: Visitor<'de>>(&mut self, names: &'static [&'static str], visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Parts { reader: self, names, left: names.len(), is_first: true })
    }

    fn parts<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Parts { reader: self, names: &[], left: count, is_first: true })
    }

    /// How many elements a sequence or map claims to have.
    fn claim(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.plain::<u64>()?).unwrap_or(usize::MAX))
    }
}

macro_rules! write_plain {
    ($($method:ident, $type:ty, $visit:ident;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit(self.written::<$type>()?)
        })*
    };
}

macro_rules! refuse {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
            Err(ErrorKind::DeserializeAnyNotSupported.into())
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = bincode::Error;

    write_plain! {
        deserialize_bool, bool, visit_bool;
        deserialize_char, char, visit_char;
        deserialize_f32, f32, visit_f32;
        deserialize_f64, f64, visit_f64;
        deserialize_u8, u8, visit_u8;
        deserialize_u16, u16, visit_u16;
        deserialize_u32, u32, visit_u32;
        deserialize_u64, u64, visit_u64;
        deserialize_u128, u128, visit_u128;
        deserialize_i8, i8, visit_i8;
        deserialize_i16, i16, visit_i16;
        deserialize_i32, i32, visit_i32;
        deserialize_i64, i64, visit_i64;
        deserialize_i128, i128, visit_i128;
        deserialize_str, &'de str, visit_borrowed_str;
        deserialize_string, String, visit_string;
    }

    refuse! { deserialize_any deserialize_identifier deserialize_ignored_any }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let bytes: &'de [u8] = self.plain()?;
        let mut text = String::new();
        // Writing to a String does not fail. Each byte is at least one character.
        let _ =
            write!(text, "{} bytes \"{}\"", bytes.len(), bytes[..bytes.len().min(LONGEST)].escape_ascii());
        self.write(&text)?;
        visitor.visit_borrowed_bytes(bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.write("()")?;
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.plain::<u8>()? {
            0 => {
                self.write("None")?;
                visitor.visit_none()
            }
            1 => self.nested("Some(", ")", |reader| visitor.visit_some(reader)),
            tag => Err(ErrorKind::InvalidTagEncoding(tag.into()).into()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.write(name)?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.nested(&format!("{name}("), ")", |reader| visitor.visit_newtype_struct(reader))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let count = self.claim()?;
        self.nested("[", "]", |reader| reader.parts(count, visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.claim()?;
        self.nested("{", "}", |reader| visitor.visit_map(Parts { reader, names: &[], left, is_first: true }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.nested("(", ")", |reader| reader.parts(len, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(&format!("{name}("), ")", |reader| reader.parts(len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(&format!("{name} {{ "), " }", |reader| reader.fields(fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested("", "", |reader| visitor.visit_enum(Variant { reader, variants }))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The fields of a struct, tuple or variant, or the elements of a sequence or map.
struct Parts<'a, 'de> {
    reader: &'a mut Reader<'de>,
    /// The fields' names; empty if they have none.
    names: &'static [&'static str],
    left: usize,
    is_first: bool,
}

impl<'de> Parts<'_, 'de> {
    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        let name = self.names.len().checked_sub(self.left).and_then(|i| self.names.get(i));
        self.left -= 1;
        if !std::mem::take(&mut self.is_first) {
            self.reader.write(", ")?;
        }
        if let Some(name) = name {
            self.reader.write(&format!("{name}: "))?;
        }
        let before = self.reader.input.len();
        let part = seed.deserialize(&mut *self.reader)?;
        if self.reader.input.len() == before {
            self.reader.empty += 1;
            if self.reader.empty > MAX_EMPTY {
                return Err(bincode::Error::custom("too many elements take no bytes"));
            }
        }
        Ok(Some(part))
    }
}

/// There is no hint of the size: what the input claims may be false.
impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = bincode::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = bincode::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.reader.write(": ")?;
        seed.deserialize(&mut *self.reader)
    }
}

/// A value of an enum.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    variants: &'static [&'static str],
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a, 'de> {
    type Error = bincode::Error;
    type Variant = &'a mut Reader<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant)> {
        let index: u32 = self.reader.plain()?;
        let name = self.variants.get(index as usize).copied().unwrap_or("?");
        self.reader.write(name)?;
        let variant: Result<S::Value> = seed.deserialize(index.into_deserializer());
        Ok((variant?, self.reader))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = bincode::Error;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        self.nested("(", ")", |reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.nested("(", ")", |reader| reader.parts(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.nested(" { ", " }", |reader| reader.fields(fields, visitor))
    }
}
