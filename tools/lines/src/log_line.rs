//! A line of a test's log.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The beginning of the second and each further line of a text that has several lines.
const CONTINUATION: &str = "             | ";

/// A line of a test's log, such as `  1234.567 S2  L5   AppendEntries  text`.
///
/// ```
/// use lines::{LogLine, State, Who};
///
/// let line: LogLine = "  1234.567 S2  L5   AppendEntries  has all up to 7".parse().unwrap();
/// assert_eq!(line.who, Who::Server(2));
/// assert_eq!(line.state, Some(State { term: 5, is_leader: true }));
/// assert_eq!((line.topic.as_str(), line.text.as_str()), ("AppendEntries", "has all up to 7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The time since the test began. It is printed in milliseconds.
    pub at: Duration,
    /// Who logged it.
    pub who: Who,
    /// The role and the term in which the server was last seen. None: they are not known, or no server logged the line.
    pub state: Option<State>,
    /// What the thread that logged the line was doing, in one word: "AppendEntries", "ticker".
    pub topic: String,
    /// None: the line is less than a warning.
    pub level: Option<Level>,
    /// The text. If it has several lines, each line after the first is printed as a [`continuation`].
    pub text: String,
}

/// Who logged a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The server with this number: "S2".
    Server(usize),
    /// A client: "C".
    Client,
    /// Another thread, or an unknown one: "-".
    Other,
}

/// A server's role and term: "L5" for the leader of term 5, "F5" for a follower or candidate in term 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The server's current term.
    pub term: u64,
    /// Whether the server says that it leads.
    pub is_leader: bool,
}

/// The level of a line that is a warning or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An error: "ERROR".
    Error,
    /// A warning: "WARN".
    Warn,
}

/// The text of a line that continues the line before it. None: the line does not continue another.
pub fn continuation(line: &str) -> Option<&str> {
    line.strip_prefix(CONTINUATION)
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Server(number) => f.pad(&format!("S{number}")),
            Who::Client => f.pad("C"),
            Who::Other => f.pad("-"),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", if self.is_leader { 'L' } else { 'F' }, self.term))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
        })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogLine { at, who, state, topic, level, text } = self;
        write!(f, "{:10.3} {who:<3} ", at.as_secs_f64() * 1e3)?;
        match state {
            Some(state) => write!(f, "{state:<4} ")?,
            None => write!(f, "{:<4} ", "-")?,
        }
        write!(f, "{topic:<14} ")?;
        if let Some(level) = level {
            write!(f, "{level}: ")?;
        }
        let mut lines = text.trim_end().split('\n');
        f.write_str(lines.next().unwrap_or_default())?;
        lines.try_for_each(|line| write!(f, "\n{CONTINUATION}{line}"))
    }
}

/// The text is not a [`LogLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALogLine;

impl fmt::Display for NotALogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a line such as \"  1234.567 S2  L5   AppendEntries  text\"")
    }
}

impl std::error::Error for NotALogLine {}

/// Reads one line. Continuations are lines of their own: see [`continuation`].
impl FromStr for LogLine {
    type Err = NotALogLine;

    fn from_str(line: &str) -> Result<LogLine, NotALogLine> {
        parse(line).ok_or(NotALogLine)
    }
}

fn parse(line: &str) -> Option<LogLine> {
    let mut rest = line;
    let mut word = || {
        let start = rest.trim_start();
        let (word, tail) = start.split_once(' ').unwrap_or((start, ""));
        rest = tail;
        word
    };
    let [at, who, state, topic] = [word(), word(), word(), word()];
    if topic.is_empty() {
        return None;
    }
    let (level, text) = level(rest.trim());
    Some(LogLine {
        at: time(at)?,
        who: self::who(who)?,
        state: if state == "-" { None } else { Some(self::state(state)?) },
        topic: topic.to_string(),
        level,
        text: text.to_string(),
    })
}

/// Milliseconds with three decimals.
fn time(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.')?;
    let part = Some(part).filter(|part| part.len() == 3)?;
    let micros = number(whole)?.checked_mul(1000)?.checked_add(number(part)?)?;
    Some(Duration::from_micros(micros))
}

fn who(text: &str) -> Option<Who> {
    match text {
        "C" => Some(Who::Client),
        "-" => Some(Who::Other),
        _ => Some(Who::Server(number(text.strip_prefix('S')?)?.try_into().ok()?)),
    }
}

fn state(text: &str) -> Option<State> {
    let (is_leader, term) = match text.strip_prefix('L') {
        Some(term) => (true, term),
        None => (false, text.strip_prefix('F')?),
    };
    Some(State { term: number(term)?, is_leader })
}

fn level(text: &str) -> (Option<Level>, &str) {
    for level in [Level::Error, Level::Warn] {
        if let Some(text) = text.strip_prefix(&format!("{level}: ")) {
            return (Some(level), text);
        }
    }
    (None, text)
}

/// A number of digits only. `str::parse` alone would accept a plus sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(who: Who, state: Option<State>, level: Option<Level>, text: &str) -> LogLine {
        let at = Duration::from_micros(1_234_567);
        LogLine { at, who, state, topic: "AppendEntries".to_string(), level, text: text.to_string() }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let leader = Some(State { term: 15, is_leader: true });
        let follower = Some(State { term: 0, is_leader: false });
        for line in [
            line(Who::Server(2), leader, None, "server 2, term 15: has all up to 7"),
            line(Who::Server(10), follower, Some(Level::Error), "is lost"),
            line(Who::Client, None, Some(Level::Warn), "asks"),
            line(Who::Other, None, None, ""),
        ] {
            assert_eq!(line.to_string().parse(), Ok(line.clone()), "{line}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let leader = Some(State { term: 5, is_leader: true });
        let text = line(Who::Server(2), leader, None, "one\ntwo\n").to_string();
        assert_eq!(text, "  1234.567 S2  L5   AppendEntries  one\n             | two");
        let warning = line(Who::Other, None, Some(Level::Warn), "text").to_string();
        assert_eq!(warning, "  1234.567 -   -    AppendEntries  WARN: text");
        assert_eq!(continuation("             | two"), Some("two"));
        assert_eq!(continuation("two"), None);
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "Test (2A): initial election ...",
            "  ... Passed --   3.0  3   58    0",
            "1.5 S2 L1 topic text",
            "1.+50 S2 L1 topic text",
            ".500 S2 L1 topic text",
            "1.500 X2 L1 topic text",
            "1.500 S L1 topic text",
            "1.500 S2 M1 topic text",
            "1.500 S2 L topic text",
            "1.500 S2 L1",
            "# 3 lines were not kept here",
            "             | more",
        ] {
            assert_eq!(line.parse::<LogLine>(), Err(NotALogLine), "{line}");
        }
    }
}
