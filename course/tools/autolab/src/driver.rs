//! Stands in for Autolab's driver, to test a grading job: runs `make` on the job's three files as an unprivileged user,
//! with Autolab's limits, and reads the scores from the last line as Autolab does.
//!
//! `driver results FILE [points=N]` checks Gradescope's results.json instead.
//!
//! If root runs this program, the job runs under a user id that nobody has. Otherwise it runs as the user who runs this
//! program.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, getuid, kill_process, setrlimit};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Autolab's usual limits: processes and threads of the job's user, bytes of a file, bytes of feedback.
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
        Some("results") => check_results(&arguments[1..]),
        _ => drive(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("driver: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn drive(arguments: &[String]) -> Result<()> {
    let [makefile, autograde, handin, options @ ..] = arguments else { bail!("usage: {USAGE}") };
    let option = |name: &str| options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    let time: u64 = option("time").unwrap_or("900").parse().context("time=")?;

    // The job's user must be able to enter the folder.
    let mode = Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().prefix("driver-").permissions(mode).tempdir();
    let folder = folder.context("cannot make a temporary folder; set TMPDIR")?;
    let job = folder.path().join("autolab");
    fs::create_dir(&job)?;
    let handin_name = Path::new(handin).file_name().context("HANDIN has no name")?;
    for (from, name) in
        [(makefile, "Makefile".as_ref()), (autograde, "autograde.tar".as_ref()), (handin, handin_name)]
    {
        fs::copy(from, job.join(name)).with_context(|| format!("cannot copy {from}"))?;
    }
    let began = Instant::now();
    let feedback = run_job(folder.path(), &job, time, option("ready"))?;
    let seconds = began.elapsed().as_secs();
    print!("{feedback}");

    let scores = scores_of(&feedback)?;
    let points: f64 = scores.iter().map(|(_, score)| score).sum();
    println!("driver: {points} points in {} problems, {seconds} s", scores.len());
    if let Some(wanted) = option("points") {
        ensure!(
            points == wanted.parse::<f64>().context("points=")?,
            "the job gave {points} points; {wanted} were expected"
        );
    }
    if let Some(limit) = option("within") {
        ensure!(seconds <= limit.parse().context("within=")?, "the job took longer than {limit} s");
    }
    Ok(())
}

/// Runs the job, and returns the part of its output that Autolab would show.
fn run_job(folder: &Path, job: &Path, time: u64, ready: Option<&str>) -> Result<String> {
    let log_path = folder.join("log");
    let log = fs::File::create(&log_path)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(INSIDE).args(ready.map(|folder| format!("READY={folder}")));
    // As on Autolab, HOME and USER are another user's.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", "/home/autolab").env("USER", "autolab").current_dir(job);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let user = getuid().is_root().then_some(STRANGER);
    if let Some(user) = user {
        ensure!(processes_of(user).is_empty(), "user {user} has processes; is another driver running?");
        chown(job, Some(user), Some(user))?;
        for entry in fs::read_dir(job)? {
            chown(entry?.path(), Some(user), Some(user))?;
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
            // Like Autolab's driver, kill only the job's first process here.
            child.kill()?;
            child.wait()?;
            break format!("time-out after {time} s");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let log = fs::read(&log_path)?;
    for process in user.map(processes_of).into_iter().flatten() {
        println!("driver: the job left process {process} behind");
        // Ignore an error: the process may have ended.
        let _ = Pid::from_raw(process).map(|process| kill_process(process, Signal::KILL));
    }
    let cut = if log.len() > FEEDBACK {
        [&log[..FEEDBACK / 2], b"\n[cut]\n", &log[log.len() - FEEDBACK / 2..]].concat()
    } else {
        log
    };
    Ok(format!("driver: the job ended ({status})\n{}", String::from_utf8_lossy(&cut)))
}

/// The ids of a user's processes.
fn processes_of(user: u32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| process.metadata().is_ok_and(|data| data.uid() == user))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// The job's process, as its user: sets the limits, checks that they are in force, and becomes `make`.
fn inside(variables: &[String]) -> Result<()> {
    // If the job has no user of its own, the user's other threads count too.
    let shared = if getuid().as_raw() == STRANGER { 0 } else { threads_of_user() };
    for (resource, limit) in [(Resource::Nproc, PROCESSES + shared), (Resource::Fsize, FILE_SIZE)] {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        ensure!(getrlimit(resource).maximum == Some(limit), "cannot set the limit {resource:?}");
    }
    let threads = threads_that_start();
    ensure!(
        (threads as u64) < PROCESSES,
        "the limit of {PROCESSES} processes is not in force: {threads} threads started"
    );
    let too_large = format!("head -c {} /dev/zero > large 2>/dev/null", FILE_SIZE + 1);
    let written = Command::new("sh").args(["-c", &too_large]).stderr(Stdio::null()).status()?;
    ensure!(!written.success(), "the limit of file sizes is not in force");
    fs::remove_file("large")?;
    println!(
        "driver: limits in force: {threads} threads could be started, files of {FILE_SIZE} bytes written"
    );
    Err(Command::new("make").args(variables).exec()).context("cannot start make")
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
    let threads = |process: i32| fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    processes_of(getuid().as_raw()).into_iter().map(threads).sum::<usize>() as u64
}

/// The scores, read from the last line as Autolab reads them.
fn scores_of(feedback: &str) -> Result<Vec<(String, f64)>> {
    let last = feedback.trim_end().lines().next_back().unwrap_or_default();
    let value: Value = serde_json::from_str(&requoted(last)).context("the last line is not JSON")?;
    let scores = value["scores"].as_object().context("the last line has no scores")?;
    let score = |(name, score): (&String, &Value)| {
        Ok((name.clone(), score.as_f64().with_context(|| format!("the score of {name} is not a number"))?))
    };
    scores.iter().map(score).collect()
}

/// Checks results.json against Gradescope's specification, and prints the points that Gradescope would show.
fn check_results(arguments: &[String]) -> Result<()> {
    let [file, options @ ..] = arguments else { bail!("usage: driver results FILE [points=N]") };
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let points = points_of(&text).with_context(|| format!("Gradescope would refuse {file}"))?;
    println!("driver: {points} points in {file}");
    if let Some(wanted) = options.iter().find_map(|option| option.strip_prefix("points=")) {
        ensure!(points == wanted.parse::<f64>().context("points=")?, "{wanted} points were expected");
    }
    Ok(())
}

/// The points in the text of a results.json: either the file as a whole has a score, or each of its tests has one.
fn points_of(results: &str) -> Result<f64> {
    const FIELDS: [&str; 8] = [
        "score",
        "execution_time",
        "output",
        "output_format",
        "visibility",
        "stdout_visibility",
        "extra_data",
        "tests",
    ];
    const TEST_FIELDS: [&str; 10] = [
        "score",
        "max_score",
        "status",
        "name",
        "name_format",
        "number",
        "output",
        "output_format",
        "tags",
        "visibility",
    ];
    const VISIBILITIES: [&str; 4] = ["hidden", "after_due_date", "after_published", "visible"];
    let value: Value = serde_json::from_str(results).context("it is not JSON")?;
    let tests =
        value.get("tests").map(|tests| tests.as_array().context("\"tests\" is not a list")).transpose()?;
    let objects = tests.into_iter().flatten().map(|test| (test, &TEST_FIELDS[..]));
    for (object, fields) in objects.chain([(&value, &FIELDS[..])]) {
        let object = object.as_object().context("it has something else than an object")?;
        for (field, value) in object {
            ensure!(fields.contains(&field.as_str()), "it has the unknown field {field:?}");
            let is_right = match field.as_str() {
                "score" | "max_score" | "execution_time" => value.as_f64().is_some_and(|n| n >= 0.0),
                "status" => ["passed", "failed"].map(Some).contains(&value.as_str()),
                "visibility" | "stdout_visibility" => VISIBILITIES.map(Some).contains(&value.as_str()),
                "output" | "name" => value.is_string(),
                _ => true,
            };
            ensure!(is_right, "{field:?} is {value}");
        }
    }
    if let Some(score) = value["score"].as_f64() {
        return Ok(score);
    }
    let scores: Vec<f64> = tests.into_iter().flatten().filter_map(|test| test["score"].as_f64()).collect();
    ensure!(!scores.is_empty(), "neither it nor a test has a score");
    Ok(scores.iter().sum())
}

/// The line with quotes round every run of letters and digits that stands before a colon. Autolab adds these quotes before
/// it parses the line.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scores_are_those_of_the_last_line() {
        let feedback = "{\"scores\": {\"a\": 9}}\n{\"scores\":{\"01 one\":5,\"10 two\":2.5}}\n";
        let scores = scores_of(feedback).unwrap();
        assert_eq!(scores, [("01 one".to_string(), 5.0), ("10 two".to_string(), 2.5)]);
        assert!(scores_of("{\"scores\": {\"a\": 9}}\nmake: *** [grade] Error 1\n").is_err());
    }

    #[test]
    fn results_are_read_as_gradescope_specifies_them() {
        assert_eq!(points_of(r#"{"score": 0, "output": "no"}"#).unwrap(), 0.0);
        let tests =
            r#"{"tests": [{"name": "a", "score": 5, "status": "passed"}, {"name": "hunt"}, {"score": 2.5}]}"#;
        assert_eq!(points_of(tests).unwrap(), 7.5);
        for wrong in [
            "",
            "[]",
            r#"{"output": "no"}"#,
            r#"{"tests": [{"name": "a"}]}"#,
            r#"{"tests": {}}"#,
            r#"{"score": -1}"#,
            r#"{"score": 1, "outputs": "x"}"#,
            r#"{"tests": [{"score": 1, "status": "pass"}]}"#,
            r#"{"tests": [{"score": 1, "visibility": "all"}]}"#,
        ] {
            assert!(points_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_before_a_colon_get_quotes_as_in_autolab() {
        assert_eq!(requoted("{scores: {a1: 2}}"), "{\"scores\": {\"a1\": 2}}");
        // The added quotes break a name in which a word stands before a colon.
        assert!(scores_of("{\"scores\":{\"part one: x\":5}}").is_err());
    }
}
