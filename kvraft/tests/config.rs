//! Support for the key/value service's tests: makes, shuts down, restarts, connects and partitions servers, and makes
//! clients (Go: config.go).

use crate::traffic::Traffic;
use crossbeam_channel::bounded;
use harness::PassedLine;
use harness::record::{self, on_server};
use kvraft::{Clerk, KVServer, make_clerk, start_kv_server};
use labrpc::{ClientEnd, Network, Server, make_service};
use linearizability::{KvInput, KvOp};
use parking_lot::Mutex;
use raft::Persister;
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often, at most, a client that has written looks whether a server leads.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How many of these looks in a row may find that no server leads. A leader may lose its leadership between a write and the
/// look that follows it, but not so often without another server that leads meanwhile.
const LOOKS_WITHOUT_LEADER: u32 = 50;

/// The servers and clients of one test and their network. Several threads may call the methods at once.
pub struct Config {
    pub n: usize,
    net: Network,
    pub maxraftstate: Option<usize>,
    /// The servers. No thread holds this lock while it calls into a server.
    servers: Mutex<Vec<Host>>,
    /// How many instances of servers were started. This number makes the names of their ends unique.
    instances: AtomicUsize,
    /// How many clients were made: the next client's number.
    clients: AtomicUsize,
    /// How many operations clients have completed.
    operations: AtomicUsize,
    leadership: Mutex<Leadership>,
    traffic: Arc<Traffic>,
    begun: Mutex<Begun>,
}

/// What clients have seen of the leader.
#[derive(Default)]
struct Leadership {
    looked: Option<Instant>,
    /// How many looks in a row, each right after a write, have found no leader.
    without: u32,
}

#[derive(Default)]
struct Host {
    /// None: the server is shut down.
    kv: Option<Arc<KVServer>>,
    saved: Arc<Persister>,
    /// The names of the ends through which the server sends.
    ends: Vec<String>,
}

/// The time of `begin`, and the counts at that time. `end` compares with them.
struct Begun {
    at: Instant,
    rpcs: usize,
    operations: usize,
}

/// A clerk whose operations are recorded and counted.
pub struct Client {
    name: String,
    /// The names of the clerk's ends, by server.
    ends: Vec<String>,
    clerk: Clerk,
    cfg: Arc<Config>,
    /// The id of the client's last operation in the record.
    last: u64,
}

impl Config {
    pub fn new(n: usize, unreliable: bool, maxraftstate: Option<usize>) -> Arc<Config> {
        record::servers(n);
        record::unreliable(unreliable);
        let net = Network::new();
        net.reliable(!unreliable);
        net.latency(harness::latency());
        let traffic = Arc::new(Traffic::new(n));
        net.on_departure({
            let traffic = traffic.clone();
            move |departure| traffic.note(departure)
        });
        let cfg = Arc::new(Config {
            n,
            net,
            maxraftstate,
            servers: Mutex::new((0..n).map(|_| Host::default()).collect()),
            instances: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            operations: AtomicUsize::new(0),
            leadership: Mutex::default(),
            traffic,
            begun: Mutex::new(Begun { at: Instant::now(), rpcs: 0, operations: 0 }),
        });
        let weak = Arc::downgrade(&cfg);
        harness::observe(move |i| {
            let kv = weak.upgrade()?.servers.lock().get(i)?.kv.clone()?;
            Some(kv.raft().get_state())
        });
        for i in 0..n {
            cfg.start_server(i);
        }
        cfg.connect_all();
        cfg
    }

    /// Prints the title, such as "Test: one client (3A)".
    pub fn begin(&self, title: &str) {
        harness::begin(title);
        *self.begun.lock() = Begun {
            at: Instant::now(),
            rpcs: self.net.get_total_count(),
            operations: self.operations.load(Ordering::SeqCst),
        };
    }

    /// Sets the test's last line ("... Passed -- ..."), which the harness prints if the test passes.
    ///
    /// # Panics
    /// When a server has taken a snapshot in a test without maxraftstate.
    #[track_caller]
    pub fn end(&self) {
        if self.maxraftstate.is_none() {
            for (i, size) in self.snapshot_sizes().into_iter().enumerate() {
                assert!(
                    size == 0,
                    "server {i} has a snapshot, of {size} bytes: without maxraftstate it must take none"
                );
            }
        }
        self.traffic.remarks().iter().for_each(|remark| harness::remark(remark));
        let begun = self.begun.lock();
        harness::passed(PassedLine {
            seconds: begun.at.elapsed().as_secs_f64(),
            servers: self.n,
            rpcs: self.net.get_total_count() - begun.rpcs,
            rpc_width: 5,
            operations: self.operations.load(Ordering::SeqCst) - begun.operations,
        });
    }

