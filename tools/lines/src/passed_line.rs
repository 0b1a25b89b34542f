//! The last line of a test that has passed.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The beginning of the last line of a test that has passed.
const BEGINNING: &str = "  ... Passed --  ";

/// The last line of a test that has passed, as the Go lab prints it: `  ... Passed --  15.5  5  4653  126`.
///
/// ```
/// use lines::PassedLine;
///
/// let line: PassedLine = "  ... Passed --  15.5  5  4653  126".parse().unwrap();
/// assert_eq!(line, PassedLine { seconds: 15.5, servers: 5, rpcs: 4653, rpc_width: 5, operations: 126 });
/// assert_eq!(line.to_string(), "  ... Passed --  15.5  5  4653  126");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassedLine {
    /// How many seconds the test took.
    pub seconds: f64,
    /// How many servers the test had.
    pub servers: usize,
    /// How many RPCs were sent.
    pub rpcs: usize,
    /// The width of the column of RPCs: 4 in Raft's tests, 5 in the tests of the key/value service.
    pub rpc_width: usize,
    /// The number of agreements in Raft's tests, and of the clerks' operations in the tests of the key/value service.
    pub operations: usize,
}

impl fmt::Display for PassedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PassedLine { seconds, servers, rpcs, rpc_width, operations } = self;
        write!(f, "{BEGINNING}{seconds:4.1}  {servers} {rpcs:rpc_width$} {operations:4}")
    }
}

/// The text is not a [`PassedLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPassedLine;

impl fmt::Display for NotAPassedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line such as \"{BEGINNING}15.5  5  4653  126\"")
    }
}

impl std::error::Error for NotAPassedLine {}

impl FromStr for PassedLine {
    type Err = NotAPassedLine;

    fn from_str(line: &str) -> Result<PassedLine, NotAPassedLine> {
        parse(line).ok_or(NotAPassedLine)
    }
}

fn parse(line: &str) -> Option<PassedLine> {
    let rest = line.strip_prefix(BEGINNING)?.trim_end();
    let (seconds, rest) = rest.trim_start().split_once(' ')?;
    let (servers, rest) = rest.trim_start().split_once(' ')?;
    // The width of the column of RPCs is the length of its padding and its number.
    let digits = rest.trim_start();
    let (rpcs, operations) = digits.split_once(' ')?;
    let seconds: f64 = seconds.parse().ok()?;
    seconds.is_finite().then_some(PassedLine {
        seconds,
        servers: servers.parse().ok()?,
        rpcs: rpcs.parse().ok()?,
        rpc_width: rest.len() - digits.len() + rpcs.len(),
        operations: operations.trim_start().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for line in [
            PassedLine { seconds: 0.6, servers: 3, rpcs: 7, rpc_width: 4, operations: 0 },
            PassedLine { seconds: 15.5, servers: 5, rpcs: 123_456, rpc_width: 6, operations: 12_345 },
            PassedLine { seconds: 120.0, servers: 7, rpcs: 32_868, rpc_width: 5, operations: 554 },
        ] {
            assert_eq!(line.to_string().parse(), Ok(line), "{line}");
        }
    }

    #[test]
    fn columns_are_those_of_the_go_lab() {
        let line = PassedLine { seconds: 3.04, servers: 3, rpcs: 58, rpc_width: 4, operations: 0 };
        assert_eq!(line.to_string(), "  ... Passed --   3.0  3   58    0");
        let line = PassedLine { seconds: 0.61, servers: 5, rpcs: 53, rpc_width: 5, operations: 2 };
        assert_eq!(line.to_string(), "  ... Passed --   0.6  5    53    2");
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "  ... Passed --",
            "  ... Passed --  15.5  5  4653",
            "  ... Passed --  15.5  5  4653  126  7",
            "  ... Passed --  fast  5  4653  126",
            "  ... Passed --  15.5  five  4653  126",
            "  ... Passed --  inf  5  4653  126",
            "  ... Passed --  15.5  5  4653  126  (virtual time, seed 7)",
            "  ... FAILED --  15.5  5  4653  126",
        ] {
            assert_eq!(line.parse::<PassedLine>(), Err(NotAPassedLine), "{line}");
        }
    }
}
