//! Stands in for Autolab's driver, to test a grading job: runs `make` on the job's three files as an unprivileged user,
//! with Autolab's limits, and reads the scores from the last line as Autolab does.
//!
//! As root it runs the job as a user that nobody else is; otherwise as the user who calls it.

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};
use serde_json::Value;
use std::error::Error;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Autolab's limits: processes and threads of the job's user, bytes of a file, bytes of feedback.
const PROCESSES: u64 = 100;
const FILE_SIZE: u64 = 100 << 20;
const FEEDBACK: usize = 1_024_000;

/// A user id that no system gives to anybody.
const STRANGER: u32 = 64_100;

/// The first argument of the process that becomes the job.
const INSIDE: &str = "inside";

const USAGE: &str =
    "driver MAKEFILE AUTOGRADE_TAR HANDIN [time=SECONDS] [points=N] [within=SECONDS] [ready=FOLDER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(INSIDE) => inside(&arguments[1..]),
        _ => drive(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("driver: {e}");
            ExitCode::FAILURE
        }
    }
}

fn drive(arguments: &[String]) -> Result<()> {
    let [makefile, autograde, handin, options @ ..] = arguments else { return Err(USAGE.into()) };
    let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    let time: u64 = option("time").unwrap_or("900").parse()?;

    let folder = std::env::temp_dir().join(format!("driver-{}", std::process::id()));
    let job = folder.join("autolab");
    fs::create_dir_all(&job)?;
    for (from, name) in [(makefile, "Makefile"), (autograde, "autograde.tar"), (handin, "lab3-handin.tar")] {
        fs::copy(from, job.join(name)).map_err(|e| format!("{from}: {e}"))?;
    }
    let began = Instant::now();
    let feedback = run_job(&folder, &job, time, option("ready"));
    let seconds = began.elapsed().as_secs();
    fs::remove_dir_all(&folder)?;
    let feedback = feedback?;
    print!("{feedback}");

    let scores = scores_of(&feedback)?;
    let points: f64 = scores.iter().map(|(_, score)| score).sum();
    println!("driver: {points} points in {} problems, {seconds} s", scores.len());
    if let Some(wanted) = option("points")
        && points != wanted.parse::<f64>()?
    {
        return Err(format!("{wanted} points were expected").into());
    }
    if let Some(limit) = option("within")
        && seconds > limit.parse()?
    {
        return Err(format!("it took longer than {limit} s").into());
    }
    Ok(())
}

/// Runs the job; what Autolab gets to see of it.
fn run_job(folder: &Path, job: &Path, time: u64, ready: Option<&str>) -> Result<String> {
    let log_path = folder.join("log");
    let log = fs::File::create(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(INSIDE).args(ready.map(|folder| format!("READY={folder}")));
    // HOME and USER are not the job's user's own, as on Autolab.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", "/home/autolab").env("USER", "autolab").current_dir(job);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let user = getuid().is_root().then_some(STRANGER);
    if let Some(user) = user {
        if !processes_of(user).is_empty() {
            return Err(format!("user {user} has processes; is another driver running?").into());
        }
        for path in fs::read_dir(job)?.map(|entry| Ok(entry?.path())).chain([Ok(job.to_path_buf())]) {
            let path: std::io::Result<PathBuf> = path;
            chown(path?, Some(user), Some(user))?;
        }
        command.uid(user).gid(user);
    }
    let mut child = command.spawn()?;
    let deadline = Instant::now() + Duration::from_secs(time);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status.to_string();
        }
        if Instant::now() > deadline {
            // Autolab's driver does not kill what the job has started, not yet.
            child.kill()?;
            child.wait()?;
            break format!("time-out after {time} s");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let log = fs::read(&log_path)?;
    for process in user.map(processes_of).into_iter().flatten() {
        println!("driver: process {process} was left");
        let kill = Command::new("kill").args(["-KILL", &process]).status();
        // It may have ended.
        let _ = kill;
    }
    let cut = if log.len() > FEEDBACK {
        [&log[..FEEDBACK / 2], b"\n[cut]\n", &log[log.len() - FEEDBACK / 2..]].concat()
    } else {
        log
    };
    Ok(format!("driver: the job ended ({status})\n{}", String::from_utf8_lossy(&cut)))
}

/// The ids of a user's processes.
fn processes_of(user: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| process.metadata().is_ok_and(|data| data.uid() == user))
        .filter_map(|process| process.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .collect()
}

/// In the job's process, as its user: sets the limits, sees that they are in force, and becomes `make`.
fn inside(variables: &[String]) -> Result<()> {
    // Without a user of its own, the job has to share.
    let shared = if getuid().as_raw() == STRANGER { 0 } else { threads_of_user() };
    for (resource, limit) in [(Resource::Nproc, PROCESSES + shared), (Resource::Fsize, FILE_SIZE)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        assert_eq!(getrlimit(resource).maximum, Some(limit));
    }
    let threads = threads_that_start();
    if threads as u64 >= PROCESSES {
        return Err(
            format!("the limit of {PROCESSES} processes is not in force: {threads} threads started").into()
        );
    }
    let too_large = format!("head -c {} /dev/zero > large 2>/dev/null", FILE_SIZE + 1);
    if Command::new("sh").args(["-c", &too_large]).stderr(Stdio::null()).status()?.success() {
        return Err("the limit of file sizes is not in force".into());
    }
    fs::remove_file("large")?;
    println!(
        "driver: limits in force: {threads} threads could be started, files of {FILE_SIZE} bytes written"
    );
    Err(Command::new("make").args(variables).exec().into())
}

fn threads_that_start() -> usize {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stopped = std::sync::Arc::new(std::sync::Mutex::new(stopped));
    let mut threads = Vec::new();
    while threads.len() as u64 <= PROCESSES {
        let stopped = stopped.clone();
        // They end when the sender is dropped.
        let thread = std::thread::Builder::new().spawn(move || drop(stopped.lock().map(|end| end.recv())));
        let Ok(thread) = thread else { break };
        threads.push(thread);
    }
    drop(stop);
    let count = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    count
}

fn threads_of_user() -> u64 {
    let threads = |process: String| fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    processes_of(getuid().as_raw()).into_iter().map(threads).sum::<usize>() as u64
}

/// What Autolab makes of the last line.
fn scores_of(feedback: &str) -> Result<Vec<(String, f64)>> {
    let last = feedback.trim_end().lines().next_back().unwrap_or_default();
    let value: Value =
        serde_json::from_str(&requoted(last)).map_err(|e| format!("the last line is no JSON: {e}"))?;
    let scores = value["scores"].as_object().ok_or("the last line has no scores")?;
    let score =
        |(name, score): (&String, &Value)| Ok((name.clone(), score.as_f64().ok_or("a score is no number")?));
    scores.iter().map(score).collect()
}

/// Every run of letters and digits before a colon gets quotes.
fn requoted(line: &str) -> String {
    let mut pieces = line.split(':').peekable();
    let mut text = String::new();
    while let Some(piece) = pieces.next() {
        let word = piece.trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len();
        if pieces.peek().is_some() && word < piece.len() {
            text += &format!("{}\"{}\":", &piece[..word], &piece[word..]);
        } else {
            text += piece;
            text += if pieces.peek().is_some() { ":" } else { "" };
        }
    }
    text
}
