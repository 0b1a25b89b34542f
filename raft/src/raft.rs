//! A Raft server (the extended Raft paper, Figures 2 and 13; Go: raft.go).
//!
//! - [`Raft::make`] starts a server;
//! - [`Raft::start`] asks it to agree on a new log entry;
//! - [`Raft::get_state`] tells its term and whether it thinks it is the leader;
//! - each time an entry is committed, the server sends an [`ApplyMsg`] to its service;
//! - [`Raft::snapshot`] lets the server forget entries, when the service has saved what they led to (Lab 3B).
//!
//! # Threads
//! The main loop (`Raft::run`) sends every RPC and handles every reply; whatever it has to react to arrives in one
//! channel, and timers only bound the silence between two messages. The applier (`Raft::apply`) feeds the service,
//! which may be slow. The three RPC handlers run on the network's threads, `start` and `snapshot` on the service's.
//!
//! # Locking
//! `Raft::state` guards everything that changes. It is never held across an RPC, a send into the apply channel, or a
//! sleep. A service may call `start`, `get_state` and `snapshot` under a lock of its own: no code here takes a service's
//! lock.

use crate::dprintf;
use crate::persister::Persister;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use labgob::{Bytes, LabDecoder, LabEncoder};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a server tells its service: an entry is committed, or there is a snapshot in the place of entries.
#[derive(Clone, Debug, Default)]
pub struct ApplyMsg {
    /// True: the message carries a committed entry. Services must ignore messages of kinds they do not know.
    pub command_valid: bool,
    /// The entry's command, as labgob bytes: `labgob::decode` gives what was passed to [`Raft::start`].
    pub command: Bytes,
    /// The entry's place in the log. The first is 1; they arrive in order, without gaps but those that a snapshot
    /// fills.
    pub command_index: usize,
    /// True: the message carries a snapshot, which replaces all that the service has. The next entry is the one after
    /// it.
    pub snapshot_valid: bool,
    /// What this server's service, or another's, gave to [`Raft::snapshot`].
    pub snapshot: Bytes,
    /// The index of the last entry whose effect is in it: beyond all that were sent before.
    pub snapshot_index: usize,
}

/// How long the servers may be silent. No operation waits for any of these while messages get through.
struct Timing {
    /// A leader sends something to each server at least this often. The lab allows about ten heartbeats a second.
    heartbeat: Duration,
    /// A server that hears from no leader for a time in this range, drawn anew each time, starts an election. A
    /// leader that hears from no majority for the upper bound steps down.
    election_timeout: Range<Duration>,
}

impl Default for Timing {
    /// A new leader within about a second of a failure, as the lab's tests want it.
    fn default() -> Timing {
        let ms = Duration::from_millis;
        Timing { heartbeat: ms(100), election_timeout: ms(300)..ms(600) }
    }
}

/// An append that fails is sent again no sooner than this after it was sent.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Followers learn that entries are committed with the next append, or this much later when there is none.
const COMMIT_NOTICE: Duration = Duration::from_millis(10);

/// How many entries one AppendEntries carries at most: a follower that has been away is brought up to date in steps,
/// and appends to one who does not answer stay small.
const MAX_ENTRIES: usize = 512;

/// A log of up to so many entries is saved anew when the term or the vote changes; to a longer one, the change is added.
const SHORT_LOG: usize = 1000;

/// One entry of the log. The first has index 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    /// When the entry was received by the leader.
    term: u64,
    command: Bytes,
}

/// The log. Nobody else does arithmetic with indexes.
#[derive(Default)]
struct Log {
    /// The index and term of the entry before the first that is here: 0 and 0 in a log that begins at its beginning.
    base_index: usize,
    base_term: u64,
    entries: Vec<Entry>,
    /// The last index up to which the persister has what is here. Invariant: base_index <= saved_index <= last_index.
    saved_index: usize,
}

impl Log {
    /// The first index that can be here. What is before it is in the snapshot, and committed.
    fn first_index(&self) -> usize {
        self.base_index + 1
    }

    fn last_index(&self) -> usize {
        self.base_index + self.entries.len()
    }

    fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.base_term, |entry| entry.term)
    }

    /// The term of the entry at `index`; None when there is none, or a snapshot has it.
    fn term(&self, index: usize) -> Option<u64> {
        match index.checked_sub(self.base_index)? {
            0 => Some(self.base_term),
            n => self.entries.get(n - 1).map(|entry| entry.term),
        }
    }

    /// Whether entry `index` is one of `term`, the leader's. Those in the snapshot are committed: every leader has them.
    fn matches(&self, index: usize, term: u64) -> bool {
        index < self.base_index || self.term(index) == Some(term)
    }

    /// The entries from index `first` on, which may be one past the last.
    fn from(&self, first: usize) -> &[Entry] {
        &self.entries[first - self.base_index - 1..]
    }

    /// Appends an entry and returns its index.
    fn push(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.last_index()
    }

    /// Deletes the entries from index `first` on.
    fn truncate(&mut self, first: usize) {
        self.entries.truncate(first - self.base_index - 1);
        self.saved_index = self.saved_index.min(self.last_index());
    }

    /// A snapshot has the entries up to `index`, the last of which is of `term`. Those after it stay if this log has
    /// that entry; if it has another one, or none, they are not the leader's.
    fn compact(&mut self, index: usize, term: u64) {
        let follows = self.term(index) == Some(term);
        // A vector of their own: the memory of the others is free.
        self.entries = if follows { self.from(index + 1).to_vec() } else { Vec::new() };
        (self.base_index, self.base_term) = (index, term);
    }

    /// The first index here that has the term of the entry at `index`.
    fn first_index_of_same_term(&self, index: usize) -> usize {
        let term = self.term(index);
        let mut first = index;
        while first > self.first_index() && self.term(first - 1) == term {
            first -= 1;
        }
        first
    }

    /// The last index that has `term`; None when no entry here has.
    fn last_index_of_term(&self, term: u64) -> Option<usize> {
        // Terms never decrease along the log.
        let n = self.entries.partition_point(|entry| entry.term <= term);
        (n > 0 && self.entries[n - 1].term == term).then(|| self.base_index + n)
    }
}

/// What a leader knows of one follower.
struct Progress {
    /// Index of the next entry to send.
    next_index: usize,
    /// Index of the highest entry known to be replicated. Invariant: match_index < next_index.
    match_index: usize,
    /// How many appends were sent, and whether the reply to the last one is still to come. New entries wait for it,
    /// and travel together.
    appends: u64,
    in_flight: bool,
    /// Whether a snapshot is on its way. There is one at a time: it may be large.
    snapshot_in_flight: bool,
    /// Whether the last request of which anything was heard got a reply. Snapshots go to those only who answer.
    answers: bool,
    /// The commit index that the last append told.
    commit_told: usize,
    /// When the next append is due in any case.
    due: Instant,
    /// New entries are not sent before this: the last append was lost a moment ago.
    pause_until: Instant,
    /// When the follower last answered.
    heard_at: Instant,
}

enum Role {
    Follower,
    /// Has the votes of these servers.
    Candidate(Vec<bool>),
    /// By server; the leader's own entry is not used.
    Leader(Vec<Progress>),
}

/// Figure 2's state.
struct State {
    // Persistent: saved before any message that depends on it is sent.
    current_term: u64,
    /// The candidate that got this server's vote in the current term.
    voted_for: Option<usize>,
    log: Log,
    /// Whether new entries are not all that is to be saved: the term or the vote has changed, or entries that were saved
    /// are deleted.
    outdated: bool,

    // Volatile. Invariant: last_applied <= commit_index <= log.last_index(), and log.base_index <= commit_index.
    commit_index: usize,
    last_applied: usize,
    role: Role,
    /// When a server that is not the leader starts an election.
    election_deadline: Instant,
    timing: Timing,
    /// Whether a Wake is in the main loop's channel.
    wake_pending: bool,
}

/// What the main loop reacts to.
enum Event {
    /// There are new entries, or new timing, or the server is killed.
    Wake,
    Vote {
        peer: usize,
        term: u64,
        reply: Option<RequestVoteReply>,
    },
    Append {
        peer: usize,
        sent: Sent,
        reply: Option<AppendEntriesReply>,
    },
}

