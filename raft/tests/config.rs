//! Support for Raft's tests: makes, crashes, restarts, connects and checks servers (Go: config.go).

use crossbeam_channel::{Receiver, Select, Sender, bounded, select, unbounded};
use harness::PassedLine;
use harness::record::{self, on_server};
use labrpc::{ClientEnd, Latency, Network, Server, make_service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft};
use rand::RngExt;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The commands of these tests are numbers.
pub type Command = i64;

/// How long `one` keeps trying.
const ONE_LIMIT: Duration = Duration::from_secs(10);

/// How long `one` waits for an agreement before it starts the command again.
const ONE_TRY: Duration = Duration::from_secs(2);

/// What failures break, with its place in the Raft paper.
const ELECTION_SAFETY: &str = "Election Safety (Figure 3 of the Raft paper)";
const STATE_MACHINE_SAFETY: &str = "State Machine Safety (Figure 3 of the Raft paper)";
const IN_ORDER: &str = "All Servers, rule 1 (Figure 2 of the Raft paper)";

/// Receives what one instance of a server sends into its apply channel.
pub type Service = Box<dyn FnMut(&ApplyMsg) + Send>;

/// Makes the service for a new instance of the server of this number.
pub type MakeService = fn(usize, &Arc<Logs>, &Weak<Config>) -> Service;

/// The servers of one test and their network. Several threads may call the methods at once.
pub struct Config {
    pub n: usize,
    net: Network,
    /// The servers. No thread holds this lock while it calls into a server.
    servers: Mutex<Vec<Peer>>,
    /// The commands that each server has applied, by index. A crash does not clear them.
    logs: Arc<Logs>,
    make_service: MakeService,
    /// Takes the apply channels of servers that were killed. None: the test has cleaned up.
    drained: Mutex<Option<Sender<Receiver<ApplyMsg>>>>,
    /// This value itself, for the services.
    this: Weak<Config>,
    begun: Mutex<Begun>,
    /// For each term, the server that was seen to lead in it. A crash does not clear this.
    leaders: Mutex<HashMap<u64, usize>>,
    /// How many ends were made. This number makes the name of each end unique.
    ends: AtomicUsize,
}

#[derive(Default)]
struct Peer {
    /// None: the server is crashed.
    raft: Option<Arc<Raft>>,
    connected: bool,
    saved: Arc<Persister>,
    /// The names of the ends through which the server sends.
    ends: Vec<String>,
    reader: Option<Reader>,
}

/// A thread that reads the apply channel of a server.
struct Reader {
    /// The thread ends when this is dropped.
    alive: Sender<()>,
    /// Receives the apply channel when the thread ends.
    ended: Receiver<Receiver<ApplyMsg>>,
}

/// The time of `begin`, and the counts at that time. `end` compares with them.
struct Begun {
    at: Instant,
    rpcs: usize,
    max_index: usize,
}

/// What the servers have applied.
#[derive(Default)]
pub struct Logs {
    applied: Mutex<Vec<HashMap<usize, Command>>>,
    max_index: AtomicUsize,
}

impl Config {
    pub fn new(n: usize, unreliable: bool) -> Arc<Config> {
        Config::with_services(n, unreliable, |server, logs, _| {
            let logs = logs.clone();
            Box::new(move |msg| logs.check(server, msg))
        })
    }

