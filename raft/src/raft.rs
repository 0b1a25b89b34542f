//! A Raft server (the extended Raft paper, Figures 2 and 13; Go: raft.go).
//!
//! - [`Raft::make`] starts a server;
//! - [`Raft::start`] asks it to agree on a new log entry;
//! - [`Raft::get_state`] returns its term and whether it thinks it is the leader;
//! - each time an entry is committed, the server sends an [`ApplyMsg`] to its service;
//! - [`Raft::snapshot`] replaces log entries by a snapshot of the service (Lab 3B).
//!
//! A comment such as "Figure 2, Leaders, rule 3" names the rule of the paper that the code below it applies: here, the
//! third rule under "Leaders". The modules at the end of the file hold what the figures leave open: the log's indexes,
//! when the log is saved, and when a leader sends which message.
//!
//! # Threads
//! The main loop (`Raft::run`) sends every RPC and handles every reply. Replies and wake-ups reach it through one
//! channel; timers only limit how long a server is silent. The applier (`Raft::apply`) sends to the service, which may
//! be slow. The three RPC handlers run on the network's threads. `start` and `snapshot` run on the service's threads.
//!
//! # Locking
//! `Raft::state` guards everything that changes. No thread holds this lock while it waits for an RPC, sends into the
//! apply channel, or sleeps. A service may call `start`, `get_state` and `snapshot` while it holds a lock of its own:
//! Raft never calls into the service.
//!
//! # Encoding
//! The main loop must send heartbeats in time, and encoding a large message takes long. The main loop therefore sends
//! nothing large. An append holds at most `MAX_ENTRIES` entries, and gets no further entry once its commands have
//! `MAX_BYTES`. A snapshot has no limit; a thread of its own encodes and sends it.

use self::log::Log;
use self::progress::{Message, Progress, Sent};
use self::saved::Saved;
use crate::dprintf;
use crate::persister::Persister;
use crossbeam_channel::{Receiver, Sender, at, select, unbounded};
use labgob::Bytes;
use labrpc::{ClientEnd, Service};
use parking_lot::{Condvar, Mutex};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A message to the service: a committed entry, or a snapshot that replaces entries.
#[derive(Clone, Debug, Default)]
pub struct ApplyMsg {
    /// True: the message carries a committed entry. Services must ignore messages of kinds they do not know.
    pub command_valid: bool,
    /// The entry's command, as labgob bytes: `labgob::decode` returns what was passed to [`Raft::start`].
    pub command: Bytes,
    /// The entry's index in the log. The first index is 1. Indexes arrive in order; only a snapshot skips some.
    pub command_index: usize,
    /// True: the message carries a snapshot. It replaces the service's whole state.
    pub snapshot_valid: bool,
    /// The snapshot: what a service passed to [`Raft::snapshot`], on this server or on another one.
    pub snapshot: Bytes,
    /// The index of the last entry whose effect is in the snapshot. This index is larger than all indexes sent before.
    /// The next message carries the entry after it, or a newer snapshot.
    pub snapshot_index: usize,
}

/// How long servers may be silent. As long as messages get through, no operation waits for one of these times to pass.
pub(crate) struct Timing {
    /// The longest pause between two messages from a leader to a follower. The lab allows about ten heartbeats a
    /// second.
    pub(crate) heartbeat: Duration,
    /// The range of the election timeout. Each timeout is drawn anew.
    pub(crate) election_timeout: Range<Duration>,
    /// The time after which a leader steps down if it has heard from no majority.
    pub(crate) quorum_timeout: Duration,
}

impl Default for Timing {
    /// Times for the lab's tests, which allow five seconds for the election of a new leader.
    fn default() -> Timing {
        let ms = Duration::from_millis;
        Timing { heartbeat: ms(100), election_timeout: ms(300)..ms(600), quorum_timeout: ms(600) }
    }
}

/// One entry of the log (Figure 2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The term in which a leader received the command.
    pub(crate) term: u64,
    pub(crate) command: Bytes,
}

/// Figure 2, "State".
struct State {
    // Figure 2, "Persistent state on all servers". A change is saved before any message that depends on it is sent.
    current_term: u64,
    /// The candidate that got this server's vote in the current term; None if it has not voted.
    voted_for: Option<usize>,
    log: Log,
    /// What the persister holds of these three.
    saved: Saved,

    // Figure 2, "Volatile state on all servers".
    // Invariant: last_applied <= commit_index <= log.last_index(), and log.base_index() <= commit_index.
    commit_index: usize,
    last_applied: usize,

    role: Role,
    election_timer: ElectionTimer,
    /// True while an `Event::Wake` is in the main loop's channel.
    wake_pending: bool,
}

enum Role {
    Follower,
    Candidate {
        /// Which servers have voted for this one.
        votes: Vec<bool>,
    },
    Leader(Leader),
}

/// Figure 2, "Volatile state on leaders". Each election makes a new one.
struct Leader {
    /// nextIndex, matchIndex and the awaited reply of each server. The leader's own element is not used.
    progress: Vec<Progress>,
    /// When the commit index last advanced.
    committed_at: Instant,
}

/// The election timer. It is not used while the server leads.
struct ElectionTimer {
    timeout: Range<Duration>,
    deadline: Instant,
}

impl ElectionTimer {
    fn new(timeout: Range<Duration>) -> ElectionTimer {
        let mut timer = ElectionTimer { timeout, deadline: Instant::now() };
        timer.reset();
        timer
    }

    fn reset(&mut self) {
        self.deadline = Instant::now() + rand::rng().random_range(self.timeout.clone());
    }
}

