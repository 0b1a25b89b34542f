//! The process of one title, seen from outside: starts it, forwards its output, and judges it.
//!
//! The code under test lives in that process too and may do there what it likes: print, exit, start processes, hang.
//! So a title has passed when its process says so with a token that only its harness was told, and in no other case.
//! Token and verdict travel over a pair of sockets that is the child's standard input: unlike a pipe, it cannot be
//! opened for reading by its name in /proc. Environment, arguments and files hold nothing of use.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Tells a child which title it is to run.
pub(crate) const TITLE_VARIABLE: &str = "LAB_TITLE";

/// Tells a child where the workspace is that the test binary was compiled in, if this crate was compiled elsewhere.
pub const FOLDER_VARIABLE: &str = "LAB_FOLDER";

/// The word behind the token that tells a child to close its memory to others.
pub(crate) const SEALED: &str = "sealed";

/// The word before a line that says where a failed title's picture is.
pub(crate) const DRAWN: &str = "drawn";

/// Stands for a line break in the message of a report, which is one line.
pub(crate) const LINE_BREAK: char = '\u{1f}';

/// How long a child may take to end once it has reported.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// How long a child may take that draws a picture before it ends.
const DRAW_GRACE: Duration = Duration::from_secs(30);

/// How long output and reports may still arrive from a process that is dead. It is over sooner unless another process
/// holds its ends; on a machine with far too much to do, the threads that read may not have had their turn within a second.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// How often to look whether the child has ended. Its output does not tell: a process that it started may hold it open.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Output is handed on in pieces, and a report ends, at this size.
const LONGEST_LINE: u64 = 1 << 16;

/// How many events may wait to be handled.
const EVENTS_AHEAD: usize = 64;

/// Whose code runs in the title's process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The user's own: standard error stays where it is, and debuggers can attach.
    Own,
    /// The user's own, one of many processes: standard error is part of the output.
    OneOfMany,
    /// Somebody's: standard error is part of the output, and no process of the same user can look into this one's
    /// memory (Linux).
    Foreign,
}

/// Runs one title of a test binary in a process group of its own, hands on its output as it comes, and kills what is
/// left of the group. Gives the title's last line ("  ... Passed --  15.1  5  4653  126"), or the reason why it failed.
///
/// `command` starts the test binary; the title, standard input and standard output are added here. `limit` is when the
/// process is killed if it has not reported; a title has its own limit inside (`LIMIT`), which says more.
pub fn run_title(
    command: Command,
    name: &str,
    limit: Duration,
    trust: Trust,
    output: &mut dyn FnMut(&[u8]),
) -> Result<String, String> {
    let deadline = Instant::now() + limit;
    // The code under test could find it in the process's memory, but nowhere else.
    let token = format!("{:032x}", rand::random::<u128>());
    let mut process = Process::start(command, name, trust)?;
    let told = match trust {
        Trust::Own | Trust::OneOfMany => format!("{token}\n"),
        Trust::Foreign => format!("{token} {SEALED}\n"),
    };
    // When nobody reads it, the process has ended, and that is said below.
    let _ = process.channel.write_all(told.as_bytes());
    let report = process.wait_for_report(&token, deadline, output);
    let grace = match (&report, trust) {
        (Some(Report::Failed(_)), Trust::Own | Trust::OneOfMany) => DRAW_GRACE,
        (Some(_), _) => EXIT_GRACE,
        (None, _) => Duration::ZERO,
    };
    let exited = process.wait_for_exit(grace, output);
    let status = process.kill(output);
    match (report, exited) {
        (Some(Report::Passed(line)), true) => Ok(line),
        (Some(Report::Passed(_)), false) => Err("it passed, but its process did not end; killed".to_string()),
        (Some(Report::Failed(why)), _) => match process.drawn {
            Some(drawn) if trust != Trust::Foreign => Err(format!("{why}\n{drawn}")),
            _ => Err(why),
        },
        (None, true) => Err(format!(
            "its process ended ({status}) before the test did. If nothing above says why: does something call \
             std::process::exit or abort, or was it killed for want of memory?"
        )),
        (None, false) => Err(format!("it hung: no result {} s after the start; killed", limit.as_secs())),
    }
}

enum Report {
    /// With the title's last line.
    Passed(String),
    Failed(String),
}

enum Event {
    Output(Vec<u8>),
    /// A line from the child's end of the sockets.
    Said(String),
}

struct Process {
    child: Child,
    /// It stays open: its end tells the child that its parent is gone.
    channel: UnixStream,
    /// They end when what the child wrote has been read to its end.
    events: Receiver<Event>,
    /// What the child said of its picture.
    drawn: Option<String>,
}

