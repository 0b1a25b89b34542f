//! Our side of the workloads in tools/compare/go: prints the line that a title ends with.
#![forbid(unsafe_code)]

use kvraft::{make_clerk, start_kv_server};
use labrpc::{ClientEnd, Network, Receiver, Server, Service, make_service};
use raft::Persister;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const RPCS: usize = 100_000;
const OPERATIONS: usize = 3000;
const SERVERS: usize = 5;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("rpc-sequential") => rpc(1),
        Some("rpc-twenty-callers") => rpc(20),
        Some("operations") => operations(),
        other => {
            eprintln!("unknown workload {other:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn passed(begun: Instant, peers: usize, rpcs: usize, operations: usize) {
    println!("  ... Passed --  {:.3}  {peers} {rpcs} {operations}", begun.elapsed().as_secs_f64());
}

fn enabled_end(net: &Network, name: String, server: usize) -> ClientEnd {
    let end = net.make_end(&name);
    net.connect(&name, server);
    net.enable(&name, true);
    end
}

/// The Go lab's JunkServer, with the handler that its benchmark calls.
struct JunkServer;

impl JunkServer {
    fn handler2(&self, args: &i32, reply: &mut String) {
        *reply = format!("handler2-{args}");
    }
}

impl Receiver for JunkServer {
    fn service(self: Arc<Self>) -> Service {
        Service::new("JunkServer").method("Handler2", &self, Self::handler2)
    }
}

fn rpc(callers: usize) {
    let net = Network::new();
    let mut server = Server::new();
    server.add_service(make_service(Arc::new(JunkServer)));
    net.add_server(0, server);
    let ends: Vec<_> = (0..callers).map(|c| enabled_end(&net, c.to_string(), 0)).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for end in &ends {
            scope.spawn(|| {
                for _ in 0..RPCS / callers {
                    let mut reply = String::new();
                    let answered = end.call("JunkServer.Handler2", &111, &mut reply);
                    assert!(answered && reply == "handler2-111", "wrong reply");
                }
            });
        }
    });
    passed(begun, 1, RPCS, RPCS);
}

fn operations() {
    let net = Network::new();
    let ends_of =
        |name: &str| (0..SERVERS).map(|j| enabled_end(&net, format!("{name} to {j}"), j)).collect::<Vec<_>>();
    let servers: Vec<_> = (0..SERVERS)
        .map(|i| {
            let kv = start_kv_server(ends_of(&i.to_string()), i, Arc::new(Persister::new()), None);
            let mut server = Server::new();
            server.add_service(make_service(kv.clone()));
            server.add_service(make_service(kv.raft()));
            net.add_server(i, server);
            kv
        })
        .collect();
    let mut ck = make_clerk(ends_of("client"));
    ck.put("0", "");
    let (begun, rpcs) = (Instant::now(), net.get_total_count());
    for i in 0..OPERATIONS / 2 {
        ck.append("0", &format!("x 0 {i} y"));
        ck.get("0");
    }
    passed(begun, SERVERS, net.get_total_count() - rpcs, OPERATIONS);
    servers.iter().for_each(|kv| kv.kill());
    net.cleanup();
}
