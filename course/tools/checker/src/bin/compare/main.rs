//! Compares this checker with porcupine, the newest relative of the Go lab's: time and memory, side by side.
//!
//! ```text
//! make bench-porcupine PORCUPINE=<its source>      builds both, makes the histories, and runs this
//! compare generate FOLDER                          writes the histories
//! compare check MODEL LIMIT_MS REPEAT_MS FILE...   checks them with this crate
//! compare race GO_PROGRAM FOLDER [TEST_DATA]       runs `check` and the Go program in turns, and prints the table
//! ```
//!
//! `check`, and the Go program likewise, checks all the files again and again for `REPEAT_MS`, at least once, and prints
//! their verdicts (`o`, `i`, or `u` where `LIMIT_MS` was not enough), the least times, added up, in nanoseconds, and by
//! how many kilobytes the process's memory at its peak in the first round was above what it had been before.

mod histories;
mod logs;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use linearizability::{CasModel, CheckResult, Event, KvModel, Model, check_events_timeout};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", folder] => generate(Path::new(folder)),
        ["check", model, limit, repeat, files @ ..] => println!("{}", check(model, limit, repeat, files)),
        ["race", program, folder] => race(program, Path::new(folder), None),
        ["race", program, folder, data] => race(program, Path::new(folder), Some(Path::new(data))),
        _ => panic!("compare generate | check | race; see the head of its source"),
    }
}

/// Clients and operations of the key/value histories: about as many as porcupine's have.
const KV: [(usize, usize); 3] = [(1, 100), (10, 350), (50, 1800)];

/// How many registers' histories there are, half of them of a register with stale reads.
const REGISTERS: u64 = 100;

fn generate(folder: &Path) {
    let write = |name: String, text: String| {
        fs::write(folder.join(&name), text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
    };
    for seed in 0..REGISTERS {
        let text = logs::write_cas(&histories::register(seed, 90, seed % 2 == 1));
        write(format!("register-{seed:02}.log"), text);
    }
    for (clients, operations) in KV {
        let mut events = histories::kv(clients as u64, clients, operations);
        write(format!("c{clients:02}-ok.txt"), logs::write_kv(&events));
        histories::break_kv(clients as u64, &mut events);
        write(format!("c{clients:02}-bad.txt"), logs::write_kv(&events));
    }
}

fn check(model: &str, limit: &str, repeat: &str, files: &[&str]) -> String {
    let [limit, repeat] = [limit, repeat].map(|text| {
        Duration::from_millis(text.parse().unwrap_or_else(|_| panic!("not a number of milliseconds: {text}")))
    });
    let texts = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap_or_else(|error| panic!("cannot read {file}: {error}")));
    match model {
        "register" => check_again(
            &CasModel,
            &texts.map(|text| logs::parse_cas(&text)).collect::<Vec<_>>(),
            limit,
            repeat,
        ),
        "kv" => {
            check_again(&KvModel, &texts.map(|text| logs::parse_kv(&text)).collect::<Vec<_>>(), limit, repeat)
        }
        "kv-whole" => check_again(
            &whole::WholeKv,
            &texts.map(|text| logs::parse_kv(&text)).collect::<Vec<_>>(),
            limit,
            repeat,
        ),
        _ => panic!("no such model: {model}"),
    }
}

fn check_again<M>(
    model: &M,
    histories: &[Vec<Event<M::Input, M::Output>>],
    limit: Duration,
    repeat: Duration,
) -> String
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let before = kilobytes("VmRSS");
    // From here on the system takes note of the peak anew.
    _ = fs::write("/proc/self/clear_refs", "5");
    let mut verdicts = String::new();
    let mut least = vec![Duration::MAX; histories.len()];
    let (begin, mut peak) = (Instant::now(), None);
    while peak.is_none() || begin.elapsed() < repeat {
        verdicts.clear();
        for (history, least) in histories.iter().zip(&mut least) {
            let start = Instant::now();
            verdicts.push(match check_events_timeout(model, history, limit) {
                CheckResult::Ok => 'o',
                CheckResult::Illegal => 'i',
                CheckResult::Unknown => 'u',
            });
            *least = start.elapsed().min(*least);
        }
        peak = peak.or_else(|| Some(kilobytes("VmHWM")));
    }
    let time: Duration = least.iter().sum();
    format!("{verdicts} {} {}", time.as_nanos(), peak.unwrap_or(0).saturating_sub(before))
}

