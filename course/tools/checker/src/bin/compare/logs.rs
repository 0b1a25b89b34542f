//! Histories as text, in the two formats in which porcupine has its test data.
//!
//! A register's is a log of Jepsen's: one line for each event, with a tab before type, operation and values;
//! other lines are skipped.
//!
//! ```text
//! INFO  jepsen.util - 2 :invoke :cas [3 0]
//! INFO  jepsen.util - 2 :ok :cas [3 0]
//! ```
//!
//! The type is `:invoke`, then `:ok`, `:fail` (did not happen), or `:info` or nothing (it may have happened, or may yet
//! happen).
//!
//! A key/value store's has a line like these for each event:
//!
//! ```text
//! {:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}
//! {:process 9, :type :ok, :f :append, :key "0", :value "x 9 0 y"}
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use linearizability::{CasInput, CasOutput, Event, KvInput, KvOp, KvOutput};

/// Events of the register with compare-and-set.
pub type CasEvent = Event<CasInput, CasOutput>;

/// Events of the key/value store.
pub type KvEvent = Event<KvInput, KvOutput>;

/// Puts events together of lines that name processes only.
struct Recorder<I, O> {
    events: Vec<Event<I, O>>,
    running: BTreeMap<String, u64>,
    ids: u64,
}

impl<I, O: Clone> Recorder<I, O> {
    fn new() -> Recorder<I, O> {
        Recorder { events: Vec::new(), running: BTreeMap::new(), ids: 0 }
    }

    fn call(&mut self, process: &str, input: I) {
        self.running.insert(process.to_string(), self.ids);
        self.events.push(Event::Call { id: self.ids, input });
        self.ids += 1;
    }

    fn returned(&mut self, process: &str, output: O) {
        let id = self.running.remove(process);
        let id = id.unwrap_or_else(|| panic!("process {process} returns what it has not called"));
        self.events.push(Event::Return { id, output });
    }

    /// What is pending returns after all others, with an output that any state may give.
    fn finish(mut self, output: O) -> Vec<Event<I, O>> {
        let mut pending: Vec<_> = self.running.values().copied().collect();
        pending.sort_unstable();
        self.events.extend(pending.into_iter().map(|id| Event::Return { id, output: output.clone() }));
        self.events
    }
}

/// Reads the log of a register.
pub fn parse_cas(text: &str) -> Vec<CasEvent> {
    let number = |word: &str| {
        let digits = word.trim_matches(['[', ']']);
        digits.parse().unwrap_or_else(|_| panic!("not a number: {word:?}"))
    };
    let mut recorder = Recorder::new();
    for (_, line) in text.lines().filter_map(|line| line.split_once(" - ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[process, kind, operation, value, ref rest @ ..] = words.as_slice() else { continue };
        match (kind, operation) {
            (":invoke", ":read") => recorder.call(process, CasInput::Read),
            (":invoke", ":write") => recorder.call(process, CasInput::Write(number(value))),
            (":invoke", ":cas") => {
                let new = number(rest.first().unwrap_or(&""));
                recorder.call(process, CasInput::CompareAndSet { expected: number(value), new });
            }
            (":ok", ":read") => {
                recorder.returned(process, CasOutput::Read((value != "nil").then(|| number(value))));
            }
            // A read that timed out has read nothing.
            (":fail", ":read") => recorder.returned(process, CasOutput::Unknown),
            (":ok", ":write") => recorder.returned(process, CasOutput::Written),
            (":ok" | ":fail", ":cas") => recorder.returned(process, CasOutput::Set(kind == ":ok")),
            _ => {}
        }
    }
    recorder.finish(CasOutput::Unknown)
}

/// Reads the log of a key/value store.
pub fn parse_kv(text: &str) -> Vec<KvEvent> {
    let mut recorder = Recorder::new();
    for line in text.lines() {
        let pairs = line.trim_matches(['{', '}']).split(", ").filter_map(|pair| pair.split_once(' '));
        let field: BTreeMap<_, _> = pairs.map(|(name, value)| (name, value.trim_matches('"'))).collect();
        let get = |name| *field.get(name).unwrap_or_else(|| panic!("no {name} in {line:?}"));
        if get(":type") == ":invoke" {
            let op = match get(":f") {
                ":get" => KvOp::Get,
                ":put" => KvOp::Put,
                _ => KvOp::Append,
            };
            let value = if op == KvOp::Get { "" } else { get(":value") };
            recorder.call(get(":process"), KvInput { op, key: get(":key").into(), value: value.into() });
        } else {
            recorder.returned(get(":process"), KvOutput { value: get(":value").into() });
        }
    }
    recorder.finish(KvOutput { value: String::new() })
}

/// Writes the log of a register, with a process for each operation. What has no outcome gets no return.
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

/// Writes the log of a key/value store, with a process for each operation.
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
