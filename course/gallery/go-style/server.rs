//! The key/value server.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Op {
    op: String,
    key: String,
    value: String,
    client_id: u64,
    request_id: u64,
}

#[derive(Default)]
struct State {
    store: HashMap<String, String>,
    last_request: HashMap<u64, u64>,
    waiting: HashMap<usize, Sender<(Op, Option<String>)>>,
}

/// A key/value server.
pub struct KVServer {
    mu: Mutex<State>,
    rf: Arc<Raft>,
    dead: AtomicBool,
}

/// Starts a server.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    _maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    let (apply_ch, applied) = unbounded();
    let rf = Raft::make(servers, me, persister, apply_ch);
    let kv = Arc::new(KVServer { mu: Mutex::default(), rf, dead: AtomicBool::new(false) });
    let looper = kv.clone();
    labrpc::go(format!("server {me}: apply loop"), move || looper.apply_loop(&applied));
    kv
}

impl KVServer {
    /// The Raft server under this one.
    pub fn raft(&self) -> Arc<Raft> {
        self.rf.clone()
    }

    /// Ends this server.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.rf.kill();
    }

    fn killed(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// None: not the leader.
    fn execute(&self, op: Op) -> Option<Option<String>> {
        let (index, term, result) = {
            let mut state = self.mu.lock();
            let (index, term, is_leader) = self.rf.start(&op);
            if !is_leader {
                return None;
            }
            let (tx, rx) = bounded(1);
            state.waiting.insert(index, tx);
            (index, term, rx)
        };
        loop {
            match result.recv_timeout(Duration::from_millis(100)) {
                Ok((done, value)) => {
                    let mine = (done.client_id, done.request_id) == (op.client_id, op.request_id);
                    return mine.then_some(value);
                }
                Err(RecvTimeoutError::Timeout) if !self.killed() && self.rf.get_state() == (term, true) => {}
                Err(_) => {
                    self.mu.lock().waiting.remove(&index);
                    return None;
                }
            }
        }
    }

    fn get(&self, args: &GetArgs, reply: &mut GetReply) {
        let (client_id, request_id) = (args.client_id, args.request_id);
        let op = Op { op: "Get".into(), key: args.key.clone(), value: String::new(), client_id, request_id };
        match self.execute(op) {
            None => reply.wrong_leader = true,
            Some(None) => reply.err = Err::ErrNoKey,
            Some(Some(value)) => reply.value = value,
        }
    }

    fn put_append(&self, args: &PutAppendArgs, reply: &mut PutAppendReply) {
        let (client_id, request_id) = (args.client_id, args.request_id);
        let (key, value) = (args.key.clone(), args.value.clone());
        reply.wrong_leader =
            self.execute(Op { op: args.op.clone(), key, value, client_id, request_id }).is_none();
    }

    fn apply_loop(&self, applied: &Receiver<ApplyMsg>) {
        while !self.killed() {
            let msg = match applied.recv_timeout(Duration::from_millis(100)) {
                Ok(msg) => msg,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let op: Op = labgob::decode(&msg.command).expect("the log has operations only");
            let mut state = self.mu.lock();
            let last = state.last_request.get(&op.client_id).copied().unwrap_or(0);
            if op.op != "Get" && op.request_id > last {
                state.last_request.insert(op.client_id, op.request_id);
                let value = state.store.entry(op.key.clone()).or_default();
                if op.op == "Put" {
                    value.clear();
                }
                value.push_str(&op.value);
            }
            let value = state.store.get(&op.key).cloned();
            if let Some(tx) = state.waiting.remove(&msg.command_index) {
                let _ = tx.send((op, value));
            }
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
