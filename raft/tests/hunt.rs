//! `make hunt LAB=2`: hunts for bugs of Raft alone. Clients start commands on whoever leads, while servers crash and the
//! network fails; every command that a server applies is checked.

use crossbeam_channel::{Receiver, Sender, bounded, select};
use harness::Task;
use harness::record::{self, on_server};
use hunt::{Cluster, Demand, Host, Instance, Life, POLL, Prey, Run};
use labrpc::{ClientEnd, Server, make_service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft};
use rand::RngExt;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    static PREY: Prey = Prey { test: ("hunt_raft", hunt_raft), lab: "LAB=2", lab_with_snapshots: None };
    hunt::main(&PREY)
}

/// How many times, after the faults, the servers must agree on a few commands that follow each other closely.
const LAST_ROUNDS: usize = 10;

/// The commands are numbers.
type Command = i64;

fn hunt_raft() {
    let ledger = Arc::new(Ledger::default());
    let host = Rafts { ledger: ledger.clone(), over: bounded(0) };
    let run = Run::begin(host, hunt::scenario(), "Hunt: Raft");
    let cluster = run.cluster.clone();
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<Task<()>> = (0..cluster.scenario.clients)
        .map(|number| {
            let (cluster, ledger, over) = (cluster.clone(), ledger.clone(), over.clone());
            harness::spawn_client(format!("client {number}"), move || {
                work(&Client { cluster: &cluster, ledger: &ledger, number }, &over);
            })
        })
        .collect();
    run.disturb();
    over.store(true, Ordering::SeqCst);
    clients.into_iter().for_each(Task::wait);
    if cluster.scenario.clients == 0 {
        // There is only the question whether another server leads when a leader is cut off.
        run.with_each_majority(|| ());
        run.end();
        return;
    }

    let client = Client { cluster: &cluster, ledger: &ledger, number: cluster.scenario.clients };
    let mut count = 0;
    // Starts commands, some of them just before the last one, and waits until all servers have applied the last one.
    // Returns how long it takes until the leader has applied it.
    let mut agree = |just_before: usize| {
        let mut next = || {
            count += 1;
            client.command(count)
        };
        for _ in 0..just_before {
            client.start(next(), None);
            sleep(Duration::from_micros(rand::rng().random_range(0..10_000)));
        }
        let command = next();
        let begun = Instant::now();
        let mut attempt: Option<Started> = None;
        let mut took = None;
        let agrees = || {
            // A leader that has lost its role may have lost the command. Start the command again then.
            let is_lost = |started: &Started| cluster.state(started.server) != Some((started.term, true));
            if attempt.as_ref().is_none_or(is_lost) {
                attempt = client.start(command, None);
            }
            let Some(Started { server, ref life, index, .. }) = attempt else { return false };
            if ledger.applied(server, life, index).is_some() {
                took.get_or_insert(begun.elapsed());
            }
            ledger.is_applied_by_all(index, command, cluster.n)
        };
        run.soon(agrees, || format!("not all servers apply a new command: {}", ledger.describe(cluster.n)));
        took.unwrap_or_else(|| begun.elapsed())
    };
    // A server may miss what comes while it is about to wait, and only the last command of several shows that: nothing comes
    // after it.
    for _ in 0..LAST_ROUNDS {
        agree(rand::rng().random_range(0..4));
    }
    run.check_speed(|| agree(0));
    run.end();
}

/// How Raft servers are started.
struct Rafts {
    ledger: Arc<Ledger>,
    /// The threads that read apply channels end when the sender is dropped.
    over: (Sender<()>, Receiver<()>),
}

/// A Raft server.
struct RaftInstance(Arc<Raft>);

impl Host for Rafts {
    type Disk = Persister;
    type Instance = RaftInstance;

    fn copy(disk: &Persister) -> Persister {
        disk.copy()
    }

    fn on_save(
        disk: &Persister,
        before: impl Fn() + Send + Sync + 'static,
        after: impl Fn() + Send + Sync + 'static,
    ) {
        disk.before_save(before);
        disk.after_save(after);
    }

