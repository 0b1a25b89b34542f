//! A key/value server (Go: server.go): executes the commands in Raft's log, in the log's order.
//!
//! - [`start_kv_server`] starts a [`KVServer`];
//! - the handlers "Get" and "PutAppend" put an [`Op`] into the log and wait until it has been executed;
//! - the apply loop executes committed entries, and passes each result to the handler that waits for it.
//!
//! Gets go through the log too, so that they are linearizable (section 8 of the Raft paper): a leader that was deposed
//! and does not know it yet cannot answer from an old store.
//!
//! When the log is too large, the apply loop passes a snapshot of the state machine to Raft. A snapshot that arrives
//! from Raft replaces the state machine (Lab 3B).
//!
//! # Locking
//! `KVServer::state` guards the state machine and the waiting handlers. A handler holds this lock across `Raft::start`,
//! so that the apply loop cannot reach the new entry before the handler waits for it. The apply loop holds the lock
//! across `Raft::snapshot`. Raft takes no lock of the service. No thread waits for anything while it holds this lock.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply, PutOrAppend, RequestId};
use crossbeam_channel::{Receiver, RecvError, Select, Sender, after, bounded, select};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft, dprintf};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting handler checks whether its server still leads. Operations that succeed do not wait for this.
const LEADERSHIP_CHECK: Duration = Duration::from_millis(20);

/// The most committed entries that wait for the apply loop.
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

/// The result of a request: a get's value, or None if there is no such key. None for puts and appends.
type Output = Option<String>;

/// The state machine, and the content of a snapshot. Servers that have executed the same entries have the same content.
#[derive(Default, Serialize, Deserialize)]
struct Machine {
    store: HashMap<String, String>,
    /// The number of each client's last executed put or append (section 8 of the Raft paper). A client has one request
    /// at a time, so the last number is enough; replies to puts and appends hold no result that must be remembered.
    executed: HashMap<u64, u64>,
}

#[derive(Default)]
struct State {
    machine: Machine,
    /// The waiting handlers, by the index of their entry.
    waiting: HashMap<usize, Waiting>,
    killed: bool,
}

struct Waiting {
    id: RequestId,
    /// Passes the result to the handler. The slot is dropped without a result if another entry got the index, or if the
    /// server is killed.
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
/// everywhere, and `me` is this server's place among them; `persister` holds Raft's saved state. `maxraftstate` is the
/// size of that state, in bytes, at which the server takes a snapshot; with None (-1 in Go) it never takes one.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    let (apply_ch, committed) = bounded(APPLY_QUEUE);
    let rf = Raft::make(servers, me, persister.clone(), apply_ch);
    KVServer::start(rf, committed, me, persister, maxraftstate)
}

