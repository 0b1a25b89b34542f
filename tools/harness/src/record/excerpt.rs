//! Long texts, shortened.

use std::fmt;

/// How many bytes of a text's beginning are kept.
const HEAD: usize = 24;

/// How many bytes of a text's end are kept.
const TAIL: usize = 56;

/// A text, or the two ends of a long one. It is formatted only when somebody reads it.
pub(crate) struct Excerpt {
    kept: String,
    /// The end of the head in `kept`.
    cut: usize,
    /// The length of the whole text.
    bytes: usize,
}

/// A text in quotes. A long text is shortened to its beginning and its end.
pub fn excerpt(text: &str) -> String {
    Excerpt::of(text).to_string()
}

impl Excerpt {
    pub(crate) fn of(text: &str) -> Excerpt {
        let bytes = text.len();
        if bytes <= HEAD + TAIL {
            return Excerpt { kept: text.to_string(), cut: bytes, bytes };
        }
        // A character that does not fit wholly into the head or into the tail is left out.
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        let head = (0..=HEAD).rev().find(is_boundary).unwrap_or(0);
        let tail = (bytes - TAIL..bytes).find(is_boundary).unwrap_or(bytes);
        Excerpt { kept: [&text[..head], &text[tail..]].concat(), cut: head, bytes }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt { kept, cut, bytes } = self;
        if kept.len() == *bytes {
            return write!(f, "{kept:?}");
        }
        write!(f, "{:?} ... {:?} ({bytes} bytes)", &kept[..*cut], &kept[*cut..])
    }
}
