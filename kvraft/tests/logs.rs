//! Sees that the servers of Lab 3B trim their logs (Go: the comparisons with `LogSize`).
//!
//! A log is too large when Raft's state is over twice `maxraftstate`. It may be for a moment: a service need not look at
//! its size after each entry. It may not stay so.

use crate::config::Config;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often this looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// A log may be too large in this many looks on end, which take two seconds and more. In Go it may only be so at moments
/// at which the test does not look. Looks are counted, not seconds: a test that was held up has not seen anything.
const PATIENCE: usize = 2000;

/// The servers that have executed all requests must have trimmed their logs, or do so soon.
///
/// # Panics
/// When they do not.
#[track_caller]
pub fn check_logs_are_trimmed(cfg: &Config) {
    let mut watch = Watch::new(cfg);
    while !watch.look() {
        sleep(LOOK_INTERVAL);
    }
}

/// Sleeps, and sees that no log stays too large meanwhile. The servers must be able to commit entries.
///
/// # Panics
/// When one does.
#[track_caller]
pub fn sleep_watching_logs(cfg: &Config, duration: Duration) {
    let begun = Instant::now();
    if cfg.maxraftstate.is_none() {
        return sleep(duration);
    }
    let mut watch = Watch::new(cfg);
    while begun.elapsed() < duration {
        watch.look();
        sleep(LOOK_INTERVAL);
    }
}

struct Watch<'a> {
    cfg: &'a Config,
    /// In how many looks on end each server's log was too large.
    too_large: Vec<usize>,
}

impl Watch<'_> {
    fn new(cfg: &Config) -> Watch<'_> {
        Watch { cfg, too_large: vec![0; cfg.n] }
    }

    /// Whether no log is too large now.
    #[track_caller]
    fn look(&mut self) -> bool {
        let Some(max) = self.cfg.maxraftstate else { return true };
        let sizes = self.cfg.raft_state_sizes();
        for (i, size) in sizes.iter().enumerate() {
            self.too_large[i] = if *size > 2 * max { self.too_large[i] + 1 } else { 0 };
            assert!(
                self.too_large[i] < PATIENCE,
                "logs were not trimmed ({size} > 2*{max}): server {i}'s, in two seconds"
            );
        }
        sizes.iter().all(|size| *size <= 2 * max)
    }
}
