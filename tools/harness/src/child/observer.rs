//! A thread that asks each server for its term and role every 10 ms.
//!
//! In a simulation the thread is a simulated one, since it takes the servers' locks.

use crate::record;
use lines::State;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often each server is asked for its term and role.
const INTERVAL: Duration = Duration::from_millis(10);

type Probe = dyn Fn(usize) -> Option<(u64, bool)> + Send + Sync;

/// The function that asks a server. A thread that holds this lock takes no other lock. The lock is std's, for the same
/// reason as the record's locks.
static PROBE: Mutex<Option<Arc<Probe>>> = Mutex::new(None);

thread_local! {
    static IS_OBSERVER: Cell<bool> = const { Cell::new(false) };
}

/// Sets `probe` as the function that returns a server's term, and whether the server leads; None if it is crashed.
/// `probe` runs on a thread of the harness, and may panic or hang. It must not hold a lock that the test needs.
pub fn observe(probe: impl Fn(usize) -> Option<(u64, bool)> + Send + Sync + 'static) {
    if record::is_on() {
        let probe: Arc<Probe> = Arc::new(probe);
        let old = sim::outside(|| lock().replace(probe));
        // Drop the old probe inside the simulation: dropping what the test has put into it may wake other threads.
        drop(old);
    }
}

/// Whether this is the thread that asks the servers. Its panics do not fail the test: it may have asked a server that was
/// just being killed.
pub(super) fn is_observer() -> bool {
    IS_OBSERVER.get()
}

/// Starts the thread. Ignores an error: the test goes on, and its picture has no terms and roles.
pub(super) fn start() {
    let _ = std::thread::Builder::new().name("harness-probe".to_string()).spawn(|| {
        IS_OBSERVER.set(true);
        sim::stand_by();
        loop {
            std::thread::sleep(INTERVAL);
            let probe = sim::outside(|| lock().clone());
            if let Some(probe) = probe {
                let servers = record::with_servers(|servers| servers.count);
                (0..servers).for_each(|server| ask(server, &*probe));
            }
        }
    });
}

fn ask(server: usize, probe: &Probe) {
    record::ask(server);
    let said = catch_unwind(AssertUnwindSafe(|| probe(server))).ok().flatten();
    record::answer(server, said.map(|(term, is_leader)| State { term, is_leader }));
}

fn lock() -> MutexGuard<'static, Option<Arc<Probe>>> {
    PROBE.lock().unwrap_or_else(PoisonError::into_inner)
}
