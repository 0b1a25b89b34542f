//! Runs simulated tests: chooses the seeds, prints how far the runs are, and says how to replay a failure.

use super::process::{self, Order, TestFailure, Trust};
use super::replay;
use crate::environment::{Environment, Simulations};
use crate::protocol::{Pictures, Simulation};
use crate::test::Test;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a simulated test may take in real time. It usually ends within seconds, and the simulator itself finds a
/// test that hangs. The limit is long because somebody may be using a debugger.
const REAL_LIMIT: Duration = Duration::from_secs(3600);

/// How often to print how many seeds have run.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// The largest fresh seed: short enough to be typed.
const LARGEST_FRESH: u64 = 1_000_000_000;

/// A random seed. It is never 0, because `LAB_SEED=0` means "off".
pub fn fresh() -> u64 {
    rand::random_range(1..=LARGEST_FRESH)
}

/// What to run.
struct Plan {
    wanted: Simulations,
    /// The first seed.
    first: u64,
    traces: Traces,
    pictures: Pictures,
    prints_log: bool,
    /// The command that replays each failure; printed at the very end.
    replays: Mutex<Vec<String>>,
}

/// Where the traces are written.
enum Traces {
    Nowhere,
    /// The user's folder.
    Kept(PathBuf),
    /// A temporary folder, for traces that are only compared.
    Compared(TempDir),
}

impl Traces {
    /// Makes the folder, and checks that files can be written there.
    fn new(wanted: &Simulations) -> Result<Traces, TraceError> {
        match &wanted.traces {
            Some(folder) => {
                let made = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
                made.map_err(|source| TraceError::NoFolder { folder: folder.clone(), source })?;
                Ok(Traces::Kept(folder.clone()))
            }
            None if wanted.twice => match tempfile::tempdir() {
                Ok(folder) => Ok(Traces::Compared(folder)),
                Err(source) => Err(TraceError::NoTemporaryFolder(source)),
            },
            None => Ok(Traces::Nowhere),
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Traces::Nowhere => None,
            Traces::Kept(folder) => Some(folder),
            Traces::Compared(folder) => Some(folder.path()),
        }
    }
}

/// Traces that cannot be written or read.
#[derive(Debug)]
enum TraceError {
    NoFolder { folder: PathBuf, source: std::io::Error },
    NoTemporaryFolder(std::io::Error),
    Unreadable { trace: PathBuf, source: std::io::Error },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::NoFolder { folder, source } => write!(
                f,
                "LAB_TRACE={}: it must be a folder in which traces can be written: {source}",
                folder.display()
            ),
            TraceError::NoTemporaryFolder(source) => write!(
                f,
                "LAB_TWICE: cannot make a folder for traces in {}: {source}",
                std::env::temp_dir().display()
            ),
            TraceError::Unreadable { trace, source } => {
                write!(f, "cannot read the trace {}: {source}", trace.display())
            }
        }
    }
}

/// The locks are held for a moment, by code that does not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a seed has failed.
#[derive(Debug)]
enum SeedFailure {
    Test(TestFailure),
    /// Two runs differ.
    Differs(Difference),
    Trace(TraceError),
}

/// Where two traces differ first.
#[derive(Debug)]
struct Difference {
    /// The number of the line, and both lines. None: one trace is longer.
    line: Option<(usize, [String; 2])>,
    traces: [PathBuf; 2],
}

impl fmt::Display for SeedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedFailure::Test(failure) => failure.fmt(f),
            SeedFailure::Trace(e) => e.fmt(f),
            SeedFailure::Differs(Difference { line, traces: [first, second] }) => {
                f.write_str("a second run with the same seed went another way, from here on:\n")?;
                match line {
                    Some((number, [first, second])) => writeln!(f, "line {number}\n  {first}\n  {second}")?,
                    None => f.write_str("one trace is longer than the other\n")?,
                }
                write!(f, "The traces: {} {}", first.display(), second.display())
            }
        }
    }
}

/// A seed with which a test has failed.
struct Failure {
    seed: u64,
    why: String,
    output: Vec<u8>,
}

