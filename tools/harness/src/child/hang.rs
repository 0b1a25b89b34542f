//! The report of a test that hangs: what its threads do and where, in groups of equal threads, and what that looks like.
//!
//! Nobody knows which thread holds a lock: parking_lot does not tell. But if threads of a server wait for a lock, while another
//! thread of the same server waits for something else in the middle of the server's code, that one most likely holds it.

use super::threads::{self, Stand, Wait};
use crate::record::{self, Rpc, Sender};
use labrpc::TaskName;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::time::Duration;

/// How many threads are asked where they are.
const MOST_ASKED: usize = 400;

/// How many groups of threads the report has.
const MOST_GROUPS: usize = 18;

/// Equal threads: they have the same name, and stand at the same line. Threads of several servers are equal if they wait for
/// nothing that another thread of the server may hold.
struct Group {
    /// The name, without its server if there are several.
    name: String,
    /// The only server of these threads.
    server: Option<usize>,
    /// All of them.
    servers: BTreeSet<usize>,
    stand: Option<Stand>,
    count: usize,
    /// For how many seconds the oldest of them has run.
    seconds: f64,
}

impl Group {
    /// The threads that a hang is about come first.
    fn is_of_interest(&self) -> bool {
        let wait = self.stand.as_ref().map(|stand| stand.wait);
        matches!(wait, Some(Wait::Lock | Wait::Reply | Wait::Send))
    }
}

/// An RPC whose caller waits.
struct Open {
    method: String,
    to: usize,
    since: Duration,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Open { method, to, since } = self;
        write!(f, "{method} to server {to}, sent at {:.4} s", since.as_secs_f64())
    }
}

/// What is probably wrong.
struct Suspicion {
    text: String,
    server: usize,
    /// When it began, and what happened then, if that is known.
    event: Option<(Duration, String)>,
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
    for Suspicion { text: why, server, event } in suspicions(&groups, open_rpc) {
        let _ = writeln!(text, "  {why}");
        if let Some((at, what)) = event {
            record::suspect(at, server, what);
        }
    }
    for Group { name, servers, stand, count, seconds, .. } in groups.iter().take(MOST_GROUPS) {
        let threads = if *count == 1 { "1 thread".to_string() } else { format!("{count} threads") };
        let of = if servers.len() < 2 {
            String::new()
        } else {
            let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
            format!(" of servers {}", servers.join(" "))
        };
        let stand = stand.as_ref().map_or(String::new(), |stand| format!("; {stand}"));
        let _ = writeln!(text, "  {threads}: {name}{of}{stand} (for {seconds:.1} s)");
    }
    if groups.len() > MOST_GROUPS {
        let left: usize = groups[MOST_GROUPS..].iter().map(|group| group.count).sum();
        let _ = writeln!(text, "  and {left} other threads");
    }
    text
}

/// The RPC of a server for whose reply it has waited longest, while it is with its handler.
fn open_rpc(server: usize) -> Option<Open> {
    record::messages(|messages, _| {
        let is_open = |rpc: &&Rpc| {
            let is_own = matches!(messages.sender_of(rpc), Some(Sender::Server(sender)) if *sender == server);
            is_own && rpc.ended().is_none() && rpc.arrived().is_some() && rpc.answered().is_none()
        };
        let rpc = messages.iter().filter(is_open).min_by_key(|rpc| rpc.sent())?;
        Some(Open {
            method: messages.methods.get(usize::from(rpc.method))?.name.clone(),
            to: rpc.server?.into(),
            since: Duration::from_micros(rpc.sent().into()),
        })
    })
}

/// The threads that run a task, in groups. Those come first that wait for a lock, a reply or a channel, and then the largest.
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
        let new = Group { name, server, servers: BTreeSet::new(), stand, count: 0, seconds: 0.0 };
        let shared = server.and_then(|server| new.name.strip_prefix(&format!("server {server}: ")));
        let shared = shared.filter(|_| !new.is_of_interest()).map(str::to_string);
        let name = shared.unwrap_or_else(|| new.name.clone());
        let key = (name.clone(), new.stand.as_ref().map_or(String::new(), Stand::to_string));
        let group = groups.entry(key).or_insert(new);
        group.servers.extend(server);
        if group.servers.len() > 1 {
            (group.name, group.server) = (name, None);
        }
        group.count += 1;
        group.seconds = group.seconds.max(task.elapsed.as_secs_f64());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| Reverse((group.is_of_interest(), group.count)));
    groups
}