/// What a leader has to know of an append or a snapshot when its reply comes.
struct Sent {
    /// Which of the appends to this follower it is; None: it is a snapshot.
    number: Option<u64>,
    at: Instant,
    term: u64,
    /// Of a snapshot: the last index that is in it.
    prev_log_index: usize,
    entries: usize,
}

/// What the main loop sends, once it has released the lock.
enum Request {
    Vote(RequestVoteArgs),
    Append(AppendEntriesArgs, Sent),
    Snapshot(InstallSnapshotArgs, Sent),
}

/// A Raft server.
pub struct Raft {
    /// RPC ends of all servers; this one's own is not used.
    peers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    state: Mutex<State>,
    killed: AtomicBool,
    /// Into the main loop.
    events: Sender<Event>,
    /// Wakes the applier; one pending wake is enough.
    apply_wake: Sender<()>,
}

impl Raft {
    /// Starts a server and returns at once. `peers` are the ends of all servers, in the same order everywhere;
    /// `peers[me]` is this server's own. The server begins with the state in `persister`, if there is one, and saves
    /// its state there. Committed entries go to `apply_ch`, which the service must keep reading; if there is a snapshot
    /// in `persister`, it goes there first.
    ///
    /// # Panics
    /// When the persister holds something else than a Raft server's state.
    pub fn make(
        peers: Vec<ClientEnd>,
        me: usize,
        persister: Arc<Persister>,
        apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        let (events, event_queue) = unbounded();
        let (apply_wake, apply_wakes) = bounded(1);
        let mut state = State {
            current_term: 0,
            voted_for: None,
            log: Log::default(),
            outdated: false,
            commit_index: 0,
            last_applied: 0,
            role: Role::Follower,
            election_deadline: Instant::now(),
            timing: Timing::default(),
            wake_pending: false,
        };
        state.read_persist(&persister.read_raft_state());
        state.reset_election_deadline();
        let state = Mutex::new(state);
        let killed = AtomicBool::new(false);
        let rf = Arc::new(Raft { peers, me, persister, state, killed, events, apply_wake });
        // There may be a snapshot to begin with.
        rf.wake_applier();
        labrpc::go(format!("server {me}: raft main loop"), {
            let rf = rf.clone();
            move || rf.run(&event_queue)
        });
        labrpc::go(format!("server {me}: raft applier"), {
            let rf = rf.clone();
            move || rf.apply(&apply_wakes, &apply_ch)
        });
        rf
    }

    /// Starts agreement on a command, and returns at once: the index at which it will be if it is ever committed,
    /// the current term, and true. Or false as the third, when this server is not the leader. There is no promise
    /// that the command is ever committed: the leader may fail, or lose an election.
    ///
    /// # Panics
    /// When the command cannot be encoded.
    pub fn start(&self, command: &impl Serialize) -> (usize, u64, bool) {
        let command = labgob::encode(command).unwrap_or_else(|e| panic!("raft: start: {e}"));
        let mut state = self.state.lock();
        if self.is_killed() || !matches!(state.role, Role::Leader(_)) {
            return (0, state.current_term, false);
        }
        let term = state.current_term;
        let index = state.log.push(Entry { term, command: command.into() });
        self.wake(&mut state);
        (index, term, true)
    }

    /// The current term, and whether this server thinks it is the leader.
    pub fn get_state(&self) -> (u64, bool) {
        let state = self.state.lock();
        (state.current_term, matches!(state.role, Role::Leader(_)) && !self.is_killed())
    }

    /// The service has all that the entries up to `index` led to in `snapshot`: the log forgets them, and from now on
    /// a server that lacks one of them gets the snapshot. Older snapshots than the one there is are ignored.
    ///
    /// # Panics
    /// When the service has not been sent the entry at `index`.
    pub fn snapshot(&self, index: usize, snapshot: impl Into<Bytes>) {
        let snapshot = snapshot.into();
        let mut state = self.state.lock();
        let last_applied = state.last_applied;
        assert!(
            index <= last_applied,
            "raft: snapshot: {index} is beyond {last_applied}, the last applied entry"
        );
        if index <= state.log.base_index {
            return;
        }
        let term = state.log.term(index).expect("the log has what is after its base and applied");
        state.log.compact(index, term);
        dprintf!("server {}: {} bytes are a snapshot up to {index}", self.me, snapshot.len());
        self.persist_with_snapshot(&mut state, snapshot);
    }

