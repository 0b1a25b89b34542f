//! Checks histories with this crate, and measures time and memory.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::measurement::{ILLEGAL, LEGAL, Measurement, UNKNOWN};
use crate::whole::WholeKv;
use anyhow::{Context, Result};
use checker_bench::logs::{self, ParseError};
use clap::ValueEnum;
use linearizability::{CasModel, CheckResult, Event, KvModel, Model, check_events_timeout};

/// What histories are checked against.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Checked {
    Register,
    Kv,
    /// The key/value store without partitions.
    KvWhole,
}

impl Checked {
    /// The name on the command line, here and in the Go program.
    pub fn name(self) -> &'static str {
        match self {
            Checked::Register => "register",
            Checked::Kv => "kv",
            Checked::KvWhole => "kv-whole",
        }
    }
}

/// Checks all files again and again for `repeat`, at least once.
pub fn check(model: Checked, limit: Duration, repeat: Duration, files: &[PathBuf]) -> Result<Measurement> {
    match model {
        Checked::Register => check_again(&CasModel, &read(files, logs::parse_cas)?, limit, repeat),
        Checked::Kv => check_again(&KvModel, &read(files, logs::parse_kv)?, limit, repeat),
        Checked::KvWhole => check_again(&WholeKv, &read(files, logs::parse_kv)?, limit, repeat),
    }
}

fn read<E>(files: &[PathBuf], parse: impl Fn(&str) -> Result<Vec<E>, ParseError>) -> Result<Vec<Vec<E>>> {
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        parse(&text).with_context(|| format!("{} is not a history", file.display()))
    };
    files.iter().map(read).collect()
}

fn check_again<M>(
    model: &M,
    histories: &[Vec<Event<M::Input, M::Output>>],
    limit: Duration,
    repeat: Duration,
) -> Result<Measurement>
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    let before = kilobytes("VmRSS");
    // Resets the peak that the system reports. Where that is not allowed, the peak includes what came before.
    _ = fs::write("/proc/self/clear_refs", "5");
    let mut verdicts = String::new();
    let mut least = vec![Duration::MAX; histories.len()];
    let (begin, mut peak) = (Instant::now(), None);
    while peak.is_none() || begin.elapsed() < repeat {
        verdicts.clear();
        for (history, least) in histories.iter().zip(&mut least) {
            let start = Instant::now();
            verdicts.push(match check_events_timeout(model, history, limit) {
                CheckResult::Ok => LEGAL,
                CheckResult::Illegal => ILLEGAL,
                CheckResult::Unknown => UNKNOWN,
            });
            *least = start.elapsed().min(*least);
        }
        peak = peak.or_else(|| Some(kilobytes("VmHWM")));
    }
    let time: Duration = least.iter().sum();
    let nanoseconds = time.as_nanos().try_into().context("the checks took centuries")?;
    Ok(Measurement { verdicts, nanoseconds, kilobytes: peak.unwrap_or(0).saturating_sub(before) })
}

/// A figure of this process's memory from the system; 0 where the system has no such figure.
fn kilobytes(what: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
