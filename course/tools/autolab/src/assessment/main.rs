//! Writes the tar that an instructor imports into Autolab. It has the assessment's settings, and everything that is needed
//! to grade without a network. With `--gradescope`, writes the zip that an instructor uploads to Gradescope.
#![forbid(unsafe_code)]

mod gradescope;
mod job;
mod settings;
mod ustar;
mod zip;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use grade::deadlines;
use grade::lab::{Part, Test};
use grade::{Clock, Extra, check_hunt_points, worth};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use job::Runs;
use settings::Choices;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use ustar::Archive;

/// The workspace in which this was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// A job's grader starts at most so many seconds after the job.
const LATE_START: u64 = 30;

/// How many seconds before the end of a job its grader prints the scores.
const LAST_SECONDS: u64 = 30;

/// How many seconds a job may take: at most what Autolab allows, and at least what a build and a test need.
const LONGEST_JOB: u64 = 900;
const SHORTEST_JOB: u64 = 180;

/// Writes the tar that Autolab imports, or the zip for Gradescope.
#[derive(Parser)]
#[command(name = "assessment")]
struct Options {
    /// The file to write: lab3-assessment.tar, or lab3-gradescope.zip.
    out: PathBuf,
    /// The assessment's name in the URLs of Autolab; lab2 or lab3 if this is not given.
    #[arg(long)]
    name: Option<String>,
    /// The part of the lab to grade.
    #[arg(long, value_enum, value_name = "PART", ignore_case = true, default_value_t = Part::Lab3A)]
    part: Part,
    /// The points of its tests, one number for each test, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    points: Option<Vec<f64>>,
    /// In real time, or in simulated time alone: there, each test must pass with each of several seeds (--seeds).
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t = Clock::Real)]
    time: Clock,
    /// Runs the tests beyond the Go lab's too. N: each is worth so many points. `gate`: if one of them fails, no points count.
    #[arg(long, value_name = "N|gate")]
    extra: Option<Extra>,
    /// How many simulated seeds of each test must pass too (docs/simulation.md); 10 with --time simulated, otherwise 0, if this is
    /// not given.
    #[arg(long, value_name = "N")]
    seeds: Option<u32>,
    /// The same of each test that takes long to simulate; 1 with --time simulated, otherwise as --seeds, if this is not given.
    #[arg(long, value_name = "N")]
    long_seeds: Option<u32>,
    /// For how many seconds to hunt for bugs, with short simulated runs (docs/simulation.md).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    hunt: Option<u64>,
    /// How many points are taken off if the hunt finds a bug; without this option, the bug is only shown.
    #[arg(long, value_name = "N", default_value_t = 0.0, requires = "hunt")]
    hunt_points: f64,
    /// How many seconds a job may take (Autolab's autograde_timeout). The grader prints the scores a little earlier.
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_JOB, value_parser = clap::value_parser!(u64).range(SHORTEST_JOB..=LONGEST_JOB))]
    timeout: u64,
    /// The course's time zone, for example Europe/Berlin; this machine's if this is not given.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The starter (lab3.tar), which the assessment hands out.
    #[arg(long, value_name = "FILE")]
    handout: Option<PathBuf>,
    /// Writes the zip for Gradescope.
    #[arg(long)]
    gradescope: bool,
    /// The lab's workspace.
    #[arg(long, value_name = "FOLDER", default_value = WORKSPACE)]
    workspace: PathBuf,
}