    /// Ends this server: it starts nothing more, and its threads end as soon as the service has taken or dropped
    /// what it was being sent.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.wake(&mut self.state.lock());
        self.wake_applier();
    }

    /// Changes how long servers may be silent. Not part of the lab: a test shows with it that nothing waits for a
    /// timer. It takes no type of its own, so that `lib.rs` names the lab's interface only, and fits any `raft.rs`.
    pub fn set_timing(&self, heartbeat: Duration, election_timeout: Range<Duration>) {
        let mut state = self.state.lock();
        state.timing = Timing { heartbeat, election_timeout };
        state.reset_election_deadline();
        self.wake(&mut state);
    }

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Has the main loop look at the state.
    fn wake(&self, state: &mut State) {
        if !state.wake_pending {
            state.wake_pending = true;
            // The loop is gone when the server is killed.
            let _ = self.events.send(Event::Wake);
        }
    }

    fn wake_applier(&self) {
        // Full: a wake is pending. Disconnected: the server is killed.
        let _ = self.apply_wake.try_send(());
    }
}

// Persistence.
//
// What is saved is a sequence of labgob values, to which others can be added: Some(entry), or None and then a head, which
// has the rest of the state and cuts what precedes it. An entry takes the bytes of its command and four more (its length,
// the Some, its term, its command's length), or a few more when these are large.

impl Raft {
    /// Saves what has changed, if anything has. It takes time in proportion to what is new; only a short log is saved
    /// anew for each new term or vote, so that the size is that of the log which is there.
    fn persist(&self, state: &mut State) {
        let log = &state.log;
        if state.outdated && log.entries.len() <= SHORT_LOG {
            self.persister.save_raft_state(state.encode(log.base_index, true));
        } else if state.outdated || log.saved_index < log.last_index() {
            self.persister.append_raft_state(&state.encode(log.saved_index, state.outdated));
        }
        state.is_saved();
    }

    /// Saves everything, and the snapshot that has what is before the log's base. A crash comes before or after both.
    fn persist_with_snapshot(&self, state: &mut State, snapshot: Bytes) {
        self.persister.save_state_and_snapshot(state.encode(state.log.base_index, true), snapshot);
        state.is_saved();
    }
}

impl State {
    /// What follows that part of what is saved which ends with the entry at `kept`: a head, if wanted, and the entries.
    fn encode(&self, kept: usize, head: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = LabEncoder::new(&mut bytes);
        let State { current_term, voted_for, log, .. } = self;
        let mut encode = || -> Result<(), labgob::Error> {
            if head {
                e.encode(&None::<Entry>)?;
                e.encode(&(*current_term, *voted_for, log.base_index, log.base_term, kept))?;
            }
            log.from(kept + 1).iter().try_for_each(|entry| e.encode(&Some(entry)))
        };
        encode().unwrap_or_else(|e| panic!("raft: persist: {e}"));
        bytes
    }

    fn is_saved(&mut self) {
        self.outdated = false;
        self.log.saved_index = self.log.last_index();
    }

    /// Restores what was saved.
    fn read_persist(&mut self, saved: &[u8]) {
        let mut d = LabDecoder::new(saved);
        let mut read = || -> Result<(), labgob::Error> {
            while let Some(value) = d.decode_next_or_end()? {
                let Some(entry) = value else {
                    let kept: usize;
                    (self.current_term, self.voted_for, self.log.base_index, self.log.base_term, kept) =
                        d.decode_next()?;
                    self.log.truncate(kept + 1);
                    continue;
                };
                self.log.push(entry);
            }
            Ok(())
        };
        read().unwrap_or_else(|e| panic!("raft: make: the persister's state is not Raft's: {e}"));
        self.commit_index = self.log.base_index;
        self.is_saved();
    }
}

// Terms, elections.

/// Arguments of Raft.RequestVote (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestVoteArgs {
    /// The candidate's term.
    term: u64,
    candidate_id: usize,
    last_log_index: usize,
    last_log_term: u64,
}

/// Reply of Raft.RequestVote (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestVoteReply {
    /// The receiver's term, for the candidate to update itself.
    term: u64,
    vote_granted: bool,
}

