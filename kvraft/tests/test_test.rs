//! Lab 3A's fifteen tests and Lab 3B's eight (Go: test_test.go), and extra ones of bugs that these let through.

mod appends;
mod config;
mod logs;

use appends::{check_appends, excerpt, nth};
use config::{Client, Config};
use crossbeam_channel::RecvTimeoutError;
use harness::Task;
use harness::picture::Finding;
use linearizability::{
    CheckResult, KvInput, KvModel, KvOp, KvOutput, Operation, PartExplanation, Prefix,
    check_operations_timeout, explain_operations,
};
use logs::{check_logs_are_trimmed, sleep_watching_logs};
use parking_lot::Mutex;
use rand::RngExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The tests allow a solution to take a second for an election, much more than the paper's time-outs.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How many bytes of Raft's state a server of Lab 3B may have before it takes a snapshot.
const MAXRAFTSTATE: Option<usize> = Some(1000);

/// How long the checker may take (`linearizabilityCheckTimeout` in Go).
const LINEARIZABILITY_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the checker may take to find out where a history that is not linearizable breaks.
const EXPLANATION_LIMIT: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    harness::run(&[
        ("test_basic_3a", test_basic_3a),
        ("test_concurrent_3a", test_concurrent_3a),
        ("test_unreliable_3a", test_unreliable_3a),
        ("test_unreliable_one_key_3a", test_unreliable_one_key_3a),
        ("test_one_partition_progress_in_majority_3a", test_one_partition_progress_in_majority_3a),
        ("test_one_partition_no_progress_in_minority_3a", test_one_partition_no_progress_in_minority_3a),
        ("test_one_partition_completion_after_heal_3a", test_one_partition_completion_after_heal_3a),
        ("test_many_partitions_one_client_3a", test_many_partitions_one_client_3a),
        ("test_many_partitions_many_clients_3a", test_many_partitions_many_clients_3a),
        ("test_persist_one_client_3a", test_persist_one_client_3a),
        ("test_persist_concurrent_3a", test_persist_concurrent_3a),
        ("test_persist_concurrent_unreliable_3a", test_persist_concurrent_unreliable_3a),
        ("test_persist_partition_3a", test_persist_partition_3a),
        ("test_persist_partition_unreliable_3a", test_persist_partition_unreliable_3a),
        (
            "test_persist_partition_unreliable_linearizable_3a",
            test_persist_partition_unreliable_linearizable_3a,
        ),
        ("test_snapshot_rpc_3b", test_snapshot_rpc_3b),
        ("test_snapshot_size_3b", test_snapshot_size_3b),
        ("test_snapshot_recover_3b", test_snapshot_recover_3b),
        ("test_snapshot_recover_many_clients_3b", test_snapshot_recover_many_clients_3b),
        ("test_snapshot_unreliable_3b", test_snapshot_unreliable_3b),
        ("test_snapshot_unreliable_recover_3b", test_snapshot_unreliable_recover_3b),
        (
            "test_snapshot_unreliable_recover_concurrent_partition_3b",
            test_snapshot_unreliable_recover_concurrent_partition_3b,
        ),
        (
            "test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b",
            test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b,
        ),
        ("test_append_outlives_its_leader_extra", test_append_outlives_its_leader_extra),
        ("test_crash_after_any_save_extra", test_crash_after_any_save_extra),
    ])
}

fn test_basic_3a() {
    Generic { part: "3A", nclients: 1, ..Generic::default() }.run();
}

fn test_concurrent_3a() {
    Generic { part: "3A", nclients: 5, ..Generic::default() }.run();
}

fn test_unreliable_3a() {
    Generic { part: "3A", nclients: 5, unreliable: true, ..Generic::default() }.run();
}

fn test_many_partitions_one_client_3a() {
    Generic { part: "3A", nclients: 1, partitions: true, ..Generic::default() }.run();
}

fn test_many_partitions_many_clients_3a() {
    Generic { part: "3A", nclients: 5, partitions: true, ..Generic::default() }.run();
}

