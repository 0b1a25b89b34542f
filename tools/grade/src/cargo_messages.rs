//! Reads what cargo says in JSON (`--message-format json`).

use crate::foreign::shortened;
use cargo_metadata::Message;
use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel};
use std::path::PathBuf;

/// How many errors of a build are shown, and how many bytes of them.
const SHOWN_ERRORS: usize = 3;
const SHOWN_BYTES: usize = 6000;

/// Cargo's messages in a text. Other lines are ignored.
fn messages(text: &str) -> impl Iterator<Item = Message> {
    Message::parse_stream(text.as_bytes()).filter_map(Result::ok)
}

/// The program of the test target with this name.
pub fn test_binary(text: &str, target: &str) -> Option<PathBuf> {
    let built = messages(text).filter_map(|message| match message {
        Message::CompilerArtifact(artifact) if artifact.target.name == target => artifact.executable,
        _ => None,
    });
    built.last().map(PathBuf::from)
}

/// The compiler's first errors, the very first one in one line; if there are none, `cargo`, which is what cargo printed for
/// people.
pub fn shown_errors(text: &str, cargo: &str) -> String {
    let errors: Vec<Diagnostic> = messages(text)
        .filter_map(|message| match message {
            Message::CompilerMessage(said) if said.message.level == DiagnosticLevel::Error => {
                Some(said.message)
            }
            _ => None,
        })
        .filter(|error| !error.message.starts_with("aborting"))
        .collect();
    let Some(first) = errors.first() else {
        return format!("It does not compile:\n{}", shortened(cargo, SHOWN_BYTES));
    };
    let shown: String =
        errors.iter().take(SHOWN_ERRORS).filter_map(|error| error.rendered.as_deref()).collect();
    let count = match errors.len() {
        1 => String::new(),
        n => format!(" (the first of {n} errors)"),
    };
    format!("It does not compile: {}{count}\n{}", in_one_line(first), shortened(&shown, SHOWN_BYTES))
}

/// What is wrong, and where: "raft/src/raft.rs, line 12: mismatched types".
fn in_one_line(error: &Diagnostic) -> String {
    let message = error.message.lines().next().unwrap_or_default();
    match error.spans.iter().find(|span| span.is_primary) {
        Some(span) => format!("{}, line {}: {message}", span.file_name, span.line_start),
        None => message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn target(name: &str) -> Value {
        json!({
            "name": name, "kind": ["test"], "crate_types": ["bin"], "src_path": "/t/x.rs", "edition": "2024",
            "doc": false, "doctest": false, "test": true,
        })
    }

    /// `told` stands in line 7 of raft.rs.
    fn compiler_says(level: &str, told: &str) -> String {
        let span = json!({
            "file_name": "raft/src/raft.rs", "byte_start": 0, "byte_end": 1, "line_start": 7, "line_end": 7,
            "column_start": 1, "column_end": 2, "is_primary": true, "text": [], "label": null,
            "suggested_replacement": null, "suggestion_applicability": null, "expansion": null,
        });
        let message = json!({
            "reason": "compiler-message", "package_id": "raft", "target": target("raft"),
            "message": {
                "message": told, "code": null, "level": level, "spans": [span], "children": [],
                "rendered": format!("{level}: {told}\n"),
            },
        });
        format!("{message}\n")
    }

    fn cargo_has_built(name: &str, executable: Value) -> String {
        let message = json!({
            "reason": "compiler-artifact", "package_id": "kvraft", "manifest_path": "/t/Cargo.toml",
            "target": target(name), "features": [], "filenames": [], "executable": executable, "fresh": false,
            "profile": {
                "opt_level": "1", "debuginfo": 0, "debug_assertions": true, "overflow_checks": true, "test": true,
            },
        });
        format!("{message}\n")
    }

    #[test]
    fn the_first_errors_are_shown_and_warnings_are_not() {
        let mut text = compiler_says("warning", "unused");
        (0..5).for_each(|i| text += &compiler_says("error", &format!("number {i}\nmore")));
        text += &compiler_says("error", "aborting due to 5 previous errors");
        let shown = shown_errors(&text, "");
        let first = "It does not compile: raft/src/raft.rs, line 7: number 0 (the first of 5 errors)\n";
        assert!(shown.starts_with(first), "{shown}");
        assert!(shown.contains("error: number 0\n") && shown.contains("error: number 2\n"), "{shown}");
        assert!(!shown.contains("number 3") && !shown.contains("unused"), "{shown}");
        let one = shown_errors(&compiler_says("error", "wrong"), "");
        assert!(one.starts_with("It does not compile: raft/src/raft.rs, line 7: wrong\n"), "{one}");
        assert!(shown_errors("", "error: linker `cc` not found").contains("linker"));
    }

    #[test]
    fn the_test_binary_is_the_one_that_cargo_names() {
        let text = cargo_has_built("kvraft", Value::Null)
            + "not JSON\n{\"not\": \"a message\"}\n"
            + &cargo_has_built("test_test", "/t/test_test-1".into())
            + &cargo_has_built("hunt", "/t/hunt-1".into());
        assert_eq!(test_binary(&text, "test_test"), Some("/t/test_test-1".into()));
        assert_eq!(test_binary(&text, "hunt"), Some("/t/hunt-1".into()));
        assert_eq!(test_binary(&cargo_has_built("kvraft", "/t/x".into()), "test_test"), None);
    }
}
