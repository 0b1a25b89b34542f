//! The process of one test, seen from outside: starts it, forwards its output, and judges it.
//!
//! The code under test lives in that process too, and may do anything there: print, exit, start processes, hang. A
//! test has passed only if its process says so with a token that only the harness in that process knows. The token and
//! the verdict travel over a pair of sockets; the child's end is its standard input. Unlike a pipe, a socket cannot be
//! opened for reading by its name in /proc. The environment, the arguments and the files hold nothing that helps a
//! cheat.

use crate::protocol::{self, CHILD_VARIABLE, Drawing, LONGEST_LINE, Pictures, Report, Simulation, Start};
use lines::PassedLine;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fmt;
use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How long a child may take to end once it has reported.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// How long a child may take to draw a picture and to end.
const DRAW_GRACE: Duration = Duration::from_secs(30);

/// How long to wait for the output and the reports of a process that has ended. The wait ends early when all writing
/// ends are closed; another process may keep one open. On an overloaded machine, the threads that read need more than
/// a second.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// How often to look whether the child has ended. Its output may stay open after that: a process that it started may
/// hold the writing end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How many events may wait to be handled.
const EVENTS_AHEAD: usize = 64;

/// Whose code runs in the test's process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The user's own: standard error stays where it is, and debuggers can attach.
    Own,
    /// The user's own, in one of many processes at a time: standard error is part of the output.
    OneOfMany,
    /// Another person's: standard error is part of the output, no picture is drawn, and no process of the same user can
    /// read the test's memory (on Linux).
    Foreign,
}

/// The arguments of [`run_test`].
pub struct TestRun<'a> {
    /// Starts the test binary. [`run_test`] adds standard input and standard output.
    pub command: Command,
    /// The name of the test's function.
    pub test: &'a str,
    /// The time after which the process is killed if it has not reported. The process has a limit of its own
    /// ([`LIMIT`](crate::LIMIT)), whose message says what hangs: this limit should be longer.
    pub limit: Duration,
    /// Whose code it is.
    pub trust: Trust,
    /// The workspace that the test binary was compiled in. None: the one in which this crate was compiled.
    pub workspace: Option<&'a Path>,
    /// Simulates the test with this seed, by the uniform strategy, which finds only failures that can happen in real
    /// time too. None: the test runs in real time.
    pub seed: Option<u64>,
}

/// Why a test has failed. Displays as the whole reason.
#[derive(Debug)]
pub enum TestFailure {
    /// The test's process could not be started.
    NotStarted(std::io::Error),
    /// The process runs, but no thread could be started to read what it writes.
    NotConnected(std::io::Error),
    /// The test said why.
    Failed {
        /// The reason.
        message: String,
        /// What became of its picture.
        drawing: Option<Drawing>,
    },
    /// The process ended before the test did.
    Ended {
        /// The exit code or the signal.
        status: String,
    },
    /// There was no result within this time.
    Hung(Duration),
    /// The test has passed, but its process did not end.
    Lingered,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestFailure::NotStarted(e) => write!(f, "cannot start a process for the test: {e}"),
            TestFailure::NotConnected(e) => {
                write!(f, "cannot start a thread: {e}. {}", labrpc::thread_census())
            }
            TestFailure::Failed { message, drawing: None } => f.write_str(message),
            TestFailure::Failed { message, drawing: Some(drawing) } => write!(f, "{message}\n{drawing}"),
            TestFailure::Ended { status } => write!(
                f,
                "its process ended ({status}) before the test did. If nothing above says why: does something call \
                 std::process::exit or abort, or was it killed for want of memory?"
            ),
            TestFailure::Hung(limit) => {
                write!(f, "it hung: no result {} s after the start; killed", limit.as_secs())
            }
            TestFailure::Lingered => f.write_str("it passed, but its process did not end; killed"),
        }
    }
}

impl std::error::Error for TestFailure {}

/// Runs one test of a test binary in a process group of its own, passes its output to `output` as it comes, and in the
/// end kills the processes that are left in the group. Returns the test's last line, if the test set one.
///
/// # Errors
/// When the test has not passed; the error says why.
pub fn run_test(run: TestRun<'_>, output: &mut dyn FnMut(&[u8])) -> Result<Option<PassedLine>, TestFailure> {
    let TestRun { command, test, limit, trust, workspace, seed } = run;
    let simulation = seed.map(|seed| Simulation {
        seed,
        strategy: sim::Strategy::Uniform,
        trace: None,
        on_kernel_threads: false,
        replay: None,
    });
    let workspace = workspace.map(Path::to_path_buf);
    self::run(command, Order { workspace, simulation, ..Order::new(test, trust) }, limit, output)
}

/// What a child is to do: a [`Start`] without the token, and with a [`Trust`].
pub(super) struct Order {
    pub(super) test: String,
    pub(super) trust: Trust,
    pub(super) workspace: Option<PathBuf>,
    pub(super) simulation: Option<Simulation>,
    pub(super) pictures: Pictures,
    pub(super) counts_threads: bool,
}

impl Order {
    /// A test in real time.
    pub(super) fn new(test: &str, trust: Trust) -> Order {
        Order {
            test: test.to_string(),
            trust,
            workspace: None,
            simulation: None,
            pictures: Pictures::OnFailure,
            counts_threads: false,
        }
    }
}

