//! The client's side of the service (Go: client.go).
//!
//! - [`make_clerk`] makes a [`Clerk`];
//! - its `get`, `put` and `append` find the leader, and retry until they succeed.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply, PutOrAppend, RequestId};
use labrpc::ClientEnd;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::thread::sleep;
use std::time::Duration;

/// The pause after each round in which no server has answered as the leader.
const ELECTION_PAUSE: Duration = Duration::from_millis(20);

/// A client of the service, with one operation at a time.
pub struct Clerk {
    servers: Vec<ClientEnd>,
    client: u64,
    /// The number of the last request.
    seq: u64,
    /// The server to ask first: the leader, as far as this clerk knows.
    leader: usize,
}

/// Makes a client that reaches the servers through these ends, which may be in any order (Go: `MakeClerk`).
///
/// # Panics
/// If there are no ends.
pub fn make_clerk(servers: Vec<ClientEnd>) -> Clerk {
    assert!(!servers.is_empty(), "kvraft: make_clerk: there must be a server");
    Clerk { servers, client: rand::random(), seq: 0, leader: 0 }
}

impl Clerk {
    /// Returns the value of a key, or the empty string if the key has none. Retries until it succeeds.
    pub fn get(&mut self, key: &str) -> String {
        let args = GetArgs { id: self.next_id(), key: key.to_string() };
        let reply = self.request("KVServer.Get", &args, |reply: &GetReply| !reply.wrong_leader);
        match reply.err {
            Err::OK => reply.value,
            Err::ErrNoKey => String::new(),
        }
    }

    /// Replaces the value of a key. Retries until it succeeds. However often it retries, the value is replaced once.
    pub fn put(&mut self, key: &str, value: &str) {
        self.put_append(PutOrAppend::Put, key, value);
    }

    /// Adds to the end of the value of a key; does the same as `put` if the key has no value. Retries until it
    /// succeeds. However often it retries, it adds to the value once.
    pub fn append(&mut self, key: &str, value: &str) {
        self.put_append(PutOrAppend::Append, key, value);
    }

    fn put_append(&mut self, op: PutOrAppend, key: &str, value: &str) {
        let args = PutAppendArgs { id: self.next_id(), op, key: key.to_string(), value: value.to_string() };
        let is_done = |reply: &PutAppendReply| !reply.wrong_leader && reply.err == Err::OK;
        self.request("KVServer.PutAppend", &args, is_done);
    }

    fn next_id(&mut self) -> RequestId {
        self.seq += 1;
        RequestId { client: self.client, seq: self.seq }
    }

    /// Asks the servers in turn, beginning with the last leader, until a reply says that the request is done.
    fn request<R: Default + DeserializeOwned>(
        &mut self,
        svc_meth: &str,
        args: &impl Serialize,
        is_done: fn(&R) -> bool,
    ) -> R {
        // One lost message says little about who leads, so the last leader is asked once more.
        let mut retries = 1;
        let mut asked = 0;
        loop {
            let mut reply = R::default();
            let arrived = self.servers[self.leader].call(svc_meth, args, &mut reply);
            if arrived && is_done(&reply) {
                return reply;
            }
            if !arrived && retries > 0 {
                retries -= 1;
                continue;
            }
            retries = 0;
            self.leader = (self.leader + 1) % self.servers.len();
            asked += 1;
            if asked % self.servers.len() == 0 {
                sleep(ELECTION_PAUSE);
            }
        }
    }
}