/// A message to the main loop. In each of the last three, `reply` is None if the request or the reply was lost.
enum Event {
    /// There are new entries, or the server is killed.
    Wake,
    /// The reply to a RequestVote of this term.
    Vote { peer: usize, term: u64, reply: Option<RequestVoteReply> },
    /// The reply to an AppendEntries.
    Append { peer: usize, sent: Sent, reply: Option<AppendEntriesReply> },
    /// The reply to an InstallSnapshot.
    Snapshot { peer: usize, sent: Sent, reply: Option<InstallSnapshotReply> },
}

/// An RPC that the main loop sends once it has released the lock.
enum Request {
    Vote(RequestVoteArgs),
    Append(AppendEntriesArgs, Sent),
    Snapshot(InstallSnapshotArgs, Sent),
}

/// A Raft server.
pub struct Raft {
    /// RPC ends of all servers. This server's own end is not used.
    peers: Vec<ClientEnd>,
    me: usize,
    timing: Timing,
    persister: Arc<Persister>,
    state: Mutex<State>,
    killed: AtomicBool,
    /// The main loop's channel.
    events: Sender<Event>,
    /// Wakes the applier, which waits with `state` until there is something to apply.
    apply_cond: Condvar,
}

impl Raft {
    /// Starts a server and returns at once. `peers` are the ends of all servers, in the same order everywhere;
    /// `peers[me]` is this server's own. The server begins with the state in `persister`, if there is one, and saves
    /// its state there. If `persister` holds a snapshot, the server sends the snapshot to `apply_ch` first. After that
    /// it sends committed entries. The service must keep receiving.
    ///
    /// # Panics
    /// If the persister holds anything but a Raft server's state.
    pub fn make(
        peers: Vec<ClientEnd>,
        me: usize,
        persister: Arc<Persister>,
        apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        Raft::make_with(Timing::default(), peers, me, persister, apply_ch)
    }

    /// As [`Raft::make`], with other times.
    pub(crate) fn make_with(
        timing: Timing,
        peers: Vec<ClientEnd>,
        me: usize,
        persister: Arc<Persister>,
        apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        let (events, event_queue) = unbounded();
        let state = State::read_persist(&persister.read_raft_state(), timing.election_timeout.clone());
        let (state, killed) = (Mutex::new(state), AtomicBool::new(false));
        let apply_cond = Condvar::new();
        let rf = Arc::new(Raft { peers, me, timing, persister, state, killed, events, apply_cond });
        labrpc::go(format!("server {me}: raft main loop"), {
            let rf = rf.clone();
            move || rf.run(&event_queue)
        });
        labrpc::go(format!("server {me}: raft applier"), {
            let rf = rf.clone();
            move || rf.apply(&apply_ch)
        });
        rf
    }

    /// Starts agreement on a command and returns at once. Returns the index that the command will have if it is ever
    /// committed, the current term, and true. If this server is not the leader, it does nothing, and the third result
    /// is false. The command may never be committed: the leader may fail, or lose an election.
    ///
    /// # Panics
    /// If the command cannot be encoded.
    pub fn start(&self, command: &impl Serialize) -> (usize, u64, bool) {
        let command = labgob::encode(command).unwrap_or_else(|e| panic!("raft: start: {e}"));
        let mut state = self.state.lock();
        if self.is_killed() || !matches!(state.role, Role::Leader(_)) {
            return (0, state.current_term, false);
        }
        // Figure 2, Leaders, rule 2. The service responds to its client when the entry has been applied.
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

    /// Replaces the entries up to `index` by `snapshot`, which holds the service's state after the entry at `index`.
    /// The leader sends the snapshot to followers that lack one of these entries. If the server already has a snapshot
    /// up to `index` or beyond, this call does nothing.
    ///
    /// # Panics
    /// If the entry at `index` has not been sent to the service.
    pub fn snapshot(&self, index: usize, snapshot: impl Into<Bytes>) {
        let snapshot = snapshot.into();
        let mut state = self.state.lock();
        let last_applied = state.last_applied;
        assert!(
            index <= last_applied,
            "raft: snapshot: {index} is beyond {last_applied}, the last applied entry"
        );
        if index < state.log.first_index() {
            return;
        }
        let term = state.log.term(index).expect("an applied entry is in the log or in the snapshot");
        state.log.compact(index, term);
        dprintf!("server {}: takes a snapshot of {} bytes up to {index}", self.me, snapshot.len());
        self.persist_with_snapshot(&mut state, snapshot);
    }

    /// Ends this server and its threads. If the applier is sending a message, it ends once the service has received the
    /// message or dropped its receiver.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.wake(&mut self.state.lock());
        self.apply_cond.notify_one();
    }

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Makes the main loop look at the state.
    fn wake(&self, state: &mut State) {
        if !state.wake_pending {
            state.wake_pending = true;
            // Ignore the error: the main loop of a killed server no longer receives.
            let _ = self.events.send(Event::Wake);
        }
    }

    fn is_majority(&self, servers: usize) -> bool {
        servers > self.peers.len() / 2
    }

    /// All servers but this one.
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |peer| *peer != me)
    }
}

// Persistence.

impl Raft {
    /// Saves the persistent state if it has changed. Figure 2: "updated on stable storage before responding to RPCs".
    fn persist(&self, state: &mut State) {
        let State { current_term, voted_for, log, saved, .. } = state;
        saved.save(&self.persister, *current_term, *voted_for, log);
    }

    /// Saves the persistent state together with a snapshot, which replaces the entries that the log has just dropped.
    fn persist_with_snapshot(&self, state: &mut State, snapshot: Bytes) {
        let State { current_term, voted_for, log, saved, .. } = state;
        saved.save_with_snapshot(&self.persister, *current_term, *voted_for, log, snapshot);
    }
}

