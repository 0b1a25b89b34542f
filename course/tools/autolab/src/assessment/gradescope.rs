//! The zip that an instructor uploads to Gradescope: its two scripts, autograde.tar, and the Makefile that builds the grader.

use crate::zip::Archive;
use crate::{Options, job, read};
use anyhow::{Context, Result};
use std::fs;

/// How many seconds a job may take: Gradescope stops it after ten minutes, unless the instructor allows more.
pub const JOB: u64 = 600;

/// How many seconds after the start of a job its grader prints the scores. Copying results takes some seconds too.
const DEADLINE: u64 = 540;

/// The folder of the scripts in the workspace.
const SCRIPTS: &str = "course/tools/autolab/gradescope";

pub fn write(options: &Options) -> Result<()> {
    let Options { out, part, workspace, .. } = options;
    let points = part.points(options.points.clone())?;
    let runs = options.runs();
    let scripts = workspace.join(SCRIPTS);
    let run = String::from_utf8(read(&scripts.join("run_autograder"))?).context("run_autograder")?;
    let run = job::with_value(&run, "options=", |_| format!("\"{}\"", job::options(*part, &points, &runs)))?;
    let run = job::with_value(&run, "handin=", |_| part.lab().handin().to_string())?;
    let run = job::with_value(&run, "deadline=", |_| DEADLINE.to_string())?;
    let makefile = job::makefile(workspace, *part, &points, &runs, DEADLINE)?;
    let mut zip = Archive::default();
    zip.file("setup.sh", &read(&scripts.join("setup.sh"))?, 0o755);
    zip.file("run_autograder", run.as_bytes(), 0o755);
    zip.file("autograde-Makefile", makefile.as_bytes(), 0o644);
    zip.file("autograde.tar", &job::autograde_tar(workspace)?, 0o644);
    fs::write(out, zip.finish()).with_context(|| format!("cannot write {}", out.display()))
}
