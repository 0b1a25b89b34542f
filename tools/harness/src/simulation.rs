//! Titles in simulation: what the environment asks for, and the title's process.

use crate::lines::{self, Cut, KEPT_LEVEL};
use crate::{Title, child, picture, threads};
use labrpc::Latency;
use log::{LevelFilter, Log, Metadata, Record};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Asks for a simulation.
pub(crate) const VARIABLE: &str = "LAB_SIM";
pub(crate) const SEED_VARIABLE: &str = "LAB_SEED";
pub(crate) const STRATEGY_VARIABLE: &str = "LAB_STRATEGY";
pub(crate) const TRACE_VARIABLE: &str = "LAB_TRACE";
const PROCESSOR_VARIABLE: &str = "LAB_PROCESSOR";
const URGENT_VARIABLE: &str = "LAB_URGENT";

/// How long a message takes on its way, in a simulation: less than real networks in one building promise, more than
/// nothing, so that there is time for something to happen meanwhile.
const LATENCY: std::ops::RangeInclusive<Duration> = Duration::from_micros(500)..=Duration::from_micros(1000);
/// In a storm, one message in so many takes up to so long.
const STRAGGLERS: (u32, Duration) = (30, Duration::from_millis(600));
/// In a storm, at one RPC in so many a thread stands still for up to so long, at either end.
const STALLS: (u32, Duration) = (200, Duration::from_millis(400));

/// What one simulation depends on.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) strategy: sim::Strategy,
    pub(crate) trace: Option<PathBuf>,
    /// Which of the processors that there are.
    pub(crate) processor: Option<usize>,
    /// Whether somebody waits for it who has no time to lose.
    pub(crate) urgent: bool,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// The value of a variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A number in a variable; None when it is not set.
pub(crate) fn number(name: &str) -> Result<Option<u64>, String> {
    let parse =
        |value: String| value.parse().map_err(|_| format!("{name}={value}: it must be a whole number"));
    variable(name).map(parse).transpose()
}

/// Whether the environment asks for a simulation.
pub(crate) fn is_wanted() -> bool {
    variable(VARIABLE).is_some_and(|value| value != "0")
}

pub(crate) fn strategy() -> Result<sim::Strategy, String> {
    match variable(STRATEGY_VARIABLE) {
        Some(name) => name.parse().map_err(|e| format!("{STRATEGY_VARIABLE}: {e}")),
        None => Ok(sim::Strategy::default()),
    }
}

impl Settings {
    /// What the parent has put into the environment; None: no simulation.
    fn from_environment() -> Result<Option<Settings>, String> {
        if !is_wanted() {
            return Ok(None);
        }
        Ok(Some(Settings {
            seed: number(SEED_VARIABLE)?.ok_or_else(|| format!("{SEED_VARIABLE} is not set"))?,
            strategy: strategy()?,
            trace: variable(TRACE_VARIABLE).map(PathBuf::from),
            processor: number(PROCESSOR_VARIABLE)?.map(|n| n as usize),
            urgent: variable(URGENT_VARIABLE).is_some(),
        }))
    }

    /// Has the title that `command` is to run simulated.
    pub(crate) fn put_into(&self, command: &mut Command) {
        let strategy = sim::Strategy::ALL.iter().find(|(_, strategy)| *strategy == self.strategy);
        command.env(VARIABLE, "1").env(SEED_VARIABLE, self.seed.to_string());
        command.env(STRATEGY_VARIABLE, strategy.map_or("", |(name, _)| name));
        match &self.trace {
            Some(path) => command.env(TRACE_VARIABLE, path),
            None => command.env_remove(TRACE_VARIABLE),
        };
        if let Some(processor) = self.processor {
            command.env(PROCESSOR_VARIABLE, processor.to_string());
        }
        if self.urgent {
            command.env(URGENT_VARIABLE, "1");
        }
    }
}

/// Those of this process; None: it does not simulate.
pub(crate) fn settings() -> Option<&'static Settings> {
    SETTINGS.get()
}

