//! The simulated network of the lab: channels between threads that look like RPCs between machines, and that can
//! lose, delay and reorder them (the Go lab's `labrpc`).
//!
//! | call | what it does |
//! | --- | --- |
//! | [`Network::new`] | holds the network, its ends and its servers |
//! | [`Network::make_end`] | makes a [`ClientEnd`], which sends to one server for its life |
//! | [`Network::add_server`], [`Network::delete_server`] | puts a server on the network, or takes it off |
//! | [`Network::connect`], [`Network::enable`] | says which server an end talks to, and whether it may |
//! | [`Network::reliable`], [`Network::long_delays`], [`Network::long_reordering`] | how bad the network is |
//! | [`Network::latency`], [`Network::stall`] | how long messages take, and threads that send them |
//! | [`Network::get_count`], [`Network::get_total_count`] | how many RPCs a server got, how many were sent |
//! | [`Network::cleanup`] | ends every pending call, and the network's thread |
//! | [`ClientEnd::call`] | sends an RPC and waits: true and a reply, or false when it was lost |
//! | [`ClientEnd::go`], [`ClientEnd::go_to`] | sends an RPC; the reply arrives in a crossbeam channel |
//! | [`Service::new`], [`make_service`], [`Server::new`] | the receiving side: named handlers, bundled into a server |
//! | [`go`] | the `go` statement: runs a closure on a thread that is reused |
//!
//! Arguments and replies cross as labgob bytes and never share memory. A handler runs on a thread of its own, so a
//! call returns false when its server is deleted even while the handler hangs.
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
//! A network keeps one thread, for all its delays. Handlers, and the closures given to [`go`], run on a pool of
//! threads that the process shares and reuses. As in Go, a panic on one of those threads ends the process: it is
//! never turned into a reply that seems lost.
#![forbid(unsafe_code)]

mod client_end;
mod draws;
mod faults;
mod handover;
mod network;
mod pool;
mod process;
mod service;
mod task_name;
mod timer;
mod wiring;

pub use client_end::ClientEnd;
pub use faults::Latency;
pub use network::Network;
pub use pool::{Running, current_task, go, idle_threads, running, thread_census};
pub use service::{Receiver, Server, Service, make_service};
pub use task_name::TaskName;
