//! The threads that are left when a test has killed its servers and cleaned up its network.
//!
//! In Go a killed server's goroutines may stay until the process ends. Here they are named in a warning. `LAB_STRICT=1`, and
//! the lab's extra tests, make it a failure.

use super::threads;
use labrpc::TaskName;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::{Duration, Instant};

/// Words of the warning, and of the failure of a strict test, that threads are left.
pub const WORDS: &str = "after all servers were killed and the network was cleaned up";

/// How many of the threads are asked where they are.
const MOST_ASKED: usize = 200;

/// How many kinds of threads a message names.
const MOST_KINDS: usize = 20;

/// The harness's own threads.
pub(super) struct Own {
    ids: BTreeSet<usize>,
}

impl Own {
    /// The threads that run now. Call this before the test starts.
    pub(super) fn now() -> Own {
        Own { ids: threads::all().into_iter().map(|(id, _)| id).collect() }
    }

    /// Waits for the test's threads to end or to return to labrpc's pool; returns those that do not. None: there are none.
    pub(super) fn wait_for_the_others(&self, grace: Duration) -> Option<Leftovers> {
        let deadline = Instant::now() + grace;
        let mut left = self.others();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            left = self.others();
        }
        (!left.is_empty()).then(|| Leftovers::of(left, grace))
    }

    fn others(&self) -> Vec<Left> {
        let before = labrpc::running();
        let mut threads: BTreeMap<usize, String> =
            threads::all().into_iter().filter(|(id, _)| !self.ids.contains(id)).collect();
        // A thread without a name inherits the name of the thread that starts it. Of two threads with the name of one of
        // the pool's threads, the older one is the pool's.
        let mut pool = BTreeMap::new();
        threads.retain(|id, name| match labrpc_number(name) {
            Some(number) if !pool.contains_key(&number) => {
                pool.insert(number, *id);
                false
            }
            _ => true,
        });
        // A task may have ended just now, and may have started a thread that came too late for the list of threads. While a
        // task was running on either side of that list, there is something left.
        let after = labrpc::running();
        let running = if after.is_empty() { before } else { after };
        let tasks = running.into_iter().map(|task| Left {
            id: pool.get(&task.worker).copied(),
            started_at: task.started_at,
            name: Name::Task(task.name),
        });
        let others = threads.into_iter();
        let others =
            others.map(|(id, name)| Left { id: Some(id), name: Name::Thread(name), started_at: None });
        tasks.chain(others).collect()
    }
}

/// The number of the thread of labrpc's pool that has this name. `labrpc::running` lists the tasks on those threads.
fn labrpc_number(name: &str) -> Option<usize> {
    let number = name.strip_prefix("labrpc-")?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())?
}

/// A thread that was left behind.
struct Left {
    /// The number by which the simulator or the kernel knows it; None where nobody knows it.
    id: Option<usize>,
    name: Name,
    /// The `labrpc::go` that started it.
    started_at: Option<&'static Location<'static>>,
}

enum Name {
    /// One of labrpc's threads, with the task that it runs.
    Task(TaskName),
    /// Any other thread, with its name.
    Thread(String),
}

impl Name {
    fn server(&self) -> Option<usize> {
        match self {
            Name::Task(name) => name.server(),
            Name::Thread(_) => None,
        }
    }

    /// The name without the server's number.
    fn purpose(&self) -> String {
        match self {
            Name::Task(TaskName::Handler { svc_meth, .. }) => svc_meth.to_string(),
            Name::Task(TaskName::OfServer { purpose, .. }) => purpose.clone(),
            Name::Task(name @ TaskName::Other(_)) => name.to_string(),
            Name::Thread(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Task(name) => name.fmt(f),
            Name::Thread(name) => write!(f, "{name} (started by std::thread)"),
        }
    }
}

/// Threads that were left behind and are equal, but for their servers.
struct Kind {
    /// The name of the first.
    name: String,
    count: usize,
    servers: BTreeSet<usize>,
    /// What they do, and where; empty if that is not known.
    stand: String,
}

/// All threads that were left behind.
pub(super) struct Leftovers {
    count: usize,
    kinds: Vec<Kind>,
    grace: Duration,
    /// The server of the first of them that works for one.
    pub(super) server: Option<usize>,
}

impl Leftovers {
    fn of(left: Vec<Left>, grace: Duration) -> Leftovers {
        let ids: Vec<usize> = left.iter().filter_map(|left| left.id).take(MOST_ASKED).collect();
        let mut places = ids.iter().copied().zip(sim::whereabouts(&ids)).collect::<BTreeMap<_, _>>();
        let mut kinds: Vec<(String, Kind)> = Vec::new();
        let (count, server) = (left.len(), left.iter().find_map(|left| left.name.server()));
        for Left { id, name, started_at } in left {
            let places = id.and_then(|id| places.remove(&id)).unwrap_or_default();
            let stand = threads::stand_in_the_lab(&places, started_at)
                .map(|stand| format!("it {stand}"))
                .or_else(|| {
                    started_at
                        .map(|at| format!("started at {}:{}", threads::short(at.file().as_ref()), at.line()))
                });
            let stand = stand.unwrap_or_default();
            let key = format!("{}\n{stand}", name.purpose());
            let i = kinds.iter().position(|(other, _)| *other == key).unwrap_or_else(|| {
                let kind = Kind { name: name.to_string(), count: 0, servers: BTreeSet::new(), stand };
                kinds.push((key, kind));
                kinds.len() - 1
            });
            let kind = &mut kinds[i].1;
            kind.count += 1;
            kind.servers.extend(name.server());
        }
        Leftovers { count, kinds: kinds.into_iter().map(|(_, kind)| kind).collect(), grace, server }
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let are = if self.count == 1 { "1 thread is".into() } else { format!("{} threads are", self.count) };
        let after = self.grace.as_secs();
        write!(f, "{are} left {after} s {WORDS}:")?;
        for kind in self.kinds.iter().take(MOST_KINDS) {
            write!(f, "\n  {kind}")?;
        }
        if let more @ 1.. = self.kinds.len().saturating_sub(MOST_KINDS) {
            write!(f, "\n  and {more} other kinds of threads")?;
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.count > 1 {
            write!(f, " ({} such threads", self.count)?;
            if self.servers.len() > 1 {
                let servers: Vec<String> = self.servers.iter().map(usize::to_string).collect();
                write!(f, ", of servers {}", servers.join(", "))?;
            }
            f.write_char(')')?;
        }
        if self.stand.is_empty() { Ok(()) } else { write!(f, "; {}", self.stand) }
    }
}
