//! A Raft server (the extended Raft paper, Figure 2; Go: raft.go).
//!
//! This file is yours to write. The tests and the key/value service use:
//! - [`Raft::make`] starts a server;
//! - [`Raft::start`] asks it to agree on a new log entry;
//! - [`Raft::get_state`] returns its term and whether it thinks it is the leader;
//! - [`Raft::kill`] ends it, with its threads;
//! - each time an entry is committed, the server sends an [`ApplyMsg`] to its service.
//!
//! Keep the signatures of these functions; everything else may change. So far this file shows how to start a thread,
//! send an RPC, answer an RPC and save state. It elects no leader and agrees on nothing. The assignment is
//! docs/lab2.md.
//!
//! # Locking
//! `Raft::state` guards everything that changes, except for the apply channel, which has a lock of its own. If you add
//! locks, write here what each one guards and in which order they are taken. Never hold a lock across an RPC, a send into the apply channel, or a sleep.
#![expect(dead_code, reason = "you will use all of this; then delete this line")]

use crate::dprintf;
use crate::persister::Persister;
use crossbeam_channel::Sender;
use labgob::{Bytes, LabDecoder, LabEncoder};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// A message to the service: an entry is committed.
#[derive(Clone, Debug, Default)]
pub struct ApplyMsg {
    /// True: the message carries a committed entry. Services must ignore messages of kinds they do not know.
    pub command_valid: bool,
    /// The entry's command, as labgob bytes: `labgob::decode` returns what was passed to [`Raft::start`].
    pub command: Bytes,
    /// The entry's index in the log. The first index is 1. Indexes arrive in order, without gaps.
    pub command_index: usize,
    // Your data here (3B): a snapshot, which replaces entries that are no longer in the log.
}

/// How often the main loop checks whether there is something to do.
const TICK: Duration = Duration::from_millis(10);

/// Everything that changes in a server. Your data here (2A, 2B, 2C): Figure 2, "State".
#[derive(Default)]
struct State {
    current_term: u64,
}

/// A Raft server.
pub struct Raft {
    /// RPC ends of all servers.
    peers: Vec<ClientEnd>,
    /// This server's index in `peers`.
    me: usize,
    persister: Arc<Persister>,
    /// None once the server is killed. That closes the channel: the service's loop over the channel ends then, although
    /// the service holds this server.
    apply_ch: Mutex<Option<Sender<ApplyMsg>>>,
    state: Mutex<State>,
    killed: AtomicBool,
}

