//! `make compare GO_LAB=path`: runs the Go lab's titles and ours one after the other, alternating, on this machine, and
//! prints one table of what each took. course/docs/performance.md has tables, and says how to read them.
#![forbid(unsafe_code)]

mod go_lab;
mod measure;
mod plan;
mod table;

use clap::{Parser, ValueEnum};
use measure::{Figures, Outcome};
use plan::{Part, Title};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use table::{Format, Table};

/// Where the workspace was when this was built.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// Compares a Go lab with this one.
#[derive(Parser)]
#[command(name = "compare")]
struct Cli {
    /// The Go lab: the folder that has src/raft and src/kvraft.
    go_lab: PathBuf,
    /// Which titles: a part of the lab; or `rpc`, labrpc alone; or `ops`, a fixed number of operations of one client.
    #[arg(long, value_enum, default_value_t = Part::P3A, ignore_case = true)]
    part: Part,
    /// Only the titles whose Go function's name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Our side's Cargo profile: what `cargo test` builds, or what `cargo test --release` does.
    #[arg(long, value_enum, default_value_t = Profile::Dev)]
    profile: Profile,
    /// For spreadsheets.
    #[arg(long, conflicts_with = "markdown")]
    csv: bool,
    /// For documents.
    #[arg(long)]
    markdown: bool,
    /// Where to build, and to put what each run prints.
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
    // Runs a program and notes what it used: a process of its own, because the system tells only the sum and the
    // peak of all of a process's children.
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == measure::WATCH) {
        return measure::watch(&args[2..]);
    }
    match compare(&Cli::parse()) {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("compare: not everything passed:\n  {}", failures.join("\n  "));
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("compare: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything and prints the table; gives what failed.
fn compare(cli: &Cli) -> Result<Vec<String>, String> {
    let titles: Vec<&Title> = cli.part.titles().iter().filter(|title| title.go.contains(&cli.only)).collect();
    if titles.is_empty() {
        let names: Vec<_> = cli.part.titles().iter().map(|title| title.go).collect();
        return Err(format!(
            "no title of this part has {:?} in it; there are {}",
            cli.only,
            names.join(", ")
        ));
    }
    std::fs::create_dir_all(&cli.work).map_err(|e| format!("{}: {e}", cli.work.display()))?;
    let work = cli.work.canonicalize().map_err(|e| format!("{}: {e}", cli.work.display()))?;

    eprintln!("builds the Go tests of {}", cli.go_lab.display());
    let go = go_lab::build(&cli.go_lab, cli.part, &work)?;
    eprintln!("builds ours ({} profile)", cli.profile.name());
    let ours = ours_built(cli)?;

    let machine = table::machine(&go.version, cli.profile.name());
    let mut table = Table::new(machine);
    let mut failures = Vec::new();
    for (i, title) in titles.iter().enumerate() {
        let run_go = || measure::run(&go.command(title), &work.join(format!("go-{}.log", title.go)));
        let run_ours = || run_all(&ours, title, &work);
        eprint!("[{}/{}] {}: ", i + 1, titles.len(), title.go);
        // Each goes first every other time.
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
                failures.push(format!("{side}, {}: {why}", title.go));
            }
        }
        table.add(title.go, of_go.figures(), of_ours.figures());
    }
    let format = match (cli.csv, cli.markdown) {
        (true, _) => Format::Csv,
        (_, true) => Format::Markdown,
        _ => Format::Text,
    };
    print!("{}", table.render(format));
    Ok(failures)
}

fn ours_built(cli: &Cli) -> Result<PathBuf, String> {
    let target: &[&str] = match cli.part {
        Part::Rpc | Part::Ops => &["build", "-p", "bench", "--bin", "ours"],
        Part::P2A | Part::P2B | Part::P2C => &["test", "--no-run", "-p", "raft", "--test", "test_test"],
        Part::P3A | Part::P3B => &["test", "--no-run", "-p", "kvraft", "--test", "test_test"],
    };
    measure::cargo(Path::new(WORKSPACE), target, cli.profile == Profile::Release)
}

/// What Go tests in one function can be several titles here: their figures are added up.
fn run_all(ours: &Path, title: &Title, work: &Path) -> Result<Outcome, String> {
    let mut sum: Option<Figures> = None;
    for name in title.ours {
        let mut command = vec![ours.display().to_string()];
        command.extend(if title.is_a_test {
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
    Ok(sum.map_or_else(|| Outcome::Failed("it has no test here".to_string()), Outcome::Passed))
}
