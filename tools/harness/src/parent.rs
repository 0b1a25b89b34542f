//! The test binary as the user starts it: runs each title in a child of itself.

use crate::Title;
use crate::process::{Trust, run_title};
use crate::seeds::{self, Plan};
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How long a child may go on after its time limit, before it is killed: enough to report what hangs.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn run(limit: Duration, titles: &'static [Title]) -> ExitCode {
    match Plan::from_environment() {
        Ok(Some(plan)) => return seeds::run(plan, titles),
        Ok(None) => {}
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    }
    let mut arguments = Arguments::from_args();
    // Titles measure time and count RPCs: two at once would disturb each other.
    arguments.test_threads = Some(1);
    let trials = titles.iter().map(|&(name, _)| Trial::test(name, move || run_trial(limit, name))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run_trial(limit: Duration, name: &str) -> Result<(), Failed> {
    // The cursor stands behind "test test_basic_3a ... "; the title belongs at the start of a line.
    println!();
    let program = std::env::current_exe().map_err(|e| format!("cannot find the test binary: {e}"))?;
    run_title(Command::new(program), name, limit + GRACE, Trust::Own, &mut print)?;
    Ok(())
}

pub(crate) fn print(text: &[u8]) {
    let mut stdout = std::io::stdout();
    // When nobody reads our output any more, the verdict still counts.
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}
