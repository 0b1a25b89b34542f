//! A key/value server (Go: server.go): executes the commands in Raft's log, in the log's order.
//!
//! - [`start_kv_server`] starts a [`KVServer`], with a Raft server in it;
//! - [`KVServer::raft`] returns its Raft server;
//! - [`KVServer::kill`] ends both, with their threads;
//! - clerks call the handlers "Get" and "PutAppend".
//!
//! This file is yours to write. Keep the signatures of these functions; everything else may change. So far the handlers
//! answer without doing anything. The assignment is docs/lab3.md.
//!
//! # Locking
//! `KVServer::state` guards everything that changes. If you add locks, write here what each one guards and in which
//! order they are taken. No thread may wait for anything while it holds a lock.
#![expect(dead_code, reason = "you will use all of this; then delete this line")]

use crate::common::{GetArgs, GetReply, PutAppendArgs, PutAppendReply};
use crossbeam_channel::{Receiver, bounded};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft, dprintf};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A command in Raft's log. Your data here: all that a server needs to execute the command.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Op {}

/// Everything that changes in a server. Your data here.
#[derive(Default)]
struct State {}

/// A key/value server, with the Raft server under it.
pub struct KVServer {
    me: usize,
    rf: Arc<Raft>,
    state: Mutex<State>,
    killed: AtomicBool,
}

/// Starts a server and returns at once (Go: `StartKVServer`). `servers` are the ends of all servers, in the same order
/// everywhere, and `me` is this server's place among them; `persister` holds Raft's saved state. `maxraftstate` is the
/// size of that state, in bytes, at which the server takes a snapshot; with None (-1 in Go) it never takes one.
///
/// # Panics
/// If `maxraftstate` is given: snapshots are Lab 3B. Delete this check when you write them.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    assert!(maxraftstate.is_none(), "kvraft: this server takes no snapshots (Lab 3B)");
    let (apply_ch, committed) = bounded(0);
    let rf = Raft::make(servers, me, persister, apply_ch);
    let (state, killed) = (Mutex::new(State::default()), AtomicBool::new(false));
    // 3B: the server needs `maxraftstate`, and the persister for Raft's size.
    let kv = Arc::new(KVServer { me, rf, state, killed });
    labrpc::go(format!("server {me}: loop over applied entries"), {
        let kv = kv.clone();
        move || kv.apply_loop(&committed)
    });
    kv
}

impl KVServer {
    /// The Raft server under this one.
    pub fn raft(&self) -> Arc<Raft> {
        self.rf.clone()
    }

    /// Ends this server and its Raft server, with all their threads.
    pub fn kill(&self) {
        self.rf.kill();
        self.killed.store(true, Ordering::SeqCst);
        // Your code here: make waiting handlers return.
    }

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// Receives the committed entries, all the time. Ends when the channel is closed: `Raft::kill` closes it.
    fn apply_loop(&self, committed: &Receiver<ApplyMsg>) {
        for msg in committed {
            // Your code here: execute the command, and pass the result to the handler that waits for it.
            dprintf!("server {}: {msg:?} is committed", self.me);
        }
    }

    /// The handler of KVServer.Get. Handlers run on the network's threads, several at a time. `reply` is at its
    /// default on entry, and is sent on return.
    fn get(&self, args: &GetArgs, reply: &mut GetReply) {
        // Your code here.
        dprintf!("server {}: {args:?}, {reply:?}", self.me);
    }

    /// The handler of KVServer.PutAppend.
    fn put_append(&self, args: &PutAppendArgs, reply: &mut PutAppendReply) {
        // Your code here.
        dprintf!("server {}: {args:?}, {reply:?}", self.me);
    }
}

/// The handlers that can be called over the network, and their names.
impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        let service = Service::new("KVServer");
        service.method("Get", &self, KVServer::get).method("PutAppend", &self, KVServer::put_append)
    }
}