impl Options {
    /// The name: Autolab knows the assessment and its image by it.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("lab{}", self.part.lab().number()))
    }

    /// The tests that are graded, with their points.
    fn tests(&self) -> Result<Vec<(&'static Test, f64)>> {
        Ok(worth(self.part, &self.part.points(self.points.clone())?, self.extra))
    }

    /// The course's time zone.
    fn zone(&self) -> Result<TimeZone> {
        match &self.zone {
            None => Ok(TimeZone::system()),
            Some(name) => TimeZone::get(name).with_context(|| {
                format!("--zone {name}: name a time zone as Europe/Berlin or America/New_York")
            }),
        }
    }

    /// How many seconds a job may take.
    fn timeout(&self) -> u64 {
        if self.gradescope { gradescope::JOB } else { self.timeout }
    }

    fn runs(&self) -> Runs {
        let Options { time, extra, seeds, long_seeds, hunt, hunt_points, .. } = *self;
        Runs { time, extra, seeds: seeds.unwrap_or(time.usual_seeds()), long_seeds, hunt, hunt_points }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(why) = check(&options) {
        eprintln!("assessment: {why:#}");
        return ExitCode::from(2);
    }
    let written = if options.gradescope { gradescope::write(&options) } else { write(&options) };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("assessment: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(options: &Options) -> Result<()> {
    let Options { part, extra, hunt, hunt_points, .. } = *options;
    let timeout = options.timeout();
    check_name(&options.name())?;
    options.zone()?;
    ensure!(
        extra.is_none() || !part.extra_tests().is_empty(),
        "--extra: the extra tests of Lab 2 need all of Raft: --part 2C or 2"
    );
    let tests = options.tests()?;
    let runs = options.runs();
    let usual: Vec<f64> = tests.iter().map(|(test, _)| test.seconds).collect();
    check_seeds(&usual, &runs, timeout)?;
    if let Some(hunt) = hunt {
        check_hunt(&usual, &runs, hunt, timeout)?;
    }
    ensure!(
        runs.time == Clock::Simulated || usual.iter().sum::<f64>() < time(timeout).as_secs_f64(),
        "a job of {timeout} s has no time for these tests in real time; use --time simulated"
    );
    check_hunt_points(hunt_points, tests.iter().map(|(_, points)| points).sum())
}

fn write(options: &Options) -> Result<()> {
    let Options { out, part, timeout, workspace, handout, .. } = options;
    let (name, part) = (options.name(), *part);
    let zone = options.zone()?;
    let points = part.points(options.points.clone())?;
    let makefile = job::makefile(workspace, part, &points, &options.runs(), timeout - LAST_SECONDS)?;
    let now = Timestamp::now();
    let today = zone.to_datetime(now).date();
    // A test that is only a gate has no points, and is no problem of Autolab.
    let mut problems = options.tests()?;
    if options.extra == Some(Extra::Gate) {
        problems.truncate(part.tests().len());
    }
    let writeup = format!("lab{}.md", part.lab().number());
    let handout =
        handout.as_ref().map(|path| Ok::<_, anyhow::Error>((file_name(path)?, read(path)?))).transpose()?;
    let choices = Choices {
        name: &name,
        part,
        timeout: *timeout,
        today,
        zone,
        handout: handout.as_ref().map_or("''", |(name, _)| name),
        writeup: &writeup,
    };
    let yml = settings::yml(&choices, &problems)?;
    let task = read(&workspace.join("docs").join(&writeup))?;
    let config = settings::config(&name, part, &points);
    let seconds = now.as_second().unsigned_abs();
    let autograde = job::autograde_tar(workspace)?;
    let assessment = || -> io::Result<Vec<u8>> {
        let mut tar = Archive::new();
        tar.folder(&name, seconds)?;
        tar.file(Path::new(&format!("{name}/{name}.yml")), yml.as_bytes(), seconds)?;
        if let Some(config) = &config {
            tar.file(Path::new(&format!("{name}/{name}.rb")), config.as_bytes(), seconds)?;
        }
        if let Some((file, content)) = &handout {
            tar.file(Path::new(&format!("{name}/{file}")), content, seconds)?;
        }
        tar.file(Path::new(&format!("{name}/{writeup}")), &task, seconds)?;
        tar.file(Path::new(&format!("{name}/autograde-Makefile")), makefile.as_bytes(), seconds)?;
        tar.file(Path::new(&format!("{name}/autograde.tar")), &autograde, seconds)?;
        tar.finish()
    };
    let written = assessment().and_then(|bytes| fs::write(out, bytes));
    written.with_context(|| format!("cannot write {}", out.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The name of a file, which goes into the settings.
fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    ensure!(
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_plain),
        "--handout {}: its name must begin with a letter and have letters, digits, \".\", \"_\" and \"-\" only",
        path.display()
    );
    Ok(name)
}

fn check_name(name: &str) -> Result<()> {
    ensure!(
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)),
        "--name {name:?}: a name begins with a letter and has letters, digits, _ and - only"
    );
    Ok(())
}