/// What the system says of this process's memory, where it does.
fn kilobytes(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// One kind of history.
struct Kind {
    name: String,
    model: &'static str,
    files: Vec<PathBuf>,
}

fn race(program: &str, folder: &Path, data: Option<&Path>) {
    println!(
        "{:34} {:>12} {:>12} {:>7}   {:>8} {:>8}  verdicts",
        "", "ours", "porcupine", "ratio", "ours", "porcupine"
    );
    let own = std::env::current_exe().expect("the path of this program");
    let mut worst = f64::INFINITY;
    for kind in kinds(folder, data) {
        let (ours, theirs) = run_in_turns(&own, Path::new(program), &kind);
        let ratio = theirs.time.as_secs_f64() / ours.time.as_secs_f64();
        worst = worst.min(ratio);
        let memory = |run: &Run| format!("{:.1} MB", run.kilobytes as f64 / 1024.0);
        println!(
            "{:34} {:>12} {:>12} {ratio:>6.1}x   {:>8} {:>8}  {}",
            kind.name,
            format!("{:.1?}", ours.time),
            format!("{:.1?}", theirs.time),
            memory(&ours),
            memory(&theirs),
            in_words(&ours, &theirs),
        );
    }
    println!("the least ratio: {worst:.1}");
}

/// The kinds of history: those of `folder`, and those of porcupine's test data.
fn kinds(folder: &Path, data: Option<&Path>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (source, registers, kv) in
        [("", Some(folder), Some(folder))].into_iter().chain(data.map(|_| ("porcupine's ", None, None)))
    {
        let registers = registers.map_or_else(|| data.expect("").join("jepsen"), Path::to_path_buf);
        let kv = kv.map_or_else(|| data.expect("").join("kv"), Path::to_path_buf);
        let mut files: Vec<_> = fs::read_dir(&registers)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", registers.display()))
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect();
        files.sort();
        kinds.push(Kind { name: format!("{source}{} registers", files.len()), model: "register", files });
        for (model, what) in [("kv", ""), ("kv-whole", ", whole")] {
            for (clients, verdict) in
                [(1, "ok"), (1, "bad"), (10, "ok"), (10, "bad"), (50, "ok"), (50, "bad")]
            {
                if model == "kv" || clients == 10 {
                    let file = kv.join(format!("c{clients:02}-{verdict}.txt"));
                    kinds.push(Kind {
                        name: format!("{source}{clients} clients, {verdict}{what}"),
                        model,
                        files: vec![file],
                    });
                }
            }
        }
    }
    kinds
}

/// What one program said.
struct Run {
    verdicts: String,
    time: Duration,
    kilobytes: u64,
}

/// How often each program runs.
const ROUNDS: usize = 3;

/// How long a check may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs both in turns. The times are the least there were; the memory is that of a run that checks once.
fn run_in_turns(ours: &Path, theirs: &Path, kind: &Kind) -> (Run, Run) {
    let memory = [run(ours, &["check"], kind, 0), run(theirs, &[], kind, 0)];
    let mut times = memory.each_ref().map(|run| run.time);
    for _ in 0..ROUNDS {
        times[0] = times[0].min(run(ours, &["check"], kind, 300).time);
        times[1] = times[1].min(run(theirs, &[], kind, 300).time);
    }
    let [ours, theirs] = memory;
    assert!(
        ours.verdicts.chars().zip(theirs.verdicts.chars()).all(|(a, b)| a == b || a == 'u' || b == 'u'),
        "{}: the verdicts differ:\nours      {}\nporcupine {}",
        kind.name,
        ours.verdicts,
        theirs.verdicts
    );
    (Run { time: times[0], ..ours }, Run { time: times[1], ..theirs })
}

fn run(program: &Path, first: &[&str], kind: &Kind, repeat: u64) -> Run {
    let output = Command::new(program)
        .args(first)
        .args([kind.model, &LIMIT.as_millis().to_string(), &repeat.to_string()])
        .args(&kind.files)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<_> = text.split_whitespace().collect();
    match words.as_slice() {
        &[verdicts, nanoseconds, kilobytes] if output.status.success() => Run {
            verdicts: verdicts.to_string(),
            time: Duration::from_nanos(nanoseconds.parse().expect("nanoseconds")),
            kilobytes: kilobytes.parse().expect("kilobytes"),
        },
        _ => panic!("{} failed: {text}{}", program.display(), String::from_utf8_lossy(&output.stderr)),
    }
}

/// How many histories were found to be what.
fn in_words(ours: &Run, theirs: &Run) -> String {
    let count = |verdicts: &str, letter| verdicts.chars().filter(|&verdict| verdict == letter).count();
    let unknown = |run: &Run, who| match count(&run.verdicts, 'u') {
        0 => String::new(),
        number => format!(", {number} not decided in {} s by {who}", LIMIT.as_secs()),
    };
    format!(
        "{} legal, {} illegal{}{}",
        count(&ours.verdicts, 'o'),
        count(&ours.verdicts, 'i'),
        unknown(ours, "ours"),
        unknown(theirs, "porcupine"),
    )
}
