//! How to grade: the options, checked.

use crate::deadlines;
use crate::lab::{Part, Test};
use crate::run;
use anyhow::{Result, bail, ensure};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How to grade.
#[derive(Clone)]
pub struct Plan {
    /// The lab's workspace, which holds everything that is not handed in.
    pub pristine: PathBuf,
    /// The folder to work in; None: a temporary one.
    pub work: Option<PathBuf>,
    /// The folder that keeps what every grading builds.
    pub cache: Option<PathBuf>,
    /// When the grader was started.
    pub began: Instant,
    /// How long after that the scores are printed at the latest.
    pub time: Duration,
    /// How long the hand-in may take to compile.
    pub build_limit: Duration,
    /// Bytes of memory for a test.
    pub memory: u64,
    /// How many processes and threads a test may have.
    pub processes: u64,
    /// The part of the lab.
    pub part: Part,
    /// The points of each of its tests.
    pub points: Vec<f64>,
    /// How often a test is run in real time.
    pub runs: usize,
    /// How many of these runs must pass.
    pub must_pass: usize,
    /// How many seeds of each test are simulated; 0: none.
    pub seeds: u32,
    /// How long to hunt for bugs; None: not at all.
    pub hunt: Option<Duration>,
    /// The points that are taken off if the hunt finds a bug.
    pub hunt_points: f64,
    /// Whether the service must show that it is replicated before points count.
    pub gate: bool,
    /// The first seed, of the tests, of the gate and of the hunt.
    pub first_seed: u64,
    /// The part of the points that a hand-in gets if it does not compile.
    pub broken_part: f64,
    /// Parts of the names of the tests that are run; empty: all tests.
    pub filter: Vec<String>,
    /// Where to write Gradescope's results.json.
    pub gradescope: Option<PathBuf>,
}

impl Plan {
    /// The tests that are run, with their points.
    pub fn tests(&self) -> Vec<(&'static Test, f64)> {
        let is_wanted = |test: &Test| {
            let fits = |part: &String| test.function.contains(part) || test.problem.contains(part);
            self.filter.is_empty() || self.filter.iter().any(fits)
        };
        self.part
            .tests()
            .iter()
            .zip(self.points.iter().copied())
            .filter(|(test, _)| is_wanted(test))
            .collect()
    }

    /// True if the build needs the simulator.
    pub fn simulates(&self) -> bool {
        self.seeds > 0 || self.hunts()
    }

    /// True if the build needs the program that hunts.
    pub fn hunts(&self) -> bool {
        self.gate || self.hunt.is_some()
    }

    /// Finds contradictions.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.must_pass <= self.runs,
            "--must-pass {}: there are only {} runs (--runs)",
            self.must_pass,
            self.runs
        );
        ensure!((0.0..=1.0).contains(&self.broken_part), "--broken: the percentage must be from 0 to 100");
        if (self.seeds > 0 || self.hunt.is_some()) && !run::CAN_SIMULATE {
            let option = if self.seeds > 0 { "--seeds" } else { "--hunt" };
            bail!(
                "{option}: the simulator needs x86-64 or aarch64 Linux with glibc; grade there, or without {option}"
            );
        }
        let tests = self.tests();
        ensure!(
            !tests.is_empty(),
            "--tests: no test that is graded has {} in its name",
            self.filter.join(" or ")
        );
        // Refuse now: otherwise each hand-in's table would say that some seeds were not run.
        let usual: Vec<f64> = tests.iter().map(|(test, _)| test.seconds).collect();
        let most = deadlines::most_seeds(self.time, &usual, self.must_pass);
        ensure!(
            self.seeds <= most,
            "--seeds {}: besides the runs in real time there is time for at most {most} seeds of each test within {} s; \
             ask for fewer, or set a later --deadline",
            self.seeds,
            self.time.as_secs()
        );
        self.check_hunt(&tests, &usual)
    }

    fn check_hunt(&self, tests: &[(&'static Test, f64)], usual: &[f64]) -> Result<()> {
        let Some(hunt) = self.hunt else { return Ok(()) };
        let sum: f64 = tests.iter().map(|(_, points)| points).sum();
        check_hunt_points(self.hunt_points, sum)?;
        let most = deadlines::most_hunt(self.time, usual, self.must_pass, self.seeds);
        ensure!(
            hunt.as_secs() <= most,
            "--hunt {}: besides the tests and their seeds there is time for a hunt of at most {most} s within {} s; ask for less, \
             or set a later --deadline",
            hunt.as_secs(),
            self.time.as_secs()
        );
        Ok(())
    }
}

/// Checks the points that a bug costs. `sum` is what all tests together are worth.
pub fn check_hunt_points(points: f64, sum: f64) -> Result<()> {
    ensure!(
        (0.0..=sum).contains(&points),
        "--hunt-points {points}: a bug can cost from 0 to {sum} points, which is what all tests together are worth"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            pristine: PathBuf::new(),
            work: None,
            cache: None,
            began: Instant::now(),
            time: Duration::from_secs(deadlines::DEADLINE),
            build_limit: Duration::from_secs(120),
            memory: 0,
            processes: 0,
            part: Part::A,
            points: Part::A.points(None).unwrap(),
            runs: 1,
            must_pass: 1,
            seeds: 0,
            hunt: None,
            hunt_points: 0.0,
            gate: true,
            first_seed: 1,
            broken_part: 0.0,
            filter: Vec::new(),
            gradescope: None,
        }
    }

    #[test]
    fn contradictions_are_named_by_their_option() {
        assert!(plan().check().is_ok());
        let hunting = || Plan { hunt: Some(Duration::from_secs(60)), ..plan() };
        assert!(Plan { hunt_points: 60.0, ..hunting() }.check().is_ok());
        for (option, wrong) in [
            ("--must-pass", Plan { must_pass: 2, ..plan() }),
            ("--broken", Plan { broken_part: 1.5, ..plan() }),
            ("--tests", Plan { filter: vec!["nothing".to_string()], ..plan() }),
            ("--seeds", Plan { seeds: 1000, ..plan() }),
            ("--hunt 9999:", Plan { hunt: Some(Duration::from_secs(9999)), ..plan() }),
            ("--hunt-points 60.5:", Plan { hunt_points: 60.5, ..hunting() }),
            ("--hunt-points -1:", Plan { hunt_points: -1.0, ..hunting() }),
            ("--hunt-points NaN:", Plan { hunt_points: f64::NAN, ..hunting() }),
            ("--hunt-points 6:", Plan { hunt_points: 6.0, filter: vec!["basic".to_string()], ..hunting() }),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.starts_with(option), "{option}: {error}");
        }
    }

    #[test]
    fn a_filter_matches_functions_and_problems_and_keeps_the_points() {
        let filtered = |filter: &str| Plan { filter: vec![filter.to_string()], ..plan() }.tests();
        let points = |tests: Vec<(&Test, f64)>| tests.iter().map(|(_, points)| *points).collect::<Vec<_>>();
        assert_eq!(points(filtered("test_basic")), [5.0]);
        assert_eq!(points(filtered("15 linearizability")), [2.5]);
        assert_eq!(plan().tests().len(), 15);
    }
}