impl State {
    fn reset_election_deadline(&mut self) {
        let timeout = rand::rng().random_range(self.timing.election_timeout.clone());
        self.election_deadline = Instant::now() + timeout;
    }

    /// Figure 2, all servers: a term that is newer than ours makes us a follower in it.
    fn observe_term(&mut self, term: u64) {
        if term > self.current_term {
            self.current_term = term;
            self.voted_for = None;
            self.outdated = true;
            self.step_down();
        }
    }

    /// A message from the leader of `term`, which is obeyed when that is the current term.
    fn obeys(&mut self, term: u64) -> bool {
        self.observe_term(term);
        if term < self.current_term {
            return false;
        }
        debug_assert!(!matches!(self.role, Role::Leader(_)), "two leaders in term {term}");
        self.role = Role::Follower;
        self.reset_election_deadline();
        true
    }

    fn step_down(&mut self) {
        if matches!(self.role, Role::Leader(_)) {
            // While it led it had no use for a deadline.
            self.reset_election_deadline();
        }
        self.role = Role::Follower;
    }
}

impl Raft {
    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        let mut state = self.state.lock();
        state.observe_term(args.term);
        let up_to_date =
            (args.last_log_term, args.last_log_index) >= (state.log.last_term(), state.log.last_index());
        let free = state.voted_for.is_none_or(|candidate| candidate == args.candidate_id);
        if args.term == state.current_term && free && up_to_date {
            state.voted_for = Some(args.candidate_id);
            state.outdated = true;
            state.reset_election_deadline();
            reply.vote_granted = true;
            dprintf!("server {}, term {}: votes for {}", self.me, args.term, args.candidate_id);
        }
        self.persist(&mut state);
        reply.term = state.current_term;
    }

    fn start_election(&self, state: &mut State, requests: &mut Vec<(usize, Request)>) {
        state.current_term += 1;
        state.voted_for = Some(self.me);
        state.outdated = true;
        state.reset_election_deadline();
        let mut votes = vec![false; self.peers.len()];
        votes[self.me] = true;
        state.role = Role::Candidate(votes);
        dprintf!("server {}, term {}: candidate", self.me, state.current_term);
        let args = RequestVoteArgs {
            term: state.current_term,
            candidate_id: self.me,
            last_log_index: state.log.last_index(),
            last_log_term: state.log.last_term(),
        };
        requests.extend(self.others().map(|peer| (peer, Request::Vote(args.clone()))));
        self.lead_if_elected(state);
    }

    fn handle_vote(&self, state: &mut State, peer: usize, term: u64, reply: &RequestVoteReply) {
        state.observe_term(reply.term);
        if term != state.current_term || !reply.vote_granted {
            return;
        }
        if let Role::Candidate(votes) = &mut state.role {
            votes[peer] = true;
            self.lead_if_elected(state);
        }
    }

    fn lead_if_elected(&self, state: &mut State) {
        let Role::Candidate(votes) = &state.role else { return };
        if !self.is_majority(votes.iter().filter(|vote| **vote).count()) {
            return;
        }
        dprintf!("server {}, term {}: leader", self.me, state.current_term);
        let now = Instant::now();
        let progress = || Progress {
            next_index: state.log.last_index() + 1,
            match_index: 0,
            appends: 0,
            in_flight: false,
            snapshot_in_flight: false,
            answers: true,
            commit_told: 0,
            due: now,
            pause_until: now,
            heard_at: now,
        };
        state.role = Role::Leader(self.peers.iter().map(|_| progress()).collect());
    }

    fn is_majority(&self, servers: usize) -> bool {
        servers > self.peers.len() / 2
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |peer| *peer != me)
    }
}

// Replication.

/// Arguments of Raft.AppendEntries (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AppendEntriesArgs {
    /// The leader's term.
    term: u64,
    leader_id: usize,
    /// Index and term of the entry before the new ones.
    prev_log_index: usize,
    prev_log_term: u64,
    /// Empty for a heartbeat.
    entries: Vec<Entry>,
    leader_commit: usize,
}