/// What is probably wrong. `open` returns the RPC for whose reply a server waits.
fn suspicions(groups: &[Group], open: impl Fn(usize) -> Option<Open>) -> Vec<Suspicion> {
    let waits = |group: &&Group, wait: Wait| group.stand.as_ref().is_some_and(|stand| stand.wait == wait);
    let mut suspicions = Vec::new();
    for server in 0..=groups.iter().filter_map(|group| group.server).max().unwrap_or(0) {
        let own: Vec<&Group> = groups.iter().filter(|group| group.server == Some(server)).collect();
        let blocked = || own.iter().filter(|group| waits(group, Wait::Lock));
        let count: usize = blocked().map(|group| group.count).sum();
        let Some(lock) = blocked().max_by_key(|group| group.count).and_then(|group| group.stand.as_ref())
        else {
            continue;
        };
        let expression = threads::lock_at(&lock.file, lock.line);
        let name = expression.as_ref().map_or("its lock".to_string(), |name| format!("the lock {name}"));
        let blocked = if count == 1 { "1 thread waits".to_string() } else { format!("{count} threads wait") };
        let Stand { file, line, function, .. } = lock;
        let blocked = format!("{blocked} for {name} at {file}:{line} {function}");
        for group in own.iter().filter(|group| waits(group, Wait::Reply)) {
            let Group { name: thread, stand: Some(Stand { file, line, function, .. }), .. } = group else {
                continue;
            };
            let rpc = open(server);
            let reply = rpc.as_ref().map_or("an RPC".to_string(), Open::to_string);
            let text = format!(
                "This looks like a lock held across an RPC: of server {server}, {blocked}, and \"{thread}\" waits for the \
                 reply of {reply}, at {file}:{line} {function}. Release the lock before the call."
            );
            let event = rpc.map(|Open { method, to, since }| {
                let what = format!(
                    "server {server} sends {method} to server {to}, and waits for the reply, it seems with {name} held \
                     ({file}:{line})"
                );
                (since, what)
            });
            suspicions.push(Suspicion { text, server, event });
        }
        for group in own.iter().filter(|group| waits(group, Wait::Send)) {
            let Group { name: thread, stand: Some(stand), .. } = group else { continue };
            let text = format!(
                "This looks like a send into a channel with the lock held: of server {server}, {blocked}, and \"{thread}\" \
                 {stand}. Release the lock before the send."
            );
            suspicions.push(Suspicion { text, server, event: None });
        }
    }
    suspicions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, server: usize, wait: Wait, line: u32, count: usize) -> Group {
        let stand = Stand { wait, file: "raft/src/raft.rs".to_string(), line, function: "f".to_string() };
        let (server, servers) = (Some(server), BTreeSet::from([server]));
        Group { name: name.to_string(), server, servers, stand: Some(stand), count, seconds: 1.0 }
    }

    #[test]
    fn a_lock_that_is_held_while_its_holder_waits_is_named() {
        let blocked = || group("server 1: Raft.RequestVote handler", 1, Wait::Lock, 7, 213);
        let asks = group("server 1: ticker", 1, Wait::Reply, 40, 1);
        let found = suspicions(&[blocked(), asks], |server| {
            let since = Duration::from_millis(370);
            (server == 1).then(|| Open { method: "Raft.AppendEntries".to_string(), to: 2, since })
        });
        let [Suspicion { text, server: 1, event: Some((_, event)) }] = &found[..] else {
            panic!("there is one, with an event")
        };
        assert!(text.starts_with(
            "This looks like a lock held across an RPC: of server 1, 213 threads wait for its lock at"
        ));
        let waits = "\"server 1: ticker\" waits for the reply of Raft.AppendEntries to server 2, sent at 0.3700 s, at raft/src/raft.rs:40";
        assert!(text.contains(waits), "{text}");
        assert!(event.starts_with("server 1 sends Raft.AppendEntries to server 2, and waits"), "{event}");
        let found = |groups: &[Group]| suspicions(groups, |_| None);
        let sends = group("server 1: applier", 1, Wait::Send, 50, 1);
        assert!(found(&[blocked(), sends])[0].text.contains("a send into a channel with the lock held"));
        // Without a thread that waits for a lock, or on another server, it is usual.
        assert!(found(&[group("server 1: ticker", 1, Wait::Reply, 40, 1)]).is_empty());
        assert!(found(&[blocked(), group("server 2: ticker", 2, Wait::Reply, 40, 1)]).is_empty());
    }
}
