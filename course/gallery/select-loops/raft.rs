//! Raft in the style of Go solutions that wait in a select for each role: for a message of a handler, or for a timer. Each
//! call has a thread of its own. A killed server goes on: nobody hears it.

use crate::persister::Persister;
use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use labgob::{Bytes, LabDecoder, LabEncoder};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

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
    role: Role,
    current_term: u64,
    voted_for: Option<usize>,
    votes: usize,
    /// Index 0 is a dummy.
    log: Vec<LogEntry>,
    commit_index: usize,
    last_applied: usize,
    next_index: Vec<usize>,
    match_index: Vec<usize>,
}

/// Signals from handlers and from threads that call, to the loop. Each has room for one: one is enough.
struct Signal(Sender<()>, Receiver<()>);

impl Signal {
    fn new() -> Signal {
        let (tx, rx) = bounded(1);
        Signal(tx, rx)
    }

    fn raise(&self) {
        let _ = self.0.try_send(());
    }
}

/// A Raft server.
pub struct Raft {
    mu: Mutex<State>,
    peers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    apply_ch: Sender<ApplyMsg>,
    heard: Signal,
    granted: Signal,
    won: Signal,
    started: Signal,
    committed: Signal,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct RequestVoteArgs {
    term: u64,
    candidate_id: usize,
    last_log_index: usize,
    last_log_term: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct RequestVoteReply {
    term: u64,
    vote_granted: bool,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct AppendEntriesArgs {
    term: u64,
    prev_log_index: usize,
    prev_log_term: u64,
    entries: Vec<LogEntry>,
    leader_commit: usize,
}

#[derive(Default, Serialize, Deserialize)]
struct AppendEntriesReply {
    term: u64,
    success: bool,
    next_try: usize,
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
            role: Role::Follower,
            current_term: 0,
            voted_for: None,
            votes: 0,
            log: vec![LogEntry::default()],
            commit_index: 0,
            last_applied: 0,
            next_index: vec![1; n],
            match_index: vec![0; n],
        };
        read_persist(&mut state, &persister.read_raft_state());
        let rf = Arc::new(Raft {
            mu: Mutex::new(state),
            peers,
            me,
            persister,
            apply_ch,
            heard: Signal::new(),
            granted: Signal::new(),
            won: Signal::new(),
            started: Signal::new(),
            committed: Signal::new(),
        });
        let run = rf.clone();
        labrpc::go(format!("server {me}: role loop"), move || run.run());
        let apply = rf.clone();
        labrpc::go(format!("server {me}: apply loop"), move || apply.apply());
        rf
    }

    /// Starts agreement on a command.
    pub fn start(&self, command: &impl Serialize) -> (usize, u64, bool) {
        let mut state = self.mu.lock();
        if state.role != Role::Leader {
            return (0, state.current_term, false);
        }
        let (index, term) = (state.log.len(), state.current_term);
        let command = labgob::encode(command).expect("a command can be encoded").into();
        state.log.push(LogEntry { term, command });
        self.persist(&state);
        self.started.raise();
        (index, term, true)
    }

    /// The term, and whether this server leads.
    pub fn get_state(&self) -> (u64, bool) {
        let state = self.mu.lock();
        (state.current_term, state.role == Role::Leader)
    }

    /// Does nothing, as in many Go solutions.
    pub fn kill(&self) {}

    fn run(self: &Arc<Raft>) {
        loop {
            let role = self.mu.lock().role;
            match role {
                Role::Follower => self.follow(),
                Role::Candidate => self.stand(),
                Role::Leader => self.lead(),
            }
        }
    }

    fn follow(&self) {
        select! {
            recv(self.heard.1) -> _ => {}
            recv(self.granted.1) -> _ => {}
            recv(after(election_timeout())) -> _ => {
                let mut state = self.mu.lock();
                if state.role == Role::Follower {
                    state.role = Role::Candidate;
                }
            }
        }
    }

    fn stand(self: &Arc<Raft>) {
        let args = {
            let mut state = self.mu.lock();
            if state.role != Role::Candidate {
                return;
            }
            state.current_term += 1;
            (state.voted_for, state.votes) = (Some(self.me), 1);
            self.persist(&state);
            // A signal of an earlier election counts no more.
            let _ = self.won.1.try_recv();
            let last = state.log.len() - 1;
            RequestVoteArgs {
                term: state.current_term,
                candidate_id: self.me,
                last_log_index: last,
                last_log_term: state.log[last].term,
            }
        };
        for peer in self.others() {
            let (rf, args) = (self.clone(), args.clone());
            labrpc::go(format!("server {}: asks for a vote", self.me), move || rf.ask(peer, &args));
        }
        select! {
            recv(self.won.1) -> _ => {}
            recv(self.heard.1) -> _ => {}
            recv(after(election_timeout())) -> _ => {}
        }
    }

    fn ask(&self, peer: usize, args: &RequestVoteArgs) {
        let mut reply = RequestVoteReply::default();
        if !self.peers[peer].call("Raft.RequestVote", args, &mut reply) {
            return;
        }
        let mut state = self.mu.lock();
        self.see_term(&mut state, reply.term);
        if state.role != Role::Candidate || state.current_term != args.term || !reply.vote_granted {
            return;
        }
        state.votes += 1;
        if state.votes > self.peers.len() / 2 {
            state.role = Role::Leader;
            let (next, n) = (state.log.len(), self.peers.len());
            (state.next_index, state.match_index) = (vec![next; n], vec![0; n]);
            self.won.raise();
        }
    }

    fn lead(self: &Arc<Raft>) {
        for peer in self.others() {
            let rf = self.clone();
            labrpc::go(format!("server {}: append", self.me), move || rf.append_to(peer));
        }
        select! {
            recv(self.started.1) -> _ => {}
            recv(self.heard.1) -> _ => {}
            recv(after(HEARTBEAT)) -> _ => {}
        }
    }

    /// Sends one follower what it lacks, again and again until it is known to have it, or until a call is lost.
    fn append_to(&self, peer: usize) {
        loop {
            let args = {
                let state = self.mu.lock();
                if state.role != Role::Leader {
                    return;
                }
                let prev = state.next_index[peer] - 1;
                AppendEntriesArgs {
                    term: state.current_term,
                    prev_log_index: prev,
                    prev_log_term: state.log[prev].term,
                    entries: state.log[prev + 1..].to_vec(),
                    leader_commit: state.commit_index,
                }
            };
            let mut reply = AppendEntriesReply::default();
            if !self.peers[peer].call("Raft.AppendEntries", &args, &mut reply) {
                return;
            }
            let mut state = self.mu.lock();
            self.see_term(&mut state, reply.term);
            if state.role != Role::Leader || state.current_term != args.term {
                return;
            }
            if reply.success {
                let matched = args.prev_log_index + args.entries.len();
                state.match_index[peer] = state.match_index[peer].max(matched);
                state.next_index[peer] = state.match_index[peer] + 1;
                self.advance(&mut state);
                return;
            }
            // An old reply must not undo what a newer one has told.
            if state.next_index[peer] != args.prev_log_index + 1 {
                return;
            }
            let lowest = state.match_index[peer] + 1;
            state.next_index[peer] = reply.next_try.clamp(lowest, args.prev_log_index.max(lowest));
        }
    }

    fn advance(&self, state: &mut State) {
        for index in (state.commit_index + 1..state.log.len()).rev() {
            let have = 1 + self.others().filter(|peer| state.match_index[*peer] >= index).count();
            if have > self.peers.len() / 2 && state.log[index].term == state.current_term {
                state.commit_index = index;
                self.committed.raise();
                return;
            }
        }
    }

    fn apply(&self) {
        for () in &self.committed.1 {
            loop {
                let msg = {
                    let mut state = self.mu.lock();
                    if state.last_applied == state.commit_index {
                        break;
                    }
                    state.last_applied += 1;
                    let command_index = state.last_applied;
                    let command = state.log[command_index].command.clone();
                    ApplyMsg { command_valid: true, command, command_index }
                };
                self.apply_ch.send(msg).expect("somebody receives");
            }
        }
    }

    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        let mut state = self.mu.lock();
        self.see_term(&mut state, args.term);
        reply.term = state.current_term;
        let last = state.log.len() - 1;
        let is_new = (args.last_log_term, args.last_log_index) >= (state.log[last].term, last);
        let is_free = state.voted_for.is_none_or(|other| other == args.candidate_id);
        if args.term == state.current_term && is_free && is_new {
            state.voted_for = Some(args.candidate_id);
            self.persist(&state);
            reply.vote_granted = true;
            self.granted.raise();
        }
    }

