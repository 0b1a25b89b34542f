//! The history of a test, and the check that it is linearizable (Go: a part of `GenericTestLinearizability`).

use crate::config::Client;
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

    /// Runs an operation and records it.
    pub fn record(&self, client: &mut Client, op: KvOp, key: String, value: String) {
        let call = self.now();
        let got = match op {
            KvOp::Get => client.get(&key),
            KvOp::Put => {
                client.put(&key, &value);
                String::new()
            }
            KvOp::Append => {
                client.append(&key, &value);
                String::new()
            }
        };
        let ret = self.now();
        let operation =
            Operation { input: KvInput { op, key, value }, call, output: KvOutput { value: got }, ret };
        let mut recorded = self.recorded.lock();
        recorded.operations.push(operation);
        recorded.names.push(client.last_operation());
    }

    /// The time since the history began, in nanoseconds.
    fn now(&self) -> i64 {
        self.begun.elapsed().as_nanos() as i64
    }

    /// Checks that the history is linearizable. If the checker needs longer than `limit`, the history passes, as in Go.
    ///
    /// # Panics
    /// When the history is not linearizable.
    #[track_caller]
    pub fn check(&self, limit: Duration) {
        let Recorded { operations, names } = &*self.recorded.lock();
        match check_operations_timeout(&KvModel, operations, limit) {
            CheckResult::Ok => {}
            CheckResult::Illegal => panic!(
                "history of {} operations is not linearizable{}",
                operations.len(),
                explain(operations, names, self.begun)
            ),
            CheckResult::Unknown => println!(
                "info: the linearizability check of {} operations did not finish in {} s; counted as passed",
                operations.len(),
                limit.as_secs()
            ),
        }
    }
}

/// Explains why a history is not linearizable, in words and for the picture: how many of its operations some order
/// explains. Returns an empty text when no picture is wanted, because the explanation takes longer than the check.
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
    let mut text =
        format!("key {key:?}: an order explains {done} of its {all} operations; then it holds {held}");
    if let Some(broken) = prefix.refused.first().map(|i| &operations[*i]) {
        let [call, ret] = [broken.call, broken.ret].map(|time| began.as_secs_f64() + time as f64 / 1e9);
        let got = harness::excerpt(&broken.output.value);
        text += &format!(", but a get from {call:.6} s to {ret:.6} s got {got}");
    }
    text
}