impl State {
    /// The state that a server starts with. If nothing was saved, it is the state of a server that has never run.
    fn read_persist(bytes: &[u8], election_timeout: Range<Duration>) -> State {
        let (saved, log) = Saved::read(bytes)
            .unwrap_or_else(|e| panic!("raft: make: the persister does not hold a Raft server's state: {e}"));
        State {
            current_term: saved.current_term(),
            voted_for: saved.voted_for(),
            // Entries in the snapshot are committed.
            commit_index: log.base_index(),
            last_applied: 0,
            log,
            saved,
            role: Role::Follower,
            election_timer: ElectionTimer::new(election_timeout),
            wake_pending: false,
        }
    }

    /// Deletes the entries from index `first` on.
    fn delete_entries(&mut self, first: usize) {
        self.log.truncate(first);
        self.saved.note_deleted(first);
    }
}

// Terms and elections.

/// Arguments of Raft.RequestVote (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestVoteArgs {
    /// The candidate's term.
    pub(crate) term: u64,
    pub(crate) candidate_id: usize,
    pub(crate) last_log_index: usize,
    pub(crate) last_log_term: u64,
}

/// Reply of Raft.RequestVote (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RequestVoteReply {
    /// The receiver's term, for the candidate to update itself.
    pub(crate) term: u64,
    pub(crate) vote_granted: bool,
}

impl State {
    /// Figure 2, All Servers, rule 2. Called for each request and each reply.
    fn observe_term(&mut self, term: u64) {
        if term > self.current_term {
            self.current_term = term;
            self.voted_for = None;
            self.step_down();
        }
    }

    /// Makes this server a follower.
    fn step_down(&mut self) {
        if matches!(self.role, Role::Leader(_)) {
            // The deadline was set before this server became the leader.
            self.election_timer.reset();
        }
        self.role = Role::Follower;
    }

    /// Makes this server a follower of the current term's leader, from which a request has arrived.
    fn follow_leader(&mut self) {
        debug_assert!(!matches!(self.role, Role::Leader(_)), "two leaders in term {}", self.current_term);
        // Figure 2, Candidates, rule 3.
        self.role = Role::Follower;
        // Figure 2, Followers, rule 2: the timeout begins anew.
        self.election_timer.reset();
    }
}

impl Raft {
    // Figure 2, Followers, rule 1: servers respond to candidates (here) and to leaders (append_entries,
    // install_snapshot).
    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        let mut state = self.state.lock();
        // Figure 2, All Servers, rule 2.
        state.observe_term(args.term);
        // Figure 2, RequestVote receiver, step 1.
        let is_current = args.term == state.current_term;
        // Figure 2, RequestVote receiver, step 2. Section 5.4.1 defines "up-to-date".
        let is_free = state.voted_for.is_none_or(|candidate| candidate == args.candidate_id);
        let is_up_to_date =
            (args.last_log_term, args.last_log_index) >= (state.log.last_term(), state.log.last_index());
        if is_current && is_free && is_up_to_date {
            state.voted_for = Some(args.candidate_id);
            reply.vote_granted = true;
            // Figure 2, Followers, rule 2: the timeout begins anew.
            state.election_timer.reset();
            dprintf!("server {}, term {}: votes for {}", self.me, args.term, args.candidate_id);
        }
        self.persist(&mut state);
        reply.term = state.current_term;
    }

    /// Figure 2, Candidates, rule 1. Puts the RequestVotes into `requests`.
    fn start_election(&self, state: &mut State, requests: &mut Vec<(usize, Request)>) {
        state.current_term += 1;
        state.voted_for = Some(self.me);
        state.election_timer.reset();
        let mut votes = vec![false; self.peers.len()];
        votes[self.me] = true;
        state.role = Role::Candidate { votes };
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
        // Figure 2, All Servers, rule 2.
        state.observe_term(reply.term);
        // A vote counts only in the term of its request.
        if term != state.current_term || !reply.vote_granted {
            return;
        }
        if let Role::Candidate { votes } = &mut state.role {
            votes[peer] = true;
            self.lead_if_elected(state);
        }
    }

    /// Figure 2, Candidates, rule 2.
    fn lead_if_elected(&self, state: &mut State) {
        let Role::Candidate { votes } = &state.role else { return };
        if !self.is_majority(votes.iter().filter(|vote| **vote).count()) {
            return;
        }
        dprintf!("server {}, term {}: leader", self.me, state.current_term);
        let now = Instant::now();
        // Figure 2, "Volatile state on leaders": nextIndex is the leader's last log index + 1, matchIndex is 0.
        // Figure 2, Leaders, rule 1: the first heartbeats are due at once.
        let next_index = state.log.last_index() + 1;
        let progress = self.peers.iter().map(|_| Progress::new(next_index, now)).collect();
        state.role = Role::Leader(Leader { progress, committed_at: now });
    }
}

// Replication.

/// The most entries in one AppendEntries. A follower that lacks more gets them in several appends.
const MAX_ENTRIES: usize = 512;

/// The size of the commands in one AppendEntries, in bytes, at which no further entry is added.
const MAX_BYTES: usize = 1 << 20;

/// Arguments of Raft.AppendEntries (Figure 2).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AppendEntriesArgs {
    /// The leader's term.
    pub(crate) term: u64,
    pub(crate) leader_id: usize,
    /// Index and term of the entry before the new ones.
    pub(crate) prev_log_index: usize,
    pub(crate) prev_log_term: u64,
    /// Empty in a heartbeat, unless there are new entries.
    pub(crate) entries: Vec<Entry>,
    pub(crate) leader_commit: usize,
}

/// Reply of Raft.AppendEntries (Figure 2). The two fields about a conflict let the leader back up by more than one
/// entry at a time (end of section 5.3).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct AppendEntriesReply {
    /// The receiver's term, for the leader to update itself.
    pub(crate) term: u64,
    /// True if the receiver has accepted the leader, and its log has the entry before the new ones.
    pub(crate) success: bool,
    /// After a failure: the term of the receiver's entry at prev_log_index; None if it has no entry there.
    pub(crate) conflict_term: Option<u64>,
    /// After a failure: the first index of conflict_term in the receiver's log; without conflict_term, the index after
    /// the receiver's last entry.
    pub(crate) conflict_index: usize,
}

