//! Reports that read the record: of a failure in a terminal, and a picture with its log in files.

mod files;
mod log_file;
mod page;
mod terminal;

pub(crate) use files::draw;
pub(crate) use terminal::operations;

use crate::record::Focus;
use std::time::Duration;

/// Which test, and how it ended.
pub(crate) struct Outcome<'a> {
    /// The name of the test's function.
    pub(crate) test: &'a str,
    pub(crate) has_failed: bool,
    /// When the test ended, or failed.
    pub(crate) at: Duration,
    /// The failure's message, or the last line of a test that passed.
    pub(crate) message: &'a str,
    /// What the failure is about.
    pub(crate) focus: Option<Focus>,
    /// None: it ran in real time.
    pub(crate) simulation: Option<Replay<'a>>,
}

/// Which simulation of a test.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    pub(crate) seed: u64,
    /// The command that replays it.
    pub(crate) command: &'a str,
}
