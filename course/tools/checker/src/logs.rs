//! Histories as text, in the two formats of porcupine's test data.
//!
//! The history of a register is a log as Jepsen writes it. Each event is one line. A tab stands before the type, before
//! the operation and before the values. Other lines are skipped.
//!
//! ```text
//! INFO  jepsen.util - 2 :invoke :cas [3 0]
//! INFO  jepsen.util - 2 :ok :cas [3 0]
//! ```
//!
//! The first event of an operation has the type `:invoke`. The second has `:ok`, or `:fail` when the operation did not
//! happen. An operation with an `:info` line, or with no second line, may have happened and may still happen.
//!
//! The history of a key/value store has one line like these for each event:
//!
//! ```text
//! {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
//! {:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
//! ```

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use linearizability::{CasInput, CasOutput, Event, KvInput, KvOp, KvOutput};

/// Events of the register with compare-and-set.
pub type CasEvent = Event<CasInput, CasOutput>;

/// Events of the key/value store.
pub type KvEvent = Event<KvInput, KvOutput>;

/// Why a log cannot be read.
#[derive(Debug, PartialEq)]
pub struct ParseError {
    /// The number of the line, from 1.
    line: usize,
    problem: Problem,
}

#[derive(Debug, PartialEq)]
enum Problem {
    NotANumber(String),
    MissingField(&'static str),
    /// The process returns, but has no operation that it called.
    ReturnWithoutCall(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.problem {
            Problem::NotANumber(word) => write!(f, "{word:?} is not a number"),
            Problem::MissingField(name) => write!(f, "the field {name} is missing"),
            Problem::ReturnWithoutCall(process) => {
                write!(f, "process {process} returns from an operation that it did not call")
            }
        }
    }
}

impl std::error::Error for ParseError {}

/// Builds events from lines that name the process of an operation, and not the operation.
struct Recorder<I, O> {
    events: Vec<Event<I, O>>,
    /// The id of each process's operation that has not returned.
    running: BTreeMap<String, u64>,
    next_id: u64,
}

impl<I, O: Clone> Recorder<I, O> {
    fn new() -> Recorder<I, O> {
        Recorder { events: Vec::new(), running: BTreeMap::new(), next_id: 0 }
    }

    fn call(&mut self, process: &str, input: I) {
        self.running.insert(process.to_string(), self.next_id);
        self.events.push(Event::Call { id: self.next_id, input });
        self.next_id += 1;
    }

    fn returned(&mut self, process: &str, output: O) -> Result<(), Problem> {
        let id =
            self.running.remove(process).ok_or_else(|| Problem::ReturnWithoutCall(process.to_string()))?;
        self.events.push(Event::Return { id, output });
        Ok(())
    }

