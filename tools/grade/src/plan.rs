//! How to grade: the options, checked.

use crate::deadlines;
use crate::lab::{Part, Test};
use crate::run;
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Which time the tests run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// Real time. Seeds are simulated after that.
    Real,
    /// Virtual time alone: each test runs with several seeds.
    Simulated,
}

impl Clock {
    /// How many seeds of each test are simulated unless the instructor says otherwise.
    pub fn usual_seeds(self) -> u32 {
        match self {
            Clock::Real => 0,
            Clock::Simulated => 10,
        }
    }

    /// How many of `seeds` seeds a long test is simulated with, unless the instructor says otherwise.
    pub fn usual_long_seeds(self, seeds: u32) -> u32 {
        match self {
            Clock::Real => seeds,
            Clock::Simulated => seeds.min(1),
        }
    }
}

/// What the tests beyond the Go lab's are for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extra {
    /// If one of them fails, nothing counts. They have no points of their own.
    Gate,
    /// Each is worth so many points.
    Points(f64),
}

impl FromStr for Extra {
    type Err = String;

    fn from_str(text: &str) -> Result<Extra, String> {
        match text.parse() {
            _ if text == "gate" => Ok(Extra::Gate),
            Ok(points) if f64::is_finite(points) && points >= 0.0 => Ok(Extra::Points(points)),
            _ => Err("it must be `gate`, or the points of each extra test: a number, 0 or more".to_string()),
        }
    }
}

impl std::fmt::Display for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extra::Gate => f.write_str("gate"),
            Extra::Points(points) => write!(f, "{points}"),
        }
    }
}

/// The tests of a part with their points: those of the Go lab, whose points are `points`, and then the extra tests. None: without
/// these.
pub fn worth(part: Part, points: &[f64], extra: Option<Extra>) -> Vec<(&'static Test, f64)> {
    let own = part.tests().iter().zip(points.iter().copied());
    let each = match extra {
        Some(Extra::Points(points)) => points,
        Some(Extra::Gate) | None => 0.0,
    };
    let extras = extra.map_or(&[][..], |_| part.extra_tests()).iter();
    own.chain(extras.map(|test| (test, each))).collect()
}

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
    /// Which time the tests run in.
    pub clock: Clock,
    /// What the extra tests are for; None: they are not run.
    pub extra: Option<Extra>,
    /// How often a test is run in real time; 0 with [`Clock::Simulated`].
    pub runs: usize,
    /// How many of these runs must pass.
    pub must_pass: usize,
    /// How many seeds of each test are simulated; 0: none.
    pub seeds: u32,
    /// The same of each long test ([`Test::is_long`]).
    pub long_seeds: u32,
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
        let all = worth(self.part, &self.points, self.extra).into_iter();
        all.filter(|(test, _)| is_wanted(test)).collect()
    }

    /// How many seeds of a test are simulated.
    pub fn seeds_of(&self, test: &Test) -> u32 {
        if test.is_long { self.long_seeds } else { self.seeds }
    }

    /// True if the build needs the simulator.
    pub fn simulates(&self) -> bool {
        self.seeds > 0 || self.hunts() || self.extra.is_some()
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
        if self.clock == Clock::Simulated {
            ensure!(self.seeds > 0, "--time simulated: --seeds must be 1 or more: there are no other runs");
            ensure!(
                self.long_seeds > 0,
                "--time simulated: --long-seeds must be 1 or more: there are no other runs"
            );
        }
        ensure!(
            self.long_seeds <= self.seeds,
            "--long-seeds {}: it must not be more than --seeds {}",
            self.long_seeds,
            self.seeds
        );
        if self.extra.is_some() && self.part.extra_tests().is_empty() {
            bail!(
                "--extra: the extra tests of Lab 2 restart servers, so they need all of Raft: grade them with --part 2C or 2"
            );
        }
        if self.hunt.is_some() && [Part::Lab2A, Part::Lab2B].contains(&self.part) {
            bail!("--hunt: the hunt restarts servers, which 2C is about: hunt with --part 2C or 2");
        }
        let needs_simulator = [
            ("--time simulated", self.clock == Clock::Simulated),
            ("--seeds", self.seeds > 0),
            ("--hunt", self.hunt.is_some()),
            ("--extra", self.extra.is_some()),
        ];
        if let Some((option, _)) =
            needs_simulator.into_iter().find(|(_, is_given)| *is_given && !run::CAN_SIMULATE)
        {
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
            part: Part::Lab3A,
            points: Part::Lab3A.points(None).unwrap(),
            clock: Clock::Real,
            extra: None,
            runs: 1,
            must_pass: 1,
            seeds: 0,
            long_seeds: 0,
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
        let of_part = |part: Part| Plan { part, points: part.points(None).unwrap(), ..plan() };
        let hunting = || Plan { hunt: Some(Duration::from_secs(60)), ..plan() };
        assert!(Plan { hunt_points: 60.0, ..hunting() }.check().is_ok());
        for (option, wrong) in [
            ("--must-pass", Plan { must_pass: 2, ..plan() }),
            ("--broken", Plan { broken_part: 1.5, ..plan() }),
            ("--tests", Plan { filter: vec!["nothing".to_string()], ..plan() }),
            ("--seeds", Plan { seeds: 1000, ..plan() }),
            ("--time simulated:", Plan { clock: Clock::Simulated, runs: 0, must_pass: 0, ..plan() }),
            ("--long-seeds 3:", Plan { seeds: 2, long_seeds: 3, ..plan() }),
            ("--extra:", Plan { extra: Some(Extra::Gate), ..of_part(Part::Lab2A) }),
            ("--hunt:", Plan { hunt: Some(Duration::from_secs(60)), ..of_part(Part::Lab2B) }),
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

    #[test]
    fn extra_tests_come_last_with_points_or_without() {
        let points = |extra| {
            let plan = Plan { extra, ..plan() };
            let tests = plan.tests();
            assert!(plan.simulates() || extra.is_none() && !plan.gate);
            tests[15..].iter().map(|(_, points)| *points).collect::<Vec<_>>()
        };
        assert_eq!(points(Some(Extra::Points(1.5))), [1.5, 1.5, 1.5]);
        assert_eq!(points(Some(Extra::Gate)), [0.0, 0.0, 0.0]);
        assert!(Plan { extra: None, ..plan() }.tests().len() == 15);
        assert_eq!(("gate".parse(), "2.5".parse()), (Ok(Extra::Gate), Ok(Extra::Points(2.5))));
        for wrong in ["", "-1", "NaN", "inf", "all"] {
            assert!(wrong.parse::<Extra>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn simulated_time_has_room_for_many_seeds() {
        let simulated = |seeds| Plan {
            clock: Clock::Simulated,
            runs: 0,
            must_pass: 0,
            seeds,
            long_seeds: Clock::Simulated.usual_long_seeds(seeds),
            ..plan()
        };
        let plan = simulated(10);
        let seeds = plan.tests().iter().map(|(test, _)| plan.seeds_of(test)).collect::<Vec<_>>();
        assert_eq!(seeds, [1, 1, 10, 10, 10, 10, 10, 1, 1, 1, 1, 10, 1, 10, 10]);
        assert!(simulated(Clock::Simulated.usual_seeds()).check().is_ok());
        assert!(simulated(27).check().is_ok() && simulated(28).check().is_err());
    }
}