/// Has the title that `command` is to run (see [`crate::run_title`]) simulated with this seed, by the uniform strategy:
/// what fails then can fail in real time. Unlike what a person simulates, it does not make way for other programs.
pub fn simulate(command: &mut Command, seed: u64) {
    let strategy = sim::Strategy::Uniform;
    Settings { seed, strategy, trace: None, processor: None, urgent: true }.put_into(command);
}

/// How long messages take on a title's network: none in real time, and in a simulation 0.5 to 1 ms.
pub fn latency() -> Latency {
    if !sim::is_simulated() {
        return Latency::default();
    }
    let storm = settings().is_some_and(|settings| settings.strategy == sim::Strategy::Storm);
    Latency { usual: Some(LATENCY), stragglers: storm.then_some(STRAGGLERS), stalls: storm.then_some(STALLS) }
}

/// Runs the title as a simulation if the environment asks for one; the seed, or None.
pub(crate) fn run(limit: Duration, title: Title) -> Option<u64> {
    let settings = Settings::from_environment().unwrap_or_else(|why| child::fail(&why))?;
    let trace = settings.trace.as_ref().map(|path| {
        File::create(path).unwrap_or_else(|e| child::fail(&format!("cannot write {}: {e}", path.display())))
    });
    let Settings { seed, strategy, processor, urgent, .. } = SETTINGS.get_or_init(|| settings).clone();
    Logger::install();
    let hooks =
        sim::Hooks { describe: child::thread_name, fail: child::fail, places: threads::places_of_the_lab };
    let options = sim::Options { seed, strategy, trace, processor, steps_back: !urgent, hooks };
    let (name, function) = title;
    let outcome = sim::run(options, name, move || {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let watch = std::thread::Builder::new().name("titles-watch".to_string()).spawn(move || {
            sim::stand_by();
            while !ends.load(Ordering::Relaxed) {
                child::watch(limit);
                std::thread::sleep(child::WATCH_INTERVAL);
            }
        });
        watch.unwrap_or_else(|e| {
            child::fail(&format!("cannot start a thread: {e}. {}", labrpc::thread_census()))
        });
        picture::start();
        let own = threads::Own::now();
        function();
        over.store(true, Ordering::Relaxed);
        child::watch(limit);
        own.wait_for_the_others(child::CLEANUP_GRACE);
    });
    log::debug!("{outcome:?}");
    Some(seed)
}

/// Prints what RUST_LOG asks for, keeps what a picture shows, and traces everything. What is printed must not change the
/// run: so every record is made and put into words, whether it is wanted or not, and what is wanted is written behind the
/// simulation's back. The lab's own records, of the lowest level, need no words where nobody wants them.
struct Logger {
    wanted: env_logger::Logger,
    /// Not std's: another thread may hold its lock, and wait.
    stderr: File,
}

impl Logger {
    fn install() {
        let wanted = env_logger::Builder::from_default_env().build();
        let stderr =
            child::stderr().unwrap_or_else(|e| child::fail(&format!("cannot write to standard error: {e}")));
        let logger = Box::new(Logger { wanted, stderr });
        log::set_boxed_logger(logger).expect("this is the process's first logger");
        log::set_max_level(LevelFilter::Trace);
    }

    /// Prints a record if it is wanted. `text`: what it says, if that is known.
    fn print(&self, record: &Record<'_>, text: Option<&String>) {
        if self.wanted.matches(record) {
            let text = text.map_or_else(|| record.args().to_string(), String::clone);
            let line = lines::printed(record, &text) + "\n";
            // As with println, but for the panic: without standard error there is nobody to be told.
            let _ = (&self.stderr).write_all(line.as_bytes());
        }
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() > KEPT_LEVEL {
            sim::trace(*record.args());
            return sim::outside(|| self.print(record, None));
        }
        let cut = Cut::of(record);
        sim::trace(format_args!("{}", cut.text));
        sim::outside(|| {
            self.print(record, cut.whole.then_some(&cut.text));
            lines::keep_cut(child::elapsed(), record, cut);
        });
    }

    fn flush(&self) {}
}
