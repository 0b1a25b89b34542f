//! What else cargo runs with the same filters.
//!
//! cargo passes the filters to every test program that it starts. In most of them a filter may well match nothing:
//! `cargo test test_basic_3a` starts twenty programs, of which one has this test. But if none of them has it, the filter is
//! a mistake, and somebody must say so.

use super::names;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The test functions that cargo's other programs may have.
pub(super) struct Elsewhere {
    /// The folder of the package whose test program this is.
    package: PathBuf,
    /// The folder of the workspace.
    workspace: PathBuf,
    /// Whether cargo tests other packages too.
    is_one_of_many: bool,
}

impl Elsewhere {
    /// None: cargo has not started this program.
    pub(super) fn find() -> Option<Elsewhere> {
        let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
        let workspace = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file())?.to_path_buf();
        let folder = std::env::var_os("PWD").map(PathBuf::from);
        let is_in_a_package = folder.is_some_and(|folder| {
            folder.starts_with(&workspace)
                && folder
                    .ancestors()
                    .take_while(|above| **above != *workspace)
                    .any(|above| above.join("Cargo.toml").is_file())
        });
        // Where cargo cannot be asked, it may be testing many packages.
        let is_one_of_many = parents_words().is_none_or(|words| names_many_packages(&words, is_in_a_package));
        Some(Elsewhere { package, workspace, is_one_of_many })
    }

    /// Whether cargo may have started another program that has a test that matches.
    pub(super) fn has(&self, filter: &str, exact: bool) -> bool {
        let folder = if self.is_one_of_many { &self.workspace } else { &self.package };
        test_functions(folder).iter().any(|test| test.is_matched(filter, exact))
    }

    /// A package of the workspace that has a test that matches, and its name.
    pub(super) fn package_with(&self, filter: &str, exact: bool) -> Option<(String, String)> {
        test_functions(&self.workspace).into_iter().find(|test| test.is_matched(filter, exact)).and_then(
            |test| {
                let folder = test.file.ancestors().find(|folder| folder.join("Cargo.toml").is_file())?;
                Some((folder.file_name()?.to_string_lossy().into_owned(), test.name))
            },
        )
    }
}

/// The words of the command that has started this process, if it is cargo's.
fn parents_words() -> Option<Vec<String>> {
    let parent = std::os::unix::process::parent_id();
    let words: Vec<String> = match std::fs::read(format!("/proc/{parent}/cmdline")) {
        Ok(line) => {
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        }
        // Not Linux.
        Err(_) => {
            let output = Command::new("ps").args(["-o", "args=", "-p", &parent.to_string()]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_string).collect()
        }
    };
    let is_cargo = Path::new(words.first()?).file_name()?.to_string_lossy().starts_with("cargo");
    is_cargo.then_some(words)
}

/// Whether a `cargo test` with these words tests more than one package.
fn names_many_packages(words: &[String], is_in_a_package: bool) -> bool {
    let options = words.iter().map(String::as_str).take_while(|word| *word != "--");
    let is_short = |word: &str| word.starts_with("-p") && !word.starts_with("--");
    let named = options.clone().filter(|word| is_short(word) || word.starts_with("--package")).count();
    let are_all = options.clone().any(|word| ["--workspace", "--all"].contains(&word));
    are_all || named > 1 || (named == 0 && !is_in_a_package)
}

/// A function that is a test, in a source file.
struct TestFunction {
    file: PathBuf,
    name: String,
}

impl TestFunction {
    /// Whether the filter matches its name as libtest knows it. The name of a test in `src/` begins with its module's, and
    /// that of a documentation's example with its file's.
    fn is_matched(&self, filter: &str, exact: bool) -> bool {
        let path = self.file.with_extension("").to_string_lossy().replace('/', "::");
        let full = format!("{path}::tests::{}", self.name);
        let file = self.file.to_string_lossy();
        let by_path = full.ends_with(&format!("::{filter}"))
            || (!exact && filter.contains("::") && full.contains(filter));
        by_path
            || (!exact && filter.contains(".rs") && file.contains(filter))
            || !names::matching(filter, exact, &[&self.name]).is_empty()
    }
}

/// The test functions in a folder and below. What cannot be read has none.
fn test_functions(folder: &Path) -> Vec<TestFunction> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(test_functions(&path));
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let names = names_of_tests(&text);
            found.extend(names.map(|name| TestFunction { file: path.clone(), name: name.to_string() }));
        }
    }
    found
}

/// The names of the functions that have the attribute of a test.
fn names_of_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_next = false;
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with("#[") {
            is_next |= line == "#[test]" || line == "#[cfg_attr(rust_analyzer, test)]";
            return None;
        }
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        name.filter(|_| std::mem::take(&mut is_next))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_one_package_or_many() {
        for (command, is_in_a_package, many) in [
            ("cargo test -p kvraft 3A", false, false),
            ("cargo test --package=kvraft --test test_test", false, false),
            ("cargo test -p raft -p kvraft basic", false, true),
            ("cargo test --workspace basic", true, true),
            ("cargo test basic", false, true),
            ("cargo test basic", true, false),
            ("cargo test -praft -- -p --workspace", false, false),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_string).collect();
            assert_eq!(names_many_packages(&words, is_in_a_package), many, "{command}");
        }
    }

    #[test]
    fn tests_are_found_in_a_text() {
        let text = "#[test]\nfn one() {}\n\nfn two() {}\n  #[test]\n  #[ignore]\n  fn three() {}\n\
                    #[cfg_attr(rust_analyzer, test)]\nfn four() {}";
        assert_eq!(names_of_tests(text).collect::<Vec<_>>(), ["one", "three", "four"]);
    }

    #[test]
    fn a_test_is_matched_by_its_name_or_by_its_modules_or_files() {
        let test = TestFunction { file: "/lab/labgob/src/limit.rs".into(), name: "deep".into() };
        for filter in ["deep", "Deep", "limit::tests", "tests::deep", "src/limit.rs"] {
            assert!(test.is_matched(filter, false), "{filter}");
        }
        assert!(test.is_matched("limit::tests::deep", true));
        assert!(!test.is_matched("limit::other", false) && !test.is_matched("ee", true));
    }
}