impl State {
    /// The progress of the follower `peer`, and the log, to handle a reply to a request of `term`. None if this server
    /// is not the leader of that term: a reply counts only in the term of its request.
    fn progress_in(&mut self, term: u64, peer: usize) -> Option<(&mut Progress, &Log)> {
        match &mut self.role {
            Role::Leader(leader) if term == self.current_term => {
                Some((&mut leader.progress[peer], &self.log))
            }
            _ => None,
        }
    }
}

impl Raft {
    fn append_entries(&self, args: &AppendEntriesArgs, reply: &mut AppendEntriesReply) {
        let mut state = self.state.lock();
        // Figure 2, All Servers, rule 2.
        state.observe_term(args.term);
        // Figure 2, AppendEntries receiver, step 1: for an older term, `success` stays false.
        if args.term == state.current_term {
            state.follow_leader();
            // Figure 2, AppendEntries receiver, step 2.
            reply.success = state.log.matches(args.prev_log_index, args.prev_log_term);
            if reply.success {
                self.accept_entries(&mut state, args);
            } else {
                // Section 5.3, the faster back-up.
                reply.conflict_term = state.log.term(args.prev_log_index);
                reply.conflict_index = match reply.conflict_term {
                    Some(_) => state.log.first_index_of_same_term(args.prev_log_index),
                    None => state.log.last_index() + 1,
                };
            }
        }
        self.persist(&mut state);
        reply.term = state.current_term;
    }

    fn accept_entries(&self, state: &mut State, args: &AppendEntriesArgs) {
        let mut index = args.prev_log_index;
        for entry in &args.entries {
            index += 1;
            if state.log.matches(index, entry.term) {
                continue;
            }
            // Figure 2, AppendEntries receiver, step 3. Without a conflict, entries after the new ones stay: an old
            // append may arrive late.
            if index <= state.log.last_index() {
                debug_assert!(index > state.commit_index, "a committed entry conflicts with the leader's");
                state.delete_entries(index);
            }
            // Figure 2, AppendEntries receiver, step 4.
            state.log.push(entry.clone());
        }
        // Figure 2, AppendEntries receiver, step 5. `index` is the index of the last new entry.
        let commit_index = args.leader_commit.min(index);
        if commit_index > state.commit_index {
            state.commit_index = commit_index;
            self.apply_cond.notify_one();
        }
    }

    fn handle_append(&self, state: &mut State, peer: usize, sent: &Sent, reply: Option<AppendEntriesReply>) {
        // Figure 2, All Servers, rule 2.
        if let Some(reply) = &reply {
            state.observe_term(reply.term);
        }
        let Some((progress, log)) = state.progress_in(sent.term, peer) else { return };
        match reply {
            // Figure 2, Leaders, rule 3, after a success.
            Some(reply) if reply.success => progress.accepted(sent, log),
            // Figure 2, Leaders, rule 3, after a failure because of log inconsistency.
            Some(reply) => progress.refused(sent, &reply, log),
            None => progress.lost(sent),
        }
    }

    /// Figure 2, Leaders, rule 4. When an entry is committed, so are all entries before it. Section 5.4.2 explains why
    /// the leader counts the replicas only of entries of its own term.
    fn advance_commit_index(&self, state: &mut State) {
        let State { role: Role::Leader(leader), log, saved, commit_index, current_term, .. } = state else {
            return;
        };
        let mut match_indexes: Vec<usize> = self.others().map(|p| leader.progress[p].match_index).collect();
        // The leader counts as a replica of the entries that it has saved.
        match_indexes.push(saved.last_index());
        match_indexes.sort_unstable();
        // The highest index that a majority has.
        let n = match_indexes[(match_indexes.len() - 1) / 2];
        if n > *commit_index && log.term(n) == Some(*current_term) {
            *commit_index = n;
            leader.committed_at = Instant::now();
            self.apply_cond.notify_one();
        }
    }

    /// Figure 2, Leaders, rules 1 and 3. Puts the appends and snapshots that are due now into `requests`.
    fn replicate(&self, state: &mut State, requests: &mut Vec<(usize, Request)>) {
        let State { role: Role::Leader(leader), log, current_term, commit_index, .. } = state else { return };
        let (term, now) = (*current_term, Instant::now());
        for peer in self.others() {
            let progress = &mut leader.progress[peer];
            let (due, message) = progress.next_message(log, *commit_index, leader.committed_at);
            if now < due {
                continue;
            }
            let request = match message {
                Message::Append => self.append_request(term, *commit_index, log, progress, now),
                Message::Snapshot => self.snapshot_request(term, log, progress, now),
            };
            requests.push((peer, request));
        }
    }

    fn append_request(
        &self,
        term: u64,
        leader_commit: usize,
        log: &Log,
        progress: &mut Progress,
        now: Instant,
    ) -> Request {
        let (prev_log_index, entries) = progress.entries_to_send(log);
        let prev_log_term = log.term(prev_log_index).expect("the log knows the term of its base");
        let last_index = prev_log_index + entries.len();
        let number = progress.record_append(leader_commit, now + self.timing.heartbeat);
        let sent = Sent { number, at: now, term, prev_log_index, last_index };
        let leader_id = self.me;
        let args =
            AppendEntriesArgs { term, leader_id, prev_log_index, prev_log_term, entries, leader_commit };
        Request::Append(args, sent)
    }
}

// Snapshots.

/// Arguments of Raft.InstallSnapshot (Figure 13). The snapshot travels whole: the fields `offset` and `done` do not
/// exist.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstallSnapshotArgs {
    /// The leader's term.
    pub(crate) term: u64,
    pub(crate) leader_id: usize,
    /// Index and term of the last entry whose effect is in the snapshot.
    pub(crate) last_included_index: usize,
    pub(crate) last_included_term: u64,
    pub(crate) data: Bytes,
}

