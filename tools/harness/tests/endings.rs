//! The harness reports how a test ends: each sample test is run as a user would run it, and its output is read.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use harness::{PassedLine, SimulatedRun, TestFailure, TestPass, TestRun, Trust, run_test};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn samples(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-tests"));
    command.args(arguments);
    command.env_remove("RUST_LOG");
    harness::VARIABLES.iter().for_each(|variable| _ = command.env_remove(variable.name));
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

/// The sample tests that run into the time limit.
const HANG: [&str; 3] = ["hangs", "holds_a_lock_across_an_rpc", "sends_with_the_lock_held"];

/// Runs one test, which must fail with all of `messages` in what a person sees.
#[track_caller]
fn fails(test: &str, messages: &[&str]) {
    let mut command = samples(&["--exact", test]);
    if HANG.contains(&test) {
        command.env("SAMPLE_LIMIT", "3");
    }
    let (output, text) = output_of(&mut command);
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("0 passed; 1 failed"), "{text}");
    assert!(!text.contains("... Passed"), "{text}");
    // A test that fails at once does not wait for the limit, which has a message of its own.
    assert!(HANG.contains(&test) || !text.contains("took longer than"), "{text}");
    for message in messages {
        assert!(text.contains(message), "{message:?} is missing in: {text}");
    }
    // A process that ends itself draws nothing.
    if text.contains("FAILED after") {
        let (log, picture) = drawn(&output);
        assert!(picture.contains(&format!("\"name\":\"{test}\"")) && picture.contains("</html>"), "{text}");
        assert!(log.contains("failed: "), "{log}");
    }
}

/// The log and the picture of a test that failed. The failure names their files at its end, in both places.
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

/// Under the message, once. At the end stand the first line and the files again.
#[test]
fn what_led_to_a_failure_is_told_once() {
    let (_, text) = output_of(&mut samples(&["--exact", "elects_two_leaders"]));
    let count = |words: &str| text.matches(words).count();
    assert_eq!((count("What happened before"), count("  at ")), (1, 1), "{text}");
    assert_eq!((count("election safety: servers 0 and 1"), count("  picture: ")), (2, 2), "{text}");
}

/// A minute of virtual time passes at once, in a program whose other tests run in real time. The failure names its seed.
#[test]
fn a_test_can_always_be_simulated() {
    let begun = Instant::now();
    if !harness::CAN_SIMULATE {
        let (output, text) = output_of(&mut samples(&["measures_time"]));
        assert!(output.status.success() && text.contains("1 ignored"), "{text}");
        return;
    }
    let (output, text) = output_of(&mut samples(&["--exact", "measures_time"]));
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("\nTest: sample ...\n  ... Passed --   0.0  3    12    1  (virtual time, seed "),
        "{text}"
    );
    assert!(text.contains("1 passed; 0 failed"), "{text}");

    let (output, text) = output_of(&mut samples(&["--exact", "is_too_slow"]));
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("it took a minute"), "{text}");
    let (_, replay) = text.split_once("is_too_slow failed with seed ").unwrap();
    let (seed, replay) = replay.split_once("; this replays it:\n  LAB_SIM=1 LAB_SEED=").unwrap();
    assert!(replay.starts_with(&format!("{seed} ")) && replay.contains(" --exact is_too_slow\n"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// With LAB_SIM, a test that is always simulated obeys the variables of all simulated tests.
#[test]
fn a_test_that_is_always_simulated_obeys_the_variables() {
    if harness::CAN_SIMULATE {
        let mut command = samples(&["--exact", "measures_time"]);
        let (output, text) = output_of(command.env("LAB_SIM", "1").env("LAB_SEED", "7").env("LAB_RUNS", "3"));
        assert!(output.status.success() && text.contains("measures_time: 3 seeds from 7 on"), "{text}");
    }
}

#[test]
fn a_test_passes_and_begins_at_the_start_of_a_line() {
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
    let (_, text) = output_of(samples(&["--exact", "panics"]).env("LAB_PICTURE", ""));
    assert!(text.contains("  picture: "), "the empty text is the default: {text}");
}

/// The verdict comes through, with its message.
#[test]
fn a_picture_that_cannot_be_written_disturbs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sample-tests");
    copy_samples(&program);
    // A file in the place of the folder.
    std::fs::write(folder.path().join("pictures"), "").unwrap();
    let (output, text) = output_of(Command::new(&program).args(["--exact", "panics"]));
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("  no picture: cannot write ") && text.contains("pictures: "), "{text}");
    assert!(text.contains("thread \"panics\": expected one leader, got none"), "{text}");
}

