//! Writes the tar that an instructor imports into Autolab. It has the assessment's settings, and everything that is needed
//! to grade without a network.
#![forbid(unsafe_code)]

mod job;
mod settings;
mod ustar;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use grade::check_hunt_points;
use grade::deadlines;
use grade::lab::Part;
use jiff::Timestamp;
use jiff::tz::Offset;
use job::Simulations;
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

/// Writes the tar that Autolab imports.
#[derive(Parser)]
#[command(name = "assessment")]
struct Options {
    /// The file to write: lab3-assessment.tar.
    out: PathBuf,
    /// The assessment's name in the URLs of Autolab.
    #[arg(long, default_value = "lab3")]
    name: String,
    /// The part of the lab to grade.
    #[arg(long, value_enum, value_name = "PART", ignore_case = true, default_value_t = Part::A)]
    part: Part,
    /// The points of its tests, one number for each test, with commas between.
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    points: Option<Vec<f64>>,
    /// How many simulated seeds of each test must pass too (docs/simulation.md).
    #[arg(long, value_name = "N", default_value_t = 0)]
    seeds: u32,
    /// For how many seconds to hunt for bugs, with short simulated runs (docs/simulation.md).
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    hunt: Option<u64>,
    /// How many points are taken off if the hunt finds a bug; without this option, the bug is only shown.
    #[arg(long, value_name = "N", default_value_t = 0.0, requires = "hunt")]
    hunt_points: f64,
    /// How many seconds a job may take (Autolab's autograde_timeout). The grader prints the scores a little earlier.
    #[arg(long, value_name = "SECONDS", default_value_t = LONGEST_JOB, value_parser = clap::value_parser!(u64).range(SHORTEST_JOB..=LONGEST_JOB))]
    timeout: u64,
    /// The lab's workspace.
    #[arg(long, value_name = "FOLDER", default_value = WORKSPACE)]
    workspace: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(why) = check(&options) {
        eprintln!("assessment: {why:#}");
        return ExitCode::from(2);
    }
    match write(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("assessment: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(options: &Options) -> Result<()> {
    let Options { part, seeds, hunt, hunt_points, timeout, .. } = *options;
    check_name(&options.name)?;
    check_seeds(part, seeds, timeout)?;
    if let Some(hunt) = hunt {
        check_hunt(part, seeds, hunt, timeout)?;
    }
    check_hunt_points(hunt_points, part.points(options.points.clone())?.iter().sum())
}

fn write(options: Options) -> Result<()> {
    let Options { out, name, part, points, seeds, hunt, hunt_points, timeout, workspace } = options;
    let points = part.points(points)?;
    let simulations = Simulations { seeds, hunt, hunt_points };
    let makefile = job::makefile(&workspace, part, &points, simulations, timeout - LAST_SECONDS)?;
    let now = Timestamp::now();
    let yml = settings::yml(&name, part, &points, timeout, Offset::UTC.to_datetime(now).date())?;
    let config = settings::config(&name, part, &points);
    let seconds = now.as_second().unsigned_abs();
    let autograde = job::autograde_tar(&workspace)?;
    let assessment = || -> io::Result<Vec<u8>> {
        let mut tar = Archive::new();
        tar.folder(&name, seconds)?;
        tar.file(Path::new(&format!("{name}/{name}.yml")), yml.as_bytes(), seconds)?;
        if let Some(config) = &config {
            tar.file(Path::new(&format!("{name}/{name}.rb")), config.as_bytes(), seconds)?;
        }
        tar.file(Path::new(&format!("{name}/autograde-Makefile")), makefile.as_bytes(), seconds)?;
        tar.file(Path::new(&format!("{name}/autograde.tar")), &autograde, seconds)?;
        tar.finish()
    };
    let written = assessment().and_then(|bytes| fs::write(&out, bytes));
    written.with_context(|| format!("cannot write {}", out.display()))
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

fn check_seeds(part: Part, seeds: u32, timeout: u64) -> Result<()> {
    let most = deadlines::most_seeds(time(timeout), &usual_seconds(part), 1);
    ensure!(
        seeds <= most,
        "--seeds {seeds}: a job of {timeout} s has time for at most {most} seeds of each test (--timeout)"
    );
    Ok(())
}

fn check_hunt(part: Part, seeds: u32, hunt: u64, timeout: u64) -> Result<()> {
    let most = deadlines::most_hunt(time(timeout), &usual_seconds(part), 1, seeds);
    ensure!(
        hunt <= most,
        "--hunt {hunt}: besides the tests and their seeds, a job of {timeout} s has time for a hunt of at most {most} s \
         (--timeout)"
    );
    Ok(())
}

/// How many seconds each test takes when all is well.
fn usual_seconds(part: Part) -> Vec<f64> {
    part.tests().iter().map(|test| test.seconds).collect()
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

    #[test]
    fn a_job_is_not_given_more_seeds_than_it_has_time_for() {
        let error = check_seeds(Part::Both, 1000, 900).unwrap_err().to_string();
        assert!(error.starts_with("--seeds 1000: a job of 900 s has time for "), "{error}");
        assert!(check_seeds(Part::A, 3, 900).is_ok());
        assert!(check_seeds(Part::A, 3, 180).is_err());
    }

    #[test]
    fn a_job_is_not_given_a_longer_hunt_than_it_has_time_for() {
        let error = check_hunt(Part::Both, 0, 1000, 900).unwrap_err().to_string();
        assert!(error.starts_with("--hunt 1000: besides the tests and their seeds, a job "), "{error}");
        assert!(check_hunt(Part::Both, 0, 30, 900).is_ok() && check_hunt(Part::A, 3, 60, 900).is_ok());
    }

    #[test]
    fn a_bug_does_not_cost_more_than_the_points_of_the_part() {
        let check =
            |words: &[&str]| check(&Options::parse_from([&["assessment", "lab3.tar"], words].concat()));
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
