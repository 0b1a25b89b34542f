//! The simulator.

mod check;
mod interpose;
mod memory;
mod real;
mod report;
mod rng;
mod scheduler;

use crate::{Options, Outcome};
use report::Watch;
use scheduler::current;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

pub(crate) const SUPPORTED: bool = true;

/// How often the watch looks, and for how long it may find nothing new.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(options: Options, name: &str, f: impl FnOnce() + Send + 'static) -> Outcome {
    let hooks = options.hooks;
    if let Err(why) = check::symbols() {
        (hooks.fail)(&why);
    }
    let (done, finished) = channel();
    let name = name.to_string();
    let first = std::thread::Builder::new().name("simulation".to_string()).spawn(move || {
        pin(options.processor);
        if options.steps_back {
            step_back();
        }
        if let Err(why) = check::replay(hooks) {
            (hooks.fail)(&why);
        }
        let Options { seed, strategy, trace, .. } = options;
        let (totals, left) = scheduler::simulate(seed, strategy, trace, hooks, || {
            // Not this thread itself: its stack is where the system has put it.
            let thread = std::thread::Builder::new().name(name).spawn(f).expect("a thread can be started");
            if thread.join().is_err() {
                (hooks.fail)("the simulation's first thread panicked");
            }
        });
        // The thread that started this one waits for it.
        let _ = done.send(Outcome {
            elapsed: Duration::from_nanos(totals.nanoseconds),
            steps: totals.steps,
            fingerprint: totals.fingerprint,
            left,
        });
    });
    if let Err(e) = first {
        (hooks.fail)(&format!("cannot start a thread: {e}"));
    }
    let mut watch = Watch::default();
    loop {
        match finished.recv_timeout(LOOK_INTERVAL) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => (hooks.fail)("the simulation ended without a result"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(places) = watch.look(LOOK_INTERVAL, PATIENCE) {
            (hooks.fail)(&format!(
                "a thread has kept all others from running for {} s: it waits in a loop without a call that lets \
                 them run, or computes for very long, at\n{}",
                PATIENCE.as_secs(),
                (hooks.places)(&places)
            ));
        }
    }
}

/// Keeps the calling thread, and those it starts, on one processor: the baton goes from one to the next in a tenth of
/// the time.
fn pin(processor: Option<usize>) {
    // SAFETY: the sets are plain bits, valid when all are zero; the calls get their right size.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            // It only takes longer.
            return;
        }
        let allowed: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)).collect();
        let cpu = match processor {
            Some(n) if !allowed.is_empty() => allowed[n % allowed.len()],
            _ => libc::sched_getcpu().max(0) as usize,
        };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
    }
}

/// Gives the calling thread, and those it starts, the lowest priority. To the system a simulation is dozens of threads,
/// each of which has run but little: it would take nearly all of a busy machine from programs that have one thread.
fn step_back() {
    const NICE: libc::c_int = 19;
    // SAFETY: it takes numbers only. When it fails, the priority is what it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

pub(crate) fn is_simulated() -> bool {
    scheduler::is_simulated()
}

pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    scheduler::outside(f)
}

pub(crate) fn elapsed() -> Option<Duration> {
    scheduler::elapsed().map(Duration::from_nanos)
}

pub(crate) fn trace(text: fmt::Arguments<'_>) {
    if let Some(me) = current() {
        scheduler::trace(me, text);
    }
}

pub(crate) fn flush_trace() {
    // In the simulator itself, or in something that it calls, the trace is being written.
    if current().is_some() {
        scheduler::flush_trace();
    }
}

pub(crate) fn is_tracing() -> bool {
    is_simulated() && scheduler::is_tracing()
}

pub(crate) fn stand_by() {
    if let Some(me) = current() {
        scheduler::stand_by(me);
    }
}

pub(crate) fn threads() -> Option<Vec<(usize, String)>> {
    is_simulated().then(scheduler::alive)
}

pub(crate) fn is_instrumented() -> bool {
    interpose::INSTRUMENTED.load(std::sync::atomic::Ordering::Relaxed) != 0
}