/// As [`run_test`].
pub(super) fn run(
    command: Command,
    order: Order,
    limit: Duration,
    output: &mut dyn FnMut(&[u8]),
) -> Result<Option<PassedLine>, TestFailure> {
    let Order { test, trust, workspace, simulation, pictures, counts_threads } = order;
    let deadline = Instant::now() + limit;
    // The code under test could find the token in its process's memory, but nowhere else.
    let token = format!("{:032x}", rand::random::<u128>());
    let sealed = trust == Trust::Foreign;
    let start = Start { test, token: token.clone(), sealed, workspace, simulation, pictures, counts_threads };
    let start = protocol::encode(&start).map_err(|e| TestFailure::NotStarted(e.into()))?;
    let mut process = Process::start(command, trust)?;
    // An error means that the process has ended already; the code below reports that.
    let _ = process.channel.write_all(&start);
    let verdict = process.wait_for_verdict(&token, deadline, output);
    let grace = match (&verdict, trust) {
        (Some(Verdict::Failed(_)), Trust::Own | Trust::OneOfMany) => DRAW_GRACE,
        (Some(_), _) => EXIT_GRACE,
        (None, _) => Duration::ZERO,
    };
    let exited = process.wait_for_exit(grace, output);
    let status = process.kill(output);
    match (verdict, exited) {
        (Some(Verdict::Passed(line)), true) => Ok(line),
        (Some(Verdict::Passed(_)), false) => Err(TestFailure::Lingered),
        (Some(Verdict::Failed(message)), _) => {
            Err(TestFailure::Failed { message, drawing: process.drawing.filter(|_| !sealed) })
        }
        (None, true) => Err(TestFailure::Ended { status }),
        (None, false) => Err(TestFailure::Hung(limit)),
    }
}

/// Prints a test's output.
pub(super) fn print(text: &[u8]) {
    let mut stdout = std::io::stdout();
    // When nobody reads our output any more, the verdict still counts.
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}

enum Verdict {
    Passed(Option<PassedLine>),
    Failed(String),
}

enum Event {
    Output(Vec<u8>),
    /// A message from the child's end of the sockets.
    Said(Report),
}

struct Process {
    child: Child,
    /// Stays open: its end tells the child that its parent is gone.
    channel: UnixStream,
    /// Closed when everything that the child wrote has been read.
    events: Receiver<Event>,
    /// What became of the child's picture.
    drawing: Option<Drawing>,
}

impl Process {
    fn start(mut command: Command, trust: Trust) -> Result<Process, TestFailure> {
        let failed = TestFailure::NotStarted;
        let (channel, childs) = UnixStream::pair().map_err(failed)?;
        let (stdout, writer) = pipe().map_err(failed)?;
        if trust != Trust::Own {
            command.stderr(writer.try_clone().map_err(failed)?);
        }
        command.env(CHILD_VARIABLE, "1").stdin(OwnedFd::from(childs)).stdout(writer).process_group(0);
        let child = command.spawn().map_err(failed)?;
        // The command holds the child's ends of the sockets and of the pipe.
        drop(command);
        let said = channel.try_clone().map_err(failed)?;
        let (tx, events) = sync_channel(EVENTS_AHEAD);
        let mut process = Process { child, channel, events, drawing: None };
        // Reading has no time limit, so threads of their own read. Each ends when what it reads ends.
        let readers = std::thread::Builder::new()
            .spawn({
                let tx = tx.clone();
                move || read_output(stdout, &tx)
            })
            .and_then(|_| std::thread::Builder::new().spawn(move || read_reports(said, &tx)));
        if let Err(e) = readers {
            process.kill(&mut |_| {});
            return Err(TestFailure::NotConnected(e));
        }
        Ok(process)
    }

    /// None: the process has ended, or the time is over, without a verdict.
    fn wait_for_verdict(
        &mut self,
        token: &str,
        deadline: Instant,
        output: &mut dyn FnMut(&[u8]),
    ) -> Option<Verdict> {
        loop {
            // Look at this first: the loop below still receives what the child said before it ended.
            let ended = self.has_exited();
            if ended {
                // Other processes of the group may hold the child's end of the sockets.
                self.kill_group();
            }
            let until = (Instant::now() + if ended { DRAIN_GRACE } else { LOOK_INTERVAL }).min(deadline);
            // `recv_timeout` returns a waiting event even with no time left, and events may never cease: so look at the
            // time before each.
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                match self.events.recv_timeout(left) {
                    // Anybody in the process can say that the test has passed; only its harness knows the token.
                    Ok(Event::Said(Report::Passed { token: said, line })) if said == token => {
                        return Some(Verdict::Passed(line));
                    }
                    Ok(Event::Said(Report::Failed { message })) => return Some(Verdict::Failed(message)),
                    Ok(event) => self.handle(event, output),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) if ended => return None,
                    // The child has closed its ends, but still runs.
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
            Event::Said(Report::Picture(drawing)) => self.drawing = Some(drawing),
            Event::Said(Report::Passed { .. } | Report::Failed { .. }) => {}
        }
    }

    /// Waits for the child to end by itself. Returns false if it still runs after `grace`.
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

    /// Whether the child has ended. Does not reap it: until it is reaped, no other process or group can get its
    /// number, which `kill_group` uses.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child.
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    fn kill_group(&self) {
        // An error means that no process is left in the group.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// Kills the processes that are left in the group, and passes on the rest of their output. Returns the child's exit
    /// status as text.
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
    while let Some(report) = protocol::receive(&mut reader) {
        if events.send(Event::Said(report)).is_err() {
            return;
        }
    }
}
