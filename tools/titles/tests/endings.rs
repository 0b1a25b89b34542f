//! How titles end is what the harness reports: each sample title is run as a user would, and its output read.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::process::{Command, Output, Stdio};

fn samples(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-titles"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("LAB_PEAK_THREADS");
    command
}

fn output_of(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8(text).unwrap())
}

/// Runs one title, which must fail with all of `messages` in what a person sees.
#[track_caller]
fn fails(title: &str, messages: &[&str]) {
    let (output, text) = output_of(&mut samples(&["--exact", title]));
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("0 passed; 1 failed"), "{text}");
    assert!(!text.contains("... Passed"), "{text}");
    // What fails at once does not wait for the limit: that has a message of its own.
    assert!(title == "hangs" || !text.contains("took longer than"), "{text}");
    for message in messages {
        assert!(text.contains(message), "{message:?} is missing in: {text}");
    }
}

#[test]
fn a_title_passes_and_begins_at_the_start_of_a_line() {
    let (output, text) = output_of(&mut samples(&["--exact", "passes"]));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\nTest: sample ...\n  ... Passed --   0.0  3    12    1\nok\n"), "{text}");
    assert!(text.contains("1 passed; 0 failed"), "{text}");
    assert!(!text.contains("a line of the log") && !text.contains("peak"), "{text}");
}

#[test]
fn the_log_and_the_peak_of_threads_are_printed_when_asked_for() {
    let (_, text) =
        output_of(samples(&["--exact", "passes"]).env("RUST_LOG", "debug").env("LAB_PEAK_THREADS", "1"));
    assert!(text.contains(" a line of the log"), "{text}");
    assert!(text.contains("  peak: "), "{text}");
}

#[test]
fn list_and_filters_are_those_of_libtest() {
    let (_, text) = output_of(&mut samples(&["--list", "dies"]));
    assert_eq!(text, "dies_by_exit: test\ndies_by_abort: test\ndies_not: test\n");
    let (_, text) = output_of(&mut samples(&["dies", "--skip", "by"]));
    assert!(text.contains("1 passed; 0 failed; 0 ignored; 0 measured; 14 filtered out"), "{text}");
}

#[test]
fn a_title_that_dies_does_not_touch_the_next() {
    let (output, text) = output_of(&mut samples(&["dies"]));
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("1 passed; 2 failed"), "{text}");
}

#[test]
fn a_panic_fails_the_title_with_its_message_and_thread() {
    fails("panics", &["thread \"panics\": expected one leader, got none", "sample/main.rs:"]);
    fails("panics_on_a_thread", &["thread \"server 1: own thread\": index out of bounds"]);
    fails("panics_in_a_go_statement", &["thread \"server 2: applier\": apply out of order"]);
}

#[test]
fn ending_the_process_is_no_way_to_pass() {
    fails("dies_by_exit", &["its process ended (exit status: 0) before the test did"]);
    fails("dies_by_abort", &["its process ended (signal: 6"]);
    fails("forges", &["it is not"]);
}

#[test]
fn a_deadlock_is_found_and_its_threads_and_lines_are_named() {
    fails(
        "deadlocks",
        &[
            "deadlock",
            "thread \"server 0: locker\" waits for a lock at",
            "thread \"server 1: locker\" waits for a lock at",
            "sample/main.rs:",
        ],
    );
}

#[test]
fn a_title_that_hangs_says_what_it_was_doing() {
    fails(
        "hangs",
        &[
            "test took longer than 3 seconds",
            "pending for 3.",
            "client 1: get(\"x\")",
            "s: client 1: put(\"x\")",
            "s: server 1: stuck",
        ],
    );
}

#[test]
fn threads_that_are_left_are_named() {
    fails("leaves_a_go_statement", &["1 thread is left", "server 3: lingers"]);
    fails("leaves_a_thread_without_a_name", &["1 thread is left", "labrpc-"]);
    fails("leaves_a_thread", &["1 thread is left", "my own thread (started by std::thread)"]);
}

#[test]
fn any_amount_of_output_is_forwarded() {
    let (output, text) = output_of(&mut samples(&["--exact", "prints_one_long_line"]));
    assert!(output.status.success());
    assert!(text.contains(&"x".repeat(100_000)));
}

/// The child cannot report, and its output does not end.
#[test]
fn output_without_end_is_cut_off() {
    // Its output would be kept in memory.
    let mut child = samples(&["--exact", "prints_without_end"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(101));
}
