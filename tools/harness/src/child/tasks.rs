//! Tasks that a test runs beside its own thread.

use super::threads;
use crossbeam_channel::{Receiver, bounded};

/// Something that runs on a thread of its own, and its result.
pub struct Task<T>(Receiver<T>);

/// Runs `f` on a thread that is reused (`labrpc::go`). `name` is what failures and reports call it: "partitioner".
pub fn spawn<T: Send + 'static>(name: impl Into<String>, f: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (result, task) = bounded(1);
    labrpc::go(name.into(), move || {
        // An error means that the test has dropped the task, and does not need the result.
        let _ = result.send(f());
    });
    Task(task)
}

/// As [`spawn`], for a client: what the thread logs is shown beside the client's operations.
pub fn spawn_client<T: Send + 'static>(
    name: impl Into<String>,
    f: impl FnOnce() -> T + Send + 'static,
) -> Task<T> {
    spawn(name, move || threads::as_client(f))
}

impl<T> Task<T> {
    /// Waits for the result.
    pub fn wait(self) -> T {
        self.0.recv().expect("a panic ends the process")
    }

    /// The channel in which the result arrives, for a wait with a limit.
    pub fn result(&self) -> &Receiver<T> {
        &self.0
    }
}
