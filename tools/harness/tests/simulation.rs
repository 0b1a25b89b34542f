//! Sample tests in simulation: each is run as a user would run it, and its output is read.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_env = "gnu",
    not(lab_without_sim)
))]
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Whether the test passed, and all that was printed.
fn simulate(test: &str, environment: &[(&str, &str)]) -> (bool, String) {
    simulate_with(Path::new(env!("CARGO_BIN_EXE_sample-tests")), test, environment)
}

/// The same with a copy of the program: it leaves its pictures beside itself.
fn simulate_with(program: &Path, test: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let output = run(program, test, environment);
    (output.status.success(), text(&output))
}

/// The sample tests that run into the time limit.
const HANG: [&str; 3] = ["hangs", "holds_a_lock_across_an_rpc", "sends_with_the_lock_held"];

fn run(program: &Path, test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(["--exact", test]).env_remove("RUST_LOG");
    if HANG.contains(&test) {
        command.env("SAMPLE_LIMIT", "3");
    }
    harness::VARIABLES.iter().for_each(|variable| _ = command.env_remove(variable.name));
    command.env("LAB_SIM", "1").envs(environment.iter().copied()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

/// The ways of switching threads, as values of LAB_SIM_SWITCH. A test must end in the same way with both.
const SWITCHERS: [&str; 2] = ["", "kernel"];

#[track_caller]
fn fails(test: &str, messages: &[&str]) {
    let [by_registers, by_kernel] = SWITCHERS.map(|switcher| fails_with(switcher, test, messages));
    assert_eq!(by_registers, by_kernel);
}

/// Returns what the test said when it failed.
#[track_caller]
fn fails_with(switcher: &str, test: &str, messages: &[&str]) -> String {
    let (passed, text) = simulate(test, &[("LAB_SEED", "7"), ("LAB_SIM_SWITCH", switcher)]);
    assert!(!passed, "{text}");
    for message in messages {
        assert!(text.contains(message), "{message:?} is missing in: {text}");
    }
    let (before, last) = text.split_once("this replays it:").unwrap();
    assert!(
        before.contains("test result: FAILED") && !last.contains("this replays it:"),
        "once, at the end: {text}"
    );
    assert!(last.contains("\n  LAB_SIM=1 LAB_SEED=7 "), "{text}");
    assert!(last.contains(&format!(" --exact {test}\n")), "{text}");
    let (log, picture) = drawn(&text, test, 7);
    // What is in quotes there has a backslash before each.
    let message = messages[0].replace('"', "\\\"");
    assert!(log.contains(messages[0]) && picture.contains(&message), "{log}");
    let (_, failure) = text.split_once("  ... FAILED after ").unwrap();
    failure.split("\n  log: ").next().unwrap().to_string()
}

#[track_caller]
fn passes(test: &str, environment: &[(&str, &str)], said: &str) {
    let (passed, text) = simulate(test, &[&[("LAB_SEED", "7")], environment].concat());
    assert!(passed && text.contains(said), "{text}");
}

/// The log and the picture that are named behind a failure, before what replays it. Both say that too.
#[track_caller]
fn drawn(text: &str, test: &str, seed: u32) -> (String, String) {
    let replays = format!("\n{test} failed with seed {seed}; this replays it:\n  ");
    let (failure, replay) = text.split_once(&replays).unwrap_or_else(|| panic!("{text}"));
    let replay = replay.lines().next().unwrap();
    let mut last = failure.lines().rev().skip_while(|line| !line.starts_with("  picture: "));
    let [picture, log] = ["  picture: ", "  log: "].map(|name| {
        let path = last.next().and_then(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}"));
        assert!(path.contains(&format!("pictures/{test}-seed-{seed}.")), "{path}");
        std::fs::read_to_string(path).unwrap()
    });
    assert!(log.contains(&format!("# simulation, seed {seed}; this replays it:\n#   {replay}\n")), "{log}");
    assert!(picture.contains(&format!("\"simulation\":[\"{seed}\",\"{replay}\"]")), "{replay}");
    (log, picture)
}

/// Not by this process: what another test starts meanwhile has the copy open for a moment too, and a program that is open
/// for writing cannot be run.
fn copy_samples(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_sample-tests")).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A folder for the pictures of a program, and the program in it.
fn own_folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("sample-tests");
    copy_samples(&program);
    (folder, program)
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The names of the pictures of a program in such a folder.
fn pictures(folder: &TempDir) -> Vec<String> {
    let mut names = files(&folder.path().join("pictures"));
    names.retain(|name| name.ends_with(".html"));
    names
}

#[test]
fn a_test_that_passes_names_its_seed_and_says_that_its_time_is_not_real() {
    let (passed, text) = simulate("passes", &[("LAB_SEED", "7")]);
    assert!(passed, "{text}");
    assert!(text.contains("  ... Passed --   0.0  3    12    1  (virtual time, seed 7)\n"), "{text}");
    let (passed, text) = simulate("passes", &[]);
    assert!(passed && text.contains("(virtual time, seed "), "{text}");
}

/// A thread can be asked where it is before it has run for the first time.
#[test]
fn threads_that_have_not_begun_can_be_asked() {
    for seed in ["1", "2", "3"] {
        for switcher in SWITCHERS {
            let environment = [("LAB_SEED", seed), ("LAB_SIM_SWITCH", switcher)];
            passes("asks_threads_that_have_not_begun", &environment, "ok");
        }
    }
}

#[test]
fn a_servers_threads_can_be_paused_and_run_again() {
    for seed in ["1", "2", "3", "4", "5"] {
        for switcher in SWITCHERS {
            passes("pauses_a_server", &[("LAB_SEED", seed), ("LAB_SIM_SWITCH", switcher)], "ok");
        }
    }
}

#[test]
fn time_limits_are_of_virtual_time() {
    fails(
        "hangs",
        &[
            "test took longer than 3 seconds",
            "FAILED after 3.",
            "pending for 3.",
            "1 thread: server 1: stuck",
        ],
    );
}

#[test]
fn a_lock_that_is_held_across_an_rpc_is_named() {
    fails(
        "holds_a_lock_across_an_rpc",
        &[
            "This looks like a lock held across an RPC: of server 0, 1 thread waits for the lock self.0 at ",
            "and \"server 0: asks\" waits for the reply of Sample.Touch to server 1, sent at ",
        ],
    );
}

#[test]
fn threads_that_all_wait_are_named_with_their_lines() {
    fails(
        "waits_without_end",
        &[
            "deadlock: every thread waits",
            "thread \"server 1: waits for a message\" waits for a lock, a channel or a condition, at\n",
            "thread \"waits_without_end\" waits",
            "sample/main.rs:",
        ],
    );
    // Of these parking_lot knows more, and says it first.
    fails(
        "deadlocks",
        &[
            "deadlock: these threads wait for each other's locks",
            "locks\n  thread \"server 0: locker\" waits",
            "server 1: locker",
            "sample/main.rs:",
        ],
    );
}

#[test]
fn a_thread_that_spins_is_named_with_its_line() {
    fails("spins", &["a thread has kept all others from running", "sample/main.rs:", "spins"]);
}

/// Its watchers alone still wait for a time.
#[test]
fn a_thread_that_ends_can_leave_a_deadlock() {
    fails("leaves_nobody", &["deadlock: every thread waits", "thread \"leaves_nobody\" waits"]);
}

/// One that only watches may have lost the processor while others wait for it.
#[test]
fn a_watcher_that_holds_a_lock_is_no_deadlock() {
    let environment = [("LAB_SEED", "1"), ("LAB_RUNS", "20"), ("LAB_STRATEGY", "pauses")];
    let (passed, text) = simulate("shares_a_lock", &environment);
    assert!(passed, "{text}");
}

/// However many threads the test starts.
#[test]
fn a_simulation_has_few_kernel_threads() {
    passes("starts_a_thousand_threads", &[], "  kernel threads: 3\n");
    passes("starts_a_thousand_threads", &[("LAB_SIM_SWITCH", "kernel")], "  kernel threads: 1006\n");
}

#[test]
fn stacks_are_as_large_as_the_program_wants() {
    SWITCHERS.iter().for_each(|switcher| {
        passes("needs_a_large_stack", &[("LAB_SIM_SWITCH", switcher)], "Passed");
    });
}

#[test]
fn to_fill_memory_takes_time() {
    passes("fills_memory", &[], "Passed");
}

#[test]
fn a_thread_has_values_of_its_own_and_drops_them_when_it_ends() {
    SWITCHERS.iter().for_each(|switcher| {
        passes("ends_threads_with_values", &[("LAB_SIM_SWITCH", switcher)], "Passed");
    });
}

#[test]
fn a_stack_overflow_names_the_thread() {
    for switcher in SWITCHERS {
        let (passed, text) =
            simulate("overflows_its_stack", &[("LAB_SEED", "7"), ("LAB_SIM_SWITCH", switcher)]);
        assert!(!passed, "{text}");
        assert!(text.contains("\nthread 'my own thread'"), "{text}");
        assert!(text.contains("has overflowed its stack\n"), "{text}");
    }
}

#[test]
fn a_stack_for_which_there_is_no_memory_is_an_error() {
    for switcher in SWITCHERS {
        let program = env!("CARGO_BIN_EXE_sample-tests");
        let mut command = Command::new("bash");
        command.args(["-c", "ulimit -v 1500000; exec \"$0\" --exact starts_threads_without_end", program]);
        command.envs([("LAB_SIM", "1"), ("LAB_SIM_SWITCH", switcher)]);
        let output = command.output().unwrap();
        let text = text(&output);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("there is no memory for the stack of another thread, of 2048 KiB"), "{text}");
    }
}

#[test]
fn a_panic_is_drawn() {
    fails("panics", &["thread \"panics\": expected one leader, got none"]);
    fails("panics_in_a_go_statement", &["thread \"server 2: applier\": apply out of order"]);
}

/// Threads that wait for ever or poll are left where they are when the simulation ends.
#[test]
fn threads_that_are_left_are_named_and_do_not_fail_a_test() {
    for (test, messages) in [
        ("leaves_a_go_statement", ["1 thread is left", "server 3: lingers; "]),
        ("leaves_a_thread", ["1 thread is left", "my own thread (started by std::thread); it sleeps at"]),
        (
            "leaves_threads_of_some_kinds",
            [
                "server 0: ticker (3 such threads, of servers 0, 1, 2); it sleeps at tools/harness/tests/sample",
                "server 1: applier; it waits for a message of a channel at tools/harness/tests/sample/main.rs:",
            ],
        ),
        ("leaves_a_thread_that_panics", ["after the test had passed, thread", "the service is there"]),
        // Nothing else can run, so the simulator gives up after ten seconds.
        (
            "leaves_a_thread_that_spins",
            ["after the test had passed, a thread has kept all others from", "spins"],
        ),
    ] {
        for switcher in ["0", "kernel"] {
            let (passed, text) = simulate(test, &[("LAB_SEED", "1"), ("LAB_SIM_SWITCH", switcher)]);
            assert!(passed && text.contains("... Passed --"), "{text}");
            for message in messages {
                assert!(text.contains(message), "{message:?} is missing in: {text}");
            }
        }
    }
}

#[test]
fn threads_that_are_left_fail_a_strict_test() {
    fails("leaves_a_thread_extra", &["1 thread is left 5 s after", "my own thread (started by std::thread)"]);
    let (passed, text) = simulate("leaves_a_go_statement", &[("LAB_SEED", "1"), ("LAB_STRICT", "1")]);
    assert!(!passed && text.contains("1 thread is left 5 s after"), "{text}");
}

#[test]
fn a_seed_that_fails_is_found_and_replayed() {
    let (passed, text) = simulate("fails_now_and_then", &[("LAB_SEED", "1"), ("LAB_RUNS", "200")]);
    assert!(!passed, "{text}");
    let (_, seed) = text.split_once("failed with seed ").unwrap();
    let (seed, _) = seed.split_once(';').unwrap();
    let failure = |text: &str| text.lines().find(|line| line.contains("FAILED after")).unwrap().to_string();
    let first = failure(&text);
    assert!(first.contains("lost update at"), "{text}");
    for log in ["", "debug"] {
        let (passed, text) = simulate("fails_now_and_then", &[("LAB_SEED", seed), ("RUST_LOG", log)]);
        assert!(!passed, "{text}");
        assert_eq!(failure(&text), first);
        assert_eq!(text.contains("client 1 has read"), log == "debug", "{text}");
    }
    // Others do not fail, or this were no test of the seed.
    let (_, text) =
        simulate("fails_now_and_then", &[("LAB_SEED", "1"), ("LAB_RUNS", "50"), ("LAB_KEEP_GOING", "1")]);
    let (failures, _) = text.split_once(" of 50 seeds failed").unwrap();
    let failures: u32 = failures.rsplit(char::is_whitespace).next().unwrap().parse().unwrap();
    assert!((1..50).contains(&failures), "{text}");
    // Each with what was said of it.
    let (_, list) = text.split_once(" of 50 seeds failed:\n").unwrap();
    let named = list.lines().take_while(|line| line.starts_with("  ") && line.contains(": "));
    assert_eq!(named.count() as u32, failures, "{text}");
}

#[test]
fn two_runs_are_compared() {
    let (passed, text) = simulate("passes", &[("LAB_SEED", "1"), ("LAB_TWICE", "1")]);
    assert!(passed, "{text}");
    let (passed, text) = simulate("differs_from_run_to_run", &[("LAB_SEED", "1"), ("LAB_TWICE", "1")]);
    assert!(!passed && text.contains("a second run with the same seed went another way"), "{text}");
    let (_, traces) = text.split_once("The traces: ").unwrap();
    for trace in traces.lines().next().unwrap().split(' ') {
        assert!(std::fs::read_to_string(trace).unwrap().contains("process "), "it can be read: {trace}");
        std::fs::remove_file(trace).unwrap();
    }
}

/// The folder is made, and the traces stay there.
#[test]
fn the_traces_of_two_runs_are_kept_when_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let traces = folder.path().join("not/there");
    let environment = [("LAB_SEED", "1"), ("LAB_TWICE", "1"), ("LAB_TRACE", traces.to_str().unwrap())];
    let (passed, text) = simulate("passes", &environment);
    assert!(passed, "{text}");
    assert_eq!(files(&traces), ["passes-1", "passes-1-again"], "{text}");
}

#[test]
fn zero_and_nothing_turn_a_variable_off() {
    for off in ["0", ""] {
        let folder = tempfile::tempdir().unwrap();
        let traces = folder.path().to_str().unwrap();
        let names = ["LAB_TWICE", "LAB_RUNS", "LAB_KEEP_GOING", "LAB_STRATEGY", "LAB_PEAK_THREADS"];
        let environment = names.map(|name| (name, off));
        let (passed, text) =
            simulate("passes", &[&environment[..], &[("LAB_SEED", "1"), ("LAB_TRACE", traces)]].concat());
        assert!(passed && text.contains("(virtual time, seed 1)"), "{text}");
        assert_eq!(files(folder.path()), ["passes-1"], "one run, with {off:?}");
        let (passed, text) = simulate("passes", &[("LAB_SEED", off), ("LAB_TRACE", off)]);
        assert!(passed && text.contains("(virtual time, seed "), "{text}");
        assert!(!text.contains("seed 0)"), "a new seed: {text}");
        let (passed, text) = simulate("passes", &[("LAB_SIM", off), ("LAB_SEED", off)]);
        assert!(passed && !text.contains("virtual"), "{text}");
    }
}

#[test]
fn a_trace_is_the_same_for_one_seed_and_strategy_only() {
    let folder = tempfile::tempdir().unwrap();
    let trace = |run: &str, seed: &str, strategy: &str| {
        let to = folder.path().join(run);
        let environment =
            [("LAB_SEED", seed), ("LAB_STRATEGY", strategy), ("LAB_TRACE", to.to_str().unwrap())];
        simulate("fails_now_and_then", &environment);
        std::fs::read_to_string(to.join(format!("fails_now_and_then-{seed}"))).unwrap()
    };
    for strategy in ["uniform", "priorities", "pauses"] {
        let first = trace("first", "3", strategy);
        assert!(first.contains("client 0 has read"), "{first}");
        assert_eq!(first, trace("second", "3", strategy), "{strategy}");
        assert_ne!(first, trace("third", "4", strategy), "{strategy}");
    }
}

/// Roles and terms are asked for by a thread of the simulation, and the test fails after that.
#[test]
fn a_picture_shows_what_happened_in_virtual_time() {
    fails("breaks_a_history", &["history of 4 operations is not linearizable"]);
    let (_, text) = simulate("breaks_a_history", &[("LAB_SEED", "7"), ("RUST_LOG", "debug")]);
    let (log, picture) = drawn(&text, "breaks_a_history", 7);
    let (_, states) = picture.split_once("\"states\":[").unwrap();
    assert!(states.starts_with('[') && states.split_once("]]").unwrap().0.contains(",1,7,1"), "{states}");
    let (_, end) = picture.split_once("\"end\":").unwrap();
    let end: u64 = end.split_once(',').unwrap().0.parse().unwrap();
    // The test sleeps for 18 ms.
    assert!((18_000..1_000_000).contains(&end), "after {end} us");
    let line = log.lines().find(|line| line.contains("server 1, term 7: applies")).unwrap();
    assert!(line.contains(" S1 ") && text.contains(line), "{line}: printed as it is kept");
}

#[test]
fn a_run_is_the_same_whatever_is_drawn_and_printed() {
    let (folder, program) = own_folder();
    let trace = |test: &str, environment: &[(&str, &str)]| {
        let to = folder.path().join("traces");
        let environment = [&[("LAB_SEED", "5"), ("LAB_TRACE", to.to_str().unwrap())], environment].concat();
        simulate_with(&program, test, &environment);
        std::fs::read_to_string(to.join(format!("{test}-5"))).unwrap()
    };
    // One that fails, and one that passes. The last locks what it logs.
    for (test, said) in [
        ("breaks_a_history", "has done: client 2: get(\"k\")"),
        ("passes", "end: "),
        ("logs_what_is_locked", "server 1: 1"),
    ] {
        let first = trace(test, &[]);
        assert!(first.contains(said), "{first}");
        for environment in [[("LAB_PICTURE", "0")], [("LAB_PICTURE", "1")], [("RUST_LOG", "debug")]] {
            assert_eq!(first, trace(test, &environment), "{environment:?}");
        }
    }
    let drawn = ["breaks_a_history", "logs_what_is_locked", "passes"];
    assert_eq!(pictures(&folder), drawn.map(|test| format!("{test}-seed-5.html")));
}

/// Each failure of many would take up some megabytes.
#[test]
fn of_many_failures_the_first_is_drawn() {
    let (folder, program) = own_folder();
    let many = [("LAB_SEED", "1"), ("LAB_RUNS", "30")];
    let (_, text) =
        simulate_with(&program, "fails_now_and_then", &[&many[..], &[("LAB_PICTURE", "0")]].concat());
    assert!(text.contains("lost update") && pictures(&folder).is_empty(), "{text}");
    for more in [&[][..], &[("LAB_KEEP_GOING", "1")], &[("LAB_PICTURE", "1")], &[("LAB_TWICE", "1")]] {
        let (_, text) = simulate_with(&program, "fails_now_and_then", &[&many[..], more].concat());
        let (_, seed) = text.split_once("failed with seed ").unwrap();
        let seed: u32 = seed.split_once(';').unwrap().0.parse().unwrap();
        let (_, picture) = drawn(&text, "fails_now_and_then", seed);
        assert!(picture.contains("lost update at"), "{text}");
        assert_eq!(pictures(&folder), [format!("fails_now_and_then-seed-{seed}.html")], "{text}");
    }
}

#[test]
fn of_one_test_the_newest_pictures_are_kept() {
    let (folder, program) = own_folder();
    simulate_with(&program, "leaves_a_thread_extra", &[("LAB_SEED", "1")]);
    for seed in ["11", "12", "13", "21", "22", "23"] {
        simulate_with(&program, "panics", &[("LAB_SEED", seed)]);
    }
    let kept = ["leaves_a_thread_extra-seed-1.html".to_string()].into_iter();
    let kept = kept.chain([12, 13, 21, 22, 23].map(|seed| format!("panics-seed-{seed}.html")));
    assert_eq!(pictures(&folder), kept.collect::<Vec<_>>());
}

/// Nothing runs, and the student's code is not blamed.
#[test]
fn a_wrong_environment_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let no_folder = file.join("traces").to_str().unwrap().to_string();
    let last = u64::MAX.to_string();
    let number = "it must be a whole number from 1 on; 0 or nothing turns it off";
    let switch = "it must be 1; 0 or nothing turns it off";
    for (environment, message) in [
        (&[("LAB_SEED", "x")][..], &format!("LAB_SEED=x: {number}")[..]),
        (&[("LAB_RUNS", "-1")], &format!("LAB_RUNS=-1: {number}")),
        (&[("LAB_SEED", "00")], &format!("LAB_SEED=00: {number}")),
        (&[("LAB_TWICE", "yes")], &format!("LAB_TWICE=yes: {switch}")),
        (&[("LAB_SIM", "true")], &format!("LAB_SIM=true: {switch}")),
        (&[("LAB_PICTURE", "2")], &format!("LAB_PICTURE=2: {switch}")),
        (
            &[("LAB_STRATEGY", "luck")],
            "LAB_STRATEGY=luck: it must be uniform, priorities, pauses or slow-places;",
        ),
        (&[("LAB_SIM", "0"), ("LAB_SEED", "1")], "LAB_SEED is for simulations: set LAB_SIM=1 too"),
        (&[("LAB_SEDE", "1")], "LAB_SEDE: there is no such variable; there are LAB_SIM, LAB_SEED,"),
        (
            &[("LAB_SEED", &last), ("LAB_RUNS", "2")],
            &format!("LAB_SEED={last}: there are no 2 seeds from there on"),
        ),
        (&[("LAB_TRACE", &no_folder)], &format!("LAB_TRACE={no_folder}: it must be a folder")),
        (&[("LAB_TRACE", &no_folder), ("LAB_TWICE", "1")], &format!("LAB_TRACE={no_folder}: it must be")),
    ] {
        let output = run(Path::new(env!("CARGO_BIN_EXE_sample-tests")), "passes", environment);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(message) && text.lines().count() == 1, "{text}");
    }
}