/// The log is bounded in time and in memory; the log says what is missing.
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
    // Milliseconds, the server, no role and term, the topic.
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
    let (_, all) = output_of(&mut samples(&["--list"]));
    let others = all.lines().count() - 1;
    let counts = format!("1 passed; 0 failed; 0 ignored; 0 measured; {others} filtered out");
    assert!(text.contains(&counts), "{text}");
}

/// As cargo runs them, from the shell.
#[test]
fn several_filters_work_and_so_do_gos() {
    let listed = |arguments: &[&str]| output_of(samples(arguments).arg("--list")).1;
    assert_eq!(listed(&["panics_at", "dies_not"]), "dies_not: test\npanics_at_length: test\n");
    assert_eq!(listed(&["-run", "DiesBy"]), "dies_by_exit: test\ndies_by_abort: test\n");
    assert_eq!(listed(&["PanicsAtLength", "--exact"]), "panics_at_length: test\n");
    if harness::CAN_SIMULATE {
        let (output, text) = output_of(samples(&["Passes", "DiesNot"]).env("LAB_SIM", "1"));
        assert!(output.status.success() && text.contains("2 passed; 0 failed"), "{text}");
    }
}

#[test]
fn a_filter_that_matches_nothing_fails_and_says_what_was_meant() {
    for variable in ["0", if harness::CAN_SIMULATE { "1" } else { "0" }] {
        for more in [&[][..], &["--list"], &["passes"], &["--exact"]] {
            let mut command = samples(&["Deadlok"]);
            command.args(more).env_remove("CARGO_MANIFEST_DIR").env("CARGO_PKG_NAME", "harness");
            let (output, text) = output_of(command.env("LAB_SIM", variable));
            assert_eq!(output.status.code(), Some(4), "{text}");
            let meant =
                "no test matches \"Deadlok\"; did you mean this?\n  cargo test -p harness deadlocks\n";
            assert_eq!(text, meant);
        }
    }
    let (output, text) = output_of(samples(&["nowhere"]).env_remove("CARGO_MANIFEST_DIR"));
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.starts_with("no test matches \"nowhere\"; this lists all tests: "), "{text}");
    // A test that is left out is not sought in vain.
    let (output, text) = output_of(&mut samples(&["passes", "--skip", "passes"]));
    assert!(output.status.success() && text.contains("0 passed; 0 failed"), "{text}");
}

/// cargo passes the filters to every test program of the packages that it tests.
#[test]
fn a_filter_may_match_in_another_test_program() {
    let workspace = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = workspace.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("Cargo.lock", "");
    write("one/Cargo.toml", "");
    write("one/tests/other.rs", "#[test]\nfn only_in_one() {}\n");
    write("two/Cargo.toml", "");
    write("two/src/lib.rs", "#[test]\nfn only_in_two() {}\n");
    // A shell in the place of cargo: this process starts it with cargo's words, and it starts the test program.
    let run = |words: &[&str], filter: &str| {
        let mut cargo = Command::new("sh");
        cargo.arg0("cargo").args(["-c", "\"$PROGRAM\" \"$FILTER\"; exit $?", "test"]).args(words);
        cargo.env("PROGRAM", env!("CARGO_BIN_EXE_sample-tests")).env("FILTER", filter);
        cargo.env("CARGO_MANIFEST_DIR", workspace.path().join("one")).current_dir(workspace.path());
        harness::VARIABLES.iter().for_each(|variable| _ = cargo.env_remove(variable.name));
        let (output, text) = output_of(&mut cargo);
        (output.status.code().unwrap(), text)
    };
    for (words, filter, code) in [
        (&["-p", "one"][..], "only_in_one", 0),
        (&["-p", "one"], "only_in_two", 4),
        (&["-p", "one", "-p", "two"], "only_in_two", 0),
        (&["--workspace"], "OnlyInTwo", 0),
        (&[], "only_in_two", 0),
        (&["--workspace"], "only_in_three", 4),
    ] {
        let (exit, text) = run(words, filter);
        assert_eq!(exit, code, "{words:?} {filter}: {text}");
        assert_eq!(text.contains("running 0 tests"), code == 0, "{text}");
    }
    let (_, text) = run(&["-p", "one"], "only_in_two");
    assert!(text.contains("but one of two: cargo test -p two only_in_two\n"), "{text}");
}

