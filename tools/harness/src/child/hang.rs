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
}

impl Group {
    /// Where the group stands in the report: threads that seem to hold a lock come first, then those that wait for one, or for a
    /// channel, and clients. Servers' threads that wait for a reply come last: most likely their RPCs are to servers that are cut
    /// off.
    fn rank(&self, suspicions: &[Suspicion]) -> usize {
        let holds =
            |suspicion: &Suspicion| self.server == Some(suspicion.server) && suspicion.holder == self.name;
        match self.stand.as_ref().map(|stand| stand.wait) {
            _ if suspicions.iter().any(holds) => 0,
            Some(Wait::Lock | Wait::Send) => 1,
            Some(Wait::Reply) if self.servers.is_empty() => 2,
            Some(Wait::Reply) => 4,
            _ => 3,
        }
    }

    /// Whether a hang can be about these threads.
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
    /// The RPC with which the server's silence seems to have begun, if that was an earlier one.
    earlier: Option<Earlier>,
}

/// An RPC of a server that has ended. The server sent the next one right after it, and so on.
struct Earlier {
    to: usize,
    since: Duration,
    until: Duration,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Open { method, to, since, .. } = self;
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
    /// The RPC for whose reply the thread waits: its method, and the server. None: it waits for something else, or nothing is
    /// known of the RPC.
    rpc: Option<(String, usize)>,
    /// What happened, and when, if that is known.
    events: Vec<(Duration, String)>,
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
    let mut groups = groups();
    let suspicions = suspicions(&groups, open_rpc);
    groups.sort_by_key(|group| (group.rank(&suspicions), Reverse(group.count)));
    let mut diagnosis = String::new();
    if let Some(circle) = circle(&groups, &suspicions) {
        // Writing to a String does not fail.
        let _ = writeln!(diagnosis, "  {circle}");
    }
    for Suspicion { text, server, events, .. } in &suspicions {
        // Writing to a String does not fail.
        let _ = writeln!(diagnosis, "  {text}");
        for (at, what) in events {
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
    for group @ Group { name, servers, clients, stand, count, .. } in groups.iter().take(MOST_GROUPS) {
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
        let _ = writeln!(text, "  {threads}: {name}{of}{stand}{holder}");
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

/// Servers that wait for each other, in one sentence: each seems to hold a lock while it waits for the reply of the next one,
/// whose handler waits for the lock that the next one holds.
fn circle(groups: &[Group], suspicions: &[Suspicion]) -> Option<String> {
    let next = |server: usize| {
        let of_server = suspicions.iter().filter(move |suspicion| suspicion.server == server);
        let waits_for = of_server.filter_map(|suspicion| suspicion.rpc.as_ref());
        waits_for.into_iter().find(|(method, to)| {
            let is_blocked = |suspicion: &Suspicion| {
                let handler = format!("server {to}: {method} handler");
                let waits =
                    |group: &Group| group.name == handler && group.lock().as_ref() == Some(&suspicion.lock);
                suspicion.server == *to && groups.iter().any(waits)
            };
            suspicions.iter().any(is_blocked)
        })
    };
    for Suspicion { server: first, .. } in suspicions {
        let mut steps: Vec<(usize, &(String, usize))> = Vec::new();
        let mut server = *first;
        while let Some(step) = next(server).filter(|_| steps.len() <= suspicions.len()) {
            steps.push((server, step));
            server = step.1;
            if server != *first {
                continue;
            }
            let names: Vec<String> = steps.iter().map(|(server, _)| server.to_string()).collect();
            let wait = |(server, (method, to)): &(usize, &(String, usize))| {
                format!(
                    "server {server} waits for the {method} handler of server {to}, which waits for a lock of server {to}"
                )
            };
            let waits: Vec<String> = steps.iter().map(wait).collect();
            return Some(format!(
                "This looks like a lock held across an RPC, and a deadlock of servers {}: {}.",
                names.join(" and "),
                waits.join("; ")
            ));
        }
    }
    None
}

/// The RPC of a server for whose reply it has waited longest, while it is with its handler.
fn open_rpc(server: usize) -> Option<Open> {
    let silent = record::silent().filter(|(silent, _)| *silent == server);
    record::messages(|messages, _| {
        let is_open = |rpc: &&Rpc| {
            let is_own = matches!(messages.sender_of(rpc), Some(Sender::Server(sender)) if *sender == server);
            is_own && rpc.ended().is_none() && rpc.arrived().is_some() && rpc.answered().is_none()
        };
        let rpc = messages.iter().filter(is_open).min_by_key(|rpc| rpc.sent())?;
        let time = |micros: u32| Duration::from_micros(micros.into());
        let first = silent.and_then(|(_, since)| messages.first_in_a_row(rpc, since));
        let earlier = first.filter(|first| first.sent() < rpc.sent()).and_then(|first| {
            Some(Earlier { to: first.server?.into(), since: time(first.sent()), until: time(first.ended()?) })
        });
        Some(Open {
            method: messages.methods.get(usize::from(rpc.method))?.name.clone(),
            to: rpc.server?.into(),
            since: time(rpc.sent()),
            earlier,
        })
    })
}

/// The threads that run a task, in groups.
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
        let new = Group { name, server, servers: BTreeSet::new(), clients: BTreeSet::new(), stand, count: 0 };
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
    }
    groups.into_values().collect()
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
            let Some(stand) = &group.stand else { continue };
            let places = places(blocked);
            let number = count(blocked);
            let threads =
                if number == 1 { "1 thread waits".to_string() } else { format!("{number} threads wait") };
            let blocked = format!("of server {server}, {threads} for {name} at {places}");
            let (thread, lock) = (&group.name, lock.clone());
            if stand.wait == Wait::Send {
                let text = format!(
                    "This looks like a send into a channel with the lock held: {blocked}, and \"{thread}\" {stand}. \
                     Release the lock before the send."
                );
                let (holder, events) = (thread.clone(), Vec::new());
                suspicions.push(Suspicion { text, server, lock, holder, rpc: None, events });
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
            let mut events = Vec::new();
            if let Some(Open { method, to, since, earlier }) = &rpc {
                events.extend(earlier.as_ref().map(|Earlier { to, since, until }| {
                    let until = until.as_secs_f64();
                    let what = format!(
                        "server {server} sends {method} to server {to}, and waits for the reply until {until:.4} s, it seems \
                         with {name} held"
                    );
                    (*since, what)
                }));
                let what = format!(
                    "server {server} sends {method} to server {to}, and waits for the reply, it seems with {name} held \
                     ({}:{})",
                    at.file, at.line
                );
                events.push((*since, what));
            }
            let rpc = rpc.map(|Open { method, to, .. }| (method, to));
            suspicions.push(Suspicion { text, server, lock, holder: thread.clone(), rpc, events });
        }
    }
    suspicions
}

/// How many lines are told at which threads wait for a lock.
const MOST_PLACES: usize = 4;

/// The lines at which threads wait, the one with most of them first.
fn places(blocked: &[&Group]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for group in blocked {
        if let Some(stand) = &group.stand {
            *counts.entry(stand.at.to_string()).or_default() += group.count;
        }
    }
    let mut places: Vec<(String, usize)> = counts.into_iter().collect();
    places.sort_by_key(|(_, count)| Reverse(*count));
    let places: Vec<String> = places.into_iter().take(MOST_PLACES).map(|(place, _)| place).collect();
    places.join(" and ")
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
        Group { name: name.to_string(), server, servers, clients, stand: Some(stand), count }
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
            let ms = Duration::from_millis;
            let earlier = Some(Earlier { to: 0, since: ms(200), until: since });
            (server == 1).then(|| Open { method: "Raft.AppendEntries".to_string(), to: 2, since, earlier })
        });
        let [Suspicion { text, server: 1, events, .. }] = &found[..] else { panic!("there is one") };
        assert!(text.starts_with(
            "This looks like a lock held across an RPC: of server 1, 213 threads wait for its lock at"
        ));
        let waits = "\"server 1: ticker\" waits for the reply of Raft.AppendEntries to server 2, sent at 0.3700 s, at raft/src/raft.rs:40";
        assert!(text.contains(waits), "{text}");
        let [(began, first), (_, last)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*began, Duration::from_millis(200));
        let until = "server 1 sends Raft.AppendEntries to server 0, and waits for the reply until 0.3700 s, it seems with";
        assert!(first.starts_with(until), "{first}");
        assert!(last.starts_with("server 1 sends Raft.AppendEntries to server 2, and waits"), "{last}");
        let listed = threads(&[blocked(), group("server 2: applier", 2, Wait::Lock, 9, 1)], &found);
        assert_eq!(listed.matches("; \"server 1: ticker\" seems to hold the lock\n").count(), 1, "{listed}");
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

    #[test]
    fn each_line_at_which_threads_wait_is_told() {
        let (few, many) = (group("a", 1, Wait::Lock, 7, 1), group("b", 1, Wait::Lock, 9, 5));
        assert_eq!(places(&[&few, &many, &few]), "raft/src/raft.rs:9 f and raft/src/raft.rs:7 f");
    }

    #[test]
    fn servers_that_wait_for_each_other_are_in_a_deadlock() {
        let blocked =
            |server| group(&format!("server {server}: Raft.RequestVote handler"), server, Wait::Lock, 7, 1);
        let asks = |server| group("asks", server, Wait::Reply, 40, 1);
        let heartbeats = group("server 1: heartbeat", 1, Wait::Reply, 50, 30);
        let told = |mut groups: Vec<Group>, to: [usize; 3]| {
            let open = |server: usize| {
                let (method, since) = ("Raft.RequestVote".to_string(), Duration::ZERO);
                Some(Open { method, to: to[server], since, earlier: None })
            };
            let suspicions = suspicions(&groups, open);
            groups.sort_by_key(|group| (group.rank(&suspicions), Reverse(group.count)));
            (circle(&groups, &suspicions), threads(&groups, &suspicions))
        };
        let (circle, listed) = told(vec![heartbeats, blocked(0), asks(0), blocked(2), asks(2)], [2, 0, 0]);
        let sentence = "This looks like a lock held across an RPC, and a deadlock of servers 0 and 2: server 0 waits for the \
                        Raft.RequestVote handler of server 2, which waits for a lock of server 2; server 2 waits for the \
                        Raft.RequestVote handler of server 0, which waits for a lock of server 0.";
        assert_eq!(circle.unwrap(), sentence);
        // Those that hold the locks come first, and the heartbeats last.
        let names: Vec<&str> = listed.lines().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(names[..2], ["  1 thread: asks", "  1 thread: asks"]);
        assert_eq!(names[4], "  30 threads: server 1: heartbeat");
        // Server 2 waits for a server that is not in the circle.
        assert_eq!(told(vec![blocked(0), asks(0), blocked(2), asks(2)], [2, 0, 1]).0, None);
        // Another thread of server 2 waits for its lock, and not the handler.
        let ticker = group("server 2: ticker", 2, Wait::Lock, 7, 1);
        assert_eq!(told(vec![blocked(0), asks(0), ticker, asks(2)], [2, 0, 0]).0, None);
    }
}