    /// Kills every server and shuts the network down.
    pub fn cleanup(&self) {
        let hosts = std::mem::take(&mut *self.servers.lock());
        for (i, host) in hosts.iter().enumerate() {
            if let Some(kv) = &host.kv {
                on_server(i, || kv.kill());
            }
        }
        self.net.cleanup();
    }

    /// The sizes of the servers' Raft states, in bytes.
    pub fn raft_state_sizes(&self) -> Vec<usize> {
        self.servers.lock().iter().map(|host| host.saved.raft_state_size()).collect()
    }

    /// The sizes of the servers' snapshots, in bytes. 0: there is none.
    pub fn snapshot_sizes(&self) -> Vec<usize> {
        self.servers.lock().iter().map(|host| host.saved.snapshot_size()).collect()
    }

    pub fn all(&self) -> Vec<usize> {
        (0..self.n).collect()
    }

    /// Attaches server `i` to the servers in `to`, in both directions.
    fn connect(&self, i: usize, to: &[usize]) {
        self.enable(i, to, true);
    }

    /// Detaches server `i` from the servers in `from`, in both directions.
    fn disconnect(&self, i: usize, from: &[usize]) {
        self.enable(i, from, false);
    }

    fn enable(&self, i: usize, others: &[usize], enabled: bool) {
        let servers = self.servers.lock();
        for &j in others {
            // A server that never ran has no ends.
            let ends = [servers[i].ends.get(j), servers[j].ends.get(i)];
            ends.into_iter().flatten().for_each(|end| self.net.enable(end, enabled));
            record::link(i, j, enabled);
        }
    }

    pub fn connect_all(&self) {
        for i in 0..self.n {
            self.connect(i, &self.all());
        }
    }

    /// Splits the servers into two groups: connected inside a group, disconnected across.
    pub fn partition(&self, p1: &[usize], p2: &[usize]) {
        for (group, other) in [(p1, p2), (p2, p1)] {
            for &i in group {
                self.disconnect(i, other);
                self.connect(i, group);
            }
        }
    }

    /// Makes two groups for `partition`: a majority, and a minority with the leader in it. A put has succeeded. If no server
    /// leads now, `put` puts again until one does. (Go takes server 0 for the leader then.)
    pub fn make_partition(&self, mut put: impl FnMut()) -> (Vec<usize>, Vec<usize>) {
        let leader = loop {
            match self.leader() {
                Some(leader) => break leader,
                None => put(),
            }
            std::thread::sleep(LOOK_INTERVAL);
        };
        let mut majority: Vec<usize> = self.all().into_iter().filter(|i| *i != leader).collect();
        let mut minority = majority.split_off(self.n / 2 + 1);
        minority.push(leader);
        (majority, minority)
    }

    /// A server that says that it leads.
    pub fn leader(&self) -> Option<usize> {
        let servers: Vec<_> = self.servers.lock().iter().map(|host| host.kv.clone()).collect();
        servers.iter().position(|kv| kv.as_ref().is_some_and(|kv| kv.raft().get_state().1))
    }

    /// Called right after a write has succeeded. Now and then looks whether a server leads.
    ///
    /// # Panics
    /// When no server has led for a long time, though writes have succeeded.
    fn look_for_leader(&self) {
        {
            let mut leadership = self.leadership.lock();
            if leadership.looked.is_some_and(|looked| looked.elapsed() < LOOK_INTERVAL) {
                return;
            }
            leadership.looked = Some(Instant::now());
        }
        let is_led = self.leader().is_some();
        let mut leadership = self.leadership.lock();
        leadership.without = if is_led { 0 } else { leadership.without + 1 };
        assert!(
            leadership.without < LOOKS_WITHOUT_LEADER,
            "nobody leads, and yet puts succeed: {LOOKS_WITHOUT_LEADER} times in a row, right after a put or an append, \
             get_state() said on every server that it does not lead. Only a leader can commit an operation"
        );
    }

    /// Makes a client that is connected to the servers in `to`.
    pub fn make_client(self: &Arc<Config>, to: &[usize]) -> Client {
        let name = format!("client {}", self.clients.fetch_add(1, Ordering::SeqCst));
        let ends: Vec<String> = (0..self.n).map(|j| format!("{name} to {j}")).collect();
        ends.iter().for_each(|end| record::end_of_client(end, &name));
        let mut ports: Vec<ClientEnd> =
            ends.iter().enumerate().map(|(j, end)| self.make_end(end, j)).collect();
        ports.shuffle(&mut rand::rng());
        let client = Client { name, ends, clerk: make_clerk(ports), cfg: self.clone(), last: 0 };
        self.connect_client(&client.ends, to);
        client
    }

    /// Connects the client that has these ends to the servers in `to`; its other connections stay.
    pub fn connect_client(&self, ends: &[String], to: &[usize]) {
        for &j in to {
            self.net.enable(&ends[j], true);
        }
    }

