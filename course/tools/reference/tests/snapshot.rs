//! Snapshots (Figure 13), step by step: what one server makes of what its leader, its followers and its service do,
//! in orders that random failures seldom bring about.
//!
//! These tests are of the reference solution alone: they need [`Raft::snapshot`] and know its messages.

use crossbeam_channel::{Receiver, bounded};
use labgob::Bytes;
use labrpc::{ClientEnd, Network, Server, Service, make_service};
use raft::{ApplyMsg, Persister, Raft};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    harness::run(&[
        ("stale_snapshots_are_ignored", stale_snapshots_are_ignored),
        ("appends_from_before_the_snapshot_are_taken", appends_from_before_the_snapshot_are_taken),
        ("entries_and_snapshots_are_applied_in_order", entries_and_snapshots_are_applied_in_order),
        ("a_restart_begins_with_the_snapshot", a_restart_begins_with_the_snapshot),
        ("a_services_snapshot_takes_nothing_back", a_services_snapshot_takes_nothing_back),
        ("a_crash_finds_log_and_snapshot_together", a_crash_finds_log_and_snapshot_together),
        ("the_size_is_that_of_the_log_that_is_left", the_size_is_that_of_the_log_that_is_left),
        ("a_long_log_is_added_to", a_long_log_is_added_to),
        ("one_snapshot_at_a_time_and_none_for_the_dead", one_snapshot_at_a_time_and_none_for_the_dead),
        ("a_large_snapshot_stops_nobody", a_large_snapshot_stops_nobody),
    ])
}

/// For what must happen: more than it can take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A short one, so that a test that waits for some takes no time.
const HEARTBEAT: Duration = Duration::from_millis(20);

/// The term of the test, when it plays the leader.
const TERM: u64 = 100;

// Raft's messages, field by field.

