//! Finds words that no hand-in may have outside of comments and strings.
//!
//! The compiler forbids unsafe code, but overlooks functions that are all assembly (`#[unsafe(naked)]`) and everything
//! that a macro of another crate expands to.

use crate::archive::Handin;
use crate::lab::FILES;
use proc_macro2::{TokenStream, TokenTree};
use std::fmt;

const FORBIDDEN: [&str; 2] = ["unsafe", "macro_export"];

/// The first forbidden word of a hand-in.
#[derive(Debug, PartialEq)]
pub struct Forbidden {
    file: &'static str,
    line: usize,
    word: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Forbidden { file, line, word } = self;
        write!(
            f,
            "{file} has the word `{word}` in line {line}. A hand-in must have no unsafe code, and no macros for other \
             crates."
        )
    }
}

pub fn find(handin: &Handin) -> Option<Forbidden> {
    FILES.iter().zip(&handin.texts).find_map(|(file, text)| {
        let (line, word) = find_in(text)?;
        Some(Forbidden { file: file.name, line, word })
    })
}

/// The line and the word.
fn find_in(text: &str) -> Option<(usize, &'static str)> {
    let Ok(tokens) = text.parse::<TokenStream>() else {
        // This text cannot be split into tokens. Only the compiler knows what is a comment in it: search comments too.
        return text.lines().enumerate().find_map(|(i, line)| {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            Some((i + 1, words.find_map(|word| FORBIDDEN.into_iter().find(|forbidden| *forbidden == word))?))
        });
    };
    // Not recursive: a hand-in could nest its brackets deeper than the stack allows.
    let mut streams = vec![tokens.into_iter()];
    while let Some(stream) = streams.last_mut() {
        match stream.next() {
            Some(TokenTree::Group(group)) => streams.push(group.stream().into_iter()),
            Some(TokenTree::Ident(ident)) => {
                if let Some(word) = FORBIDDEN.into_iter().find(|word| ident == word) {
                    return Some((ident.span().start().line, word));
                }
            }
            Some(_) => {}
            None => drop(streams.pop()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a hand-in whose client.rs has this text in its second line.
    fn found(text: &str) -> Option<Forbidden> {
        let is_client = |i: usize| FILES[i].name == "client.rs";
        let texts =
            std::array::from_fn(
                |i| {
                    if is_client(i) { format!("// one\n{text}\n") } else { "//\n".to_string() }
                },
            );
        find(&Handin { texts, remarks: Vec::new() })
    }

    #[test]
    fn forbidden_words_are_found_wherever_they_do_something() {
        for text in [
            "#[unsafe(naked)] fn f() {}",
            "#[macro_export] macro_rules! m { () => {} }",
            "#[cfg_attr(all(), macro_export)] macro_rules! m { () => {} }",
            "fn f() { g(h![unsafe {}]) }",
            "/* /* */ */ unsafe fn f() {}",
            "const A: &str = \"\"; unsafe fn f() {}",
            // This cannot be split into tokens: comments count.
            "' // unsafe",
        ] {
            let why = found(text).unwrap_or_else(|| panic!("{text}")).to_string();
            assert!(
                why.starts_with("client.rs has the word `") && why.contains("in line 2."),
                "{text}: {why}"
            );
        }
        for text in [
            "// unsafe",
            "/// This is unsafe.",
            "/* unsafe /* #[macro_export] */ unsafe */",
            "const A: &str = \"unsafe\"; const B: &str = r#\"\" unsafe {}\"#;",
            "fn f() { let is_unsafe = unsafely(); }",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
