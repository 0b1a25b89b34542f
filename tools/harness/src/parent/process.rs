//! The process of one test, seen from outside: starts it, forwards its output, and judges it.
//!
//! The code under test lives in that process too, and may do anything there: print, exit, start processes, hang. A
//! test has passed only if its process says so with a token that only the harness in that process knows. The token and
//! the verdict travel over a pair of sockets; the child's end is its standard input. Unlike a pipe, a socket cannot be
//! opened for reading by its name in /proc. The environment, the arguments and the files hold nothing that helps a
//! cheat.

use super::lingering;
use super::stream::Stream;
use crate::protocol::{self, CHILD_VARIABLE, Drawing, Pictures, Report, Simulation, Start};
use lines::PassedLine;
use rustix::event::{PollFd, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fmt;
use std::io::{PipeReader, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a child may take to end once it has reported; then it is killed. The verdict stands already. Tools that
/// measure coverage write their files when a process ends.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// How long a child may take to draw a picture and to end. The verdict stands already: on an overloaded machine, only
/// the picture may be lost.
const DRAW_GRACE: Duration = Duration::from_secs(30);

/// How many remarks about a test are kept: the code under test can make some too.
const MOST_REMARKS: usize = 4;

/// How often to look whether the child has ended. Its output may stay open after that: a process that it started may
/// hold the writing end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How often to look once the child has closed its output and its socket: it is about to end.
const LAST_LOOK_INTERVAL: Duration = Duration::from_millis(1);

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
    /// None: the test runs in real time.
    pub simulation: Option<SimulatedRun>,
    /// True: threads of killed servers that are left fail no test, not even an extra one.
    pub is_lenient: bool,
    /// Asked many times a second while the test runs. A sentence ends the test, which has failed for this reason.
    pub objection: Option<&'a dyn Fn() -> Option<String>>,
}

/// How [`run_test`] simulates a test.
#[derive(Default)]
pub struct SimulatedRun {
    /// The seed.
    pub seed: u64,
    /// The strategy.
    pub strategy: sim::Strategy,
    /// What the test reads with [`scenario`](crate::scenario).
    pub scenario: Option<String>,
    /// The command that replays the simulation. If there is one, a picture of a failure is drawn, and shows the command.
    pub replay: Option<String>,
}

/// What is known of a test that has passed.
#[derive(Debug, Default)]
pub struct TestPass {
    /// The test's last line; None if the test has set none.
    pub line: Option<PassedLine>,
    /// What looks odd, and fails nothing: what the test has noted with [`remark`](crate::remark), and which threads its
    /// process had if it did not end. The code under test can add remarks.
    pub remarks: Vec<String>,
}

/// Why a test has failed. Displays as the whole reason.
#[derive(Debug)]
pub enum TestFailure {
    /// The test's process could not be started.
    NotStarted(std::io::Error),
    /// The test said why.
    Failed {
        /// The reason.
        message: String,
        /// What became of its picture.
        drawing: Option<Drawing>,
    },
    /// The process ended before the test did.
    Ended {
        /// The exit code or the signal. None: it is not known.
        status: Option<ExitStatus>,
    },
    /// There was no result within this time.
    Hung(Duration),
    /// Whoever runs the test had an objection, and has ended it.
    Stopped(String),
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TestFailure::NotStarted(e) => write!(f, "cannot start a process for the test: {e}"),
            TestFailure::Failed { message, drawing: None } => f.write_str(message),
            TestFailure::Failed { message, drawing: Some(drawing) } => write!(f, "{message}\n{drawing}"),
            TestFailure::Ended { status } => {
                let words = status.map_or("status unknown".to_string(), |status| status.to_string());
                write!(f, "its process ended ({words}) before the test did.{}", question(*status))
            }
            TestFailure::Hung(limit) => {
                write!(f, "it hung: no result {} s after the start; killed", limit.as_secs())
            }
            TestFailure::Stopped(objection) => write!(f, "it was stopped: {objection}"),
        }
    }
}

