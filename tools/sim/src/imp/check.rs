//! Checks that the simulator works in this program. It runs before each simulation and takes a few milliseconds.

use super::interpose::{CALLS, Call, PTHREAD_KEY_CREATE};
use super::memory::{self, ARENA, STACKS};
use super::{progress, scheduler};
use crate::options::Hooks;
use crate::strategy::Strategy;
use scheduler::Totals;
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Why the simulator does not work. The functions' names are the C library's.
pub(crate) enum Fault {
    /// The program was linked to another function than the simulator's.
    Hidden(String),
    /// The kernel does not give this process memory at the simulator's addresses.
    NoMemory,
    /// std does not call this function, although the simulator relies on it.
    NotCalled(String),
    /// The sample program ran differently the second time.
    Differs(Box<[Run; 2]>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulation: ")?;
        match self {
            Fault::Hidden(name) => write!(
                f,
                "the program does not use the simulator's {name}. Was it linked in an unusual way (statically, or \
                 with -C prefer-dynamic)?"
            ),
            Fault::NoMemory => write!(
                f,
                "the simulator puts memory at fixed addresses from {:#x} to {:#x}, and cannot map it there: either \
                 this kernel gives a program fewer than {} bits of addresses, or something else lies there, or \
                 ulimit -v is too low",
                STACKS.start,
                ARENA.end,
                usize::BITS - ARENA.end.leading_zeros()
            ),
            Fault::NotCalled(name) => write!(f, "std does not call {name} as it is expected to"),
            Fault::Differs(runs) => {
                let [first, second] = &**runs;
                write!(f, "a sample program does not replay: {first:?}, and then {second:?}")
            }
        }
    }
}

/// Checks that the linker gives each interposed function to all code.
pub(crate) fn symbols() -> Result<(), Fault> {
    for call in CALLS.into_iter().chain([&PTHREAD_KEY_CREATE]) {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, call.name.as_ptr()) };
        if found as usize != (call.address)() {
            return Err(Fault::Hidden(call.name.to_string_lossy().into_owned()));
        }
    }
    Ok(())
}

/// Checks that memory can be mapped at the simulator's addresses.
pub(crate) fn addresses() -> Result<(), Fault> {
    if memory::can_map() { Ok(()) } else { Err(Fault::NoMemory) }
}

/// Simulates a sample program twice. Checks that all its calls are simulated and that both runs are the same.
pub(crate) fn replay(hooks: Hooks) -> Result<(), Fault> {
    let counts = || CALLS.map(|call| call.count.load(Ordering::Relaxed));
    let before = counts();
    let first = sample(hooks);
    let after = counts();
    let is_called = |i: usize| after[i] > before[i];
    // Depending on its version, std sleeps with `nanosleep` or with `clock_nanosleep`.
    let sleeps = |call: &Call| call.name.to_bytes().ends_with(b"nanosleep");
    let has_slept = (0..CALLS.len()).any(|i| is_called(i) && sleeps(CALLS[i]));
    for (i, call) in CALLS.iter().enumerate() {
        let is_needed = !(has_slept && sleeps(call));
        if is_needed && !is_called(i) {
            return Err(Fault::NotCalled(call.name.to_string_lossy().into_owned()));
        }
    }
    let second = sample(hooks);
    if first != second {
        return Err(Fault::Differs(Box::new([first, second])));
    }
    Ok(())
}

/// A run of the sample program: the simulation's totals, the threads that were left, and the program's numbers.
type Run = (Totals, Vec<String>, Vec<u64>);

fn sample(hooks: Hooks) -> Run {
    let mut seen = Vec::new();
    let (totals, left) = scheduler::simulate(1, Strategy::default(), None, hooks, || seen = program());
    progress::clear_elapsed();
    (totals, left, seen)
}

/// Sends a number when its thread ends.
struct Farewell(Sender<u64>, u64);

impl Drop for Farewell {
    fn drop(&mut self) {
        // Ignore the error: the receiver exists until all senders are gone.
        let _ = self.0.send(self.1);
    }
}

thread_local! {
    static FAREWELL: Cell<Option<Farewell>> = const { Cell::new(None) };
}

/// Makes every call that is simulated. Its numbers depend on the schedule, the clock and the random numbers.
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
                    // Sleep with the lock held, so that other threads find it taken.
                    std::thread::sleep(Duration::from_millis(i));
                    drop(shared);
                    std::thread::yield_now();
                }
                FAREWELL.set(Some(Farewell(tx.clone(), i)));
                // std draws a random number in each thread at the first use of `RandomState`.
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
