//! Runs a program, reads the title lines it prints, and measures what it uses.

use nix::sys::resource::{UsageWho, getrusage};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};

/// The first argument of a process that only runs and measures another.
pub(crate) const WATCH: &str = "--watch";

/// A program to run.
pub(crate) struct Command {
    pub(crate) command: Vec<String>,
    pub(crate) dir: Option<PathBuf>,
}

/// What a title's last line says, and what its process used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) peers: f64,
    pub(crate) rpcs: f64,
    pub(crate) operations: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mb: f64,
}

impl Figures {
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

/// How a run ended.
pub(crate) enum Outcome {
    Passed(Figures),
    /// Why, in one line.
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

/// Runs a test program under watch. What it prints goes into `log`.
///
/// # Errors
/// When it cannot be run at all.
pub(crate) fn run(command: &Command, log: &Path) -> Result<Outcome, String> {
    let failed = |what: &Path, e: std::io::Error| format!("{}: {e}", what.display());
    let me = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let usage = log.with_extension("usage");
    // That of a run before.
    let _ = std::fs::remove_file(&usage);
    let output = std::fs::File::create(log).map_err(|e| failed(log, e))?;
    let mut watch = process::Command::new(me);
    watch.arg(WATCH).arg(&usage).args(&command.command);
    if let Some(dir) = &command.dir {
        watch.current_dir(dir);
    }
    watch.stdin(Stdio::null()).stdout(output.try_clone().map_err(|e| failed(log, e))?).stderr(output);
    let status = watch.status().map_err(|e| format!("cannot run {}: {e}", command.command[0]))?;

    let printed = std::fs::read(log).map_err(|e| failed(log, e))?;
    let printed = String::from_utf8_lossy(&printed);
    let usage = std::fs::read_to_string(&usage).map_err(|e| failed(&usage, e))?;
    let mut used = usage.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let (Some(cpu_seconds), Some(peak_mb)) = (used.next(), used.next()) else {
        return Err(format!("cannot tell what {} used", command.command[0]));
    };
    Ok(judge(&printed, status.success(), log, cpu_seconds, peak_mb))
}

fn judge(printed: &str, success: bool, log: &Path, cpu_seconds: f64, peak_mb: f64) -> Outcome {
    if !success {
        let marks = ["FAILED", "--- FAIL", "panic:", "FAIL", "fatal", "cannot"];
        let why = marks.iter().find_map(|mark| printed.lines().find(|line| line.contains(mark)));
        let why = why.unwrap_or("it says nothing").trim();
        return Outcome::Failed(format!("{why} (all of its output: {})", log.display()));
    }
    let titles: Vec<Option<Figures>> = printed.lines().filter_map(passed_line).collect();
    if titles.is_empty() || titles.iter().any(Option::is_none) {
        return Outcome::Failed(format!(
            "it ended well, but did not print \"  ... Passed --\" and seconds, peers, RPCs and operations: {}",
            log.display()
        ));
    }
    let sum = titles.into_iter().flatten().fold(None, |sum, title| Some(title.add(sum)));
    Outcome::Passed(Figures { cpu_seconds, peak_mb, ..sum.unwrap_or_default() })
}

/// The figures of a line "  ... Passed --  15.5  5  4653  126"; None inside where they are not there. Later years' Raft
/// tests print the bytes too, before the last.
fn passed_line(line: &str) -> Option<Option<Figures>> {
    let (_, figures) = line.split_once("... Passed --")?;
    let numbers: Option<Vec<f64>> = figures.split_whitespace().map(|word| word.parse().ok()).collect();
    Some(match numbers.as_deref() {
        Some([seconds, peers, rpcs, operations] | [seconds, peers, rpcs, _, operations]) => Some(Figures {
            seconds: *seconds,
            peers: *peers,
            rpcs: *rpcs,
            operations: *operations,
            ..Figures::default()
        }),
        _ => None,
    })
}

/// Runs a program to its end, and writes the CPU seconds and the peak memory (MB) of it and its children into a file.
/// Exits as it did.
pub(crate) fn watch(args: &[String]) -> ExitCode {
    let [usage, program, args @ ..] = args else { return ExitCode::FAILURE };
    let status = match process::Command::new(program).args(args).status() {
        Ok(status) => status,
        Err(e) => {
            eprintln!("cannot run {program}: {e}");
            return ExitCode::FAILURE;
        }
    };
    let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return ExitCode::FAILURE };
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(used.user_time()) + seconds(used.system_time());
    // Kilobytes on Linux, bytes on macOS.
    let unit = if cfg!(target_os = "macos") { 1e6 } else { 1e3 };
    let peak = used.max_rss() as f64 / unit;
    match std::fs::write(usage, format!("{cpu} {peak}\n")) {
        Ok(()) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Builds one of our programs, and gives its path.
pub(crate) fn cargo(workspace: &Path, args: &[&str], release: bool) -> Result<PathBuf, String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let mut command = process::Command::new(program);
    command.args(args).arg("--message-format=json").current_dir(workspace).stderr(Stdio::inherit());
    if release {
        command.arg("--release");
    }
    let output = command.output().map_err(|e| format!("cargo cannot be run: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo {} failed", args.join(" ")));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().ok_or_else(|| format!("cargo {} named no program", args.join(" ")))
}
