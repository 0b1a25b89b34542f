//! The command line.

use crate::confine;
use crate::deadlines;
use crate::folder;
use crate::grading::Grading;
use crate::lab::Part;
use crate::plan::{Clock, Extra, Plan};
use crate::run;
use crate::strays;
use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The workspace in which the grader was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Grades hand-ins of Lab 2 and of Lab 3.
#[derive(Parser)]
#[command(name = "grade")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Grades one hand-in; the last line of the output has the scores.
    Handin {
        /// The archive: lab3-handin.tar, or lab2-handin.tar with a part of Lab 2.
        archive: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Grades all hand-ins of a folder.
    Folder {
        /// The folder with the archives, one .tar for each hand-in.
        folder: PathBuf,
        /// The folder for the results: a text file for each hand-in, and scores.csv.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How many hand-ins to grade at a time; each needs two processors.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
        jobs: u8,
        /// Options of `grade handin`.
        #[arg(last = true)]
        options: Vec<OsString>,
    },
    /// Fills the cache (--cache) with a build of everything that is not handed in.
    Prepare {
        #[command(flatten)]
        options: Options,
    },
}

/// Of an option that is given twice, the last one counts: instructors add options to those of a job.
#[derive(Args, Clone)]
#[command(args_override_self = true)]
struct Options {
    /// The lab's workspace; everything that is not handed in comes from it.
    #[arg(long, value_name = "FOLDER", default_value = WORKSPACE)]
    workspace: PathBuf,
    /// The folder to work in; it is emptied first, and kept. Without this option, a temporary folder is used.
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// The folder that keeps the build of everything that is not handed in, for the next grading.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// The scores are printed at most so many seconds after the start, even if something hangs.
    #[arg(long, value_name = "SECONDS", default_value_t = deadlines::DEADLINE, value_parser = clap::value_parser!(u64).range(20..))]
    deadline: u64,
    /// How many seconds of processor time the hand-in may take to compile.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    build_limit: u64,
    /// How many MiB of memory a test may use for its data (Linux only).
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
    /// How many processes and threads a test may have, beside those that the user has already. A lower limit of the system
    /// (ulimit -u) holds too.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    processes: u64,
    /// The part of the lab to grade.
    #[arg(long, value_enum, value_name = "PART", ignore_case = true, default_value_t = Part::Lab3A)]
    part: Part,
    /// The points of its tests, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    points: Option<Vec<f64>>,
    /// In real time, or in simulated time alone: there, each test must pass with each of several seeds (--seeds).
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t = Clock::Real)]
    time: Clock,
    /// Runs the tests beyond the Go lab's too. N: each is worth so many points. `gate`: if one of them fails, no points count.
    #[arg(long, value_name = "N|gate")]
    extra: Option<Extra>,
    /// How many times each test may run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// How many of its runs a test must pass; all of them if this is not given.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..))]
    must_pass: Option<u8>,
    /// How many simulated seeds of each test must pass too (docs/simulation.md); 10 with --time simulated, otherwise 0, if this is
    /// not given.
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// The same of each test that takes long to simulate (course/docs/instructor.md); 1 with --time simulated, otherwise as --seeds, if
    /// this is not given.
    #[arg(long, value_name = "N")]
    long_seeds: Option<u32>,
    /// For how many seconds to hunt for bugs, with short simulated runs (docs/simulation.md).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    hunt: Option<u64>,
    /// How many points are taken off if the hunt finds a bug; without this option, the bug is only shown.
    #[arg(long, value_name = "N", default_value_t = 0.0, requires = "hunt")]
    hunt_points: f64,
    /// Counts points without the integrity gate: the service need not show that it is replicated (course/docs/instructor.md).
    #[arg(long)]
    no_gate: bool,
    /// The first seed, of the gate, of the tests and of the hunt, to repeat a grading; a random one if this is not given.
    #[arg(long, value_name = "SEED", value_parser = clap::value_parser!(u64).range(1..))]
    first_seed: Option<u64>,
    /// What percentage of the points a hand-in gets if it does not compile.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    broken: f64,
    /// Runs only the tests whose names contain one of these words.
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    tests: Vec<String>,
    /// The file to which the scores are also written as Gradescope reads them (results.json).
    #[arg(long, value_name = "FILE")]
    gradescope: Option<PathBuf>,
}

impl Options {
    /// The plan, checked.
    fn plan(self, began: Instant) -> Result<Plan> {
        let pristine = self
            .workspace
            .canonicalize()
            .with_context(|| format!("cannot find {} (--workspace)", self.workspace.display()))?;
        let simulated = self.time == Clock::Simulated;
        ensure!(
            !simulated || (self.runs, self.must_pass) == (1, None),
            "--runs and --must-pass are for runs in real time, and with --time simulated there are none"
        );
        let runs = if simulated { 0 } else { self.runs.into() };
        let seeds = self.seeds.unwrap_or(self.time.usual_seeds());
        let plan = Plan {
            pristine,
            work: self.work,
            cache: self.cache,
            began,
            time: Duration::from_secs(self.deadline),
            build_limit: Duration::from_secs(self.build_limit),
            memory: self.memory << 20,
            processes: self.processes,
            part: self.part,
            points: self.part.points(self.points)?,
            clock: self.time,
            extra: self.extra,
            runs,
            must_pass: self.must_pass.map_or(runs, usize::from),
            seeds,
            long_seeds: self.long_seeds.unwrap_or(self.time.usual_long_seeds(seeds)),
            hunt: self.hunt.map(Duration::from_secs),
            hunt_points: self.hunt_points,
            gate: !self.no_gate && run::CAN_SIMULATE,
            first_seed: self.first_seed.unwrap_or_else(run::fresh_seed),
            broken_part: self.broken / 100.0,
            filter: self.tests,
            gradescope: self.gradescope,
        };
        plan.check()?;
        Ok(plan)
    }

    /// The plan. If the options contradict each other, ends this process as for an option that does not exist.
    fn plan_or_exit(self, began: Instant) -> Plan {
        self.plan(began).unwrap_or_else(|why| {
            eprintln!("{why:#}");
            std::process::exit(2)
        })
    }
}

/// The `main` of `grade`.
pub fn main() -> ExitCode {
    let began = Instant::now();
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == confine::WORD) {
        return confine::main(arguments);
    }
    let done = match Cli::parse().what {
        What::Handin { archive, options } => grade(&archive, options, began),
        What::Folder { folder, out, jobs, options } => folder::grade(&folder, &out, jobs.into(), &options),
        What::Prepare { options } => prepare(options, began),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn grade(archive: &Path, options: Options, began: Instant) -> Result<()> {
    close_memory();
    strays::adopt();
    Arc::new(Grading::new(options.plan_or_exit(began))?).grade(archive)
}

fn prepare(options: Options, began: Instant) -> Result<()> {
    Grading::new(options.plan_or_exit(began))?.prepare()
}

/// Keeps other processes from reading this one's memory, which holds the word that makes a test pass.
fn close_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Ignore errors: the call fails for an unknown value only.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
