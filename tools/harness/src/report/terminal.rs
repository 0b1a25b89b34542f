//! The operations in the report of a test that hangs.

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
