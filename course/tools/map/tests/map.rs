//! docs/go-to-rust.md is true: it has every name of the Go lab and each of ours, and each name in it exists.

use map::{Names, Page, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/go-to-rust.md";
/// The names that the reference solution has and the starter has not.
const SOLUTION_PAGE: &str = "course/docs/go-to-rust.md";
const GO_NAMES: &str = include_str!("../go-names.txt");
const CRATES: [&str; 5] = ["labgob", "labrpc", "raft", "kvraft", "linearizability"];

/// The places of the files that a student writes. Students get the starter's files of the same names.
const STUDENT_FILES: &str = include_str!("../../../../tools/handin/files");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).expect("it is in course/tools/map").to_path_buf()
}

fn page() -> Page {
    read(PAGE)
}

fn read(page: &str) -> Page {
    let text = std::fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
    Page::parse(&text)
}

/// The workspace's names. The four files are read from the starter, or from the reference solution.
fn names(of_starter: bool) -> Names {
    let root = root();
    let mut names = Names::default();
    // The map also names items of the harness.
    for folder in CRATES.into_iter().chain(["tools/harness"]) {
        let instead = |path: &Path| {
            let is_students = STUDENT_FILES.lines().any(|place| Path::new(place) == path);
            let name = path.file_name()?;
            (of_starter && is_students).then(|| root.join("course/starter").join(name))
        };
        let mut of_crate = Names::of_crate(&root, folder, instead).unwrap_or_else(|e| panic!("{e}"));
        names.all.append(&mut of_crate.all);
        if CRATES.contains(&folder) {
            names.public.append(&mut of_crate.public);
            names.tests.append(&mut of_crate.tests);
        }
    }
    names
}

/// Fails with all errors, each on a line.
#[track_caller]
fn assert_none(errors: Vec<String>) {
    assert!(errors.is_empty(), "{PAGE}:\n  {}", errors.join("\n  "));
}

#[test]
fn the_tables_have_their_form() {
    assert_none(read(SOLUTION_PAGE).errors);
    let page = page();
    assert_none(page.errors);
    assert!(page.rows.len() > 100, "{PAGE} has only {} rows", page.rows.len());
}

#[test]
fn no_go_name_is_missing_or_made_up() {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut file = "";
    for line in GO_NAMES.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(name) = line.strip_prefix("  ") {
            wanted.get_mut(file).expect("a file comes first").insert(name.to_string());
        } else {
            file = line;
            wanted.entry(file.to_string()).or_default();
        }
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut errors = Vec::new();
    for row in page().rows {
        let is_known = wanted.get(&row.go_file);
        for name in row.go {
            if is_known.is_none_or(|names| !names.contains(&name)) {
                errors.push(format!(
                    "line {}: `{name}` is no name of {} in course/tools/map/go-names.txt",
                    row.line, row.go_file
                ));
            }
            if !found.entry(row.go_file.clone()).or_default().insert(name.clone()) {
                errors.push(format!("line {}: `{name}` of {} has two rows", row.line, row.go_file));
            }
        }
    }
    for (file, names) in &wanted {
        for name in names.iter().filter(|name| found.get(file).is_none_or(|found| !found.contains(*name))) {
            errors.push(format!("`{name}` of Go's {file} is missing: add a row for it under \"### {file}\""));
        }
    }
    assert_none(errors);
}