    fn start(&self, i: usize, ends: Vec<ClientEnd>, disk: Arc<Persister>, life: Life) -> RaftInstance {
        let (apply_ch, applied) = bounded(0);
        let (ledger, over) = (self.ledger.clone(), self.over.1.clone());
        ledger.begin(i);
        labrpc::go(format!("server {i}: apply reader"), move || ledger.read(i, &life, &applied, &over));
        RaftInstance(Raft::make(ends, i, disk, apply_ch))
    }
}

impl Instance for RaftInstance {
    fn state(&self) -> (u64, bool) {
        self.0.get_state()
    }

    fn server(&self) -> Server {
        let mut server = Server::new();
        server.add_service(make_service(self.0.clone()));
        server
    }

    fn kill(&self) {
        self.0.kill();
    }
}

/// What the servers have applied, and what clients were told.
#[derive(Default)]
struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// The command at each index, and the server that applied it first.
    first: BTreeMap<usize, (Command, usize)>,
    /// For each server, the last index that it has applied since its start.
    last: BTreeMap<usize, usize>,
    started: HashSet<Command>,
    /// What happened with each index, for the story of a failure.
    events: BTreeMap<usize, Vec<(Duration, String)>>,
    /// The highest index that a client was told is committed, and the highest term at which that may have happened.
    told: Option<(usize, u64)>,
}

impl Entries {
    fn note(&mut self, index: usize, what: String) {
        self.events.entry(index).or_default().push((harness::elapsed(), what));
    }

    /// Fails because of what a server did at an index. The story tells what happened with `about`.
    fn fail(&mut self, server: usize, about: usize, message: &str) -> ! {
        for (at, what) in self.events.remove(&about).unwrap_or_default() {
            record::note_late(at, what);
        }
        record::about_server(server);
        harness::fail(message)
    }
}

impl Ledger {
    /// Notes that a server starts: it applies all commands anew.
    fn begin(&self, server: usize) {
        self.0.lock().last.insert(server, 0);
    }

    /// Reads a server's apply channel, until all senders or those of `over` are dropped. What a killed server still sends is
    /// received too, and ignored: in Go, too, somebody receives from the channel of a killed server.
    fn read(&self, server: usize, life: &Life, applied: &Receiver<ApplyMsg>, over: &Receiver<()>) {
        loop {
            select! {
                recv(applied) -> msg => match msg {
                    Ok(msg) if msg.command_valid => self.apply(server, life, &msg),
                    Ok(_) => {}
                    Err(_) => return,
                },
                recv(over) -> _ => return,
            }
        }
    }

    fn apply(&self, server: usize, life: &Life, msg: &ApplyMsg) {
        let entries = &mut *self.0.lock();
        if !life.goes_on() {
            return;
        }
        let index = msg.command_index;
        let command: Command = labgob::decode(&msg.command).unwrap_or_else(|e| {
            let message =
                format!("Validity: server {server} applies at index {index} what is no command: {e}");
            entries.fail(server, index, &message)
        });
        record::applied(server, format!("apply index {index}: {command}"));
        entries.note(index, format!("server {server} applies {command} at index {index}"));
        if !entries.started.contains(&command) {
            let message = format!(
                "Validity: server {server} applies at index {index} the command {command}, which nobody started"
            );
            entries.fail(server, index, &message);
        }
        let last = entries.last.insert(server, index).unwrap_or(0);
        if index != last + 1 {
            let message = format!(
                "Order: server {server} applies index {index} after index {last}; each index must follow the one \
                 before, from 1 on after each start"
            );
            entries.fail(server, index, &message);
        }
        let (first, by) = *entries.first.entry(index).or_insert((command, server));
        if first != command {
            let message = format!(
                "State Machine Safety: server {server} applies {command} at index {index}, and server {by} has \
                 applied {first} there"
            );
            entries.fail(server, index, &message);
        }
    }

    /// The command that a server has applied at `index` in this life.
    fn applied(&self, server: usize, life: &Life, index: usize) -> Option<Command> {
        let entries = self.0.lock();
        let is_applied = life.goes_on() && *entries.last.get(&server)? >= index;
        entries.first.get(&index).filter(|_| is_applied).map(|(command, _)| *command)
    }

    fn is_applied_by_all(&self, index: usize, command: Command, n: usize) -> bool {
        let entries = self.0.lock();
        let has_applied = |server: usize| entries.last.get(&server).is_some_and(|last| *last >= index);
        entries.first.get(&index).is_some_and(|(first, _)| *first == command) && (0..n).all(has_applied)
    }