impl Raft {
    /// Starts a server and returns at once. `peers` are the ends of all servers, in the same order everywhere;
    /// `peers[me]` is this server's own. The server begins with the state in `persister`, if there is one, and saves
    /// its state there. It sends committed entries to `apply_ch`. The service must keep receiving.
    pub fn make(
        peers: Vec<ClientEnd>,
        me: usize,
        persister: Arc<Persister>,
        apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        let mut state = State::default();
        state.read_persist(&persister.read_raft_state());
        let (apply_ch, state) = (Mutex::new(Some(apply_ch)), Mutex::new(state));
        let killed = AtomicBool::new(false);
        let rf = Arc::new(Raft { peers, me, persister, apply_ch, state, killed });

        // Your code here (2A, 2B): start more threads if you want them. Each thread needs its own `Arc`, and must end
        // soon after `kill`.
        labrpc::go(format!("server {me}: raft main loop"), {
            let rf = rf.clone();
            move || rf.run()
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
        let command: Bytes = labgob::encode(command).unwrap_or_else(|e| panic!("raft: start: {e}")).into();
        let state = self.state.lock();
        dprintf!("server {}, term {}: refuses {command:?}", self.me, state.current_term);
        // Your code here (2B). Begin the agreement, but do not wait for it.
        (0, state.current_term, false)
    }

    /// The current term, and whether this server thinks it is the leader.
    pub fn get_state(&self) -> (u64, bool) {
        let state = self.state.lock();
        // Your code here (2A).
        (state.current_term, false)
    }

    /// Ends this server and its threads.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        *self.apply_ch.lock() = None;
        // Your code here: wake the threads that wait for something. If they wait for a condition variable, set `killed`
        // while you hold `state`, so that no thread is just between its look at `killed` and its wait.
    }

    /// Sends a message to the service (Go: `rf.applyCh <- msg`), and waits until the service takes it. Do not hold `state`
    /// when you call it: the service may be waiting for that lock. Does nothing once the server is killed.
    fn apply(&self, msg: ApplyMsg) {
        // A clone, so that `kill` need not wait for the send.
        let apply_ch = self.apply_ch.lock().clone();
        if let Some(apply_ch) = apply_ch {
            // Ignore the error: the service has ended.
            let _ = apply_ch.send(msg);
        }
    }

    // Your code here (3B): a call such as `snapshot(index, bytes)`, by which the service replaces the entries up to
    // `index`.

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// The main loop.
    fn run(&self) {
        while !self.is_killed() {
            // Your code here (2A): is it time for an election, or for a heartbeat?
            sleep(TICK);
        }
    }
}

// Persistence.

impl Raft {
    /// Saves the state that must survive a crash. Call it, with the lock held, after each change of that state, and
    /// before you send or answer a message that depends on the change.
    fn persist(&self, state: &State) {
        let mut saved = Vec::new();
        let mut e = LabEncoder::new(&mut saved);
        // Your code here (2C): the rest of the state that Figure 2 calls persistent.
        e.encode(&state.current_term).unwrap_or_else(|e| panic!("raft: persist: {e}"));
        // 3B: call `save_state_and_snapshot` instead when there is a new snapshot.
        self.persister.save_raft_state(saved);
    }
}

impl State {
    /// Restores what `persist` saved.
    fn read_persist(&mut self, saved: &[u8]) {
        if saved.is_empty() {
            // This server has never run before.
            return;
        }
        let mut d = LabDecoder::new(saved);
        // Your code here (2C): the same values, in the same order.
        d.decode(&mut self.current_term).unwrap_or_else(|e| panic!("raft: read_persist: {e}"));
    }
}

// Elections.

/// Arguments of Raft.RequestVote. Your data here (2A, 2B): Figure 2.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RequestVoteArgs {
    /// The candidate's term.
    term: u64,
}

/// Reply of Raft.RequestVote. Your data here (2A).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct RequestVoteReply {
    /// The receiver's term.
    term: u64,
}

impl Raft {
    /// The handler of Raft.RequestVote. Handlers run on the network's threads, several at a time. `reply` is at its
    /// default on entry, and is sent on return.
    fn request_vote(&self, args: &RequestVoteArgs, reply: &mut RequestVoteReply) {
        let state = self.state.lock();
        dprintf!("server {}, term {}: got {args:?}", self.me, state.current_term);
        // Your code here (2A, 2B).
        reply.term = state.current_term;
    }

    /// Sends a RequestVote to server `peer`, and waits for the answer. True: the handler ran there, and its reply is
    /// in `reply`. False: the request or the reply was lost, or the server is down; the handler may have run or not.
    ///
    /// The call always returns, so you need no timeout of your own. With a server that does not answer it may take
    /// seconds. Other work must go on meanwhile: call each server on its own thread (`labrpc::go`), or start all calls
    /// and wait for the first reply (`ClientEnd::go`, `ClientEnd::go_to`).
    fn send_request_vote(&self, peer: usize, args: &RequestVoteArgs, reply: &mut RequestVoteReply) -> bool {
        self.peers[peer].call("Raft.RequestVote", args, reply)
    }
}

// Replication.

// Your code here (2A: heartbeats; 2B: entries): AppendEntries, its arguments, reply, handler and sender.

/// The handlers that can be called over the network, and their names.
impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft").method("RequestVote", &self, Raft::request_vote)
    }
}