    /// Lets the operations that never returned return after all others, with `output`.
    fn finish(mut self, output: O) -> Vec<Event<I, O>> {
        let mut pending: Vec<_> = self.running.values().copied().collect();
        pending.sort_unstable();
        self.events.extend(pending.into_iter().map(|id| Event::Return { id, output: output.clone() }));
        self.events
    }
}

/// Reads the log of a register.
///
/// # Errors
/// If a line is not an event of a register.
pub fn parse_cas(text: &str) -> Result<Vec<CasEvent>, ParseError> {
    let mut recorder = Recorder::new();
    for (line, text) in (1..).zip(text.lines()) {
        let Some((_, event)) = text.split_once(" - ") else { continue };
        record_cas(&mut recorder, event).map_err(|problem| ParseError { line, problem })?;
    }
    Ok(recorder.finish(CasOutput::Unknown))
}

fn record_cas(recorder: &mut Recorder<CasInput, CasOutput>, event: &str) -> Result<(), Problem> {
    let number =
        |word: &str| word.trim_matches(['[', ']']).parse().map_err(|_| Problem::NotANumber(word.to_string()));
    let words: Vec<_> = event.split_whitespace().collect();
    let &[process, kind, operation, value, ref rest @ ..] = words.as_slice() else { return Ok(()) };
    match (kind, operation) {
        (":invoke", ":read") => recorder.call(process, CasInput::Read),
        (":invoke", ":write") => recorder.call(process, CasInput::Write(number(value)?)),
        (":invoke", ":cas") => {
            let new = number(rest.first().unwrap_or(&""))?;
            recorder.call(process, CasInput::CompareAndSet { expected: number(value)?, new });
        }
        (":ok", ":read") => {
            let value = if value == "nil" { None } else { Some(number(value)?) };
            recorder.returned(process, CasOutput::Read(value))?;
        }
        // A read that timed out has read nothing.
        (":fail", ":read") => recorder.returned(process, CasOutput::Unknown)?,
        (":ok", ":write") => recorder.returned(process, CasOutput::Written)?,
        (":ok" | ":fail", ":cas") => recorder.returned(process, CasOutput::Set(kind == ":ok"))?,
        _ => {}
    }
    Ok(())
}

/// Reads the log of a key/value store.
///
/// # Errors
/// If a line is not an event of a key/value store.
pub fn parse_kv(text: &str) -> Result<Vec<KvEvent>, ParseError> {
    let mut recorder = Recorder::new();
    for (line, text) in (1..).zip(text.lines()) {
        record_kv(&mut recorder, text).map_err(|problem| ParseError { line, problem })?;
    }
    Ok(recorder.finish(KvOutput { value: String::new() }))
}

fn record_kv(recorder: &mut Recorder<KvInput, KvOutput>, event: &str) -> Result<(), Problem> {
    let pairs = event.trim_matches(['{', '}']).split(", ").filter_map(|pair| pair.split_once(' '));
    let fields: BTreeMap<_, _> = pairs.map(|(name, value)| (name, value.trim_matches('"'))).collect();
    let field = |name| fields.get(name).copied().ok_or(Problem::MissingField(name));
    if field(":type")? == ":invoke" {
        let op = match field(":f")? {
            ":get" => KvOp::Get,
            ":put" => KvOp::Put,
            _ => KvOp::Append,
        };
        let value = if op == KvOp::Get { "" } else { field(":value")? };
        recorder.call(field(":process")?, KvInput { op, key: field(":key")?.into(), value: value.into() });
        Ok(())
    } else {
        recorder.returned(field(":process")?, KvOutput { value: field(":value")?.into() })
    }
}

/// Writes the log of a register. Each operation has a process of its own. An operation without an outcome gets no
/// second line.
pub fn write_cas(events: &[CasEvent]) -> String {
    let mut inputs = BTreeMap::new();
    let mut text = String::new();
    for event in events {
        let (id, kind, outcome) = match event {
            Event::Call { id, input } => {
                inputs.insert(id, *input);
                (id, "invoke", None)
            }
            Event::Return { output: CasOutput::Unknown, .. } => continue,
            Event::Return { id, output: CasOutput::Set(false) } => (id, "fail", None),
            Event::Return { id, output: CasOutput::Read(value) } => (id, "ok", *value),
            Event::Return { id, .. } => (id, "ok", None),
        };
        let operation = match (inputs[id], outcome) {
            (CasInput::Read, None) => "read\tnil".to_string(),
            (CasInput::Read, Some(value)) => format!("read\t{value}"),
            (CasInput::Write(value), _) => format!("write\t{value}"),
            (CasInput::CompareAndSet { expected, new }, _) => format!("cas\t[{expected} {new}]"),
        };
        _ = writeln!(text, "INFO  jepsen.util - {id}\t:{kind}\t:{operation}");
    }
    text
}

/// Writes the log of a key/value store. Each operation has a process of its own.
pub fn write_kv(events: &[KvEvent]) -> String {
    let mut inputs = BTreeMap::new();
    let mut text = String::new();
    for event in events {
        let (id, kind) = match event {
            Event::Call { id, input } => {
                inputs.insert(id, input);
                (id, "invoke")
            }
            Event::Return { id, .. } => (id, "ok"),
        };
        let input = inputs[id];
        let (name, value) = match (input.op, event) {
            (KvOp::Get, Event::Call { .. }) => ("get", "nil".to_string()),
            (KvOp::Get, Event::Return { output, .. }) => ("get", format!("{:?}", output.value)),
            (KvOp::Put, _) => ("put", format!("{:?}", input.value)),
            (KvOp::Append, _) => ("append", format!("{:?}", input.value)),
        };
        let key = &input.key;
        _ = writeln!(text, "{{:process {id}, :type :{kind}, :f :{name}, :key {key:?}, :value {value}}}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories;

    #[test]
    fn what_is_written_can_be_read_again() {
        let events = histories::register(3, 50, true);
        assert_eq!(write_cas(&parse_cas(&write_cas(&events)).unwrap()), write_cas(&events));
        let events = histories::kv(3, 5, 50);
        assert_eq!(write_kv(&parse_kv(&write_kv(&events)).unwrap()), write_kv(&events));
    }

    #[test]
    fn errors_name_the_line() {
        let error = |result: Result<Vec<CasEvent>, ParseError>| result.unwrap_err().to_string();
        assert_eq!(error(parse_cas("\nx - 1 :invoke :write two")), "line 2: \"two\" is not a number");
        assert_eq!(
            error(parse_cas("x - 1 :ok :write 2")),
            "line 1: process 1 returns from an operation that it did not call"
        );
        let text = "{:process 9, :type :invoke, :f :append, :key \"0\"}";
        assert_eq!(parse_kv(text).unwrap_err().to_string(), "line 1: the field :value is missing");
    }
}
