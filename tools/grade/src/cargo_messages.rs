//! Reads what cargo says in JSON (`--message-format json`).

use crate::foreign::shortened;
use cargo_metadata::Message;
use cargo_metadata::diagnostic::DiagnosticLevel;
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

/// The compiler's first errors; if there are none, `cargo`, which is what cargo printed for people.
pub fn shown_errors(text: &str, cargo: &str) -> String {
    let errors: Vec<String> = messages(text)
        .filter_map(|message| match message {
            Message::CompilerMessage(said) if said.message.level == DiagnosticLevel::Error => {
                said.message.rendered
            }
            _ => None,
        })
        .filter(|error| !error.starts_with("error: aborting"))
        .collect();
    if errors.is_empty() {
        return format!("It does not compile:\n{}", shortened(cargo, SHOWN_BYTES));
    }
    let shown = errors[..errors.len().min(SHOWN_ERRORS)].concat();
    let count = match errors.len() {
        1 => "1 error".to_string(),
        n if n <= SHOWN_ERRORS => format!("{n} errors"),
        n => format!("{n} errors, of which these are the first"),
    };
    format!("It does not compile: {count}\n{}", shortened(&shown, SHOWN_BYTES))
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

    fn compiler_says(level: &str, rendered: &str) -> String {
        let message = json!({
            "reason": "compiler-message", "package_id": "raft", "target": target("raft"),
            "message": {
                "message": "it", "code": null, "level": level, "spans": [], "children": [], "rendered": rendered,
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
        let mut text = compiler_says("warning", "warning: unused\n");
        (0..5).for_each(|i| text += &compiler_says("error", &format!("error: number {i}\n")));
        text += &compiler_says("error", "error: aborting due to 5 previous errors\n");
        let shown = shown_errors(&text, "");
        assert!(shown.starts_with("It does not compile: 5 errors, of which"), "{shown}");
        assert!(shown.contains("number 0") && shown.contains("number 2"), "{shown}");
        assert!(!shown.contains("number 3") && !shown.contains("unused"), "{shown}");
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
