//! Checks that the table in docs/variables.md lists the same variables as the code.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::path::Path;

#[test]
fn the_docs_list_the_variables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/variables.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let rows: Vec<[&str; 4]> = (docs.lines())
        .filter_map(|line| {
            line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ").collect::<Vec<_>>().try_into().ok()
        })
        .collect();
    let rows: Vec<[&str; 3]> = rows
        .into_iter()
        .map(|[name, _, values, default]| [name.trim_end_matches('`'), values, default])
        .collect();
    let code: Vec<[&str; 3]> = (harness::VARIABLES.iter())
        .map(|variable| [variable.name, variable.values, variable.default])
        .collect();
    assert_eq!(rows, code);
}