/// Reply of Raft.AppendEntries: Figure 2's, and what lets the leader back up by more than one entry at a time (end of
/// section 5.3).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AppendEntriesReply {
    /// The receiver's term, for the leader to update itself.
    term: u64,
    /// Whether the receiver has the entry before the new ones.
    success: bool,
    /// If not: the term of what it has there, and the first index of that term. With nothing there: None, and one
    /// past its last index.
    conflict_term: Option<u64>,
    conflict_index: usize,
}

impl Raft {
    fn append_entries(&self, args: &AppendEntriesArgs, reply: &mut AppendEntriesReply) {
        let mut state = self.state.lock();
        if state.obeys(args.term) {
            reply.success = state.log.matches(args.prev_log_index, args.prev_log_term);
            if reply.success {
                self.accept_entries(&mut state, args);
            } else {
                reply.conflict_term = state.log.term(args.prev_log_index);
                reply.conflict_index = match reply.conflict_term {
                    Some(_) => state.log.first_index_of_same_term(args.prev_log_index),
                    None => state.log.last_index() + 1,
                };
            }
        }
        reply.term = state.current_term;
        self.persist(&mut state);
    }

    /// Figure 2, AppendEntries, steps 3 to 5: the entry before the new ones matches.
    fn accept_entries(&self, state: &mut State, args: &AppendEntriesArgs) {
        let mut index = args.prev_log_index;
        for entry in &args.entries {
            index += 1;
            // What the log has beyond the new entries stays, unless one of them conflicts: this append may be an old
            // one that arrives late.
            if !state.log.matches(index, entry.term) {
                if index <= state.log.last_index() {
                    debug_assert!(
                        index > state.commit_index,
                        "a committed entry conflicts with the leader's"
                    );
                    state.log.truncate(index);
                    state.outdated = true;
                }
                state.log.push(entry.clone());
            }
        }
        let commit_index = args.leader_commit.min(index);
        if commit_index > state.commit_index {
            state.commit_index = commit_index;
            self.wake_applier();
        }
    }

    fn handle_append(&self, state: &mut State, peer: usize, sent: &Sent, reply: Option<AppendEntriesReply>) {
        if let Some(reply) = &reply {
            state.observe_term(reply.term);
        }
        let State { role: Role::Leader(progress), log, current_term, .. } = state else { return };
        if sent.term != *current_term {
            return;
        }
        let progress = &mut progress[peer];
        match sent.number {
            Some(number) => progress.in_flight &= number != progress.appends,
            None => progress.snapshot_in_flight = false,
        }
        progress.answers = reply.is_some();
        let Some(reply) = reply else {
            // Its entries are sent again, but not without end in no time: the server may be down.
            progress.pause_until = sent.at + RETRY_INTERVAL;
            return;
        };
        progress.heard_at = Instant::now();
        if reply.success {
            progress.match_index = progress.match_index.max(sent.prev_log_index + sent.entries);
            progress.next_index = progress.next_index.max(progress.match_index + 1);
            self.advance_commit_index(state);
        } else if sent.prev_log_index + 1 == progress.next_index && sent.prev_log_index > progress.match_index
        {
            let backed_up = (reply.conflict_term)
                .and_then(|term| log.last_index_of_term(term))
                .map_or(reply.conflict_index, |last| last + 1);
            progress.next_index = backed_up.clamp(progress.match_index + 1, sent.prev_log_index);
        }
    }

    /// Figure 2, leaders: an entry of the current term is committed once a majority has it, and with it all before.
    fn advance_commit_index(&self, state: &mut State) {
        let Role::Leader(progress) = &state.role else { return };
        // An entry is saved here before it is sent to anyone.
        let mut matches: Vec<usize> = self.others().map(|peer| progress[peer].match_index).collect();
        matches.push(state.log.saved_index);
        matches.sort_unstable();
        let majority_has = matches[(matches.len() - 1) / 2];
        if majority_has <= state.commit_index || state.log.term(majority_has) != Some(state.current_term) {
            return;
        }
        state.commit_index = majority_has;
        self.wake_applier();
    }
}

// Snapshots.

/// Arguments of Raft.InstallSnapshot (Figure 13). The snapshot travels whole: there are no `offset` and `done`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstallSnapshotArgs {
    /// The leader's term.
    term: u64,
    leader_id: usize,
    /// Index and term of the last entry whose effect is in the snapshot.
    last_included_index: usize,
    last_included_term: u64,
    data: Bytes,
}

