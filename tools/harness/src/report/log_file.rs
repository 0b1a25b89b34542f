//! The log of a test as a file.

use super::{Outcome, Replay};
use crate::record::{self, Kept};
use std::fmt::Write;

/// The log as `RUST_LOG` would have printed it.
pub(super) fn text(outcome: &Outcome<'_>, Kept { lines, dropped, passed_over }: &Kept) -> String {
    let mut text = format!("# {} ({})\n", record::title(), outcome.test);
    if let Some(Replay { seed, command }) = outcome.simulation {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# simulation, seed {seed}; this replays it:\n#   {command}");
    }
    let missing = |text: &mut String, count: u64, place: &str| {
        if count > 0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# {count} lines were not kept {place}; RUST_LOG=debug prints all");
        }
    };
    missing(&mut text, *dropped, "before these");
    for line in lines {
        missing(&mut text, line.passed_over, "here");
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", line.printed());
    }
    missing(&mut text, *passed_over, "here");
    let (at, message) = (outcome.at.as_secs_f64() * 1e3, outcome.message.trim().replace('\n', "\n# "));
    let how = if outcome.has_failed { "failed" } else { "passed" };
    text + &format!("# {at:.3} {how}: {message}\n")
}
