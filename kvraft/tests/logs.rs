//! Checks that the servers of Lab 3B trim their logs (Go: the comparisons with `LogSize`).
//!
//! A log is too large when Raft's state is larger than twice `maxraftstate`. A log may be too large for a moment,
//! because a service need not look at its size after each entry. It must not stay too large.

use crate::config::Config;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How many polls in a row (one each millisecond) may find a log over its limit and unchanged. This counts polls instead of
/// seconds: a test that the system has held up has not polled meanwhile. (The Go test looks once.)
const POLLS: usize = 2000;

/// How many polls may find a log over its limit that still changes.
const MOST_POLLS: usize = 10 * POLLS;

/// Checks that each server has trimmed its log, or trims it soon. The leader must have executed all requests.
///
/// A server that lags may have much to do still: in the seconds of a round, clients here send many times the requests that
/// they send in Go. So a server has more time as long as its log or its snapshot changes.
///
/// # Panics
/// When the log of a server stays too large.
#[track_caller]
pub fn check_logs_are_trimmed(cfg: &Config) {
    let (mut unchanged, mut before) = (0, Vec::new());
    for polls in 1.. {
        let Some((server, size, max)) = largest(cfg).filter(|(_, size, max)| *size > 2 * max) else { return };
        let now = [cfg.raft_state_sizes(), cfg.snapshot_sizes()].concat();
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
        if unchanged == POLLS || polls == MOST_POLLS {
            harness::record::about_server(server);
            let seconds = if unchanged == POLLS { POLLS } else { MOST_POLLS } / 1000;
            let how = if unchanged == POLLS { "unchanged" } else { "too large" };
            panic!(
                "logs were not trimmed ({size} > 2*{max}): server {server}'s is {how} after {seconds} s without \
                 requests{}",
                sizes(cfg)
            );
        }
        sleep(POLL_INTERVAL);
    }
}

/// The sizes of each server, as lines.
fn sizes(cfg: &Config) -> String {
    let both = cfg.raft_state_sizes().into_iter().zip(cfg.snapshot_sizes()).enumerate();
    let line = |(i, (state, snapshot))| {
        format!("\n  server {i}: Raft's state {state} bytes, snapshot {snapshot} bytes")
    };
    both.map(line).collect()
}

/// Sleeps while clients work, and checks that some server trims its log meanwhile. The servers must be able to commit
/// entries. One trimmed log is enough: the leader executes entries as soon as they are committed, but a server that
/// catches up may have a long log. (The Go test does not check this.)
///
/// # Panics
/// When the logs of all servers stay too large while the clients work.
#[track_caller]
pub fn sleep_watching_logs(cfg: &Config, duration: Duration) {
    let begun = Instant::now();
    let Some(max) = cfg.maxraftstate else { return sleep(duration) };
    let mut polls = 0;
    while begun.elapsed() < duration {
        let smallest = cfg.raft_state_sizes().into_iter().min().unwrap_or(0);
        polls = if smallest > 2 * max { polls + 1 } else { 0 };
        assert!(
            polls < POLLS,
            "logs were not trimmed ({smallest} > 2*{max}): no server trims its log while clients work{}",
            sizes(cfg)
        );
        sleep(POLL_INTERVAL);
    }
}

/// The server with the largest log, the size of this log, and `maxraftstate`. None: the test has no `maxraftstate`.
fn largest(cfg: &Config) -> Option<(usize, usize, usize)> {
    let max = cfg.maxraftstate?;
    let (server, size) = cfg.raft_state_sizes().into_iter().enumerate().max_by_key(|(_, size)| *size)?;
    Some((server, size, max))
}
