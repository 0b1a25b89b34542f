//! Reads the lines that tests print when they have passed, in both labs.

use lines::PassedLine;
use std::fmt;

/// The text that marks such a line.
pub(crate) const MARK: &str = "... Passed --";

/// The line has the mark, and not the figures.
#[derive(Debug)]
pub(crate) struct NotFigures(String);

impl fmt::Display for NotFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected seconds, servers, RPCs and operations behind \"{MARK}\", got {:?}", self.0)
    }
}

/// Reads one line. The Go lab's Raft tests of later years also print the number of bytes, before the last figure.
fn read(line: &str) -> Result<PassedLine, NotFigures> {
    let figures = line.split_once(MARK).map_or("", |(_, figures)| figures);
    let mut figures: Vec<&str> = figures.split_whitespace().collect();
    if figures.len() == 5 {
        figures.remove(3);
    }
    let line_of_2018 = format!("  {MARK}  {}", figures.join(" "));
    line_of_2018.parse().map_err(|_| NotFigures(line.trim().to_string()))
}

/// Adds up the figures of all lines that have the mark. None if there is no such line.
pub(crate) fn total(printed: &str) -> Result<Option<PassedLine>, NotFigures> {
    let mut total = None;
    for line in printed.lines().filter(|line| line.contains(MARK)) {
        let line = read(line)?;
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