#[test]
fn the_help_and_the_list_end_quietly_when_nobody_reads_them() {
    for option in ["--list", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (output, text) = output_of(samples(&[option]).stdout(writer));
        assert!(output.status.success() && text.is_empty(), "{text}");
    }
    let (output, text) = output_of(&mut samples(&["--shuffle"]));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("--shuffle is not offered here: "), "{text}");
}

#[test]
fn a_test_that_dies_does_not_touch_the_next() {
    let (output, text) = output_of(&mut samples(&["dies"]));
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("1 passed; 2 failed"), "{text}");
}

#[test]
fn a_panic_fails_the_test_with_its_message_and_thread() {
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
            "thread \"server 0: locker\" waits for a lock, which \"server 1: locker\" holds, at",
            "thread \"server 1: locker\" waits for a lock, which \"server 0: locker\" holds, at",
            "sample/main.rs:",
        ],
    );
}

#[test]
fn a_test_that_hangs_says_what_it_was_doing() {
    fails(
        "hangs",
        &[
            "test took longer than 3 seconds",
            "pending for ",
            "client 1: get(\"x\")",
            "s: client 1: put(\"x\")",
            "1 thread: server 1: stuck",
        ],
    );
}

/// Where the simulator is, a signal asks each thread where it is.
#[test]
fn a_lock_that_is_held_too_long_is_named() {
    if !harness::CAN_SIMULATE {
        return;
    }
    fails(
        "holds_a_lock_across_an_rpc",
        &[
            "This looks like a lock held across an RPC: of server 0, 1 thread waits for the lock self.0 at \
             tools/harness/tests/sample/main.rs:",
            "and \"server 0: asks\" waits for the reply of Sample.Touch to server 1, sent at ",
            "s  server 0 sends Sample.Touch to server 1, and waits for the reply, it seems with the lock self.0 held (tools/",
            "1 thread: server 1: Sample.Touch handler; waits for a lock at tools/harness/tests/sample/main.rs:",
        ],
    );
    fails(
        "sends_with_the_lock_held",
        &[
            "This looks like a send into a channel with the lock held: of server 0",
            "\"server 0: applier\" waits until",
        ],
    );
}

#[test]
fn threads_that_are_left_are_named_and_do_not_fail_a_test() {
    warns("leaves_a_go_statement", &["1 thread is left", "server 3: lingers"]);
    warns("leaves_a_thread_without_a_name", &["1 thread is left", "labrpc-"]);
    warns("leaves_a_thread", &["1 thread is left", "my own thread (started by std::thread)"]);
    warns("leaves_a_thread_that_spins", &["server 2: waits in a loop"]);
    warns(
        "leaves_a_thread_that_panics",
        &["after the test had passed, thread \"server 2: applier\" panicked"],
    );
    // Where the simulator is, a signal asks each thread where it is.
    let kinds = if harness::CAN_SIMULATE { KINDS } else { NAMES };
    warns("leaves_threads_of_some_kinds", &kinds);
}

/// What is said of the threads of `leaves_threads_of_some_kinds`.
const KINDS: [&str; 4] = [
    "5 threads are left 1 s after",
    "server 0: ticker (3 such threads, of servers 0, 1, 2); it sleeps at tools/harness/tests/sample/main.rs:",
    "server 1: applier; it waits for a message of a channel at tools/harness/tests/sample/main.rs:",
    "(started by std::thread); it waits for a lock at tools/harness/tests/sample/main.rs:",
];
const NAMES: [&str; 4] = ["5 threads are left 1 s after", "ticker (3 such threads", "applier", "std::thread"];

#[test]
fn threads_that_are_left_fail_a_strict_test() {
    for (test, name) in [("leaves_a_go_statement", "lingers"), ("leaves_a_thread", "my own thread")] {
        let (output, text) = output_of(samples(&["--exact", test]).env("LAB_STRICT", "1"));
        assert_eq!(output.status.code(), Some(101), "{text}");
        assert!(text.contains("FAILED") && text.contains("1 thread is left 5 s after"), "{text}");
        assert!(text.contains(name) && !text.contains("... Passed"), "{text}");
    }
    fails("leaves_a_thread_extra", &["1 thread is left 5 s after", "my own thread"]);
}

/// Runs a test, which must pass with a warning after its last line.
fn warns(test: &str, messages: &[&str]) {
    let (output, text) = output_of(&mut samples(&["--exact", test]));
    assert!(output.status.success(), "{text}");
    let (_, after) = text.split_once("  ... Passed --   0.0  3    12    1\n").expect(&text);
    for message in messages {
        let is_said_early = text.contains(&format!("warning: {message}"));
        assert!(is_said_early || after.contains(message), "{message:?} is missing in: {text}");
    }
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
        .env("SAMPLE_LIMIT", "3")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(101));
}

