//! What `compare` prints, and its messages when something is wrong. The `go` and the `cargo` of these tests are scripts.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; these are their helper functions")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a lab, and with scripts in place of Go's programs and ours.
struct Scene {
    root: PathBuf,
}

const GO_BUILDS: &str = r#"case $1 in
  version) echo "go version go1.2.3 pretended/none" ;;
  test)
    echo "$GO111MODULE $GOPATH $*" >>"$ROOT/go-calls"
    while [ "$1" != -o ]; do shift; done
    cp "$ROOT/go-test" "$2"; chmod +x "$2" ;;
esac"#;

/// What cargo prints when it has built a program, in short.
const CARGO_MESSAGES: &str = concat!(
    r#"{"reason":"compiler-artifact","package_id":"kvraft 0.1.0","manifest_path":"Cargo.toml","#,
    r#""target":{"name":"test_test","kind":["test"],"crate_types":["bin"],"src_path":"test_test.rs"},"#,
    r#""profile":{"opt_level":"1","debug_assertions":true,"overflow_checks":true,"test":true},"#,
    r#""features":[],"filenames":[],"executable":"ROOT/our-test","fresh":true}"#,
    "\n",
    r#"{"reason":"build-finished","success":true}"#
);

const PASSES: &str =
    r#"echo "Test: one client (3A) ..."; echo "  ... Passed --  15.0  5  4000  100"; echo PASS"#;

