//! The Raft consensus algorithm (Lab 2): a replicated log that keeps working while a majority of its servers is alive
//! and connected.
//!
//! | call | what it does |
//! | --- | --- |
//! | [`Raft::make`] | starts a server |
//! | [`Raft::start`] | starts agreement on a new log entry; returns its index, the term, and whether this server leads |
//! | [`Raft::get_state`] | returns this server's term, and whether it thinks it leads |
//! | [`Raft::kill`] | ends the server and its threads |
//!
//! Each time an entry is committed, each server sends an [`ApplyMsg`] to its service through the apply channel. A
//! [`Persister`] holds the state that survives a crash.
//!
//! Students write `raft.rs`. It follows Figure 2 of the extended Raft paper.
#![forbid(unsafe_code)]

mod persister;
#[allow(
    missing_docs,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "a student's file: only warnings that point to mistakes"
)]
mod raft;
pub mod util;

pub use persister::Persister;
pub use raft::{ApplyMsg, Raft};
