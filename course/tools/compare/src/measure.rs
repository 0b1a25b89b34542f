//! Runs a program, reads the figures that its tests print, and measures its CPU time and memory.
//!
//! The system tells the CPU time and the peak memory of all of a process's children together. Therefore each program
//! runs under a process of its own, which is this program again and has no other child.

use crate::passed;
use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use lines::PassedLine;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};

/// The first argument of the process that runs and measures a program.
pub(crate) const WATCH: &str = "--watch";

/// A program to run.
pub(crate) struct Command {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// The folder to run it in.
    pub(crate) dir: Option<PathBuf>,
}

/// The resources that a program and its children used: the message from the watching process to the one that started it.
#[derive(Serialize, Deserialize)]
struct Usage {
    cpu_seconds: f64,
    peak_mb: f64,
}

/// The figures of a test: those that it printed, and the resources that it used.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) peers: f64,
    pub(crate) rpcs: f64,
    pub(crate) operations: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mb: f64,
}

impl Figures {
    fn new(printed: &PassedLine, usage: &Usage) -> Figures {
        Figures {
            seconds: printed.seconds,
            peers: printed.servers as f64,
            rpcs: printed.rpcs as f64,
            operations: printed.operations as f64,
            cpu_seconds: usage.cpu_seconds,
            peak_mb: usage.peak_mb,
        }
    }

    pub(crate) fn add(self, other: Option<Figures>) -> Figures {
        let Some(other) = other else { return self };
        Figures {
            seconds: self.seconds + other.seconds,
            peers: self.peers,
            rpcs: self.rpcs + other.rpcs,
            operations: self.operations + other.operations,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            peak_mb: self.peak_mb.max(other.peak_mb),
        }
    }
}

/// The end of a run.
pub(crate) enum Outcome {
    Passed(Figures),
    /// The reason, in one line.
    Failed(String),
}

impl Outcome {
    pub(crate) fn brief(&self) -> String {
        match self {
            Outcome::Passed(figures) => {
                format!("{:.1} s, {} operations", figures.seconds, figures.operations)
            }
            Outcome::Failed(_) => "FAILED".to_string(),
        }
    }

    pub(crate) fn figures(&self) -> Option<Figures> {
        match self {
            Outcome::Passed(figures) => Some(*figures),
            Outcome::Failed(_) => None,
        }
    }
}

/// Runs a test program under watch. Its output goes into the file `log`.
///
/// # Errors
/// If the program cannot be run at all.
pub(crate) fn run(command: &Command, log: &Path) -> Result<Outcome> {
    let me = std::env::current_exe().context("cannot find this program's own path")?;
    let usage_file = log.with_extension("usage");
    // A former run's file, if any, must not be taken for this run's.
    let _ = fs::remove_file(&usage_file);
    let cannot_write = || format!("cannot write {}", log.display());
    let output = fs::File::create(log).with_context(cannot_write)?;
    let mut watch = process::Command::new(me);
    watch.arg(WATCH).arg(&usage_file).args(&command.command);
    if let Some(dir) = &command.dir {
        watch.current_dir(dir);
    }
    watch.stdin(Stdio::null()).stdout(output.try_clone().with_context(cannot_write)?).stderr(output);
    let program = &command.command[0];
    let status = watch.status().with_context(|| format!("cannot run {program}"))?;

    let printed = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    let usage = fs::read(&usage_file).with_context(|| {
        format!("the resources used by {program} are unknown: cannot read {}", usage_file.display())
    })?;
    let usage = serde_json::from_slice(&usage)
        .with_context(|| format!("{} does not hold the resources used by {program}", usage_file.display()))?;
    Ok(judge(&String::from_utf8_lossy(&printed), status.success(), log, &usage))
}

fn judge(printed: &str, success: bool, log: &Path, usage: &Usage) -> Outcome {
    let log = log.display();
    if !success {
        let marks = ["FAILED", "--- FAIL", "panic:", "FAIL", "fatal", "cannot"];
        let why = marks.iter().find_map(|mark| printed.lines().find(|line| line.contains(mark)));
        let why = why.unwrap_or("it printed no reason").trim();
        return Outcome::Failed(format!("{why} (all of its output: {log})"));
    }
    match passed::total(printed) {
        Ok(Some(total)) => Outcome::Passed(Figures::new(&total, usage)),
        Ok(None) => Outcome::Failed(format!(
            "it exited with success, but did not print \"{}\" (all of its output: {log})",
            passed::MARK
        )),
        Err(e) => Outcome::Failed(format!("{e} (all of its output: {log})")),
    }
}

/// Runs a program to its end, and writes its [`Usage`] into a file. `args` are the file, the program and its arguments.
/// Returns failure if the program fails.
pub(crate) fn watch(args: &[String]) -> Result<ExitCode> {
    let [usage_file, program, args @ ..] = args else { bail!("{WATCH} needs a file and a program") };
    let status = process::Command::new(program).args(args).status();
    let status = status.with_context(|| format!("cannot run {program}"))?;
    let used =
        getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot ask the system for the resources used")?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    // The system counts in kilobytes on Linux, in bytes on macOS.
    let unit = if cfg!(target_os = "macos") { 1e6 } else { 1e3 };
    let usage = Usage {
        cpu_seconds: seconds(used.user_time()) + seconds(used.system_time()),
        peak_mb: used.max_rss() as f64 / unit,
    };
    fs::write(usage_file, serde_json::to_vec(&usage)?)
        .with_context(|| format!("cannot write {usage_file}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds one of our programs, and returns its path. `args` are cargo's arguments.
pub(crate) fn build(workspace: &Path, args: &[&str], release: bool) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let mut command = process::Command::new(&cargo);
    command.args(args).arg("--message-format=json").current_dir(workspace).stderr(Stdio::inherit());
    if release {
        command.arg("--release");
    }
    let output = command.output().with_context(|| format!("cannot run {cargo}"))?;
    if !output.status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    let mut program = None;
    for message in Message::parse_stream(&output.stdout[..]) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read cargo's messages")? {
            program = artifact.executable.or(program);
        }
    }
    let program = program.with_context(|| format!("cargo {} built no program", args.join(" ")))?;
    Ok(program.into_std_path_buf())
}