fn test_persist_one_client_3a() {
    Generic { part: "3A", nclients: 1, crash: true, ..Generic::default() }.run();
}

fn test_persist_concurrent_3a() {
    Generic { part: "3A", nclients: 5, crash: true, ..Generic::default() }.run();
}

fn test_persist_concurrent_unreliable_3a() {
    Generic { part: "3A", nclients: 5, unreliable: true, crash: true, ..Generic::default() }.run();
}

fn test_persist_partition_3a() {
    Generic { part: "3A", nclients: 5, crash: true, partitions: true, ..Generic::default() }.run();
}

fn test_persist_partition_unreliable_3a() {
    Generic {
        part: "3A",
        nclients: 5,
        unreliable: true,
        crash: true,
        partitions: true,
        ..Generic::default()
    }
    .run();
}

fn test_persist_partition_unreliable_linearizable_3a() {
    Generic {
        part: "3A",
        nclients: 15,
        unreliable: true,
        crash: true,
        partitions: true,
        ..Generic::default()
    }
    .run_linearizability();
}

fn test_snapshot_recover_3b() {
    Generic { part: "3B", nclients: 1, crash: true, maxraftstate: MAXRAFTSTATE, ..Generic::default() }.run();
}

fn test_snapshot_recover_many_clients_3b() {
    Generic { part: "3B", nclients: 20, crash: true, maxraftstate: MAXRAFTSTATE, ..Generic::default() }.run();
}

fn test_snapshot_unreliable_3b() {
    Generic { part: "3B", nclients: 5, unreliable: true, maxraftstate: MAXRAFTSTATE, ..Generic::default() }
        .run();
}

fn test_snapshot_unreliable_recover_3b() {
    Generic {
        part: "3B",
        nclients: 5,
        unreliable: true,
        crash: true,
        maxraftstate: MAXRAFTSTATE,
        ..Generic::default()
    }
    .run();
}

fn test_snapshot_unreliable_recover_concurrent_partition_3b() {
    Generic {
        part: "3B",
        nclients: 5,
        unreliable: true,
        crash: true,
        partitions: true,
        maxraftstate: MAXRAFTSTATE,
    }
    .run();
}

fn test_snapshot_unreliable_recover_concurrent_partition_linearizable_3b() {
    Generic {
        part: "3B",
        nclients: 15,
        unreliable: true,
        crash: true,
        partitions: true,
        maxraftstate: MAXRAFTSTATE,
    }
    .run_linearizability();
}

/// A test in three rounds: clients work for some seconds, while the servers are partitioned again and again; then all
/// servers crash and restart; then what the clients have done is checked. (Go: `GenericTest`.)
#[derive(Default)]
struct Generic {
    part: &'static str,
    nclients: usize,
    /// The network loses and delays messages.
    unreliable: bool,
    crash: bool,
    partitions: bool,
    maxraftstate: Option<usize>,
}

/// The clients of a round. Each gives what it has done when it ends.
type Clients<T> = Vec<Task<T>>;

impl Generic {
    /// Each client appends to a key of its own, or gets and compares.
    fn run(&self) {
        let cfg = Config::new(5, self.unreliable, self.maxraftstate);
        cfg.begin(&self.title(""));
        let mut ck = cfg.make_client(&cfg.all());
        for _ in 0..3 {
            let done = Arc::new(AtomicBool::new(false));
            let clients: Clients<usize> = spawn_clients(&cfg, self.nclients, {
                let done = done.clone();
                move |cli, client| append_and_get(cli, client, &done)
            });
            self.disturb(&cfg, &done);
            for (cli, appended) in clients.into_iter().enumerate() {
                let mut counts = vec![0; self.nclients];
                counts[cli] = appended.wait();
                check_appends(&ck.get(&cli.to_string()), &counts);
            }
            check_logs_are_trimmed(&cfg);
        }
        cfg.end();
        cfg.cleanup();
    }

