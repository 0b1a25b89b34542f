//! The test binary as a user starts it: runs each test in a child of itself.

mod arguments;
mod elsewhere;
mod lingering;
mod names;
mod process;
mod replay;
mod seeds;
mod stream;

pub use process::{SimulatedRun, TestFailure, TestPass, TestRun, Trust, run_test};
pub use replay::replay;
pub use seeds::fresh as fresh_seed;

use crate::environment::Environment;
use crate::test::Test;
use arguments::Arguments;
use elsewhere::Elsewhere;
use libtest_mimic::{Failed, Trial};
use process::Order;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How long a child may still run after its time limit. It needs this time to report what hangs; then it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// The exit code if command line or environment make no sense.
const WRONG: u8 = 2;

/// The exit code if no test matches a filter; cargo-nextest's too.
const NO_TEST: u8 = 4;

/// Runs the tests that command line and environment ask for. The tests in `simulated` are simulated in any case.
pub(crate) fn run(limit: Duration, tests: &'static [Test], simulated: &'static [Test]) -> ExitCode {
    let wrong = |e: &dyn std::error::Error| {
        eprintln!("{e}");
        ExitCode::from(WRONG)
    };
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(e) => return wrong(&e),
    };
    if arguments.help {
        process::print(arguments::HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    let mut environment = match Environment::read() {
        Ok(environment) => environment,
        Err(e) => return wrong(&e),
    };
    let names: Vec<&str> = tests.iter().chain(simulated).map(|(name, _)| *name).collect();
    if let Some(message) = mistaken_filters(&arguments, &names) {
        eprint!("{message}");
        return ExitCode::from(NO_TEST);
    }
    let wanted = arguments.wanted(&names);
    if arguments.list {
        let is_listed = |name: &&&str| !arguments.ignored || is_ignored(name, simulated, &environment);
        let lines: String = wanted.iter().filter(is_listed).map(|name| format!("{name}: test\n")).collect();
        process::print(lines.as_bytes());
        return ExitCode::SUCCESS;
    }
    if let Some(wanted_simulations) = environment.simulations.take() {
        let all = [tests, simulated].concat();
        return seeds::run(wanted_simulations, &environment, &all, |threads| {
            (arguments.to_mimic(&names, &wanted, threads), wanted.len() as u64)
        });
    }
    // Tests measure time and count RPCs: two at once would disturb each other.
    let arguments = arguments.to_mimic(&names, &wanted, 1);
    let &Environment { pictures, counts_threads, is_strict, .. } = &environment;
    let trial = |&(name, _): &Test| {
        Trial::test(name, move || {
            let order = Order { pictures, counts_threads, is_strict, ..Order::new(name, Trust::Own) };
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

/// Whether a test does not run unless it is asked for. `simulated` are always simulated, where that is possible.
fn is_ignored(name: &str, simulated: &[Test], environment: &Environment) -> bool {
    !sim::SUPPORTED && environment.simulations.is_none() && simulated.iter().any(|(one, _)| *one == name)
}

/// What to tell a user whose filters match no test, neither of this program nor of another that cargo starts with the
/// same filters. None: every filter matches something.
fn mistaken_filters(arguments: &Arguments, names: &[&str]) -> Option<String> {
    let unmatched = arguments.unmatched(names);
    if unmatched.is_empty() {
        return None;
    }
    let elsewhere = Elsewhere::find();
    let is_mistaken =
        |filter: &&str| elsewhere.as_ref().is_none_or(|elsewhere| !elsewhere.has(filter, arguments.exact));
    let mistaken: Vec<&str> = unmatched.into_iter().filter(is_mistaken).collect();
    let package = replay::package().unwrap_or_else(|| "PACKAGE".to_string());
    let mut message = String::new();
    for filter in &mistaken {
        let other = elsewhere.as_ref().and_then(|elsewhere| elsewhere.package_with(filter, arguments.exact));
        // Writing to a string does not fail.
        let _ = match (other, &names::similar(filter, names)[..]) {
            (Some((other, name)), _) => writeln!(
                message,
                "no test of {package} matches {filter:?}, but one of {other}: cargo test -p {other} {name}"
            ),
            (None, []) => writeln!(
                message,
                "no test matches {filter:?}; this lists all tests: cargo test -p {package} -- --list"
            ),
            (None, near) => {
                let commands: String =
                    near.iter().map(|name| format!("\n  cargo test -p {package} {name}")).collect();
                writeln!(message, "no test matches {filter:?}; did you mean this?{commands}")
            }
        };
    }
    Some(message).filter(|message| !message.is_empty())
}

fn run_trial(limit: Duration, order: Order) -> Result<(), Failed> {
    // libtest-mimic has just printed "test test_basic_3a ... "; the title belongs at the start of a line.
    println!();
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    process::run(Command::new(program), order, limit + GRACE, &mut process::print)?;
    Ok(())
}