/// The time that the grader of a job has.
fn time(timeout: u64) -> Duration {
    Duration::from_secs(timeout - LAST_SECONDS - LATE_START)
}

/// `usual`: how many seconds each test takes when all is well.
fn check_seeds(usual: &[f64], runs: &Runs, timeout: u64) -> Result<()> {
    let most = deadlines::most_seeds(time(timeout), usual, runs.in_real_time());
    let seeds = runs.seeds;
    ensure!(runs.time == Clock::Real || seeds > 0, "--time simulated: --seeds must be 1 or more");
    if let Some(long) = runs.long_seeds {
        ensure!(runs.time == Clock::Real || long > 0, "--time simulated: --long-seeds must be 1 or more");
        ensure!(long <= seeds, "--long-seeds {long}: it must not be more than --seeds {seeds}");
    }
    ensure!(
        seeds <= most,
        "--seeds {seeds}: a job of {timeout} s has time for at most {most} seeds of each test (--timeout)"
    );
    Ok(())
}

fn check_hunt(usual: &[f64], runs: &Runs, hunt: u64, timeout: u64) -> Result<()> {
    let most = deadlines::most_hunt(time(timeout), usual, runs.in_real_time(), runs.seeds);
    ensure!(
        hunt <= most,
        "--hunt {hunt}: besides the tests and their seeds, a job of {timeout} s has time for a hunt of at most {most} s \
         (--timeout)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_as_autolab_takes() {
        for name in ["", "3lab", "a b", "../x", "lab/3"] {
            let error = check_name(name).unwrap_err().to_string();
            assert!(error.contains("begins with a letter"), "{error}");
        }
        for name in ["lab3", "Lab_3-b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    fn options(words: &[&str]) -> Options {
        Options::parse_from([&["assessment", "lab.tar"], words].concat())
    }

    #[test]
    fn a_job_is_not_given_more_than_it_has_time_for() {
        for (words, says) in [
            (&["--seeds", "1000", "--part", "both"][..], "--seeds 1000: a job of 900 s has time for "),
            (&["--seeds", "3", "--timeout", "180"], "--seeds 3: a job of 180 s "),
            (&["--time", "simulated", "--seeds", "0"], "--time simulated: --seeds "),
            (&["--time", "simulated", "--long-seeds", "0"], "--time simulated: --long-seeds "),
            (&["--seeds", "3", "--long-seeds", "4"], "--long-seeds 4: "),
            (&["--hunt", "1000"], "--hunt 1000: besides the tests and their seeds, a job "),
            (&["--part", "2A", "--extra", "gate"], "--extra: "),
            (&["--zone", "Nowhere/Town"], "--zone Nowhere/Town: "),
            (&["--part", "both", "--timeout", "300"], "a job of 300 s has no time for these tests"),
        ] {
            let error = check(&options(words)).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
        for words in [
            &["--seeds", "3", "--hunt", "60"][..],
            &["--part", "both", "--hunt", "30"],
            &["--time", "simulated", "--timeout", "420", "--long-seeds", "3"],
            &["--part", "2", "--extra", "gate"],
            &["--part", "both", "--time", "simulated", "--gradescope"],
            &["--gradescope"],
        ] {
            check(&options(words)).unwrap();
        }
    }

    #[test]
    fn the_usual_name_is_that_of_the_lab() {
        let name = |words: &[&str]| options(words).name();
        assert_eq!([name(&[]), name(&["--part", "3B"]), name(&["--part", "2A"])], ["lab3", "lab3", "lab2"]);
        assert_eq!(name(&["--part", "2", "--name", "raft"]), "raft");
    }

    #[test]
    fn a_bug_does_not_cost_more_than_the_points_of_the_part() {
        let check = |words: &[&str]| check(&options(words));
        for words in [
            &["--hunt", "60", "--hunt-points", "41", "--part", "3B"][..],
            &["--hunt", "60", "--hunt-points", "16", "--points", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"],
        ] {
            let error = check(words).unwrap_err().to_string();
            assert!(error.starts_with("--hunt-points "), "{error}");
        }
        assert!(check(&["--hunt", "60", "--hunt-points", "10"]).is_ok() && check(&[]).is_ok());
    }
}
