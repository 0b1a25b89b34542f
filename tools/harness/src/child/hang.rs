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
    /// The numbers of these threads, if they are clients.
    clients: BTreeSet<usize>,
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

    /// The lock for which these threads wait.
    fn lock(&self) -> Option<Lock> {
        let stand = self.stand.as_ref().filter(|stand| stand.wait == Wait::Lock)?;
        Some(Lock { file: stand.at.file.clone(), name: threads::lock_at(&stand.at.file, stand.at.line) })
    }

    /// Whether these threads are in code of the file that takes a lock.
    fn has_been_in(&self, lock: &Lock) -> bool {
        self.stand.as_ref().is_some_and(|stand| stand.lines().any(|line| line.file == lock.file))
    }
}

/// A lock, as a file of the lab names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Lock {
    file: String,
    /// "self.state"; None: the line that takes it does not say.
    name: Option<String>,
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
    lock: Lock,
    /// The thread that seems to hold the lock.
    holder: String,
    /// When it began, and what happened then, if that is known.
    event: Option<(Duration, String)>,
}

/// The report, in two parts. Each line ends with a line break.
pub(super) struct Report {
    /// What is probably wrong. This comes first: a reader may see no more than the first lines of a failure.
    pub(super) diagnosis: String,
    /// What the threads of labrpc's pool do.
    pub(super) threads: String,
}

/// What the threads of labrpc's pool do, and what that looks like.
pub(super) fn report() -> Report {
    let groups = groups();
    let suspicions = suspicions(&groups, open_rpc);
    let mut diagnosis = String::new();
    for Suspicion { text, server, event, .. } in &suspicions {
        // Writing to a String does not fail.
        let _ = writeln!(diagnosis, "  {text}");
        if let Some((at, what)) = event {
            record::suspect(*at, *server, what.clone());
        }
    }
    if let Some((server, since)) = record::silent() {
        let seconds = (record::elapsed() - since).as_secs_f64();
        // Writing to a String does not fail.
        let _ = writeln!(diagnosis, "  server {server} has not answered get_state() for {seconds:.1} s");
    }
    Report { diagnosis, threads: threads(&groups, &suspicions) }
}

fn threads(groups: &[Group], suspicions: &[Suspicion]) -> String {
    let mut text = String::new();
    for group @ Group { name, servers, clients, stand, count, seconds, .. } in groups.iter().take(MOST_GROUPS)
    {
        let threads = if *count == 1 { "1 thread".to_string() } else { format!("{count} threads") };
        let joined =
            |numbers: &BTreeSet<usize>| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let of = match (servers.len(), clients.len()) {
            (2.., _) => format!(" of servers {}", joined(servers)),
            (_, 2..) => format!(" {}", joined(clients)),
            _ => String::new(),
        };
        let stand = stand.as_ref().map_or(String::new(), |stand| format!("; {stand}"));
        let holder = holder_of(group, groups, suspicions).map_or(String::new(), |holder| {
            let another = if holder == name { "another " } else { "" };
            format!("; {another}\"{holder}\" seems to hold the lock")
        });
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {threads}: {name}{of}{stand}{holder} (for {seconds:.1} s)");
    }
    if groups.len() > MOST_GROUPS {
        let left: usize = groups[MOST_GROUPS..].iter().map(|group| group.count).sum();
        let _ = writeln!(text, "  and {left} other threads");
    }
    text
}