impl Process {
    fn start(mut command: Command, name: &str, trust: Trust) -> Result<Process, String> {
        let failed = |e: std::io::Error| format!("cannot start a process for the title: {e}");
        let (channel, childs) = UnixStream::pair().map_err(failed)?;
        let (stdout, writer) = pipe().map_err(failed)?;
        if trust != Trust::Own {
            command.stderr(writer.try_clone().map_err(failed)?);
        }
        command.env(TITLE_VARIABLE, name).stdin(OwnedFd::from(childs)).stdout(writer).process_group(0);
        let child = command.spawn().map_err(failed)?;
        // It holds the child's ends of both.
        drop(command);
        let said = channel.try_clone().map_err(failed)?;
        let (tx, events) = sync_channel(EVENTS_AHEAD);
        let mut process = Process { child, channel, events, drawn: None };
        // Threads of their own, because reading has no time limit. They end with what they read.
        let readers = std::thread::Builder::new()
            .spawn({
                let tx = tx.clone();
                move || read_output(stdout, &tx)
            })
            .and_then(|_| std::thread::Builder::new().spawn(move || read_reports(said, &tx)));
        if let Err(e) = readers {
            process.kill(&mut |_| {});
            return Err(format!("cannot start a thread: {e}. {}", labrpc::thread_census()));
        }
        Ok(process)
    }

    /// None: the process has ended, or the time has, without a report.
    fn wait_for_report(
        &mut self,
        token: &str,
        deadline: Instant,
        output: &mut dyn FnMut(&[u8]),
    ) -> Option<Report> {
        loop {
            // Looked at first: what the child said before it ended is still found below.
            let ended = self.has_exited();
            if ended {
                // Others may hold its end of the sockets.
                self.kill_group();
            }
            let until = (Instant::now() + if ended { DRAIN_GRACE } else { LOOK_INTERVAL }).min(deadline);
            // An event that waits is received even when no time is left, and there may be no end of events.
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                match self.events.recv_timeout(left) {
                    Ok(Event::Said(line)) => {
                        if let Some(report) = parse(&line, token) {
                            return Some(report);
                        }
                    }
                    Ok(event) => self.handle(event, output),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) if ended => return None,
                    // It has closed its end, but lives.
                    Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left),
                }
            }
            if ended || Instant::now() >= deadline {
                return None;
            }
        }
    }

    fn handle(&mut self, event: Event, output: &mut dyn FnMut(&[u8])) {
        match event {
            Event::Output(text) => output(&text),
            Event::Said(line) => {
                if let Some((DRAWN, text)) = line.split_once(' ') {
                    self.drawn = Some(text.replace(LINE_BREAK, "\n"));
                }
            }
        }
    }

    /// Whether the child ends by itself.
    fn wait_for_exit(&mut self, grace: Duration, output: &mut dyn FnMut(&[u8])) -> bool {
        let deadline = Instant::now() + grace;
        loop {
            if self.has_exited() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            match self.events.recv_timeout(Duration::from_millis(1)) {
                Ok(event) => self.handle(event, output),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// It is not reaped yet, so that its number, which is its group's too, stays taken.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child.
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    fn kill_group(&self) {
        // An error means that nobody is left in it.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// Kills what is left of the group, and hands on the rest of its output.
    fn kill(&mut self, output: &mut dyn FnMut(&[u8])) -> String {
        self.kill_group();
        let status =
            self.child.wait().map_or_else(|e| e.to_string(), |status: ExitStatus| status.to_string());
        let deadline = Instant::now() + DRAIN_GRACE;
        while let Some(left) = deadline.checked_duration_since(Instant::now())
            && let Ok(event) = self.events.recv_timeout(left)
        {
            self.handle(event, output);
        }
        status
    }
}

/// Anybody in the process can write a line; one that is no report is passed over.
fn parse(line: &str, token: &str) -> Option<Report> {
    match line.split_once(' ')? {
        ("failed", why) => Some(Report::Failed(why.replace(LINE_BREAK, "\n"))),
        ("passed", proof) => {
            let (word, line) = proof.split_once(' ')?;
            (word == token).then(|| Report::Passed(line.to_string()))
        }
        _ => None,
    }
}

fn read_output(output: PipeReader, events: &SyncSender<Event>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(1..) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
        if events.send(Event::Output(std::mem::take(&mut line))).is_err() {
            return;
        }
    }
}

fn read_reports(channel: UnixStream, events: &SyncSender<Event>) {
    let mut reader = BufReader::new(channel);
    let mut line = Vec::new();
    while let Ok(1..) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_string();
        line.clear();
        if events.send(Event::Said(text)).is_err() {
            return;
        }
    }
}
