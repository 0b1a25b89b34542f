//! The simulated network of the lab: RPCs between threads that behave like RPCs between machines. The network can lose,
//! delay and reorder them (the Go lab's `labrpc`).
//!
//! | call | what it does |
//! | --- | --- |
//! | [`Network::new`] | makes a network with no ends and no servers |
//! | [`Network::make_end`] | makes a [`ClientEnd`], through which a client sends RPCs to one server |
//! | [`Network::add_server`], [`Network::delete_server`] | adds a server to the network, or removes it |
//! | [`Network::connect`], [`Network::enable`] | connects an end to a server; lets its RPCs through, or not |
//! | [`Network::reliable`], [`Network::long_delays`], [`Network::long_reordering`] | sets how bad the network is |
//! | [`Network::latency`], [`Network::slow`], [`Network::stall`] | injects further faults: delays of messages and of threads |
//! | [`Network::on_departure`] | tells a test of each message that leaves |
//! | [`set_observer`] | tells an observer what happens to each RPC |
//! | [`Network::get_count`], [`Network::get_total_count`] | counts the RPCs that a server got, or that were sent |
//! | [`Network::cleanup`] | ends every pending call, and the network's thread |
//! | [`ClientEnd::call`] | sends an RPC and waits: true and a reply, or false if it was lost |
//! | [`ClientEnd::go`], [`ClientEnd::go_to`] | sends an RPC; the reply arrives in a crossbeam channel |
//! | [`Service::new`], [`make_service`], [`Server::new`] | make the receiving side: a server is a bundle of named handlers |
//! | [`go`] | the `go` statement: runs a closure on a thread that is reused |
//!
//! Arguments and replies cross the network as labgob bytes and never share memory. A handler runs on a thread of its own,
//! so a call returns false when its server is deleted, even while the handler hangs.
//!
//! ```
//! use labrpc::{Network, Receiver, Server, Service, make_service};
//! use std::sync::Arc;
//!
//! struct Greeter;
//!
//! impl Greeter {
//!     fn greet(&self, args: &String, reply: &mut String) {
//!         *reply = format!("hello, {args}");
//!     }
//! }
//!
//! impl Receiver for Greeter {
//!     fn service(self: Arc<Self>) -> Service {
//!         Service::new("Greeter").method("Greet", &self, Self::greet)
//!     }
//! }
//!
//! let net = Network::new();
//! let mut server = Server::new();
//! server.add_service(make_service(Arc::new(Greeter)));
//! net.add_server("s", server);
//!
//! let end = net.make_end("client");
//! net.connect("client", "s");
//! net.enable("client", true);
//!
//! let mut reply = String::new();
//! assert!(end.call("Greeter.Greet", &"Raft".to_string(), &mut reply));
//! assert_eq!(reply, "hello, Raft");
//!
//! net.delete_server("s");
//! assert!(!end.call("Greeter.Greet", &"Raft".to_string(), &mut reply));
//! ```
//!
//! # Threads
//!
//! A network has one thread, for all its delays. Handlers, and the closures given to [`go`], run on a pool of threads,
//! which all networks of the process share. As in Go, a panic on one of these threads ends the process. It never looks
//! like a lost reply.
//!
//! # Where to find what is in labrpc.go
//!
//! | file | what is in it |
//! | --- | --- |
//! | `network.rs` | the calls with which tests wire up a network and make it bad |
//! | `client_end.rs` | `ClientEnd` |
//! | `service.rs` | `Server` and `Service` |
//! | `wiring.rs` | the network's data; `ReadEndnameInfo`, `IsServerDead` |
//! | `process.rs` | `ProcessReq` |
//! | `draws.rs` | the random draws of `ProcessReq` |
//!
//! Go has no counterpart of the other files: `faults.rs` injects more faults, `timer.rs` delays, `pool.rs`, `queue.rs` and
//! `handover.rs` are the pool of threads, `task_name.rs` names what runs on them, and `observer.rs` tells the harness of
//! each RPC.
#![forbid(unsafe_code)]

mod client_end;
mod draws;
mod faults;
mod handover;
mod network;
mod observer;
mod pool;
mod process;
mod queue;
mod service;
mod task_name;
mod timer;
mod wiring;

pub use client_end::ClientEnd;
pub use faults::{Departure, Latency};
pub use network::Network;
pub use observer::{Contents, Failure, Observer, Request, Step, set_observer};
pub use pool::{
    OTHERS_HAVE_THEM, Running, current_task, go, idle_threads, limit_threads, running, shortage,
    thread_census,
};
pub use service::{Receiver, Server, Service, make_service};
pub use task_name::TaskName;