    fn append_entries(&self, args: &AppendEntriesArgs, reply: &mut AppendEntriesReply) {
        let mut state = self.mu.lock();
        self.see_term(&mut state, args.term);
        reply.term = state.current_term;
        if args.term < state.current_term {
            return;
        }
        state.role = Role::Follower;
        self.heard.raise();
        let prev = args.prev_log_index;
        if prev >= state.log.len() {
            reply.next_try = state.log.len();
            return;
        }
        let term = state.log[prev].term;
        if term != args.prev_log_term {
            let mut first = prev;
            while first > 1 && state.log[first - 1].term == term {
                first -= 1;
            }
            reply.next_try = first;
            return;
        }
        let differs = |(i, entry): (usize, &LogEntry)| {
            state.log.get(prev + 1 + i).is_none_or(|own| own.term != entry.term).then_some(i)
        };
        if let Some(i) = args.entries.iter().enumerate().find_map(differs) {
            state.log.truncate(prev + 1 + i);
            state.log.extend_from_slice(&args.entries[i..]);
            self.persist(&state);
        }
        let commit = args.leader_commit.min(prev + args.entries.len());
        if commit > state.commit_index {
            state.commit_index = commit;
            self.committed.raise();
        }
        reply.success = true;
    }

    fn see_term(&self, state: &mut State, term: u64) {
        if term > state.current_term {
            (state.current_term, state.role, state.voted_for) = (term, Role::Follower, None);
            self.persist(state);
        }
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |peer| *peer != me)
    }

    fn persist(&self, state: &State) {
        let mut w = Vec::new();
        let mut e = LabEncoder::new(&mut w);
        e.encode(&state.current_term).expect("a term can be encoded");
        e.encode(&state.voted_for).expect("a vote can be encoded");
        e.encode(&state.log).expect("a log can be encoded");
        self.persister.save_raft_state(w);
    }
}

fn election_timeout() -> Duration {
    Duration::from_millis(rand::rng().random_range(300..600))
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
