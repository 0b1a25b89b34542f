//! The commands that replay a simulation.

use crate::environment::{SEED, STRATEGY, variable};

/// The command that a person types to run one seed of one test again, by the uniform strategy.
pub fn replay(package: &str, test_binary: &str, test: &str, seed: u64) -> String {
    format!("LAB_SIM=1 {SEED}={seed} cargo test -p {package} --test {test_binary} -- --exact {test}")
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
        words.extend(build.iter().filter_map(|name| Some(format!("{name}={}", variable(name)?))));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let file = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo sets CARGO_PKG_NAME for the tests that it runs, and names the file after the test binary and a hash.
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match (variable("CARGO_PKG_NAME"), file.rsplit_once('-').filter(|(_, hash)| is_hash(hash))) {
        (Some(package), Some((binary, _))) => {
            words.push(format!("cargo test -p {package} --test {binary} --"));
        }
        _ => words.push(program.display().to_string()),
    }
    words.push(format!("--exact {test}"));
    words.join(" ")
}
