//! The simulator.
//!
//! | task | modules |
//! | --- | --- |
//! | serve the program's calls | `interpose`: the C library's functions; `allocator` |
//! | decide which thread runs | `scheduler`; its `clock`, `threads`, `timers` and `stacks`; `edges`: of instrumented code |
//! | switch threads | `baton`: passes the baton on; `inbox`, `context`, `husk`, `image`; `thread`: knows the calling thread |
//! | end threads | `destructors` |
//! | place memory | `memory`: the addresses; `arena`: the allocations |
//! | report | `trace`; `deadlock`; `watch`: finds a thread that hangs; `progress`: what the watch looks at; `places` |
//! | begin | `check`: tests the simulator |
//! | call the C library's own functions | `real` |
//!
//! No two modules use each other, directly or through others.

mod allocator;
mod arena;
mod baton;
mod check;
mod clock;
mod context;
mod deadlock;
mod destructors;
mod edges;
mod husk;
mod image;
mod inbox;
mod interpose;
mod memory;
mod places;
mod progress;
mod real;
mod scheduler;
mod stacks;
mod thread;
mod threads;
mod timers;
mod trace;
mod watch;

use crate::options::{Options, Outcome, Place};
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use thread::current;
use watch::Watch;

pub(crate) use edges::is_instrumented;
pub(crate) use thread::{is_simulated, outside};

pub(crate) const SUPPORTED: bool = true;

pub(crate) fn run(options: Options, name: &str, f: impl FnOnce() + Send + 'static) -> Outcome {
    let hooks = options.hooks;
    if let Err(why) = check::symbols().and_then(|()| check::addresses()) {
        (hooks.fail)(&why.to_string());
    }
    memory::economise();
    let (done, finished) = channel();
    let name = name.to_string();
    let first = std::thread::Builder::new().name("simulation".to_string()).spawn(move || {
        baton::choose_switcher(options.switcher);
        if let Err(why) = check::replay(hooks) {
            (hooks.fail)(&why.to_string());
        }
        let Options { seed, strategy, trace, .. } = options;
        let (totals, left) = scheduler::simulate(seed, strategy, trace, hooks, || {
            // `f` does not run on this thread, whose stack is where the kernel put it.
            let thread = std::thread::Builder::new().name(name).spawn(f).expect("a thread can be started");
            if thread.join().is_err() {
                (hooks.fail)("the simulation's first thread panicked");
            }
        });
        // Ignore the error: the receiver exists, because the thread that started this one waits for the message.
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
        match finished.recv_timeout(watch::INTERVAL) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => (hooks.fail)("the simulation ended without a result"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(places) = watch.look(watch::INTERVAL, watch::PATIENCE) {
            (hooks.fail)(&format!(
                "a thread has kept all others from running for {} s: it waits in a loop without a call that lets \
                 them run, or computes for very long, at\n{}",
                watch::PATIENCE.as_secs(),
                (hooks.places)(&places)
            ));
        }
    }
}

pub(crate) fn elapsed() -> Option<Duration> {
    progress::elapsed().map(Duration::from_nanos)
}

pub(crate) fn trace(text: fmt::Arguments<'_>) {
    if let Some(me) = current() {
        scheduler::trace(me, text);
    }
}

pub(crate) fn flush_trace() {
    // Inside `outside` the calling thread may be in the scheduler, which may be writing the trace.
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

pub(crate) fn pause(duration: Duration, is_chosen: impl FnMut(usize, &str) -> bool) {
    if let Some(me) = current() {
        scheduler::pause(me, duration.as_nanos() as u64, is_chosen);
    }
}

pub(crate) fn calm() {
    if is_simulated() {
        scheduler::calm();
    }
}

pub(crate) fn threads() -> Option<Vec<(usize, String)>> {
    is_simulated().then(scheduler::alive)
}

pub(crate) fn peak() -> usize {
    threads::peak()
}

pub(crate) fn whereabouts(ids: &[usize]) -> Vec<Vec<Place>> {
    match current() {
        Some(me) => scheduler::locate(me, ids),
        None => watch::places_of_threads(ids),
    }
}
