//! Reads histories of a register from Jepsen's EDN.

use linearizability::{CasInput, CasOutput, Operation};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A history, and the client of each of its operations.
pub struct History {
    pub operations: Vec<Operation<CasInput, CasOutput>>,
    pub clients: Vec<String>,
}

/// Why a text is no history: the number of the line, from 1, and what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Error {
    line: usize,
    reason: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A value in EDN, as far as histories need it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Nil,
    Number(i64),
    /// A keyword, a symbol or a string.
    Word(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// Reads a history. Operations that have failed are left out, because they have changed nothing. Operations without an
/// answer may have taken effect at any time after their call; reads among them are left out, because they tell nothing.
/// Lines of processes that are no clients, such as `:nemesis`, are passed over.
pub fn history(text: &str) -> Result<History, Error> {
    let mut open: HashMap<i64, (CasInput, i64)> = HashMap::new();
    let mut history = History { operations: Vec::new(), clients: Vec::new() };
    for (i, line) in text.lines().enumerate() {
        let wrong = |reason: &str| Error { line: i + 1, reason: reason.to_string() };
        let line = line.trim();
        if line.is_empty() || line == "[" || line == "]" {
            continue;
        }
        let mut reader = Reader { rest: line };
        let Some(Value::Map(fields)) = reader.value() else {
            return Err(wrong("it is not a map such as {:process 0, :type :invoke, :f :read, :value nil}"));
        };
        let fields: BTreeMap<String, Value> = fields
            .into_iter()
            .filter_map(|(name, value)| match name {
                Value::Word(name) => Some((name, value)),
                _ => None,
            })
            .collect();
        let word = |name: &str| match fields.get(name) {
            Some(Value::Word(word)) => Some(word.as_str()),
            _ => None,
        };
        let Some(Value::Number(process)) = fields.get("process") else { continue };
        // Without times, the lines' order is the order of events.
        let time = match fields.get("time") {
            Some(Value::Number(time)) => *time,
            _ => i as i64 * 1000,
        };
        let value = fields.get("value").unwrap_or(&Value::Nil);
        let kind = word("type").ok_or_else(|| wrong("it has no :type"))?;
        if kind == "invoke" {
            let input = input(word("f").unwrap_or_default(), value);
            let input = input.ok_or_else(|| wrong("its :f is not :read, :write N or :cas [N N]"))?;
            if open.insert(*process, (input, time)).is_some() {
                return Err(wrong("its process has called before, and has had no answer"));
            }
            continue;
        }
        let (input, call) =
            open.remove(process).ok_or_else(|| wrong("it answers a call that is not there"))?;
        let (output, ret) = match (kind, input) {
            ("fail", _) | ("info", CasInput::Read) => continue,
            ("info", _) => (CasOutput::Unknown, i64::MAX),
            ("ok", CasInput::Write(_)) => (CasOutput::Written, time),
            ("ok", CasInput::CompareAndSet { .. }) => (CasOutput::Set(true), time),
            ("ok", CasInput::Read) => {
                let got = number(value).ok_or_else(|| wrong("a read's :value is not a number or nil"))?;
                (CasOutput::Read(got), time)
            }
            _ => return Err(wrong("its :type is not :invoke, :ok, :fail or :info")),
        };
        history.operations.push(Operation { input, call, output, ret });
        history.clients.push(format!("process {process}"));
    }
    // The test has ended before these had an answer.
    for (process, (input, call)) in open {
        if input != CasInput::Read {
            history.operations.push(Operation { input, call, output: CasOutput::Unknown, ret: i64::MAX });
            history.clients.push(format!("process {process}"));
        }
    }
    Ok(history)
}

fn input(f: &str, value: &Value) -> Option<CasInput> {
    match (f, value) {
        ("read", _) => Some(CasInput::Read),
        ("write", value) => Some(CasInput::Write(number(value)??)),
        ("cas", Value::List(values)) => match &values[..] {
            [expected, new] => {
                Some(CasInput::CompareAndSet { expected: number(expected)??, new: number(new)?? })
            }
            _ => None,
        },
        _ => None,
    }
}

/// None: it is no number, nor nil.
fn number(value: &Value) -> Option<Option<u64>> {
    match value {
        Value::Nil => Some(None),
        Value::Number(number) => Some(Some(u64::try_from(*number).ok()?)),
        _ => None,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Reads a value. None: there is none, or it is of a kind that histories do not have.
    fn value(&mut self) -> Option<Value> {
        self.skip();
        match self.rest.chars().next()? {
            '{' => {
                let mut values = self.list('}')?.into_iter();
                let mut pairs = Vec::new();
                while let Some(name) = values.next() {
                    pairs.push((name, values.next()?));
                }
                Some(Value::Map(pairs))
            }
            '[' => Some(Value::List(self.list(']')?)),
            '(' => Some(Value::List(self.list(')')?)),
            '"' => {
                let (text, rest) = self.rest[1..].split_once('"')?;
                self.rest = rest;
                Some(Value::Word(text.to_string()))
            }
            // A tag, such as #jepsen.history.Op, stands before its value.
            '#' if !self.rest.starts_with("#{") => {
                self.rest = &self.rest[1..];
                self.word();
                self.value()
            }
            _ => {
                let word = self.word();
                match word.as_str() {
                    "" => None,
                    "nil" => Some(Value::Nil),
                    word => Some(word.parse().map_or_else(
                        |_| Value::Word(word.strip_prefix(':').unwrap_or(word).to_string()),
                        Value::Number,
                    )),
                }
            }
        }
    }

    /// Reads values up to a closing bracket.
    fn list(&mut self, end: char) -> Option<Vec<Value>> {
        self.rest = &self.rest[1..];
        let mut values = Vec::new();
        loop {
            self.skip();
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Some(values);
            }
            values.push(self.value()?);
        }
    }

    fn word(&mut self) -> String {
        let end = self.rest.find(|c: char| c.is_whitespace() || ",{}[]()\"".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_string()
    }

    /// Skips blanks and commas, which mean the same.
    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linearizability::{CasModel, check_operations};

    const STALE: &str = "\
{:process 0, :type :invoke, :f :write, :value 1, :time 1000, :index 0}
{:process :nemesis, :type :info, :f :start, :value nil, :time 1500}
{:process 0, :type :ok, :f :write, :value 1, :time 2000}
#jepsen.history.Op{:process 1, :type :invoke, :f :cas, :value [1 2], :time 3000}
{:process 1, :type :ok, :f :cas, :value [1 2], :time 4000}
{:process 2, :type :invoke, :f :write, :value 9, :time 4100}
{:process 2, :type :info, :f :write, :value 9, :error \"timed out\", :time 4200}
{:process 0, :type :invoke, :f :read, :value nil, :time 5000}
{:process 0, :type :ok, :f :read, :value 1, :time 6000}
";

    #[test]
    fn a_stale_read_is_found() {
        let History { operations, clients } = history(STALE).unwrap();
        assert_eq!(clients, ["process 0", "process 1", "process 2", "process 0"]);
        assert_eq!(operations[2].ret, i64::MAX);
        assert!(!check_operations(&CasModel, &operations));
        // What has no answer may have taken effect.
        let late = history(&STALE.replace(":f :read, :value 1", ":f :read, :value 9")).unwrap();
        assert!(check_operations(&CasModel, &late.operations));
    }

    #[test]
    fn what_is_no_history_is_named() {
        for (text, what) in [
            ("\n{:process 0, :type :ok, :f :read, :value 1}", "line 2: it answers a call that is not there"),
            ("nonsense", "line 1: it is not a map"),
            ("{:process 0, :type :invoke, :f :pop, :value 1}", "line 1: its :f is not"),
        ] {
            let error = history(text).err().unwrap().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
