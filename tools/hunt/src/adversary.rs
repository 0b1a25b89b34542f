//! Makes the scenario's faults happen, and ends them.

use crate::cluster::{Cluster, Demand, Host, Instant as Moment, any};
use crate::scenario::{Fault, When};
use harness::record;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the adversary looks for what is due, and the monitor asks the servers for their roles.
const TICK: Duration = Duration::from_millis(3);

/// How long it waits for a leader in the middle of a fault.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How many leaders it cuts off until a certain server leads.
const ELECTIONS: usize = 8;

/// With more busy threads than this, no further server crashes. A solution written as in Go may leave the threads of a killed
/// server running. When hundreds of servers have been killed, theirs would take the processor from those that live.
const CROWD: usize = 300;

/// How long it waits for a client to send a request.
const PATIENCE_WITH_CLIENT: Duration = Duration::from_millis(100);

/// Asks all servers for their roles, again and again, until `over`: each answer is checked.
pub(crate) fn monitor<H: Host>(cluster: &Cluster<H>, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        for i in 0..cluster.n {
            cluster.state(i);
        }
        sleep(TICK);
    }
}

/// Disturbs the servers for as long as the scenario says.
pub(crate) fn disturb<H: Host>(cluster: &Arc<Cluster<H>>) {
    let n = cluster.n;
    let mut adversary = Adversary {
        cluster,
        end: Instant::now() + cluster.scenario.duration(),
        restarts: vec![None; n],
        heal_at: None,
        clients_heal_at: None,
        crashed_leader: 0,
        is_over: false,
    };
    adversary.run();
}

struct Adversary<'a, H: Host> {
    cluster: &'a Arc<Cluster<H>>,
    end: Instant,
    /// When each server that is down is started again.
    restarts: Vec<Option<Instant>>,
    /// When the links between servers are all restored.
    heal_at: Option<Instant>,
    /// When clients reach all servers again.
    clients_heal_at: Option<Instant>,
    /// The newest term whose leader may have been crashed for having been elected.
    crashed_leader: u64,
    is_over: bool,
}