impl KVServer {
    /// Starts a server on a Raft server that sends to `committed`.
    pub(crate) fn start(
        rf: Arc<Raft>,
        committed: Receiver<ApplyMsg>,
        me: usize,
        persister: Arc<Persister>,
        maxraftstate: Option<usize>,
    ) -> Arc<KVServer> {
        let kv = Arc::new(KVServer { me, rf, persister, maxraftstate, state: Mutex::new(State::default()) });
        labrpc::go(format!("server {me}: kv apply loop"), {
            let kv = kv.clone();
            move || kv.apply(&committed)
        });
        kv
    }

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
            Some(Some(value)) => (reply.err, reply.value) = (Err::OK, value),
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
        match self.execute(Op { id: args.id, key: args.key.clone(), kind }) {
            Some(_) => reply.err = Err::OK,
            None => reply.wrong_leader = true,
        }
    }

    /// Puts the operation into the log, waits until it has been executed, and returns its result. None if this server
    /// does not lead, or stops leading meanwhile.
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
            // If another handler waits at this index, its entry is lost: another leader has replaced it. Dropping that
            // handler's slot makes it return.
            state.waiting.insert(index, Waiting { id, slot });
            (index, term, outcome)
        };
        loop {
            select! {
                // An error means that the slot was dropped without a result.
                recv(outcome) -> output => return output.ok(),
                recv(after(LEADERSHIP_CHECK)) -> _ => {}
            }
            if self.rf.get_state() != (term, true) {
                let mut state = self.state.lock();
                if state.waiting.get(&index).is_some_and(|waiting| waiting.id == id) {
                    state.waiting.remove(&index);
                }
                // The operation may have been executed meanwhile.
                return outcome.try_recv().ok();
            }
        }
    }

    /// The apply loop: executes committed entries. It ends when the Raft server has ended.
    fn apply(&self, committed: &Receiver<ApplyMsg>) {
        let mut last_applied = 0;
        // The size of the commands executed since the last snapshot.
        let mut executed_bytes = 0;
        while let Ok(first) = receive(committed) {
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
                    .unwrap_or_else(|e| panic!("server {}: cannot encode a snapshot: {e}", self.me));
                self.rf.snapshot(last_applied, snapshot);
                executed_bytes = 0;
            }
        }
    }

    /// Whether the log is too large, and a snapshot would remove a good part of it. A server that catches up has a long
    /// log and has executed little of it: if it took a snapshot every few entries, it would never catch up.
    fn is_worth_a_snapshot(&self, executed_bytes: usize) -> bool {
        let Some(max) = self.maxraftstate else { return false };
        let size = self.persister.raft_state_size();
        size >= max && executed_bytes >= size / 2
    }

    fn apply_snapshot(&self, state: &mut State, msg: &ApplyMsg) {
        let index = msg.snapshot_index;
        state.machine = labgob::decode(&msg.snapshot).unwrap_or_else(|e| {
            panic!("server {}: cannot decode the snapshot up to entry {index}: {e}", self.me)
        });
        dprintf!("server {}: has a snapshot up to entry {index}", self.me);
        // The entries that the other handlers wait for are in the snapshot, or lost. Dropping their slots makes these
        // handlers return, and their clients ask again.
        state.waiting.retain(|waiting, _| *waiting > index);
    }

    fn apply_entry(&self, state: &mut State, msg: &ApplyMsg) {
        let index = msg.command_index;
        let Op { id, key, kind } = labgob::decode(&msg.command)
            .unwrap_or_else(|e| panic!("server {}: entry {index} of the log is not an Op: {e}", self.me));
        let State { machine, waiting, .. } = state;
        let waiting = waiting.remove(&index);
        dprintf!("server {}: executes entry {index}, {id:?}", self.me);
        let output = match kind {
            Kind::Get if waiting.is_some() => machine.store.get(&key).cloned(),
            // No handler here waits for the value.
            Kind::Get => None,
            Kind::Put(value) => {
                if machine.record_if_new(id) {
                    machine.store.insert(key, value);
                }
                None
            }
            Kind::Append(value) => {
                if machine.record_if_new(id) {
                    machine.store.entry(key).or_default().push_str(&value);
                }
                None
            }
        };
        if let Some(Waiting { id: waited_for, slot }) = waiting
            && waited_for == id
        {
            // The handler may just have given up. The slot has room for one message, so this does not block.
            let _ = slot.try_send(output);
        }
    }
}

/// Waits for a message as a channel of Go does. `Receiver::recv` does the same, but looks for a message in a loop before
/// it waits, which takes the processor from the threads that send.
fn receive<T>(channel: &Receiver<T>) -> Result<T, RecvError> {
    let mut select = Select::new();
    select.recv(channel);
    select.select().recv(channel)
}

impl Machine {
    /// Whether this put or append has been executed. A request that was sent twice may be in the log twice.
    fn has_executed(&self, id: RequestId) -> bool {
        self.executed.get(&id.client).is_some_and(|seq| *seq >= id.seq)
    }

    /// Records that this put or append is executed. False if it was executed before.
    fn record_if_new(&mut self, id: RequestId) -> bool {
        let is_new = !self.has_executed(id);
        if is_new {
            self.executed.insert(id.client, id.seq);
        }
        is_new
    }
}

/// The handlers that can be called over the network, and their names.
impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        let service = Service::new("KVServer");
        service.method("Get", &self, KVServer::get).method("PutAppend", &self, KVServer::put_append)
    }
}
