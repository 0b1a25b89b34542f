//! Snapshots (Figure 13), step by step: how one server reacts to its leader, its followers and its service when their
//! messages come in an order that random failures seldom produce.

use crate::raft_server::{
    AppendEntriesArgs, AppendEntriesReply, Entry, InstallSnapshotArgs, InstallSnapshotReply, RequestVoteArgs,
    RequestVoteReply, Timing,
};
use crate::{ApplyMsg, PATIENCE, Persister, Raft, ends, follows, leads};
use crossbeam_channel::{Receiver, bounded};
use labgob::Bytes;
use labrpc::{ClientEnd, Network, Server, Service, make_service};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs these tests.
pub fn run() -> ExitCode {
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

/// A short interval, because a test waits for several heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(20);

/// The term in which the test leads.
const TERM: u64 = 100;

/// A message to the service. The command of an entry is its index, and a snapshot holds the index of its last entry.
#[derive(Debug, PartialEq)]
enum Applied {
    Entry(usize),
    Snapshot(usize),
}

use Applied::{Entry as E, Snapshot as S};

/// Server 0. The test is its leader and its service.
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
        let rf = Raft::make_with(follows(), ends(&net, "0", 3), 0, saved.clone(), apply_ch);
        let mut server = Server::new();
        server.add_service(make_service(rf.clone()));
        net.add_server(0, server);
        let leader = ends(&net, "leader", 1).remove(0);
        Follower { net, rf, saved, applied, leader }
    }

    /// Sends the entries with these indexes, all of them committed. Returns whether they are accepted.
    fn append(&self, first: usize, last: usize) -> bool {
        let prev_log_term = if first == 1 { 0 } else { TERM };
        self.append_in(TERM, (first - 1, prev_log_term), last, last)
    }

    /// Sends the entries after `prev`, an index and its term, up to `last`, as the leader of `term`. Returns whether they are
    /// accepted.
    fn append_in(&self, term: u64, prev: (usize, u64), last: usize, leader_commit: usize) -> bool {
        let (prev_log_index, prev_log_term) = prev;
        let entry = |i: usize| Entry { term, command: command(i) };
        let entries = (prev_log_index + 1..=last).map(entry).collect();
        let args =
            AppendEntriesArgs { term, leader_id: 1, prev_log_index, prev_log_term, entries, leader_commit };
        let mut reply = AppendEntriesReply::default();
        assert!(self.leader.call("Raft.AppendEntries", &args, &mut reply), "no reply to an append");
        reply.success
    }

    /// Sends a snapshot up to this index, as the leader of `term`.
    fn install(&self, term: u64, index: usize) {
        let args = InstallSnapshotArgs {
            term,
            leader_id: 1,
            last_included_index: index,
            last_included_term: TERM,
            data: command(index),
        };
        let reply = self.leader.go::<_, InstallSnapshotReply>("Raft.InstallSnapshot", &args);
        let reply = reply.recv_timeout(PATIENCE).expect("a handler never waits for the service");
        assert_eq!(reply.expect("no reply to a snapshot").term, TERM);
    }

    /// Asks for a vote for a candidate with a longer log. Returns whether it is granted.
    fn ask_vote(&self, candidate_id: usize, term: u64) -> bool {
        let args = RequestVoteArgs { term, candidate_id, last_log_index: 100_000, last_log_term: TERM };
        let mut reply = RequestVoteReply::default();
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

fn command(index: usize) -> Bytes {
    labgob::encode(&index).expect("a number can be encoded").into()
}

fn stale_snapshots_are_ignored() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());

    // All of their entries are committed on this server.
    server.install(TERM, 5);
    server.install(TERM, 10);
    assert_eq!(server.saved.snapshot_size(), 0, "a stale snapshot was saved");
    assert!(server.append(6, 11), "the log has lost entry 5 or a later one");
    server.expect(&[E(11)]);

    server.install(TERM, 20);
    server.expect(&[S(20)]);
    // An older snapshot arrives later, and one from a deposed leader.
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
    // Once the service has the first entry, the other two are on their way and will come before the snapshot.
    server.expect(&[E(1)]);
    server.install(TERM, 20);
    // These appends were sent before the snapshot; one also has entries that follow the snapshot.
    assert!(server.append(4, 10), "an append whose entries are all in the snapshot is refused");
    assert!(server.append(11, 25), "an append that begins in the snapshot is refused");
    assert!(!server.append(28, 30), "an append after a gap is accepted");
    server.expect(&[E(2), E(3), S(20)]);
    server.expect(&(21..=25).map(E).collect::<Vec<_>>());
    server.stop();
}

