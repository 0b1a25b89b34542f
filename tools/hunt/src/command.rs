//! The command line of a program that hunts.

use crate::scenario::Scenario;
use crate::search::{Failure, Found, Outcome, Progress, Search, Trial};
use clap::Parser;
use harness::{SimulatedRun, Test, TestFailure, TestRun, Trust};
use parking_lot::Mutex;
use std::io::{IsTerminal, Write};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How long a run may take in real time. Runs take some milliseconds; the simulator itself finds one that hangs.
const REAL_LIMIT: Duration = Duration::from_secs(600);

/// How often progress is shown in a terminal, and elsewhere.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a program hunts.
pub struct Prey {
    /// The test that makes one run.
    pub test: Test,
    /// What `make hunt` is told to hunt it: "LAB=2".
    pub lab: &'static str,
    /// The same, if servers take snapshots. None: they cannot.
    pub lab_with_snapshots: Option<&'static str>,
}

/// Hunts for bugs: makes many short simulations until the time is up or one fails.
#[derive(Parser)]
struct Arguments {
    /// Hunt for so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Make one run, with this seed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// Make runs of this scenario only.
    #[arg(long)]
    scenario: Option<Scenario>,
    /// Let servers take snapshots.
    #[arg(long)]
    snapshots: bool,
    /// Look for a smaller run that fails in the same way for so many seconds.
    #[arg(long, default_value_t = 30)]
    shrink: u64,
    /// Begin with this seed.
    #[arg(long, conflicts_with = "seed")]
    first_seed: Option<u64>,
}

/// The `main` of a program that hunts: exit code 0 if no run has failed, 1 if one has, 2 if it could not hunt.
pub fn main(prey: &'static Prey) -> ExitCode {
    if harness::is_child() {
        return harness::run(std::slice::from_ref(&prey.test));
    }
    let arguments = Arguments::parse();
    if !harness::CAN_SIMULATE {
        eprintln!("hunt: simulation works only on x86-64 and aarch64 Linux with glibc");
        return ExitCode::from(2);
    }
    let Ok(program) = std::env::current_exe() else {
        eprintln!("hunt: cannot find this program's own file");
        return ExitCode::from(2);
    };
    let hunter = Hunter { prey, program, snapshots: arguments.snapshots };
    match arguments.seed {
        Some(seed) => hunter.replay(seed, arguments.scenario),
        None => hunter.hunt(&arguments),
    }
}

struct Hunter {
    prey: &'static Prey,
    program: std::path::PathBuf,
    snapshots: bool,
}

impl Hunter {
    fn hunt(&self, arguments: &Arguments) -> ExitCode {
        let search = Search {
            first_seed: arguments.first_seed.unwrap_or_else(harness::fresh_seed),
            time: Duration::from_secs(arguments.seconds),
            shrinking: Duration::from_secs(arguments.shrink),
            // Of a run's time, part goes into starting and ending its process. With two runs for each processor, no
            // processor waits: a third more runs a second.
            workers: std::thread::available_parallelism().map_or(2, |n| 2 * n.get()),
            snapshots: self.snapshots,
            scenario: arguments.scenario.clone(),
        };
        let line = Line::new(search.time);
        let run = |trial: &Trial| self.run(trial, None).0;
        let Found { runs, took, warning, failure } = search.search(&run, &|progress| line.show(progress));
        line.clear();
        if let Some(warning) = warning {
            println!("warning: {warning}\n");
        }
        let seconds = took.as_secs_f64();
        let rate = runs as f64 / seconds;
        match failure {
            None => {
                println!("hunt: {runs} runs in {seconds:.1} s ({rate:.0}/s), none failed");
                ExitCode::SUCCESS
            }
            Some(failure) => {
                println!(
                    "hunt: run {} failed; the hunt has taken {seconds:.1} s of real time (the times below are the run's own, \
                     which are virtual)",
                    runs + 1
                );
                self.report(&failure);
                ExitCode::FAILURE
            }
        }
    }

    /// Prints what has failed, and draws its picture.
    fn report(&self, failure: &Failure) {
        let Failure { first, smallest, message } = failure;
        let replay = self.replay_command(smallest);
        let (again, drawing) = self.run(smallest, Some(replay.clone()));
        println!("\n{}\n", again.failure.as_ref().unwrap_or(message).trim_end());
        println!("the first run that failed: {}", first.scenario);
        if smallest.scenario != first.scenario {
            println!("the smallest that fails in the same way: {}", smallest.scenario);
        }
        println!("this replays it:\n  {replay}");
        println!("{}", drawing.unwrap_or_else(|| "  no picture: a second run went another way".to_string()));
    }

