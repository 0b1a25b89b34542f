//! Reports made from the record: the text about a failure in a terminal, and the files of a picture and its log.

mod files;
mod lanes;
mod log_file;
mod messages;
mod page;
mod roles;
mod story;
mod terminal;

pub(crate) use files::draw;
pub(crate) use story::{Story, of as story};
pub(crate) use terminal::{list, operations};

use crate::record::Focus;
use std::time::Duration;

/// A test, and how it ended.
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
    /// What led to the failure.
    pub(crate) story: &'a Story,
    /// None: the test ran in real time.
    pub(crate) simulation: Option<Replay<'a>>,
}

/// A simulation of a test, and how to run it again.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    pub(crate) seed: u64,
    /// The command that replays the simulation.
    pub(crate) command: &'a str,
}