fn entries_and_snapshots_are_applied_in_order() {
    let server = Follower::start(Persister::new());
    server.append(1, 3);
    // Once the service has the first entry, the other two are on their way. The service is slow.
    server.expect(&[E(1)]);
    server.install(TERM, 10);
    server.append(11, 12);
    server.install(TERM, 20);
    server.append(21, 22);
    // The entries on their way come first. Of the two snapshots, only the newer one is needed.
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
    // The entries after the snapshot are in the log, and are applied when they are known to be committed.
    assert!(server.append(11, 11), "the log has lost an entry after the snapshot");
    server.expect(&(8..=11).map(E).collect::<Vec<_>>());
    server.stop();
}

fn a_services_snapshot_takes_nothing_back() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());
    server.rf.snapshot(6, command(6));
    // An older snapshot: the service was slow, or the leader's snapshot was faster.
    server.rf.snapshot(4, command(4));
    assert_eq!(server.saved.read_snapshot(), command(6), "an older snapshot was saved");
    // No entry is applied twice, and no entry after the snapshot is lost.
    assert!(server.append(11, 11), "the log has lost an entry after the snapshot");
    server.expect(&[E(11)]);
    server.rf.snapshot(11, command(11));
    server.append(12, 12);
    server.expect(&[E(12)]);
    server.stop();
}

