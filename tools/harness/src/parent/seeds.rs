//! Runs simulated tests: chooses the seeds, runs as many at once as there are processors, and says how to replay a
//! failure.

mod progress;
mod slots;
mod traces;

use super::process::{self, Order, TestFailure, Trust};
use super::replay;
use crate::environment::{Environment, Simulations};
use crate::protocol::{Pictures, Simulation};
use crate::test::Test;
use libtest_mimic::{Arguments, Failed, Trial};
use progress::Progress;
use slots::Slots;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use traces::{Difference, TraceError, Traces};

/// How long a simulated test may take in real time. It usually ends within seconds, and the simulator itself finds a
/// test that hangs. The limit is long because somebody may be using a debugger, and because the machine may be
/// overloaded: how fast it is must not decide whether a test passes.
const REAL_LIMIT: Duration = Duration::from_secs(3600);

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
    counts_threads: bool,
    is_strict: bool,
    prints_log: bool,
    /// One for each processor.
    slots: Slots,
    progress: Progress,
    /// The command that replays each failure; printed at the very end.
    replays: Mutex<Vec<String>>,
}

impl Plan {
    /// `slots` simulations run at a time, `runs` in all.
    fn new(wanted: Simulations, environment: &Environment, traces: Traces, slots: usize, runs: u64) -> Plan {
        let last_first = u64::MAX - (wanted.runs - 1);
        Plan {
            first: wanted.seed.unwrap_or_else(|| fresh().min(last_first)),
            progress: Progress::new(
                runs,
                if wanted.runs > 1 { "seeds" } else { "tests" },
                environment.prints_log,
            ),
            wanted,
            traces,
            pictures: environment.pictures,
            counts_threads: environment.counts_threads,
            is_strict: environment.is_strict,
            prints_log: environment.prints_log,
            slots: Slots::new(slots),
            replays: Mutex::default(),
        }
    }

    fn trial(self: &Arc<Plan>, &(name, _): &Test) -> Trial {
        let plan = self.clone();
        Trial::test(name, move || run_trial(&plan, name))
    }

    fn print_replays(&self) {
        for replay in lock(&self.replays).iter() {
            println!("{replay}");
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
    Test(process::Failure),
    /// Two runs differ.
    Differs(Difference),
    Trace(TraceError),
}

impl fmt::Display for SeedFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedFailure::Test(failure) => failure.fmt(f),
            SeedFailure::Differs(difference) => difference.fmt(f),
            SeedFailure::Trace(e) => e.fmt(f),
        }
    }
}

/// A seed with which a test has failed.
struct Failure {
    seed: u64,
    why: String,
    output: Vec<u8>,
}

