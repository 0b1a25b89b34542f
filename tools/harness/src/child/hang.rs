//! The report of a test that hangs: what its threads do and where, in groups of equal threads, and what that looks like.
//!
//! Nobody knows which thread holds a lock: parking_lot does not tell. But if threads of a server wait for a lock, while another
//! thread of the same server waits for something else in the middle of the server's code, that one most likely holds it.

use super::threads::{self, Stand, Wait};
use crate::record;
use labrpc::TaskName;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many threads are asked where they are.
const MOST_ASKED: usize = 400;

/// How many groups of threads the report has.
const MOST_GROUPS: usize = 18;

/// Equal threads: they have the same name, and stand at the same line.
struct Group {
    name: String,
    server: Option<usize>,
    stand: Option<Stand>,
    count: usize,
    /// For how many seconds the oldest of them has run.
    seconds: f64,
}

/// What the threads of labrpc's pool do, and what that looks like; each line ends with a line break.
pub(super) fn report() -> String {
    let groups = groups();
    let mut text = String::new();
    // Writing to a String does not fail.
    if let Some((server, since)) = record::silent() {
        let seconds = (record::elapsed() - since).as_secs_f64();
        let _ = writeln!(text, "  server {server} has not answered get_state() for {seconds:.1} s");
    }
    for finding in findings(&groups) {
        let _ = writeln!(text, "  {finding}");
    }
    for Group { name, stand, count, seconds, .. } in groups.iter().take(MOST_GROUPS) {
        let threads = if *count == 1 { "1 thread".to_string() } else { format!("{count} threads") };
        let stand = stand.as_ref().map_or(String::new(), |stand| format!("; {stand}"));
        let _ = writeln!(text, "  {threads}: {name}{stand} (for {seconds:.1} s)");
    }
    if groups.len() > MOST_GROUPS {
        let left: usize = groups[MOST_GROUPS..].iter().map(|group| group.count).sum();
        let _ = writeln!(text, "  and {left} other threads");
    }
    text
}

/// The threads that run a task, in groups. The largest groups come first.
fn groups() -> Vec<Group> {
    let ids: BTreeMap<String, usize> =
        threads::all().into_iter().rev().map(|(id, name)| (name, id)).collect();
    let tasks = labrpc::running();
    let asked: Vec<(usize, usize)> = (tasks.iter().enumerate())
        .filter_map(|(i, task)| Some((i, *ids.get(&format!("labrpc-{}", task.worker))?)))
        .take(MOST_ASKED)
        .collect();
    let whereabouts = sim::whereabouts(&asked.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    let mut stands: BTreeMap<usize, Stand> = (asked.iter().zip(whereabouts))
        .filter_map(|((i, _), places)| Some((*i, threads::stand_in_the_lab(&places)?)))
        .collect();
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (i, task) in tasks.into_iter().enumerate() {
        let stand = stands.remove(&i);
        let (name, server) = (task.name.to_string(), TaskName::server(&task.name));
        let key = (name.clone(), stand.as_ref().map_or(String::new(), Stand::to_string));
        let group = groups.entry(key).or_insert(Group { name, server, stand, count: 0, seconds: 0.0 });
        group.count += 1;
        group.seconds = group.seconds.max(task.elapsed.as_secs_f64());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// What is probably wrong.
fn findings(groups: &[Group]) -> Vec<String> {
    let waits = |group: &&Group, wait: Wait| group.stand.as_ref().is_some_and(|stand| stand.wait == wait);
    let mut findings = Vec::new();
    for server in 0..=groups.iter().filter_map(|group| group.server).max().unwrap_or(0) {
        let own: Vec<&Group> = groups.iter().filter(|group| group.server == Some(server)).collect();
        let blocked: usize =
            own.iter().filter(|group| waits(group, Wait::Lock)).map(|group| group.count).sum();
        if blocked == 0 {
            continue;
        }
        for (wait, what, fix) in [
            (Wait::Reply, "a lock held across an RPC", "Release the lock before the call."),
            (Wait::Send, "a send into a channel with the lock held", "Release the lock before the send."),
        ] {
            for Group { name, stand, .. } in own.iter().filter(|group| waits(group, wait)) {
                let Some(stand) = stand else { continue };
                let blocked = if blocked == 1 {
                    "1 thread waits".to_string()
                } else {
                    format!("{blocked} threads wait")
                };
                findings.push(format!(
                    "This looks like {what}: of server {server}, {blocked} for a lock, and \"{name}\" {stand}. {fix}"
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, server: usize, wait: Wait, line: u32, count: usize) -> Group {
        let stand = Stand { wait, file: "raft/src/raft.rs".to_string(), line, function: "f".to_string() };
        Group { name: name.to_string(), server: Some(server), stand: Some(stand), count, seconds: 1.0 }
    }

    #[test]
    fn a_lock_that_is_held_while_its_holder_waits_is_named() {
        let blocked = || group("server 1: Raft.RequestVote handler", 1, Wait::Lock, 7, 213);
        let asks = group("server 1: ticker", 1, Wait::Reply, 40, 1);
        let found = findings(&[blocked(), asks]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("This looks like a lock held across an RPC: of server 1, 213 threads"));
        assert!(
            found[0].contains("\"server 1: ticker\" waits for the reply of an RPC at raft/src/raft.rs:40")
        );
        let sends = group("server 1: applier", 1, Wait::Send, 50, 1);
        assert!(findings(&[blocked(), sends])[0].contains("a send into a channel with the lock held"));
        // Without a thread that waits for a lock, or on another server, it is usual.
        assert!(findings(&[group("server 1: ticker", 1, Wait::Reply, 40, 1)]).is_empty());
        assert!(findings(&[blocked(), group("server 2: ticker", 2, Wait::Reply, 40, 1)]).is_empty());
    }
}
