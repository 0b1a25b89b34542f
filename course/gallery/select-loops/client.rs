//! The clerk.

use crate::common::{GetArgs, GetReply, PutAppendArgs, PutAppendReply};
use labrpc::ClientEnd;
use std::thread::sleep;
use std::time::Duration;

/// A client of the service.
pub struct Clerk {
    servers: Vec<ClientEnd>,
    leader: usize,
    client_id: u64,
    seq: u64,
}

/// Makes a clerk.
pub fn make_clerk(servers: Vec<ClientEnd>) -> Clerk {
    Clerk { servers, leader: 0, client_id: rand::random(), seq: 0 }
}

impl Clerk {
    /// The value of a key.
    pub fn get(&mut self, key: &str) -> String {
        self.seq += 1;
        let args = GetArgs { key: key.into(), client_id: self.client_id, seq: self.seq };
        loop {
            let mut reply = GetReply::default();
            if self.servers[self.leader].call("KVServer.Get", &args, &mut reply) && !reply.wrong_leader {
                return reply.value;
            }
            self.next_server();
        }
    }

    fn put_append(&mut self, key: &str, value: &str, op: &str) {
        self.seq += 1;
        let args = PutAppendArgs {
            key: key.into(),
            value: value.into(),
            op: op.into(),
            client_id: self.client_id,
            seq: self.seq,
        };
        loop {
            let mut reply = PutAppendReply::default();
            if self.servers[self.leader].call("KVServer.PutAppend", &args, &mut reply) && !reply.wrong_leader {
                return;
            }
            self.next_server();
        }
    }

    fn next_server(&mut self) {
        self.leader = (self.leader + 1) % self.servers.len();
        sleep(Duration::from_millis(10));
    }

    /// Replaces the value of a key.
    pub fn put(&mut self, key: &str, value: &str) {
        self.put_append(key, value, "Put");
    }

    /// Adds to the value of a key.
    pub fn append(&mut self, key: &str, value: &str) {
        self.put_append(key, value, "Append");
    }
}
