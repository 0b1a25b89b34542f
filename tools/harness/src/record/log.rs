//! The newest lines of the log, for the picture of a test that fails.
//!
//! Keeping lines must not slow the servers down: in each [`WINDOW`], keeping lines may take no longer than [`BUDGET`].
//! Lines beyond the budget are counted, but not kept.

use lines::{Level, LogLine, State, Who};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The largest size of all kept lines together, in bytes.
const KEPT: usize = 16 << 20;

/// The size of a kept line without its text, in bytes.
const LINE_OVERHEAD: usize = 96;

/// The time to which [`BUDGET`] applies.
const WINDOW: Duration = Duration::from_millis(50);

/// How long keeping lines may take in one [`WINDOW`]: one per cent of one processor's time.
const BUDGET: Duration = Duration::from_micros(500);

/// The longest time that one line can cost. If keeping a line takes longer, the system ran another thread meanwhile,
/// and the rest of the time is not charged.
const LONGEST_TURN: Duration = Duration::from_micros(20);

/// The kept lines.
pub(crate) struct Log {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many kept lines were dropped to make room for newer ones.
    dropped: u64,
}

/// A line of the log. It shares its topic and its client's name with other lines, to save allocations.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) who: Who,
    /// The client's name, if the line is a client's.
    pub(crate) client: Option<Arc<str>>,
    pub(crate) state: Option<State>,
    pub(crate) topic: Arc<str>,
    pub(crate) level: Option<Level>,
    pub(crate) text: String,
    /// How many lines before this one were not kept.
    pub(crate) passed_over: u64,
}

impl Line {
    /// The line as it is printed.
    pub(crate) fn printed(&self) -> LogLine {
        let Line { at, who, state, topic, level, text, .. } = self;
        let (topic, text) = (topic.to_string(), text.clone());
        LogLine { at: *at, who: *who, state: *state, topic, level: *level, text }
    }
}

/// A copy of what is kept of the log.
pub(crate) struct Kept {
    /// The lines, the oldest first.
    pub(crate) lines: Vec<Line>,
    /// How many older lines were kept at first, and then dropped for want of room.
    pub(crate) dropped: u64,
    /// How many newer lines were not kept, because the budget was spent.
    pub(crate) passed_over: u64,
}

impl Log {
    pub(crate) const fn new() -> Log {
        Log { lines: VecDeque::new(), bytes: 0, dropped: 0 }
    }

    pub(crate) fn push(&mut self, line: Line) {
        self.bytes += line.text.len() + LINE_OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > KEPT {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
            self.dropped += 1;
        }
    }

    pub(crate) fn kept(&self, passed_over: u64) -> Kept {
        Kept { lines: self.lines.iter().cloned().collect(), dropped: self.dropped, passed_over }
    }
}

/// The time that goes into keeping lines.
pub(crate) struct Budget {
    /// The number of the current window.
    window: AtomicU64,
    /// The nanoseconds spent in the current window.
    spent: AtomicU64,
    /// How many lines were passed over since the last one that was kept.
    passed_over: AtomicU64,
}

impl Budget {
    pub(crate) const fn new() -> Budget {
        Budget { window: AtomicU64::new(0), spent: AtomicU64::new(0), passed_over: AtomicU64::new(0) }
    }

    /// Returns true if the budget leaves time at `now` to keep a line. Otherwise counts the line as passed over.
    pub(crate) fn take(&self, now: Duration) -> bool {
        let window = (now.as_micros() / WINDOW.as_micros()) as u64;
        if self.window.swap(window, Ordering::Relaxed) != window {
            self.spent.store(0, Ordering::Relaxed);
        }
        if self.spent.load(Ordering::Relaxed) > BUDGET.as_nanos() as u64 {
            self.passed_over.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Notes how long it took to keep a line.
    pub(crate) fn spend(&self, took: Duration) {
        self.spent.fetch_add(took.min(LONGEST_TURN).as_nanos() as u64, Ordering::Relaxed);
    }

    /// How many lines were passed over since the last one that was kept.
    pub(crate) fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    /// Returns the same number, and sets it to 0: a line is being kept.
    pub(crate) fn take_passed_over(&self) -> u64 {
        self.passed_over.swap(0, Ordering::Relaxed)
    }
}
