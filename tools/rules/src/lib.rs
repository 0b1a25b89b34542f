//! Finds what no hand-in may have, and the compiler does not forbid: unsafe code that it overlooks, and places where servers
//! could meet without a message. `make handin`, `make check` and the grader use it.
//!
//! The compiler overlooks functions that are all assembly (`#[unsafe(naked)]`) and everything that a macro of another crate
//! expands to. Words are searched in the code and not in comments. Strings are searched for unsafe code, because serde's
//! attributes make code of strings. The grader also searches what the compiler sees once macros are expanded ([`check_expanded`]):
//! macros can put code together from pieces that are harmless each.
#![forbid(unsafe_code)]

mod tokens;

use std::fmt;
use tokens::{Kind, Token};

/// Why a word is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Unsafe,
    Shared,
    Hidden,
    File,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Unsafe => "A hand-in must have no unsafe code, and no macros for other crates.",
            Reason::Shared => {
                "A server is a machine of its own: it shares nothing with another but messages. Keep what a server or a \
                 clerk remembers in a field of it, and what never changes in a const."
            }
            Reason::File => "A hand-in is its four files: it reads no other file, and no variable, while it is compiled.",
            Reason::Hidden => "Name what you use, as in `use std::sync::Arc`, so that everybody sees what is used.",
        })
    }
}

/// Words that are forbidden wherever they stand.
const WORDS: [(&str, Reason); 13] = [
    ("unsafe", Reason::Unsafe),
    ("macro_export", Reason::Unsafe),
    ("static", Reason::Shared),
    ("thread_local", Reason::Shared),
    ("set_hook", Reason::Shared),
    ("take_hook", Reason::Shared),
    ("set_logger", Reason::Shared),
    ("set_boxed_logger", Reason::Shared),
    ("set_max_level", Reason::Shared),
    ("include", Reason::File),
    ("include_str", Reason::File),
    ("include_bytes", Reason::File),
    ("option_env", Reason::File),
];

/// Crates, and what of each no hand-in may use.
const ITEMS: [(&str, &[&str]); 2] = [
    ("std", &["fs", "net", "process", "env", "os"]),
    ("labrpc", &["running", "idle_threads", "thread_census", "limit_threads", "shortage", "set_observer"]),
];

/// The first thing in a file that no hand-in may have. Displays as what is wrong, where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The file's name.
    file: String,
    place: Place,
    /// The word or the path.
    what: String,
    reason: Reason,
}

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In the code of this line, from 1 on.
    Line(usize),
    /// In a string in this line.
    StringInLine(usize),
    /// In what macros and derives expand to: the code that begins with it.
    Expanded(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { file, place, what, reason } = self;
        match place {
            Place::Line(line) => write!(f, "{file} has the word `{what}` in line {line}. {reason}"),
            Place::StringInLine(line) => {
                write!(f, "{file} has the word `{what}` in line {line}, in a string. {reason}")
            }
            Place::Expanded(code) => {
                write!(f, "{file} has the word `{what}` once its macros are expanded: `{code} ...`. {reason}")
            }
        }
    }
}

/// The expanded code cannot be searched: it has no such module, or cannot be split into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSearched;

/// The first thing in the text of a file that no hand-in may have. None: the file keeps the rules.
pub fn check(file: &str, text: &str) -> Option<Violation> {
    let tokens = tokens::of(text);
    let (place, what, reason) = (0..tokens.len()).find_map(|i| at(&tokens, i))?;
    Some(Violation { file: file.to_string(), place, what, reason })
}

/// As [`check`], but searches what macros and derives make of the file. `expanded` is the crate as `rustc -Zunpretty=expanded`
/// prints it. Only the file's own module is searched.
///
/// Macros of the libraries expand to unsafe blocks, and the compiler forbids those of a hand-in. So of unsafe code only attributes
/// are searched, which the compiler overlooks. Strings are strings now: they have been made code of.
///
/// # Errors
/// If the text does not have the module.
pub fn check_expanded(file: &str, expanded: &str) -> Result<Option<Violation>, NotSearched> {
    let module = file.strip_suffix(".rs").unwrap_or(file);
    let tokens = tokens::of_module(expanded, module).ok_or(NotSearched)?;
    let found = (0..tokens.len()).find_map(|i| {
        let is_attribute = || i > 0 && tokens[i - 1].text == "[";
        let (what, reason) = word_at(&tokens, i)?;
        (what != "unsafe" || is_attribute()).then_some((i, what, reason))
    });
    Ok(found.map(|(i, what, reason)| {
        let code: Vec<&str> = tokens[i..].iter().take(SHOWN_TOKENS).map(|token| &*token.text).collect();
        Violation {
            file: file.to_string(),
            place: Place::Expanded(code.join(" ").replace(" : : ", "::")),
            what,
            reason,
        }
    }))
}

