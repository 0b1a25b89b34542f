//! What is printed under the message of a failure: the operations of a test that hangs, and what led to the failure.

use super::story::{Event, Story};
use crate::record::{self, Call, Ended};
use std::fmt::Write;

/// How many pending operations are listed.
const MOST_PENDING: usize = 12;

/// The operations that are pending, the oldest first, and the last ones that ended.
pub(crate) fn operations() -> String {
    record::operations(|operations| {
        let now = record::elapsed();
        let mut text = String::new();
        // Writing to a String does not fail.
        for Call { who, what, at } in operations.pending().take(MOST_PENDING) {
            let seconds = now.saturating_sub(*at).as_secs_f64();
            let _ = writeln!(text, "  pending for {seconds:.1} s: {who}: {what}");
        }
        let more = operations.pending().count().saturating_sub(MOST_PENDING);
        if more > 0 {
            let _ = writeln!(text, "  and {more} other operations are pending");
        }
        for Ended { call: Call { who, what, at: call }, at, .. } in operations.last_ended() {
            let (ago, took) = (now.saturating_sub(*at).as_secs_f64(), at.saturating_sub(*call).as_secs_f64());
            let _ = writeln!(text, "  ended {ago:.1} s ago, took {took:.3} s: {who}: {what}");
        }
        text
    })
}

/// What led to the failure, as a numbered list with times. Empty if nothing is known.
pub(crate) fn list(Story { events, left_out }: &Story) -> String {
    if events.is_empty() {
        return String::new();
    }
    let omitted = match left_out {
        0 => String::new(),
        1 => " (1 earlier event left out)".to_string(),
        _ => format!(" ({left_out} earlier events left out)"),
    };
    let mut text = format!("\nWhat happened before{omitted}:");
    for (i, Event { at, what, .. }) in events.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {:2}. {:9.4} s  {what}", i + 1, at.as_secs_f64());
    }
    text
}
