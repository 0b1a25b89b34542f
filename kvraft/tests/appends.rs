//! Checks what a key holds after clients have appended to it.

use std::collections::{BTreeMap, BTreeSet};

/// The text of a client's append number `j`. Numbers start from 0.
pub fn nth(client: usize, j: usize) -> String {
    format!("x {client} {j} y")
}

/// Checks that `value` consists of the clients' appends: each append exactly once, and the appends of each client in
/// order. Client `c` has made `counts[c]` appends. The time that this takes is proportional to the length of the
/// value. (Go: `checkClntAppends` and `checkConcurrentAppends`, which search the whole value for each append, and
/// accept other text between the appends.)
///
/// # Panics
/// When `value` is anything else. The message says which append is wrong.
#[track_caller]
pub fn check_appends(value: &str, counts: &[usize]) {
    let mut next = vec![0; counts.len()];
    let mut rest = value;
    while !rest.is_empty() {
        let at = value.len() - rest.len();
        let Some((client, j, tail)) = parse(rest) else {
            panic!("nobody appended what the value has at byte {at}: {:?}", excerpt(rest));
        };
        assert!(
            client < counts.len() && j < counts[client],
            "nobody appended {:?} (byte {at})",
            nth(client, j)
        );
        if j < next[client] {
            wrong("duplicate", &nth(client, j), &format!(" (byte {at})"));
        }
        if j > next[client] {
            let other = nth(client, j);
            let wrong_order = format!(", or wrong order: {other:?} comes before it (byte {at})");
            wrong("missing", &nth(client, next[client]), &wrong_order);
        }
        next[client] += 1;
        rest = tail;
    }
    for (client, (next, count)) in next.iter().zip(counts).enumerate() {
        if next != count {
            wrong("missing", &nth(client, *next), "");
        }
    }
}

/// Fails because of one append.
#[track_caller]
fn wrong(how: &str, append: &str, more: &str) -> ! {
    harness::record::about_text(append);
    panic!("{how} element {append:?} in Append result{more}");
}

/// Which appends a value lacks, or has more often than `wanted`, as a part of a sentence: `: "x 0 5 y" is there twice`. Empty: none;
/// or the two are not made of appends.
pub fn difference(value: &str, wanted: &str) -> String {
    let (Some(got), Some(wanted)) = (counts(value), counts(wanted)) else { return String::new() };
    let differs = |append: &&(usize, usize)| count_in(&got, append) != count_in(&wanted, append);
    let all: BTreeSet<&(usize, usize)> = got.keys().chain(wanted.keys()).collect();
    let different: Vec<&(usize, usize)> = all.into_iter().filter(differs).collect();
    let Some(first @ (client, j)) = different.first().copied() else { return String::new() };
    let append = nth(*client, *j);
    let what = match (count_in(&got, first), count_in(&wanted, first)) {
        (0, _) => format!("{append:?} is missing"),
        (_, 0) => format!("nobody appended {append:?}"),
        (2, 1) => format!("{append:?} is there twice"),
        (n, _) => format!("{append:?} is there {n} times"),
    };
    let others = match different.len() - 1 {
        0 => String::new(),
        1 => " (and another append is wrong)".to_string(),
        n => format!(" (and {n} other appends are wrong)"),
    };
    format!(": {what}{others}")
}

/// How often each append is in a value: its client and its number, and the count.
type Counts = BTreeMap<(usize, usize), usize>;

fn count_in(counts: &Counts, append: &(usize, usize)) -> usize {
    counts.get(append).copied().unwrap_or(0)
}

/// How often each append is in a value. None: the value has something else in it.
fn counts(value: &str) -> Option<Counts> {
    let mut counts = BTreeMap::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (client, j, tail) = parse(rest)?;
        *counts.entry((client, j)).or_default() += 1;
        rest = tail;
    }
    Some(counts)
}

/// Splits one append, "x client j y", off the value: the client, `j` and the rest.
fn parse(value: &str) -> Option<(usize, usize, &str)> {
    let (client, rest) = value.strip_prefix("x ")?.split_once(' ')?;
    let (j, rest) = rest.split_once(" y")?;
    let (client_number, j_number) = (client.parse().ok()?, j.parse().ok()?);
    // Accept only what `nth` writes: no plus sign, no leading zero.
    value.starts_with(&nth(client_number, j_number)).then_some((client_number, j_number, rest))
}

/// The beginning of a long text.
pub fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_string(),
    }
}
