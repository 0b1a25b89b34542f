//! Titles in simulation, as the user sees it: which seeds are run, what is said of them, and how a failure is replayed.

use crate::child::{PICTURE_VARIABLE, lock};
use crate::process::{Trust, run_title};
use crate::simulation::{
    self, SEED_VARIABLE, STRATEGY_VARIABLE, Settings, TRACE_VARIABLE, VARIABLE, variable,
};
use crate::{Title, parent};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

const RUNS_VARIABLE: &str = "LAB_RUNS";
const KEEP_GOING_VARIABLE: &str = "LAB_KEEP_GOING";
const TWICE_VARIABLE: &str = "LAB_TWICE";

/// How long a simulated title may take in real time. It is over in seconds, and the simulator itself finds what hangs;
/// but somebody may sit before a debugger.
const REAL_LIMIT: Duration = Duration::from_secs(3600);

/// How often to say how far the runs are.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Seeds that nobody asked for are below this: short enough to be typed.
const SEEDS: u64 = 1_000_000_000;

/// A seed that nobody could foresee.
pub fn fresh() -> u64 {
    rand::random::<u64>() % SEEDS
}

/// What the environment asks for.
pub(crate) struct Plan {
    first: u64,
    /// How many seeds of each title.
    runs: u64,
    strategy: sim::Strategy,
    keep_going: bool,
    /// Whether each is run twice, and the traces are compared.
    twice: bool,
    /// Where the traces are kept.
    traces: Option<PathBuf>,
    slots: Slots,
}

/// One for each process that may run at a time: the number of a processor.
struct Slots {
    free: Mutex<Vec<usize>>,
    freed: Condvar,
}

impl Slots {
    fn take(&self) -> usize {
        let mut free = lock(&self.free);
        loop {
            if let Some(slot) = free.pop() {
                return slot;
            }
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, slot: usize) {
        lock(&self.free).push(slot);
        self.freed.notify_one();
    }
}

/// A seed with which a title has failed.
struct Failure {
    seed: u64,
    why: String,
    output: Vec<u8>,
}

/// How to replay each failure; said at the very end.
static REPLAYS: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Plan {
    /// None: real time.
    pub(crate) fn from_environment() -> Result<Option<Plan>, String> {
        if !simulation::is_wanted() {
            let others = [
                SEED_VARIABLE,
                STRATEGY_VARIABLE,
                TRACE_VARIABLE,
                RUNS_VARIABLE,
                KEEP_GOING_VARIABLE,
                TWICE_VARIABLE,
            ];
            return match others.iter().find(|name| variable(name).is_some()) {
                Some(name) => Err(format!("{name} is for simulations: set {VARIABLE}=1 too")),
                None => Ok(None),
            };
        }
        if !sim::SUPPORTED {
            eprintln!(
                "{VARIABLE}: there is a simulator for x86-64 Linux (glibc) only; the titles run in real time here"
            );
            return Ok(None);
        }
        let runs = simulation::number(RUNS_VARIABLE)?.unwrap_or(1);
        if runs == 0 {
            return Err(format!("{RUNS_VARIABLE}=0: it says how many seeds of each title to run"));
        }
        let first = simulation::number(SEED_VARIABLE)?.unwrap_or_else(fresh);
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Some(Plan {
            first,
            runs,
            strategy: simulation::strategy()?,
            keep_going: variable(KEEP_GOING_VARIABLE).is_some(),
            twice: variable(TWICE_VARIABLE).is_some(),
            traces: variable(TRACE_VARIABLE).map(PathBuf::from),
            slots: Slots { free: Mutex::new((0..jobs).rev().collect()), freed: Condvar::new() },
        }))
    }

    fn jobs(&self) -> usize {
        lock(&self.slots.free).len()
    }
}