#[derive(Default, Serialize, Deserialize)]
struct VoteArgs {
    term: u64,
    candidate_id: usize,
    last_log_index: usize,
    last_log_term: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct VoteReply {
    term: u64,
    vote_granted: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Entry {
    term: u64,
    command: Bytes,
}

#[derive(Default, Serialize, Deserialize)]
struct AppendArgs {
    term: u64,
    leader_id: usize,
    prev_log_index: usize,
    prev_log_term: u64,
    entries: Vec<Entry>,
    leader_commit: usize,
}

#[derive(Default, Serialize, Deserialize)]
struct AppendReply {
    term: u64,
    success: bool,
    conflict_term: Option<u64>,
    conflict_index: usize,
}

#[derive(Default, Serialize, Deserialize)]
struct SnapshotArgs {
    term: u64,
    leader_id: usize,
    last_included_index: usize,
    last_included_term: u64,
    data: Bytes,
}

#[derive(Default, Serialize, Deserialize)]
struct SnapshotReply {
    term: u64,
}

/// What a service is told. The command at an index is that index, and so is what a snapshot holds.
#[derive(Debug, PartialEq)]
enum Applied {
    Entry(usize),
    Snapshot(usize),
}

use Applied::{Entry as E, Snapshot as S};

/// Server 0, whose leader and service are the test.
struct Follower {
    net: Network,
    rf: Arc<Raft>,
    saved: Arc<Persister>,
    applied: Receiver<ApplyMsg>,
    leader: ClientEnd,
}

impl Follower {
    fn start(saved: Persister) -> Follower {
        let (net, saved) = (Network::new(), Arc::new(saved));
        let (apply_ch, applied) = bounded(0);
        let rf = Raft::make(ends(&net, "0", 3), 0, saved.clone(), apply_ch);
        // It shall not stand for election. If it is faster, the test's term is newer all the same.
        rf.set_timing(PATIENCE, Duration::from_secs(1000)..Duration::from_secs(2000));
        let mut server = Server::new();
        server.add_service(make_service(rf.clone()));
        net.add_server(0, server);
        let leader = ends(&net, "leader", 1).remove(0);
        Follower { net, rf, saved, applied, leader }
    }

    /// Sends the entries of these indexes, all committed; whether they are accepted.
    fn append(&self, first: usize, last: usize) -> bool {
        let prev_log_term = if first == 1 { 0 } else { TERM };
        self.append_in(TERM, (first - 1, prev_log_term), last, last)
    }

    /// Sends the entries behind `prev`, of this index and term, to `last`, as the leader of `term`.
    fn append_in(&self, term: u64, prev: (usize, u64), last: usize, leader_commit: usize) -> bool {
        let (prev_log_index, prev_log_term) = prev;
        let entry = |i: usize| Entry { term, command: command(i) };
        let entries = (prev_log_index + 1..=last).map(entry).collect();
        let args = AppendArgs { term, leader_id: 1, prev_log_index, prev_log_term, entries, leader_commit };
        let mut reply = AppendReply::default();
        assert!(self.leader.call("Raft.AppendEntries", &args, &mut reply), "no reply to an append");
        reply.success
    }

    /// Sends a snapshot up to this index, as the leader of `term`.
    fn install(&self, term: u64, index: usize) {
        let args = SnapshotArgs {
            term,
            leader_id: 1,
            last_included_index: index,
            last_included_term: TERM,
            data: command(index),
        };
        let reply = self.leader.go::<_, SnapshotReply>("Raft.InstallSnapshot", &args);
        let reply = reply.recv_timeout(PATIENCE).expect("a handler never waits for the service");
        assert_eq!(reply.expect("no reply to a snapshot").term, TERM);
    }

    /// Whether it gives a candidate whose log is longer its vote.
    fn votes_for(&self, candidate_id: usize, term: u64) -> bool {
        let args = VoteArgs { term, candidate_id, last_log_index: 100_000, last_log_term: TERM };
        let mut reply = VoteReply::default();
        assert!(self.leader.call("Raft.RequestVote", &args, &mut reply), "no reply to a candidate");
        reply.vote_granted
    }

    #[track_caller]
    fn expect(&self, wanted: &[Applied]) {
        for wanted in wanted {
            let msg = self.applied.recv_timeout(PATIENCE);
            let msg = msg.unwrap_or_else(|_| panic!("expected {wanted:?}, and nothing was applied"));
            let got = match (msg.command_valid, msg.snapshot_valid) {
                (true, false) => E(msg.command_index),
                (false, true) => S(msg.snapshot_index),
                _ => panic!("a message is an entry or a snapshot: {msg:?}"),
            };
            assert_eq!(got, *wanted);
            let (E(index) | S(index)) = got;
            let content = if msg.command_valid { &msg.command } else { &msg.snapshot };
            assert_eq!(*content, command(index), "{got:?} holds something else");
        }
    }

    fn stop(self) {
        self.rf.kill();
        // Whatever it is sending finds nobody.
        drop(self.applied);
        self.net.cleanup();
    }
}

fn ends(net: &Network, name: &str, n: usize) -> Vec<ClientEnd> {
    let end = |j: usize| {
        let name = format!("{name} to {j}");
        let end = net.make_end(&name);
        net.connect(&name, j);
        net.enable(&name, true);
        end
    };
    (0..n).map(end).collect()
}

fn command(index: usize) -> Bytes {
    labgob::encode(&index).expect("a number can be encoded").into()
}

fn stale_snapshots_are_ignored() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());

    // What is in it is committed here already.
    server.install(TERM, 5);
    server.install(TERM, 10);
    assert_eq!(server.saved.snapshot_size(), 0, "a stale snapshot was saved");
    assert!(server.append(6, 11), "the log has lost entry 5 or a later one");
    server.expect(&[E(11)]);

    server.install(TERM, 20);
    server.expect(&[S(20)]);
    // Older ones come later, and one of a leader that is none any more.
    server.install(TERM, 15);
    server.install(TERM - 1, 30);
    assert_eq!(server.saved.read_snapshot(), command(20), "a stale snapshot was saved");
    server.append(21, 21);
    server.expect(&[E(21)]);
    server.stop();
}

fn appends_from_before_the_snapshot_are_taken() {
    let server = Follower::start(Persister::new());
    server.append(1, 3);
    // Without it, the snapshot may come before any of them is on its way, and have them all.
    server.expect(&[E(1)]);
    server.install(TERM, 20);
    // They were sent before, and tell what follows it too.
    assert!(server.append(4, 10), "an append that lies in the snapshot whole is refused");
    assert!(server.append(11, 25), "an append that begins in the snapshot is refused");
    assert!(!server.append(28, 30), "an append behind a gap is accepted");
    server.expect(&[E(2), E(3), S(20)]);
    server.expect(&(21..=25).map(E).collect::<Vec<_>>());
    server.stop();
}

