//! Whether the simulator works here: looked at before each simulation, in a few milliseconds.

use super::interpose::{CALLS, addresses};
use super::scheduler::{self, Totals};
use crate::{Hooks, Strategy};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Whether whoever looks for an interposed function finds the one that is here.
pub(crate) fn symbols() -> Result<(), String> {
    for ((name, _), address) in CALLS.iter().zip(addresses()) {
        // SAFETY: `name` is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        if found as usize != address {
            return Err(format!(
                "simulation: the program does not use the simulator's {}. Was it linked in an unusual way \
                 (statically, or with -C prefer-dynamic)?",
                name.to_string_lossy()
            ));
        }
    }
    Ok(())
}

/// Simulates a small program twice: all calls but those that std does not make must be simulated, and the runs must be
/// the same.
pub(crate) fn replay(hooks: Hooks) -> Result<(), String> {
    let calls = || CALLS.iter().map(|(_, count)| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let before = calls();
    let first = sample(hooks);
    let after = calls();
    // std sleeps by one of these two.
    let sleeps = |name: &str| name.ends_with("nanosleep");
    let slept = (0..CALLS.len()).any(|i| sleeps(&CALLS[i].0.to_string_lossy()) && after[i] > before[i]);
    for (i, (name, _)) in CALLS.iter().enumerate() {
        let name = name.to_string_lossy();
        let needed = !(sleeps(&name) && slept);
        if needed && after[i] == before[i] {
            return Err(format!("simulation: std does not call {name} as it is expected to"));
        }
    }
    let second = sample(hooks);
    if first != second {
        return Err(format!("simulation: a sample program does not replay: {first:?}, and then {second:?}"));
    }
    Ok(())
}

/// What the sample program has seen, and what it took.
fn sample(hooks: Hooks) -> (Totals, Vec<String>, Vec<u64>) {
    let mut seen = Vec::new();
    let (totals, left) = scheduler::simulate(1, Strategy::Uniform, None, hooks, || seen = program());
    scheduler::forget();
    (totals, left, seen)
}

/// Uses all that is simulated. Its numbers differ when the schedule, the clock or the random numbers do.
fn program() -> Vec<u64> {
    let begun = Instant::now();
    let shared = Arc::new(Mutex::new(Vec::new()));
    let (tx, rx) = channel();
    let threads: Vec<_> = (0..3u64)
        .map(|i| {
            let (shared, tx) = (shared.clone(), tx.clone());
            let thread = std::thread::Builder::new().name(format!("sample {i}"));
            let thread = thread.spawn(move || {
                for j in 0..10 {
                    let mut shared = shared.lock().expect("nobody panics");
                    shared.push(10 * i + j);
                    // Others find the lock taken.
                    std::thread::sleep(Duration::from_millis(i));
                    drop(shared);
                    std::thread::yield_now();
                }
                // The state's seed is drawn once for each thread.
                let _ = tx.send(RandomState::new().hash_one(i));
            });
            thread.expect("a thread can be started")
        })
        .collect();
    drop(tx);
    let detached = std::thread::spawn(|| {});
    drop(detached);
    let mut seen: Vec<u64> = rx.iter().collect();
    threads.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
    std::thread::sleep(Duration::from_secs(3600));
    seen.append(&mut shared.lock().expect("nobody panics"));
    seen.push(begun.elapsed().as_nanos() as u64);
    seen.push(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64));
    seen
}
