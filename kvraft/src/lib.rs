//! A linearizable key/value service that keeps working while a majority of its servers is alive and connected
//! (Lab 3).
//!
//! | call | what it does |
//! | --- | --- |
//! | [`make_clerk`] | makes a client: a [`Clerk`] |
//! | [`Clerk::get`] | returns the value of a key; the empty string if the key has none |
//! | [`Clerk::put`] | replaces the value of a key |
//! | [`Clerk::append`] | adds to the end of the value of a key; does the same as `put` if the key has none |
//! | [`start_kv_server`] | starts a server: a [`KVServer`], with a Raft server in it |
//! | [`KVServer::raft`] | returns its Raft server |
//! | [`KVServer::kill`] | ends the server and its threads |
//!
//! Students write `client.rs`, `server.rs` and `common.rs`.
#![forbid(unsafe_code)]

#[allow(
    missing_docs,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "a student's file: only warnings that point to mistakes"
)]
mod client;
#[allow(
    missing_docs,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "a student's file: only warnings that point to mistakes"
)]
mod common;
#[allow(
    missing_docs,
    unused_qualifications,
    elided_lifetimes_in_paths,
    reason = "a student's file: only warnings that point to mistakes"
)]
mod server;

pub use client::{Clerk, make_clerk};
pub use server::{KVServer, start_kv_server};
