//! `make compare GO_LAB=path`: runs the tests of the Go lab and ours in turns on this machine, and prints one table with
//! time, CPU time and memory of each. course/docs/performance.md has such tables.
#![forbid(unsafe_code)]

mod go_lab;
mod measure;
mod passed;
mod plan;
mod table;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use measure::{Figures, Outcome};
use plan::{Part, Test};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Format, Table};

/// The folder of the workspace, as it was when this program was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// Compares a Go lab with this one.
#[derive(Parser)]
#[command(name = "compare")]
struct Cli {
    /// The folder of the Go lab, which has src/raft and src/kvraft.
    go_lab: PathBuf,
    /// The tests to run: those of a part of the lab, or `rpc` (labrpc alone), or `ops` (3000 operations of one client).
    #[arg(long, value_enum, default_value_t = Part::P3A, ignore_case = true)]
    part: Part,
    /// Run only the tests whose Go function has TEXT in its name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// The Cargo profile of our programs: `dev` as in `cargo test`, or `release`.
    #[arg(long, value_enum, default_value_t = Profile::Dev)]
    profile: Profile,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "markdown")]
    csv: bool,
    /// Print a Markdown table.
    #[arg(long)]
    markdown: bool,
    /// The folder for what is built and for the output of each run.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/compare"))]
    work: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Profile {
    Dev,
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        if self == Profile::Release { "release" } else { "dev" }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == measure::WATCH) {
        return match measure::watch(&args[2..]) {
            Ok(code) => code,
            Err(e) => failure(&e),
        };
    }
    match compare(&Cli::parse()) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("compare: these tests failed:\n  {}", failures.join("\n  "));
            ExitCode::FAILURE
        }
        Err(e) => failure(&e),
    }
}

fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("compare: {error:#}");
    ExitCode::FAILURE
}

/// Runs everything and prints the table. Returns one line for each test that failed.
fn compare(cli: &Cli) -> Result<Vec<String>> {
    let tests: Vec<&Test> = cli.part.tests().iter().filter(|test| test.go.contains(&cli.only)).collect();
    if tests.is_empty() {
        let names: Vec<_> = cli.part.tests().iter().map(|test| test.go).collect();
        bail!("no test of this part has {:?} in its name; the tests are {}", cli.only, names.join(", "));
    }
    let cannot_make = || format!("cannot make the folder {}", cli.work.display());
    std::fs::create_dir_all(&cli.work).with_context(cannot_make)?;
    let work = cli.work.canonicalize().with_context(cannot_make)?;

    eprintln!("building the Go tests of {}", cli.go_lab.display());
    let go = go_lab::build(&cli.go_lab, cli.part, &work)?;
    eprintln!("building ours ({} profile)", cli.profile.name());
    let ours = build_ours(cli)?;

    let machine = table::machine(&go.version, cli.profile.name());
    let mut table = Table::new(machine);
    let mut failures = Vec::new();
    for (i, test) in tests.iter().enumerate() {
        let run_go = || measure::run(&go.command(test), &work.join(format!("go-{}.log", test.go)));
        let run_ours = || run_all(&ours, test, &work);
        eprint!("[{}/{}] {}: ", i + 1, tests.len(), test.go);
        // Go's test runs first every other time.
        let (of_go, of_ours) = if i % 2 == 0 {
            eprint!("Go ... ");
            let of_go = run_go()?;
            eprint!("{}, ours ... ", of_go.brief());
            (of_go, run_ours()?)
        } else {
            eprint!("ours ... ");
            let of_ours = run_ours()?;
            eprint!("{}, Go ... ", of_ours.brief());
            (run_go()?, of_ours)
        };
        eprintln!("{}", if i % 2 == 0 { of_ours.brief() } else { of_go.brief() });
        for (side, outcome) in [("Go", &of_go), ("ours", &of_ours)] {
            if let Outcome::Failed(why) = outcome {
                failures.push(format!("{side}, {}: {why}", test.go));
            }
        }
        table.add(test.go, of_go.figures(), of_ours.figures());
    }
    let format = match (cli.csv, cli.markdown) {
        (true, _) => Format::Csv,
        (_, true) => Format::Markdown,
        _ => Format::Text,
    };
    print!("{}", table.render(format));
    Ok(failures)
}

fn build_ours(cli: &Cli) -> Result<PathBuf> {
    let target: &[&str] = match cli.part {
        Part::Rpc | Part::Ops => &["build", "-p", "bench", "--bin", "ours"],
        Part::P2A | Part::P2B | Part::P2C => &["test", "--no-run", "-p", "raft", "--test", "test_test"],
        Part::P3A | Part::P3B => &["test", "--no-run", "-p", "kvraft", "--test", "test_test"],
    };
    measure::build(Path::new(WORKSPACE), target, cli.profile == Profile::Release)
}

/// Runs all of our tests that stand for one Go function, and adds their figures up.
fn run_all(ours: &Path, test: &Test, work: &Path) -> Result<Outcome> {
    let mut sum: Option<Figures> = None;
    for name in test.ours {
        let mut command = vec![ours.display().to_string()];
        command.extend(if test.is_of_the_lab {
            vec!["--exact".into(), name.to_string()]
        } else {
            vec![name.to_string()]
        });
        let command = measure::Command { command, dir: None };
        match measure::run(&command, &work.join(format!("ours-{name}.log")))? {
            Outcome::Passed(figures) => sum = Some(figures.add(sum)),
            failed => return Ok(failed),
        }
    }
    Ok(sum.map_or_else(|| Outcome::Failed("no test stands for it here".to_string()), Outcome::Passed))
}