fn entries_and_snapshots_are_applied_in_order() {
    let server = Follower::start(Persister::new());
    server.append(1, 3);
    // When the first is here, the others are on their way: the service is slow.
    server.expect(&[E(1)]);
    server.install(TERM, 10);
    server.append(11, 12);
    server.install(TERM, 20);
    server.append(21, 22);
    // What is on its way comes first; of the two snapshots, only the newer one is of use.
    server.expect(&[E(2), E(3), S(20), E(21), E(22)]);
    server.stop();
}

fn a_restart_begins_with_the_snapshot() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());
    server.rf.snapshot(7, command(7));
    let saved = server.saved.copy();
    server.stop();

    let server = Follower::start(saved);
    server.expect(&[S(7)]);
    assert_eq!(server.rf.get_state(), (TERM, false));
    // What is behind it is in the log, and applied when it is known to be committed.
    assert!(server.append(11, 11), "the log has lost what is behind the snapshot");
    server.expect(&(8..=11).map(E).collect::<Vec<_>>());
    server.stop();
}

fn a_services_snapshot_takes_nothing_back() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());
    server.rf.snapshot(6, command(6));
    // An older one: the service was slow, or has been overtaken by the leader's.
    server.rf.snapshot(4, command(4));
    assert_eq!(server.saved.read_snapshot(), command(6), "an older snapshot was saved");
    // Nothing is applied twice, and nothing of the log behind it is lost.
    assert!(server.append(11, 11), "the log has lost what is behind the snapshot");
    server.expect(&[E(11)]);
    server.rf.snapshot(11, command(11));
    server.append(12, 12);
    server.expect(&[E(12)]);
    server.stop();
}

/// After each single save there is a crash: what is there must be whole.
fn a_crash_finds_log_and_snapshot_together() {
    let server = Follower::start(Persister::new());
    let (saves, copies) = crossbeam_channel::unbounded();
    let saved = Arc::downgrade(&server.saved);
    server.saved.after_save(move || {
        let copy = saved.upgrade().map(|saved| saved.copy());
        saves.send(copy.expect("it is there while somebody saves")).expect("the test receives");
    });
    server.append(1, 5);
    server.expect(&(1..=5).map(E).collect::<Vec<_>>());
    server.rf.snapshot(3, command(3));
    server.install(TERM, 9);
    server.expect(&[S(9)]);
    server.rf.snapshot(9, command(9));
    server.append(10, 12);
    server.expect(&[E(10), E(11), E(12)]);
    server.rf.snapshot(11, command(11));
    server.stop();

    let copies: Vec<Persister> = copies.try_iter().collect();
    assert!(copies.len() >= 5, "{} saves", copies.len());
    for copy in copies {
        let begins = copy.read_snapshot();
        let server = Follower::start(copy);
        let first =
            if begins.is_empty() { 0 } else { labgob::decode(&begins).expect("a snapshot is an index") };
        if first > 0 {
            server.expect(&[S(first)]);
        }
        // A leader that has everything fills in the rest, and nothing is missing or doubled.
        server.install(TERM, 9);
        server.append(10, 13);
        let rest = if first < 9 { vec![S(9)] } else { Vec::new() };
        server.expect(&rest);
        server.expect(&(first.max(9) + 1..=13).map(E).collect::<Vec<_>>());
        server.stop();
    }
}

fn the_size_is_that_of_the_log_that_is_left() {
    // An entry's length, its Some, its term and its command's length take a byte each; so does this command.
    const ENTRY: usize = 1 + 4;
    let server = Follower::start(Persister::new());
    let size = || server.saved.raft_state_size();
    server.append(1, 1);
    let one = size();
    server.append(2, 50);
    assert_eq!(size(), one + 49 * ENTRY);
    server.append(51, 100);
    assert_eq!(size(), one + 99 * ENTRY, "it depends on how the entries came");
    server.expect(&(1..=100).map(E).collect::<Vec<_>>());
    server.rf.snapshot(90, command(90));
    assert!(size() < one + 10 * ENTRY, "{} bytes for ten entries", size());
    let ten = size();

    // Votes and terms replace each other.
    (TERM + 1..TERM + 101).for_each(|term| assert!(server.votes_for(2, term)));
    assert!(size() <= ten + 1, "{} bytes after a hundred votes, {ten} before", size());
    server.stop();
}

