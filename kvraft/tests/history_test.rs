//! Tests of what is said of a history that is not linearizable: only what is certain.

mod history;

use history::{History, Reason, reason};
use linearizability::{CheckResult, KvInput, KvOp, KvOutput, Operation};

fn operation(op: KvOp, value: &str, call: i64, ret: i64) -> Operation<KvInput, KvOutput> {
    let (written, got) = if op == KvOp::Get { ("", value) } else { (value, "") };
    let input = KvInput { op, key: "k".to_string(), value: written.to_string() };
    Operation { input, call, output: KvOutput { value: got.to_string() }, ret }
}

/// What is said of a get from 50 to 60 that got `got`, after these writes: each with the times of its call and its return.
fn said(writes: &[(KvOp, &str, i64, i64)], got: &str) -> Option<String> {
    let writes: Vec<_> =
        writes.iter().map(|(op, value, call, ret)| operation(*op, value, *call, *ret)).collect();
    let get = operation(KvOp::Get, got, 50, 60);
    let part: Vec<&Operation<KvInput, KvOutput>> = writes.iter().chain([&get]).collect();
    reason(&part, &get).map(|reason| match reason {
        Reason::Unseen(write) => format!("unseen {}", write.input.value),
        Reason::Repeated(value) => format!("repeated {value}"),
    })
}

#[test]
fn an_acknowledged_write_that_a_get_does_not_see_is_named() {
    use KvOp::{Append, Put};
    assert_eq!(said(&[(Append, "1.", 0, 10)], "").as_deref(), Some("unseen 1."));
    assert_eq!(
        said(&[(Put, "9.", 0, 5), (Put, "11.", 10, 20), (Append, "15.", 8, 30)], "9.15.").as_deref(),
        Some("unseen 11.")
    );
    // The newest of several.
    let both = said(&[(Append, "1.", 0, 10), (Append, "2.", 11, 20)], "");
    assert_eq!(both.as_deref(), Some("unseen 2."));
}

#[test]
fn a_write_that_need_not_be_seen_is_not_named() {
    use KvOp::{Append, Put};
    // It is seen; it had not been acknowledged; a put may have come after it, and one that is seen did.
    assert_eq!(said(&[(Append, "1.", 0, 10)], "1."), None);
    assert_eq!(said(&[(Append, "1.", 0, 50)], ""), None);
    assert_eq!(said(&[(Append, "1.", 0, 10), (Put, "", 5, 100)], ""), None);
    assert_eq!(said(&[(Append, "1.", 0, 10), (Put, "2.", 40, 100)], "2."), None);
    // The put came before it, or after the get.
    assert!(said(&[(Append, "1.", 10, 20), (Put, "2.", 0, 9)], "2.").is_some());
    assert!(said(&[(Append, "1.", 10, 20), (Put, "2.", 61, 70)], "2.").is_some());
}

#[test]
fn a_value_that_is_repeated_is_named() {
    use KvOp::Append;
    let writes = [(Append, "1.", 0, 10), (Append, "21.", 0, 10)];
    assert_eq!(said(&writes, "1.21.1.").as_deref(), Some("repeated 1."));
    assert_eq!(said(&writes, "21.1."), None);
    // It was written twice; or one cannot say where a value ends.
    assert_eq!(said(&[(Append, "1.", 0, 10), (Append, "1.", 0, 10)], "1.1."), None);
    assert_eq!(said(&[(Append, "1", 0, 10), (Append, "11", 0, 10)], "111"), None);
}

#[test]
fn without_a_picture_nothing_is_said() {
    let history = History::new();
    let input = |op, value: &str| KvInput { op, key: "k".to_string(), value: value.to_string() };
    history.record(input(KvOp::Put, "1."), |_| (String::new(), 0));
    history.record(input(KvOp::Get, ""), |_| ("2.".to_string(), 1));
    let (result, operations) = history.check(std::time::Duration::MAX);
    assert!(result == CheckResult::Illegal && operations == 2);
    assert_eq!(history.explain(), "");
}