    /// As `new`, with other services. Go's Raft tests of 2018 have no such function.
    pub fn with_services(n: usize, unreliable: bool, make_service: MakeService) -> Arc<Config> {
        record::servers(n);
        record::unreliable(unreliable);
        let net = Network::new();
        net.reliable(!unreliable);
        net.latency(harness::latency());
        // Lets the tests see whether a leader waits for RPCs that nobody answers.
        net.long_delays(true);
        let (drained, channels) = unbounded();
        labrpc::go("drains the apply channels of killed servers", move || drain(&channels));
        let cfg = Arc::new_cyclic(|this| Config {
            n,
            net,
            servers: Mutex::new((0..n).map(|_| Peer::default()).collect()),
            logs: Arc::new(Logs {
                applied: Mutex::new(vec![HashMap::new(); n]),
                max_index: AtomicUsize::new(0),
            }),
            make_service,
            drained: Mutex::new(Some(drained)),
            this: this.clone(),
            begun: Mutex::new(Begun { at: Instant::now(), rpcs: 0, max_index: 0 }),
            leaders: Mutex::default(),
            ends: AtomicUsize::new(0),
        });
        let weak = Arc::downgrade(&cfg);
        harness::observe(move |i| {
            let rf = weak.upgrade()?.servers.lock().get(i)?.raft.clone()?;
            Some(rf.get_state())
        });
        for i in 0..n {
            cfg.start1(i);
        }
        for i in 0..n {
            cfg.connect(i);
        }
        cfg
    }

    /// Prints the title, such as "Test (2A): initial election".
    pub fn begin(&self, title: &str) {
        harness::begin(title);
        *self.begun.lock() = Begun {
            at: Instant::now(),
            rpcs: self.net.get_total_count(),
            max_index: self.logs.max_index.load(Ordering::SeqCst),
        };
    }

    /// Sets the test's last line ("... Passed -- ..."), which the harness prints if the test passes.
    pub fn end(&self) {
        let begun = self.begun.lock();
        harness::passed(PassedLine {
            seconds: begun.at.elapsed().as_secs_f64(),
            servers: self.n,
            rpcs: self.net.get_total_count() - begun.rpcs,
            rpc_width: 4,
            operations: self.logs.max_index.load(Ordering::SeqCst) - begun.max_index,
        });
    }

    /// Kills every server and shuts the network down.
    pub fn cleanup(&self) {
        let peers = std::mem::take(&mut *self.servers.lock());
        for (i, peer) in peers.iter().enumerate() {
            if let Some(rf) = &peer.raft {
                on_server(i, || rf.kill());
            }
        }
        self.net.cleanup();
        for mut peer in peers {
            peer.raft = None;
            drop(peer.reader.take().map(Reader::stop));
        }
        self.drained.lock().take();
    }

    /// Crashes a server, and keeps its persistent state.
    pub fn crash1(&self, i: usize) {
        self.kill(i, self.cut_off(i));
    }

    /// Kills a server that is cut off, and stops its reader.
    fn kill(&self, i: usize, (raft, reader): (Option<Arc<Raft>>, Option<Reader>)) {
        if let Some(rf) = raft {
            on_server(i, || rf.kill());
        }
        let applied = reader.and_then(Reader::stop);
        if let (Some(applied), Some(drained)) = (applied, &*self.drained.lock()) {
            // Ignore the error: the thread that drains ends only when `drained` is dropped.
            let _ = drained.send(applied);
        }
    }

    /// Crashes server `i` right after its `nth` save from now on, before the server does anything else. If it does not save
    /// that often within a second, crashes it after that second. Go's Raft tests have no such function.
    #[allow(dead_code, reason = "only the tests of snapshots use it, in another test binary")]
    pub fn crash_at_save(&self, i: usize, nth: usize) {
        let (saved, arrived) = bounded(1);
        let (dead, wait) = bounded::<()>(0);
        let saves = AtomicUsize::new(0);
        let persister = self.servers.lock()[i].saved.clone();
        persister.after_save(move || {
            if saves.fetch_add(1, Ordering::SeqCst) + 1 == nth {
                // Nobody ever sends to `wait`: `recv` returns when `dead` is dropped, after the server is cut off.
                let _ = saved.send(());
                let _ = wait.recv();
            }
        });
        let _ = arrived.recv_timeout(Duration::from_secs(1));
        let instance = self.cut_off(i);
        drop(dead);
        self.kill(i, instance);
    }