    /// Makes one run, and draws its picture if it fails.
    fn replay(&self, seed: u64, scenario: Option<Scenario>) -> ExitCode {
        let scenario = scenario.unwrap_or_else(|| Scenario::draw(seed, self.snapshots));
        println!("hunt: one run with seed {seed}: {scenario}");
        let trial = Trial { seed, scenario };
        let (outcome, drawing) = self.run(&trial, Some(self.replay_command(&trial)));
        if let Some(warning) = outcome.warning {
            println!("warning: {warning}");
        }
        match outcome.failure {
            None => {
                println!("hunt: the run did not fail");
                ExitCode::SUCCESS
            }
            Some(message) => {
                println!("\n{}\n{}", message.trim_end(), drawing.unwrap_or_default());
                ExitCode::FAILURE
            }
        }
    }

    /// Makes one run. If there is a command that replays it, draws a picture if it fails, and returns where the picture is.
    fn run(&self, trial: &Trial, replay: Option<String>) -> (Outcome, Option<String>) {
        let simulation = SimulatedRun {
            seed: trial.seed,
            strategy: trial.scenario.strategy,
            scenario: Some(trial.scenario.to_string()),
            replay,
        };
        let run = TestRun {
            command: Command::new(&self.program),
            test: self.prey.test.0,
            limit: REAL_LIMIT,
            trust: Trust::OneOfMany,
            workspace: None,
            simulation: Some(simulation),
            is_lenient: false,
            objection: None,
        };
        let mut output = Vec::new();
        let result = harness::run_test(run, &mut |text| output.extend_from_slice(text));
        if let Err(failure @ TestFailure::NotStarted(_)) = &result {
            eprintln!(
                "\nhunt: {failure}. The program is {}: if it was built anew meanwhile, hunt again",
                self.program.display()
            );
            std::process::exit(2);
        }
        Outcome::of(result, &output)
    }

    fn replay_command(&self, trial: &Trial) -> String {
        let with_snapshots = self.prey.lab_with_snapshots.filter(|_| self.snapshots);
        trial.replay_command(with_snapshots.unwrap_or(self.prey.lab))
    }
}

impl Trial {
    /// The command that makes this run again. `lab`: what `make hunt` is told: "LAB=3B".
    pub fn replay_command(&self, lab: &str) -> String {
        format!("make hunt {lab} LAB_SEED={} SCENARIO='{}'", self.seed, self.scenario)
    }
}

impl Scenario {
    /// The command that makes runs of this scenario, each with another seed. `lab`: what `make hunt` is told: "LAB=3B".
    pub fn hunt_command(&self, lab: &str) -> String {
        format!("make hunt {lab} SCENARIO='{self}'")
    }
}

impl Outcome {
    /// The outcome of a run with this result and output, and where its picture is.
    pub fn of(result: Result<harness::TestPass, TestFailure>, output: &[u8]) -> (Outcome, Option<String>) {
        let output = String::from_utf8_lossy(output);
        let warning = output.split_once("warning: ").map(|(_, warning)| warning.trim_end().to_string());
        let (failure, drawing) = match result {
            Ok(_) => (None, None),
            Err(TestFailure::Failed { message, drawing }) => {
                (Some(message), drawing.map(|drawing| drawing.to_string()))
            }
            Err(other) => (Some(format!("{other}\n{output}")), None),
        };
        (Outcome { warning: warning.filter(|_| failure.is_none()), failure }, drawing)
    }
}

/// The line that shows progress, on standard error.
struct Line {
    begun: Instant,
    time: Duration,
    is_terminal: bool,
    shown: Mutex<Instant>,
}

impl Line {
    fn new(time: Duration) -> Line {
        let now = Instant::now();
        Line { begun: now, time, is_terminal: std::io::stderr().is_terminal(), shown: Mutex::new(now) }
    }

    fn show(&self, progress: Progress) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        let mut shown = self.shown.lock();
        if shown.elapsed() < interval {
            return;
        }
        *shown = Instant::now();
        let elapsed = self.begun.elapsed();
        let text = match progress {
            Progress::Searching { runs } => format!(
                "hunt: {runs} runs, none failed, {:.0}/s, {} s left",
                runs as f64 / elapsed.as_secs_f64(),
                self.time.saturating_sub(elapsed).as_secs()
            ),
            Progress::Shrinking { runs } => {
                format!(
                    "hunt: a run failed; looking for a smaller one that fails in the same way: {runs} runs"
                )
            }
        };
        // Ignore the error: nobody looks at the progress.
        let _ = match self.is_terminal {
            true => write!(std::io::stderr(), "\r\x1b[K{text}"),
            false => writeln!(std::io::stderr(), "{text}"),
        };
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
