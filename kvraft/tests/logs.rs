//! Sees that the servers of Lab 3B trim their logs (Go: the comparisons with `LogSize`).
//!
//! A log is too large when Raft's state is over twice `maxraftstate`. It may be for a moment: a service need not look at
//! its size after each entry. It may not stay so.

use crate::config::Config;
use std::thread::sleep;
use std::time::{Duration, Instant};

const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// In how many looks on end a log may be too large; they take two seconds and more. Looks are counted, not seconds: a test
/// that was held up has not seen anything. (Go looks once.)
const PATIENCE: usize = 2000;

/// The servers have executed all requests: they must have trimmed their logs, or do so soon.
///
/// # Panics
/// When one does not.
#[track_caller]
pub fn check_logs_are_trimmed(cfg: &Config) {
    let mut looks = 0;
    while let Some((server, size, max)) = largest(cfg).filter(|(_, size, max)| *size > 2 * max) {
        looks += 1;
        assert!(looks < PATIENCE, "logs were not trimmed ({size} > 2*{max}): server {server}'s");
        sleep(LOOK_INTERVAL);
    }
}

/// Sleeps while clients work, and sees that the servers do not put off trimming until there is nothing to do. The servers
/// must be able to commit entries. Only if no log at all is trimmed it is a failure: those who execute all at once, such
/// as the leader, have no excuse, but others may have a long log to catch up with. (Go does not look.)
///
/// # Panics
/// When they do.
#[track_caller]
pub fn sleep_watching_logs(cfg: &Config, duration: Duration) {
    let begun = Instant::now();
    let Some(max) = cfg.maxraftstate else { return sleep(duration) };
    let mut looks = 0;
    while begun.elapsed() < duration {
        let smallest = cfg.raft_state_sizes().into_iter().min().unwrap_or(0);
        looks = if smallest > 2 * max { looks + 1 } else { 0 };
        assert!(
            looks < PATIENCE,
            "logs were not trimmed ({smallest} > 2*{max}): on no server, while clients work"
        );
        sleep(LOOK_INTERVAL);
    }
}

/// The server with the largest log, its size, and `maxraftstate`; None when that is not given.
fn largest(cfg: &Config) -> Option<(usize, usize, usize)> {
    let max = cfg.maxraftstate?;
    let (server, size) = cfg.raft_state_sizes().into_iter().enumerate().max_by_key(|(_, size)| *size)?;
    Some((server, size, max))
}