/// Reply of Raft.InstallSnapshot (Figure 13).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstallSnapshotReply {
    /// The receiver's term, for the leader to update itself.
    pub(crate) term: u64,
}

impl Raft {
    fn install_snapshot(&self, args: &InstallSnapshotArgs, reply: &mut InstallSnapshotReply) {
        let mut state = self.state.lock();
        // Figure 2, All Servers, rule 2.
        state.observe_term(args.term);
        // Figure 13, InstallSnapshot receiver, step 1. There are no chunks, and therefore no steps 2 to 4.
        if args.term == state.current_term {
            state.follow_leader();
            // If all entries in the snapshot are committed here, it is an old snapshot that arrives late.
            if args.last_included_index > state.commit_index {
                dprintf!("server {}: installs a snapshot up to {}", self.me, args.last_included_index);
                // Figure 13, InstallSnapshot receiver, steps 6 and 7. In the paper, step 6 ends here if it retains
                // entries. This server goes on with steps 5 and 8: the log has just dropped entries that were not
                // applied yet.
                state.log.compact(args.last_included_index, args.last_included_term);
                state.commit_index = args.last_included_index;
                // Figure 13, InstallSnapshot receiver, step 5.
                self.persist_with_snapshot(&mut state, args.data.clone());
                // Figure 13, InstallSnapshot receiver, step 8: the applier sends the snapshot to the service.
                self.apply_cond.notify_one();
            }
        }
        self.persist(&mut state);
        reply.term = state.current_term;
    }

    /// An InstallSnapshot with this server's snapshot, for a follower that needs entries that are no longer in the log.
    fn snapshot_request(&self, term: u64, log: &Log, progress: &mut Progress, now: Instant) -> Request {
        let (index, last_included_term) = log.base();
        let number = progress.record_snapshot(now + self.timing.heartbeat);
        let sent = Sent { number, at: now, term, prev_log_index: index, last_index: index };
        // The persister's snapshot ends at the log's base, because both change together. The bytes are shared, not
        // copied.
        let (leader_id, data) = (self.me, self.persister.read_snapshot());
        let args =
            InstallSnapshotArgs { term, leader_id, last_included_index: index, last_included_term, data };
        Request::Snapshot(args, sent)
    }

    fn handle_snapshot(
        &self,
        state: &mut State,
        peer: usize,
        sent: &Sent,
        reply: Option<InstallSnapshotReply>,
    ) {
        // Figure 2, All Servers, rule 2.
        if let Some(reply) = &reply {
            state.observe_term(reply.term);
        }
        let Some((progress, log)) = state.progress_in(sent.term, peer) else { return };
        match reply {
            Some(_) => progress.accepted(sent, log),
            None => progress.lost(sent),
        }
    }
}

// The main loop.

impl Raft {
    fn run(&self, events: &Receiver<Event>) {
        let mut next_timer = Instant::now();
        while !self.is_killed() {
            let event = select! {
                recv(events) -> event => event.ok(),
                recv(at(next_timer)) -> _ => None,
            };
            let mut requests = Vec::new();
            {
                let mut state = self.state.lock();
                for event in event.into_iter().chain(events.try_iter()) {
                    self.handle(&mut state, event);
                }
                self.check_timers(&mut state, &mut requests);
                // Save all changes of this round together, before any message that depends on them is made.
                self.persist(&mut state);
                self.advance_commit_index(&mut state);
                self.replicate(&mut state, &mut requests);
                next_timer = self.next_timer(&state);
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
            Event::Snapshot { peer, sent, reply } => self.handle_snapshot(state, peer, &sent, reply),
        }
    }

    fn check_timers(&self, state: &mut State, requests: &mut Vec<(usize, Request)>) {
        let now = Instant::now();
        match &state.role {
            Role::Follower | Role::Candidate { .. } => {
                // Figure 2, Followers, rule 2, and Candidates, rule 4.
                if now >= state.election_timer.deadline {
                    self.start_election(state, requests);
                }
            }
            Role::Leader(leader) => {
                // In the paper, a leader stays the leader until it hears of a newer term. Section 6.2 of Ongaro's
                // dissertation adds this rule: a leader that hears from no majority steps down, so that its clients ask
                // another server.
                let limit = self.timing.quorum_timeout;
                let heard =
                    self.others().filter(|peer| now < leader.progress[*peer].heard_at + limit).count();
                if !self.is_majority(heard + 1) {
                    dprintf!("server {}, term {}: hears from no majority", self.me, state.current_term);
                    state.step_down();
                }
            }
        }
    }

    /// When the main loop must look at the state again even if no event arrives.
    fn next_timer(&self, state: &State) -> Instant {
        let Role::Leader(leader) = &state.role else { return state.election_timer.deadline };
        let due = |peer: usize| {
            leader.progress[peer].next_message(&state.log, state.commit_index, leader.committed_at).0
        };
        // The only server of a cluster has nothing to send.
        self.others().map(due).min().unwrap_or_else(|| Instant::now() + self.timing.heartbeat)
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
                let event = move |reply| Event::Snapshot { peer, sent, reply };
                let (end, events) = (end.clone(), self.events.clone());
                // Encoding a large snapshot takes long; meanwhile the main loop must send heartbeats.
                labrpc::go(format!("server {}: sends {peer} a snapshot", self.me), move || {
                    end.go_to("Raft.InstallSnapshot", &args, &events, event);
                });
            }
        }
    }
}

// Applying.

