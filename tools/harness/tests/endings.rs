//! How titles end is what the harness reports: each sample title is run as a user would, and its output read.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use harness::{Trust, run_title};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn samples(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-tests"));
    command.args(arguments);
    ["RUST_LOG", "LAB_PEAK_THREADS", "LAB_PICTURE"].iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// Not by this process: what another test starts meanwhile has the copy open for a moment too, and a program that is open
/// for writing cannot be run.
fn copy_samples(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_sample-tests")).arg(to).status().unwrap();
    assert!(copied.success());
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
    // A process that ends itself draws nothing.
    if text.contains("FAILED after") {
        let (log, picture) = drawn(&output);
        assert!(picture.contains(&format!("\"name\":\"{title}\"")) && picture.contains("</html>"), "{text}");
        assert!(log.contains("failed: "), "{log}");
    }
}

/// The log and the picture of a title that failed. Their paths are the last that the failure prints, both times.
#[track_caller]
fn drawn(output: &Output) -> (String, String) {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let mut last = stderr.lines().rev();
    let picture = last.next().unwrap().strip_prefix("  picture: ").unwrap_or_else(|| panic!("{stderr}"));
    let log = last.next().unwrap().strip_prefix("  log: ").unwrap_or_else(|| panic!("{stderr}"));
    let again = format!("\n  log: {log}\n  picture: {picture}\n\n\nfailures:\n");
    assert!(stdout.contains(&again), "{stdout}");
    (std::fs::read_to_string(log).unwrap(), std::fs::read_to_string(picture).unwrap())
}

#[test]
fn a_title_passes_and_begins_at_the_start_of_a_line() {
    let (output, text) = output_of(&mut samples(&["--exact", "passes"]));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\nTest: sample ...\n  ... Passed --   0.0  3    12    1\nok\n"), "{text}");
    assert!(text.contains("1 passed; 0 failed"), "{text}");
    assert!(!text.contains("a line of the log") && !text.contains("peak"), "{text}");
    assert!(!text.contains("picture"), "{text}");
}

#[test]
fn a_picture_is_drawn_when_asked_for_and_none_when_not_wanted() {
    let (_, text) = output_of(samples(&["--exact", "passes"]).env("LAB_PICTURE", "1"));
    assert!(text.contains("  picture: ") && text.contains("1 passed"), "{text}");
    let (_, text) = output_of(samples(&["--exact", "panics"]).env("LAB_PICTURE", "0"));
    assert!(!text.contains("picture") && text.contains("expected one leader, got none"), "{text}");
}

