//! The client's side of the service (Go: client.go).
//!
//! - [`make_clerk`] makes a [`Clerk`];
//! - its `get`, `put` and `append` find the leader, and retry until they succeed.
//!
//! This file is yours to write. Keep the signatures of these functions. So far the clerk asks one server, once. It
//! accepts any answer, and panics if there is none. The assignment is docs/lab3.md.

use crate::common::{GetArgs, GetReply, PutAppendArgs, PutAppendReply, PutOrAppend};
use labrpc::ClientEnd;

/// A client of the service, with one operation at a time.
pub struct Clerk {
    servers: Vec<ClientEnd>,
    // Your data here.
}

/// Makes a client that reaches the servers through these ends, which may be in any order (Go: `MakeClerk`).
pub fn make_clerk(servers: Vec<ClientEnd>) -> Clerk {
    // Your code here.
    Clerk { servers }
}

impl Clerk {
    /// Returns the value of a key, or the empty string if the key has none. Retries until it succeeds.
    pub fn get(&mut self, key: &str) -> String {
        let args = GetArgs { key: key.to_string() };
        let mut reply = GetReply::default();
        // Your code here: which server do you ask, and what do you do if it does not answer, or does not lead?
        let answered = self.servers[0].call("KVServer.Get", &args, &mut reply);
        assert!(answered, "get({key:?}): expected a value, but no reply came, and this clerk asks once");
        reply.value
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
        let args = PutAppendArgs { op, key: key.to_string(), value: value.to_string() };
        let mut reply = PutAppendReply::default();
        // Your code here.
        let answered = self.servers[0].call("KVServer.PutAppend", &args, &mut reply);
        assert!(answered, "{op:?}({key:?}): expected a reply, but none came, and this clerk asks once");
    }
}