impl Raft {
    /// The applier: sends committed entries and snapshots to the service, in order. It ends when the server is killed,
    /// or when the service no longer receives.
    fn apply(&self, apply_ch: &Sender<ApplyMsg>) {
        while !self.is_killed() {
            for msg in self.take_committed() {
                if self.is_killed() || apply_ch.send(msg).is_err() {
                    return;
                }
            }
        }
    }

    /// Figure 2, All Servers, rule 1: waits for committed entries that have not been applied, returns them, and marks
    /// them as applied. If some of them are only in the snapshot, the first message is the snapshot. No entry is
    /// returned twice. Returns nothing if the server is killed.
    fn take_committed(&self) -> Vec<ApplyMsg> {
        let mut state = self.state.lock();
        while state.last_applied == state.commit_index && !self.is_killed() {
            self.apply_cond.wait(&mut state);
        }
        let mut msgs = Vec::new();
        let snapshot_index = state.log.base_index();
        if state.last_applied < snapshot_index {
            state.last_applied = snapshot_index;
            // As in `snapshot_request`, the persister's snapshot ends at the log's base.
            let snapshot = self.persister.read_snapshot();
            msgs.push(ApplyMsg { snapshot_valid: true, snapshot, snapshot_index, ..ApplyMsg::default() });
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

/// The handlers that can be called over the network, and their names.
impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft")
            .method("RequestVote", &self, Raft::request_vote)
            .method("AppendEntries", &self, Raft::append_entries)
            .method("InstallSnapshot", &self, Raft::install_snapshot)
    }
}

/// What a leader knows of a follower, and which message the follower gets next.
mod progress {
    use super::log::Log;
    use super::{AppendEntriesReply, Entry, MAX_BYTES, MAX_ENTRIES};
    use std::time::{Duration, Instant};

    /// The least time between a request that was lost and the next request to the same follower. Heartbeats do not wait
    /// for it.
    const RETRY_INTERVAL: Duration = Duration::from_millis(20);

    /// How long the leader waits before it tells a follower that entries are committed. If new entries come within this
    /// time, their append carries the news.
    const COMMIT_NOTICE: Duration = Duration::from_millis(10);

    /// What a leader can send to a follower.
    pub(super) enum Message {
        Append,
        Snapshot,
    }

    /// What a leader remembers of an append or a snapshot until the reply arrives.
    pub(super) struct Sent {
        /// The number of the request: the leader numbers its requests to each follower.
        pub(super) number: u64,
        pub(super) at: Instant,
        pub(super) term: u64,
        /// The index before the new entries; for a snapshot, the last index in the snapshot.
        pub(super) prev_log_index: usize,
        /// The last index that the follower has if it accepts the request.
        pub(super) last_index: usize,
    }

    /// A follower, as the leader sees it.
    pub(super) struct Progress {
        /// Figure 2's nextIndex: index of the next entry to send.
        next_index: usize,
        /// Figure 2's matchIndex: index of the highest entry known to be replicated. Invariant: it is less than
        /// next_index.
        pub(super) match_index: usize,
        /// When the follower last answered.
        pub(super) heard_at: Instant,
        flow: Flow,
        /// The number of the last request: how many requests were sent.
        requests: u64,
        /// The commit index in the last append.
        told_commit_index: usize,
        /// When the next heartbeat is due.
        heartbeat_due: Instant,
    }

    /// Whether the leader awaits a reply from a follower. This state decides what may be sent to the follower:
    ///
    /// | state | entered when | new entries | news of a commit | snapshot, if needed |
    /// | --- | --- | --- | --- | --- |
    /// | Ready | the leader is elected, or a reply came | at once | after `COMMIT_NOTICE` | at once |
    /// | Waiting | an append was sent | no | no | no |
    /// | BackOff | the last request was lost | from `until` on | `COMMIT_NOTICE` after `until` | no |
    /// | Snapshot | a snapshot was sent | no | no | no |
    ///
    /// Heartbeats are sent in every state. Like every append, a heartbeat carries the entries from next_index on that
    /// are in the log. While the leader awaits a reply, new entries gather, and the next append carries them together.
    /// Snapshots may be large: only a follower that answers is sent one, and one at a time.
    enum Flow {
        Ready,
        Waiting { number: u64 },
        BackOff { until: Instant },
        Snapshot { number: u64 },
    }

    impl Progress {
        /// A new leader's view: nothing is known to be replicated, and a first heartbeat is due.
        pub(super) fn new(next_index: usize, now: Instant) -> Progress {
            Progress {
                next_index,
                match_index: 0,
                heard_at: now,
                flow: Flow::Ready,
                requests: 0,
                told_commit_index: 0,
                heartbeat_due: now,
            }
        }

        /// When the next message is due, and which one it is, by the table of [`Flow`].
        pub(super) fn next_message(
            &self,
            log: &Log,
            commit_index: usize,
            committed_at: Instant,
        ) -> (Instant, Message) {
            let (earliest, message) = match self.flow {
                Flow::Ready if self.needs_snapshot(log) => (self.heard_at, Message::Snapshot),
                Flow::Ready => (self.heard_at, Message::Append),
                Flow::BackOff { until } => (until, Message::Append),
                Flow::Waiting { .. } | Flow::Snapshot { .. } => return (self.heartbeat_due, Message::Append),
            };
            let due = if self.next_index <= log.last_index() {
                // Figure 2, Leaders, rule 3: there are entries to send.
                earliest
            } else if self.told_commit_index < commit_index {
                earliest.max(committed_at) + COMMIT_NOTICE
            } else {
                self.heartbeat_due
            };
            (due.min(self.heartbeat_due), message)
        }

        /// Whether an entry that the follower needs is no longer in the log.
        fn needs_snapshot(&self, log: &Log) -> bool {
            self.next_index < log.first_index()
        }