/// The verdict comes through, with its message.
#[test]
fn a_picture_that_cannot_be_written_disturbs_nothing() {
    let folder = std::env::temp_dir().join(format!("titles-picture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("sample-tests");
    copy_samples(&program);
    // In the place of the folder.
    std::fs::write(folder.join("pictures"), "").unwrap();
    let (output, text) = output_of(Command::new(&program).args(["--exact", "panics"]));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("  no picture: ") && text.contains("pictures: "), "{text}");
    assert!(text.contains("thread \"panics\": expected one leader, got none"), "{text}");
}

/// Keeping the log is bounded, in time and in memory; what is missing is said.
#[test]
fn a_log_without_end_is_kept_in_part() {
    let (output, text) = output_of(&mut samples(&["--exact", "logs_without_end"]));
    assert!(text.contains("enough"), "{text}");
    let (log, _) = drawn(&output);
    assert!(log.len() < 20 << 20, "{} bytes", log.len());
    assert!(log.contains("lines were not kept here; RUST_LOG=debug prints all"), "{}", &log[..1000]);
    let line = log.lines().find(|line| line.contains("server 2: line ")).unwrap();
    assert!(line.len() < 500 && line.ends_with("xxx..."), "{line}");
}

#[test]
fn the_log_and_the_peak_of_threads_are_printed_when_asked_for() {
    let (_, text) =
        output_of(samples(&["--exact", "passes"]).env("RUST_LOG", "debug").env("LAB_PEAK_THREADS", "1"));
    // Milliseconds, the server, nothing of its role and term, the topic.
    let line =
        text.lines().find(|line| line.ends_with(" a line of the log")).unwrap_or_else(|| panic!("{text}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(words[0].parse::<f64>().is_ok_and(|at| at < 3000.0), "{line}");
    assert_eq!(words[1..4], ["S1", "-", "ends"], "{line}");
    assert!(text.contains("  peak: "), "{text}");
}

#[test]
fn list_and_filters_are_those_of_libtest() {
    let (_, text) = output_of(&mut samples(&["--list", "dies"]));
    assert_eq!(text, "dies_by_exit: test\ndies_by_abort: test\ndies_not: test\n");
    let (_, text) = output_of(&mut samples(&["dies", "--skip", "by"]));
    assert!(text.contains("1 passed; 0 failed; 0 ignored; 0 measured; 26 filtered out"), "{text}");
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
    fails("writes_to_the_harnesss_channel", &["it is not"]);
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

/// Runs one title as a grader does, and gives its result and its output.
fn judge(command: Command, title: &str) -> (Result<String, String>, String) {
    let mut output = Vec::new();
    let limit = Duration::from_secs(20);
    let result = run_title(command, title, limit, Trust::Foreign, &mut |text| output.extend_from_slice(text));
    (result, String::from_utf8(output).unwrap())
}

#[test]
fn a_grader_gets_the_last_line_or_the_reason() {
    let (result, output) = judge(samples(&[]), "passes");
    assert_eq!(result.unwrap(), "  ... Passed --   0.0  3    12    1");
    assert!(output.starts_with("Test: sample ...\n"), "{output}");
    let (result, output) = judge(samples(&[]), "panics");
    assert!(result.unwrap_err().contains("expected one leader, got none"));
    assert!(output.contains("FAILED"), "what is printed to standard error belongs to it: {output}");
    assert!(!output.contains("picture"), "a grader wants none: {output}");
    let (result, _) = judge(samples(&[]), "no such title");
    assert!(result.unwrap_err().contains("before the test did"));
}

#[test]
fn a_grader_cuts_off_a_title_at_the_limit() {
    let began = Instant::now();
    let limit = Duration::from_secs(1);
    let result = run_title(samples(&[]), "prints_without_end", limit, Trust::Foreign, &mut |_| {});
    assert!(result.unwrap_err().contains("it hung: no result 1 s after the start"));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// No process of the title's group outlives it.
#[test]
fn processes_that_are_left_are_killed() {
    for (title, passes) in [("leaves_a_process", true), ("leaves_a_process_and_exits", false)] {
        let began = Instant::now();
        let (result, output) = judge(samples(&[]), title);
        assert_eq!(result.is_ok(), passes, "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let (_, id) = output.split_once("left: ").unwrap();
        let (id, _) = id.split_once('.').unwrap();
        // It is a zombie until init gets round to it.
        let state = Command::new("ps").args(["-o", "state=", "-p", id]).output().unwrap().stdout;
        assert!(state.is_empty() || state.starts_with(b"Z"), "{}", String::from_utf8_lossy(&state));
    }
}

/// As an unprivileged user, whom alone the kernel can keep from it.
#[cfg(target_os = "linux")]
#[test]
fn the_token_is_in_no_place_that_safe_code_can_open() {
    let folder = std::env::temp_dir().join(format!("titles-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.join("sample-tests");
    copy_samples(&program);
    let mut command = Command::new(&program);
    command.current_dir(&folder);
    if rustix::process::getuid().is_root() {
        const NOBODY: u32 = 65534;
        command.uid(NOBODY).gid(NOBODY);
    }
    let (result, output) = judge(command, "looks_for_the_token");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(result.unwrap_err().contains("looked"));
    assert!(output.contains("the memory is closed"), "{output}");
    // Tokens are the only words of 32 hexadecimal digits.
    let is_token = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = output.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(is_token), "{output}");
}
