//! A thread that asks each server for its term and role every 10 ms.
//!
//! In a simulation the thread is a simulated one, since it takes the servers' locks.

use crate::record;
use lines::State;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often each server is asked for its term, and whether it leads.
const INTERVAL: Duration = Duration::from_millis(10);

type Probe = dyn Fn(usize) -> Option<(u64, bool)> + Send + Sync;

/// Whom to ask. Nothing is locked under it. It is std's lock, for the reason that the record's are.
static PROBE: Mutex<Option<Arc<Probe>>> = Mutex::new(None);

thread_local! {
    static IS_OBSERVER: Cell<bool> = const { Cell::new(false) };
}

/// From now on, `probe` says of each server in which term it is, and whether it leads; None when it is crashed. It runs
/// on a thread of the harness, holds no lock that the test needs, and may panic or hang.
pub fn observe(probe: impl Fn(usize) -> Option<(u64, bool)> + Send + Sync + 'static) {
    if record::is_on() {
        let probe: Arc<Probe> = Arc::new(probe);
        let old = sim::outside(|| lock().replace(probe));
        // Inside the simulation: what the test has put into it may wake other threads when it goes.
        drop(old);
    }
}

/// Whether this is the thread that asks the servers. Its panics do not fail the test: it may have asked a server that was
/// just being killed.
pub(super) fn is_observer() -> bool {
    IS_OBSERVER.get()
}

/// Starts the thread. Where no thread can be started, terms and roles are missing: the test has more urgent needs for
/// threads.
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