impl<H: Host> Adversary<'_, H> {
    fn run(&mut self) {
        let faults = self.cluster.scenario.faults.iter().copied();
        let sudden: Vec<Fault> = faults.filter(|fault| fault.when() == When::Suddenly).collect();
        while !self.is_over {
            self.pass(5..150);
            if self.is_over {
                break;
            }
            if let Some(fault) = any(&sudden) {
                self.cause(fault);
            }
        }
    }

    /// Lets time pass, and does what is due.
    fn pass(&mut self, millis: Range<u64>) {
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(millis));
        self.pass_until(until, |_| false);
    }

    /// Lets time pass until `until`, or until `is_enough`.
    fn pass_until(&mut self, until: Instant, is_enough: impl Fn(&Cluster<H>) -> bool) {
        while Instant::now() < until && !self.is_over && !is_enough(self.cluster) {
            sleep(TICK);
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.is_over = Instant::now() >= self.end;
        self.cluster.bury();
        if self.heal_at.is_some_and(|at| Instant::now() >= at) {
            self.heal_at = None;
            self.restore();
        }
        if self.clients_heal_at.is_some_and(|at| Instant::now() >= at) {
            self.clients_heal_at = None;
            self.cluster.cut_clients(|_, _| false);
        }
        if self.cluster.scenario.has(Fault::CrashElected)
            && let Some((term, leader)) = self.cluster.newest_leader()
            && term > self.crashed_leader
        {
            self.crashed_leader = term;
            if percent(60) && !is_crowded() {
                sleep(Duration::from_micros(rand::rng().random_range(0..5000)));
                self.cluster.crash(leader, Some("crashes soon after its election"));
                self.cluster.bury();
            }
        }
        self.restart();
    }

    /// Starts the servers that have been down for long enough.
    fn restart(&mut self) {
        for i in 0..self.cluster.n {
            if self.cluster.instance(i).is_some() {
                self.restarts[i] = None;
                continue;
            }
            let has_slow_restarts = self.cluster.scenario.has(Fault::SlowRestarts);
            let at = *self.restarts[i].get_or_insert_with(|| {
                let millis = if has_slow_restarts { 100..1000 } else { 0..20 };
                Instant::now() + Duration::from_millis(rand::rng().random_range(millis))
            });
            if Instant::now() < at {
                continue;
            }
            self.restarts[i] = None;
            self.cluster.start(i, Some("starts again"));
            while self.cluster.scenario.has(Fault::CrashAtRestart) && percent(50) && !is_crowded() {
                sleep(Duration::from_micros(rand::rng().random_range(0..3000)));
                self.cluster.crash(i, Some("crashes again before it can send a message"));
                self.cluster.bury();
                self.cluster.start(i, Some("starts again"));
            }
            self.cluster.attach(i);
        }
    }

    /// Makes a fault happen.
    fn cause(&mut self, fault: Fault) {
        if fault.makes_servers_crash() && is_crowded() {
            return;
        }
        let n = self.cluster.n;
        let rng = &mut rand::rng();
        let millis = rng.random_range(10..600);
        let pause = Duration::from_millis(millis);
        match fault {
            Fault::OneWayCut => {
                let (from, to) = (self.some_server(), rng.random_range(0..n));
                record::note(format!("requests of server {from} do not reach server {to}"));
                self.cut(50..900, |i, j| (i, j) != (from, to));
            }
            Fault::Partition => {
                let mut servers: Vec<usize> = (0..n).collect();
                servers.shuffle(rng);
                let (group, other) = servers.split_at(rng.random_range(1..=n / 2));
                let at = harness::elapsed();
                let has_changed = self.cut(50..900, |i, j| group.contains(&i) == group.contains(&j));
                // The same partition again is no news.
                if has_changed {
                    record::note_late(at, separation(group, other));
                }
            }
            Fault::LeaderCut => {
                if let Some(leader) = self.leader() {
                    let group = self.minority_of(leader);
                    self.cut(50..900, |i, j| group.contains(&i) == group.contains(&j));
                }
            }
            Fault::LeaderTwice => self.change_leader_twice(),
            Fault::ClientCut => {
                let i = self.some_server();
                // Others go on, if there are any.
                let cut = rng.random_range(0..self.cluster.scenario.clients);
                record::note(format!("client {cut} does not reach server {i} for {millis} ms"));
                self.cluster.cut_clients(|client, server| (client, server) == (cut, i));
                self.clients_heal_at = Some(Instant::now() + pause);
            }
            Fault::ClientAway => self.send_client_away(),
            Fault::LeaderAgain => self.bring_leader_back(),
            Fault::ThreadPause => {
                let i = self.some_server();
                record::note(format!("a thread of server {i} stands still for {millis} ms"));
                harness::pause_thread(i, pause, |threads| rand::rng().random_range(0..threads));
            }
            Fault::ServerPause => {
                let i = self.some_server();
                record::note(format!("server {i} stands still for {millis} ms"));
                harness::pause_server(i, pause);
            }
            Fault::Standstill => self.stand_still(),
            Fault::Crash => {
                let i = self.some_server();
                self.cluster.crash(i, Some("crashes"));
                self.cluster.bury();
            }
            Fault::CrashBeforeSave => self.trap(Moment::BeforeSave),
            Fault::CrashAfterSave => self.trap(Moment::AfterSave),
            Fault::CrashAfterReply => self.trap(Moment::AfterReply),
            Fault::CrashAfterRequest => self.trap(Moment::AfterRequest),
            Fault::CrashAll => self.crash_all(),
            fault => unreachable!("the adversary does not choose when {} happens", fault.name()),
        }
    }

    /// Cuts links for a time: those for which `stays` is false. Returns whether that changes anything.
    fn cut(&mut self, millis: Range<u64>, stays: impl Fn(usize, usize) -> bool) -> bool {
        let has_changed = self.cluster.set_links(stays);
        self.heal_at = Some(Instant::now() + Duration::from_millis(rand::rng().random_range(millis)));
        has_changed
    }

    fn trap(&self, moment: Moment) {
        self.cluster.set_trap(self.some_server(), moment, rand::rng().random_range(0..4));
    }

    /// A server: often the leader.
    fn some_server(&self) -> usize {
        let any = rand::rng().random_range(0..self.cluster.n);
        if percent(40) { self.leader().unwrap_or(any) } else { any }
    }

    /// The newest leader that the monitor has seen. It may have stopped leading.
    fn leader(&self) -> Option<usize> {
        self.cluster.newest_leader().map(|(_, leader)| leader)
    }

    /// The leader, alone or with other servers, but less than a majority. Notes that they are cut off.
    fn minority_of(&self, leader: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..self.cluster.n).filter(|i| *i != leader).collect();
        others.shuffle(&mut rand::rng());
        let size = rand::rng().random_range(1..=self.cluster.n.div_ceil(2) - 1);
        let group: Vec<usize> = std::iter::once(leader).chain(others).take(size).collect();
        record::note(match group[..] {
            [_] => format!("leader {leader} is cut off"),
            _ => format!("leader {leader} is cut off, with {:?}", sorted(&group[1..])),
        });
        group
    }

    /// Stops all servers, or all but the leader and perhaps others, until their election timers are over.
    fn stand_still(&mut self) {
        let n = self.cluster.n;
        let millis = rand::rng().random_range(600..1000);
        let leader = self.leader().filter(|_| percent(60));
        let mut still: Vec<usize> = (0..n).filter(|i| Some(*i) != leader).collect();
        if leader.is_some() && still.len() > 2 {
            still.shuffle(&mut rand::rng());
            still.truncate(rand::rng().random_range(2..=still.len()));
        }
        record::note(format!("servers {:?} stand still for {millis} ms", sorted(&still)));
        if let Some(leader) = leader {
            // Otherwise its heartbeats, which wait for the servers that stand still, would restart their timers.
            record::note(format!("requests of server {leader} do not arrive"));
            self.cut(millis..millis + 50, |i, _| i != leader);
        }
        still.iter().for_each(|i| harness::pause_server(*i, Duration::from_millis(millis)));
        self.pass(millis..millis + 50);
    }

    /// Cuts a client off while one of its operations is under way, and crashes all servers before it is back.
    fn send_client_away(&mut self) {
        let away = rand::rng().random_range(0..self.cluster.scenario.clients);
        self.clients_heal_at = None;
        let sent = self.cluster.requests_of_client(away);
        let until = Instant::now() + PATIENCE_WITH_CLIENT;
        while Instant::now() < until && self.cluster.requests_of_client(away) == sent {
            sleep(Duration::from_micros(200));
        }
        sleep(Duration::from_micros(rand::rng().random_range(0..10_000)));
        record::note(format!("client {away} reaches no server, and gets no reply"));
        self.cluster.cut_clients(|client, _| client == away);
        self.pass(200..800);
        self.crash_all();
        self.pass(0..200);
        record::note(format!("client {away} reaches all servers again"));
        self.cluster.cut_clients(|_, _| false);
    }

    /// Makes a leader lead again, after its log has grown without a majority and was cut; then does the same to it again.
    fn bring_leader_back(&mut self) {
        let Some((term, first)) = self.cluster.newest_leader() else { return };
        self.heal_at = None;
        let newest = self.maroon(first, term, 10..60);
        self.cluster.set_demand(Demand::Usual);
        self.pass(10..100);
        self.cluster.set_demand(Demand::Quiet);
        self.restore();
        self.pass(20..150);
        let Some(mut term) = newest else {
            self.cluster.set_demand(Demand::Usual);
            return;
        };
        // Others may be elected before it.
        for _ in 0..ELECTIONS {
            let Some((newer, leader)) = self.cluster.newest_leader() else { break };
            term = newer;
            if leader == first || self.is_over {
                break;
            }
            record::note(format!("leader {leader} is cut off"));
            self.cluster.set_links(|i, j| i != leader && j != leader);
            self.wait_for_a_leader_after(term);
            self.restore();
        }
        if self.cluster.newest_leader().is_some_and(|(_, leader)| leader == first) {
            self.pass(0..50);
            self.maroon(first, term, 1..10);
        }
        self.cluster.set_demand(Demand::Usual);
        self.pass(10..100);
        self.restore();
    }

    /// Cuts off the leader of `term` with less than a majority, gives it commands, and waits until another server leads.
    /// Returns that one's term.
    fn maroon(&mut self, leader: usize, term: u64, commands: Range<usize>) -> Option<u64> {
        let group = self.minority_of(leader);
        self.cluster.set_links(|i, j| group.contains(&i) == group.contains(&j));
        let commands = rand::rng().random_range(commands);
        self.cluster.set_demand(Demand::Rush { server: leader, commands });
        self.wait_for_a_leader_after(term)
    }

    /// Waits for a leader with a higher term, but not for long. Returns its term.
    fn wait_for_a_leader_after(&mut self, term: u64) -> Option<u64> {
        let newer = |cluster: &Cluster<H>| {
            cluster.newest_leader().map(|(newer, _)| newer).filter(|newer| *newer > term)
        };
        self.pass_until(Instant::now() + PATIENCE, |cluster| newer(cluster).is_some());
        newer(self.cluster)
    }

    fn restore(&self) {
        let at = harness::elapsed();
        if self.cluster.set_links(|_, _| true) {
            record::note_late(at, "all links are restored".to_string());
        }
    }

    /// Cuts the leader off until another server leads; then cuts that one off, and lets the first one return.
    fn change_leader_twice(&mut self) {
        let Some((term, first)) = self.cluster.newest_leader() else { return };
        let group = self.minority_of(first);
        self.heal_at = None;
        self.cluster.set_links(|i, j| group.contains(&i) == group.contains(&j));
        let newer = self.wait_for_a_leader_after(term);
        self.pass(0..100);
        if newer.is_some()
            && let Some((term, second)) = self.cluster.newest_leader()
        {
            let group = self.minority_of(second);
            self.cluster.set_links(|i, j| group.contains(&i) == group.contains(&j));
            self.wait_for_a_leader_after(term);
            self.pass(0..100);
        }
        self.restore();
    }

    /// Crashes all servers at once, and starts them again, in any order.
    fn crash_all(&mut self) {
        let mut servers: Vec<usize> = (0..self.cluster.n).collect();
        servers.shuffle(&mut rand::rng());
        record::note("all servers crash");
        servers.iter().for_each(|i| self.cluster.crash(*i, None));
        self.cluster.bury();
        sleep(Duration::from_millis(rand::rng().random_range(0..20)));
        record::note("all servers start again");
        servers.iter().for_each(|i| self.cluster.start(*i, None));
        self.cluster.check_terms_kept();
        self.cluster.attach_all();
    }
}

/// Servers in the order of their numbers.
fn sorted(servers: &[usize]) -> Vec<usize> {
    let mut sorted = servers.to_vec();
    sorted.sort_unstable();
    sorted
}

/// A partition in words: equal partitions have equal words.
fn separation(group: &[usize], other: &[usize]) -> String {
    let mut sides = [sorted(group), sorted(other)];
    sides.sort_by_key(|side| (side.len(), side.clone()));
    let [smaller, larger] = sides;
    format!("a partition separates {smaller:?} from {larger:?}")
}

fn is_crowded() -> bool {
    harness::busy_threads() > CROWD
}

fn percent(percent: u32) -> bool {
    rand::rng().random_ratio(percent, 100)
}