        /// The index before the entries of the next append, and these entries.
        pub(super) fn entries_to_send(&self, log: &Log) -> (usize, Vec<Entry>) {
            let first = self.next_index.max(log.first_index());
            let mut bytes = 0;
            let has_room = |entry: &&Entry| {
                let has_room = bytes < MAX_BYTES;
                bytes += entry.command.len();
                has_room
            };
            let entries = log.from(first).iter().take(MAX_ENTRIES).take_while(has_room).cloned().collect();
            (first - 1, entries)
        }

        /// Records that an append is sent, and returns its number.
        pub(super) fn record_append(&mut self, commit_index: usize, next_heartbeat: Instant) -> u64 {
            self.requests += 1;
            self.told_commit_index = commit_index;
            self.heartbeat_due = next_heartbeat;
            if !matches!(self.flow, Flow::Snapshot { .. }) {
                self.flow = Flow::Waiting { number: self.requests };
            }
            self.requests
        }

        /// Records that a snapshot is sent, and returns its number.
        pub(super) fn record_snapshot(&mut self, next_heartbeat: Instant) -> u64 {
            self.requests += 1;
            self.heartbeat_due = next_heartbeat;
            self.flow = Flow::Snapshot { number: self.requests };
            self.requests
        }

        /// Records that the follower has accepted a request.
        pub(super) fn accepted(&mut self, sent: &Sent, log: &Log) {
            self.match_index = self.match_index.max(sent.last_index);
            self.next_index = self.next_index.max(self.match_index + 1);
            self.answered(sent, log);
        }

        /// Records that the follower lacks the entry before the entries of an append. Section 5.3: the leader backs up
        /// past all entries of the follower's conflicting term, or to its own last entry of that term.
        pub(super) fn refused(&mut self, sent: &Sent, reply: &AppendEntriesReply, log: &Log) {
            // The refusal of an earlier append may arrive late. It says nothing new.
            let is_news =
                sent.prev_log_index + 1 == self.next_index && sent.prev_log_index > self.match_index;
            if is_news {
                let backed_up = (reply.conflict_term)
                    .and_then(|term| log.last_index_of_term(term))
                    .map_or(reply.conflict_index, |last| last + 1);
                self.next_index = backed_up.clamp(self.match_index + 1, sent.prev_log_index);
            }
            self.answered(sent, log);
        }

        fn answered(&mut self, sent: &Sent, log: &Log) {
            self.heard_at = Instant::now();
            match self.flow {
                // A heartbeat was answered. The snapshot is still on its way.
                Flow::Snapshot { number } if number != sent.number && self.needs_snapshot(log) => {}
                _ => self.flow = Flow::Ready,
            }
        }

        /// Records that a request or its reply was lost.
        pub(super) fn lost(&mut self, sent: &Sent) {
            // The loss of an earlier request changes nothing: the leader awaits the reply to a later one.
            if let Flow::Waiting { number } | Flow::Snapshot { number } = self.flow
                && number == sent.number
            {
                self.flow = Flow::BackOff { until: sent.at + RETRY_INTERVAL };
            }
        }
    }
}

/// The log. Only this module converts an index of the log into a position in the vector of entries.
mod log {
    use super::Entry;

    /// The entries after the snapshot. The last entry in the snapshot is the log's *base*. Invariant: `entries[i]` has
    /// the index `base_index + 1 + i`, and the entries up to `base_index` are committed and in the snapshot.
    #[derive(Default)]
    pub(super) struct Log {
        /// Index and term of the base: 0 and 0 if there is no snapshot.
        base_index: usize,
        base_term: u64,
        entries: Vec<Entry>,
    }

    impl Log {
        /// A log with this base and without entries.
        pub(super) fn after(base_index: usize, base_term: u64) -> Log {
            Log { base_index, base_term, entries: Vec::new() }
        }

        pub(super) fn base(&self) -> (usize, u64) {
            (self.base_index, self.base_term)
        }

        pub(super) fn base_index(&self) -> usize {
            self.base_index
        }

        /// The index after the base. If the log is empty, no entry has this index yet.
        pub(super) fn first_index(&self) -> usize {
            self.base_index + 1
        }

        pub(super) fn last_index(&self) -> usize {
            self.base_index + self.entries.len()
        }

        pub(super) fn last_term(&self) -> u64 {
            self.entries.last().map_or(self.base_term, |entry| entry.term)
        }

        /// The number of entries after the base.
        pub(super) fn len(&self) -> usize {
            self.entries.len()
        }

        /// The term of the entry at `index`, which may be the base; None before the base and after the last entry.
        pub(super) fn term(&self, index: usize) -> Option<u64> {
            match index.checked_sub(self.base_index)? {
                0 => Some(self.base_term),
                n => self.entries.get(n - 1).map(|entry| entry.term),
            }
        }

        /// Whether the leader's entry at `index`, which has the term `term`, is in this log or in the snapshot. This is
        /// true of every index before the base: the entries in the snapshot are committed, and every leader has them.
        pub(super) fn matches(&self, index: usize, term: u64) -> bool {
            index < self.base_index || self.term(index) == Some(term)
        }

        /// The entries from index `first` on. `first` may be one past the last index.
        pub(super) fn from(&self, first: usize) -> &[Entry] {
            &self.entries[first - self.base_index - 1..]
        }

        /// Appends an entry and returns its index.
        pub(super) fn push(&mut self, entry: Entry) -> usize {
            self.entries.push(entry);
            self.last_index()
        }

        /// Deletes the entries from index `first` on.
        pub(super) fn truncate(&mut self, first: usize) {
            self.entries.truncate(first - self.base_index - 1);
        }

        /// Makes the entry with this index and term the base. If the log has this entry, the entries after it stay. If
        /// not, all entries are deleted, because they may differ from the leader's.
        pub(super) fn compact(&mut self, index: usize, term: u64) {
            let has_entry = self.term(index) == Some(term);
            // A new vector frees the memory of the old entries.
            self.entries = if has_entry { self.from(index + 1).to_vec() } else { Vec::new() };
            (self.base_index, self.base_term) = (index, term);
        }