    /// All clients work on all keys of seven servers, and the history of what they did and saw must be linearizable.
    /// (Go: `GenericTestLinearizability`.)
    fn run_linearizability(&self) {
        let cfg = Config::new(7, self.unreliable, self.maxraftstate);
        cfg.begin(&self.title(", linearizability checks"));
        let history = Arc::new(History { begun: Instant::now(), recorded: Mutex::default() });
        for _ in 0..3 {
            let done = Arc::new(AtomicBool::new(false));
            let clients: Clients<()> = spawn_clients(&cfg, self.nclients, {
                let (done, history, keys) = (done.clone(), history.clone(), self.nclients);
                move |cli, client| work_on_all_keys(cli, client, keys, &done, &history)
            });
            self.disturb(&cfg, &done);
            clients.into_iter().for_each(Task::wait);
            check_logs_are_trimmed(&cfg);
        }
        // Go prints its line first: a history that is not linearizable had "Passed" all the same.
        history.check();
        cfg.end();
        cfg.cleanup();
    }

    fn title(&self, end: &str) -> String {
        let words = [
            (self.unreliable, "unreliable net, "),
            (self.crash, "restarts, "),
            (self.partitions, "partitions, "),
            (self.maxraftstate.is_some(), "snapshots, "),
        ];
        let words: String = words.iter().filter(|(yes, _)| *yes).map(|(_, word)| *word).collect();
        let clients = if self.nclients > 1 { "many clients" } else { "one client" };
        format!("Test: {words}{clients}{end} ({})", self.part)
    }

    /// What happens to the servers in one round. The clients are told that they are done, but may still be in an
    /// operation on return.
    fn disturb(&self, cfg: &Arc<Config>, done: &Arc<AtomicBool>) {
        let mut partitioner = None;
        if self.partitions {
            // Let the clients do something undisturbed first.
            sleep(Duration::from_secs(1));
            let (cfg, done) = (cfg.clone(), done.clone());
            partitioner = Some(harness::spawn("partitioner", move || partition_at_random(&cfg, &done)));
        }
        if self.partitions {
            // A leader without a majority cannot trim its log.
            sleep(Duration::from_secs(5));
        } else {
            sleep_watching_logs(cfg, Duration::from_secs(5));
        }
        done.store(true, Ordering::SeqCst);

        if let Some(partitioner) = partitioner {
            partitioner.wait();
            cfg.connect_all();
            // Time for an election, so that operations submitted in a minority can complete.
            sleep(ELECTION_TIMEOUT);
        }
        if self.crash {
            cfg.all().into_iter().for_each(|i| cfg.shutdown_server(i));
            // What is on its way arrives at nobody.
            sleep(ELECTION_TIMEOUT);
            cfg.all().into_iter().for_each(|i| cfg.start_server(i));
            cfg.connect_all();
        }
    }
}

/// Runs `n` clients at once, each with a clerk of its own.
fn spawn_clients<T: Send + 'static>(
    cfg: &Arc<Config>,
    n: usize,
    f: impl Fn(usize, &mut Client) -> T + Clone + Send + 'static,
) -> Clients<T> {
    let clients = (0..n).map(|cli| {
        let (cfg, f) = (cfg.clone(), f.clone());
        harness::spawn(format!("client thread {cli}"), move || f(cli, &mut cfg.make_client(&cfg.all())))
    });
    clients.collect()
}

/// Splits the servers at random into two groups, again and again. (Go: `partitioner`.)
fn partition_at_random(cfg: &Config, done: &AtomicBool) {
    while !done.load(Ordering::SeqCst) {
        let (p1, p2): (Vec<usize>, Vec<usize>) = cfg.all().into_iter().partition(|_| rand::random());
        cfg.partition(&p1, &p2);
        sleep(ELECTION_TIMEOUT + Duration::from_millis(rand::rng().random_range(0..200)));
    }
}

