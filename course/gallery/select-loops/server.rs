//! The key/value server: a handler waits for what is applied at the index of its operation, or for a timer.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply};
use crossbeam_channel::{Receiver, Sender, after, bounded, select};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Op {
    kind: String,
    key: String,
    value: String,
    client_id: u64,
    seq: u64,
}

#[derive(Default)]
struct State {
    db: HashMap<String, String>,
    /// The number of each client's last operation.
    seqs: HashMap<u64, u64>,
    /// A channel for each index: it tells the handler that waits there which operation was executed.
    done: HashMap<usize, (Sender<Id>, Receiver<Id>)>,
}

/// A client and the number of its operation.
type Id = (u64, u64);

/// A key/value server.
pub struct KVServer {
    mu: Mutex<State>,
    rf: Arc<Raft>,
}

/// Starts a server.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    _maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    let (apply_ch, applied) = bounded(100);
    let rf = Raft::make(servers, me, persister, apply_ch);
    let kv = Arc::new(KVServer { mu: Mutex::default(), rf });
    let run = kv.clone();
    labrpc::go(format!("server {me}: executes"), move || run.execute(&applied));
    kv
}

impl KVServer {
    /// The Raft server under this one.
    pub fn raft(&self) -> Arc<Raft> {
        self.rf.clone()
    }

    /// Does nothing, as in many Go solutions.
    pub fn kill(&self) {
        self.rf.kill();
    }

    /// False: this server does not lead, or the operation took too long.
    fn submit(&self, op: &Op) -> bool {
        let (index, _, is_leader) = self.rf.start(op);
        if !is_leader {
            return false;
        }
        let done = self.mu.lock().done.entry(index).or_insert_with(|| bounded(1)).1.clone();
        let is_done = select! {
            recv(done) -> id => id == Ok((op.client_id, op.seq)),
            recv(after(Duration::from_millis(1000))) -> _ => false,
        };
        self.mu.lock().done.remove(&index);
        is_done
    }

    fn get(&self, args: &GetArgs, reply: &mut GetReply) {
        let (client_id, seq) = (args.client_id, args.seq);
        let op = Op { kind: "Get".into(), key: args.key.clone(), value: String::new(), client_id, seq };
        if !self.submit(&op) {
            reply.wrong_leader = true;
            return;
        }
        match self.mu.lock().db.get(&args.key) {
            None => reply.err = Err::ErrNoKey,
            Some(value) => reply.value.clone_from(value),
        }
    }

    fn put_append(&self, args: &PutAppendArgs, reply: &mut PutAppendReply) {
        let PutAppendArgs { key, value, op: kind, client_id, seq } = args.clone();
        reply.wrong_leader = !self.submit(&Op { kind, key, value, client_id, seq });
    }

    fn execute(&self, applied: &Receiver<ApplyMsg>) {
        for msg in applied {
            let op: Op = labgob::decode(&msg.command).expect("the log has operations only");
            let mut state = self.mu.lock();
            let State { db, seqs, done } = &mut *state;
            let last = seqs.entry(op.client_id).or_default();
            if op.kind != "Get" && op.seq > *last {
                *last = op.seq;
                let value = db.entry(op.key.clone()).or_default();
                match op.kind.as_str() {
                    "Put" => value.clone_from(&op.value),
                    _ => value.push_str(&op.value),
                }
            }
            let (tell, left) = done.entry(msg.command_index).or_insert_with(|| bounded(1));
            // Whatever is left at this index is old.
            let _ = left.try_recv();
            let _ = tell.try_send((op.client_id, op.seq));
        }
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
