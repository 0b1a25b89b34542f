//! The log of a test as a file.

use super::{Outcome, Replay};
use crate::record::{self, Call, Groups, Kept, Life, Seen, Servers};
use lines::{LogLine, Who};
use std::fmt::Write;
use std::time::Duration;

/// The log as `RUST_LOG` would have printed it.
pub(super) fn text(outcome: &Outcome<'_>, Kept { lines, dropped, passed_over }: &Kept) -> String {
    let mut text = format!("# {} ({})\n", record::title(), outcome.test);
    if let Some(Replay { seed, command }) = outcome.simulation {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# simulation, seed {seed}; this replays it:\n#   {command}");
    }
    let missing = |text: &mut String, count: u64, place: &str| {
        if count > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# {count} lines were not kept {place}; RUST_LOG=debug prints all");
        }
    };
    missing(&mut text, *dropped, "before these");
    let mut events = events().into_iter().peekable();
    for line in lines {
        while let Some(event) = events.next_if(|event| event.at <= line.at) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{event}");
        }
        missing(&mut text, line.passed_over, "here");
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", line.printed());
    }
    for event in events {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{event}");
    }
    missing(&mut text, *passed_over, "here");
    let (at, message) = (outcome.at.as_secs_f64() * 1e3, outcome.message.trim().replace('\n', "\n# "));
    let how = if outcome.has_failed { "failed" } else { "passed" };
    text + &format!("# {at:.3} {how}: {message}\n")
}

/// What the test did, as lines in the order of their times: operations, crashes and partitions.
fn events() -> Vec<LogLine> {
    let mut events = record::with_servers(of_servers);
    for Seen { call: Call { who, what, at }, ret, .. } in record::operations(|operations| operations.seen()) {
        events.push(event(at, Who::Client, "operation", format!("{who} calls {what}")));
        if let Some((result, ret)) = ret {
            let result = if result.is_empty() { "returns".to_string() } else { result };
            events.push(event(ret, Who::Client, "operation", format!("{who}: {what} {result}")));
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

fn of_servers(servers: &mut Servers) -> Vec<LogLine> {
    let life = |Life { at, server, is_up }: &Life| {
        let what = if *is_up { "starts" } else { "crashes" };
        event(*at, Who::Server(*server), "test", what.to_string())
    };
    let mut events: Vec<LogLine> = servers.lives.iter().map(life).collect();
    let mut groups = servers.groups.iter().peekable();
    while let Some(group) = groups.next() {
        // Of the changes at one time, the last says it all.
        if groups.peek().is_none_or(|next| next.at > group.at) {
            events.push(event(group.at, Who::Other, "network", partition(group)));
        }
    }
    events
}

/// Which servers reach each other: "0 2 | 1 | 3 4".
fn partition(Groups { lowest, .. }: &Groups) -> String {
    let members = |group: usize| {
        let members = (0..lowest.len()).filter(|server| lowest[*server] == group);
        members.map(|server| server.to_string()).collect::<Vec<_>>().join(" ")
    };
    let groups: Vec<String> =
        (0..lowest.len()).filter(|server| lowest[*server] == *server).map(members).collect();
    format!("who reaches whom: {}", groups.join(" | "))
}

fn event(at: Duration, who: Who, topic: &str, text: String) -> LogLine {
    LogLine { at, who, state: None, topic: topic.to_string(), level: None, text }
}
