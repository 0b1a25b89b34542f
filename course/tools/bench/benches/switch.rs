//! Measures how long the simulator takes to switch from one thread to another, in both ways (`sim::Switcher`).
//!
//! The threads of a simulation sleep again and again, so each of the scheduler's steps wakes one of them. With one thread
//! no step is a switch; with two, nearly each step is one. A process can simulate only once, so each measurement is a
//! process of its own.

use anyhow::{Context, Result};
use sim::{Hooks, Options, Strategy, Switcher};
use std::process::Command;
use std::time::{Duration, Instant};

/// How many steps a simulation takes, in all its threads together.
const STEPS: u32 = 400_000;

/// Set in the process of one measurement.
const THREADS: &str = "SWITCH_THREADS";
const KERNEL: &str = "SWITCH_KERNEL";

fn main() -> Result<()> {
    if let Ok(threads) = std::env::var(THREADS) {
        let switcher =
            if std::env::var_os(KERNEL).is_some() { Switcher::Kernel } else { Switcher::Registers };
        println!("{}", nanoseconds_per_step(threads.parse()?, switcher));
        return Ok(());
    }
    println!("nanoseconds a step of the simulator\n");
    println!("{:>7}  {:>9}  {:>14}", "threads", "registers", "kernel threads");
    let mut rows = Vec::new();
    for threads in [1, 2, 20, 200] {
        let row = [Switcher::Registers, Switcher::Kernel].map(|switcher| measure(threads, switcher));
        let [registers, kernel] = row;
        let (registers, kernel) = (registers?, kernel?);
        println!("{threads:>7}  {registers:>9.0}  {kernel:>14.0}");
        rows.push((registers, kernel));
    }
    let (alone, two) = (rows[0], rows[1]);
    println!(
        "\none switch (two threads, less one thread): {:.0} ns by registers, {:.0} ns between kernel threads",
        two.0 - alone.0,
        two.1 - alone.1
    );
    Ok(())
}

/// Runs the measurement in a process of its own.
fn measure(threads: u32, switcher: Switcher) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(THREADS, threads.to_string());
    if switcher == Switcher::Kernel {
        command.env(KERNEL, "1");
    }
    let output = command.output().context("cannot start a process")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("the measurement printed {text:?} ({})", output.status))
}

fn nanoseconds_per_step(threads: u32, switcher: Switcher) -> f64 {
    fn fail(message: &str) -> ! {
        eprintln!("{message}");
        std::process::exit(1)
    }
    let hooks = Hooks { describe: || None, fail, places: |_| String::new() };
    let options = Options { seed: 1, strategy: Strategy::default(), trace: None, switcher, hooks };
    let begun = Instant::now();
    let outcome = sim::run(options, "first", move || {
        let sleepers: Vec<_> = (0..threads)
            .map(|_| {
                std::thread::spawn(move || {
                    (0..STEPS / threads).for_each(|_| std::thread::sleep(Duration::from_micros(100)));
                })
            })
            .collect();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().expect("it does not panic"));
    });
    begun.elapsed().as_nanos() as f64 / outcome.steps as f64
}
