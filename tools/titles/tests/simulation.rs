//! Sample titles in simulation: run as a user would, and their output read.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu", not(lab_without_sim)))]
#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests; this is for their helpers")]

use std::path::PathBuf;
use std::process::Command;

/// Whether the titles of this name passed, and all that was printed.
fn simulate(title: &str, environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sample-titles"));
    command.args(["--exact", title]).env("LAB_SIM", "1").env_remove("RUST_LOG");
    for name in ["LAB_SEED", "LAB_RUNS", "LAB_STRATEGY", "LAB_TRACE", "LAB_TWICE", "LAB_KEEP_GOING"] {
        command.env_remove(name);
    }
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[track_caller]
fn fails(title: &str, messages: &[&str]) {
    let (passed, text) = simulate(title, &[("LAB_SEED", "7")]);
    assert!(!passed, "{text}");
    for message in messages {
        assert!(text.contains(message), "{message:?} is missing in: {text}");
    }
    let last = text.split_once("this replays it:").unwrap().1;
    assert!(last.contains("\n  LAB_SIM=1 LAB_SEED=7 "), "{text}");
    assert!(last.contains(&format!(" --exact {title}\n")), "{text}");
}

/// A new folder for traces.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sim-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[test]
fn a_title_that_passes_names_its_seed_and_says_that_its_time_is_not_real() {
    let (passed, text) = simulate("passes", &[("LAB_SEED", "7")]);
    assert!(passed, "{text}");
    assert!(text.contains("  ... Passed --   0.0  3    12    1  (virtual time, seed 7)\n"), "{text}");
    let (passed, text) = simulate("passes", &[]);
    assert!(passed && text.contains("(virtual time, seed "), "{text}");
}

#[test]
fn time_limits_are_of_virtual_time() {
    fails(
        "hangs",
        &["FAILED after 3.", "test took longer than 3 seconds", "pending for 3.", "s: server 1: stuck"],
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
        &["deadlock: these threads wait for each other's locks", "server 0: locker", "sample/main.rs:"],
    );
}

#[test]
fn a_thread_that_spins_is_named_with_its_line() {
    fails("spins", &["a thread has kept all others from running", "sample/main.rs:", "spins"]);
}

#[test]
fn threads_that_are_left_are_named() {
    fails("leaves_a_go_statement", &["1 thread is left", "server 3: lingers"]);
    fails("leaves_a_thread", &["1 thread is left", "my own thread (started by std::thread)"]);
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
}

#[test]
fn a_trace_is_the_same_for_one_seed_and_strategy_only() {
    let folder = folder("traces");
    let trace = |run: &str, seed: &str, strategy: &str| {
        let to = folder.join(run);
        let environment =
            [("LAB_SEED", seed), ("LAB_STRATEGY", strategy), ("LAB_TRACE", to.to_str().unwrap())];
        simulate("fails_now_and_then", &environment);
        std::fs::read_to_string(to.join(format!("fails_now_and_then-{seed}"))).unwrap()
    };
    for strategy in ["uniform", "priorities", "pauses", "storm"] {
        let first = trace("first", "3", strategy);
        assert!(first.contains("client 0 has read"), "{first}");
        assert_eq!(first, trace("second", "3", strategy), "{strategy}");
        assert_ne!(first, trace("third", "4", strategy), "{strategy}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    for (environment, message) in [
        (&[("LAB_SEED", "x")][..], "LAB_SEED=x: it must be a whole number"),
        (&[("LAB_RUNS", "0")], "LAB_RUNS=0"),
        (&[("LAB_STRATEGY", "luck")], "no strategy \"luck\"; there are uniform, priorities, pauses, storm"),
        (&[("LAB_SIM", "0"), ("LAB_SEED", "1")], "LAB_SEED is for simulations: set LAB_SIM=1 too"),
    ] {
        let (passed, text) = simulate("passes", environment);
        assert!(!passed && text.contains(message), "{text}");
    }
}
