//! Tests of `check_appends`: it accepts every right value and no wrong one.

mod appends;

use appends::{check_appends, difference, nth};
use std::panic::catch_unwind;

/// The complaint about a value, or None.
fn complaint(value: &str, counts: &[usize]) -> Option<String> {
    let panic = catch_unwind(|| check_appends(value, counts)).err()?;
    Some(panic.downcast_ref::<String>().expect("the message is made with format!").clone())
}

#[track_caller]
fn wrong(value: &str, counts: &[usize], message: &str) {
    let complaint = complaint(value, counts).unwrap_or_else(|| panic!("{value:?} passed"));
    assert!(complaint.contains(message), "{value:?}: {complaint}");
}

#[test]
fn every_interleaving_of_clients_in_their_order_is_right() {
    check_appends("", &[]);
    check_appends("", &[0, 0]);
    check_appends("x 0 0 yx 0 1 y", &[2]);
    check_appends("x 1 0 yx 0 0 yx 1 1 yx 0 1 y", &[2, 2]);
    let long: String = (0..100_000).map(|j| nth(3, j)).collect();
    check_appends(&long, &[0, 0, 0, 100_000]);
}

#[test]
fn a_missing_append_is_named() {
    wrong("", &[1], "missing element \"x 0 0 y\"");
    wrong("x 0 0 y", &[2], "missing element \"x 0 1 y\"");
    wrong("x 0 1 y", &[2], "missing element \"x 0 0 y\"");
    wrong("x 0 0 yx 0 2 yx 1 0 y", &[3, 1], "missing element \"x 0 1 y\"");
    wrong("x 0 0 y", &[1, 1], "missing element \"x 1 0 y\"");
}

#[test]
fn a_doubled_append_is_named() {
    wrong("x 0 0 yx 0 0 y", &[1], "duplicate element \"x 0 0 y\"");
    wrong("x 0 0 yx 1 0 yx 0 1 yx 1 0 y", &[2, 1], "duplicate element \"x 1 0 y\"");
}

#[test]
fn a_wrong_order_is_named() {
    wrong("x 0 1 yx 0 0 y", &[2], "wrong order: \"x 0 1 y\" comes before it");
}

#[test]
fn what_nobody_appended_is_named() {
    wrong("x 1 0 y", &[1], "nobody appended \"x 1 0 y\"");
    wrong("x 0 1 y", &[1], "nobody appended \"x 0 1 y\"");
    wrong("x 0 0 y ", &[1], "nobody appended what the value has at byte 7: \" \"");
    for value in
        ["x", "x 0", "x 0 0", "x 0 0 ", "x  0 y", "x 00 0 y", "x 0 +0 y", "x 0 0 x 0 0 y", "é", "x é 0 y"]
    {
        wrong(value, &[1], "nobody appended what the value has at byte 0");
    }
    // Only the beginning of a long value is shown, whatever its letters.
    let shown = complaint(&"é".repeat(1000), &[1]).expect("nobody appends such");
    assert!(shown.len() < 300 && shown.contains("(2000 bytes)"), "{shown}");
}

#[test]
fn a_difference_names_the_append_that_is_wrong() {
    let all = "x 0 0 yx 0 1 yx 0 2 y";
    assert_eq!(difference(all, all), "");
    assert_eq!(difference("x 0 0 yx 0 1 yx 0 2 yx 0 2 y", all), ": \"x 0 2 y\" is there twice");
    assert_eq!(difference("x 0 0 yx 0 2 y", all), ": \"x 0 1 y\" is missing");
    assert_eq!(difference("x 0 0 y", all), ": \"x 0 1 y\" is missing (and another append is wrong)");
    assert_eq!(difference("x 1 0 y", ""), ": nobody appended \"x 1 0 y\"");
    assert_eq!(difference(&"x 0 0 y".repeat(3), "x 0 0 y"), ": \"x 0 0 y\" is there 3 times");
    // Another order, and what is not made of appends.
    assert_eq!(difference("x 0 1 yx 0 0 yx 0 2 y", all), "");
    assert_eq!(difference("x 0 0 yx 0 1 yx 0 ", all), "");
}
