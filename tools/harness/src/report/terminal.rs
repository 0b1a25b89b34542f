//! What is printed under the message of a failure: the operations of a test that hangs, and what led to the failure.

use crate::record::{self, Call, Ended};
use std::fmt::Write;

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
        let mut text = String::new();
        let dropped = servers.notes.dropped();
        // Writing to a String does not fail.
        for (number, (at, what)) in servers.notes.iter().enumerate() {
            if number == 0 {
                let omitted = if dropped > 0 {
                    format!(" ({dropped} earlier events are left out)")
                } else {
                    String::new()
                };
                let _ = write!(text, "\nWhat happened before{omitted}:");
            }
            let _ = write!(text, "\n  {:9.4} s  {what}", at.as_secs_f64());
        }
        text
    })
}
