//! The test binary as a user starts it: runs each test in a child of itself.

mod lingering;
mod process;
mod replay;
mod seeds;
mod stream;

pub use process::{SimulatedRun, TestFailure, TestPass, TestRun, Trust, run_test};
pub use replay::replay;
pub use seeds::fresh as fresh_seed;

use crate::environment::Environment;
use crate::test::Test;
use libtest_mimic::{Arguments, Failed, Trial};
use process::Order;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How long a child may still run after its time limit. It needs this time to report what hangs; then it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the tests that command line and environment ask for. The tests in `simulated` are simulated in any case.
pub(crate) fn run(limit: Duration, tests: &'static [Test], simulated: &'static [Test]) -> ExitCode {
    let mut environment = match Environment::read() {
        Ok(environment) => environment,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    if let Some(wanted) = environment.simulations.take() {
        return seeds::run(wanted, &environment, &[tests, simulated].concat());
    }
    let mut arguments = Arguments::from_args();
    // Tests measure time and count RPCs: two at once would disturb each other.
    arguments.test_threads = Some(1);
    let (pictures, counts_threads) = (environment.pictures, environment.counts_threads);
    let trial = |&(name, _): &Test| {
        Trial::test(name, move || {
            let order = Order { pictures, counts_threads, ..Order::new(name, Trust::Own) };
            run_trial(limit, order)
        })
    };
    let mut trials: Vec<Trial> = tests.iter().map(trial).collect();
    let always = seeds::Always::new(&environment);
    trials.extend(simulated.iter().map(|test| always.trial(test)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    always.print_replays();
    conclusion.exit_code()
}

fn run_trial(limit: Duration, order: Order) -> Result<(), Failed> {
    // libtest-mimic has just printed "test test_basic_3a ... "; the title belongs at the start of a line.
    println!();
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    process::run(Command::new(program), order, limit + GRACE, &mut process::print)?;
    Ok(())
}