pub(crate) fn run(plan: Plan, titles: &'static [Title]) -> ExitCode {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    let plan = PLAN.get_or_init(|| plan);
    let mut arguments = Arguments::from_args();
    // Virtual time is disturbed by nothing: as many at once as there are processors.
    let jobs = plan.jobs();
    arguments.test_threads = Some(jobs);
    let trials =
        titles.iter().map(|&(name, _)| Trial::test(name, move || run_trial(plan, jobs, name))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    for replay in lock(&REPLAYS).iter() {
        println!("{replay}");
    }
    conclusion.exit_code()
}

fn run_trial(plan: &'static Plan, jobs: usize, name: &'static str) -> Result<(), Failed> {
    if plan.runs == 1 {
        let mut output = Vec::new();
        let result = run_seed(plan, name, plan.first, true, &mut output);
        parent::print(&[b"\n", &output[..]].concat());
        return result.map_err(|why| failed(plan, name, &[Failure { seed: plan.first, why, output }], 1));
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
            if !failures.is_empty() && !plan.keep_going {
                stop.store(true, Ordering::Relaxed);
            }
            if spoken.elapsed() >= PROGRESS_INTERVAL {
                spoken = Instant::now();
                eprintln!("  {name}: {runs} of {} seeds, {} failed", plan.runs, failures.len());
            }
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    if failures.is_empty() {
        parent::print(format!("  {name}: {runs} seeds from {} on, {seconds:.1} s\n", plan.first).as_bytes());
        return Ok(());
    }
    failures.sort_by_key(|failure| failure.seed);
    draw(plan, name, &mut failures[0]);
    parent::print(&[b"\n", &failures[0].output[..]].concat());
    Err(failed(plan, name, &failures, runs))
}

/// Runs seeds that nobody has run yet, until there are none or it is to stop.
fn run_seeds(plan: &Plan, name: &str, next: &AtomicU64, stop: &AtomicBool, ended: Sender<Option<Failure>>) {
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.runs {
            return;
        }
        let (seed, mut output) = (plan.first.wrapping_add(number), Vec::new());
        let result = run_seed(plan, name, seed, false, &mut output);
        let failure = result.err().map(|why| Failure { seed, why, output });
        if ended.send(failure).is_err() {
            return;
        }
    }
}

/// Of many seeds that fail, the first one is drawn, for which it runs again: pictures of them all would fill the disk.
fn draw(plan: &Plan, name: &str, failure: &mut Failure) {
    if variable(PICTURE_VARIABLE).is_some_and(|value| value == "0") {
        return;
    }
    let mut output = Vec::new();
    match run_seed(plan, name, failure.seed, true, &mut output) {
        Err(why) if why.lines().next() == failure.why.lines().next() => {
            *failure = Failure { seed: failure.seed, why, output };
        }
        _ => failure.why += "\n  no picture: a second run with this seed, to draw it, went another way",
    }
}

/// Runs a seed as often as the plan says. `draws`: with a picture of a failure.
fn run_seed(plan: &Plan, name: &str, seed: u64, draws: bool, output: &mut Vec<u8>) -> Result<(), String> {
    let slot = plan.slots.take();
    let run = Run { plan, name, seed, slot, draws };
    let result = if plan.twice { run_twice(&run, output) } else { run_once(&run, output) };
    plan.slots.give(slot);
    result
}

/// A title with one seed, in a slot.
#[derive(Clone, Copy)]
struct Run<'a> {
    plan: &'a Plan,
    name: &'a str,
    seed: u64,
    slot: usize,
    draws: bool,
}

fn run_once(run: &Run<'_>, output: &mut Vec<u8>) -> Result<(), String> {
    let Run { plan, name, seed, .. } = run;
    let trace = match &plan.traces {
        Some(folder) => {
            fs::create_dir_all(folder).map_err(|e| format!("{TRACE_VARIABLE}={}: {e}", folder.display()))?;
            Some(folder.join(format!("{name}-{seed}")))
        }
        None => None,
    };
    simulate(run, trace, output)
}

