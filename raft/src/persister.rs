//! What survives a crash of a server: the bytes of Raft's state, and those of a snapshot (Go: persister.go).
//!
//! The harness hands every restarted server a copy, so that a superseded instance cannot write into its successor's
//! state. A call is atomic: a crash comes before it or after it.

use parking_lot::Mutex;

/// Holds one server's persistent state, in memory.
#[derive(Default)]
pub struct Persister {
    saved: Mutex<Saved>,
}

#[derive(Clone, Default)]
struct Saved {
    raft_state: Vec<u8>,
    snapshot: Vec<u8>,
}

impl Persister {
    /// An empty persister: that of a server which has never run (Go: `MakePersister`).
    pub fn new() -> Persister {
        Persister::default()
    }

    /// An independent persister with the same contents.
    pub fn copy(&self) -> Persister {
        Persister { saved: Mutex::new(self.saved.lock().clone()) }
    }

    /// Replaces Raft's state.
    pub fn save_raft_state(&self, state: Vec<u8>) {
        self.saved.lock().raft_state = state;
    }

    /// Adds to the end of Raft's state, as to a log file. This has no counterpart in Go: saving the whole state for
    /// each new entry costs time in proportion to the log.
    pub fn append_raft_state(&self, bytes: &[u8]) {
        self.saved.lock().raft_state.extend_from_slice(bytes);
    }

    /// Raft's state, as saved last. Empty: nothing was ever saved.
    pub fn read_raft_state(&self) -> Vec<u8> {
        self.saved.lock().raft_state.clone()
    }

    /// The size of Raft's state, in bytes.
    pub fn raft_state_size(&self) -> usize {
        self.saved.lock().raft_state.len()
    }

    /// Replaces Raft's state and the snapshot together, in one step.
    pub fn save_state_and_snapshot(&self, state: Vec<u8>, snapshot: Vec<u8>) {
        *self.saved.lock() = Saved { raft_state: state, snapshot };
    }

    /// The snapshot, as saved last. Empty: there is none.
    pub fn read_snapshot(&self) -> Vec<u8> {
        self.saved.lock().snapshot.clone()
    }

    /// The size of the snapshot, in bytes.
    pub fn snapshot_size(&self) -> usize {
        self.saved.lock().snapshot.len()
    }
}
