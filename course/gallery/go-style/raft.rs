//! Raft as a direct port of a Go solution: a thread for each RPC, blocking calls, timers that poll.

use crate::persister::Persister;
use crossbeam_channel::Sender;
use labgob::{Bytes, LabDecoder, LabEncoder};
use labrpc::{ClientEnd, Service};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A committed entry, for the service.
#[derive(Clone, Debug)]
pub struct ApplyMsg {
    /// True: an entry.
    pub command_valid: bool,
    /// Its command.
    pub command: Bytes,
    /// Its index.
    pub command_index: usize,
}

const HEARTBEAT: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct LogEntry {
    term: u64,
    command: Bytes,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}

struct State {
    current_term: u64,
    voted_for: Option<usize>,
    /// Index 0 is a dummy.
    log: Vec<LogEntry>,
    commit_index: usize,
    last_applied: usize,
    next_index: Vec<usize>,
    match_index: Vec<usize>,
    role: Role,
    deadline: Instant,
    next_heartbeat: Instant,
}

/// A Raft server.
pub struct Raft {
    mu: Mutex<State>,
    apply_cond: Condvar,
    peers: Vec<ClientEnd>,
    persister: Arc<Persister>,
    me: usize,
    apply_ch: Sender<ApplyMsg>,
    dead: AtomicBool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RequestVoteArgs {
    term: u64,
    candidate_id: usize,
    last_log_index: usize,
    last_log_term: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RequestVoteReply {
    term: u64,
    vote_granted: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct AppendEntriesArgs {
    term: u64,
    prev_log_index: usize,
    prev_log_term: u64,
    entries: Vec<LogEntry>,
    leader_commit: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct AppendEntriesReply {
    term: u64,
    success: bool,
    /// Where to go on when it is not a success.
    next_index: usize,
}

impl Raft {
    /// Starts a server.
    pub fn make(
        peers: Vec<ClientEnd>,
        me: usize,
        persister: Arc<Persister>,
        apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        let n = peers.len();
        let mut state = State {
            current_term: 0,
            voted_for: None,
            log: vec![LogEntry::default()],
            commit_index: 0,
            last_applied: 0,
            next_index: vec![1; n],
            match_index: vec![0; n],
            role: Role::Follower,
            deadline: Instant::now(),
            next_heartbeat: Instant::now(),
        };
        read_persist(&mut state, &persister.read_raft_state());
        reset_deadline(&mut state);
        let (mu, apply_cond, dead) = (Mutex::new(state), Condvar::new(), AtomicBool::new(false));
        let rf = Arc::new(Raft { mu, apply_cond, peers, persister, me, apply_ch, dead });
        let ticker = rf.clone();
        labrpc::go(format!("server {me}: ticker"), move || ticker.ticker());
        let applier = rf.clone();
        labrpc::go(format!("server {me}: applier"), move || applier.applier());
        rf
    }

    /// Starts agreement on a command.
    pub fn start(self: &Arc<Raft>, command: &impl Serialize) -> (usize, u64, bool) {
        let mut state = self.mu.lock();
        if state.role != Role::Leader || self.killed() {
            return (0, state.current_term, false);
        }
        let term = state.current_term;
        let command = labgob::encode(command).expect("a command can be encoded").into();
        state.log.push(LogEntry { term, command });
        self.persist(&state);
        let index = state.log.len() - 1;
        self.broadcast(&mut state);
        (index, term, true)
    }

    /// The term, and whether this server leads.
    pub fn get_state(&self) -> (u64, bool) {
        let state = self.mu.lock();
        (state.current_term, state.role == Role::Leader)
    }

    /// Ends this server.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.apply_cond.notify_all();
    }

    fn killed(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn persist(&self, state: &State) {
        let mut w = Vec::new();
        let mut e = LabEncoder::new(&mut w);
        e.encode(&state.current_term).expect("a term can be encoded");
        e.encode(&state.voted_for).expect("a vote can be encoded");
        e.encode(&state.log).expect("a log can be encoded");
        self.persister.save_raft_state(w);
    }

    fn ticker(self: Arc<Raft>) {
        while !self.killed() {
            {
                let mut state = self.mu.lock();
                let now = Instant::now();
                if state.role == Role::Leader {
                    if now >= state.next_heartbeat {
                        self.broadcast(&mut state);
                    }
                } else if now >= state.deadline {
                    self.elect(&mut state);
                }
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn applier(&self) {
        loop {
            let msg = {
                let mut state = self.mu.lock();
                while !self.killed() && state.last_applied == state.commit_index {
                    // The kill may come between the look and the wait.
                    let _ = self.apply_cond.wait_for(&mut state, HEARTBEAT);
                }
                if self.killed() {
                    return;
                }
                state.last_applied += 1;
                let command_index = state.last_applied;
                ApplyMsg { command_valid: true, command: state.log[command_index].command.clone(), command_index }
            };
            if self.apply_ch.send(msg).is_err() {
                return;
            }
        }
    }

    fn step_down(&self, state: &mut State, term: u64) {
        if term > state.current_term {
            state.current_term = term;
            state.voted_for = None;
            state.role = Role::Follower;
            self.persist(state);
        }
    }

    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        let mut state = self.mu.lock();
        self.step_down(&mut state, args.term);
        let last = state.log.len() - 1;
        let up_to_date = (args.last_log_term, args.last_log_index) >= (state.log[last].term, last);
        let free = state.voted_for.is_none() || state.voted_for == Some(args.candidate_id);
        if args.term == state.current_term && free && up_to_date {
            state.voted_for = Some(args.candidate_id);
            self.persist(&state);
            reset_deadline(&mut state);
            reply.vote_granted = true;
        }
        reply.term = state.current_term;
    }

    fn elect(self: &Arc<Raft>, state: &mut State) {
        state.role = Role::Candidate;
        state.current_term += 1;
        state.voted_for = Some(self.me);
        self.persist(state);
        reset_deadline(state);
        let last = state.log.len() - 1;
        let term = state.current_term;
        let args = RequestVoteArgs {
            term,
            candidate_id: self.me,
            last_log_index: last,
            last_log_term: state.log[last].term,
        };
        let votes = Arc::new(Mutex::new(1));
        for peer in (0..self.peers.len()).filter(|peer| *peer != self.me) {
            let (rf, args, votes) = (self.clone(), args.clone(), votes.clone());
            labrpc::go(format!("server {}: asks {peer} for a vote", self.me), move || {
                let mut reply = RequestVoteReply::default();
                if !rf.peers[peer].call("Raft.RequestVote", &args, &mut reply) {
                    return;
                }
                let mut state = rf.mu.lock();
                rf.step_down(&mut state, reply.term);
                if state.current_term != term || state.role != Role::Candidate || !reply.vote_granted {
                    return;
                }
                *votes.lock() += 1;
                if *votes.lock() > rf.peers.len() / 2 {
                    state.role = Role::Leader;
                    state.next_index = vec![state.log.len(); rf.peers.len()];
                    state.match_index = vec![0; rf.peers.len()];
                    rf.broadcast(&mut state);
                }
            });
        }
    }

    /// Sends an append to everybody, each from a thread of its own.
    fn broadcast(self: &Arc<Raft>, state: &mut MutexGuard<'_, State>) {
        state.next_heartbeat = Instant::now() + HEARTBEAT;
        for peer in (0..self.peers.len()).filter(|peer| *peer != self.me) {
            let rf = self.clone();
            let prev = state.next_index[peer] - 1;
            let args = AppendEntriesArgs {
                term: state.current_term,
                prev_log_index: prev,
                prev_log_term: state.log[prev].term,
                entries: state.log[prev + 1..].to_vec(),
                leader_commit: state.commit_index,
            };
            labrpc::go(format!("server {}: append to {peer}", self.me), move || {
                let mut reply = AppendEntriesReply::default();
                if rf.peers[peer].call("Raft.AppendEntries", &args, &mut reply) {
                    rf.appended(peer, &args, &reply);
                }
            });
        }
    }

    fn appended(self: &Arc<Raft>, peer: usize, args: &AppendEntriesArgs, reply: &AppendEntriesReply) {
        let mut state = self.mu.lock();
        self.step_down(&mut state, reply.term);
        if state.current_term != args.term || state.role != Role::Leader {
            return;
        }
        if !reply.success {
            if reply.term == args.term && state.next_index[peer] == args.prev_log_index + 1 {
                let lowest = state.match_index[peer] + 1;
                state.next_index[peer] = reply.next_index.clamp(lowest, args.prev_log_index.max(lowest));
            }
            return;
        }
        let matched = args.prev_log_index + args.entries.len();
        state.match_index[peer] = state.match_index[peer].max(matched);
        state.next_index[peer] = state.match_index[peer] + 1;
        let mut matches = state.match_index.clone();
        matches[self.me] = state.log.len() - 1;
        matches.sort_unstable();
        let majority = matches[(matches.len() - 1) / 2];
        if majority > state.commit_index && state.log[majority].term == state.current_term {
            state.commit_index = majority;
            self.apply_cond.notify_all();
        }
    }

    fn append_entries(&self, args: &AppendEntriesArgs, reply: &mut AppendEntriesReply) {
        let mut state = self.mu.lock();
        self.step_down(&mut state, args.term);
        reply.term = state.current_term;
        if args.term < state.current_term {
            return;
        }
        state.role = Role::Follower;
        reset_deadline(&mut state);
        let prev = args.prev_log_index;
        if prev >= state.log.len() {
            reply.next_index = state.log.len();
            return;
        }
        if state.log[prev].term != args.prev_log_term {
            let term = state.log[prev].term;
            reply.next_index = (1..=prev).find(|i| state.log[*i].term == term).unwrap_or(1);
            return;
        }
        for (i, entry) in args.entries.iter().enumerate() {
            let index = prev + 1 + i;
            if index >= state.log.len() || state.log[index].term != entry.term {
                state.log.truncate(index);
                state.log.extend_from_slice(&args.entries[i..]);
                self.persist(&state);
                break;
            }
        }
        let last_new = prev + args.entries.len();
        if args.leader_commit.min(last_new) > state.commit_index {
            state.commit_index = args.leader_commit.min(last_new);
            self.apply_cond.notify_all();
        }
        reply.success = true;
    }
}

fn reset_deadline(state: &mut State) {
    state.deadline = Instant::now() + Duration::from_millis(rand::rng().random_range(300..600));
}

fn read_persist(state: &mut State, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let mut d = LabDecoder::new(data);
    d.decode(&mut state.current_term).expect("the term was saved");
    d.decode(&mut state.voted_for).expect("the vote was saved");
    d.decode(&mut state.log).expect("the log was saved");
}

impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft").method("RequestVote", &self, Raft::request_vote).method(
            "AppendEntries",
            &self,
            Raft::append_entries,
        )
    }
}