impl std::error::Error for TestFailure {}

/// Why a test has failed. Displays as what is left to say below the test's output: of a message that stands in the output, the
/// first line alone.
#[derive(Debug)]
pub(super) struct Failure {
    why: TestFailure,
    /// Whether the whole message stands in the test's output.
    is_printed: bool,
}

impl From<TestFailure> for Failure {
    fn from(why: TestFailure) -> Failure {
        Failure { why, is_printed: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            TestFailure::Failed { message, drawing } if self.is_printed => {
                f.write_str(message.lines().next().unwrap_or_default())?;
                drawing.as_ref().map_or(Ok(()), |drawing| write!(f, "\n{drawing}"))
            }
            why => why.fmt(f),
        }
    }
}

/// Asks what can have ended a process with this status.
fn question(status: Option<ExitStatus>) -> &'static str {
    match status.and_then(|status| status.signal()).and_then(Signal::from_named_raw) {
        None => " If nothing above says why: does something call std::process::exit?",
        Some(Signal::ABORT) => " If nothing above says why: does something call std::process::abort?",
        Some(Signal::KILL) => " If nothing above says why: was it killed for want of memory?",
        Some(_) => "",
    }
}

/// Runs one test of a test binary in a process group of its own, passes its output to `output` as it comes, and in the
/// end kills the processes that are left in the group. A test that has said that it has passed has passed, whatever its
/// process does afterwards.
///
/// # Errors
/// When the test has not passed; the error says why.
pub fn run_test(run: TestRun<'_>, output: &mut dyn FnMut(&[u8])) -> Result<TestPass, TestFailure> {
    let TestRun { command, test, limit, trust, workspace, simulation, is_lenient, objection } = run;
    let is_drawn = simulation.as_ref().is_none_or(|simulation| simulation.replay.is_some());
    let simulation = simulation.map(|SimulatedRun { seed, strategy, scenario, replay }| Simulation {
        seed,
        strategy,
        trace: None,
        on_kernel_threads: false,
        replay,
        scenario,
    });
    let workspace = workspace.map(Path::to_path_buf);
    let pictures = if is_drawn { Pictures::OnFailure } else { Pictures::Never };
    let order = Order { workspace, simulation, pictures, is_lenient, ..Order::new(test, trust) };
    let objection = objection.unwrap_or(&|| None);
    follow_to_its_end(command, order, limit, objection, output).map_err(|failure| failure.why)
}

/// What a child is to do: a [`Start`] without the token, and with a [`Trust`].
pub(super) struct Order {
    pub(super) test: String,
    pub(super) trust: Trust,
    pub(super) workspace: Option<PathBuf>,
    pub(super) simulation: Option<Simulation>,
    pub(super) pictures: Pictures,
    pub(super) counts_threads: bool,
    pub(super) is_strict: bool,
    pub(super) is_lenient: bool,
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
            is_strict: false,
            is_lenient: false,
        }
    }
}

/// As [`run_test`].
pub(super) fn run(
    command: Command,
    order: Order,
    limit: Duration,
    output: &mut dyn FnMut(&[u8]),
) -> Result<TestPass, Failure> {
    follow_to_its_end(command, order, limit, &|| None, output)
}

