//! The newest lines of the log, for the picture of a test that fails.
//!
//! Keeping lines must not slow the servers: in each [`WINDOW`] no more than [`BUDGET`] is spent on it. Lines beyond that
//! are counted and not kept.

use lines::{Level, LogLine, State, Who};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many bytes all kept lines together may have.
const KEPT: usize = 16 << 20;

/// The cost of a line beside its text, in bytes.
const LINE_OVERHEAD: usize = 96;

/// One part in a hundred of one processor's time may go into keeping lines.
const WINDOW: Duration = Duration::from_millis(50);
const BUDGET: Duration = Duration::from_micros(500);

/// What took longer than a line can take was another thread's turn.
const LONGEST_TURN: Duration = Duration::from_micros(20);

/// The kept lines.
pub(crate) struct Log {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many lines were kept, and then forgotten for want of room.
    dropped: u64,
}

/// A line of the log, in few allocations.
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

/// What is kept of the log.
pub(crate) struct Kept {
    /// The oldest first.
    pub(crate) lines: Vec<Line>,
    /// How many lines before them were kept once.
    pub(crate) dropped: u64,
    /// How many lines behind them were not kept.
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

/// How much time goes into keeping lines.
pub(crate) struct Budget {
    /// The number of the current window.
    window: AtomicU64,
    /// The nanoseconds spent in it.
    spent: AtomicU64,
    /// How many lines were passed over since the last one that was kept.
    passed_over: AtomicU64,
}

impl Budget {
    pub(crate) const fn new() -> Budget {
        Budget { window: AtomicU64::new(0), spent: AtomicU64::new(0), passed_over: AtomicU64::new(0) }
    }

    /// Whether there is time left at `now` to keep a line. If not, counts the line as passed over.
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

    /// The same, for the line that is now kept: the count starts anew.
    pub(crate) fn take_passed_over(&self) -> u64 {
        self.passed_over.swap(0, Ordering::Relaxed)
    }
}
