//! Tests of the reference solution alone. They need what students do not write: [`Raft::snapshot`], and things that the
//! crates `raft` and `kvraft` keep to themselves (Raft's messages, and servers with other times).
//!
//! This crate compiles the sources of both crates as modules of its own, so that its tests see what is `pub(crate)`.
//! Students' crates need not have any of it.
#![forbid(unsafe_code)]

// The sources of `kvraft` name the crate `raft`: here, that is this crate.
extern crate self as raft;

#[path = "../../../../raft/src/persister.rs"]
mod persister;
#[path = "../../../../raft/src/raft.rs"]
mod raft_server;
#[path = "../../../../raft/src/util.rs"]
pub mod util;

#[path = "../../../../kvraft/src/client.rs"]
mod client;
#[path = "../../../../kvraft/src/common.rs"]
mod common;
#[path = "../../../../kvraft/src/server.rs"]
mod server;

pub mod heartbeat;
pub mod snapshot;

pub use client::{Clerk, make_clerk};
pub use persister::Persister;
pub use raft_server::{ApplyMsg, Raft};
pub use server::{KVServer, start_kv_server};

use labrpc::{ClientEnd, Network};
use raft_server::Timing;
use std::time::Duration;

/// How long a test waits for what must happen: longer than it can take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The times of a server that is elected soon, and leads to the end.
fn leads(heartbeat: Duration) -> Timing {
    let ms = Duration::from_millis;
    Timing { heartbeat, election_timeout: ms(100)..ms(200), quorum_timeout: Duration::from_secs(1000) }
}

/// The times of a server that never stands for election.
fn follows() -> Timing {
    let secs = Duration::from_secs;
    Timing { heartbeat: PATIENCE, election_timeout: secs(1000)..secs(2000), quorum_timeout: secs(1000) }
}

/// Connected ends to the servers 0 to `servers - 1`. `name` is the sender's.
fn ends(net: &Network, name: &str, servers: usize) -> Vec<ClientEnd> {
    let end = |j: usize| {
        let name = format!("{name} to {j}");
        let end = net.make_end(&name);
        net.connect(&name, j);
        net.enable(&name, true);
        end
    };
    (0..servers).map(end).collect()
}
