//! The line that a test prints when it has passed, in both labs.

use std::fmt;
use std::str::FromStr;

/// The text that marks the line.
pub(crate) const MARK: &str = "... Passed --";

/// The figures of one line, such as `  ... Passed --  15.5  5  4653  126`.
#[derive(Debug, PartialEq)]
pub(crate) struct PassedLine {
    pub(crate) seconds: f64,
    pub(crate) peers: f64,
    pub(crate) rpcs: f64,
    pub(crate) operations: f64,
}

/// The line has the mark, and not the figures.
#[derive(Debug)]
pub(crate) struct NotFigures(String);

impl fmt::Display for NotFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected seconds, servers, RPCs and operations behind \"{MARK}\", got {:?}", self.0)
    }
}

impl FromStr for PassedLine {
    type Err = NotFigures;

    /// The Go lab's Raft tests of later years also print the number of bytes, before the last figure.
    fn from_str(line: &str) -> Result<PassedLine, NotFigures> {
        let not_figures = || NotFigures(line.trim().to_string());
        let (_, figures) = line.split_once(MARK).ok_or_else(not_figures)?;
        let figures: Result<Vec<f64>, _> = figures.split_whitespace().map(str::parse).collect();
        match figures.map_err(|_| not_figures())?[..] {
            [seconds, peers, rpcs, operations] | [seconds, peers, rpcs, _, operations] => {
                Ok(PassedLine { seconds, peers, rpcs, operations })
            }
            _ => Err(not_figures()),
        }
    }
}

/// Adds up the figures of all lines that have the mark. None if there is no such line.
pub(crate) fn total(printed: &str) -> Result<Option<PassedLine>, NotFigures> {
    let mut total = None;
    for line in printed.lines().filter(|line| line.contains(MARK)) {
        let line: PassedLine = line.parse()?;
        total = Some(match total {
            None => line,
            Some(PassedLine { seconds, rpcs, operations, .. }) => PassedLine {
                seconds: seconds + line.seconds,
                rpcs: rpcs + line.rpcs,
                operations: operations + line.operations,
                ..line
            },
        });
    }
    Ok(total)
}