    /// Separates server `i` from the network and from its persister. Returns the server and its reader.
    fn cut_off(&self, i: usize) -> (Option<Arc<Raft>>, Option<Reader>) {
        record::down(i);
        self.disconnect(i);
        self.net.delete_server(i);
        let peer = &mut self.servers.lock()[i];
        // Copy the persister, so that the old instance cannot write into the persister of its successor.
        peer.saved = Arc::new(peer.saved.copy());
        (peer.raft.take(), peer.reader.take())
    }

    /// Starts a server, and leaves it disconnected. If the server is up, crashes it first.
    pub fn start1(&self, i: usize) {
        self.crash1(i);
        // Make new ends, so that the old instance cannot send through the ends of its successor.
        let names: Vec<String> = (0..self.n)
            .map(|j| format!("{i} to {j}, {}", self.ends.fetch_add(1, Ordering::SeqCst)))
            .collect();
        let ends: Vec<ClientEnd> = (names.iter().enumerate())
            .map(|(j, name)| {
                let end = self.net.make_end(name);
                record::end_of_server(name, i);
                self.net.connect(name, j);
                end
            })
            .collect();
        let saved = {
            let peer = &mut self.servers.lock()[i];
            peer.ends = names;
            peer.saved.clone()
        };
        // The channel has no buffer, as in Go: a server that sends while it holds its lock blocks with it until the
        // reader receives.
        let (apply_ch, applied) = bounded(0);
        let reader = Reader::start(i, applied, (self.make_service)(i, &self.logs, &self.this));
        record::up(i);
        let rf = on_server(i, || Raft::make(ends, i, saved, apply_ch));
        {
            let peer = &mut self.servers.lock()[i];
            peer.raft = Some(rf.clone());
            peer.reader = Some(reader);
        }
        let mut server = Server::new();
        server.add_service(make_service(rf));
        self.net.add_server(i, server);
    }

    /// Attaches a server to the network.
    pub fn connect(&self, i: usize) {
        let mut servers = self.servers.lock();
        servers[i].connected = true;
        self.enable(&servers, i, |peer| peer.connected, true);
    }

    /// Detaches a server from the network.
    pub fn disconnect(&self, i: usize) {
        let mut servers = self.servers.lock();
        servers[i].connected = false;
        self.enable(&servers, i, |_| true, false);
    }

    /// Enables or disables the ends between server `i` and the servers for which `to` is true, in both directions.
    fn enable(&self, servers: &[Peer], i: usize, to: fn(&Peer) -> bool, enabled: bool) {
        for (j, _) in servers.iter().enumerate().filter(|(_, peer)| to(peer)) {
            self.enable_pair(servers, i, j, enabled);
        }
    }

    fn enable_pair(&self, servers: &[Peer], i: usize, j: usize, enabled: bool) {
        // A server that never ran has no ends.
        let ends = [servers[i].ends.get(j), servers[j].ends.get(i)];
        ends.into_iter().flatten().for_each(|end| self.net.enable(end, enabled));
        record::link(i, j, enabled);
    }

    /// Connects server `i` with the servers in `to`, in both directions, and with no others. Go's Raft tests have no
    /// such function.
    pub fn link(&self, i: usize, to: &[usize]) {
        let servers = self.servers.lock();
        for j in (0..self.n).filter(|j| *j != i) {
            self.enable_pair(&servers, i, j, to.contains(&j));
        }
    }

    /// Lets the requests of server `from` reach server `to`, and the replies come back. The requests of `to` stay as they
    /// are. Go's tests have no such function.
    pub fn link_one_way(&self, from: usize, to: usize) {
        self.net.enable(&self.servers.lock()[from].ends[to], true);
        record::link(from, to, true);
    }

    /// Splits the network: the servers of a group reach each other and no others. Go's Raft tests have no such
    /// function.
    pub fn partition(&self, groups: &[&[usize]]) {
        for group in groups {
            group.iter().for_each(|i| self.link(*i, group));
        }
    }

    /// Lets all servers reach each other.
    pub fn heal(&self) {
        let all: Vec<usize> = (0..self.n).collect();
        self.partition(&[&all]);
    }

