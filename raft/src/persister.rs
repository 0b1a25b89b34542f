//! The state that survives a crash of a server: the bytes of Raft's state, and the bytes of a snapshot (Go:
//! persister.go).
//!
//! A restarted server gets a copy. Threads of the server that crashed may still run, and cannot overwrite the copy.
//! Each call is atomic: a crash happens before the call or after it.

use labgob::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// Holds one server's persistent state, in memory.
#[derive(Default)]
pub struct Persister {
    saved: Mutex<Saved>,
    before_save: Mutex<Option<Hook>>,
    after_save: Mutex<Option<Hook>>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone, Default)]
struct Saved {
    raft_state: Vec<u8>,
    /// Shared by copies of the persister, because it may be large.
    snapshot: Bytes,
}

impl Persister {
    /// An empty persister, for a server that has never run (Go: `MakePersister`).
    pub fn new() -> Persister {
        Persister::default()
    }

    /// An independent persister with the same contents.
    pub fn copy(&self) -> Persister {
        Persister { saved: Mutex::new(self.saved.lock().clone()), ..Persister::default() }
    }

    /// Replaces Raft's state.
    pub fn save_raft_state(&self, state: Vec<u8>) {
        self.save(|saved| saved.raft_state = state);
    }

    /// Adds bytes to the end of Raft's state, as to a log file. Go has no such call: in Go each save writes the whole
    /// state, which takes time in proportion to the length of the log.
    pub fn append_raft_state(&self, bytes: &[u8]) {
        self.save(|saved| saved.raft_state.extend_from_slice(bytes));
    }

    /// Raft's state, as saved last. It is empty if nothing was ever saved.
    pub fn read_raft_state(&self) -> Vec<u8> {
        self.saved.lock().raft_state.clone()
    }

    /// The size of Raft's state, in bytes.
    pub fn raft_state_size(&self) -> usize {
        self.saved.lock().raft_state.len()
    }

    /// Replaces Raft's state and the snapshot together, in one step.
    pub fn save_state_and_snapshot(&self, state: Vec<u8>, snapshot: impl Into<Bytes>) {
        let new = Saved { raft_state: state, snapshot: snapshot.into() };
        self.save(|saved| *saved = new);
    }

    fn save(&self, save: impl FnOnce(&mut Saved)) {
        let call = |hook: &Mutex<Option<Hook>>| {
            let hook = hook.lock().clone();
            hook.into_iter().for_each(|hook| hook());
        };
        call(&self.before_save);
        save(&mut self.saved.lock());
        call(&self.after_save);
    }

    /// The snapshot, as saved last. It is empty if no snapshot was ever saved.
    pub fn read_snapshot(&self) -> Bytes {
        self.saved.lock().snapshot.clone()
    }

    /// The size of the snapshot, in bytes.
    pub fn snapshot_size(&self) -> usize {
        self.saved.lock().snapshot.len()
    }

    /// Calls `hook` before each save, on the thread that saves. Only tests use this.
    pub fn before_save(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.before_save.lock() = Some(Arc::new(hook));
    }

    /// Calls `hook` after each save, on the thread that saves. Only tests use this: a hook that does not return stops
    /// the thread right after the save, as a crash of the machine would.
    pub fn after_save(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.after_save.lock() = Some(Arc::new(hook));
    }
}
