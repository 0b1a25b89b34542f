//! What a title does beside its own thread.

use crossbeam_channel::{Receiver, bounded};

/// Something that runs on a thread of its own, and its result.
pub struct Task<T>(Receiver<T>);

/// Runs `f` on a thread that is reused (`labrpc::go`). `name` is what failures and reports call it: "client 3".
pub fn spawn<T: Send + 'static>(
    name: impl Into<labrpc::TaskName>,
    f: impl FnOnce() -> T + Send + 'static,
) -> Task<T> {
    let (result, task) = bounded(1);
    labrpc::go(name, move || {
        // Nobody may care.
        let _ = result.send(f());
    });
    Task(task)
}

impl<T> Task<T> {
    /// Waits for the result.
    pub fn wait(self) -> T {
        self.0.recv().expect("a panic ends the process")
    }

    /// Where the result arrives, for a wait with a limit.
    pub fn result(&self) -> &Receiver<T> {
        &self.0
    }
}
