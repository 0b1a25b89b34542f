//! Runs one test of the hand-in in a confined process. Only this module calls the harness.

use crate::confine::{self, Allowance};
use crate::folders::Folders;
use crate::foreign::Excerpt;
use crate::limits;
use crate::strays;
use anyhow::{Context, Result};
use harness::{PassedLine, SimulatedRun, TestRun, Trust};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test may take by its own clock.
pub const LIMIT: Duration = harness::LIMIT;

/// True if this machine can simulate tests: the simulator is for x86-64 and aarch64 Linux with glibc.
pub const CAN_SIMULATE: bool = harness::CAN_SIMULATE;

/// A seed that nobody can know in advance.
pub fn fresh_seed() -> u64 {
    harness::fresh_seed()
}

/// The command that simulates a test of Lab 3 with this seed.
pub fn replay_command(function: &str, seed: u64) -> String {
    harness::replay("kvraft", "test_test", function, seed)
}

/// The numbers of a test's last line, "  ... Passed --  15.1  5  4653  126".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub seconds: f64,
    pub rpcs: u64,
    pub operations: u64,
}

impl From<PassedLine> for Figures {
    fn from(line: PassedLine) -> Figures {
        let PassedLine { seconds, rpcs, operations, .. } = line;
        Figures { seconds, rpcs: rpcs as u64, operations: operations as u64 }
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
}

/// Runs the tests of one hand-in.
pub struct Runner<'a> {
    pub folders: &'a Folders,
    /// The test binary.
    pub binary: &'a [u8],
    /// Bytes of memory for a test's data.
    pub memory: u64,
    /// The user that tests run as; None: the grader's own.
    pub user: Option<u32>,
}

impl Runner<'_> {
    /// Runs a test once; in simulation if there is a seed.
    pub fn run(&self, function: &str, limit: Duration, seed: Option<u64>) -> Result<Ended> {
        let place = self.folders.root().join("test");
        let scratch = place.join("tmp");
        let program = self
            .prepare(&place, &scratch)
            .with_context(|| format!("cannot prepare {} for a test", place.display()))?;
        let allowance = Allowance {
            memory: self.memory,
            processes: limits::processes(),
            read: vec![program.clone(), self.folders.workspace()],
            write: vec![scratch.clone()],
            user: self.user,
        };
        let mut command = confine::command(&program, &allowance);
        command.env_clear().env("HOME", &scratch).env("TMPDIR", &scratch).current_dir(&scratch);
        let workspace = self.folders.workspace();
        let run = TestRun {
            command,
            test: function,
            limit,
            trust: Trust::Foreign,
            workspace: Some(&workspace),
            simulation: seed.map(|seed| SimulatedRun { seed, ..SimulatedRun::default() }),
        };
        let mut output = Excerpt::default();
        let result = harness::run_test(run, &mut |text| output.push(text));
        strays::kill_all();
        let verdict = match result {
            // A test need not set a last line.
            Ok(line) => Verdict::Passed(line.map_or_else(Figures::default, Figures::from)),
            Err(failure) => Verdict::Failed(failure.to_string()),
        };
        Ok(Ended { verdict, output: output.text() })
    }

    /// Makes the folder of a test anew: the last test may have changed what it could write to.
    fn prepare(&self, place: &Path, scratch: &Path) -> io::Result<PathBuf> {
        if place.exists() {
            fs::remove_dir_all(place)?;
        }
        fs::create_dir_all(scratch)?;
        let program = place.join("test_test");
        fs::write(&program, self.binary)?;
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        chown(scratch, self.user, self.user)?;
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_last_line() {
        let line: PassedLine = "  ... Passed --   0.6  5    53    2".parse().unwrap();
        assert_eq!(Figures::from(line), Figures { seconds: 0.6, rpcs: 53, operations: 2 });
    }

    #[test]
    fn the_replay_command_names_test_and_seed() {
        assert_eq!(
            replay_command("test_basic_3a", 17),
            "LAB_SIM=1 LAB_SEED=17 cargo test -p kvraft --test test_test -- --exact test_basic_3a"
        );
    }
}