/// How many tokens of expanded code are shown.
const SHOWN_TOKENS: usize = 8;

/// What is wrong at a token, and where.
fn at(tokens: &[Token], i: usize) -> Option<(Place, String, Reason)> {
    let Token { kind, text, line } = &tokens[i];
    match kind {
        Kind::Literal => {
            let inside = tokens::of(&tokens::meaning(text)?);
            let found = (0..inside.len()).find_map(|i| begins_code(&inside, i));
            let (what, reason) = found.or_else(|| {
                let word = names_a_reading_macro(&inside)?;
                is_in_attribute(tokens, i).then_some((word, Reason::File))
            })?;
            Some((Place::StringInLine(*line), what, reason))
        }
        Kind::Word => {
            let (what, reason) = word_at(tokens, i)?;
            Some((Place::Line(*line), what, reason))
        }
        Kind::Mark => None,
    }
}

/// What is wrong with a word.
fn word_at(tokens: &[Token], i: usize) -> Option<(String, Reason)> {
    let Token { kind, text, .. } = &tokens[i];
    if *kind != Kind::Word {
        return None;
    }
    if let Some((word, reason)) = WORDS.iter().find(|(word, _)| word == text) {
        return Some((word.to_string(), *reason));
    }
    ITEMS
        .iter()
        .find_map(|(root, items)| used(tokens, i, root, items))
        .or_else(|| used_by_variable(tokens, i))
        .or_else(|| names_a_file(tokens, i))
}

/// What is wrong in a string if code begins at this token. In a sentence, something else follows.
fn begins_code(tokens: &[Token], i: usize) -> Option<(String, Reason)> {
    let (word, next) = (&*tokens[i].text, text(tokens, i + 1).unwrap_or_default());
    let is_code = match word {
        "unsafe" => ["{", "(", "fn", "impl", "trait", "extern"].contains(&next),
        "static" => next == "mut" || text(tokens, i + 2) == Some(":"),
        "macro_export" => true,
        "include" | "include_str" | "include_bytes" | "option_env" => next == "!",
        _ => ["!", "("].contains(&next),
    };
    if let Some((word, reason)) = WORDS.iter().find(|(other, _)| is_code && *other == word) {
        return Some((word.to_string(), *reason));
    }
    // `path = "other.rs"`: in a sentence, no string follows.
    let file = names_a_file(tokens, i).filter(|_| is_string(tokens, i + 2));
    if file.is_some() {
        return file;
    }
    let item = ITEMS.iter().find_map(|(root, items)| used(tokens, i, root, items));
    item.filter(|(_, reason)| *reason == Reason::Shared)
}

/// The word in a string that calls a macro, and may give it the name of another macro: `from = "ty! { include_str }"`. The compiler
/// replaces such macros by what they read, so expanded code does not show them.
fn names_a_reading_macro(tokens: &[Token]) -> Option<String> {
    let calls = (0..tokens.len()).any(|i| tokens[i].kind == Kind::Word && text(tokens, i + 1) == Some("!"));
    let reads = |word: &str| word == "env" || WORDS.contains(&(word, Reason::File));
    let word = tokens.iter().find(|token| token.kind == Kind::Word && reads(&token.text));
    word.filter(|_| calls).map(|token| token.text.clone())
}

/// Whether a token is inside of `#[...]`.
fn is_in_attribute(tokens: &[Token], i: usize) -> bool {
    let mut depth = 0;
    for j in (0..i).rev() {
        match &*tokens[j].text {
            "]" | ")" | "}" => depth += 1,
            "[" | "(" | "{" if depth > 0 => depth -= 1,
            "[" => {
                let before = |n: usize| j.checked_sub(n).and_then(|k| text(tokens, k));
                return before(1) == Some("#") || before(1) == Some("!") && before(2) == Some("#");
            }
            _ => {}
        }
    }
    false
}

