//! What the title is doing: the operations that are pending, and the last ones that ended.

use crate::child::{elapsed, lock};
use crate::picture::{self, Focus};
use crate::ring::Ring;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Mutex;
use std::time::Duration;

/// How many operations that have ended are kept for the picture: those of a usual title are fewer.
const KEPT: usize = 60_000;

/// How many of them a report names.
const REPORTED: usize = 20;

/// How many bytes of a result are kept, at each end of it.
const EXCERPT: (usize, usize) = (24, 56);

static OPERATIONS: Mutex<Operations> =
    Mutex::new(Operations { next: 0, pending: BTreeMap::new(), ended: Ring::new(REPORTED) });

struct Operations {
    next: u64,
    pending: BTreeMap<u64, Call>,
    ended: Ring<Ended>,
}

/// Calls `f` with the operations. A simulation does not notice it, nor does anybody ever wait for the lock there.
fn with<T>(f: impl FnOnce(&mut Operations) -> T) -> T {
    sim::outside(|| f(&mut lock(&OPERATIONS)))
}

/// The beginning of an operation.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) who: String,
    pub(crate) what: String,
    /// Since the title began, as all times here.
    pub(crate) at: Duration,
}

struct Ended {
    id: u64,
    call: Call,
    result: Option<Excerpt>,
    at: Duration,
}

/// A text, or the two ends of a long one. It is put into words only when somebody reads it.
struct Excerpt {
    kept: String,
    /// Where what was left out began in it.
    cut: usize,
    /// The whole text's length.
    bytes: usize,
}

/// An operation as the picture needs it.
pub(crate) struct Seen {
    pub(crate) id: u64,
    pub(crate) call: Call,
    /// What came back, and when. None: it is pending.
    pub(crate) ret: Option<(String, Duration)>,
}

/// An operation that is pending until this is dropped.
pub struct Operation {
    id: u64,
    result: Option<Excerpt>,
}

/// Notes that an operation begins: `who` is the client ("client 3"), `what` it does is such as `get("0")`.
#[must_use = "the operation ends when this is dropped"]
pub fn operation(who: impl Into<String>, what: impl Into<String>) -> Operation {
    let (who, what) = (who.into(), what.into());
    sim::trace(format_args!("begins: {who}: {what}"));
    let id = with(|operations| {
        let id = operations.next;
        operations.next += 1;
        operations.pending.insert(id, Call { who, what, at: elapsed() });
        id
    });
    picture::touch(Focus::Operation(id));
    Operation { id, result: None }
}

impl Operation {
    /// The operation ends with this result, of which the picture shows the beginning and the end.
    pub fn returned(mut self, result: &str) {
        self.result = Some(sim::outside(|| Excerpt::of(result)));
    }

    /// Names this operation in a finding: [`picture::Finding`].
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let result = self.result.take();
        let traced = with(|operations| {
            let call = operations.pending.remove(&self.id)?;
            let traced = sim::is_tracing().then(|| format!("has done: {}: {}", call.who, call.what));
            operations.ended.push(Ended { id: self.id, call, result, at: elapsed() });
            traced
        });
        if let Some(text) = traced {
            sim::trace(format_args!("{text}"));
        }
    }
}

/// A text in quotes; of a long one, its two ends.
pub fn excerpt(text: &str) -> String {
    Excerpt::of(text).to_string()
}

impl Excerpt {
    fn of(text: &str) -> Excerpt {
        let (head, tail) = EXCERPT;
        let bytes = text.len();
        if bytes <= head + tail {
            return Excerpt { kept: text.to_string(), cut: bytes, bytes };
        }
        // A character that does not fit wholly into the head is left out, and so is one that does not into the tail.
        let is_boundary = |at: &usize| text.is_char_boundary(*at);
        let head = (0..=head).rev().find(is_boundary).unwrap_or(0);
        let tail = (bytes - tail..bytes).find(is_boundary).unwrap_or(bytes);
        Excerpt { kept: [&text[..head], &text[tail..]].concat(), cut: head, bytes }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excerpt { kept, cut, bytes } = self;
        if kept.len() == *bytes {
            return write!(f, "{kept:?}");
        }
        write!(f, "{:?} ... {:?} ({bytes} bytes)", &kept[..*cut], &kept[*cut..])
    }
}

/// Whether the operation has not ended.
pub(crate) fn is_pending(id: u64) -> bool {
    with(|operations| operations.pending.contains_key(&id))
}

/// The operation that has been pending for the longest time.
pub(crate) fn oldest_pending() -> Option<u64> {
    with(|operations| operations.pending.keys().next().copied())
}

/// From now on, keeps what a picture needs, not only what a report does.
pub(crate) fn keep_many() {
    with(|operations| operations.ended = Ring::new(KEPT));
}

/// What is known of all operations, in the order of their calls, and how many are forgotten.
pub(crate) fn seen() -> (Vec<Seen>, u64) {
    with(|operations| seen_of(operations))
}

fn seen_of(operations: &Operations) -> (Vec<Seen>, u64) {
    let ended = operations.ended.iter().map(|Ended { id, call, result, at }| Seen {
        id: *id,
        call: call.clone(),
        ret: Some((result.as_ref().map_or(String::new(), |result| format!("\u{2192} {result}")), *at)),
    });
    let pending = operations.pending.iter().map(|(id, call)| Seen { id: *id, call: call.clone(), ret: None });
    let mut seen: Vec<Seen> = ended.chain(pending).collect();
    seen.sort_by_key(|operation| operation.id);
    (seen, operations.ended.dropped())
}

/// The operations that are pending, the oldest first, and the last ones that ended.
pub(crate) fn report() -> String {
    with(|operations| report_of(operations))
}

fn report_of(operations: &Operations) -> String {
    let now = elapsed();
    let mut text = String::new();
    // Writing to a String does not fail.
    for Call { who, what, at } in operations.pending.values() {
        let _ = writeln!(text, "  pending for {:.1} s: {who}: {what}", now.saturating_sub(*at).as_secs_f64());
    }
    let last: Vec<&Ended> = operations.ended.iter().rev().take(REPORTED).collect();
    for Ended { call: Call { who, what, at: call }, at, .. } in last.into_iter().rev() {
        let (ago, took) = (now.saturating_sub(*at), at.saturating_sub(*call));
        let (ago, took) = (ago.as_secs_f64(), took.as_secs_f64());
        let _ = writeln!(text, "  ended {ago:.1} s ago, took {took:.3} s: {who}: {what}");
    }
    text
}
