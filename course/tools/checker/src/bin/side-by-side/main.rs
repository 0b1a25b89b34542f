//! Compares this checker with porcupine, the newest relative of the Go lab's: time and memory, side by side.
//! `make bench-porcupine PORCUPINE=<its source>` builds both, makes the histories, and runs this program.
#![forbid(unsafe_code)]

mod check;
mod measurement;
mod race;
mod whole;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use check::Checked;
use checker_bench::{histories, logs};
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the histories.
    Generate { folder: PathBuf },
    /// Checks histories with this crate, and prints a measurement as JSON. The Go program takes the same arguments, and
    /// prints the same.
    Check {
        model: Checked,
        /// Milliseconds after which a check gives up.
        limit: u64,
        /// Milliseconds for which all files are checked again and again; they are checked at least once.
        repeat: u64,
        files: Vec<PathBuf>,
    },
    /// Runs `check` and the Go program in turns, and prints the table.
    Race {
        go_program: PathBuf,
        /// Where `generate` has written the histories.
        folder: PathBuf,
        /// The folder test_data of porcupine.
        test_data: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Generate { folder } => generate(&folder),
        Command::Check { model, limit, repeat, files } => {
            let [limit, repeat] = [limit, repeat].map(Duration::from_millis);
            let measurement = check::check(model, limit, repeat, &files)?;
            println!("{}", serde_json::to_string(&measurement)?);
            Ok(())
        }
        Command::Race { go_program, folder, test_data } => {
            race::race(&go_program, &folder, test_data.as_deref())
        }
    }
}

/// Clients and operations of the key/value histories: about as many as porcupine's have.
const KV: [(usize, usize); 3] = [(1, 100), (10, 350), (50, 1800)];

/// The number of registers' histories. Half of them are of a register with stale reads.
const REGISTERS: u64 = 100;

fn generate(folder: &Path) -> Result<()> {
    let write = |name: String, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for seed in 0..REGISTERS {
        let text = logs::write_cas(&histories::register(seed, 90, seed % 2 == 1));
        write(format!("register-{seed:02}.log"), text)?;
    }
    for (clients, operations) in KV {
        let mut events = histories::kv(clients as u64, clients, operations);
        write(format!("c{clients:02}-ok.txt"), logs::write_kv(&events))?;
        histories::break_kv(clients as u64, &mut events);
        write(format!("c{clients:02}-bad.txt"), logs::write_kv(&events))?;
    }
    Ok(())
}