/// What is used here of the crate `root` that must not be: one of `items`, everything, or the crate by another name.
fn used(tokens: &[Token], i: usize, root: &str, items: &[&str]) -> Option<(String, Reason)> {
    if tokens[i].text != root || i > 0 && tokens[i - 1].text == "." {
        return None;
    }
    if !is_path_mark(tokens, i + 1) {
        // `use labrpc;` is harmless. `m!(std, fs)` may become `std::fs`.
        let is_import = i > 0 && tokens[i - 1].text == "use" && text(tokens, i + 1) == Some(";");
        return (!is_import).then(|| (root.to_string(), Reason::Hidden));
    }
    let direct = text(tokens, i + 3)?;
    if items.contains(&direct) {
        return Some((format!("{root}::{direct}"), Reason::Shared));
    }
    if direct == "*" {
        return Some((format!("{root}::*"), Reason::Hidden));
    }
    if direct != "{" {
        return None;
    }
    // `use std::{fs, io::{self, Write}}`: the names behind the brace, and those behind commas.
    let mut depth = 0;
    for j in i + 3..tokens.len() {
        match text(tokens, j)? {
            "{" => depth += 1,
            "}" if depth == 1 => return None,
            "}" => depth -= 1,
            name if depth == 1 => {
                let renames = name == "self" && text(tokens, j + 1) == Some("as");
                let begins = matches!(text(tokens, j - 1), Some("{" | ","));
                if begins && (renames || name == "*") {
                    return Some((format!("{root}::{{{name}"), Reason::Hidden));
                }
                if begins && items.contains(&name) {
                    return Some((format!("{root}::{name}"), Reason::Shared));
                }
            }
            _ => {}
        }
    }
    None
}

/// In a macro: `$a::fs`, where `$a` may be `std`.
fn used_by_variable(tokens: &[Token], i: usize) -> Option<(String, Reason)> {
    let is_variable = i >= 4 && is_path_mark(tokens, i - 2) && tokens[i - 4].text == "$";
    let (root, _) = ITEMS.iter().find(|(_, items)| items.contains(&&*tokens[i].text))?;
    is_variable.then(|| (format!("{root}::{}", tokens[i].text), Reason::Shared))
}

/// `#[path = "other.rs"] mod other;` and `env!("HOME")`.
fn names_a_file(tokens: &[Token], i: usize) -> Option<(String, Reason)> {
    let is_assigned = text(tokens, i + 1) == Some("=") && text(tokens, i + 2) != Some("=");
    let is_path = tokens[i].text == "path"
        && is_assigned
        && match i.checked_sub(1).and_then(|before| text(tokens, before)) {
            Some("[") => true,
            // In `cfg_attr`. What is assigned to an argument of `format!` is seldom a string.
            Some("(" | ",") => is_string(tokens, i + 2) || text(tokens, i + 2) == Some("$"),
            _ => false,
        };
    let is_env =
        tokens[i].text == "env" && text(tokens, i + 1) == Some("!") && text(tokens, i + 2) != Some("=");
    (is_path || is_env).then(|| (tokens[i].text.clone(), Reason::File))
}

fn is_string(tokens: &[Token], i: usize) -> bool {
    tokens.get(i).is_some_and(|token| token.kind == Kind::Literal && token.text.contains('"'))
}

fn text(tokens: &[Token], i: usize) -> Option<&str> {
    tokens.get(i).map(|token| &*token.text)
}

