//! Runs one test of the hand-in in a confined process. Only this module calls the harness.

use crate::confine::{self, Allowance, Kind};
use crate::disk;
use crate::folders::Folders;
use crate::foreign::Excerpt;
use crate::lab::Lab;
use crate::strays;
use crate::workspace;
use anyhow::{Context, Result};
use harness::{PassedLine, SimulatedRun, TestFailure, TestPass, TestRun, Trust};
use hunt::{Outcome, Trial};
use rustix::process::getuid;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a test may take by its own clock.
pub const LIMIT: Duration = harness::LIMIT;

/// True if this machine can simulate tests: the simulator is for x86-64 and aarch64 Linux with glibc.
pub const CAN_SIMULATE: bool = harness::CAN_SIMULATE;

/// A seed that nobody can know in advance.
pub fn fresh_seed() -> u64 {
    harness::fresh_seed()
}

/// The command that simulates a test with this seed.
pub fn replay_command(lab: Lab, function: &str, seed: u64) -> String {
    harness::replay(lab.package(), "test_test", function, seed)
}

/// Words of a warning that threads of killed servers are left.
pub use harness::THREADS_ARE_LEFT;

/// Whether a warning says nothing but that threads of killed servers are left.
pub fn is_about_threads(warning: &str) -> bool {
    warning.contains(THREADS_ARE_LEFT)
}

/// The numbers of a test's last line, "  ... Passed --  15.1  5  4653  126", and what looked odd.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub seconds: f64,
    pub rpcs: u64,
    pub operations: u64,
    /// What looked odd.
    pub remarks: Vec<String>,
}

impl From<TestPass> for Figures {
    fn from(TestPass { line, remarks }: TestPass) -> Figures {
        // A test need not set a last line.
        let Some(PassedLine { seconds, rpcs, operations, .. }) = line else {
            return Figures { remarks, ..Figures::default() };
        };
        Figures { seconds, rpcs: rpcs as u64, operations: operations as u64, remarks }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    Passed(Figures),
    /// With the reason.
    Failed(String),
}

impl Verdict {
    /// The figures of a run that has passed.
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Verdict::Passed(figures) => Some(figures),
            Verdict::Failed(_) => None,
        }
    }
}

/// How a run ended, and an excerpt of what it printed.
pub struct Ended {
    pub verdict: Verdict,
    pub output: String,
    /// True if it had no result when its time was up.
    pub is_unfinished: bool,
}

impl Ended {
    /// True if the run failed, and other processes of the same user had the threads that it wanted.
    pub fn lacked_threads_of_others(&self) -> bool {
        let says = |text: &str| text.contains(harness::OTHERS_HAVE_THEM);
        matches!(&self.verdict, Verdict::Failed(why) if says(why) || says(&self.output))
    }
}

/// Runs the tests of one hand-in.
pub struct Runner<'a> {
    pub folders: &'a Folders,
    /// The test binary.
    pub binary: &'a [u8],
    /// Bytes of memory for a test's data.
    pub memory: u64,
    /// How many processes and threads a test may have.
    pub processes: u64,
    /// The user that tests run as; None: the grader's own.
    pub user: Option<u32>,
}

impl Runner<'_> {
    /// Runs a test once; in simulation if there is a seed.
    pub fn run(&self, function: &str, limit: Duration, seed: Option<u64>) -> Result<Ended> {
        self.run_once(function, limit, seed, false)
    }

    /// Runs a test once in real time. Threads that are left do not fail it, though it be an extra test.
    pub fn run_leniently(&self, function: &str, limit: Duration) -> Result<Ended> {
        self.run_once(function, limit, None, true)
    }

    fn run_once(
        &self,
        function: &str,
        limit: Duration,
        seed: Option<u64>,
        is_lenient: bool,
    ) -> Result<Ended> {
        // Each test has a folder of its own: the last test may have changed what it could write to.
        static TESTS: AtomicU64 = AtomicU64::new(0);
        let place = self.folders.root().join(format!("test-{}", TESTS.fetch_add(1, Ordering::Relaxed)));
        let scratch = place.join("tmp");
        let program = self
            .prepare(&place)
            .and_then(|program| self.make_scratch(&scratch).map(|()| program))
            .with_context(|| format!("cannot prepare {} for a test", place.display()))?;
        let simulation = seed.map(|seed| SimulatedRun { seed, ..SimulatedRun::default() });
        let (result, output) = self.start(&program, &scratch, function, limit, simulation, is_lenient);
        strays::kill_all();
        // Ignore an error: the folder is removed in the end with all others.
        let _ = workspace::remove_folder(&place);
        let is_unfinished = matches!(result, Err(TestFailure::Hung(_)));
        let verdict = match result {
            Ok(pass) => Verdict::Passed(pass.into()),
            Err(failure) => Verdict::Failed(failure.to_string()),
        };
        Ok(Ended { verdict, output, is_unfinished })
    }

    /// Starts `program` in a confined process, and waits for its end. Returns also what it has printed.
    fn start(
        &self,
        program: &Path,
        scratch: &Path,
        function: &str,
        limit: Duration,
        simulation: Option<SimulatedRun>,
        is_lenient: bool,
    ) -> (Result<TestPass, TestFailure>, String) {
        let workspace = self.folders.workspace();
        let allowance = Allowance {
            kind: Kind::Test,
            memory: self.memory,
            processes: self.threads_of_the_user() + self.processes,
            read: vec![program.to_path_buf(), workspace.clone()],
            write: vec![scratch.to_path_buf()],
            user: self.user,
        };
        let mut command = confine::command(program, &allowance);
        command.env_clear().env("HOME", scratch).env("TMPDIR", scratch).current_dir(scratch);
        let disk = disk::Watch::new(scratch);
        let objection = || disk.objection();
        let run = TestRun {
            command,
            test: function,
            limit,
            trust: Trust::Foreign,
            workspace: Some(&workspace),
            simulation,
            is_lenient,
            objection: Some(&objection),
        };
        let mut output = Excerpt::default();
        let result = harness::run_test(run, &mut |text| output.push(text));
        (result, output.text())
    }

    /// How many processes and threads the user has that tests run as.
    fn threads_of_the_user(&self) -> u64 {
        harness::threads_of_user(self.user.unwrap_or_else(|| getuid().as_raw()))
    }

    /// Makes an empty folder with nothing but the program in it.
    fn prepare(&self, place: &Path) -> io::Result<PathBuf> {
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        fs::create_dir_all(place)?;
        let program = place.join("test_test");
        fs::write(&program, self.binary)?;
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        Ok(program)
    }

    /// Makes a folder that a test may write to.
    fn make_scratch(&self, scratch: &Path) -> io::Result<()> {
        fs::create_dir(scratch)?;
        chown(scratch, self.user, self.user)
    }
}

