//! What is printed under the message of a failure: the operations of a test that hangs, and what led to the failure.

use crate::record::{self, Call, Ended};
use std::fmt::Write;
use std::time::Duration;

/// The operations that are pending, the oldest first, and the last ones that ended.
pub(crate) fn operations() -> String {
    record::operations(|operations| {
        let now = record::elapsed();
        let mut text = String::new();
        // Writing to a String does not fail.
        for Call { who, what, at } in operations.pending() {
            let seconds = now.saturating_sub(*at).as_secs_f64();
            let _ = writeln!(text, "  pending for {seconds:.1} s: {who}: {what}");
        }
        for Ended { call: Call { who, what, at: call }, at, .. } in operations.last_ended() {
            let (ago, took) = (now.saturating_sub(*at).as_secs_f64(), at.saturating_sub(*call).as_secs_f64());
            let _ = writeln!(text, "  ended {ago:.1} s ago, took {took:.3} s: {who}: {what}");
        }
        text
    })
}

/// What led to the failure: the last notes, with their times. Empty if nothing was noted.
pub(crate) fn story() -> String {
    record::with_servers(|servers| {
        let mut notes: Vec<&(Duration, String)> = servers.notes.iter().collect();
        notes.sort_by_key(|(at, _)| *at);
        let dropped = servers.notes.dropped();
        let omitted = if dropped > 0 {
            format!(" ({dropped} events before these are left out)")
        } else {
            String::new()
        };
        let mut text =
            if notes.is_empty() { String::new() } else { format!("\nWhat happened before{omitted}:") };
        for (at, what) in notes {
            // Writing to a String does not fail.
            let _ = write!(text, "\n  {:9.4} s  {what}", at.as_secs_f64());
        }
        text
    })
}
