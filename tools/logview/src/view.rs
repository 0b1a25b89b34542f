//! Shows lines in columns: one for the time, and one for each server. A text that is too long for its column continues
//! in the next row. If the columns would be too narrow to read, all texts share one wide column, and a digit before the
//! text says which server it is: the further right, the higher its number.

use crate::line::Line;
use lines::{Level, LogLine, Who};

/// The width of the column of times.
const TIME: usize = 11;

/// The least width of a server's column. If there is not enough room, all servers share one column.
const NARROWEST: usize = 14;

/// The text between columns.
const GAP: &str = " ";

/// The servers' colours, as ANSI codes. All are easy to read on a dark and on a light background.
const COLOURS: [u8; 7] = [36, 33, 35, 32, 34, 31, 96];

#[derive(Clone, Copy)]
pub struct Style {
    pub width: usize,
    pub colours: bool,
}

pub struct View {
    style: Style,
    /// The number of each column's server.
    columns: Vec<usize>,
    /// Whether every server gets a column. Otherwise only the chosen servers have one.
    all: bool,
    /// Whether the columns' names must be shown before the next row.
    unnamed: bool,
    /// The column of the last log line. None: a line without a column.
    last: Option<usize>,
}

impl View {
    /// Shows the servers in `wanted`. If it is empty, shows all servers, at first in `columns` columns.
    pub fn new(style: Style, wanted: &[usize], columns: usize) -> View {
        let all = wanted.is_empty();
        let columns = if all { (0..columns).collect() } else { wanted.to_vec() };
        View { style, columns, all, unnamed: true, last: None }
    }

    /// The rows of a line. Empty if its server is not wanted.
    pub fn show(&mut self, line: &Line) -> String {
        match line {
            Line::Other(text) => format!("{}\n", self.painted(text, 1)),
            Line::Continued(text) => match self.last {
                Some(column) => self.rows("", column, text),
                None => format!("{:TIME$}{GAP}{text}\n", ""),
            },
            Line::Log(log) => self.log(log),
        }
    }

    fn log(&mut self, log: &LogLine) -> String {
        let at = format!("{:.3}", log.at.as_secs_f64() * 1e3);
        let state = log.state.map_or(String::new(), |state| format!("{state} "));
        let text = format!("{}: {}", log.topic, text(log));
        let Who::Server(server) = log.who else {
            self.last = None;
            let state = if state.is_empty() { "- " } else { &state };
            return format!("{at:>TIME$}{GAP}{}\n", self.painted(&format!("{} {state}{text}", log.who), 2));
        };
        if self.all && server >= self.columns.len() {
            self.columns = (0..=server).collect();
            self.unnamed = true;
        }
        let Some(column) = self.columns.iter().position(|one| *one == server) else { return String::new() };
        let mut rows = if std::mem::take(&mut self.unnamed) { self.names() } else { String::new() };
        self.last = Some(column);
        rows += &self.rows(&at, column, &format!("{state}{text}"));
        rows
    }

    fn names(&self) -> String {
        let Some(wide) = self.wide() else {
            let digits: String = (0..self.columns.len()).map(|column| self.digit(column)).collect();
            return format!("{:>TIME$}{GAP}{digits}\n", "ms");
        };
        let names = self.columns.iter().enumerate();
        let names = names.map(|(column, server)| {
            let name = format!("{:wide$}", format!("server {server}"));
            format!("{GAP}{}", self.painted(&name, self.colour(column)))
        });
        format!("{:>TIME$}{}\n", "ms", names.collect::<String>().trim_end())
    }

    fn rows(&self, at: &str, column: usize, text: &str) -> String {
        let columns = self.columns.len();
        let (wide, indent) = match self.wide() {
            Some(wide) => (wide, " ".repeat(column * (wide + GAP.len()))),
            None => {
                let room = self.style.width.saturating_sub(TIME + 2 * GAP.len() + columns);
                let [before, after] = [column, columns - column - 1].map(|count| " ".repeat(count));
                (room.max(NARROWEST), format!("{before}{}{after}{GAP}", self.digit(column)))
            }
        };
        let mut rows = String::new();
        for (i, piece) in wrapped(text, wide).iter().enumerate() {
            let at = if i == 0 { at } else { "" };
            rows += &format!("{at:>TIME$}{GAP}{indent}{}\n", self.painted(piece, self.colour(column)));
        }
        rows
    }

    /// The width of a server's column. None: the servers share one column.
    fn wide(&self) -> Option<usize> {
        let columns = self.columns.len().max(1);
        let room = self.style.width.saturating_sub(TIME + columns * GAP.len());
        Some(room / columns).filter(|wide| *wide >= NARROWEST)
    }

