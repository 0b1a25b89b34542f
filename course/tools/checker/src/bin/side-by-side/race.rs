//! Runs this checker and porcupine in turns, each in a process of its own, and prints the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::check::Checked;
use crate::measurement::{ILLEGAL, LEGAL, Measurement, UNKNOWN};
use anyhow::{Context, Result, ensure};

/// How often each program runs.
const ROUNDS: usize = 3;

/// The time after which a check gives up.
const LIMIT: Duration = Duration::from_secs(20);

/// For how many milliseconds a process repeats its checks.
const REPEAT: u64 = 300;

/// The key/value histories: the number of clients, and whether they are legal.
const KV: [(usize, &str); 6] = [(1, "ok"), (1, "bad"), (10, "ok"), (10, "bad"), (50, "ok"), (50, "bad")];

/// Histories that share one line of the table.
struct Group {
    name: String,
    model: Checked,
    files: Vec<PathBuf>,
}

/// Prints a line for each group of histories: those in `folder`, and those of porcupine's test data.
pub fn race(go_program: &Path, folder: &Path, test_data: Option<&Path>) -> Result<()> {
    println!(
        "{:34} {:>12} {:>12} {:>7}   {:>8} {:>8}  verdicts",
        "", "ours", "porcupine", "ratio", "ours", "porcupine"
    );
    let own = std::env::current_exe().context("cannot find this program's own path")?;
    let mut groups = groups("", folder, folder)?;
    if let Some(data) = test_data {
        groups.extend(self::groups("porcupine's ", &data.join("jepsen"), &data.join("kv"))?);
    }
    let mut worst = f64::INFINITY;
    for group in &groups {
        let (ours, theirs) = run_in_turns(&own, go_program, group)?;
        let ratio = theirs.nanoseconds as f64 / ours.nanoseconds as f64;
        worst = worst.min(ratio);
        let time = |run: &Measurement| format!("{:.1?}", Duration::from_nanos(run.nanoseconds));
        let memory = |run: &Measurement| format!("{:.1} MB", run.kilobytes as f64 / 1024.0);
        println!(
            "{:34} {:>12} {:>12} {ratio:>6.1}x   {:>8} {:>8}  {}",
            group.name,
            time(&ours),
            time(&theirs),
            memory(&ours),
            memory(&theirs),
            in_words(&ours, &theirs),
        );
    }
    println!("the least ratio: {worst:.1}");
    Ok(())
}

/// All registers' histories make one group; each key/value history makes a group of its own.
fn groups(source: &str, registers: &Path, kv: &Path) -> Result<Vec<Group>> {
    let mut files = Vec::new();
    for entry in
        fs::read_dir(registers).with_context(|| format!("cannot read the folder {}", registers.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            files.push(path);
        }
    }
    files.sort();
    let mut groups =
        vec![Group { name: format!("{source}{} registers", files.len()), model: Checked::Register, files }];
    for (model, what) in [(Checked::Kv, ""), (Checked::KvWhole, ", whole")] {
        for (clients, verdict) in KV {
            if model == Checked::Kv || clients == 10 {
                let name = format!("{source}{clients} clients, {verdict}{what}");
                let file = kv.join(format!("c{clients:02}-{verdict}.txt"));
                groups.push(Group { name, model, files: vec![file] });
            }
        }
    }
    Ok(groups)
}

/// Runs both programs in turns. The time is the shortest of all runs; the memory is that of a run that checks once.
fn run_in_turns(ours: &Path, theirs: &Path, group: &Group) -> Result<(Measurement, Measurement)> {
    let run_ours = |repeat| run(ours, &["check"], group, repeat);
    let run_theirs = |repeat| run(theirs, &[], group, repeat);
    let (mut ours, mut theirs) = (run_ours(0)?, run_theirs(0)?);
    for _ in 0..ROUNDS {
        ours.nanoseconds = ours.nanoseconds.min(run_ours(REPEAT)?.nanoseconds);
        theirs.nanoseconds = theirs.nanoseconds.min(run_theirs(REPEAT)?.nanoseconds);
    }
    let mut pairs = ours.verdicts.chars().zip(theirs.verdicts.chars());
    ensure!(
        pairs.all(|(a, b)| a == b || a == UNKNOWN || b == UNKNOWN),
        "{}: the verdicts differ:\nours      {}\nporcupine {}",
        group.name,
        ours.verdicts,
        theirs.verdicts
    );
    Ok((ours, theirs))
}

fn run(program: &Path, first: &[&str], group: &Group, repeat: u64) -> Result<Measurement> {
    let output = Command::new(program)
        .args(first)
        .args([group.model.name(), &LIMIT.as_millis().to_string(), &repeat.to_string()])
        .args(&group.files)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} did not print a measurement", program.display()))
}

/// How many histories each program called legal and illegal.
fn in_words(ours: &Measurement, theirs: &Measurement) -> String {
    let count = |run: &Measurement, letter| run.verdicts.chars().filter(|&verdict| verdict == letter).count();
    let undecided = |run, who| match count(run, UNKNOWN) {
        0 => String::new(),
        number => format!(", {number} not decided in {} s by {who}", LIMIT.as_secs()),
    };
    format!(
        "{} legal, {} illegal{}{}",
        count(ours, LEGAL),
        count(ours, ILLEGAL),
        undecided(ours, "ours"),
        undecided(theirs, "porcupine"),
    )
}