/// Empties the client's own key, then appends to it or compares it with what it must be; returns the number of
/// appends.
fn append_and_get(cli: usize, client: &mut Client, done: &AtomicBool) -> usize {
    let key = cli.to_string();
    let mut last = String::new();
    let mut j = 0;
    client.put(&key, &last);
    while !done.load(Ordering::SeqCst) {
        if rand::random() {
            let value = nth(cli, j);
            client.append(&key, &value);
            last.push_str(&value);
            j += 1;
        } else {
            let value = client.get(&key);
            if value != last {
                let same = value.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
                panic!(
                    "get wrong value, key {key}: wanted {} bytes, got {}; they differ from byte {same} on: \
                     wanted {:?}, got {:?}",
                    last.len(),
                    value.len(),
                    excerpt(&last[same..]),
                    excerpt(&value[same..])
                );
            }
        }
    }
    j
}

/// What all clients have done and seen, with the times.
struct History {
    begun: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    operations: Vec<Operation<KvInput, KvOutput>>,
    /// What the picture calls each of them.
    names: Vec<u64>,
}

impl History {
    /// Runs an operation and records it.
    fn record(&self, client: &mut Client, op: KvOp, key: String, value: String) {
        let call = self.now();
        let got = match op {
            KvOp::Get => client.get(&key),
            KvOp::Put => {
                client.put(&key, &value);
                String::new()
            }
            KvOp::Append => {
                client.append(&key, &value);
                String::new()
            }
        };
        let ret = self.now();
        let operation =
            Operation { input: KvInput { op, key, value }, call, output: KvOutput { value: got }, ret };
        let mut recorded = self.recorded.lock();
        recorded.operations.push(operation);
        recorded.names.push(client.last_operation());
    }

    /// Nanoseconds since the test began.
    fn now(&self) -> i64 {
        self.begun.elapsed().as_nanos() as i64
    }

    #[track_caller]
    fn check(&self) {
        let Recorded { operations, names } = &*self.recorded.lock();
        match check_operations_timeout(&KvModel, operations, LINEARIZABILITY_CHECK_TIMEOUT) {
            CheckResult::Ok => {}
            CheckResult::Illegal => panic!(
                "history of {} operations is not linearizable{}",
                operations.len(),
                explain(operations, names, self.begun)
            ),
            CheckResult::Unknown => println!(
                "info: whether the history of {} operations is linearizable was not found out in {} s; \
                 counted as passed",
                operations.len(),
                LINEARIZABILITY_CHECK_TIMEOUT.as_secs()
            ),
        }
    }
}

/// Says of a history that is not linearizable how far an order of the operations explains it, in words and for the
/// picture. Nothing when no picture is wanted: it takes longer than the check.
fn explain(operations: &[Operation<KvInput, KvOutput>], names: &[u64], begun: Instant) -> String {
    if !harness::picture::is_on() {
        return String::new();
    }
    let parts = explain_operations(&KvModel, operations, EXPLANATION_LIMIT).parts;
    let began = harness::elapsed().saturating_sub(begun.elapsed());
    let named = |indexes: &[usize]| indexes.iter().map(|i| names[*i]).collect();
    let mut broken: Vec<_> = parts.iter().filter(|part| part.result == CheckResult::Illegal).collect();
    // What broke first comes first.
    broken.sort_by_key(|part| part.prefixes[0].refused.first().map(|i| operations[*i].ret));
    let findings: Vec<Finding> = (broken.into_iter())
        .map(|part| {
            let prefix = &part.prefixes[0];
            Finding {
                order: named(&prefix.order),
                refused: named(&prefix.refused),
                part: named(&part.operations),
                note: describe(operations, part, prefix, began),
            }
        })
        .collect();
    let text = findings.iter().map(|finding| format!("\n  {}", finding.note)).collect();
    harness::picture::found(findings);
    text
}

