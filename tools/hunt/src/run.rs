//! One hunted run, in the process of the test: from the start of the servers to their end.

use crate::adversary::{disturb, monitor};
use crate::cluster::{Cluster, Host};
use crate::scenario::{Fault, Scenario};
use harness::{Task, record};
use parking_lot::Mutex;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How soon after the last fault a server must lead, and how soon after that the servers must agree. The lab says that a
/// leader must be elected within five seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest time that an operation may take on a calm network, if it does not wait for a heartbeat: half of the time
/// between two heartbeats, of which the lab allows about ten a second. Most operations must take less.
const FASTER_THAN_HEARTBEATS: Duration = Duration::from_millis(50);

/// How many operations are timed.
const TIMED: usize = 31;

/// How long, at most, clients go on after the last fault.
const CATCHING_UP: Duration = Duration::from_millis(400);

/// How often something that should happen is looked for.
pub const POLL: Duration = Duration::from_millis(1);

/// The scenario of the run that this process is to make.
///
/// # Panics
/// If this process was not told to make one.
pub fn scenario() -> Scenario {
    let text = harness::scenario().unwrap_or_else(|| panic!("this test is run by `make hunt` only"));
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// A run under way.
pub struct Run<H: Host> {
    /// The servers.
    pub cluster: Arc<Cluster<H>>,
    over: Arc<AtomicBool>,
    monitor: Task<()>,
    /// How long RPCs that were sent while there were faults may still be pending after the last fault.
    late: Duration,
    /// The servers that are cut off to see whether the others go on.
    cut: Mutex<Option<String>>,
}

impl<H: Host> Run<H> {
    /// Starts the scenario's servers.
    pub fn begin(host: H, scenario: Scenario, title: &str) -> Run<H> {
        harness::begin(&format!("{title}: {scenario}"));
        let late = [
            (Fault::Timeouts, 7000),
            (Fault::Reordering, 2200),
            (Fault::Delays, 600),
            (Fault::Stalls, 800),
            (Fault::Standstill, 1000),
        ]
        .map(|(fault, millis)| if scenario.has(fault) { millis } else { 0 });
        let late = Duration::from_millis(late.into_iter().max().unwrap_or(0) + 600);
        let cluster = Cluster::new(host, scenario);
        let over = Arc::new(AtomicBool::new(false));
        let monitor = harness::spawn("monitor", {
            let (cluster, over) = (cluster.clone(), over.clone());
            move || monitor(&cluster, &over)
        });
        Run { cluster, over, monitor, late, cut: Mutex::default() }
    }

    /// Disturbs the servers for as long as the scenario says, and then lets them elect a leader in peace. The clients must
    /// work until it returns.
    pub fn disturb(&self) {
        disturb(&self.cluster);
        record::note("the faults are over: all servers run and are connected");
        self.cluster.calm();
        let calm_since = harness::elapsed();
        let cluster = &self.cluster;
        self.soon(
            || has_leader(cluster),
            || {
                let states: Vec<String> = (0..cluster.n).map(|i| describe(cluster, i)).collect();
                format!("there is no leader{}: {}", record::votes_asked_since(calm_since), states.join(", "))
            },
        );
        // In every other run, clients go on while servers that missed something catch up.
        if rand::rng().random() {
            sleep(rand::rng().random_range(Duration::ZERO..CATCHING_UP));
        }
    }

    /// Waits until something holds that must hold soon after the last fault, or soon after there is a leader. Fails the
    /// run if it takes too long: `why` says what does not hold.
    pub fn soon(&self, mut holds: impl FnMut() -> bool, why: impl FnOnce() -> String) {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > LIMIT + self.late {
                let seconds = (LIMIT + self.late).as_secs_f64();
                let since = match &*self.cut.lock() {
                    None => format!("{seconds:.1} s without faults, with all servers up and connected"),
                    Some(cut) => format!(
                        "all servers have been up for {seconds:.1} s, and connected except for {cut}, cut off on purpose"
                    ),
                };
                harness::fail(&format!("Liveness: {since}, and {}", why()));
            }
            sleep(POLL);
        }
    }

    /// Calls `check` while some of the servers are cut off, first others than the leader, and then the leader: a server may
    /// have gone wrong, and nobody sees it until that server is needed, or leads.
    pub fn with_each_majority(&self, mut check: impl FnMut()) {
        let cluster = &self.cluster;
        for _ in 0..cluster.n {
            let leader = cluster.newest_leader().map(|(_, leader)| leader);
            let mut group: Vec<usize> = (0..cluster.n).filter(|i| Some(*i) != leader).collect();
            group.shuffle(&mut rand::rng());
            group.truncate(cluster.n.div_ceil(2) - 1);
            group.sort_unstable();
            record::note(format!("servers {group:?} are cut off: the others must go on"));
            cluster.set_links(|i, j| group.contains(&i) == group.contains(&j));
            cluster.cut_clients(|_, server| group.contains(&server));
            self.with_cut(format!("{group:?}"), &mut check);
        }
        for _ in 0..cluster.n {
            let Some((term, leader)) = cluster.newest_leader() else { return };
            record::note(format!("leader {leader} is cut off: another server must lead"));
            cluster.set_links(|i, j| i != leader && j != leader);
            // A leader that is cut off need not notice it, and need not answer.
            cluster.cut_clients(|_, server| server == leader);
            let cut_since = harness::elapsed();
            self.with_cut(format!("[{leader}]"), || {
                self.soon(
                    || cluster.newest_leader().is_some_and(|(newer, _)| newer > term),
                    || format!("no other server leads{}", record::votes_asked_since(cut_since)),
                );
                check();
            });
        }
    }

    /// Calls `check` while some servers are cut off, and then connects them again. `cut`: these servers.
    fn with_cut(&self, cut: String, check: impl FnOnce()) {
        *self.cut.lock() = Some(cut);
        check();
        *self.cut.lock() = None;
        self.cluster.set_links(|_, _| true);
        self.cluster.cut_clients(|_, _| false);
    }

    /// Runs operations, one after the other, on the calm network. Each returns how long it has taken. Fails the run if most
    /// of them seem to have waited for a heartbeat. Does nothing if the strategy makes threads wait.
    pub fn check_speed(&self, operation: impl FnMut() -> Duration) {
        if !self.cluster.scenario.tells_speed() {
            return;
        }
        let mut times: Vec<Duration> = std::iter::repeat_with(operation).take(TIMED).collect();
        times.sort();
        let median = times[TIMED / 2];
        if median > FASTER_THAN_HEARTBEATS {
            harness::fail(&format!(
                "Speed: on a calm network, one operation after the other takes {} ms each (the median of {TIMED}): \
                 operations seem to wait for a heartbeat",
                median.as_millis()
            ));
        }
    }

    /// Ends the run, which has found nothing.
    pub fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        self.monitor.wait();
        self.cluster.cleanup();
    }
}

/// Whether the server with the highest term leads.
fn has_leader<H: Host>(cluster: &Cluster<H>) -> bool {
    (0..cluster.n).filter_map(|i| cluster.state(i)).max().is_some_and(|(_, is_leader)| is_leader)
}

fn describe<H: Host>(cluster: &Cluster<H>, i: usize) -> String {
    match cluster.state(i) {
        Some((term, true)) => format!("server {i} leads in term {term}"),
        Some((term, false)) => format!("server {i} is in term {term}"),
        None => format!("server {i} is down"),
    }
}
