//! The lines that titles log: `  1234.567 S2 L5 AppendEntries  text`, which is milliseconds since the title began, who
//! it is from, in which role and term, what about, and what.

/// A line of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    Log(Log),
    /// More of the line before it.
    Continued(String),
    /// No line of a log.
    Other(String),
}

/// A line of a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Log {
    pub at: String,
    /// None: it is not known, or not a server.
    pub server: Option<usize>,
    /// "S2"; "C": a client; "-": not known.
    pub who: String,
    /// "L5": leader in term 5, "F5": follower, "?5": one of them; "-": not known.
    pub state: String,
    pub topic: String,
    pub text: String,
}

impl Line {
    pub fn parse(line: &str) -> Line {
        if let Some(text) = line.trim_start().strip_prefix("| ") {
            return Line::Continued(text.to_string());
        }
        Log::parse(line).map_or_else(|| Line::Other(line.to_string()), Line::Log)
    }

    pub fn server(&self) -> Option<usize> {
        match self {
            Line::Log(log) => log.server,
            _ => None,
        }
    }
}

impl Log {
    fn parse(line: &str) -> Option<Log> {
        let mut rest = line;
        let mut word = || {
            let start = rest.trim_start();
            let (word, tail) = start.split_once(' ').unwrap_or((start, ""));
            rest = tail;
            word
        };
        let [at, who, state, topic] = [word(), word(), word(), word()];
        let (whole, part) = at.split_once('.')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_state = state == "-" || state.strip_prefix(['L', 'F', '?']).is_some_and(is_number);
        if !is_number(whole) || part.len() != 3 || !is_number(part) || !is_state || topic.is_empty() {
            return None;
        }
        let server = match who {
            "C" | "-" => None,
            _ => Some(who.strip_prefix('S')?.parse().ok()?),
        };
        let [at, who, state, topic, text] = [at, who, state, topic, rest.trim()].map(str::to_string);
        Some(Log { at, server, who, state, topic, text })
    }

    /// The text without its own "server 2: ", which its column says.
    pub fn own_text(&self) -> &str {
        let Some(server) = self.server else { return &self.text };
        let rest = self.text.strip_prefix(&format!("server {server}"));
        rest.and_then(|rest| rest.strip_prefix([':', ','])).map_or(&self.text, str::trim_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_log_are_taken_apart() {
        let Line::Log(log) = Line::parse("  1234.567 S2  L15  RequestVote    server 2, term 15: votes for 0")
        else {
            panic!("it is one");
        };
        assert_eq!((log.at.as_str(), log.server, log.state.as_str()), ("1234.567", Some(2), "L15"));
        assert_eq!((log.topic.as_str(), log.own_text()), ("RequestVote", "term 15: votes for 0"));
        let Line::Log(log) = Line::parse("     0.001 -   -    raft           ") else { panic!("it is one") };
        assert_eq!((log.server, log.own_text()), (None, ""));
        for state in ["F0", "?7"] {
            let line = Line::parse(&format!("     1.000 S1  {state}   ticker   text"));
            assert_eq!(line.server(), Some(1), "{state}");
        }
    }

    #[test]
    fn others_are_not() {
        for line in [
            "",
            "Test (2A): initial election ...",
            "  ... Passed --   3.0  3   58    0",
            "1.5 S2 L1 topic text",
            "1.500 X2 L1 topic text",
            "1.500 S2 M1 topic text",
            "1.500 S2 L1",
            "# 3 lines were not kept here",
        ] {
            assert_eq!(Line::parse(line), Line::Other(line.to_string()));
        }
        assert_eq!(Line::parse("             | more"), Line::Continued("more".to_string()));
    }
}
