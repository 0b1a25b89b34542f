//! No operation waits for a heartbeat or another tick: with a heartbeat every five seconds, operations take no longer
//! than with one every tenth of a second.
//!
//! This test is of the reference solution alone: a student's Raft need not have `set_timing`.

use kvraft::{Clerk, KVServer, make_clerk, start_kv_server};
use labrpc::{Network, Server, make_service};
use raft::Persister;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SERVERS: usize = 3;
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A network of servers that have a leader and, from then on, slow timers.
struct Service {
    net: Network,
    servers: Vec<Arc<KVServer>>,
    clerk: Clerk,
}

impl Service {
    fn start() -> Service {
        let net = Network::new();
        let ends_of = |name: &str| {
            let end = |j: usize| {
                let end = format!("{name} to {j}");
                let port = net.make_end(&end);
                net.connect(&end, j);
                net.enable(&end, true);
                port
            };
            (0..SERVERS).map(end).collect::<Vec<_>>()
        };
        let start = |i: usize| {
            let kv = start_kv_server(ends_of(&i.to_string()), i, Arc::new(Persister::new()), None);
            let mut server = Server::new();
            server.add_service(make_service(kv.clone()));
            server.add_service(make_service(kv.raft()));
            net.add_server(i, server);
            kv
        };
        let servers: Vec<_> = (0..SERVERS).map(start).collect();
        let mut clerk = make_clerk(ends_of("clerk"));
        clerk.put("ready", "yes");
        servers.iter().for_each(|kv| kv.raft().set_timing(HEARTBEAT, 3 * HEARTBEAT..6 * HEARTBEAT));
        Service { net, servers, clerk }
    }

    /// Runs operations one after the other. A thousand pairs in five seconds leave no room for a tick of 3 ms in each
    /// operation, let alone for a heartbeat in one of a thousand.
    fn run(&mut self, what: &str, operations: usize) {
        let begun = Instant::now();
        let mut value = String::new();
        self.clerk.put(what, &value);
        for i in 0..operations {
            value += &i.to_string();
            self.clerk.append(what, &i.to_string());
            assert_eq!(self.clerk.get(what), value);
        }
        let took = begun.elapsed();
        assert!(took < HEARTBEAT, "{what}: {operations} appends and gets took {took:?}");
    }

    fn follower(&self) -> usize {
        let followers = |kv: &Arc<KVServer>| !kv.raft().get_state().1;
        self.servers.iter().position(followers).expect("one server leads, not all")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.servers.iter().for_each(|kv| kv.kill());
        self.net.cleanup();
    }
}

#[test]
fn operations_do_not_wait_for_heartbeats() {
    let mut service = Service::start();
    service.run("all servers up", 1000);
}

#[test]
fn operations_do_not_wait_for_heartbeats_with_a_server_down() {
    let mut service = Service::start();
    let down = service.follower();
    service.net.delete_server(down);
    service.run("one server down", 1000);
}

#[test]
fn lost_messages_are_not_made_up_for_by_heartbeats_only() {
    let mut service = Service::start();
    service.net.reliable(false);
    service.run("unreliable net", 15);
}