    /// Disconnects the client that has these ends from the servers in `from`.
    pub fn disconnect_client(&self, ends: &[String], from: &[usize]) {
        for &j in from {
            self.net.enable(&ends[j], false);
        }
    }

    fn make_end(&self, name: &str, server: usize) -> ClientEnd {
        let end = self.net.make_end(name);
        self.net.connect(name, server);
        end
    }

    /// Shuts server `i` down, and keeps its persistent state.
    pub fn shutdown_server(&self, i: usize) {
        if let Some(kv) = self.cut_off(i) {
            on_server(i, || kv.kill());
        }
    }

    /// Shuts server `i` down right after its `nth` save from now on, before the server does anything else. If it does
    /// not save that often within a second, shuts it down after that second.
    pub fn shutdown_at_save(&self, i: usize, nth: usize) {
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
        let kv = self.cut_off(i);
        drop(dead);
        if let Some(kv) = kv {
            on_server(i, || kv.kill());
        }
    }

    /// Separates server `i` from the network and from its persister, and returns it if it is up.
    fn cut_off(&self, i: usize) -> Option<Arc<KVServer>> {
        record::down(i);
        self.disconnect(i, &self.all());
        // Delete the server before its persister is copied: what the server saves after the copy is lost, so no client
        // may get a reply about it.
        self.net.delete_server(i);
        let host = &mut self.servers.lock()[i];
        // Copy the persister, so that the old instance cannot write into the persister of its successor.
        host.saved = Arc::new(host.saved.copy());
        host.kv.take()
    }

    /// Starts a server that was shut down or never ran, and leaves it disconnected.
    pub fn start_server(&self, i: usize) {
        // Make new ends, so that the old instance cannot send through the ends of its successor.
        let number = self.instances.fetch_add(1, Ordering::SeqCst);
        let names: Vec<String> = (0..self.n).map(|j| format!("{i} to {j}, {number}")).collect();
        names.iter().for_each(|name| record::end_of_server(name, i));
        let ends = names.iter().enumerate().map(|(j, name)| self.make_end(name, j)).collect();
        let saved = {
            let host = &mut self.servers.lock()[i];
            host.ends = names;
            host.saved.clone()
        };
        record::up(i);
        let kv = on_server(i, || start_kv_server(ends, i, saved, self.maxraftstate));
        self.servers.lock()[i].kv = Some(kv.clone());
        let mut server = Server::new();
        server.add_service(make_service(kv.raft()));
        server.add_service(make_service(kv));
        self.net.add_server(i, server);
    }
}

impl Client {
    pub fn get(&mut self, key: &str) -> String {
        let operation = self.begin(format!("get({key:?})"));
        let under_way = self.cfg.traffic.begin();
        let value = self.clerk.get(key);
        self.cfg.traffic.end(under_way, false);
        operation.returned(&value);
        self.count();
        value
    }

    pub fn put(&mut self, key: &str, value: &str) {
        self.write(format!("put({key:?}, {value:?})"), |clerk| clerk.put(key, value));
    }

    pub fn append(&mut self, key: &str, value: &str) {
        self.write(format!("append({key:?}, {value:?})"), |clerk| clerk.append(key, value));
    }

    fn write(&mut self, what: String, run: impl FnOnce(&mut Clerk)) {
        let operation = self.begin(what);
        let under_way = self.cfg.traffic.begin();
        run(&mut self.clerk);
        self.cfg.traffic.end(under_way, true);
        drop(operation);
        self.count();
        self.cfg.look_for_leader();
    }

    /// Runs an operation. Returns a get's value, and the operation's id in the record.
    pub fn run(&mut self, KvInput { op, key, value }: &KvInput) -> (String, u64) {
        let mut got = String::new();
        match op {
            KvOp::Get => got = self.get(key),
            KvOp::Put => self.put(key, value),
            KvOp::Append => self.append(key, value),
        }
        (got, self.last)
    }

    /// Gets a value, which must be `value`.
    #[track_caller]
    pub fn check(&mut self, key: &str, value: &str) {
        let got = self.get(key);
        assert!(got == value, "get({key:?}): expected {value:?}, received {got:?}");
    }

    /// The names of this client's ends, for `Config::connect_client`.
    pub fn ends(&self) -> Vec<String> {
        self.ends.clone()
    }

    /// Begins an operation. Records it under the thread's name if the thread has one, because each round makes new
    /// clients on threads with the same names.
    fn begin(&mut self, what: String) -> harness::Operation {
        let who = labrpc::current_task().map_or_else(|| self.name.clone(), String::from);
        let operation = harness::operation(who, what);
        self.last = operation.id();
        operation
    }

    fn count(&self) {
        self.cfg.operations.fetch_add(1, Ordering::SeqCst);
    }
}
