//! A key/value server (Go: server.go): executes what Raft's log says, in its order.
//!
//! - [`start_kv_server`] starts a [`KVServer`];
//! - the handlers "Get" and "PutAppend" put an [`Op`] into the log and wait until it has been executed;
//! - the apply loop executes what is committed, and tells the handler that waits for it.
//!
//! Gets go through the log too: a leader that has been deposed without knowing it cannot answer one.
//!
//! When the log has become too large, the apply loop gives Raft a snapshot of the state machine; and when Raft gives it
//! one, it replaces the state machine (Lab 3B).
//!
//! # Locking
//! `KVServer::state` guards the state machine and the waiting handlers. A handler holds it across `Raft::start`, so that
//! the apply loop cannot pass the new entry before the handler waits for it, and the apply loop across `Raft::snapshot`;
//! Raft takes no lock of ours. Nobody waits while holding it.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply, PutOrAppend, RequestId};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft, dprintf};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting handler looks whether its server still leads. An operation that succeeds does not wait for it.
const LEADERSHIP_CHECK: Duration = Duration::from_millis(20);

/// How many committed entries may wait for the apply loop.
const APPLY_QUEUE: usize = 64;

/// A command in Raft's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Op {
    id: RequestId,
    key: String,
    kind: Kind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kind {
    Get,
    Put(String),
    Append(String),
}

impl Kind {
    fn is_write(&self) -> bool {
        !matches!(self, Kind::Get)
    }
}

/// What a request gave: a get's value, or None where the key was not there. None for puts and appends.
type Output = Option<String>;

/// The state machine: the same on all servers that have executed the same entries. This is what a snapshot holds.
#[derive(Default, Serialize, Deserialize)]
struct Machine {
    store: HashMap<String, String>,
    /// Each client's last executed put or append. A client has one request at a time, and takes nothing from the
    /// reply to these, so that its number is all there is to remember.
    executed: HashMap<u64, u64>,
}

#[derive(Default)]
struct State {
    machine: Machine,
    /// The handlers that wait, by the index of their entry.
    waiting: HashMap<usize, Waiting>,
    killed: bool,
}

struct Waiting {
    id: RequestId,
    /// Dropped without a message: the entry lost its place in the log, or the server is killed.
    slot: Sender<Output>,
}

/// A key/value server, with the Raft server under it.
pub struct KVServer {
    me: usize,
    rf: Arc<Raft>,
    persister: Arc<Persister>,
    maxraftstate: Option<usize>,
    state: Mutex<State>,
}

/// Starts a server and returns at once (Go: `StartKVServer`). `servers` are the ends of all servers, in the same order
/// everywhere, `me` is this one's place among them; `persister` holds what Raft keeps. `maxraftstate` is the size in
/// bytes that Raft's state may have before the server takes a snapshot; None (-1 in Go): it never does.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    let (apply_ch, committed) = bounded(APPLY_QUEUE);
    let rf = Raft::make(servers, me, persister.clone(), apply_ch);
    let kv = Arc::new(KVServer { me, rf, persister, maxraftstate, state: Mutex::new(State::default()) });
    labrpc::go(format!("server {me}: kv apply loop"), {
        let kv = kv.clone();
        move || kv.apply(&committed)
    });
    kv
}

impl KVServer {
    /// The Raft server under this one.
    pub fn raft(&self) -> Arc<Raft> {
        self.rf.clone()
    }

    /// Ends this server and its Raft server, with all their threads; waiting handlers return.
    pub fn kill(&self) {
        self.rf.kill();
        let mut state = self.state.lock();
        state.killed = true;
        state.waiting.clear();
    }

    fn get(&self, args: &GetArgs, reply: &mut GetReply) {
        let op = Op { id: args.id, key: args.key.clone(), kind: Kind::Get };
        match self.execute(op) {
            Some(Some(value)) => reply.value = value,
            Some(None) => reply.err = Err::ErrNoKey,
            None => reply.wrong_leader = true,
        }
    }

    fn put_append(&self, args: &PutAppendArgs, reply: &mut PutAppendReply) {
        let value = args.value.clone();
        let kind = match args.op {
            PutOrAppend::Put => Kind::Put(value),
            PutOrAppend::Append => Kind::Append(value),
        };
        reply.wrong_leader = self.execute(Op { id: args.id, key: args.key.clone(), kind }).is_none();
    }

