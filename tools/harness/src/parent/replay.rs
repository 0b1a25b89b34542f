//! The commands that replay a simulation.

use crate::environment::{SEED, STRATEGY, variable};

/// The command that a person types to run one seed of one test again, by the uniform strategy.
pub fn replay(package: &str, test_binary: &str, test: &str, seed: u64) -> String {
    format!("LAB_SIM=1 {SEED}={seed} cargo test -p {package} --test {test_binary} -- --exact {test}")
}

/// The package whose test program this is. None: cargo has not started it.
pub(super) fn package() -> Option<String> {
    variable("CARGO_PKG_NAME")
}

/// The command that a person types to run one seed of one test of this program again.
pub(super) fn command(strategy: sim::Strategy, test: &str, seed: u64) -> String {
    let mut words = vec!["LAB_SIM=1".to_string(), format!("{SEED}={seed}")];
    let by_name =
        sim::Strategy::ALL.iter().find(|(_, one)| *one == strategy && strategy != sim::Strategy::default());
    words.extend(by_name.map(|(name, _)| format!("{STRATEGY}={name}")));
    if sim::is_instrumented() {
        // The program must be built as this one was.
        let build = ["RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"];
        words.extend(build.iter().filter_map(|name| Some(format!("{name}={}", quoted(&variable(name)?)))));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let file = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo sets CARGO_PKG_NAME for the tests that it runs, and names the file after the test binary and a hash.
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match (package(), file.rsplit_once('-').filter(|(_, hash)| is_hash(hash))) {
        (Some(package), Some((binary, _))) => {
            words.push(format!("cargo test -p {package} --test {binary} --"));
        }
        _ => words.push(quoted(&program.display().to_string())),
    }
    words.push(format!("--exact {test}"));
    words.join(" ")
}

/// A text as one word of a shell's command line.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if text.chars().all(is_plain) { text.to_string() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_a_quoted_text_as_one_word() {
        assert_eq!(quoted("/home/me/lab/target"), "/home/me/lab/target");
        assert_eq!(quoted("/a b"), "'/a b'");
        for text in ["/a b/c", "it's", "$HOME `x` \"y\" \\ * ~ # ; é", "''"] {
            let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(text))).output();
            assert_eq!(String::from_utf8_lossy(&output.unwrap().stdout), text);
        }
    }
}