/// Runs one test as a grader does, and gives its result and its output.
fn judge(command: Command, test: &str) -> (Result<TestPass, TestFailure>, String) {
    let mut output = Vec::new();
    let result = run_test(foreign(command, test, Duration::from_secs(20)), &mut |text| {
        output.extend_from_slice(text);
    });
    (result, String::from_utf8(output).unwrap())
}

fn foreign(command: Command, test: &str, limit: Duration) -> TestRun<'_> {
    TestRun {
        command,
        test,
        limit,
        trust: Trust::Foreign,
        workspace: None,
        simulation: None,
        is_lenient: false,
        objection: None,
    }
}

#[test]
fn a_grader_gets_the_last_line_or_the_reason() {
    let (result, output) = judge(samples(&[]), "passes");
    let line = PassedLine { seconds: 0.0, servers: 3, rpcs: 12, rpc_width: 5, operations: 1 };
    let pass = result.unwrap();
    assert!(pass.line == Some(line) && pass.remarks.is_empty(), "{pass:?}");
    assert!(output.starts_with("Test: sample ...\n"), "{output}");
    let (result, output) = judge(samples(&[]), "panics");
    let failure = result.unwrap_err().to_string();
    assert!(failure.contains("expected one leader, got none"), "{failure}");
    assert!(output.contains("FAILED"), "what is printed to standard error belongs to it: {output}");
    assert!(!output.contains("picture"), "a grader wants none: {output}");
    let (result, _) = judge(samples(&[]), "no such test");
    assert!(result.unwrap_err().to_string().contains("before the test did"));
}

#[test]
fn a_grader_cuts_off_a_test_at_the_limit() {
    let began = Instant::now();
    let run = foreign(samples(&[]), "prints_without_end", Duration::from_secs(1));
    let failure = run_test(run, &mut |_| {}).unwrap_err();
    assert!(failure.to_string().contains("it hung: no result 1 s after the start"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_grader_can_let_an_extra_test_leave_threads() {
    let run = |is_lenient| {
        let run = foreign(samples(&[]), "leaves_a_thread_extra", Duration::from_secs(600));
        run_test(TestRun { is_lenient, ..run }, &mut |_| {})
    };
    assert!(run(false).unwrap_err().to_string().contains(harness::THREADS_ARE_LEFT));
    assert!(run(true).is_ok());
}

#[test]
fn a_grader_can_stop_a_test() {
    let objects = || Some("enough".to_string());
    let run = foreign(samples(&[]), "prints_without_end", Duration::from_secs(600));
    let failure = run_test(TestRun { objection: Some(&objects), ..run }, &mut |_| {}).unwrap_err();
    assert_eq!(failure.to_string(), "it was stopped: enough");
}

/// A grader's simulation is the grader's order alone: the environment has no say in it.
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
))]
#[test]
fn a_grader_simulates() {
    let mut command = samples(&[]);
    command.env("LAB_SEED", "5").env("LAB_PICTURE", "yes");
    let simulation = Some(SimulatedRun { seed: 7, ..SimulatedRun::default() });
    let run = TestRun { simulation, ..foreign(command, "passes", Duration::from_secs(20)) };
    let mut output = Vec::new();
    run_test(run, &mut |text| output.extend_from_slice(text)).unwrap();
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("(virtual time, seed 7)\n"), "{output}");
}

/// Nothing runs in real time instead.
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
)))]
#[test]
fn a_simulation_is_refused_where_there_is_no_simulator() {
    let (output, text) = output_of(samples(&["--exact", "passes"]).env("LAB_SIM", "1"));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("LAB_SIM=1: simulation works only on ") && text.lines().count() == 1, "{text}");
}

/// The message of a failure is cut, and not lost: a line without end would not be read.
#[test]
fn a_failure_of_any_length_is_reported() {
    let (result, _) = judge(samples(&[]), "panics_at_length");
    let Err(TestFailure::Failed { message, .. }) = result else { panic!("{result:?}") };
    assert!(message.starts_with("thread \"panics_at_length\": \u{1f}\u{1f}") && message.ends_with("..."));
    assert!(message.len() > 1000, "{}", message.len());
}