/// What breaks a part of the history, all of which is about one key. The history began so long after the title.
fn describe(
    operations: &[Operation<KvInput, KvOutput>],
    part: &PartExplanation,
    prefix: &Prefix,
    began: Duration,
) -> String {
    let mut value = String::new();
    for KvInput { op, value: new, .. } in prefix.order.iter().map(|i| &operations[*i].input) {
        match op {
            KvOp::Get => {}
            KvOp::Put => value.clone_from(new),
            KvOp::Append => value.push_str(new),
        }
    }
    let (done, all) = (prefix.order.len(), part.operations.len());
    let held = harness::excerpt(&value);
    let key = &operations[part.operations[0]].input.key;
    let mut text =
        format!("key {key:?}: an order explains {done} of its {all} operations; then it holds {held}");
    if let Some(broken) = prefix.refused.first().map(|i| &operations[*i]) {
        let [call, ret] = [broken.call, broken.ret].map(|time| began.as_secs_f64() + time as f64 / 1e9);
        let got = harness::excerpt(&broken.output.value);
        text += &format!(", but a get from {call:.6} s to {ret:.6} s got {got}");
    }
    text
}

/// Appends, puts and gets, on keys that all clients share.
fn work_on_all_keys(cli: usize, client: &mut Client, keys: usize, done: &AtomicBool, history: &History) {
    let mut j = 0;
    while !done.load(Ordering::SeqCst) {
        let key = rand::rng().random_range(0..keys).to_string();
        let op = match rand::rng().random_range(0..1000) {
            0..500 => KvOp::Append,
            // One in ten of the others.
            500..550 => KvOp::Put,
            _ => KvOp::Get,
        };
        let value = if op == KvOp::Get { String::new() } else { nth(cli, j) };
        j += usize::from(op != KvOp::Get);
        history.record(client, op, key, value);
    }
}

fn test_unreliable_one_key_3a() {
    const CLIENTS: usize = 5;
    const APPENDS: usize = 10;
    let cfg = Config::new(3, true, None);
    let mut ck = cfg.make_client(&cfg.all());
    cfg.begin("Test: concurrent append to same key, unreliable (3A)");

    ck.put("k", "");
    let clients: Clients<()> = spawn_clients(&cfg, CLIENTS, |cli, client| {
        (0..APPENDS).for_each(|j| client.append("k", &nth(cli, j)));
    });
    clients.into_iter().for_each(Task::wait);
    check_appends(&ck.get("k"), &[APPENDS; CLIENTS]);

    cfg.end();
    cfg.cleanup();
}

/// The titles of the one-partition scenario, in its order.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    ProgressInMajority,
    NoProgressInMinority,
    CompletionAfterHeal,
}

fn test_one_partition_progress_in_majority_3a() {
    one_partition(Stage::ProgressInMajority);
}

fn test_one_partition_no_progress_in_minority_3a() {
    one_partition(Stage::NoProgressInMinority);
}

fn test_one_partition_completion_after_heal_3a() {
    one_partition(Stage::CompletionAfterHeal);
}

/// One scenario with three titles, in Go one function. Here each title is a test, which runs the scenario from its
/// beginning and reports on its own stage.
fn one_partition(title: Stage) {
    let cfg = Config::new(5, false, None);
    let mut ck = cfg.make_client(&cfg.all());
    ck.put("1", "13");

    let begin = |stage: Stage, description: &str| {
        if stage == title {
            cfg.begin(description);
        }
    };
    let end = |stage: Stage| {
        if stage == title {
            cfg.end();
        }
        stage == title
    };

    begin(Stage::ProgressInMajority, "Test: progress in majority (3A)");
    let (p1, p2) = cfg.make_partition();
    cfg.partition(&p1, &p2);
    let mut ckp1 = cfg.make_client(&p1);
    ckp1.put("1", "14");
    ckp1.check("1", "14");
    if end(Stage::ProgressInMajority) {
        return cfg.cleanup();
    }

    begin(Stage::NoProgressInMinority, "Test: no progress in minority (3A)");
    let minority = Minority::start(&cfg, &p2);
    minority.check_pending(Duration::from_secs(1));
    ckp1.check("1", "14");
    ckp1.put("1", "16");
    ckp1.check("1", "16");
    if end(Stage::NoProgressInMinority) {
        // The clerks of the minority can be ended in no other way; how long that takes is the next title's business.
        minority.heal(&cfg);
        minority.check_completed(harness::LIMIT);
        return cfg.cleanup();
    }

    begin(Stage::CompletionAfterHeal, "Test: completion after heal (3A)");
    minority.heal(&cfg);
    sleep(ELECTION_TIMEOUT);
    minority.check_completed(Duration::from_secs(3));
    ck.check("1", "15");
    end(Stage::CompletionAfterHeal);
    cfg.cleanup();
}