/// The thread that seems to hold the lock for which a group waits: the only one of the server that can be it.
fn holder_of<'a>(group: &Group, groups: &'a [Group], suspicions: &'a [Suspicion]) -> Option<&'a str> {
    let lock = group.lock()?;
    let is_it = |suspicion: &&Suspicion| group.server == Some(suspicion.server) && suspicion.lock == lock;
    let suspects = suspicions.iter().filter(is_it).map(|suspicion| &*suspicion.holder);
    // A thread that waits for a second lock holds the first.
    let has_it = |other: &&Group| {
        other.server == group.server
            && other.lock().is_some_and(|second| second != lock)
            && other.has_been_in(&lock)
    };
    let mut holders = suspects.chain(groups.iter().filter(has_it).map(|other| &*other.name));
    holders.next().filter(|_| holders.next().is_none())
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
        .filter_map(|((i, _), places)| Some((*i, threads::stand_in_the_lab(&places, tasks[*i].started_at)?)))
        .collect();
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for (i, task) in tasks.into_iter().enumerate() {
        let stand = stands.remove(&i);
        let (name, server) = (task.name.to_string(), TaskName::server(&task.name));
        let new = Group {
            name,
            server,
            servers: BTreeSet::new(),
            clients: BTreeSet::new(),
            stand,
            count: 0,
            seconds: 0.0,
        };
        let shared = server.and_then(|server| new.name.strip_prefix(&format!("server {server}: ")));
        let shared = shared.filter(|_| !new.is_of_interest());
        // "client thread 3"
        let client = new.name.rsplit_once(' ').filter(|_| server.is_none());
        let client = client.and_then(|(name, number)| Some((name, number.parse::<usize>().ok()?)));
        let name = shared.or(client.map(|(name, _)| name)).unwrap_or(&new.name).to_string();
        let client = client.map(|(_, number)| number);
        let key = (name.clone(), new.stand.as_ref().map_or(String::new(), Stand::to_string));
        let group = groups.entry(key).or_insert(new);
        group.servers.extend(server);
        if group.servers.len() > 1 {
            (group.name, group.server) = (name.clone(), None);
        }
        group.clients.extend(client);
        if group.clients.len() > 1 {
            group.name = name;
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
        let mut locks: BTreeMap<Lock, Vec<&Group>> = BTreeMap::new();
        for group in &own {
            if let Some(lock) = group.lock() {
                locks.entry(lock).or_default().push(group);
            }
        }
        for group in own.iter().filter(|group| waits(group, Wait::Reply) || waits(group, Wait::Send)) {
            // The lock that most threads wait for, of those that can be taken in the code in which this thread is.
            let count = |blocked: &[&Group]| blocked.iter().map(|group| group.count).sum::<usize>();
            let near = |(lock, _): &(&Lock, &Vec<&Group>)| group.has_been_in(lock);
            let Some((lock, blocked)) = locks.iter().max_by_key(|of| (near(of), count(of.1))) else {
                continue;
            };
            let name = lock.name.as_ref().map_or("its lock".to_string(), |name| format!("the lock {name}"));
            let (Some(first), Some(stand)) = (
                blocked.iter().max_by_key(|group| group.count).and_then(|group| group.stand.as_ref()),
                &group.stand,
            ) else {
                continue;
            };
            let number = count(blocked);
            let threads =
                if number == 1 { "1 thread waits".to_string() } else { format!("{number} threads wait") };
            let blocked = format!("of server {server}, {threads} for {name} at {}", first.at);
            let (thread, lock) = (&group.name, lock.clone());
            if stand.wait == Wait::Send {
                let text = format!(
                    "This looks like a send into a channel with the lock held: {blocked}, and \"{thread}\" {stand}. \
                     Release the lock before the send."
                );
                suspicions.push(Suspicion { text, server, lock, holder: thread.clone(), event: None });
                continue;
            }
            let at = &stand.at;
            let rpc = open(server);
            let reply = rpc.as_ref().map_or("an RPC".to_string(), Open::to_string);
            let from =
                stand.callers().next().map_or(String::new(), |caller| format!(", called from {caller}"));
            let text = format!(
                "This looks like a lock held across an RPC: {blocked}, and \"{thread}\" waits for the reply of {reply}, at \
                 {at}{from}. Release the lock before the call."
            );
            let event = rpc.map(|Open { method, to, since }| {
                let what = format!(
                    "server {server} sends {method} to server {to}, and waits for the reply, it seems with {name} held \
                     ({}:{})",
                    at.file, at.line
                );
                (since, what)
            });
            suspicions.push(Suspicion { text, server, lock, holder: thread.clone(), event });
        }
    }
    suspicions
}

#[cfg(test)]
mod tests {
    use super::super::threads::Line;
    use super::*;

    fn line(file: &str, line: u32) -> Line {
        Line { file: file.to_string(), line, function: "f".to_string() }
    }

    fn group(name: &str, server: usize, wait: Wait, at: u32, count: usize) -> Group {
        let stand = Stand::new(wait, line("raft/src/raft.rs", at), Vec::new());
        let (server, servers, clients) = (Some(server), BTreeSet::from([server]), BTreeSet::new());
        Group { name: name.to_string(), server, servers, clients, stand: Some(stand), count, seconds: 1.0 }
    }

    #[test]
    fn the_holder_of_each_of_two_locks_is_named() {
        let in_service =
            |wait, at, callers| Some(Stand::new(wait, line("kvraft/src/server.rs", at), callers));
        let waits = Group {
            stand: in_service(Wait::Lock, 2, Vec::new()),
            ..group("server 2: KVServer.PutAppend handler", 2, Wait::Lock, 0, 4)
        };
        // It has the service's lock, and waits for Raft's.
        let second =
            Stand::new(Wait::Lock, line("raft/src/raft.rs", 8), vec![line("kvraft/src/server.rs", 3)]);
        let has =
            Group { stand: Some(second), ..group("server 2: KVServer.Get handler", 2, Wait::Lock, 0, 1) };
        let asks = group("server 2: raft main loop", 2, Wait::Reply, 9, 1);
        let groups = [waits, has, asks];
        let found = suspicions(&groups, |_| None);
        let [Suspicion { text, .. }] = &found[..] else { panic!("there is one") };
        assert!(
            text.contains("of server 2, 1 thread waits for its lock at raft/src/raft.rs:8 f, and"),
            "{text}"
        );
        let listed = threads(&groups, &found);
        let [waits, mut has, asks] = groups;
        has.name = waits.name.clone();
        let alike = threads(&[waits, has, asks], &found);
        let another =
            "server.rs:2 f; another \"server 2: KVServer.PutAppend handler\" seems to hold the lock";
        assert!(alike.contains(another), "{alike}");
        let held = [
            "server.rs:2 f; \"server 2: KVServer.Get handler\" seems to hold the lock",
            "called from kvraft/src/server.rs:3 f; \"server 2: raft main loop\" seems to hold the lock",
        ];
        assert!(held.iter().all(|held| listed.contains(held)), "{listed}");
    }

    #[test]
    fn a_lock_that_is_held_while_its_holder_waits_is_named() {
        let blocked = || group("server 1: Raft.RequestVote handler", 1, Wait::Lock, 7, 213);
        let asks = || group("server 1: ticker", 1, Wait::Reply, 40, 1);
        let found = suspicions(&[blocked(), asks()], |server| {
            let since = Duration::from_millis(370);
            (server == 1).then(|| Open { method: "Raft.AppendEntries".to_string(), to: 2, since })
        });
        let [Suspicion { text, server: 1, event: Some((_, event)), .. }] = &found[..] else {
            panic!("there is one, with an event")
        };
        assert!(text.starts_with(
            "This looks like a lock held across an RPC: of server 1, 213 threads wait for its lock at"
        ));
        let waits = "\"server 1: ticker\" waits for the reply of Raft.AppendEntries to server 2, sent at 0.3700 s, at raft/src/raft.rs:40";
        assert!(text.contains(waits), "{text}");
        assert!(event.starts_with("server 1 sends Raft.AppendEntries to server 2, and waits"), "{event}");
        let listed = threads(&[blocked(), group("server 2: applier", 2, Wait::Lock, 9, 1)], &found);
        assert_eq!(
            listed.matches("; \"server 1: ticker\" seems to hold the lock (for").count(),
            1,
            "{listed}"
        );
        let twice: Vec<Suspicion> =
            [found, suspicions(&[blocked(), asks()], |_| None)].into_iter().flatten().collect();
        assert!(!threads(&[blocked()], &twice).contains("seems"), "it may be one or the other");
        let found = |groups: &[Group]| suspicions(groups, |_| None);
        let sends = group("server 1: applier", 1, Wait::Send, 50, 1);
        assert!(found(&[blocked(), sends])[0].text.contains("a send into a channel with the lock held"));
        // Without a thread that waits for a lock, or on another server, it is usual.
        assert!(found(&[group("server 1: ticker", 1, Wait::Reply, 40, 1)]).is_empty());
        assert!(found(&[blocked(), group("server 2: ticker", 2, Wait::Reply, 40, 1)]).is_empty());
    }
}
