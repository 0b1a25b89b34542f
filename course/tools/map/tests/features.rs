//! The tests of the lab use each library with the same features as the whole workspace.
//!
//! Otherwise cargo builds such a library twice, and all crates that use it: once for `make lab3a`, and once more for `make test`
//! or `make grade`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The features of each library, as "serde v1.0.229" -> "alloc,derive,std".
type Features = BTreeMap<String, BTreeSet<String>>;

/// The features of the libraries that the packages use, tests and build scripts included. Procedural macros are left out:
/// cargo chooses their features apart.
fn features(packages: &[&str]) -> Features {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build,dev,no-proc-macro"])
        .args(["--no-dedupe", "--prefix", "none", "--format", "{p}|{f}"])
        .args(packages)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let mut features = Features::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()) {
        let (library, names) = line.split_once('|').expect("the format has a bar");
        features.entry(library.to_string()).or_default().insert(names.trim_end_matches(" (*)").to_string());
    }
    features
}

#[test]
fn each_library_has_one_set_of_features() {
    let all = features(&["--workspace"]);
    let mut differ = BTreeSet::new();
    for package in ["raft", "kvraft", "harness", "hunt", "grade", "logview", "rules"] {
        for (library, here) in features(&["--package", package]) {
            let everywhere = &all[&library];
            if here != *everywhere {
                differ.insert(format!("{library}: {here:?} for {package}, {everywhere:?} for the workspace"));
            }
        }
    }
    assert!(
        differ.is_empty(),
        "cargo builds these libraries more than once. Name all their features in the main Cargo.toml:\n  {}",
        differ.into_iter().collect::<Vec<_>>().join("\n  ")
    );
}