/// Reply of Raft.InstallSnapshot (Figure 13).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstallSnapshotReply {
    /// The receiver's term, for the leader to update itself.
    term: u64,
}

impl Raft {
    fn install_snapshot(&self, args: &InstallSnapshotArgs, reply: &mut InstallSnapshotReply) {
        let mut state = self.state.lock();
        // What is committed here is in the log or in a snapshot: then this one is old, or comes late.
        if state.obeys(args.term) && args.last_included_index > state.commit_index {
            dprintf!("server {}: gets a snapshot up to {}", self.me, args.last_included_index);
            state.log.compact(args.last_included_index, args.last_included_term);
            state.commit_index = args.last_included_index;
            self.persist_with_snapshot(&mut state, args.data.clone());
            self.wake_applier();
        }
        reply.term = state.current_term;
        self.persist(&mut state);
    }
}

impl Progress {
    /// The snapshot, for a follower that needs entries which are no longer in the log. It shares its bytes with the
    /// persister.
    fn snapshot(&mut self, log: &Log, term: u64, me: usize, data: Bytes, now: Instant) -> Request {
        self.snapshot_in_flight = true;
        let sent = Sent { number: None, at: now, term, prev_log_index: log.base_index, entries: 0 };
        let args = InstallSnapshotArgs {
            term,
            leader_id: me,
            last_included_index: log.base_index,
            last_included_term: log.base_term,
            data,
        };
        Request::Snapshot(args, sent)
    }
}

// The main loop.

impl Raft {
    fn run(self: Arc<Raft>, events: &Receiver<Event>) {
        let mut next_timer = Instant::now();
        while !self.is_killed() {
            let event = events.recv_deadline(next_timer).ok();
            let mut requests = Vec::new();
            {
                let mut state = self.state.lock();
                for event in event.into_iter().chain(events.try_iter()) {
                    self.handle(&mut state, event);
                }
                next_timer = self.tick(&mut state, &mut requests);
                self.persist(&mut state);
                if self.peers.len() == 1 {
                    self.advance_commit_index(&mut state);
                }
            }
            for (peer, request) in requests {
                self.send(peer, request);
            }
        }
    }

    fn handle(&self, state: &mut State, event: Event) {
        match event {
            Event::Wake => state.wake_pending = false,
            Event::Vote { reply: None, .. } => {}
            Event::Vote { peer, term, reply: Some(reply) } => self.handle_vote(state, peer, term, &reply),
            Event::Append { peer, sent, reply } => self.handle_append(state, peer, &sent, reply),
        }
    }

    /// Puts into `requests` what is to be sent now; returns when to look again.
    fn tick(&self, state: &mut State, requests: &mut Vec<(usize, Request)>) -> Instant {
        let now = Instant::now();
        if let Role::Leader(progress) = &state.role {
            // The paper's leader stays one until it hears of a new term; this one would keep its clients waiting
            // while a majority that it cannot reach serves others (section 6.2 of Ongaro's dissertation).
            let patience = state.timing.election_timeout.end;
            let heard = self.others().filter(|peer| now < progress[*peer].heard_at + patience).count();
            if !self.is_majority(heard + 1) {
                dprintf!("server {}, term {}: hears from no majority", self.me, state.current_term);
                state.step_down();
            }
        } else if now >= state.election_deadline {
            self.start_election(state, requests);
        }
        let heartbeat = state.timing.heartbeat;
        let State { role: Role::Leader(progress), log, current_term, commit_index, .. } = state else {
            return state.election_deadline;
        };
        let mut next_timer = now + heartbeat;
        for peer in self.others() {
            let progress = &mut progress[peer];
            // It needs the snapshot. Meanwhile the appends go on, as heartbeats, with what follows the snapshot.
            let behind = progress.next_index < log.first_index();
            let waits = progress.in_flight || behind && progress.snapshot_in_flight;
            if !waits && progress.next_index <= log.last_index() {
                progress.due = progress.due.min(progress.pause_until);
            } else if !waits && progress.commit_told < *commit_index {
                progress.due = progress.due.min(now + COMMIT_NOTICE);
            }
            if now >= progress.due {
                let request = if behind && progress.answers && !progress.snapshot_in_flight {
                    progress.snapshot(log, *current_term, self.me, self.persister.read_snapshot(), now)
                } else {
                    progress.append(log, *current_term, self.me, *commit_index, now)
                };
                requests.push((peer, request));
                progress.due = now + heartbeat;
            }
            next_timer = next_timer.min(progress.due);
        }
        next_timer
    }

