//! The clerk.

use crate::common::{Args, Op, Reply};
use labrpc::ClientEnd;
use std::thread::sleep;
use std::time::Duration;

/// A client of the service.
pub struct Clerk {
    servers: Vec<ClientEnd>,
    leader: usize,
    client: u64,
    seq: u64,
}

/// Makes a clerk.
pub fn make_clerk(servers: Vec<ClientEnd>) -> Clerk {
    Clerk { servers, leader: 0, client: rand::random(), seq: 0 }
}

impl Clerk {
    /// The value of a key.
    pub fn get(&mut self, key: &str) -> String {
        self.request("KVServer.Get", Op::Get, key, "")
    }

    /// Replaces the value of a key.
    pub fn put(&mut self, key: &str, value: &str) {
        self.request("KVServer.PutAppend", Op::Put, key, value);
    }

    /// Adds to the value of a key.
    pub fn append(&mut self, key: &str, value: &str) {
        self.request("KVServer.PutAppend", Op::Append, key, value);
    }

    /// Asks one server after the other until one has executed the request.
    fn request(&mut self, name: &str, op: Op, key: &str, value: &str) -> String {
        self.seq += 1;
        let args = Args { op, key: key.into(), value: value.into(), client: self.client, seq: self.seq };
        loop {
            let mut reply = Reply::default();
            if self.servers[self.leader].call(name, &args, &mut reply) && !reply.wrong_leader {
                return reply.value;
            }
            self.leader = (self.leader + 1) % self.servers.len();
            sleep(Duration::from_millis(5));
        }
    }
}