/// Two operations that begin in the minority.
struct Minority {
    put: Task<()>,
    get: Task<()>,
    /// The clients' ends.
    ends: [Vec<String>; 2],
}

impl Minority {
    fn start(cfg: &Arc<Config>, servers: &[usize]) -> Minority {
        let [mut putter, mut getter] = [cfg.make_client(servers), cfg.make_client(servers)];
        let ends = [putter.ends(), getter.ends()];
        let put = harness::spawn("client thread: put in minority", move || putter.put("1", "15"));
        let get = harness::spawn("client thread: get in minority", move || drop(getter.get("1")));
        Minority { put, get, ends }
    }

    #[track_caller]
    fn check_pending(&self, duration: Duration) {
        let until = Instant::now() + duration;
        for (name, task) in [("put", &self.put), ("get", &self.get)] {
            let early = task.result().recv_deadline(until) != Err(RecvTimeoutError::Timeout);
            assert!(!early, "{name} in minority completed");
        }
    }

    fn heal(&self, cfg: &Config) {
        cfg.connect_all();
        self.ends.iter().for_each(|ends| cfg.connect_client(ends, &cfg.all()));
    }

    /// Go forgets to wait for the get.
    #[track_caller]
    fn check_completed(&self, limit: Duration) {
        let until = Instant::now() + limit;
        for (name, task) in [("put", &self.put), ("get", &self.get)] {
            assert!(task.result().recv_deadline(until).is_ok(), "{name} did not complete");
        }
    }
}

/// A request that its client sends again while its first copy is still on its way to be committed: the new leader has
/// that copy in its log, and cannot commit it before an entry of its own term, which is the second copy.
fn test_append_outlives_its_leader_extra() {
    let cfg = Config::new(5, false, None);
    let mut ck = cfg.make_client(&cfg.all());
    cfg.begin("Test (extra): an append that outlives its leader happens once");
    ck.put("k", "");

    // The leader has one follower left: it takes the append, and cannot commit it.
    let leader = wait_for_leader(&cfg);
    let [heir, a, b, c] = [1, 2, 3, 4].map(|i| (leader + i) % 5);
    [a, b, c].into_iter().for_each(|i| cfg.shutdown_server(i));
    let mut client = cfg.make_client(&[leader, heir]);
    let ends = client.ends();
    let append = harness::spawn("client thread: append", move || client.append("k", &nth(0, 0)));
    sleep(ELECTION_TIMEOUT);

    // A majority of which only that follower can be elected: the others lack the append.
    cfg.disconnect_client(&ends, &[leader]);
    [a, b].into_iter().for_each(|i| cfg.start_server(i));
    cfg.partition(&[heir, a, b], &[leader, c]);
    cfg.connect_client(&ends, &[a, b]);
    append.wait();
    check_appends(&ck.get("k"), &[1]);

    cfg.end();
    cfg.cleanup();
}

