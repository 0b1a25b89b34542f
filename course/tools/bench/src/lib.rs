//! The servers and clients that the benchmarks and `compare` measure. The tests' harness is not part of them.
#![forbid(unsafe_code)]

use crossbeam_channel::{Receiver, unbounded};
use kvraft::{Clerk, KVServer, make_clerk, start_kv_server};
use labrpc::{ClientEnd, Network, Server, Service, make_service};
use raft::{ApplyMsg, Persister, Raft};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes the ends from `name` to the servers 0 to `n` - 1.
fn ends(net: &Network, name: &str, n: usize) -> Vec<ClientEnd> {
    let end = |j: usize| {
        let name = format!("{name} to {j}");
        let end = net.make_end(&name);
        net.connect(&name, j);
        net.enable(&name, true);
        end
    };
    (0..n).map(end).collect()
}

/// The Go lab's JunkServer, with the one handler that the Go lab's benchmark calls.
struct JunkServer;

impl JunkServer {
    fn handler2(&self, args: &i32, reply: &mut String) {
        *reply = format!("handler2-{args}");
    }
}

impl labrpc::Receiver for JunkServer {
    fn service(self: Arc<Self>) -> Service {
        Service::new("JunkServer").method("Handler2", &self, Self::handler2)
    }
}

/// A reliable network with one server.
pub struct Rpc {
    net: Network,
}

impl Rpc {
    /// Starts the server.
    pub fn start() -> Rpc {
        let net = Network::new();
        let mut server = Server::new();
        server.add_service(make_service(Arc::new(JunkServer)));
        net.add_server(0, server);
        Rpc { net }
    }

    /// Makes a caller. Each caller needs a name of its own.
    pub fn caller(&self, name: &str) -> Caller {
        Caller { end: ends(&self.net, name, 1).remove(0) }
    }
}

/// A client that sends RPCs.
pub struct Caller {
    end: ClientEnd,
}

impl Caller {
    /// Sends an RPC, and waits for its reply.
    pub fn call(&self) {
        let mut reply = String::new();
        let answered = self.end.call("JunkServer.Handler2", &111, &mut reply);
        assert!(answered && reply == "handler2-111", "wrong reply");
    }
}

/// Raft servers without a service above them.
pub struct Rafts {
    net: Network,
    servers: Vec<(Arc<Raft>, Receiver<ApplyMsg>)>,
}

impl Rafts {
    /// Starts `n` servers.
    pub fn start(n: usize) -> Rafts {
        let net = Network::new();
        let start = |i: usize| {
            let (apply_ch, applied) = unbounded();
            let rf = Raft::make(ends(&net, &i.to_string(), n), i, Arc::new(Persister::new()), apply_ch);
            let mut server = Server::new();
            server.add_service(make_service(rf.clone()));
            net.add_server(i, server);
            (rf, applied)
        };
        let servers = (0..n).map(start).collect();
        Rafts { net, servers }
    }

    /// Starts agreement on a command, and waits until the leader applies it.
    pub fn agree(&self, command: &str) {
        loop {
            let started = self.servers.iter().find_map(|(rf, applied)| {
                let (index, _, is_leader) = rf.start(&command);
                is_leader.then_some((index, applied))
            });
            let Some((index, applied)) = started else {
                // No leader yet.
                std::thread::yield_now();
                continue;
            };
            while let Ok(msg) = applied.recv() {
                if msg.command_index >= index {
                    return;
                }
            }
        }
    }
}

impl Drop for Rafts {
    fn drop(&mut self) {
        self.servers.iter().for_each(|(rf, _)| rf.kill());
        self.net.cleanup();
    }
}

/// Key/value servers.
pub struct Cluster {
    net: Network,
    n: usize,
    servers: Vec<Arc<KVServer>>,
    clerks: AtomicUsize,
}

impl Cluster {
    /// Starts `n` servers, and waits until they have a leader.
    pub fn start(n: usize) -> Cluster {
        Cluster::start_compacting(n, None)
    }

    /// As [`Cluster::start`], with a limit on the bytes of Raft's state (Lab 3B).
    pub fn start_compacting(n: usize, maxraftstate: Option<usize>) -> Cluster {
        let net = Network::new();
        let start = |i: usize| {
            let saved = Arc::new(Persister::new());
            let kv = start_kv_server(ends(&net, &i.to_string(), n), i, saved, maxraftstate);
            let mut server = Server::new();
            server.add_service(make_service(kv.clone()));
            server.add_service(make_service(kv.raft()));
            net.add_server(i, server);
            kv
        };
        let servers = (0..n).map(start).collect();
        let cluster = Cluster { net, n, servers, clerks: AtomicUsize::new(0) };
        cluster.clerk().put("ready", "");
        cluster
    }

    /// Makes a client.
    pub fn clerk(&self) -> Clerk {
        let number = self.clerks.fetch_add(1, Ordering::Relaxed);
        make_clerk(ends(&self.net, &format!("clerk {number}"), self.n))
    }

    /// The number of RPCs sent so far.
    pub fn rpcs(&self) -> usize {
        self.net.get_total_count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.servers.iter().for_each(|kv| kv.kill());
        self.net.cleanup();
    }
}
