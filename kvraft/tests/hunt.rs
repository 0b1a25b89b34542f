//! `make hunt LAB=3B`: hunts for bugs of the key/value service. Clients work on a few keys, while servers crash and the
//! network fails; the history of their operations must be linearizable.

mod history;

use harness::Task;
use harness::record;
use history::History;
use hunt::{Cluster, Demand, Host, Instance, Life, Prey, Run};
use kvraft::{Clerk, KVServer, make_clerk, start_kv_server};
use labrpc::{ClientEnd, Server, make_service};
use linearizability::{CheckResult, KvInput, KvOp};
use parking_lot::Mutex;
use raft::Persister;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    static PREY: Prey =
        Prey { test: ("hunt_kvraft", hunt_kvraft), lab: "LAB=3A", lab_with_snapshots: Some("LAB=3B") };
    hunt::main(&PREY)
}

/// The keys that all clients work on. With few keys, operations meet.
const KEYS: [&str; 2] = ["a", "b"];

/// The client that works after the faults, which has the picture's last lane.
const LAST_CLIENT: &str = "client after the faults";

/// How long the checker may take, in virtual time: for ever. Histories are short, so it takes milliseconds.
const CHECK_LIMIT: Duration = Duration::from_secs(100_000);

fn hunt_kvraft() {
    let scenario = hunt::scenario();
    let maxraftstate = scenario.snapshots_at;
    let run = Run::begin(KvServers { maxraftstate }, scenario, "Hunt: key/value service");
    let over = Arc::new(AtomicBool::new(false));
    let history = Arc::new(History::new());
    let clients: Vec<Task<()>> = (0..run.cluster.scenario.clients)
        .map(|number| {
            let mut client = Client::new(&run.cluster, number, format!("client {number}"));
            let (cluster, history, over) = (run.cluster.clone(), history.clone(), over.clone());
            harness::spawn_client(client.name.clone(), move || {
                while !over.load(Ordering::SeqCst) {
                    if cluster.demand() == Demand::Quiet {
                        sleep(Duration::from_millis(3));
                        continue;
                    }
                    client.work(&history);
                    // Now and then a client is idle, while others go on.
                    let longest = if rand::rng().random_ratio(1, 16) { 500_000 } else { 30_000 };
                    sleep(Duration::from_micros(rand::rng().random_range(0..longest)));
                }
            })
        })
        .collect();
    run.disturb();
    over.store(true, Ordering::SeqCst);
    let are_done = || clients.iter().all(|client| !client.result().is_empty());
    run.soon(are_done, || "an operation that a client began has not ended".to_string());

    let client = Client::new(&run.cluster, run.cluster.scenario.clients, LAST_CLIENT.to_string());
    let client = Arc::new(Mutex::new(client));
    // Fails the run if an operation does not end.
    let operate = |input: KvInput| {
        let operation = harness::spawn_client(LAST_CLIENT, {
            let (client, history) = (client.clone(), history.clone());
            move || history.record(input, |input| client.lock().run(input))
        });
        run.soon(|| !operation.result().is_empty(), || "an operation does not end".to_string());
    };
    let get_all = || {
        for key in KEYS {
            operate(KvInput { op: KvOp::Get, key: key.to_string(), value: String::new() });
        }
    };
    get_all();
    check(&history, "");
    run.with_each_majority(get_all);
    check(&history, ", since servers were cut off");
    run.check_speed(|| {
        let begun = Instant::now();
        operate(KvInput { op: KvOp::Append, key: "speed".to_string(), value: "x".to_string() });
        begun.elapsed()
    });
    if maxraftstate.is_none() {
        for i in 0..run.cluster.n {
            let size = run.cluster.disk(i).snapshot_size();
            if size > 0 {
                harness::fail(&format!(
                    "Snapshots: server {i} has a snapshot of {size} bytes; it must take none"
                ));
            }
        }
    }
    run.end();
}

/// Fails the run if the history is not linearizable. `since`: since when, if it was linearizable before.
fn check(history: &History, since: &str) {
    let (result, operations) = history.check(CHECK_LIMIT);
    match result {
        CheckResult::Ok => {}
        CheckResult::Illegal => harness::fail(&format!(
            "Linearizability: no order of the {operations} operations explains all results{since}{}",
            history.explain()
        )),
        CheckResult::Unknown => panic!("the checker did not decide on {operations} operations"),
    }
}

/// How key/value servers are started.
struct KvServers {
    maxraftstate: Option<usize>,
}

/// A key/value server.
struct KvInstance(Arc<KVServer>);

impl Host for KvServers {
    type Disk = Persister;
    type Instance = KvInstance;

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

    fn start(&self, i: usize, ends: Vec<ClientEnd>, disk: Arc<Persister>, _life: Life) -> KvInstance {
        KvInstance(start_kv_server(ends, i, disk, self.maxraftstate))
    }
}

impl Instance for KvInstance {
    fn state(&self) -> (u64, bool) {
        self.0.raft().get_state()
    }

    fn server(&self) -> Server {
        let mut server = Server::new();
        server.add_service(make_service(self.0.raft()));
        server.add_service(make_service(self.0.clone()));
        server
    }

    fn kill(&self) {
        self.0.kill();
    }
}

/// A clerk whose operations are recorded.
struct Client {
    name: String,
    clerk: Clerk,
}

impl Client {
    fn new(cluster: &Cluster<KvServers>, number: usize, name: String) -> Client {
        let mut ends: Vec<ClientEnd> = (0..cluster.n).map(|i| cluster.client_end(number, i)).collect();
        ends.shuffle(&mut rand::rng());
        Client { name, clerk: make_clerk(ends) }
    }

    /// Does one operation, any.
    fn work(&mut self, history: &History) {
        /// Makes each value another one.
        static VALUES: AtomicUsize = AtomicUsize::new(0);
        let key = KEYS[rand::rng().random_range(0..KEYS.len())].to_string();
        let op = match rand::rng().random_range(0..100) {
            0..45 => KvOp::Append,
            45..55 => KvOp::Put,
            _ => KvOp::Get,
        };
        let value = match op {
            KvOp::Get => String::new(),
            _ => format!("{}.", VALUES.fetch_add(1, Ordering::SeqCst)),
        };
        history.record(KvInput { op, key, value }, |input| self.run(input));
    }

    /// Runs an operation. Returns a get's value, and the operation's id in the record.
    fn run(&mut self, KvInput { op, key, value }: &KvInput) -> (String, u64) {
        let call = match op {
            KvOp::Get => format!("get({key:?})"),
            KvOp::Put => format!("put({key:?}, {value:?})"),
            KvOp::Append => format!("append({key:?}, {value:?})"),
        };
        let operation = record::operation(self.name.clone(), call);
        let id = operation.id();
        match op {
            KvOp::Get => {
                let got = self.clerk.get(key);
                operation.returned(&got);
                return (got, id);
            }
            KvOp::Put => self.clerk.put(key, value),
            KvOp::Append => self.clerk.append(key, value),
        }
        (String::new(), id)
    }
}