    pub fn is_connected(&self, i: usize) -> bool {
        self.servers.lock()[i].connected
    }

    pub fn is_up(&self, i: usize) -> bool {
        self.servers.lock()[i].raft.is_some()
    }

    /// The server, or None when it is crashed.
    pub fn raft(&self, i: usize) -> Option<Arc<Raft>> {
        self.servers.lock()[i].raft.clone()
    }

    /// The server, which must be up.
    fn up(&self, i: usize) -> Arc<Raft> {
        self.raft(i).unwrap_or_else(|| panic!("the test uses server {i}, which is crashed"))
    }

    /// Starts a command on server `i`, which must be up.
    #[track_caller]
    pub fn start(&self, i: usize, cmd: Command) -> (usize, u64, bool) {
        self.start_on(i, &self.up(i), cmd)
    }

    #[track_caller]
    fn start_on(&self, i: usize, rf: &Arc<Raft>, cmd: Command) -> (usize, u64, bool) {
        let (index, term, is_leader) = on_server(i, || rf.start(&cmd));
        if is_leader {
            record::started(i, format!("start({cmd}) = index {index}, term {term}"));
            self.note_leader(i, term);
        }
        (index, term, is_leader)
    }

    /// The term of server `i`, which must be up, and whether the server says that it leads.
    #[track_caller]
    pub fn state(&self, i: usize) -> (u64, bool) {
        let rf = self.up(i);
        let (term, is_leader) = on_server(i, || rf.get_state());
        if is_leader {
            self.note_leader(i, term);
        }
        (term, is_leader)
    }

    /// Notes that server `i` leads in `term`. Checks Election Safety (Figure 3 of the paper): at most one server leads
    /// in a term. The Go test compares only servers that lead at the same time.
    #[track_caller]
    fn note_leader(&self, i: usize, term: u64) {
        let first = *self.leaders.lock().entry(term).or_insert(i);
        record::leads(i, term);
        if first != i {
            record::about_server(i);
            record::about_property(ELECTION_SAFETY);
            panic!(
                "election safety: server {first} has led in term {term}, and now server {i} leads in the same term"
            );
        }
    }

    /// The size of the state that Raft has saved on server `i`, in bytes.
    pub fn raft_state_size(&self, i: usize) -> usize {
        self.servers.lock()[i].saved.raft_state_size()
    }

    pub fn term(&self, i: usize) -> u64 {
        self.up(i).get_state().0
    }

    /// How many RPCs reached the servers that are up.
    pub fn rpc_count(&self) -> usize {
        (0..self.n).map(|i| self.server_rpc_count(i)).sum()
    }

    /// How many RPCs reached server `i`, which must be up, since it started.
    pub fn server_rpc_count(&self, i: usize) -> usize {
        self.net.get_count(i)
    }

    pub fn set_unreliable(&self, yes: bool) {
        self.net.reliable(!yes);
        record::unreliable(yes);
    }

    pub fn set_long_reordering(&self, yes: bool) {
        self.net.long_reordering(yes);
        record::long_reordering(yes);
    }

    /// Delays one message in ten by up to half a second: later messages may overtake it. Go's tests have no such
    /// function.
    pub fn set_stragglers(&self, yes: bool) {
        let stragglers = yes.then_some((10, Duration::from_millis(500)));
        self.net.latency(Latency { stragglers, ..harness::latency() });
    }

    /// Sets how long each message is under way. None: the usual time. Go's tests have no such function.
    pub fn set_latency(&self, latency: Option<Duration>) {
        let usual = harness::latency().usual;
        let usual = latency.map(|latency| latency..=latency).or(usual);
        self.net.latency(Latency { usual, ..harness::latency() });
    }

    /// Makes the thread in which server `i` sends its next RPC to `j` stand still for `duration`. Go's tests have no
    /// such function.
    pub fn stall(&self, i: usize, j: usize, duration: Duration) {
        let end = self.servers.lock()[i].ends[j].clone();
        self.net.stall(end, duration);
    }

