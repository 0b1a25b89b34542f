//! The integrity gate: before points count, the service must show that it is replicated. In simulated runs on a calm network, each
//! server in turn is cut off, the leader too, and the others must go on with all that clients were told. Of Lab 2's Raft, only
//! elections are asked for, because they are what its first part is about: when a leader is cut off, another server must lead.
//!
//! A service without Raft cannot do that, and each right solution can: nothing is asked of it that depends on the machine, on
//! crashes or on a bad network. What else fails in such a run is no reason to take points.

use crate::lab::{Lab, Part, Test};
use crate::run::{self, Hunter};
use crate::strays;
use anyhow::Result;
use hunt::{Outcome, Scenario, Trial};
use std::time::{Duration, Instant};

/// What the runs are like: no fault but that servers are cut off in the end, which the hunt does in every run.
fn scenarios(lab: Lab) -> [&'static str; 2] {
    match lab {
        Lab::Two => ["3 servers, 0 clients, 500 ms, uniform", "5 servers, 0 clients, 500 ms, uniform"],
        Lab::Three => ["3 servers, 2 clients, 500 ms, uniform", "5 servers, 2 clients, 500 ms, uniform"],
    }
}

/// How many runs of each scenario there are at most: one of them must pass.
const RUNS: u64 = 3;

/// The longest real time of a run. One takes some milliseconds; one that takes longer proves nothing.
const LIMIT: Duration = Duration::from_secs(20);

/// The properties that count. Each names what is violated in the first line of a failure.
const COUNTED: [&str; 2] = ["Linearizability", "Liveness"];

/// The test in real time that decides where the simulated runs do not: a hand-in may notice that it is simulated. It asks for the
/// same. Of Lab 2, the tests of elections and of agreement ask for it already.
pub fn test_in_real_time(lab: Lab) -> Option<&'static Test> {
    let tests = match lab {
        Lab::Two => &[][..],
        Lab::Three => Part::Lab3A.extra_tests(),
    };
    tests.iter().find(|test| test.function == "test_any_majority_extra")
}

/// What the gate has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The service is replicated.
    Passed,
    /// It is not: why, and a run that shows it.
    Failed {
        /// What was violated, and what happened.
        why: String,
        /// The command that makes runs like it.
        command: String,
    },
    /// No run has passed, and one has failed for a reason that does not count.
    Undecided(String),
}

/// Makes the runs. `hunted`: what `make hunt` is told to hunt the same.
///
/// # Errors
/// When the grader cannot make a run.
pub fn check(hunter: &Hunter<'_>, first_seed: u64, lab: Lab, hunted: &str) -> Result<Gate> {
    for text in scenarios(lab) {
        let scenario: Scenario = text.parse()?;
        let run = |number: u64| {
            let seed = first_seed.wrapping_add(number);
            let outcome = hunter.run(&Trial { seed, scenario: scenario.clone() }, LIMIT)?;
            strays::kill_all();
            Ok(doubt(outcome))
        };
        match judge(&run)? {
            Shown::Yes => {}
            Shown::No(why) => return Ok(Gate::Failed { why, command: scenario.hunt_command(hunted) }),
            Shown::Unknown(why) => return Ok(Gate::Undecided(why)),
        }
    }
    Ok(Gate::Passed)
}

/// Whether the runs of a scenario show that the service is replicated.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Yes,
    No(String),
    Unknown(String),
}

/// Makes runs of a scenario, by their numbers, until one leaves no doubt. A service that is not replicated passes none of them. One
/// that is may fail some of them, because of a bug: how many points that costs is for the tests to say.
fn judge(run: &dyn Fn(u64) -> Result<Option<String>>) -> Result<Shown> {
    let mut doubts = Vec::new();
    for number in 0..RUNS {
        let began = Instant::now();
        let Some(why) = run(number)? else { return Ok(Shown::Yes) };
        doubts.push(why);
        if began.elapsed() > LIMIT / 2 {
            // The others would take as long.
            return Ok(Shown::Unknown(doubts.swap_remove(0)));
        }
    }
    let other = doubts.iter().position(|why| !counts(why));
    Ok(match other {
        Some(other) => Shown::Unknown(doubts.swap_remove(other)),
        None => Shown::No(doubts.swap_remove(0)),
    })
}

/// Why a run does not show that the service is replicated. None: it does. Threads that are left are no reason.
fn doubt(outcome: Outcome) -> Option<String> {
    let warning = outcome.warning.filter(|warning| !run::is_about_threads(warning));
    outcome.failure.or(warning)
}

/// Whether a failure shows that the service is not replicated: it comes when servers are cut off, or nobody leads. What fails
/// while all servers are connected is another bug; the tests judge it.
fn counts(why: &str) -> bool {
    let first = why.lines().next().unwrap_or_default();
    COUNTED.iter().any(|property| first.strip_prefix(property).is_some_and(|rest| rest.starts_with(':')))
        && ["cut off", "there is no leader"].iter().any(|when| first.contains(when))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_are_left_leave_no_doubt() {
        let doubt = |failure: Option<&str>, warning: Option<&str>| {
            doubt(Outcome { failure: failure.map(str::to_string), warning: warning.map(str::to_string) })
        };
        let left = format!("1 thread is left 1 s {}:\n  server 1: ticker", run::THREADS_ARE_LEFT);
        assert_eq!(doubt(None, Some(&left)), None);
        assert_eq!(doubt(Some("Order: a"), Some(&left)).as_deref(), Some("Order: a"));
        assert_eq!(doubt(None, Some("it hung")).as_deref(), Some("it hung"));
    }

    #[test]
    fn one_run_that_passes_shows_it() {
        let (cut, other) = ("Liveness: 5.6 s without faults, and there is no leader", "Order: a");
        let judge = |doubts: [Option<&str>; RUNS as usize]| {
            judge(&|number| Ok(doubts[number as usize].map(str::to_string))).unwrap()
        };
        assert_eq!(judge([None, None, None]), Shown::Yes);
        assert_eq!(judge([Some(cut), Some(other), None]), Shown::Yes);
        assert_eq!(judge([Some(cut); 3]), Shown::No(cut.to_string()));
        assert_eq!(judge([Some(cut), Some(other), Some(cut)]), Shown::Unknown(other.to_string()));
    }

    #[test]
    fn lab_3_has_a_test_in_real_time() {
        assert!(test_in_real_time(Lab::Three).is_some_and(|test| !test.is_simulated));
        assert!(test_in_real_time(Lab::Two).is_none());
    }

    #[test]
    fn only_properties_of_the_service_count() {
        assert!(counts("Liveness: 5.6 s without faults, and there is no leader"));
        assert!(counts(
            "Liveness: all servers have been up for 5.6 s, and connected except for [1], cut off on purpose, and"
        ));
        assert!(counts("Linearizability: no order explains all results, since servers were cut off\n  key"));
        for other in [
            "Linearizability: no order of the 20 operations explains all results\n  are cut off",
            "Liveness: 5.6 s without faults, and an operation does not end",
            "Speed: one operation after the other: cut off",
            "thread \"x\": Liveness: cut off",
            "it hung",
        ] {
            assert!(!counts(other), "{other}");
        }
    }

    #[test]
    fn the_scenarios_are_scenarios() {
        for text in [Lab::Two, Lab::Three].into_iter().flat_map(scenarios) {
            let scenario: Scenario = text.parse().unwrap();
            assert!(scenario.faults.is_empty() && scenario.snapshots_at.is_none());
        }
    }
}