/// Runs the tests that the command line asks for, simulated.
pub(super) fn run(wanted: Simulations, environment: &Environment, tests: &'static [Test]) -> ExitCode {
    let traces = match Traces::new(&wanted) {
        Ok(traces) => traces,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    let mut arguments = Arguments::from_args();
    // Tests in virtual time do not disturb each other: run as many at once as there are processors.
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads = Some(jobs);
    let last_first = u64::MAX - (wanted.runs - 1);
    let plan = Arc::new(Plan {
        first: wanted.seed.unwrap_or_else(|| fresh().min(last_first)),
        wanted,
        traces,
        pictures: environment.pictures,
        prints_log: environment.prints_log,
        replays: Mutex::default(),
    });
    let trial = |&(name, _): &Test| {
        let plan = plan.clone();
        Trial::test(name, move || run_trial(&plan, jobs, name))
    };
    let conclusion = libtest_mimic::run(&arguments, tests.iter().map(trial).collect());
    for replay in lock(&plan.replays).iter() {
        println!("{replay}");
    }
    conclusion.exit_code()
}

fn run_trial(plan: &Plan, jobs: usize, name: &str) -> Result<(), Failed> {
    if plan.wanted.runs == 1 {
        let mut output = Vec::new();
        let result = run_seed(plan, name, plan.first, plan.pictures, &mut output);
        process::print(&[b"\n", &output[..]].concat());
        return result.map_err(|why| {
            let why = why.to_string();
            failed(plan, name, &[Failure { seed: plan.first, why, output }], 1)
        });
    }
    let begun = Instant::now();
    let (tx, ended) = channel();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut runs, mut failures) = (0, Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let tx = tx.clone();
            scope.spawn(|| run_seeds(plan, name, &next, &stop, tx));
        }
        drop(tx);
        let mut spoken = Instant::now();
        loop {
            match ended.recv_timeout(PROGRESS_INTERVAL) {
                Ok(ended) => {
                    runs += 1;
                    failures.extend(ended);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !failures.is_empty() && !plan.wanted.keep_going {
                stop.store(true, Ordering::Relaxed);
            }
            if spoken.elapsed() >= PROGRESS_INTERVAL {
                spoken = Instant::now();
                eprintln!("  {name}: {runs} of {} seeds, {} failed", plan.wanted.runs, failures.len());
            }
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    if failures.is_empty() {
        process::print(format!("  {name}: {runs} seeds from {} on, {seconds:.1} s\n", plan.first).as_bytes());
        return Ok(());
    }
    failures.sort_by_key(|failure| failure.seed);
    draw(plan, name, &mut failures[0]);
    process::print(&[b"\n", &failures[0].output[..]].concat());
    Err(failed(plan, name, &failures, runs))
}

/// Runs seeds that nobody has run yet, until all are run or `stop` is set.
fn run_seeds(plan: &Plan, name: &str, next: &AtomicU64, stop: &AtomicBool, ended: Sender<Option<Failure>>) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.wanted.runs {
            return;
        }
        let (seed, mut output) = (plan.first + number, Vec::new());
        let result = run_seed(plan, name, seed, Pictures::Never, &mut output);
        let failure = result.err().map(|why| Failure { seed, why: why.to_string(), output });
        if ended.send(failure).is_err() {
            return;
        }
    }
}

/// Runs the lowest failed seed again, to draw its picture. Pictures of all failed seeds would fill the disk.
fn draw(plan: &Plan, name: &str, failure: &mut Failure) {
    if plan.pictures == Pictures::Never {
        return;
    }
    let mut output = Vec::new();
    match run_seed(plan, name, failure.seed, plan.pictures, &mut output).map_err(|why| why.to_string()) {
        Err(why) if why.lines().next() == failure.why.lines().next() => {
            *failure = Failure { seed: failure.seed, why, output };
        }
        _ => failure.why += "\n  no picture: a second run with this seed, to draw it, went another way",
    }
}

/// Runs a seed as often as the plan says.
fn run_seed(
    plan: &Plan,
    name: &str,
    seed: u64,
    pictures: Pictures,
    output: &mut Vec<u8>,
) -> Result<(), SeedFailure> {
    let run = Run { plan, name, seed, on_kernel_threads: plan.wanted.on_kernel_threads, pictures };
    if plan.wanted.twice { run_twice(&run, output) } else { run_once(&run, output) }
}

/// A test with one seed.
#[derive(Clone, Copy)]
struct Run<'a> {
    plan: &'a Plan,
    name: &'a str,
    seed: u64,
    on_kernel_threads: bool,
    pictures: Pictures,
}