    fn connected_rafts(&self) -> Vec<(usize, Arc<Raft>)> {
        let servers = self.servers.lock();
        let connected = servers.iter().enumerate().filter(|(_, peer)| peer.connected);
        connected.filter_map(|(i, peer)| Some((i, peer.raft.clone()?))).collect()
    }

    /// Checks that the connected servers have a leader, and at most one in each term. Returns the leader of the
    /// newest term. Tries ten times, because an election may be under way.
    #[track_caller]
    pub fn check_one_leader(&self) -> usize {
        let begun = harness::elapsed();
        for _ in 0..10 {
            sleep(Duration::from_millis(rand::rng().random_range(450..550)));
            let mut leaders: HashMap<u64, Vec<usize>> = HashMap::new();
            for (i, rf) in self.connected_rafts() {
                if let (term, true) = rf.get_state() {
                    leaders.entry(term).or_default().push(i);
                }
            }
            for (term, leaders) in &leaders {
                if leaders.len() > 1 {
                    leaders.iter().for_each(|i| record::leads(*i, *term));
                    record::about_server(leaders[1]);
                    record::about_property(ELECTION_SAFETY);
                }
                assert!(leaders.len() == 1, "term {term} has {} (>1) leaders: {leaders:?}", leaders.len());
                self.note_leader(leaders[0], *term);
            }
            if let Some((_, leaders)) = leaders.iter().max_by_key(|(term, _)| **term) {
                return leaders[0];
            }
        }
        panic!("expected one leader, got none{}", record::votes_asked_since(begun));
    }

    /// Checks that all connected servers agree on the term, and returns it.
    #[track_caller]
    pub fn check_terms(&self) -> u64 {
        let terms: Vec<(usize, u64)> =
            self.connected_rafts().into_iter().map(|(i, rf)| (i, rf.get_state().0)).collect();
        let (_, first) = *terms.first().expect("a server is connected");
        assert!(
            terms.iter().all(|(_, term)| *term == first),
            "servers disagree on term: (server, term) = {terms:?}"
        );
        first
    }

    /// Checks that no connected server says that it leads.
    #[track_caller]
    pub fn check_no_leader(&self) {
        for (i, rf) in self.connected_rafts() {
            assert!(!rf.get_state().1, "expected no leader, but {i} claims to be leader");
        }
    }

    /// How many servers have applied the entry at `index`, and its command.
    #[track_caller]
    pub fn n_committed(&self, index: usize) -> (usize, Option<Command>) {
        let applied = self.logs.applied.lock();
        let mut cmds = applied.iter().filter_map(|log| log.get(&index));
        let Some(first) = cmds.next() else { return (0, None) };
        let mut count = 1;
        for cmd in cmds {
            if cmd != first {
                record::about_property(STATE_MACHINE_SAFETY);
            }
            assert!(cmd == first, "committed values do not match: index {index}, {first}, {cmd}");
            count += 1;
        }
        (count, Some(*first))
    }

    /// Waits until `n` servers have applied the entry at `index`, and returns its command. Fails if that takes too
    /// long. None: a server has a later term than `start_term`, so another entry may be committed at `index`.
    #[track_caller]
    pub fn wait(&self, index: usize, n: usize, start_term: Option<u64>) -> Option<Command> {
        let mut pause = Duration::from_millis(10);
        for _ in 0..30 {
            if self.n_committed(index).0 >= n {
                break;
            }
            sleep(pause);
            if pause < Duration::from_secs(1) {
                pause *= 2;
            }
            let moved_on =
                |start| (0..self.n).filter_map(|i| self.raft(i)).any(|rf| rf.get_state().0 > start);
            if start_term.is_some_and(moved_on) {
                return None;
            }
        }
        let (count, cmd) = self.n_committed(index);
        assert!(count >= n, "only {count} decided for index {index}; wanted {n}");
        cmd
    }