    fn send(&self, peer: usize, request: Request) {
        let end = &self.peers[peer];
        match request {
            Request::Vote(args) => {
                let term = args.term;
                let event = move |reply| Event::Vote { peer, term, reply };
                end.go_to("Raft.RequestVote", &args, &self.events, event);
            }
            Request::Append(args, sent) => {
                let event = move |reply| Event::Append { peer, sent, reply };
                end.go_to("Raft.AppendEntries", &args, &self.events, event);
            }
            Request::Snapshot(args, sent) => {
                // An append of no entries, right behind the snapshot, would succeed.
                let as_append = |reply: InstallSnapshotReply| AppendEntriesReply {
                    term: reply.term,
                    success: true,
                    ..AppendEntriesReply::default()
                };
                let event = move |reply: Option<_>| Event::Append { peer, sent, reply: reply.map(as_append) };
                let (end, events) = (end.clone(), self.events.clone());
                // Not here: it is encoded first, which takes the longer the larger it is.
                labrpc::go(format!("server {}: sends {peer} a snapshot", self.me), move || {
                    end.go_to("Raft.InstallSnapshot", &args, &events, event);
                });
            }
        }
    }
}

impl Progress {
    /// The next append for this follower.
    fn append(&mut self, log: &Log, term: u64, me: usize, commit_index: usize, now: Instant) -> Request {
        let first = self.next_index.max(log.first_index());
        let entries = log.from(first);
        let entries = entries[..entries.len().min(MAX_ENTRIES)].to_vec();
        let prev_log_index = first - 1;
        let prev_log_term =
            log.term(prev_log_index).expect("the log has the term of its base and what follows");
        self.appends += 1;
        self.in_flight = true;
        self.commit_told = commit_index;
        let sent = Sent { number: Some(self.appends), at: now, term, prev_log_index, entries: entries.len() };
        let args = AppendEntriesArgs {
            term,
            leader_id: me,
            prev_log_index,
            prev_log_term,
            entries,
            leader_commit: commit_index,
        };
        Request::Append(args, sent)
    }
}

// Applying.

impl Raft {
    /// The applier: sends what is committed to the service, in order. Ends when the server is killed, or the service
    /// no longer receives.
    fn apply(&self, wakes: &Receiver<()>, apply_ch: &Sender<ApplyMsg>) {
        while wakes.recv().is_ok() && !self.is_killed() {
            for msg in self.take_committed() {
                if self.is_killed() || apply_ch.send(msg).is_err() {
                    return;
                }
            }
        }
    }

    /// What is committed and not applied yet. The snapshot comes first, if entries that are missing are in it: after a
    /// restart, or because the leader has sent it. So whatever the applier takes is newer than what it took before.
    fn take_committed(&self) -> Vec<ApplyMsg> {
        let mut state = self.state.lock();
        let mut msgs = Vec::new();
        if state.last_applied < state.log.base_index {
            state.last_applied = state.log.base_index;
            msgs.push(ApplyMsg {
                snapshot_valid: true,
                // The persister's is that of the log's base: they change together.
                snapshot: self.persister.read_snapshot(),
                snapshot_index: state.log.base_index,
                ..ApplyMsg::default()
            });
        }
        let first = state.last_applied + 1;
        let count = state.commit_index - state.last_applied;
        state.last_applied = state.commit_index;
        let entries = state.log.from(first)[..count].iter().zip(first..);
        msgs.extend(entries.map(|(entry, index)| ApplyMsg {
            command_valid: true,
            command: entry.command.clone(),
            command_index: index,
            ..ApplyMsg::default()
        }));
        msgs
    }
}

impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft")
            .method("RequestVote", &self, Raft::request_vote)
            .method("AppendEntries", &self, Raft::append_entries)
            .method("InstallSnapshot", &self, Raft::install_snapshot)
    }
}