    /// The last digit of a column's server.
    fn digit(&self, column: usize) -> String {
        self.painted(&(self.columns[column] % 10).to_string(), self.colour(column))
    }

    fn colour(&self, column: usize) -> u8 {
        COLOURS[self.columns[column] % COLOURS.len()]
    }

    fn painted(&self, text: &str, colour: u8) -> String {
        if self.style.colours && !text.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// The text of a line without a "server 2: " at its beginning: its column names the server already.
fn text(LogLine { who, level, text, .. }: &LogLine) -> String {
    let Who::Server(server) = who else { return with_level(*level, text) };
    let rest = text.strip_prefix(&format!("server {server}"));
    let rest = rest.and_then(|rest| rest.strip_prefix([':', ',']));
    with_level(*level, rest.map_or(text, str::trim_start))
}

fn with_level(level: Option<Level>, text: &str) -> String {
    level.map_or(text.to_string(), |level| format!("{level}: {text}"))
}

/// Splits a text into pieces of at most `wide` characters, between words where it can.
fn wrapped(text: &str, wide: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut room = wide;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let space = usize::from(room < wide);
        if word.len() + space > room && room < wide {
            pieces.push(String::new());
            room = wide;
        } else if space == 1 {
            last(&mut pieces).push(' ');
            room -= 1;
        }
        // Cut a word that is longer than a row.
        while word.len() > room {
            let rest = word.split_off(room);
            last(&mut pieces).extend(word);
            pieces.push(String::new());
            (word, room) = (rest, wide);
        }
        room -= word.len();
        last(&mut pieces).extend(word);
    }
    pieces
}

fn last(pieces: &mut [String]) -> &mut String {
    let count = pieces.len();
    &mut pieces[count - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style, servers: &[usize], columns: usize, log: &str) -> String {
        let mut view = View::new(style, servers, columns);
        log.lines().map(|line| view.show(&Line::parse(line))).collect()
    }

    const PLAIN: Style = Style { width: 75, colours: false };

    const LOG: &str = "\
Test (2A): initial election ...
   317.426 S1  F0   RequestVote    server 1, term 1: votes for 0
   322.401 S0  L1   ticker         server 0, term 1: leader of all the others that there are
             | and of more
   323.000 C   -    client         asks
";

    #[test]
    fn a_server_has_a_column() {
        assert_eq!(
            shown(PLAIN, &[], 3, LOG),
            "\
Test (2A): initial election ...
         ms server 0             server 1             server 2
    317.426                      F0 RequestVote: term
                                 1: votes for 0
    322.401 L1 ticker: term 1:
            leader of all the
            others that there
            are
            and of more
    323.000 C - client: asks
"
        );
    }

    #[test]
    fn columns_grow_while_nobody_knows_how_many_there_are() {
        let text = shown(PLAIN, &[], 1, LOG);
        assert_eq!(text.matches("server 0").count(), 1, "{text}");
        let late = "     1.000 S0  -    a b\n     2.000 S4  -    a b\n";
        let text = shown(Style { width: 120, ..PLAIN }, &[], 1, late);
        assert_eq!(text.matches("server 0").count(), 2, "{text}");
        assert!(text.contains("server 4"), "{text}");
        let next = "     1.000 S0  -    a b\n     2.000 S1  -    a b\n";
        assert!(shown(PLAIN, &[], 1, next).contains("server 1"));
    }

    #[test]
    fn many_servers_share_a_column_in_a_narrow_terminal() {
        let log = "\
     1.500 S6  F0   RequestVote    server 6, term 1: votes for server 0, which has all that this server has
     2.000 S0  L1   ticker         leads
";
        let text = shown(Style { width: 80, colours: false }, &[], 7, log);
        let rows = [
            "         ms 0123456",
            "      1.500       6 F0 RequestVote: term 1: votes for server 0, which has all",
            "                  6 that this server has",
            "      2.000 0       L1 ticker: leads",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn servers_can_be_chosen() {
        let text = shown(PLAIN, &[1], 3, LOG);
        assert!(text.contains("RequestVote") && !text.contains("leader of"), "{text}");
    }

    #[test]
    fn servers_have_colours() {
        let text = shown(Style { colours: true, ..PLAIN }, &[], 3, LOG);
        assert!(text.contains("\x1b[36mL1 ticker") && text.contains("\x1b[33mF0 RequestVote"), "{text}");
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(wrapped("ab cdefghij kl", 4), ["ab", "cdef", "ghij", "kl"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("abcd ab", 4), ["abcd", "ab"]);
    }
}
