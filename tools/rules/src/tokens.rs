//! Splits a text into tokens.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A token of a text. Brackets are marks of their own.
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Without the `r#` of a raw identifier.
    pub(crate) text: String,
    /// The line, from 1 on.
    pub(crate) line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or an identifier. Lifetimes are marks.
    Word,
    Literal,
    Mark,
}

/// The tokens of a text. If it cannot be split into tokens, only the compiler knows what is a comment in it: then the words of
/// comments are tokens too.
pub(crate) fn of(text: &str) -> Vec<Token> {
    match text.parse::<TokenStream>() {
        Ok(stream) => flat(stream),
        Err(_) => words(text),
    }
}

/// The tokens of the module `name` of a crate, whose whole text is given. None: it has no such module, or cannot be split.
pub(crate) fn of_module(text: &str, name: &str) -> Option<Vec<Token>> {
    let trees: Vec<TokenTree> = text.parse::<TokenStream>().ok()?.into_iter().collect();
    trees.windows(3).find_map(|three| match three {
        [TokenTree::Ident(word), TokenTree::Ident(module), TokenTree::Group(body)]
            if word == "mod" && module == name && body.delimiter() == Delimiter::Brace =>
        {
            Some(flat(body.stream()))
        }
        _ => None,
    })
}

fn words(text: &str) -> Vec<Token> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| !is_part(c)).filter(|end| *end > 0).unwrap_or(rest.len());
            let (token, kind) = if is_part(first) {
                (&rest[..end], Kind::Word)
            } else {
                (&rest[..first.len_utf8()], Kind::Mark)
            };
            rest = &rest[token.len()..];
            if !token.trim().is_empty() {
                tokens.push(Token { kind, text: token.to_string(), line: i + 1 });
            }
        }
    }
    tokens
}

/// Not recursive: a hand-in could nest its brackets deeper than the stack allows.
fn flat(stream: TokenStream) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut streams = vec![(stream.into_iter(), "", 0)];
    while let Some((stream, close, end)) = streams.last_mut() {
        let Some(tree) = stream.next() else {
            if !close.is_empty() {
                tokens.push(Token { kind: Kind::Mark, text: close.to_string(), line: *end });
            }
            streams.pop();
            continue;
        };
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                if !open.is_empty() {
                    tokens.push(Token { kind: Kind::Mark, text: open.to_string(), line });
                }
                streams.push((group.stream().into_iter(), close, group.span_close().end().line));
            }
            TokenTree::Ident(ident) => {
                let is_lifetime = tokens.last().is_some_and(|last| last.text == "'");
                let kind = if is_lifetime { Kind::Mark } else { Kind::Word };
                let text = ident.to_string();
                let text = text.strip_prefix("r#").unwrap_or(&text).to_string();
                tokens.push(Token { kind, text, line });
            }
            TokenTree::Punct(punct) => {
                tokens.push(Token { kind: Kind::Mark, text: punct.as_char().to_string(), line });
            }
            TokenTree::Literal(literal) => {
                tokens.push(Token { kind: Kind::Literal, text: literal.to_string(), line });
            }
        }
    }
    tokens
}

/// What a string literal means: without quotes, and with its escapes resolved. None: it is another literal, or bytes.
pub(crate) fn meaning(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        let raw = raw.trim_start_matches('#').strip_prefix('"')?;
        return Some(raw[..raw.rfind('"')?].to_string());
    }
    let begun = literal.strip_prefix('"')?;
    let text = &begun[..begun.rfind('"')?];
    let mut meaning = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            meaning.push(c);
            continue;
        }
        match rest.next()? {
            'n' => meaning.push('\n'),
            'r' => meaning.push('\r'),
            't' => meaning.push('\t'),
            '0' => meaning.push('\0'),
            'x' => meaning.extend(code(&rest.by_ref().take(2).collect::<String>())),
            'u' => {
                let digits: String = rest.by_ref().take_while(|c| *c != '}').filter(|c| *c != '_').collect();
                meaning.extend(code(digits.trim_start_matches('{')));
            }
            // The end of the line and the spaces of the next one are no part of the string.
            '\n' | '\r' => rest = rest.as_str().trim_start().chars(),
            other => meaning.push(other),
        }
    }
    Some(meaning)
}

/// The character with this number, in hexadecimal digits.
fn code(digits: &str) -> Option<char> {
    u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
}