/// Runs tests, simulated. `arguments` says which, given how many run at a time, and how many there are.
pub(super) fn run(
    wanted: Simulations,
    environment: &Environment,
    tests: &[Test],
    arguments: impl FnOnce(usize) -> (Arguments, u64),
) -> ExitCode {
    let traces = match Traces::new(&wanted) {
        Ok(traces) => traces,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // Tests in virtual time do not disturb each other. With one thread, libtest prints a test's name at its begin, in the
    // line in which the progress is shown.
    let (arguments, tests_wanted) = arguments(processors.max(2));
    let runs = tests_wanted.saturating_mul(wanted.runs);
    let plan = Arc::new(Plan::new(wanted, environment, traces, processors, runs));
    let trials = tests.iter().map(|test| plan.trial(test)).collect();
    let conclusion = std::thread::scope(|scope| {
        let (running, end) = channel();
        let progress = &plan.progress;
        scope.spawn(move || progress.show_until(&end));
        let conclusion = libtest_mimic::run(&arguments, trials);
        drop(running);
        conclusion
    });
    plan.print_replays();
    conclusion.exit_code()
}

/// Simulates the tests that are always simulated, in a program whose other tests run in real time: each with one fresh
/// seed.
pub(super) struct Always(Arc<Plan>);

impl Always {
    pub(super) fn new(environment: &Environment) -> Always {
        Always(Arc::new(Plan::new(Simulations::default(), environment, Traces::Nowhere, 1, 1)))
    }

    /// The test as libtest-mimic runs it. Ignored on a system without simulator.
    pub(super) fn trial(&self, test: &Test) -> Trial {
        if sim::SUPPORTED {
            return self.0.trial(test);
        }
        let refuse =
            || Err("this test is always simulated, and there is no simulator for this system".into());
        Trial::test(test.0, refuse).with_ignored_flag(true)
    }

    /// Prints how to replay the failures, if there are any.
    pub(super) fn print_replays(&self) {
        self.0.print_replays();
    }
}

fn run_trial(plan: &Plan, name: &'static str) -> Result<(), Failed> {
    if plan.wanted.runs > 1 {
        return run_seeds(plan, name);
    }
    let slot = plan.slots.take();
    plan.progress.begin(name);
    let mut output = Vec::new();
    let result = run_seed(plan, name, plan.first, plan.pictures, &mut output);
    drop(slot);
    plan.progress.count(result.is_err());
    plan.progress.end(name, 0, &[b"\n", &output[..]].concat());
    result.map_err(|why| {
        let why = why.to_string();
        failed(plan, name, &[Failure { seed: plan.first, why, output }], 1)
    })
}

/// Runs all seeds of a test, or seeds until one fails.
fn run_seeds(plan: &Plan, name: &'static str) -> Result<(), Failed> {
    plan.progress.begin(name);
    let begun = Instant::now();
    let failures = Mutex::new(Vec::new());
    let mut runs = 0;
    std::thread::scope(|scope| {
        while runs < plan.wanted.runs {
            let slot = plan.slots.take();
            if !plan.wanted.keep_going && !lock(&failures).is_empty() {
                break;
            }
            let (seed, failures) = (plan.first + runs, &failures);
            runs += 1;
            scope.spawn(move || {
                let failure = try_seed(plan, name, seed);
                plan.progress.count(failure.is_some());
                lock(failures).extend(failure);
                // The next seed looks at the failures.
                drop(slot);
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|failure| failure.seed);
    let output = match failures.first_mut() {
        None => {
            let seconds = begun.elapsed().as_secs_f64();
            format!("  {name}: {runs} seeds from {} on, {seconds:.1} s\n", plan.first).into_bytes()
        }
        Some(first) => {
            draw(plan, name, first);
            [b"\n", &first.output[..]].concat()
        }
    };
    plan.progress.end(name, plan.wanted.runs - runs, &output);
    if failures.is_empty() { Ok(()) } else { Err(failed(plan, name, &failures, runs)) }
}

/// Runs one of many seeds. None: the test has passed.
fn try_seed(plan: &Plan, name: &str, seed: u64) -> Option<Failure> {
    let mut output = Vec::new();
    let why = run_seed(plan, name, seed, Pictures::Never, &mut output).err()?.to_string();
    Some(Failure { seed, why, output })
}

/// Runs the lowest failed seed again, to draw its picture. Pictures of all failed seeds would fill the disk.
fn draw(plan: &Plan, name: &str, failure: &mut Failure) {
    if plan.pictures == Pictures::Never {
        return;
    }
    let _slot = plan.slots.take();
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
    fn trace(&self, mark: &str) -> Option<PathBuf> {
        self.plan.traces.file(self.name, self.seed, mark)
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
    match run.plan.traces.compare(first, second) {
        Ok(None) => Ok(()),
        Ok(Some(difference)) => Err(SeedFailure::Differs(difference)),
        Err(e) => Err(SeedFailure::Trace(e)),
    }
}

fn simulate(run: &Run<'_>, trace: Option<PathBuf>, output: &mut Vec<u8>) -> Result<(), process::Failure> {
    let Run { plan, name, seed, on_kernel_threads, pictures } = *run;
    let program = std::env::current_exe().map_err(TestFailure::NotStarted)?;
    let strategy = plan.wanted.strategy;
    let simulation = Simulation {
        seed,
        strategy,
        trace,
        on_kernel_threads,
        replay: Some(replay::command(strategy, name, seed)),
        scenario: None,
    };
    // A log that `RUST_LOG` asks for goes to standard error as always. Otherwise standard error is part of the output,
    // so that tests that run at the same time do not mix their lines.
    let trust = if plan.prints_log { Trust::Own } else { Trust::OneOfMany };
    let Plan { counts_threads, is_strict, .. } = *plan;
    let simulation = Some(simulation);
    let order = Order { simulation, pictures, counts_threads, is_strict, ..Order::new(name, trust) };
    process::run(Command::new(program), order, REAL_LIMIT, &mut |text| output.extend_from_slice(text))?;
    Ok(())
}

/// The message about a test that has failed with these seeds, out of `runs`. Also keeps the command that replays the
/// first: it is printed at the very end.
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
    lock(&plan.replays).push(replay);
    text.into()
}