    /// Makes the servers agree on `cmd`: starts it, waits until `expected` servers have applied it, and returns its
    /// index. The leader may lose its role before it commits the command; `one` then starts the command again, on the
    /// server that leads now, and gives up after 10 s. Without `retry`, `one` starts the command only once.
    #[track_caller]
    pub fn one(&self, cmd: Command, expected: usize, retry: bool) -> usize {
        let _operation = harness::operation("test", format!("agreement on {cmd} by {expected} servers"));
        let (begun, before) = (Instant::now(), self.highest_term());
        let mut starts = 0;
        while begun.elapsed() < ONE_LIMIT {
            let started = (0..self.n).find_map(|_| {
                starts = (starts + 1) % self.n;
                let rf = self.raft(starts).filter(|_| self.is_connected(starts))?;
                let (index, _, is_leader) = self.start_on(starts, &rf, cmd);
                is_leader.then_some(index)
            });
            let Some(index) = started else {
                sleep(Duration::from_millis(50));
                continue;
            };
            let started = Instant::now();
            while started.elapsed() < ONE_TRY {
                let (count, committed) = self.n_committed(index);
                if count > 0 && count >= expected && committed == Some(cmd) {
                    return index;
                }
                sleep(Duration::from_millis(20));
            }
            assert!(
                retry,
                "one({cmd}) failed to reach agreement of {expected} servers at index {index}: {}",
                self.elections_since(before)
            );
        }
        panic!(
            "one({cmd}) failed to reach agreement of {expected} servers in {ONE_LIMIT:?}: {}",
            self.elections_since(before)
        );
    }

    /// The term of each server that is up.
    fn terms(&self) -> Vec<(usize, u64)> {
        let term = |i| self.raft(i).map(|rf| (i, on_server(i, || rf.get_state().0)));
        (0..self.n).filter_map(term).collect()
    }

    fn highest_term(&self) -> u64 {
        self.terms().into_iter().map(|(_, term)| term).max().unwrap_or(0)
    }

    /// Says who has led since the highest term was `before`, and what the terms are now.
    fn elections_since(&self, before: u64) -> String {
        let mut leaders: Vec<(u64, usize)> =
            self.leaders.lock().iter().map(|(term, server)| (*term, *server)).collect();
        leaders.retain(|(term, _)| *term >= before);
        leaders.sort_unstable();
        let led = match &leaders[..] {
            [] => "no server said that it leads".to_string(),
            [.., (term, server)] => {
                let others = if leaders.len() > 1 {
                    format!("{} leaders, the last was", leaders.len())
                } else {
                    "the leader was".to_string()
                };
                format!("{others} server {server} in term {term}")
            }
        };
        let elections = match self.highest_term().saturating_sub(before) {
            0 => format!("no election has begun since (term {before})"),
            1 => format!("one election has begun since (term {})", before + 1),
            n => format!("{n} elections have begun since (terms {} to {})", before + 1, before + n),
        };
        let terms = self.terms();
        let state = |i| match terms.iter().find(|(server, _)| *server == i) {
            None => format!("server {i} is crashed"),
            Some((_, term)) if self.is_connected(i) => format!("server {i} is in term {term}"),
            Some((_, term)) => format!("server {i} is in term {term} and cut off"),
        };
        let is_same = |(i, term): &(usize, u64)| *term == terms[0].1 && self.is_connected(*i);
        let states = if terms.len() == self.n && terms.iter().all(is_same) {
            format!("every server is in term {}", terms[0].1)
        } else {
            (0..self.n).map(state).collect::<Vec<String>>().join(", ")
        };
        format!("{led}; {elections}; {states}")
    }
}