    /// Has the operation executed, and returns its output; None when this server does not lead, or no longer.
    fn execute(&self, op: Op) -> Option<Output> {
        let id = op.id;
        let (index, term, outcome) = {
            let mut state = self.state.lock();
            if op.kind.is_write() && state.machine.has_executed(id) {
                return Some(None);
            }
            let (index, term, is_leader) = self.rf.start(&op);
            if !is_leader || state.killed {
                return None;
            }
            let (slot, outcome) = bounded(1);
            // Whoever waited at this index before led in an older term, and lost.
            state.waiting.insert(index, Waiting { id, slot });
            (index, term, outcome)
        };
        loop {
            match outcome.recv_timeout(LEADERSHIP_CHECK) {
                Ok(output) => return Some(output),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.rf.get_state() == (term, true) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let mut state = self.state.lock();
                    if state.waiting.get(&index).is_some_and(|waiting| waiting.id == id) {
                        state.waiting.remove(&index);
                    }
                    // It may have been executed meanwhile.
                    return outcome.try_recv().ok();
                }
            }
        }
    }

    /// The apply loop: executes what is committed. Ends with the Raft server.
    fn apply(&self, committed: &Receiver<ApplyMsg>) {
        let mut last_applied = 0;
        // Since the last snapshot.
        let mut executed_bytes = 0;
        while let Ok(first) = committed.recv() {
            let mut state = self.state.lock();
            for msg in std::iter::once(first).chain(committed.try_iter().take(APPLY_QUEUE)) {
                if msg.command_valid {
                    self.apply_entry(&mut state, &msg);
                    last_applied = msg.command_index;
                    executed_bytes += msg.command.len();
                } else if msg.snapshot_valid {
                    self.apply_snapshot(&mut state, &msg);
                    last_applied = msg.snapshot_index;
                    executed_bytes = 0;
                }
            }
            if self.is_worth_a_snapshot(executed_bytes) {
                let snapshot = labgob::encode(&state.machine)
                    .unwrap_or_else(|e| panic!("server {}: the snapshot: {e}", self.me));
                self.rf.snapshot(last_applied, snapshot);
                executed_bytes = 0;
            }
        }
    }

    /// Whether the log is too large, and a snapshot would take a good part of it away. A server that catches up has a
    /// long log, of which it has executed little: with a snapshot for each few entries it would never get there.
    fn is_worth_a_snapshot(&self, executed_bytes: usize) -> bool {
        let Some(max) = self.maxraftstate else { return false };
        let size = self.persister.raft_state_size();
        size >= max && executed_bytes >= size / 2
    }

    fn apply_snapshot(&self, state: &mut State, msg: &ApplyMsg) {
        let index = msg.snapshot_index;
        state.machine = labgob::decode(&msg.snapshot)
            .unwrap_or_else(|e| panic!("server {}: the snapshot up to entry {index} is none: {e}", self.me));
        dprintf!("server {}: has a snapshot up to entry {index}", self.me);
        // What these wait for is in the snapshot, or lost: their clients ask again.
        state.waiting.retain(|waiting, _| *waiting > index);
    }

    fn apply_entry(&self, state: &mut State, msg: &ApplyMsg) {
        let index = msg.command_index;
        let Op { id, key, kind } = labgob::decode(&msg.command)
            .unwrap_or_else(|e| panic!("server {}: entry {index} of the log is no Op: {e}", self.me));
        let State { machine, waiting, .. } = state;
        let waiting = waiting.remove(&index);
        dprintf!("server {}: executes entry {index}, {id:?}", self.me);
        let output = match kind {
            Kind::Get if waiting.is_some() => machine.store.get(&key).cloned(),
            // Nobody here is to be told.
            Kind::Get => None,
            Kind::Put(value) => {
                if machine.is_new(id) {
                    machine.store.insert(key, value);
                }
                None
            }
            Kind::Append(value) => {
                if machine.is_new(id) {
                    machine.store.entry(key).or_default().push_str(&value);
                }
                None
            }
        };
        if let Some(Waiting { id: waited_for, slot }) = waiting
            && waited_for == id
        {
            // The handler may just have given up; the slot has room for one.
            let _ = slot.try_send(output);
        }
    }
}

impl Machine {
    /// Whether this put or append was executed: the log has it once for each time it was sent.
    fn has_executed(&self, id: RequestId) -> bool {
        self.executed.get(&id.client).is_some_and(|seq| *seq >= id.seq)
    }

    /// Whether this put or append was not executed before; from now on it was.
    fn is_new(&mut self, id: RequestId) -> bool {
        let new = !self.has_executed(id);
        if new {
            self.executed.insert(id.client, id.seq);
        }
        new
    }
}

impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        Service::new("KVServer").method("Get", &self, KVServer::get).method(
            "PutAppend",
            &self,
            KVServer::put_append,
        )
    }
}