#[test]
fn each_rust_name_exists() {
    let (starter, solution) = (names(true), names(false));
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("it is there");
    let mut errors = Vec::new();
    let rows = page().rows.into_iter().map(|row| (row, &starter));
    for (row, names) in rows.chain(read(SOLUTION_PAGE).rows.into_iter().map(|row| (row, &solution))) {
        if row.go_file == "commands" {
            for target in row.rust.iter().filter_map(|command| command.strip_prefix("make ")) {
                if !makefile.contains(&format!("\n{target}:")) {
                    errors.push(format!("line {}: the Makefile has no target {target}", row.line));
                }
            }
            continue;
        }
        let all = &names.all;
        for file in row.files.iter().filter(|file| !all.contains_key(Path::new(file))) {
            errors.push(format!("line {}: there is no file {file}", row.line));
        }
        for name in &row.rust {
            let mut files = row.files.iter().filter_map(|file| all.get(Path::new(file)));
            if !files.any(|names| names.contains(name)) {
                errors.push(format!("line {}: `{name}` is not in {}", row.line, row.files.join(" or ")));
            }
        }
    }
    assert_none(errors);
}

#[test]
fn no_rust_name_is_missing() {
    let (starter, solution) = (names(true), names(false));
    let (rows, solution_rows) = (page().rows, read(SOLUTION_PAGE).rows);
    let has_row = |file: &Path, name: &String, students: bool| {
        let others = if students { &[][..] } else { &solution_rows[..] };
        let is_of = |row: &Row| row.rust.contains(name) && row.files.iter().any(|f| Path::new(f) == file);
        rows.iter().chain(others).any(is_of)
    };
    let mut errors = BTreeSet::new();
    let mut want = |names: &BTreeMap<PathBuf, BTreeSet<String>>, what: &str, students: bool| {
        for (file, name) in names.iter().flat_map(|(file, names)| names.iter().map(move |name| (file, name)))
        {
            if !has_row(file, name, students) {
                let file = file.display();
                errors.insert(format!(
                    "`{name}` of {file} is missing, {what}: add | — | `{name}` | `{file}` | what it is | to the \
                     table of the Go file it belongs to"
                ));
            }
        }
    };
    want(&starter.public, "a public item", true);
    want(&solution.public, "a public item", false);
    want(&solution.tests, "a test", false);
    assert_none(errors.into_iter().collect());
}

/// The tests that the harness runs are in lists, where no editor looks for them, nor the harness for those of other
/// programs. The attribute tells them.
#[test]
fn each_test_in_a_list_has_the_attribute() {
    let mut errors = Vec::new();
    for file in ["labrpc/tests/test_test.rs", "raft/tests/test_test.rs", "kvraft/tests/test_test.rs"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let is_listed = |name: &str| text.contains(&format!("\"{name}\","));
        let mut before = "";
        let mut listed = 0;
        for line in text.lines() {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let Some(name) = name.filter(|name| is_listed(name)) {
                listed += 1;
                if before != "#[cfg_attr(rust_analyzer, test)]" {
                    errors.push(format!("{file}: put #[cfg_attr(rust_analyzer, test)] before fn {name}"));
                }
            }
            before = line;
        }
        assert!(listed > 9, "{file}: {listed} tests are listed");
    }
    assert_none(errors);
}

#[test]
fn the_parser_sees_what_users_see() {
    let names = names(false);
    let sees = |file: &str, name: &str| names.public[Path::new(file)].contains(name);
    assert!(sees("raft/src/raft.rs", "Raft::start"), "a method of a re-exported type");
    assert!(sees("raft/src/raft.rs", "ApplyMsg::command_valid"), "a public field");
    assert!(!sees("raft/src/raft.rs", "Raft::persist"), "a private method");
    assert!(!sees("raft/src/raft.rs", "RequestVoteArgs"), "what only the crate sees");
    assert!(sees("raft/src/util.rs", "dprintf!"), "a macro");
    assert!(sees("labgob/src/lib.rs", "encode"), "a function of lib.rs");
    assert!(sees("labgob/src/error.rs", "ErrorKind::Io"), "a variant");
    assert!(sees("linearizability/src/model.rs", "Model::step"), "a trait's method");
    assert!(sees("labrpc/src/service.rs", "Service::method"), "a generic method");
    assert!(names.tests[Path::new("raft/tests/test_test.rs")].contains("test_backup_2b"), "a test");
}
