//! The client's side of the service (Go: client.go).
//!
//! - [`make_clerk`] makes a [`Clerk`];
//! - its `get`, `put` and `append` find the leader and try until they succeed.

use crate::common::{Err, GetArgs, GetReply, PutAppendArgs, PutAppendReply, PutOrAppend, RequestId};
use labrpc::ClientEnd;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::thread::sleep;
use std::time::Duration;

/// The pause after all servers in turn have denied that they lead, or have not answered.
const ELECTION_PAUSE: Duration = Duration::from_millis(20);

/// A client of the service, with one operation at a time.
pub struct Clerk {
    servers: Vec<ClientEnd>,
    client: u64,
    /// The last request's number.
    seq: u64,
    /// The server that led when it was last asked.
    leader: usize,
}

/// A client that reaches the servers through these ends, in any order (Go: `MakeClerk`).
///
/// # Panics
/// When there are none.
pub fn make_clerk(servers: Vec<ClientEnd>) -> Clerk {
    assert!(!servers.is_empty(), "kvraft: make_clerk: there must be a server");
    Clerk { servers, client: rand::random(), seq: 0, leader: 0 }
}

impl Clerk {
    /// The value of a key, empty when there is none. Tries until a majority of the servers can be reached.
    pub fn get(&mut self, key: &str) -> String {
        let args = GetArgs { id: self.next_id(), key: key.to_string() };
        let reply: GetReply = self.request("KVServer.Get", &args, |reply: &GetReply| reply.wrong_leader);
        match reply.err {
            Err::OK => reply.value,
            Err::ErrNoKey => String::new(),
        }
    }

    /// Replaces the value of a key; on return it has happened, exactly once. Tries as `get` does.
    pub fn put(&mut self, key: &str, value: &str) {
        self.put_append(PutOrAppend::Put, key, value);
    }

    /// Adds to the end of the value of a key, or puts it when there is none; on return it has happened, exactly once.
    /// Tries as `get` does.
    pub fn append(&mut self, key: &str, value: &str) {
        self.put_append(PutOrAppend::Append, key, value);
    }

    fn put_append(&mut self, op: PutOrAppend, key: &str, value: &str) {
        let args = PutAppendArgs { id: self.next_id(), op, key: key.to_string(), value: value.to_string() };
        self.request("KVServer.PutAppend", &args, |reply: &PutAppendReply| reply.wrong_leader);
    }

    fn next_id(&mut self) -> RequestId {
        self.seq += 1;
        RequestId { client: self.client, seq: self.seq }
    }

    /// Asks the servers in turn, beginning with the one that led last, until one that leads has executed the request.
    fn request<R: Default + DeserializeOwned>(
        &mut self,
        svc_meth: &str,
        args: &impl Serialize,
        wrong_leader: fn(&R) -> bool,
    ) -> R {
        // One lost message says little about who leads: the leader of the last request is asked twice.
        let mut patience = 1;
        let mut asked = 0;
        loop {
            let mut reply = R::default();
            let arrived = self.servers[self.leader].call(svc_meth, args, &mut reply);
            if arrived && !wrong_leader(&reply) {
                return reply;
            }
            if !arrived && patience > 0 {
                patience -= 1;
                continue;
            }
            patience = 0;
            self.leader = (self.leader + 1) % self.servers.len();
            asked += 1;
            if asked % self.servers.len() == 0 {
                sleep(ELECTION_PAUSE);
            }
        }
    }
}
