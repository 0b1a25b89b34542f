//! What the process that checks histories tells the one that started it: one line of JSON. The Go program has the same
//! type.

use serde::{Deserialize, Serialize};

/// The measurement of one process.
#[derive(Serialize, Deserialize)]
pub struct Measurement {
    /// One letter for each file: [`LEGAL`], [`ILLEGAL`], or [`UNKNOWN`].
    pub verdicts: String,
    /// The sum, over all files, of the shortest time that a check took.
    pub nanoseconds: u64,
    /// By how much the memory at its peak in the first round exceeded the memory before it.
    pub kilobytes: u64,
}

pub const LEGAL: char = 'o';
pub const ILLEGAL: char = 'i';
/// The check gave up at its limit.
pub const UNKNOWN: char = 'u';