/// Whether `::` stands here.
fn is_path_mark(tokens: &[Token], i: usize) -> bool {
    text(tokens, i) == Some(":") && text(tokens, i + 1) == Some(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a file that has this text in its second line.
    fn wrong(text: &str) -> Option<String> {
        let text = format!("// one\n{text}\n");
        Some(check("client.rs", &text)?.to_string())
    }

    #[track_caller]
    fn is_wrong(text: &str, what: &str) {
        let message = wrong(text).unwrap_or_else(|| panic!("{text} is right"));
        assert!(
            message.starts_with(&format!("client.rs has the word `{what}` in line 2")),
            "{text}: {message}"
        );
    }

    #[track_caller]
    fn is_right(text: &str) {
        assert_eq!(wrong(text), None, "{text}");
    }

    #[test]
    fn unsafe_code_is_found_wherever_it_does_something() {
        is_wrong("#[unsafe(naked)] fn f() {}", "unsafe");
        is_wrong("#[macro_export] macro_rules! m { () => {} }", "macro_export");
        is_wrong("#[r#macro_export] macro_rules! m { () => {} }", "macro_export");
        is_wrong("#[cfg_attr(all(), macro_export)] macro_rules! m { () => {} }", "macro_export");
        is_wrong("fn f() { g(h![unsafe {}]) }", "unsafe");
        is_wrong("/* /* */ */ unsafe fn f() {}", "unsafe");
        is_wrong("const A: &str = \"\"; unsafe fn f() {}", "unsafe");
        // This cannot be split into tokens: comments count.
        is_wrong("' // unsafe", "unsafe");
        is_right("// unsafe");
        is_right("/// This is unsafe.");
        is_right("/* unsafe /* #[macro_export] */ unsafe */");
        is_right("fn f() { let is_unsafe = unsafely(); }");
    }

    #[test]
    fn strings_are_searched_for_what_they_mean_as_code() {
        for text in [
            r#"#[serde(from = "ty!{ unsafe(naked) }")] struct A;"#,
            r#"#[serde(from = "ty!{ \u{75}nsafe(naked) }")] struct A;"#,
            r#"#[serde(from = "ty!{ \x75ns\
                afe { f() } }")] struct A;"#,
            "#[serde(from = r##\"ty!{ unsafe fn f() {} }\"##)] struct A;",
            "m!(\"unsafe impl Sync for A {}\");",
        ] {
            is_wrong(text, "unsafe");
            assert!(wrong(text).unwrap().contains(", in a string. "), "{text}");
        }
        is_wrong(r#"#[serde(from = "ty! { st\u{61}tic STORE: u8 = 0; }")] struct A;"#, "static");
        is_wrong(r#"#[serde(from = "ty! { thread_local! {} }")] struct A;"#, "thread_local");
        is_wrong(r#"#[serde(from = "ty! { std::fs::read() }")] struct A;"#, "std::fs");
        is_right(
            r#"const A: &str = "static, std, unsafe: set_hook"; const C: &str = "unsafe"; const B: &str = r"it is unsafe to commit";"#,
        );
        is_right(r#"dprintf!("static: {}, unsafe, isn't it? ' {{", 1)"#);
        is_right("const A: [char; 2] = ['\\'', '\"']; const B: &[u8] = b\"unsafe\\xff\";");
    }

    #[test]
    fn servers_cannot_meet_without_a_message() {
        is_wrong("static COUNT: AtomicU64 = AtomicU64::new(0);", "static");
        is_wrong("fn f() { m!(static A) }", "static");
        is_wrong("thread_local! { }", "thread_local");
        is_wrong("std::thread_local! { }", "thread_local");
        is_wrong("std::panic::set_hook(f);", "set_hook");
        is_wrong("log::set_boxed_logger(f);", "set_boxed_logger");
        is_wrong("std::fs::write(a, b);", "std::fs");
        is_wrong("use ::std::net::TcpStream;", "std::net");
        is_wrong("use std::{sync::Arc, process as p};", "std::process");
        is_wrong("use std::{fs::{self, File}, io};", "std::fs");
        is_wrong("use labrpc::{go, running};", "labrpc::running");
        is_wrong("labrpc::thread_census();", "labrpc::thread_census");
        is_wrong("use labrpc::{Observer, set_observer};", "labrpc::set_observer");
        is_wrong("labrpc::limit_threads(3);", "labrpc::limit_threads");
        is_wrong("labrpc::shortage();", "labrpc::shortage");
        is_right("fn f(a: &'static str) -> impl Fn() + 'static { g::<'static>() }");
        is_right(
            "struct Net { net: u8, fs: u8, process: u8 } impl Net { fn env() { Self::process(); self.fs } }",
        );
        is_right("use std::{collections::HashMap, sync::atomic::{self, AtomicU64}, time::Duration};");
        is_right("use labrpc::{self, ClientEnd}; use labrpc; let running = labrpc::go(a, b);");
        is_right("a.std.fs(); core::mem::take(a)");
    }

    #[test]
    fn nothing_else_is_read_while_it_is_compiled() {
        is_wrong("const A: &str = include_str!(\"/etc/shadow\");", "include_str");
        is_wrong("m!(include_bytes);", "include_bytes");
        is_wrong("core::include!(\"/etc/passwd\");", "include");
        is_wrong("#[path = \"/etc/passwd\"] mod a;", "path");
        is_wrong("#[cfg_attr(all(), path = \"/etc/passwd\")] mod a;", "path");
        is_wrong("const A: &str = env!(\"HOME\");", "env");
        is_wrong("const A: Option<&str> = option_env!(\"HOME\");", "option_env");
        is_wrong("#[serde(from = \"ty! { include_str!(0) }\")] struct A;", "include_str");
        is_wrong(r##"#[serde(from = r#"ty! { #[path = "/etc/passwd"] mod a; }"#)] struct A;"##, "path");
        is_right(
            "let path = 1; f(path, path == 2); let included = env != path; g(\"(path = 1), include (all)\");",
        );
        is_wrong("#[serde(from = \"ty! { include_str }\")] struct A;", "include_str");
        is_wrong("#[cfg_attr(all(), serde(default, from = \"ty! { a, env }\"))] struct A;", "env");
        is_right("#[serde(rename = \"env\")] struct A; dprintf!(\"look! (at the env)\");");
        is_right("format!(\"{path}\", path = name);");
        is_right("if [path == 1] && (path == 2) { }");
    }

    /// What is wrong with the module `server` of a crate that expands to this.
    fn wrong_once_expanded(expanded: &str) -> Option<String> {
        let module = format!(
            "mod common {{ static A: u8 = 0; }}\npub mod server {{ {expanded} }}\nfn f() {{ unsafe {{}} }}"
        );
        Some(check_expanded("server.rs", &module).unwrap()?.to_string())
    }

    #[test]
    fn what_macros_put_together_is_found_once_they_are_expanded() {
        // Each comes from a source in which no rule is broken.
        for source in [
            "macro_rules! m { ($a:ident) => { std::$a::id() } } fn f() { m!(process); }",
            "macro_rules! ty { ($a:tt) => { [u8; { $a A: u8 = 0; 0 }] } } #[serde(from = \"ty! { static }\")] struct A;",
            "macro_rules! ty { ($a:tt) => { [u8; { #[$a(naked)] fn f() {} 0 }] } } #[serde(from = \"ty! { unsafe }\")] struct A;",
        ] {
            is_right(source);
        }
        for (expanded, what) in [
            (
                "fn f() { std::process::id(); }",
                "`std::process` once its macros are expanded: `std::process::id ( ...`",
            ),
            ("fn g() -> [u8; { static A: u8 = 0; 0 }] {}", "`static` once"),
            ("fn f() { #[unsafe(naked)] fn g() {} }", "`unsafe` once"),
            ("#[macro_export] macro_rules! m { () => {} }", "`macro_export` once"),
        ] {
            let message = wrong_once_expanded(expanded).unwrap_or_else(|| panic!("{expanded} is right"));
            assert!(message.starts_with(&format!("server.rs has the word {what}")), "{message}");
        }
    }

    #[test]
    fn what_macros_of_the_libraries_expand_to_is_right() {
        for expanded in [
            "#[automatically_derived] unsafe impl ::core::clone::TrivialClone for A { }",
            "fn f() { unsafe { ::std::mem::transmute(_oper) } unsafe fn unbind<'a, T>(x: &T) -> &'a T { x } }",
            "const FIELDS: &'static [&'static str] = &[\"static A: u8\", \"unsafe {}\"]; fn f() { ::std::io::_print(a); }",
        ] {
            assert_eq!(wrong_once_expanded(expanded), None, "{expanded}");
        }
    }

    #[test]
    fn expanded_code_without_the_module_is_not_taken_for_right() {
        assert_eq!(check_expanded("server.rs", "mod common { }"), Err(NotSearched));
        assert_eq!(check_expanded("server.rs", "mod server { ' }"), Err(NotSearched));
        assert_eq!(check_expanded("server.rs", "mod server;"), Err(NotSearched));
    }

    #[test]
    fn what_is_used_has_its_own_name() {
        is_wrong("use std as s;", "std");
        is_wrong("use std::*;", "std::*");
        is_wrong("use std::{self as s};", "std::{self");
        is_wrong("use labrpc::{*};", "labrpc::{*");
        is_wrong("m!(std, fs)", "std");
        is_wrong("macro_rules! m { ($a:ident) => { $a::fs::read() } }", "std::fs");
    }
}
