//! No operation waits for a heartbeat or another timer: with a heartbeat every five seconds, a thousand operations take
//! less time than one heartbeat.

use crate::raft_server::Timing;
use crate::{Clerk, KVServer, PATIENCE, Persister, Raft, ends, follows, leads, make_clerk};
use crossbeam_channel::bounded;
use labrpc::{Network, Server, make_service};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs these tests.
pub fn run() -> ExitCode {
    harness::run(&[
        ("operations_do_not_wait_for_heartbeats", operations_do_not_wait_for_heartbeats),
        (
            "operations_do_not_wait_for_heartbeats_with_a_server_down",
            operations_do_not_wait_for_heartbeats_with_a_server_down,
        ),
        (
            "lost_messages_are_not_made_up_for_by_heartbeats_only",
            lost_messages_are_not_made_up_for_by_heartbeats_only,
        ),
    ])
}

const HEARTBEAT: Duration = Duration::from_secs(5);

/// Three servers with slow timers. Server 0 leads.
struct Service {
    net: Network,
    servers: Vec<Arc<KVServer>>,
    clerk: Clerk,
}

impl Service {
    fn start() -> Service {
        let net = Network::new();
        let start = |(i, timing): (usize, Timing)| {
            let saved = Arc::new(Persister::new());
            let (apply_ch, committed) = bounded(64);
            let rf = Raft::make_with(timing, ends(&net, &i.to_string(), 3), i, saved.clone(), apply_ch);
            let kv = KVServer::start(rf, committed, i, saved, None);
            let mut server = Server::new();
            server.add_service(make_service(kv.clone()));
            server.add_service(make_service(kv.raft()));
            net.add_server(i, server);
            kv
        };
        let timings = [leads(HEARTBEAT), follows(), follows()];
        let servers: Vec<_> = timings.into_iter().enumerate().map(start).collect();
        let mut clerk = make_clerk(ends(&net, "clerk", 3));
        clerk.put("ready", "yes");
        assert!(servers[0].raft().get_state().1, "server 0 does not lead");
        Service { net, servers, clerk }
    }

    /// Runs operations one after the other. A thousand pairs in five seconds leave no room for a tick of 3 ms in each
    /// operation, or for a heartbeat in one of a thousand.
    fn run(&mut self, what: &str, operations: usize) {
        let begun = Instant::now();
        let mut value = String::new();
        self.clerk.put(what, &value);
        for i in 0..operations {
            value += &i.to_string();
            self.clerk.append(what, &i.to_string());
            assert_eq!(self.clerk.get(what), value);
            assert!(begun.elapsed() < PATIENCE, "{what}: {i} appends and gets took {:?}", begun.elapsed());
        }
        let took = begun.elapsed();
        assert!(took < HEARTBEAT, "{what}: {operations} appends and gets took {took:?}");
    }

    fn end(self) {
        self.servers.iter().for_each(|kv| kv.kill());
        self.net.cleanup();
    }
}

fn operations_do_not_wait_for_heartbeats() {
    let mut service = Service::start();
    service.run("all servers up", 1000);
    service.end();
}

fn operations_do_not_wait_for_heartbeats_with_a_server_down() {
    let mut service = Service::start();
    service.net.delete_server(1);
    service.run("one server down", 1000);
    service.end();
}

fn lost_messages_are_not_made_up_for_by_heartbeats_only() {
    let mut service = Service::start();
    service.net.reliable(false);
    service.run("unreliable net", 15);
    service.end();
}
