//! Checks what a key holds after clients have appended to it.

/// What client `client` appends as its `j`-th, from 0.
pub fn nth(client: usize, j: usize) -> String {
    format!("x {client} {j} y")
}

/// Checks that `value` consists of the appends of the clients, each client's exactly once and in its order:
/// `counts[c]` of client `c`. Takes time in proportion to the value. (Go: `checkClntAppends`,
/// `checkConcurrentAppends`, which search the whole value for each append, and let pass what nobody appended.)
///
/// # Panics
/// When it does not; the message says which append is wrong.
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
        assert!(j >= next[client], "duplicate element {:?} in Append result (byte {at})", nth(client, j));
        assert!(
            j == next[client],
            "missing element {:?} in Append result, or wrong order: {:?} comes before it (byte {at})",
            nth(client, next[client]),
            nth(client, j)
        );
        next[client] += 1;
        rest = tail;
    }
    for (client, (next, count)) in next.iter().zip(counts).enumerate() {
        assert!(next == count, "missing element {:?} in Append result", nth(client, *next));
    }
}

/// Splits one append, "x client j y", off.
fn parse(value: &str) -> Option<(usize, usize, &str)> {
    let (client, rest) = value.strip_prefix("x ")?.split_once(' ')?;
    let (j, rest) = rest.split_once(" y")?;
    let (client_number, j_number) = (client.parse().ok()?, j.parse().ok()?);
    // Only what `nth` writes: no plus sign, no leading zero.
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
