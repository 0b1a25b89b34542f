//! Runs a test as a simulation.

use super::{leftovers, logger, messages, observer, session, threads, watch};
use crate::protocol::Simulation;
use crate::record;
use crate::test::Test;
use labrpc::Latency;
use std::fs::File;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a message takes in a simulation: less than real networks in one building promise, but more than nothing, so
/// that other things can happen while a message is on its way.
const LATENCY: RangeInclusive<Duration> = Duration::from_micros(500)..=Duration::from_micros(1000);

/// How long messages take on a test's network: no time in real time, and 0.5 to 1 ms in a simulation.
pub fn latency() -> Latency {
    Latency { usual: sim::is_simulated().then_some(LATENCY), ..Latency::default() }
}

/// What the parent wants this simulation to be like, in words that the test understands. None: it says nothing.
pub fn scenario() -> Option<&'static str> {
    session::start()?.simulation.as_ref()?.scenario.as_deref()
}

/// What is printed behind the last line of a test that was simulated.
pub(super) fn time(simulation: &Simulation) -> String {
    format!("  (virtual time, seed {})", simulation.seed)
}

/// Ends the test, because the simulation cannot go on.
fn fail(why: &str) -> ! {
    match session::start().and_then(|start| start.simulation.as_ref()) {
        // A thread of a killed server keeps all others from running, and the test needs them no more.
        Some(simulation) if watch::is_over() && !sim::is_simulated() => {
            let warning = format!("after the test had passed, {}", why.trim_end());
            session::conclude(&time(simulation), &[warning]);
            std::process::exit(0)
        }
        _ => watch::fail(why),
    }
}

/// Runs the test as a simulation. Returns a warning if there is one. Threads that are left stop with the simulation.
pub(super) fn run(limit: Duration, (name, test): Test, simulation: &Simulation) -> Option<String> {
    let Simulation { seed, strategy, ref trace, on_kernel_threads, .. } = *simulation;
    let trace = trace.as_ref().map(|path| {
        File::create(path).unwrap_or_else(|e| watch::fail(&format!("cannot write {}: {e}", path.display())))
    });
    logger::install_simulated();
    messages::start();
    let hooks = sim::Hooks { describe: threads::name, fail, places: threads::places_of_the_lab };
    let switcher = if on_kernel_threads { sim::Switcher::Kernel } else { sim::Switcher::Registers };
    let options = sim::Options { seed, strategy, trace, switcher, hooks };
    let (tell, told) = std::sync::mpsc::channel();
    let outcome = sim::run(options, name, move || {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let watcher = std::thread::Builder::new().name("harness-watch".to_string()).spawn(move || {
            sim::stand_by();
            while !ends.load(Ordering::Relaxed) {
                watch::look(limit);
                std::thread::sleep(watch::INTERVAL);
            }
        });
        watcher.unwrap_or_else(|e| watch::fail_to_start(&e));
        record::start();
        observer::start();
        let own = leftovers::Own::now();
        threads::as_test(test);
        over.store(true, Ordering::Relaxed);
        watch::look(limit);
        let warning = watch::wait_for_the_others(&own);
        // Ignore the error: the receiver exists, because the thread that started the simulation waits for its end. The
        // warning's memory is the simulation's; it is read, and never freed.
        let _ = sim::outside(|| tell.send(warning.clone()));
    });
    log::debug!("{outcome:?}");
    told.try_recv().ok().flatten()
}