fn run_twice(run: &Run<'_>, output: &mut Vec<u8>) -> Result<(), String> {
    let Run { plan, name, seed, .. } = run;
    let folder = plan.traces.clone().unwrap_or_else(std::env::temp_dir);
    let trace = |time: u32| folder.join(format!("{name}-{seed}-{}-{time}", std::process::id()));
    simulate(run, Some(trace(1)), output)?;
    simulate(&Run { draws: false, ..*run }, Some(trace(2)), &mut Vec::new())?;
    if let Some(difference) = difference(&trace(1), &trace(2))? {
        return Err(format!("a second run with the same seed went another way, from here on:\n{difference}"));
    }
    for time in 1..=2 {
        // What is left behind is in the folder for what may be left behind.
        let _ = fs::remove_file(trace(time));
    }
    Ok(())
}

/// Where two traces differ first.
fn difference(a: &Path, b: &Path) -> Result<Option<String>, String> {
    let read = |path: &Path| fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()));
    let (first, second) = (read(a)?, read(b)?);
    if first == second {
        return Ok(None);
    }
    let mut lines = first.split(|b| *b == b'\n').zip(second.split(|b| *b == b'\n')).enumerate();
    let place = lines.find(|(_, (first, second))| first != second).map_or_else(
        || "one is longer".to_string(),
        |(number, (first, second))| {
            let text = String::from_utf8_lossy;
            format!("line {}\n  {}\n  {}", number + 1, text(first), text(second))
        },
    );
    Ok(Some(format!("{place}\nThe traces: {} {}", a.display(), b.display())))
}

fn simulate(run: &Run<'_>, trace: Option<PathBuf>, output: &mut Vec<u8>) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    let mut command = Command::new(program);
    Settings { seed: run.seed, strategy: run.plan.strategy, trace, processor: Some(run.slot), urgent: false }
        .put_into(&mut command);
    if !run.draws {
        command.env(PICTURE_VARIABLE, "0");
    }
    // A log is wanted where it always is; else titles that run at the same time would print into each other.
    let trust = if variable("RUST_LOG").is_some() { Trust::Own } else { Trust::OneOfMany };
    run_title(command, run.name, REAL_LIMIT, trust, &mut |text| output.extend_from_slice(text))?;
    Ok(())
}

/// What is said of a title that has failed with these seeds of so many.
fn failed(plan: &Plan, name: &str, failures: &[Failure], runs: u64) -> Failed {
    let first = &failures[0];
    let mut text = first.why.trim_end().to_string();
    if runs > 1 {
        text += &format!("\n{} of {runs} seeds failed:", failures.len());
        for failure in failures {
            text += &format!("\n  {}: {}", failure.seed, failure.why.lines().next().unwrap_or_default());
        }
    }
    let replay = format!(
        "{name} failed with seed {}; this replays it:\n  {}",
        first.seed,
        command(plan.strategy, name, first.seed)
    );
    text += &format!("\n{replay}");
    lock(&REPLAYS).push(replay);
    text.into()
}

/// What a person types to run one seed of one title again, by the uniform strategy.
pub fn replay(package: &str, test: &str, name: &str, seed: u64) -> String {
    format!("{VARIABLE}=1 {SEED_VARIABLE}={seed} cargo test -p {package} --test {test} -- --exact {name}")
}

/// What a person types to run one seed of one title of this program again.
pub(crate) fn command(strategy: sim::Strategy, name: &str, seed: u64) -> String {
    let mut words = vec![format!("{VARIABLE}=1"), format!("{SEED_VARIABLE}={seed}")];
    if let Some(strategy) = variable(STRATEGY_VARIABLE).filter(|_| strategy != sim::Strategy::default()) {
        words.push(format!("{STRATEGY_VARIABLE}={strategy}"));
    }
    if sim::is_instrumented() {
        // The program must be built as this one was.
        let build = ["RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"];
        words.extend(build.iter().filter_map(|name| Some(format!("{name}={}", variable(name)?))));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let file = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo tells the tests it runs what package they are of; in the file's name it puts a hash behind theirs.
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match (variable("CARGO_PKG_NAME"), file.rsplit_once('-').filter(|(_, hash)| is_hash(hash))) {
        (Some(package), Some((test, _))) => words.push(format!("cargo test -p {package} --test {test} --")),
        _ => words.push(program.display().to_string()),
    }
    words.push(format!("--exact {name}"));
    words.join(" ")
}