        /// The first index in this log whose entry has the same term as the entry at `index`.
        pub(super) fn first_index_of_same_term(&self, index: usize) -> usize {
            let term = self.term(index);
            let mut first = index;
            while first > self.first_index() && self.term(first - 1) == term {
                first -= 1;
            }
            first
        }

        /// The last index in this log whose entry has the term `term`; None if there is none.
        pub(super) fn last_index_of_term(&self, term: u64) -> Option<usize> {
            // Terms never decrease along the log.
            let n = self.entries.partition_point(|entry| entry.term <= term);
            (n > 0 && self.entries[n - 1].term == term).then(|| self.base_index + n)
        }
    }
}

/// What the persister holds, and how it is written and read.
///
/// The saved state is a sequence of labgob values, which can be extended at its end. `Some(entry)` adds an entry.
/// `None` is followed by a *head*: the term, the vote, the log's base, and an index after which all entries read so far
/// are deleted. An entry takes the bytes of its command and at least four more (its length, the `Some`, its term, its
/// command's length).
mod saved {
    use super::Entry;
    use super::log::Log;
    use crate::persister::Persister;
    use labgob::{Bytes, LabDecoder, LabEncoder};

    /// The most entries that are written anew when the term or the vote changes. With a longer log, only the change is
    /// added to what the persister holds.
    const SHORT_LOG: usize = 1000;

    /// What the persister holds. Invariant: the persister's entries up to `last_index` are those of the log; its
    /// entries after `last_index`, up to `end`, are no longer in the log.
    #[derive(Default)]
    pub(super) struct Saved {
        current_term: u64,
        voted_for: Option<usize>,
        last_index: usize,
        end: usize,
    }

    impl Saved {
        pub(super) fn current_term(&self) -> u64 {
            self.current_term
        }

        pub(super) fn voted_for(&self) -> Option<usize> {
            self.voted_for
        }

        /// The index up to which the persister has the log.
        pub(super) fn last_index(&self) -> usize {
            self.last_index
        }

        /// Records that the entries from index `first` on are no longer in the log.
        pub(super) fn note_deleted(&mut self, first: usize) {
            self.last_index = self.last_index.min(first - 1);
        }

        /// Saves what has changed, if anything has. This takes time in proportion to the number of new entries. When
        /// the term or the vote has changed, a short log is written anew: the saved state then holds no deleted entries
        /// and no old heads.
        pub(super) fn save(&mut self, persister: &Persister, term: u64, vote: Option<usize>, log: &Log) {
            let needs_head =
                (self.current_term, self.voted_for) != (term, vote) || self.last_index < self.end;
            if needs_head && log.len() <= SHORT_LOG {
                let head = encode_head(term, vote, log, log.base_index());
                persister.save_raft_state(encode_entries(head, log.from(log.first_index())));
            } else if needs_head || self.last_index < log.last_index() {
                let head =
                    if needs_head { encode_head(term, vote, log, self.last_index) } else { Vec::new() };
                persister.append_raft_state(&encode_entries(head, log.from(self.last_index + 1)));
            }
            self.mark_saved(term, vote, log);
        }

        /// Saves everything, together with the snapshot, which ends at the log's base. Both are saved in one step: a
        /// crash cannot come between them.
        pub(super) fn save_with_snapshot(
            &mut self,
            persister: &Persister,
            term: u64,
            vote: Option<usize>,
            log: &Log,
            snapshot: Bytes,
        ) {
            let head = encode_head(term, vote, log, log.base_index());
            persister.save_state_and_snapshot(encode_entries(head, log.from(log.first_index())), snapshot);
            self.mark_saved(term, vote, log);
        }

        fn mark_saved(&mut self, term: u64, vote: Option<usize>, log: &Log) {
            let last_index = log.last_index();
            *self = Saved { current_term: term, voted_for: vote, last_index, end: last_index };
        }

        /// Reads what was saved: what the persister holds, and the log.
        pub(super) fn read(bytes: &[u8]) -> Result<(Saved, Log), labgob::Error> {
            let mut saved = Saved::default();
            let mut log = Log::default();
            let mut d = LabDecoder::new(bytes);
            while let Some(value) = d.decode_next_or_end::<Option<Entry>>()? {
                if let Some(entry) = value {
                    log.push(entry);
                    continue;
                }
                let (term, vote, base_index, base_term, kept): (_, _, _, _, usize) = d.decode_next()?;
                (saved.current_term, saved.voted_for) = (term, vote);
                if log.base() != (base_index, base_term) {
                    log = Log::after(base_index, base_term);
                }
                log.truncate(kept + 1);
            }
            saved.mark_saved(saved.current_term, saved.voted_for, &log);
            Ok((saved, log))
        }
    }

    /// An encoded head. The entries before it stay up to index `kept`; the rest is deleted.
    fn encode_head(term: u64, vote: Option<usize>, log: &Log, kept: usize) -> Vec<u8> {
        let (base_index, base_term) = log.base();
        let mut bytes = Vec::new();
        let mut e = LabEncoder::new(&mut bytes);
        e.encode(&None::<Entry>)
            .and_then(|()| e.encode(&(term, vote, base_index, base_term, kept)))
            .unwrap_or_else(|e| panic!("raft: persist: {e}"));
        bytes
    }

    /// `bytes`, followed by the encoded entries.
    fn encode_entries(mut bytes: Vec<u8>, entries: &[Entry]) -> Vec<u8> {
        let mut e = LabEncoder::new(&mut bytes);
        entries
            .iter()
            .try_for_each(|entry| e.encode(&Some(entry)))
            .unwrap_or_else(|e| panic!("raft: persist: {e}"));
        bytes
    }
}