/// A vote costs the same however long the log is, and a restart finds it all.
fn a_long_log_is_added_to() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());
    assert!(server.append_in(TERM, (10, TERM), 5000, 10));
    let size = server.saved.raft_state_size();
    assert!(server.votes_for(2, TERM + 1));
    // Most of the log is not that leader's.
    assert!(server.append_in(TERM + 1, (3000, TERM), 3001, 10));
    let added = server.saved.raft_state_size() - size;
    assert!(added < 60, "a vote and an entry take {added} bytes");
    let saved = server.saved.copy();
    server.stop();

    let server = Follower::start(saved);
    assert!(!server.votes_for(1, TERM + 1), "it has voted for 2 in this term");
    assert!(!server.append_in(TERM + 1, (3002, TERM), 3002, 10), "what was deleted is there again");
    assert!(server.append_in(TERM + 1, (3001, TERM + 1), 3002, 3002), "the last entry is lost");
    server.expect(&(1..=3002).map(E).collect::<Vec<_>>());
    server.stop();
}

/// A follower that the test plays. It votes for everybody, and refuses appends if it lags.
struct Played {
    lags: bool,
    appends: AtomicUsize,
    snapshots: AtomicUsize,
    /// How many appends came before the first snapshot.
    before: AtomicUsize,
    /// An arriving snapshot takes until this is closed.
    busy: Receiver<()>,
}

impl Played {
    fn request_vote(&self, args: &VoteArgs, reply: &mut VoteReply) {
        *reply = VoteReply { term: args.term, vote_granted: true };
    }

    fn append_entries(&self, args: &AppendArgs, reply: &mut AppendReply) {
        self.appends.fetch_add(1, Ordering::SeqCst);
        *reply = AppendReply { term: args.term, success: !self.lags, conflict_term: None, conflict_index: 1 };
    }

    fn install_snapshot(&self, args: &SnapshotArgs, reply: &mut SnapshotReply) {
        if self.snapshots.fetch_add(1, Ordering::SeqCst) == 0 {
            self.before.store(self.appends.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let _ = self.busy.recv();
        reply.term = args.term;
    }
}

impl labrpc::Receiver for Played {
    fn service(self: Arc<Played>) -> Service {
        Service::new("Raft")
            .method("RequestVote", &self, Played::request_vote)
            .method("AppendEntries", &self, Played::append_entries)
            .method("InstallSnapshot", &self, Played::install_snapshot)
    }
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(1));
    }
}

fn one_snapshot_at_a_time_and_none_for_the_dead() {
    let net = Network::new();
    let (busy_end, busy) = bounded(0);
    let add = |i: usize, lags: bool| {
        let [appends, snapshots, before] = [0; 3].map(AtomicUsize::new);
        let played = Arc::new(Played { lags, appends, snapshots, before, busy: busy.clone() });
        let mut server = Server::new();
        server.add_service(make_service(played.clone()));
        net.add_server(i, server);
        played
    };
    (1..3).for_each(|i| drop(add(i, false)));
    let (apply_ch, applied) = bounded(0);
    let rf = Raft::make(ends(&net, "0", 5), 0, Arc::new(Persister::new()), apply_ch);
    wait_until("it leads", || rf.get_state().1);
    rf.set_timing(HEARTBEAT, Duration::from_secs(1000)..Duration::from_secs(2000));
    let (index, _, _) = rf.start(&1_usize);
    let msg = applied.recv_timeout(PATIENCE).expect("a majority has the entry");
    assert_eq!(msg.command_index, index);
    rf.snapshot(index, command(index));
    rf.start(&2_usize);

    // Two who have been away, and lack entry 1. They are found to be alive before they are sent anything large.
    for lagging in [add(3, true), add(4, true)] {
        wait_until("the snapshot comes", || lagging.snapshots.load(Ordering::SeqCst) > 0);
        assert!(lagging.before.load(Ordering::SeqCst) > 0, "a snapshot was sent to one who did not answer");
        let appends = || lagging.appends.load(Ordering::SeqCst);
        let before = appends();
        wait_until("heartbeats go on meanwhile", || appends() >= before + 10);
        let snapshots = lagging.snapshots.load(Ordering::SeqCst);
        assert_eq!(snapshots, 1, "{snapshots} snapshots are on their way to one follower");
    }
    rf.kill();
    drop((busy_end, applied));
    net.cleanup();
}