/// Receives what killed servers still send into their apply channels, and discards it, as if they had a service. In Go, too,
/// somebody receives from the channel of a killed server. Ends when the test has cleaned up.
fn drain(channels: &Receiver<Receiver<ApplyMsg>>) {
    let mut open: Vec<Receiver<ApplyMsg>> = Vec::new();
    loop {
        let mut select = Select::new();
        select.recv(channels);
        open.iter().for_each(|channel| _ = select.recv(channel));
        let ready = select.select();
        match ready.index().checked_sub(1) {
            None => match ready.recv(channels) {
                Ok(channel) => open.push(channel),
                Err(_) => return,
            },
            Some(i) => {
                // An error means that the server's threads have ended.
                if ready.recv(&open[i]).is_err() {
                    open.swap_remove(i);
                }
            }
        }
    }
}

impl Reader {
    fn start(server: usize, applied: Receiver<ApplyMsg>, mut service: Service) -> Reader {
        let (alive, stop) = bounded::<()>(0);
        let (end, ended) = bounded(1);
        labrpc::go(format!("server {server}: apply reader"), move || {
            loop {
                select! {
                    recv(applied) -> msg => match msg {
                        Ok(msg) => service(&msg),
                        Err(_) => break,
                    },
                    recv(stop) -> _ => break,
                }
            }
            // Drop what the service holds before the test goes on. Ignore the error: at the end of a test nobody asks.
            drop(service);
            let _ = end.send(applied);
        });
        Reader { alive, ended }
    }

    /// Stops the thread, and returns the channel from which it has received.
    fn stop(self) -> Option<Receiver<ApplyMsg>> {
        drop(self.alive);
        self.ended.recv().ok()
    }
}

impl Logs {
    /// Checks a message that a server sends to its service. Ignores it if it carries no command. Every other server must
    /// have the same command at that index, and the server must apply commands in the order of their indexes.
    pub fn check(&self, server: usize, msg: &ApplyMsg) {
        if !msg.command_valid {
            return;
        }
        let index = msg.command_index;
        let cmd = decode_command(server, msg);
        log::trace!("server {server}: applies {cmd} at index {index}");
        record::applied(server, format!("apply index {index}: {cmd}"));
        self.note_applied(server, index, cmd);
        let in_order = index == 1 || self.applied.lock()[server].contains_key(&(index - 1));
        if !in_order {
            let missing = missing(&self.applied.lock()[server], index);
            record::about_property(IN_ORDER);
            panic!("apply error: server {server} apply out of order {index}: {missing}");
        }
    }

    /// Notes that a server has applied a command, or a snapshot with its effect. Every other server must have the same
    /// command at that index.
    pub fn note_applied(&self, server: usize, index: usize, cmd: Command) {
        let mut applied = self.applied.lock();
        for (other, log) in applied.iter().enumerate() {
            if let Some(old) = log.get(&index).filter(|old| **old != cmd) {
                record::about_property(STATE_MACHINE_SAFETY);
                panic!("apply error: commit index={index} server={server} {cmd} != server={other} {old}");
            }
        }
        applied[server].insert(index, cmd);
        self.max_index.fetch_max(index, Ordering::SeqCst);
    }
}

/// Which index a server should have applied instead of `index`, and which it has left out.
fn missing(applied: &HashMap<usize, Command>, index: usize) -> String {
    let missing: Vec<usize> = (1..index).filter(|i| !applied.contains_key(i)).collect();
    match missing[..] {
        [] => format!("expected index {index}"),
        [one] => format!("expected index {one}, which was not delivered"),
        [one, two] => format!("expected index {one}; {one} and {two} were not delivered"),
        [first, .., last] if last - first + 1 == missing.len() => {
            format!("expected index {first}; {first} to {last} were not delivered")
        }
        [first, .., last] => {
            let n = missing.len();
            format!("expected index {first}; {n} indexes from {first} to {last} were not delivered")
        }
    }
}

/// The command in a message to the service of a server.
pub fn decode_command(server: usize, msg: &ApplyMsg) -> Command {
    labgob::decode(&msg.command).unwrap_or_else(|e| {
        let index = msg.command_index;
        panic!("apply error: server {server} applied at index {index} a command that was never started: {e}")
    })
}