/// A server that lacks entries which the others no longer have gets their snapshot.
fn test_snapshot_rpc_3b() {
    let cfg = Config::new(3, false, MAXRAFTSTATE);
    let mut ck = cfg.make_client(&cfg.all());
    cfg.begin("Test: InstallSnapshot RPC (3B)");
    ck.put("a", "A");
    ck.check("a", "A");

    // Many puts without server 2, whose entries do not stay in the logs of the others. (The values are long, so that a
    // log with all of them is too large; in Go they are not, and a log is too large by what else is in its entries.)
    let value = |i: usize| format!("{i:100}");
    cfg.partition(&[0, 1], &[2]);
    let mut ck1 = cfg.make_client(&[0, 1]);
    (0..50).for_each(|i| ck1.put(&i.to_string(), &value(i)));
    sleep(ELECTION_TIMEOUT);
    ck1.put("b", "B");
    check_logs_are_trimmed(&cfg);

    // A majority that needs server 2, so that it has to catch up.
    cfg.partition(&[0, 2], &[1]);
    let mut ck1 = cfg.make_client(&[0, 2]);
    ck1.put("c", "C");
    ck1.put("d", "D");
    [("a", "A"), ("b", "B"), ("1", &value(1)), ("49", &value(49))]
        .into_iter()
        .for_each(|(key, value)| ck1.check(key, value));

    cfg.partition(&[0, 1, 2], &[]);
    ck.put("e", "E");
    [("c", "C"), ("e", "E"), ("1", &value(1))].into_iter().for_each(|(key, value)| ck.check(key, value));

    cfg.end();
    cfg.cleanup();
}

/// What is saved does not grow with the number of operations.
fn test_snapshot_size_3b() {
    // Generous for one key and one client.
    const MAX_SNAPSHOT: usize = 500;
    let cfg = Config::new(3, false, MAXRAFTSTATE);
    let mut ck = cfg.make_client(&cfg.all());
    cfg.begin("Test: snapshot size is reasonable (3B)");

    for _ in 0..200 {
        for value in ["0", "1"] {
            ck.put("x", value);
            ck.check("x", value);
        }
    }
    check_logs_are_trimmed(&cfg);
    for (i, size) in cfg.snapshot_sizes().into_iter().enumerate() {
        assert!(size <= MAX_SNAPSHOT, "server {i}: snapshot too large ({size} > {MAX_SNAPSHOT})");
    }

    cfg.end();
    cfg.cleanup();
}

/// All servers crash, one of them right after one of its saves, whichever it is: what it has saved by then must go
/// together. A log without its beginning is worth nothing if the snapshot that has it is saved a moment later.
fn test_crash_after_any_save_extra() {
    const CLIENTS: usize = 3;
    // Small: every few saves are those of a snapshot.
    let cfg = Config::new(3, false, Some(100));
    cfg.begin("Test (extra): a crash after any save loses nothing");

    let done = Arc::new(AtomicBool::new(false));
    let clients: Clients<usize> = spawn_clients(&cfg, CLIENTS, {
        let done = done.clone();
        move |cli, client| append_and_get(cli, client, &done)
    });
    let mut ck = cfg.make_client(&cfg.all());
    for round in 0..20 {
        // There is a leader, and the clients go on.
        ck.put("round", &round.to_string());
        let first = round % 3;
        cfg.shutdown_at_save(first, rand::rng().random_range(1..=10));
        (1..3).for_each(|i| cfg.shutdown_server((first + i) % 3));
        cfg.all().into_iter().for_each(|i| cfg.start_server(i));
        cfg.connect_all();
        ck.check("round", &round.to_string());
    }
    done.store(true, Ordering::SeqCst);
    for (cli, appended) in clients.into_iter().enumerate() {
        let mut counts = vec![0; CLIENTS];
        counts[cli] = appended.wait();
        check_appends(&ck.get(&cli.to_string()), &counts);
    }

    cfg.end();
    cfg.cleanup();
}

fn wait_for_leader(cfg: &Config) -> usize {
    let begun = Instant::now();
    while begun.elapsed() < 10 * ELECTION_TIMEOUT {
        if let Some(leader) = cfg.leader() {
            return leader;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("no server leads {:?} after a put succeeded", begun.elapsed());
}
