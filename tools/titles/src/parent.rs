//! The test binary as the user starts it: starts a child for each title, forwards its output, and judges it.

use crate::Title;
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Tells a child which title it is to run.
pub(crate) const TITLE_VARIABLE: &str = "LAB_TITLE";

/// How long a child may go on after its time limit, before it is killed: enough to report what hangs.
const GRACE: Duration = Duration::from_secs(10);

/// How long a child may take to end once it has reported.
const EXIT_GRACE: Duration = Duration::from_secs(5);

pub(crate) fn run(limit: Duration, titles: &'static [Title]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Titles measure time and count RPCs: two at once would disturb each other.
    arguments.test_threads = Some(1);
    let trials = titles.iter().map(|&(name, _)| Trial::test(name, move || run_title(limit, name))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run_title(limit: Duration, name: &str) -> Result<(), Failed> {
    // The cursor stands behind "test test_basic_3a ... "; the title belongs at the start of a line.
    println!();
    // The child's report begins with a word that only its harness is told. The code under test could find it in the
    // process's memory, but not in the environment, the arguments or a file.
    let token = format!("{:032x}", rand::random::<u128>());
    let mut child = start(name, &token)?;
    let report = forward_output(&mut child, &token, limit + GRACE);
    let status = wait_for_exit(&mut child);
    match (report, status) {
        (Report::Passed, Some(_)) => Ok(()),
        (Report::Passed, None) => Err("it passed, but its process did not end; killed".into()),
        (Report::Failed(why), _) => Err(why.into()),
        (Report::None, Some(status)) => Err(format!(
            "its process ended ({status}) before the test did. If nothing above says why: does something call \
             std::process::exit or abort, or was it killed for want of memory?"
        )
        .into()),
        (Report::None, None) => {
            Err(format!("it hung: no result {} s after the start; killed", (limit + GRACE).as_secs()).into())
        }
    }
}

fn start(name: &str, token: &str) -> Result<Child, Failed> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    let mut command = Command::new(program);
    command.env(TITLE_VARIABLE, name).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot start a process for the title: {e}"))?;
    // Standard input stays open: its end tells the child that its parent is gone.
    let stdin = child.stdin.as_mut().expect("standard input is piped");
    writeln!(stdin, "{token}").map_err(|e| format!("cannot talk to the title's process: {e}"))?;
    Ok(child)
}

enum Report {
    Passed,
    Failed(String),
    /// The output ended, or the time did, without a report.
    None,
}

/// Prints what the child prints, as it comes, up to its report.
fn forward_output(child: &mut Child, token: &str, limit: Duration) -> Report {
    let stdout = child.stdout.take().expect("standard output is piped");
    let (tx, rx) = sync_channel(LINES_AHEAD);
    // A thread of its own, because reading has no time limit. It ends with the child's output.
    let reader = std::thread::Builder::new().spawn(move || read_lines(stdout, &tx));
    if let Err(e) = reader {
        let _ = child.kill();
        return Report::Failed(format!("cannot start a thread: {e}. {}", labrpc::thread_census()));
    }
    let deadline = Instant::now() + limit;
    while let Some(line) = next_line(&rx, deadline) {
        let text = String::from_utf8_lossy(&line);
        let Some((before, report)) = text.split_once(token) else {
            print(&line);
            continue;
        };
        print(before.as_bytes());
        return match report.trim().split_once(' ') {
            None if report.trim() == "passed" => Report::Passed,
            Some(("failed", why)) => Report::Failed(why.replace(LINE_BREAK, "\n")),
            _ => Report::Failed(format!("the harness's report is garbled: {report:?}")),
        };
    }
    Report::None
}

/// Stands for a line break in the message of a report, which is one line.
pub(crate) const LINE_BREAK: char = '\u{1f}';

/// Output without line breaks is handed on in pieces of this size.
const LONGEST_LINE: u64 = 1 << 16;

/// The length of a token.
const TOKEN: usize = 32;

/// How many lines may wait to be printed.
const LINES_AHEAD: usize = 64;

fn read_lines(stdout: ChildStdout, lines: &SyncSender<Vec<u8>>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while let Ok(1..) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
        // The end of a piece may be the beginning of a token.
        let rest =
            if line.ends_with(b"\n") { Vec::new() } else { line.split_off(line.len().saturating_sub(TOKEN)) };
        if lines.send(std::mem::replace(&mut line, rest)).is_err() {
            return;
        }
    }
    // When nobody receives any more, nobody wants the rest.
    let _ = lines.send(line);
}

fn next_line(lines: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    // A line that waits is received even when no time is left, and there may be no end of lines.
    let left = deadline.checked_duration_since(Instant::now())?;
    lines.recv_timeout(left).ok()
}

fn print(text: &[u8]) {
    let mut stdout = std::io::stdout();
    // When nobody reads our output any more, the verdict still counts.
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}

/// The child's exit status; None when it had to be killed.
fn wait_for_exit(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + EXIT_GRACE;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
