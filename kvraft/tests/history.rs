//! The history of a test, and the check that it is linearizable (Go: a part of `GenericTestLinearizability`).

use harness::record::Finding;
use linearizability::{
    CheckResult, KvInput, KvModel, KvOp, KvOutput, Operation, PartExplanation, Prefix,
    check_operations_timeout, explain_operations,
};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long the checker may take to find where a history stops being linearizable.
const EXPLANATION_LIMIT: Duration = Duration::from_secs(3);

/// The operations of all clients, with their results and times.
pub struct History {
    begun: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    operations: Vec<Operation<KvInput, KvOutput>>,
    /// The id of each operation in the record.
    names: Vec<u64>,
}

impl History {
    /// An empty history that begins now.
    pub fn new() -> History {
        History { begun: Instant::now(), recorded: Mutex::default() }
    }

    /// Runs an operation and records it. `run` returns a get's value, and the operation's id in the record.
    pub fn record(&self, input: KvInput, run: impl FnOnce(&KvInput) -> (String, u64)) {
        let call = self.now();
        let (value, name) = run(&input);
        let operation = Operation { input, call, output: KvOutput { value }, ret: self.now() };
        let mut recorded = self.recorded.lock();
        recorded.operations.push(operation);
        recorded.names.push(name);
    }

    /// The time since the history began, in nanoseconds.
    fn now(&self) -> i64 {
        self.begun.elapsed().as_nanos() as i64
    }

    /// Whether the history is linearizable, and how many operations it has. [`CheckResult::Unknown`]: the checker needs
    /// longer than `limit`.
    pub fn check(&self, limit: Duration) -> (CheckResult, usize) {
        let operations = &self.recorded.lock().operations;
        (check_operations_timeout(&KvModel, operations, limit), operations.len())
    }

    /// Explains why the history is not linearizable, in words and for the picture: how many of its operations some order
    /// explains. Returns an empty text when no picture is wanted, because the explanation takes longer than the check.
    pub fn explain(&self) -> String {
        let Recorded { operations, names } = &*self.recorded.lock();
        explain(operations, names, self.begun)
    }
}

fn explain(operations: &[Operation<KvInput, KvOutput>], names: &[u64], begun: Instant) -> String {
    if !harness::record::is_on() {
        return String::new();
    }
    let parts = explain_operations(&KvModel, operations, EXPLANATION_LIMIT).parts;
    let began = harness::elapsed().saturating_sub(begun.elapsed());
    let named = |indexes: &[usize]| indexes.iter().map(|i| names[*i]).collect();
    let mut broken: Vec<_> = parts.iter().filter(|part| part.result == CheckResult::Illegal).collect();
    // Sort the parts by the time at which they broke.
    broken.sort_by_key(|part| part.prefixes[0].refused.first().map(|i| operations[*i].ret));
    let findings: Vec<Finding> = (broken.into_iter())
        .map(|part| {
            let prefix = &part.prefixes[0];
            Finding {
                order: named(&prefix.order),
                refused: named(&prefix.refused),
                part: named(&part.operations),
                note: describe(operations, part, prefix, began),
            }
        })
        .collect();
    let text = findings.iter().map(|finding| format!("\n  {}", finding.note)).collect();
    harness::record::found(findings);
    text
}

/// Describes the operation that breaks a part of the history. All operations of a part are on one key. `began` is the
/// time from the beginning of the test to the beginning of the history.
fn describe(
    operations: &[Operation<KvInput, KvOutput>],
    part: &PartExplanation,
    prefix: &Prefix,
    began: Duration,
) -> String {
    let mut value = String::new();
    for KvInput { op, value: new, .. } in prefix.order.iter().map(|i| &operations[*i].input) {
        match op {
            KvOp::Get => {}
            KvOp::Put => value.clone_from(new),
            KvOp::Append => value.push_str(new),
        }
    }
    let (done, all) = (prefix.order.len(), part.operations.len());
    let held = harness::excerpt(&value);
    let key = &operations[part.operations[0]].input.key;
    let explained = format!("an order explains {done} of its {all} operations; then it holds {held}");
    let Some(broken) = prefix.refused.first().map(|i| &operations[*i]) else {
        return format!("key {key:?}: no order explains all results: {explained}");
    };
    let at = |time: i64| format!("{:.4} s", began.as_secs_f64() + time as f64 / 1e9);
    let (call, ret, got) = (at(broken.call), at(broken.ret), harness::excerpt(&broken.output.value));
    let part: Vec<&Operation<KvInput, KvOutput>> = part.operations.iter().map(|i| &operations[*i]).collect();
    match reason(&part, broken) {
        Some(Reason::Unseen(write)) => {
            let (name, value) = (name(write.input.op), &write.input.value);
            format!(
                "key {key:?}: no order explains a get from {call} to {ret} that got {got}: {name}({key:?}, {value:?}) was \
                 acknowledged at {}, before the get was called, and the get does not see it ({explained})",
                at(write.ret)
            )
        }
        Some(Reason::Repeated(value)) => format!(
            "key {key:?}: no order explains a get from {call} to {ret} that got {got}: {value:?} is in it more often than it \
             was written ({explained})"
        ),
        None => format!(
            "key {key:?}: no order explains all results: {explained}, but a get from {call} to {ret} got {got}"
        ),
    }
}

fn name(op: KvOp) -> &'static str {
    match op {
        KvOp::Get => "get",
        KvOp::Put => "put",
        KvOp::Append => "append",
    }
}

/// Why a get alone breaks the history, whatever the order of the operations.
pub enum Reason<'a> {
    /// It does not see this write, which had been acknowledged before it was called.
    Unseen(&'a Operation<KvInput, KvOutput>),
    /// It sees this value more often than it was written.
    Repeated(&'a str),
}

/// Says why a get breaks the history, if that follows from the get and the writes on its key alone.
pub fn reason<'a>(
    part: &[&'a Operation<KvInput, KvOutput>],
    get: &'a Operation<KvInput, KvOutput>,
) -> Option<Reason<'a>> {
    if get.input.op != KvOp::Get {
        return None;
    }
    let got = &get.output.value;
    let is_seen = |write: &Operation<KvInput, KvOutput>| got.contains(&write.input.value);
    let writes = || part.iter().copied().filter(|operation| operation.input.op != KvOp::Get);
    // The last put between the write and the get, if there is one, or else the write itself: its value must be in what the
    // get got.
    let is_unseen = |write: &&Operation<KvInput, KvOutput>| {
        let can_come_between = |put: &&Operation<KvInput, KvOutput>| {
            put.input.op == KvOp::Put && put.ret >= write.call && put.call <= get.ret
        };
        write.ret < get.call && !is_seen(write) && !writes().filter(can_come_between).any(is_seen)
    };
    if let Some(write) = writes().filter(is_unseen).max_by_key(|write| write.ret) {
        return Some(Reason::Unseen(write));
    }
    // Each value ends with the same letter, and has it nowhere else: there is one way to split what was got into values.
    let values: Vec<&str> =
        writes().map(|write| write.input.value.as_str()).filter(|value| !value.is_empty()).collect();
    let end = values.first()?.chars().last()?;
    if !values.iter().all(|value| value.ends_with(end) && value.matches(end).count() == 1) {
        return None;
    }
    let count = |value: &str| got.split_inclusive(end).filter(|other| *other == value).count();
    let written = |value: &str| values.iter().filter(|other| **other == value).count();
    let repeated = got.split_inclusive(end).find(|value| count(value) > written(value).max(1));
    repeated.map(Reason::Repeated)
}
