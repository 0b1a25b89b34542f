//! A key/value server (Go: server.go): executes what Raft's log says, in its order.
//!
//! - [`start_kv_server`] starts a [`KVServer`], with a Raft server in it;
//! - [`KVServer::raft`] is its Raft server;
//! - [`KVServer::kill`] ends both, with their threads;
//! - the handlers "Get" and "PutAppend" are what clerks call.
//!
//! This file is yours to write. Leave these as they are; everything else may change. So far the handlers answer without
//! having done anything. The assignment is docs/lab3.md.
//!
//! # Locking
//! `KVServer::state` guards everything that changes. Say here what else you lock, and in which order. Nobody may wait
//! for anything while holding a lock.
#![expect(dead_code, reason = "what is here is for you to use; delete this line once you do")]

use crate::common::{GetArgs, GetReply, PutAppendArgs, PutAppendReply};
use crossbeam_channel::{Receiver, bounded};
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{ApplyMsg, Persister, Raft, dprintf};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A command in Raft's log. Your data here: what each server needs in order to execute it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Op {}

/// What changes in a server. Your data here.
#[derive(Default)]
struct State {}

/// A key/value server, with the Raft server under it.
pub struct KVServer {
    me: usize,
    rf: Arc<Raft>,
    /// What Raft has committed arrives here. Somebody must receive it all the time.
    committed: Receiver<ApplyMsg>,
    state: Mutex<State>,
    killed: AtomicBool,
}

/// Starts a server and returns at once (Go: `StartKVServer`). `servers` are the ends of all servers, in the same order
/// everywhere, `me` is this one's place among them; `persister` holds what Raft keeps. `maxraftstate` is the size in
/// bytes that Raft's state may have before the server takes a snapshot; None (-1 in Go): it never does.
///
/// # Panics
/// When `maxraftstate` is given: snapshots are Lab 3B, for which you take this out.
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
    // Your code here: a thread that receives what is committed (`labrpc::go`). It must end soon after `kill`.
    Arc::new(KVServer { me, rf, committed, state, killed })
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
        // Your code here: handlers that wait must return.
    }

    fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
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

/// Which handlers can be called over the network, and by what names.
impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        let service = Service::new("KVServer");
        service.method("Get", &self, KVServer::get).method("PutAppend", &self, KVServer::put_append)
    }
}