/// The lines of a panic's backtrace take long to find on a busy machine. The message is known if the process ends before.
#[cfg(target_os = "linux")]
#[test]
fn the_message_of_a_panic_does_not_wait_for_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sample-tests");
    copy_samples(&program);
    let run = foreign(Command::new(&program), "panics_without_its_file", Duration::from_secs(3));
    let failure = run_test(run, &mut |_| {}).unwrap_err().to_string();
    assert!(failure.starts_with("thread \"panics_without_its_file\": commit index went back\n"), "{failure}");
}

/// What a process's end says of its cause: only a process that was killed may have lacked memory.
#[test]
fn the_end_of_a_process_asks_what_can_have_ended_it() {
    for (test, question) in [
        ("dies_by_exit", "does something call std::process::exit?"),
        ("dies_by_abort", "std::process::abort?"),
    ] {
        let (result, _) = judge(samples(&[]), test);
        let why = result.unwrap_err().to_string();
        assert!(why.ends_with(question) && !why.contains("memory"), "{why}");
    }
}

/// No process of the test's group outlives it.
#[test]
fn processes_that_are_left_are_killed() {
    for (test, passes) in [("leaves_a_process", true), ("leaves_a_process_and_exits", false)] {
        let began = Instant::now();
        let (result, output) = judge(samples(&[]), test);
        assert_eq!(result.is_ok(), passes, "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let (_, id) = output.split_once("left: ").unwrap();
        let (id, _) = id.split_once('.').unwrap();
        // It is a zombie until init gets round to it.
        let state = state_of(id);
        assert!(state.is_empty() || state.starts_with('Z'), "{state}");
    }
}

/// The state of a process, as `ps` prints it; empty if there is no such process.
fn state_of(id: &str) -> String {
    let output = Command::new("ps").args(["-o", "state=", "-p", id]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A child that is a shell script instead of a test binary. `$token` is the token from the order that the child gets,
/// and the function `pass` reports that the test has passed.
fn script(text: &str) -> Command {
    let begin = r#"
        IFS= read -r start
        token=${start#*\"token\":\"}
        token=${token%%\"*}
        pass() { echo "{\"Passed\":{\"token\":\"$token\",\"line\":null}}" >&0; }
    "#;
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{begin}\n{text}"));
    command
}

/// Writes much text, but no more than a pipe or a socket holds.
const MUCH: &str = "{ head -c 50000 /dev/zero | tr '\\0' x; }";

/// How long a process takes to end depends on the machine.
#[test]
fn a_process_that_does_not_end_after_its_report_has_passed() {
    let began = Instant::now();
    let (result, output) = judge(script("echo first; pass; echo last; sleep 600"), "lingers");
    let remarks = result.unwrap().remarks;
    let [remark] = &remarks[..] else { panic!("{remarks:?}") };
    assert!(remark.starts_with("the test has passed, but 1 s later its process had not ended"), "{remark}");
    #[cfg(target_os = "linux")]
    assert!(remark.contains("It has 1 threads:\n  \"sh\", waiting in "), "{remark}");
    assert_eq!(output, format!("first\nlast\nwarning: {remark}\n"));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // It is the token that counts.
    let (result, _) = judge(script("token=0; pass; echo last; exec sleep 0"), "forges");
    assert!(matches!(result, Err(TestFailure::Ended { .. })), "{result:?}");
}

/// True if the harness had to kill no process of a test that has passed.
fn ended_by_itself(pass: &TestPass) -> bool {
    !pass.remarks.iter().any(|remark| remark.contains("its process had not ended"))
}

/// A thread holds the locks of standard output and standard error for ever.
#[test]
fn no_thread_that_is_left_keeps_a_test_from_its_end() {
    for simulation in [None, harness::CAN_SIMULATE.then(SimulatedRun::default)] {
        let run =
            TestRun { simulation, ..foreign(samples(&[]), "leaves_stdout_locked", Duration::from_secs(60)) };
        let mut output = Vec::new();
        let pass = run_test(run, &mut |text| output.extend_from_slice(text)).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert!(
            output.contains("warning: 1 thread is left") && output.contains("  ... Passed --"),
            "{output}"
        );
        assert!(ended_by_itself(&pass), "{:?}", pass.remarks);
        assert!(pass.remarks[0].starts_with("1 thread is left"), "{:?}", pass.remarks);
    }
}

/// Threads print, log, allocate, start threads and look at their stacks, whatever the process does to end.
#[test]
fn threads_at_work_do_not_keep_a_process_from_its_end() {
    let seeds = if harness::CAN_SIMULATE { 1..6 } else { 0..0 };
    for seed in std::iter::once(None).chain(seeds.map(Some)) {
        let simulation = seed.map(|seed| SimulatedRun { seed, ..SimulatedRun::default() });
        let run = TestRun {
            simulation,
            ..foreign(samples(&[]), "leaves_threads_at_work", Duration::from_secs(60))
        };
        let mut output = Vec::new();
        let pass = run_test(run, &mut |text| output.extend_from_slice(text)).unwrap_or_else(|failure| {
            let output = String::from_utf8_lossy(&output).replace('\r', "");
            panic!("seed {seed:?}: {failure:?}: {output}")
        });
        assert!(pass.line.is_some() && ended_by_itself(&pass), "seed {seed:?}: {:?}", pass.remarks);
    }
}

/// A thread that the test has left ends the process while the harness waits for such threads.
#[test]
fn a_process_may_end_in_any_way_once_its_test_has_passed() {
    for simulation in [None, harness::CAN_SIMULATE.then(SimulatedRun::default)] {
        let run = TestRun {
            simulation,
            ..foreign(samples(&[]), "leaves_a_thread_that_aborts", Duration::from_secs(60))
        };
        let mut output = Vec::new();
        let pass = run_test(run, &mut |text| output.extend_from_slice(text)).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert!(pass.line.is_some() && output.contains("  ... Passed --"), "{output}");
        assert!(
            pass.remarks[0].contains("the test has passed, but its process ended (signal: 6"),
            "{output}"
        );
    }
    fails("leaves_a_thread_that_aborts_extra", &["its process ended (signal: 6"]);
}

/// The harness gets no processor from the test's first line until after the limit.
#[test]
fn a_report_counts_even_if_it_is_read_after_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let limit = Duration::from_secs(2);
    let began = Instant::now();
    let command =
        script(&format!("echo begin; {MUCH} >&0; echo >&0; pass; touch '{}'; sleep 600", done.display()));
    let result = run_test(foreign(command, "passes", limit), &mut |_| {
        while !done.exists() || began.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(matches!(result, Ok(TestPass { line: None, .. })), "{result:?}");
}

/// The harness gets no processor from the test's first line until its process has ended.
#[test]
fn nothing_is_lost_of_a_process_that_has_ended() {
    let command = script(&format!("echo $$; {MUCH}; {MUCH} >&0; echo >&0; pass; exit"));
    let mut output = Vec::new();
    let result = run_test(foreign(command, "passes", Duration::from_secs(600)), &mut |text| {
        if output.is_empty() {
            let id = String::from_utf8(text.to_vec()).unwrap();
            while state_of(id.trim()).chars().next().is_some_and(|state| state != 'Z') {}
        }
        output.extend_from_slice(text);
    });
    assert!(matches!(result, Ok(TestPass { line: None, .. })), "{result:?}");
    assert!(output.ends_with(&[b'x'; 50_000]), "{} bytes", output.len());
}

/// It is in another group, holds the output and the socket, and writes to both.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_escapes_does_not_hide_how_the_test_ended() {
    for (report, passes) in [("pass", true), ("", false)] {
        let folder = tempfile::tempdir().unwrap();
        let escaped = folder.path().join("escaped");
        let command = script(&format!(
            "exec 3<&0
            setsid sh -c 'echo tick; touch {0}; yes tick & while echo tick >&3; do :; done' <&3 &
            until [ -e {0} ]; do :; done
            {report}
            echo last
            exit",
            escaped.display()
        ));
        let (result, output) = judge(command, "escapes");
        assert_eq!(result.is_ok(), passes, "{result:?}");
        assert!(output.starts_with("tick\n") && output.contains("last\n"), "{output}");
    }
}

/// As an unprivileged user: the kernel does not keep root from reading a process's memory.
#[cfg(target_os = "linux")]
#[test]
fn the_token_is_in_no_place_that_safe_code_can_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("sample-tests");
    copy_samples(&program);
    let mut command = Command::new(&program);
    command.current_dir(folder.path());
    if rustix::process::getuid().is_root() {
        const NOBODY: u32 = 65534;
        command.uid(NOBODY).gid(NOBODY);
    }
    let (result, output) = judge(command, "looks_for_the_token");
    assert!(result.unwrap_err().to_string().contains("looked"));
    assert!(output.contains("the memory is closed"), "{output}");
    // Tokens are the only words of 32 hexadecimal digits.
    let is_token = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = output.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(is_token), "{output}");
}