/// The server crashes after each single save. The log and the snapshot must then fit each other.
fn a_crash_finds_log_and_snapshot_together() {
    let server = Follower::start(Persister::new());
    let (saves, copies) = crossbeam_channel::unbounded();
    let saved = Arc::downgrade(&server.saved);
    server.saved.after_save(move || {
        let copy = saved.upgrade().map(|saved| saved.copy());
        saves.send(copy.expect("the persister exists while it is in use")).expect("the test receives");
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
        // A leader that has all entries sends the rest; none is missing or applied twice.
        server.install(TERM, 9);
        server.append(10, 13);
        let rest = if first < 9 { vec![S(9)] } else { Vec::new() };
        server.expect(&rest);
        server.expect(&(first.max(9) + 1..=13).map(E).collect::<Vec<_>>());
        server.stop();
    }
}

fn the_size_is_that_of_the_log_that_is_left() {
    // An entry's length, its Some, its term and its command's length take a byte each, and its command two: a length and a number.
    const ENTRY: usize = 1 + 5;
    let server = Follower::start(Persister::new());
    let size = || server.saved.raft_state_size();
    server.append(1, 1);
    let one = size();
    server.append(2, 50);
    assert_eq!(size(), one + 49 * ENTRY);
    server.append(51, 100);
    assert_eq!(size(), one + 99 * ENTRY, "the size depends on how the entries were sent");
    server.expect(&(1..=100).map(E).collect::<Vec<_>>());
    server.rf.snapshot(90, command(90));
    assert!(size() < one + 10 * ENTRY, "{} bytes for ten entries", size());
    let ten = size();

    // A new vote and term replace the old ones.
    (TERM + 1..TERM + 101).for_each(|term| assert!(server.ask_vote(2, term)));
    assert!(size() <= ten + 1, "{} bytes after a hundred votes, {ten} before", size());
    server.stop();
}

/// A vote adds the same number of bytes however long the log is, and a restart reads all of them.
fn a_long_log_is_added_to() {
    let server = Follower::start(Persister::new());
    server.append(1, 10);
    server.expect(&(1..=10).map(E).collect::<Vec<_>>());
    assert!(server.append_in(TERM, (10, TERM), 5000, 10));
    let size = server.saved.raft_state_size();
    assert!(server.ask_vote(2, TERM + 1));
    // The new leader's log conflicts with most of this log.
    assert!(server.append_in(TERM + 1, (3000, TERM), 3001, 10));
    let added = server.saved.raft_state_size() - size;
    assert!(added < 60, "a vote and an entry take {added} bytes");
    let saved = server.saved.copy();
    server.stop();

    let server = Follower::start(saved);
    assert!(!server.ask_vote(1, TERM + 1), "the server has voted for 2 in this term");
    assert!(!server.append_in(TERM + 1, (3002, TERM), 3002, 10), "a deleted entry is back");
    assert!(server.append_in(TERM + 1, (3001, TERM + 1), 3002, 3002), "the last entry is lost");
    server.expect(&(1..=3002).map(E).collect::<Vec<_>>());
    server.stop();
}

/// A follower that the test plays. It votes for every candidate.
struct Played {
    /// Whether it refuses appends, as a follower that lacks entries.
    lags: bool,
    /// How many appends have arrived.
    appends: AtomicUsize,
    /// How many snapshots have arrived.
    snapshots: AtomicUsize,
    /// How many appends arrived before the first snapshot.
    before: AtomicUsize,
    /// The handler of a snapshot returns when this channel is closed.
    busy: Receiver<()>,
}

impl Played {
    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        *reply = RequestVoteReply { term: args.term, vote_granted: true };
    }

    fn append_entries(&self, args: &AppendEntriesArgs, reply: &mut AppendEntriesReply) {
        self.appends.fetch_add(1, Ordering::SeqCst);
        *reply = AppendEntriesReply {
            term: args.term,
            success: !self.lags,
            conflict_term: None,
            conflict_index: 1,
        };
    }

    fn install_snapshot(&self, args: &InstallSnapshotArgs, reply: &mut InstallSnapshotReply) {
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
    let rf = Raft::make_with(leads(HEARTBEAT), ends(&net, "0", 5), 0, Arc::new(Persister::new()), apply_ch);
    wait_until("server 0 leads", || rf.get_state().1);
    let (index, _, _) = rf.start(&1_usize);
    let msg = applied.recv_timeout(PATIENCE).expect("a majority has the entry");
    assert_eq!(msg.command_index, index);
    rf.snapshot(index, command(index));
    rf.start(&2_usize);

    // Two followers that were down lack entry 1. Each must answer an append before it is sent a snapshot.
    for lagging in [add(3, true), add(4, true)] {
        wait_until("the snapshot comes", || lagging.snapshots.load(Ordering::SeqCst) > 0);
        assert!(
            lagging.before.load(Ordering::SeqCst) > 0,
            "a snapshot was sent to a follower that had not answered"
        );
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

/// A member of a cluster of three. Its service keeps the messages.
struct Member {
    rf: Arc<Raft>,
    saved: Arc<Persister>,
    applied: Receiver<ApplyMsg>,
}

impl Member {
    fn start(net: &Network, i: usize, timing: Timing) -> Member {
        let saved = Arc::new(Persister::new());
        let (apply_ch, applied) = crossbeam_channel::unbounded();
        let rf = Raft::make_with(timing, ends(net, &i.to_string(), 3), i, saved.clone(), apply_ch);
        let mut server = Server::new();
        server.add_service(make_service(rf.clone()));
        net.add_server(i, server);
        Member { rf, saved, applied }
    }

    fn next(&self) -> ApplyMsg {
        self.applied.recv_timeout(PATIENCE).expect("something is applied")
    }
}

/// The memory of this process in MiB: now, and its peak since `forget_peak`. None if the system does not tell.
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

/// A new server catches up with a snapshot of 100 MiB. The others do not wait for it, even while its service is busy with
/// the snapshot. Beside the snapshot itself, only the encoded request and what is decoded from it are in memory.
fn a_large_snapshot_stops_nobody() {
    const MIB: usize = 100;
    const COMMANDS: usize = 200;
    let net = Network::new();
    let members = [Member::start(&net, 0, leads(HEARTBEAT)), Member::start(&net, 1, follows())];
    wait_until("server 0 leads", || members[0].rf.get_state().1);
    let agree = || {
        let (index, _, is_leader) = members[0].rf.start(&0_usize);
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
    let new = Member::start(&net, 2, follows());
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
        assert!(
            peak - before < 5 * MIB / 2,
            "more is in memory than the request and what is decoded from it"
        );
    }
    members.iter().chain([&new]).for_each(|member| member.rf.kill());
    net.cleanup();
}