fn follow_to_its_end(
    command: Command,
    order: Order,
    limit: Duration,
    objection: &dyn Fn() -> Option<String>,
    output: &mut dyn FnMut(&[u8]),
) -> Result<TestPass, Failure> {
    let Order { test, trust, workspace, simulation, pictures, counts_threads, is_strict, is_lenient } = order;
    let deadline = Instant::now() + limit;
    // The code under test could find the token in its process's memory, but nowhere else.
    let token = format!("{:032x}", rand::random::<u128>());
    let sealed = trust == Trust::Foreign;
    let start = Start {
        test,
        token: token.clone(),
        sealed,
        workspace,
        simulation,
        pictures,
        counts_threads,
        is_strict,
        is_lenient,
    };
    let start = protocol::encode(&start).map_err(|e| TestFailure::NotStarted(e.into()))?;
    let mut process = Process::start(command, trust, &start, token)?;
    let mut stopped = None;
    let is_enough = |heard: &Heard| {
        heard.verdict.is_some() || {
            stopped = objection();
            stopped.is_some()
        }
    };
    let has_ended = process.follow(deadline, is_enough, output);
    if !has_ended && let Some(verdict) = &process.heard.verdict {
        let draws = matches!(verdict, Verdict::Failed(_)) && trust != Trust::Foreign;
        let has_passed = matches!(verdict, Verdict::Passed(_));
        let grace = if draws { DRAW_GRACE } else { EXIT_GRACE };
        if !process.follow(Instant::now() + grace, |_| false, output) && has_passed {
            process.remark_on_its_threads(output);
        }
    }
    let status = process.end(output);
    if let Some(objection) = stopped {
        return Err(TestFailure::Stopped(objection).into());
    }
    let Heard { verdict, panic, returned, .. } = &mut process.heard;
    // The child prints its message before it reports it.
    let is_printed = matches!(verdict, Some(Verdict::Failed(_)));
    let verdict = verdict.take().or(panic.take().map(Verdict::Failed));
    if verdict.is_none()
        && let Some(line) = returned.take()
    {
        process.remark_on_its_end(line, status.filter(|_| has_ended), output);
        return Ok(TestPass { line, remarks: process.heard.remarks });
    }
    match verdict {
        Some(Verdict::Passed(line)) => Ok(TestPass { line, remarks: process.heard.remarks }),
        Some(Verdict::Failed(message)) => {
            let drawing = process.heard.drawing.filter(|_| !sealed);
            Err(Failure { why: TestFailure::Failed { message, drawing }, is_printed })
        }
        None if has_ended => Err(TestFailure::Ended { status }.into()),
        None => Err(TestFailure::Hung(limit).into()),
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

/// What the child has reported.
struct Heard {
    token: String,
    /// The first verdict counts.
    verdict: Option<Verdict>,
    /// The message of the first panic: the verdict of a child that gives none.
    panic: Option<String>,
    /// The test's last line, if it has one, from a child that only looks at the threads that are left: the verdict of a child
    /// that gives none.
    returned: Option<Option<PassedLine>>,
    remarks: Vec<String>,
    /// What became of the child's picture.
    drawing: Option<Drawing>,
}

impl Heard {
    /// Takes a line that came from the child's socket. The code under test can write there too.
    fn line(&mut self, line: &[u8]) {
        match protocol::decode(line) {
            // Anybody in the process can say that the test has passed; only its harness knows the token.
            Some(Report::Passed { token, line }) if token == self.token => {
                self.verdict.get_or_insert(Verdict::Passed(line));
            }
            Some(Report::Returned { token, line }) if token == self.token => self.returned = Some(line),
            Some(Report::Failed { message }) => {
                self.verdict.get_or_insert(Verdict::Failed(message));
            }
            Some(Report::Panicked { message }) => {
                self.panic.get_or_insert(message);
            }
            Some(Report::Remark { text }) if self.remarks.len() < MOST_REMARKS => self.remarks.push(text),
            Some(Report::Picture(drawing)) => self.drawing = Some(drawing),
            Some(Report::Remark { .. } | Report::Returned { .. } | Report::Passed { .. }) | None => {}
        }
    }
}

struct Process {
    child: Child,
    output: Stream<PipeReader>,
    /// Stays open: its end tells the child that its parent is gone.
    channel: Stream<UnixStream>,
    heard: Heard,
}

impl Process {
    fn start(
        mut command: Command,
        trust: Trust,
        start: &[u8],
        token: String,
    ) -> Result<Process, TestFailure> {
        let failed = TestFailure::NotStarted;
        let (mut channel, childs) = UnixStream::pair().map_err(failed)?;
        let (stdout, writer) = pipe().map_err(failed)?;
        if trust != Trust::Own {
            command.stderr(writer.try_clone().map_err(failed)?);
        }
        command.env(CHILD_VARIABLE, "1").stdin(OwnedFd::from(childs)).stdout(writer).process_group(0);
        // The order waits in the socket, which has room for it, until the child reads it.
        channel.write_all(start).map_err(failed)?;
        let (output, channel) = (Stream::new(stdout).map_err(failed)?, Stream::new(channel).map_err(failed)?);
        let child = command.spawn().map_err(failed)?;
        // `command` ends here, and with it this process's copies of the child's ends.
        Ok(Process {
            child,
            output,
            channel,
            heard: Heard {
                token,
                verdict: None,
                panic: None,
                returned: None,
                remarks: Vec::new(),
                drawing: None,
            },
        })
    }

    /// Passes on what the child prints and reports, until it has ended (true), or until `is_enough` or the deadline
    /// (false). Something may be left to read then: [`end`](Process::end) reads it.
    fn follow(
        &mut self,
        deadline: Instant,
        mut is_enough: impl FnMut(&Heard) -> bool,
        output: &mut dyn FnMut(&[u8]),
    ) -> bool {
        loop {
            if self.has_ended() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || is_enough(&self.heard) {
                return false;
            }
            self.wait_for_text(left);
            // A piece of each at a time: the child may write without end.
            self.output.read(output);
            self.channel.read(&mut |line| self.heard.line(line));
        }
    }

    /// Waits until there is something to read, or until it is time to look whether the child has ended.
    fn wait_for_text(&self, longest: Duration) {
        let mut open: Vec<PollFd<'_>> =
            [self.output.poll_fd(), self.channel.poll_fd()].into_iter().flatten().collect();
        let interval = if open.is_empty() { LAST_LOOK_INTERVAL } else { LOOK_INTERVAL };
        let timeout = Timespec::try_from(interval.min(longest)).ok();
        // Ignore an error, such as an interruption by a signal: the caller looks again.
        let _ = poll(&mut open, timeout.as_ref());
    }

    /// Whether the child has ended. Does not reap it: until it is reaped, no other process or group can get its
    /// number, which `end` uses.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child.
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    /// Notes which threads of the child have not ended, and where they are. The child has passed, and did not end.
    fn remark_on_its_threads(&mut self, output: &mut dyn FnMut(&[u8])) {
        let text = format!(
            "the test has passed, but {} s later its process had not ended; killed{}",
            EXIT_GRACE.as_secs(),
            lingering::threads(self.child.id())
        );
        output(format!("warning: {text}\n").as_bytes());
        self.heard.remarks.push(text);
    }

    /// Prints the last line of a test that has passed, and whose child ended before it could say so; notes how. `status`: None if
    /// it was killed.
    fn remark_on_its_end(
        &mut self,
        line: Option<PassedLine>,
        status: Option<ExitStatus>,
        output: &mut dyn FnMut(&[u8]),
    ) {
        let how = status.map_or("had to be killed".to_string(), |status| format!("ended ({status})"));
        let text = format!(
            "the test has passed, but its process {how} while the harness waited for the threads that were left"
        );
        let line = line.map_or(String::new(), |line| format!("{line}\n"));
        output(format!("{line}warning: {text}\n").as_bytes());
        self.heard.remarks.push(text);
    }

    /// Kills the child and the other processes that are left in its group. Then passes on the rest of what the child
    /// wrote: it has ended, and therefore all of it is there. Returns the child's exit status, if it is known.
    fn end(&mut self, output: &mut dyn FnMut(&[u8])) -> Option<ExitStatus> {
        // An error means that no process is left in the group.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let status = self.child.wait().ok();
        self.output.read_the_rest(output);
        self.channel.read_the_rest(&mut |line| self.heard.line(line));
        status
    }
}