impl Run<'_> {
    /// The file for the trace. `mark` tells the traces of one seed apart.
    fn trace(&self, mark: &str) -> Option<PathBuf> {
        let folder = self.plan.traces.folder()?;
        Some(folder.join(format!("{}-{}{mark}", self.name, self.seed)))
    }
}

fn run_once(run: &Run<'_>, output: &mut Vec<u8>) -> Result<(), SeedFailure> {
    simulate(run, run.trace(""), output).map_err(SeedFailure::Test)
}

/// Runs one seed twice, once with each way of switching threads, and fails if the two traces differ.
fn run_twice(run: &Run<'_>, output: &mut Vec<u8>) -> Result<(), SeedFailure> {
    run_once(run, output)?;
    let again = Run { on_kernel_threads: !run.on_kernel_threads, pictures: Pictures::Never, ..*run };
    simulate(&again, run.trace("-again"), &mut Vec::new()).map_err(SeedFailure::Test)?;
    let (Some(first), Some(second)) = (run.trace(""), run.trace("-again")) else { return Ok(()) };
    let read = |trace: &PathBuf| {
        let unreadable = |source| SeedFailure::Trace(TraceError::Unreadable { trace: trace.clone(), source });
        fs::read(trace).map_err(unreadable)
    };
    let (a, b) = (read(&first)?, read(&second)?);
    let is_kept = matches!(run.plan.traces, Traces::Kept(_));
    if a == b {
        if !is_kept {
            // Ignore the error: the temporary folder is removed when the program ends.
            let _ = fs::remove_file(first).and_then(|()| fs::remove_file(second));
        }
        return Ok(());
    }
    let traces = if is_kept { [first, second] } else { [rescued(first), rescued(second)] };
    Err(SeedFailure::Differs(Difference { line: first_difference(&a, &b), traces }))
}

/// Moves a trace that the user should look at out of the temporary folder. Returns its new path.
fn rescued(trace: PathBuf) -> PathBuf {
    let name = trace.file_name().unwrap_or_default().to_string_lossy();
    let to = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    if fs::rename(&trace, &to).is_ok() { to } else { trace }
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<(usize, [String; 2])> {
    let mut lines = a.split(|byte| *byte == b'\n').zip(b.split(|byte| *byte == b'\n')).enumerate();
    let (number, (a, b)) = lines.find(|(_, (a, b))| a != b)?;
    Some((number + 1, [a, b].map(|line| String::from_utf8_lossy(line).into_owned())))
}

fn simulate(run: &Run<'_>, trace: Option<PathBuf>, output: &mut Vec<u8>) -> Result<(), TestFailure> {
    let Run { plan, name, seed, on_kernel_threads, pictures } = *run;
    let program = std::env::current_exe().map_err(TestFailure::NotStarted)?;
    let strategy = plan.wanted.strategy;
    let simulation = Simulation {
        seed,
        strategy,
        trace,
        on_kernel_threads,
        replay: Some(replay::command(strategy, name, seed)),
    };
    // A log that `RUST_LOG` asks for goes to standard error as always. Otherwise standard error is part of the output,
    // so that tests that run at the same time do not mix their lines.
    let trust = if plan.prints_log { Trust::Own } else { Trust::OneOfMany };
    let order = Order { simulation: Some(simulation), pictures, ..Order::new(name, trust) };
    process::run(Command::new(program), order, REAL_LIMIT, &mut |text| output.extend_from_slice(text))?;
    Ok(())
}

/// The message about a test that has failed with these seeds, out of `runs`. Also keeps the command that replays the
/// first.
fn failed(plan: &Plan, name: &str, failures: &[Failure], runs: u64) -> Failed {
    let first = &failures[0];
    let mut text = first.why.trim_end().to_string();
    if runs > 1 {
        text += &format!("\n{} of {runs} seeds failed:", failures.len());
        for failure in failures {
            text += &format!("\n  {}: {}", failure.seed, failure.why.lines().next().unwrap_or_default());
        }
    }
    let command = replay::command(plan.wanted.strategy, name, first.seed);
    let replay = format!("{name} failed with seed {}; this replays it:\n  {command}", first.seed);
    text += &format!("\n{replay}");
    lock(&plan.replays).push(replay);
    text.into()
}