/// A member of a cluster, whose service keeps what it is told.
struct Member {
    rf: Arc<Raft>,
    saved: Arc<Persister>,
    applied: Receiver<ApplyMsg>,
}

impl Member {
    fn start(net: &Network, i: usize) -> Member {
        let saved = Arc::new(Persister::new());
        let (apply_ch, applied) = crossbeam_channel::unbounded();
        let rf = Raft::make(ends(net, &i.to_string(), 3), i, saved.clone(), apply_ch);
        let mut server = Server::new();
        server.add_service(make_service(rf.clone()));
        net.add_server(i, server);
        Member { rf, saved, applied }
    }

    fn next(&self) -> ApplyMsg {
        self.applied.recv_timeout(PATIENCE).expect("something is applied")
    }
}

/// What the process holds in memory, in MiB: now, and at most since `forget_peak`. None: the system does not tell.
fn memory() -> Option<[usize; 2]> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<usize>().ok()
    };
    Some([field("VmRSS")? >> 10, field("VmHWM")? >> 10])
}

fn forget_peak() -> Option<()> {
    std::fs::write("/proc/self/clear_refs", "5").ok()
}

/// A new server catches up with a snapshot of 100 MiB. Meanwhile the others go on, also while its service is busy with
/// it; and all that is in memory besides the snapshot itself is the request on its way, and what comes out of it.
fn a_large_snapshot_stops_nobody() {
    const MIB: usize = 100;
    const COMMANDS: usize = 200;
    let net = Network::new();
    let members = [0, 1].map(|i| Member::start(&net, i));
    wait_until("one leads", || members.iter().any(|member| member.rf.get_state().1));
    // Nobody else will, however slow this machine is.
    let no_elections =
        |rf: &Raft| rf.set_timing(HEARTBEAT, Duration::from_secs(1000)..Duration::from_secs(2000));
    members.iter().for_each(|member| no_elections(&member.rf));
    let leader = usize::from(members[1].rf.get_state().1);
    let agree = || {
        let (index, _, is_leader) = members[leader].rf.start(&0_usize);
        assert!(is_leader, "the leader has changed");
        members.iter().for_each(|member| assert_eq!(member.next().command_index, index));
        index
    };
    let index = agree();
    let snapshot: Bytes = vec![7; MIB << 20].into();
    members.iter().for_each(|member| member.rf.snapshot(index, snapshot.clone()));
    drop(snapshot);
    forget_peak();
    let before = memory();

    let begun = Instant::now();
    let new = Member::start(&net, 2);
    no_elections(&new.rf);
    let (mut slowest, mut during, mut took) = (Duration::ZERO, 0, None);
    while during < COMMANDS || took.is_none() {
        let asked = Instant::now();
        agree();
        slowest = slowest.max(asked.elapsed());
        during += 1;
        if took.is_none() && new.saved.snapshot_size() > 0 {
            took = Some((begun.elapsed().as_millis(), during));
        }
        assert!(begun.elapsed() < PATIENCE || took.is_some(), "the snapshot is not installed");
    }
    let msg = new.next();
    assert!(msg.snapshot_valid && msg.snapshot_index == index && msg.snapshot.len() == MIB << 20);
    (1..=during).for_each(|i| assert_eq!(new.next().command_index, index + i));
    if let (Some([before, _]), Some([now, peak])) = (before, memory()) {
        println!(
            "info: {MIB} MiB: {before} MiB in memory before, {peak} at most, {now} after; (ms, agreements) until it was \
             installed: {took:?}; the slowest agreement took {} ms",
            slowest.as_millis()
        );
        assert!(peak - before < 5 * MIB / 2, "more is in memory than a request and what comes out of it");
    }
    members.iter().chain([&new]).for_each(|member| member.rf.kill());
    net.cleanup();
}