impl Scene {
    /// Makes a scene in which everything works.
    fn new(name: &str) -> Scene {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        let scene = Scene { root };
        for file in ["labrpc/labrpc.go", "raft/config.go", "kvraft/test_test.go"] {
            scene.write(&format!("lab/src/{file}"), "package raftkv\n");
        }
        scene.script("bin/go", GO_BUILDS);
        scene.script("go-test", PASSES);
        scene.script("our-test", r#"echo "  ... Passed --  15.0  5  8000  400""#);
        scene.script("cargo", &format!("sed \"s,ROOT,$ROOT,\" <<'END'\n{CARGO_MESSAGES}\nEND"));
        scene
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes an executable script. Another process writes it: a file cannot be executed while this process, or a child
    /// that another test has just forked, has it open for writing.
    fn script(&self, name: &str, text: &str) {
        self.write(&format!("{name}.text"), &format!("#!/bin/sh\n{text}\n"));
        let file = self.root.join(name);
        let copy = r#"cat "$0.text" >"$0.new" && chmod +x "$0.new" && mv "$0.new" "$0""#;
        assert!(Command::new("sh").arg("-c").arg(copy).arg(file).status().unwrap().success());
    }

    fn compare(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_compare"))
            .arg(self.root.join("lab"))
            .args(args)
            .arg("--work")
            .arg(self.root.join("work"))
            .env("ROOT", &self.root)
            .env("CARGO", self.root.join("cargo"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.root.join("bin").display()))
            .output()
            .unwrap()
    }

    /// Compares test 1, which must fail with this message.
    #[track_caller]
    fn fails(&self, args: &[&str], message: &str) {
        let output = self.compare(&[&["--only", "Basic"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "it succeeded: {said}");
        assert!(said.contains(message), "it printed: {said}");
    }
}

#[test]
fn three_lines_for_a_test() {
    let output = Scene::new("text").compare(&["--only", "Basic"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("go1.2.3 pretended/none; ours: cargo's dev profile"), "{printed}");
    let lines: Vec<Vec<&str>> =
        printed.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
    // Time and memory, in the other columns, are those of real processes.
    assert_eq!(lines[1][..6], ["TestBasic3A", "Go", "15", "5", "4000", "100"]);
    assert_eq!(lines[2][..6], ["TestBasic3A", "ours", "15", "5", "8000", "400"]);
    assert_eq!(lines[3][..6], ["TestBasic3A", "ratio", "1", "1", "2", "4"]);
    assert_eq!([lines[1][8], lines[2][8], lines[3][8]], ["6.67", "26.67", "4"], "operations/s");
    assert_eq!([lines[1][9], lines[2][9], lines[3][9]], ["40", "20", "0.500"], "RPCs/operation");
}

#[test]
fn csv_and_markdown() {
    let scene = Scene::new("formats");
    let printed = |args| String::from_utf8(scene.compare(args).stdout).unwrap();
    let csv = printed(&["--only", "Basic", "--csv"]);
    assert!(csv.starts_with("title,side,seconds,peers,RPCs,"), "{csv}");
    assert!(csv.lines().all(|line| line.split(',').count() == 11), "{csv}");
    let markdown = printed(&["--only", "Basic", "--markdown"]);
    assert!(markdown.contains("\n| title | side | seconds |"), "{markdown}");
    assert!(markdown.contains("| TestBasic3A | ratio | 1 | 1 | 2 | 4 |"), "{markdown}");
}

#[test]
fn what_go_tests_in_one_function_is_added_up() {
    let scene = Scene::new("sum");
    let passed = r#"echo "  ... Passed --  1.0  5  10  2""#;
    scene.script("go-test", &[passed; 3].join("\n"));
    scene.script("our-test", passed);
    let csv = String::from_utf8(scene.compare(&["--only", "OnePartition", "--csv"]).stdout).unwrap();
    assert!(csv.contains("TestOnePartition3A,Go,3,5,30,6,"), "{csv}");
    assert!(csv.contains("TestOnePartition3A,ours,3,5,30,6,"), "{csv}");
}

#[test]
fn progress_is_shown_while_it_runs() {
    let output = Scene::new("progress").compare(&["--only", "3A"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("[1/13] TestBasic3A: Go ... 15.0 s, 100 operations, ours ... 15.0 s"), "{said}");
    assert!(said.contains("[2/13] TestConcurrent3A: ours ... 15.0 s, 400 operations, Go ... "), "{said}");
}

#[test]
fn later_years_print_the_bytes_too() {
    let scene = Scene::new("bytes");
    scene.script("go-test", r#"echo "  ... Passed --   3.1  3   58   16234    7""#);
    let csv =
        String::from_utf8(scene.compare(&["--part", "2a", "--only", "Initial", "--csv"]).stdout).unwrap();
    assert!(csv.contains("TestInitialElection2A,Go,3.10,3,58,7,"), "{csv}");
}

#[test]
fn gopath_and_modules() {
    let scene = Scene::new("layouts");
    let calls = || fs::read_to_string(scene.root.join("go-calls")).unwrap();
    scene.compare(&["--only", "Basic"]);
    assert!(
        calls().starts_with(&format!("off {}", scene.root.join("lab").canonicalize().unwrap().display()))
    );
    fs::remove_file(scene.root.join("go-calls")).unwrap();
    scene.write("lab/src/go.mod", "module 6.824\n");
    scene.compare(&["--only", "Basic"]);
    assert!(calls().starts_with("on "), "{}", calls());
}

#[test]
fn the_workloads_get_a_file_of_the_package() {
    let scene = Scene::new("overlay");
    let output = scene.compare(&["--part", "ops"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = fs::read_to_string(scene.root.join("work/compare_ops_test.go")).unwrap();
    assert!(file.starts_with("package raftkv\n"), "{file}");
    let overlay = fs::read_to_string(scene.root.join("work/overlay.json")).unwrap();
    assert!(overlay.contains("lab/src/kvraft/compare_ops_test.go"), "{overlay}");
    assert!(!scene.root.join("lab/src/kvraft/compare_ops_test.go").exists(), "the lab stays as it is");
}

#[test]
fn go_is_missing() {
    let scene = Scene::new("no-go");
    fs::remove_file(scene.root.join("bin/go")).unwrap();
    // Go may be installed where sh is.
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .arg(scene.root.join("lab"))
        .arg("--work")
        .arg(scene.root.join("work"))
        .env("PATH", scene.root.join("bin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("go is not found: install Go"), "{said}");
}

#[test]
fn the_folder_is_no_lab() {
    let scene = Scene::new("no-lab");
    fs::remove_file(scene.root.join("lab/src/raft/config.go")).unwrap();
    scene.fails(&[], "is not a Go lab: it has no src/labrpc/labrpc.go, src/raft/config.go");
    fs::remove_dir_all(scene.root.join("lab")).unwrap();
    scene.fails(&[], "the Go lab's folder");
}

#[test]
fn packages_that_go_cannot_find() {
    let scene = Scene::new("no-module");
    fs::rename(scene.root.join("lab/src"), scene.root.join("moved")).unwrap();
    fs::remove_dir_all(scene.root.join("lab")).unwrap();
    fs::rename(scene.root.join("moved"), scene.root.join("lab")).unwrap();
    scene.fails(&[], "has neither a go.mod nor the name src");
}

#[test]
fn the_go_lab_does_not_compile() {
    let scene = Scene::new("no-compile");
    scene.script("bin/go", "[ $1 = version ] || { echo './raft.go:7:1: syntax error' >&2; exit 2; }");
    scene.fails(&[], "raft.go:7:1: syntax error");
}

#[test]
fn go_builds_nothing() {
    let scene = Scene::new("nothing-built");
    scene.script("bin/go", "exit 0");
    scene.fails(&[], "built nothing");
}

#[test]
fn a_go_test_fails() {
    let scene = Scene::new("go-fails");
    scene.script("go-test", "echo 'Test: one client (3A) ...'; echo '--- FAIL: TestBasic3A (3.2s)'; exit 1");
    scene.fails(&[], "Go, TestBasic3A: --- FAIL: TestBasic3A (3.2s) (all of its output: ");
    // Ours still ran, and the table says which is which.
    let csv = String::from_utf8(scene.compare(&["--only", "Basic", "--csv"]).stdout).unwrap();
    assert!(
        csv.contains("TestBasic3A,Go,failed,-") && csv.contains("TestBasic3A,ours,15,5,8000,400"),
        "{csv}"
    );
    assert!(csv.contains("TestBasic3A,ratio,-,-"), "{csv}");
}

#[test]
fn a_go_test_prints_something_else() {
    let scene = Scene::new("something-else");
    scene.script("go-test", "echo ok");
    scene.fails(&[], "Go, TestBasic3A: it exited with success, but did not print \"... Passed --\"");
    scene.script("go-test", "echo '  ... Passed -- in no time'");
    scene.fails(&[], "expected seconds, servers, RPCs and operations behind \"... Passed --\"");
}

#[test]
fn ours_fails() {
    let scene = Scene::new("ours-fails");
    scene.script("our-test", "echo '  ... FAILED after 0.5 s -- thread \"x\": get wrong value'; exit 101");
    scene.fails(&[], "ours, TestBasic3A: ... FAILED after 0.5 s -- thread \"x\": get wrong value");
    scene.script("cargo", "exit 101");
    scene.fails(&[], "cargo test --no-run -p kvraft --test test_test failed");
    scene.script("cargo", "exit 0");
    scene.fails(&[], "built no program");
}

#[test]
fn no_such_test() {
    let scene = Scene::new("no-test");
    let output = scene.compare(&["--only", "Nonsense"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("no test of this part has \"Nonsense\" in its name; the tests are TestBasic3A, "),
        "{said}"
    );
}
