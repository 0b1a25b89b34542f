//! The lines of the input.

use lines::{LogLine, Who, continuation};

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line of a log.
    Log(LogLine),
    /// A further line of the text of the log line before it.
    Continued(String),
    /// Anything else.
    Other(String),
}

impl Line {
    pub fn parse(line: &str) -> Line {
        if let Some(text) = continuation(line) {
            return Line::Continued(text.to_string());
        }
        line.parse().map_or_else(|_| Line::Other(line.to_string()), Line::Log)
    }

    /// The server that logged the line. None: no server did.
    pub fn server(&self) -> Option<usize> {
        match self {
            Line::Log(LogLine { who: Who::Server(server), .. }) => Some(*server),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_continuations_and_other_lines_are_told_apart() {
        let line = Line::parse("  1234.567 S2  L15  RequestVote    server 2, term 15: votes for 0");
        assert!(matches!(&line, Line::Log(log) if log.topic == "RequestVote"), "{line:?}");
        assert_eq!(line.server(), Some(2));
        assert_eq!(Line::parse("     1.000 C   -    client         asks").server(), None);
        assert_eq!(Line::parse("             | more"), Line::Continued("more".to_string()));
        let verdict = "  ... Passed --   3.0  3   58    0";
        assert_eq!(Line::parse(verdict), Line::Other(verdict.to_string()));
    }
}
