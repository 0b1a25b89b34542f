//! Grades a hand-in of Lab 3: builds the four files with a pristine copy of the workspace, runs the titles of 3A, of 3B
//! or of both, and prints the scores as Autolab reads them. `course/docs/instructor.md` says how it is used, and what it cannot do.
#![forbid(unsafe_code)]

mod archive;
mod assessment;
mod compile;
mod confine;
mod deadlines;
mod folder;
mod grading;
mod lab;
mod layout;
mod report;
mod strays;

use clap::{Args, Parser, Subcommand};
use grading::{Grading, Plan};
use lab::Part;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the workspace was when this was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Grades hand-ins of Lab 3.
#[derive(Parser)]
#[command(name = "grade")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Grades one hand-in; the last line is the scores.
    Handin {
        /// The archive: lab3-handin.tar.
        archive: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Grades all hand-ins of a folder, by one grader each.
    Folder {
        /// Where the archives are: one .tar for each hand-in.
        folder: PathBuf,
        /// Where to: a text for each, and scores.csv.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// How many at a time; each needs two processors.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
        jobs: u8,
        /// Options of `grade handin`.
        #[arg(last = true)]
        options: Vec<std::ffi::OsString>,
    },
    /// Writes the tar that Autolab imports.
    Assessment {
        /// Where to: lab3-assessment.tar.
        out: PathBuf,
        /// Its name in the URLs of Autolab.
        #[arg(long, default_value = "lab3")]
        name: String,
        /// Which titles it has.
        #[arg(long, value_enum, value_name = "PART", ignore_case = true, default_value_t = Part::A)]
        part: Part,
        /// Their points, with commas between.
        #[arg(long, value_delimiter = ',', value_name = "LIST")]
        points: Option<Vec<f64>>,
        /// How many simulated seeds of each title must pass too (docs/simulation.md).
        #[arg(long, value_name = "N", default_value_t = 0)]
        seeds: u32,
        /// The lab's workspace.
        #[arg(long, value_name = "FOLDER", default_value = WORKSPACE)]
        workspace: PathBuf,
    },
    /// Builds what every grading needs into the cache.
    Prepare {
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args, Clone)]
struct Options {
    /// The lab's workspace, whose own files are used for everything that is not handed in.
    #[arg(long, value_name = "FOLDER", default_value = WORKSPACE)]
    workspace: PathBuf,
    /// Works in this folder, which is emptied before and kept afterwards, instead of in a temporary one.
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Keeps what every grading builds in this folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// The scores are printed by then, whatever hangs.
    #[arg(long, value_name = "SECONDS", default_value_t = deadlines::DEADLINE, value_parser = clap::value_parser!(u64).range(20..))]
    deadline: u64,
    /// How long the hand-in may take to compile.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    build_limit: u64,
    /// How much memory a title may use for its data (Linux).
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u64,
    /// Which titles are graded.
    #[arg(long, value_enum, value_name = "PART", ignore_case = true, default_value_t = Part::A)]
    part: Part,
    /// Their points, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    points: Option<Vec<f64>>,
    /// How often each title is run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// How many of its runs a title must pass; all, unless this is given.
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u8).range(1..))]
    must_pass: Option<u8>,
    /// How many simulated seeds of each title must pass too (docs/simulation.md).
    #[arg(long, value_name = "N", default_value_t = 0)]
    seeds: u32,
    /// The first of them, to grade as before; without it, one that nobody knows.
    #[arg(long, value_name = "SEED", requires = "seeds")]
    first_seed: Option<u64>,
    /// What a submission gets that does not compile, in percent of all points.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    broken: f64,
    /// Runs the titles only whose name has one of these in it.
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    titles: Vec<String>,
    /// Writes Gradescope's results.json too.
    #[arg(long, value_name = "FILE")]
    gradescope: Option<PathBuf>,
}

impl Options {
    fn plan(self, began: Instant) -> Result<Plan, String> {
        let must_pass = self.must_pass.unwrap_or(self.runs);
        if must_pass > self.runs {
            return Err(format!("{must_pass} of {} runs cannot pass", self.runs));
        }
        if !(0.0..=100.0).contains(&self.broken) {
            return Err("--broken is a percentage".to_string());
        }
        can_simulate(self.seeds)?;
        Ok(Plan {
            pristine: self
                .workspace
                .canonicalize()
                .map_err(|e| format!("{}: {e}", self.workspace.display()))?,
            work: self.work,
            cache: self.cache,
            began,
            time: Duration::from_secs(self.deadline),
            build_limit: Duration::from_secs(self.build_limit),
            memory: self.memory << 20,
            part: self.part,
            points: self.part.points(self.points)?,
            runs: self.runs.into(),
            must_pass: must_pass.into(),
            seeds: self.seeds,
            first_seed: self.first_seed.unwrap_or_else(harness::fresh_seed),
            broken_part: self.broken / 100.0,
            filter: self.titles,
            gradescope: self.gradescope,
        })
    }
}

fn can_simulate(seeds: u32) -> Result<(), String> {
    if seeds > 0 && !harness::CAN_SIMULATE {
        return Err(
            "--seeds: there is a simulator for x86-64 Linux (glibc) only; grade there, or without it"
                .to_string(),
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let began = Instant::now();
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == confine::WORD) {
        return confine::main(arguments);
    }
    let done = match Cli::parse().what {
        What::Handin { archive, options } => grade(&archive, options, began),
        What::Folder { folder, out, jobs, options } => folder::grade(&folder, &out, jobs.into(), &options),
        What::Assessment { out, name, part, points, seeds, workspace } => {
            assessment::write(&workspace, &name, part, points, seeds, &out)
        }
        What::Prepare { options } => prepare(options, began),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn grade(archive: &std::path::Path, options: Options, began: Instant) -> Result<(), String> {
    close_memory();
    strays::adopt();
    let grading = Arc::new(Grading::new(options.plan(began)?)?);
    let watched = grading.clone();
    std::thread::Builder::new()
        .name("watchdog".to_string())
        .spawn(move || watched.watch())
        .map_err(|e| format!("cannot start a thread: {e}"))?;
    match grading.run(archive) {
        Ok(()) => grading.finish(),
        Err(why) => grading.give_up(&why),
    }
}

fn prepare(options: Options, began: Instant) -> Result<(), String> {
    Grading::new(options.plan(began)?)?.prepare()
}

/// This process knows the word that makes a title pass: no other may look into it.
fn close_memory() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // It fails for an unknown value only.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// How many processes and threads the user may have; None: as many as there is room for.
fn process_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nproc).current
}

/// How many a title may raise the user's number to: far above what any solution needs, far below what freezes a machine.
fn processes() -> u64 {
    const ROOM: u64 = 2000;
    threads_of_user() + ROOM
}

/// How many threads run, of all users: more than the user's own do no harm here. 0 where there is no /proc.
fn threads_of_user() -> u64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().nth(3).and_then(|field| field.split_once('/')?.1.parse().ok()).unwrap_or_default()
}