/// The test that makes one run of the hunt.
fn hunting_test(lab: Lab) -> &'static str {
    match lab {
        Lab::Two => "hunt_raft",
        Lab::Three => "hunt_kvraft",
    }
}

/// Makes runs of the hunt.
pub struct Hunter<'a> {
    runner: Runner<'a>,
    /// The folder with the program and the scratch folders.
    place: PathBuf,
    program: PathBuf,
    test: &'static str,
    /// How many runs were started.
    started: AtomicU64,
}

impl<'a> Hunter<'a> {
    /// `runner` has the program that hunts.
    pub fn new(runner: Runner<'a>, lab: Lab) -> Result<Hunter<'a>> {
        let place = runner.folders.root().join("hunt");
        let program =
            runner.prepare(&place).with_context(|| format!("cannot prepare {}", place.display()))?;
        Ok(Hunter { runner, place, program, test: hunting_test(lab), started: AtomicU64::new(0) })
    }

    /// Makes one run, in a scratch folder of its own. Several threads may call this at once. The caller kills the processes
    /// that runs leave behind.
    pub fn run(&self, trial: &Trial, limit: Duration) -> Result<Outcome> {
        let scratch = self.place.join(self.started.fetch_add(1, Ordering::Relaxed).to_string());
        self.runner
            .make_scratch(&scratch)
            .with_context(|| format!("cannot make the folder {}", scratch.display()))?;
        let simulation = SimulatedRun {
            seed: trial.seed,
            strategy: trial.scenario.strategy,
            scenario: Some(trial.scenario.to_string()),
            replay: None,
        };
        let (result, output) =
            self.runner.start(&self.program, &scratch, self.test, limit, Some(simulation), false);
        // Ignore an error: the folder is removed in the end with all others.
        let _ = fs::remove_dir_all(&scratch);
        match result {
            Err(failure @ TestFailure::NotStarted(_)) => Err(failure.into()),
            // The time was up: that proves nothing.
            Err(hung @ TestFailure::Hung(_)) => {
                Ok(Outcome { failure: None, warning: Some(hung.to_string()) })
            }
            result => Ok(Outcome::of(result, output.as_bytes()).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_last_line() {
        let line: PassedLine = "  ... Passed --   0.6  5    53    2".parse().unwrap();
        let pass = TestPass { line: Some(line), remarks: vec!["odd".to_string()] };
        let remarks = pass.remarks.clone();
        assert_eq!(Figures::from(pass), Figures { seconds: 0.6, rpcs: 53, operations: 2, remarks });
    }

    #[test]
    fn others_that_have_the_threads_are_known_from_the_failure() {
        let failed = |output: &str| Ended {
            verdict: Verdict::Failed("it ended".to_string()),
            output: output.to_string(),
            is_unfinished: false,
        };
        assert!(failed(&format!("x. {}.", harness::OTHERS_HAVE_THEM)).lacked_threads_of_others());
        assert!(!failed("x").lacked_threads_of_others());
        let passed =
            Ended { verdict: Verdict::Passed(Figures::default()), ..failed(harness::OTHERS_HAVE_THEM) };
        assert!(!passed.lacked_threads_of_others());
    }

    #[test]
    fn the_replay_command_names_test_and_seed() {
        assert_eq!(
            replay_command(Lab::Two, "test_count_2b", 17),
            "LAB_SIM=1 LAB_SEED=17 cargo test -p raft --test test_test -- --exact test_count_2b"
        );
        assert_eq!(
            replay_command(Lab::Three, "test_basic_3a", 17),
            "LAB_SIM=1 LAB_SEED=17 cargo test -p kvraft --test test_test -- --exact test_basic_3a"
        );
    }
}