    fn describe(&self, n: usize) -> String {
        let entries = self.0.lock();
        let server = |i: usize| format!("server {i} has applied {}", entries.last.get(&i).unwrap_or(&0));
        (0..n).map(server).collect::<Vec<_>>().join(", ")
    }

    /// Notes that a leader has put a command at `index`. Checks that a leader's log holds all committed entries.
    fn start(&self, server: usize, command: Command, index: usize, term: u64) {
        let entries = &mut *self.0.lock();
        entries.note(index, format!("server {server} puts {command} at index {index} in term {term}"));
        if let Some((committed, by)) = entries.told
            && term > by
            && index <= committed
        {
            let message = format!(
                "Leader Completeness: the entry at index {committed} was committed by term {by}, and server {server}, \
                 leader of term {term}, puts a new entry at index {index}"
            );
            entries.fail(server, committed, &message);
        }
    }

    /// Notes that a client was told that its command at `index` is committed. `term`: the term, after that, of the server
    /// that has applied the command.
    fn tell(&self, index: usize, term: u64) {
        let told = &mut self.0.lock().told;
        if told.is_none_or(|(highest, _)| index > highest) {
            *told = Some((index, term));
        }
    }
}

struct Client<'a> {
    cluster: &'a Arc<Cluster<Rafts>>,
    ledger: &'a Ledger,
    number: usize,
}

/// A command that a leader has accepted.
struct Started {
    server: usize,
    life: Life,
    index: usize,
    term: u64,
}

impl Client<'_> {
    /// This client's command number `n`.
    fn command(&self, n: usize) -> Command {
        (self.number as i64 + 1) * 10_000 + n as i64
    }

    /// Starts a command on a server that says that it leads: on `first` if it does.
    fn start(&self, command: Command, first: Option<usize>) -> Option<Started> {
        self.ledger.0.lock().started.insert(command);
        let mut servers: Vec<usize> = (0..self.cluster.n).collect();
        servers.shuffle(&mut rand::rng());
        servers.sort_by_key(|server| first != Some(*server));
        servers.into_iter().find_map(|server| {
            let (instance, life) = self.cluster.living(server)?;
            let (index, term, is_leader) = on_server(server, || instance.0.start(&command));
            if !is_leader || !life.goes_on() {
                return None;
            }
            record::started(server, format!("start({command}) = index {index}, term {term}"));
            self.cluster.note_leader(server, term);
            self.ledger.start(server, command, index, term);
            Some(Started { server, life, index, term })
        })
    }

    /// Waits until the leader has applied a command, but not for long.
    fn wait(&self, Started { server, life, index, .. }: &Started, command: Command) {
        let limit = Duration::from_millis(rand::rng().random_range(1..300));
        let begun = Instant::now();
        while begun.elapsed() < limit && life.goes_on() {
            match self.ledger.applied(*server, life, *index) {
                None => sleep(POLL),
                Some(applied) if applied != command => return,
                Some(_) => {
                    if let Some((term, _)) = self.cluster.state(*server) {
                        self.ledger.tell(*index, term);
                    }
                    return;
                }
            }
        }
    }
}

/// Starts commands, one or a few at a time, until `over`.
fn work(client: &Client<'_>, over: &AtomicBool) {
    let mut count = 0;
    while !over.load(Ordering::SeqCst) {
        let (on, batch) = match client.cluster.demand() {
            Demand::Quiet => {
                sleep(Duration::from_millis(3));
                continue;
            }
            Demand::Rush { server, commands } => (Some(server), commands),
            // Now and then a leader gets many commands at once: its log becomes longer than the one of its successor.
            Demand::Usual => match rand::rng().random_range(0..32) {
                0..2 => (None, rand::rng().random_range(10..60)),
                2..10 => (None, rand::rng().random_range(2..8)),
                _ => (None, 1),
            },
        };
        let mut last: Option<Started> = None;
        for _ in 0..batch {
            count += 1;
            let on = last.as_ref().map(|last| last.server).or(on);
            last = client.start(client.command(count), on);
        }
        match last {
            Some(started) => client.wait(&started, client.command(count)),
            None => sleep(Duration::from_millis(10)),
        }
        sleep(Duration::from_micros(rand::rng().random_range(0..30_000)));
    }
}
