//! Shows on standard error how many seeds have run, or tests if each has one seed: in a terminal as one line that changes in
//! place, otherwise as a new line now and then.

use super::lock;
use crate::environment::variable;
use crate::parent::process::print;
use rustix::termios::tcgetwinsize;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often the line in a terminal changes.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(500);

/// How often a line is written elsewhere.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Moves the cursor to the start of the line and deletes the line.
const CLEAR: &str = "\r\x1b[K";

/// How far all tests are.
pub(super) struct Progress {
    /// What is counted: "seeds", or "tests".
    counted: &'static str,
    is_terminal: bool,
    state: Mutex<State>,
}

struct State {
    counts: Counts,
    /// When the first test began.
    begun: Option<Instant>,
    /// The tests that run now, in the order in which they began.
    running: Vec<&'static str>,
    /// Whether the terminal shows the line.
    is_shown: bool,
    /// When another line was last printed.
    printed: Option<Instant>,
}

/// Numbers of seeds, of all tests together.
#[derive(Clone, Copy)]
struct Counts {
    /// How many are to run.
    wanted: u64,
    done: u64,
    failed: u64,
}

impl Progress {
    /// `wanted`: how many seeds are to run, in all tests together. `counted`: what the line calls them. `prints_log`: whether
    /// the tests write to standard error too; then no line can change in place.
    pub(super) fn new(wanted: u64, counted: &'static str, prints_log: bool) -> Progress {
        let can_clear = variable("TERM").is_some_and(|terminal| terminal != "dumb");
        let state = State {
            counts: Counts { wanted, done: 0, failed: 0 },
            begun: None,
            running: Vec::new(),
            is_shown: false,
            printed: None,
        };
        Progress {
            counted,
            is_terminal: std::io::stderr().is_terminal() && can_clear && !prints_log,
            state: Mutex::new(state),
        }
    }

    /// A test begins.
    pub(super) fn begin(&self, test: &'static str) {
        let mut state = lock(&self.state);
        state.begun.get_or_insert_with(Instant::now);
        state.running.push(test);
    }

    /// A seed of a test has run.
    pub(super) fn count(&self, has_failed: bool) {
        let counts = &mut lock(&self.state).counts;
        counts.done += 1;
        counts.failed += u64::from(has_failed);
    }

    /// A test ends, and `skipped` of its seeds do not run. Prints its output to standard output.
    pub(super) fn end(&self, test: &str, skipped: u64, output: &[u8]) {
        let mut state = lock(&self.state);
        state.counts.wanted = state.counts.wanted.saturating_sub(skipped);
        state.running.retain(|running| *running != test);
        state.clear();
        print(output);
        // libtest prints its own line about the test soon. Until then the terminal must not show ours.
        state.printed = Some(Instant::now());
    }

    /// Shows the progress until the sender of `end` is dropped.
    pub(super) fn show_until(&self, end: &Receiver<()>) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        while end.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            self.show();
        }
        lock(&self.state).clear();
    }

    fn show(&self) {
        let mut state = lock(&self.state);
        let Some(begun) = state.begun.filter(|_| !state.running.is_empty()) else { return };
        let line = line(state.counts, self.counted, begun.elapsed(), &state.running);
        if !self.is_terminal {
            write_to_stderr(&format!("{line}\n"));
        } else if state.printed.is_none_or(|printed| printed.elapsed() >= TERMINAL_INTERVAL) {
            let width = tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
            write_to_stderr(&format!("{CLEAR}{}", cut(&line, if width == 0 { 80 } else { width })));
            state.is_shown = true;
        }
    }
}

impl State {
    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            write_to_stderr(CLEAR);
        }
    }
}

fn write_to_stderr(text: &str) {
    // Ignore the error: nobody looks at the progress.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// For example "  120 of 1000 seeds, 0 failed, 41/s, 22 s left: test_basic_3a".
fn line(counts: Counts, counted: &str, elapsed: Duration, running: &[&str]) -> String {
    let Counts { wanted, done, failed } = counts;
    let mut line = format!("  {done} of {wanted} {counted}, {failed} failed");
    let rate = done as f64 / elapsed.as_secs_f64();
    if done > 0 && rate.is_finite() {
        let digits = if rate < 10.0 { 1 } else { 0 };
        let left = span(wanted.saturating_sub(done) as f64 / rate);
        // Writing to a String never fails.
        let _ = write!(line, ", {rate:.digits$}/s, {left} left");
    }
    line + ": " + &running.join(", ")
}

/// A time in a unit that makes it a short number.
fn span(seconds: f64) -> String {
    let seconds = seconds.ceil();
    match seconds {
        ..100.0 => format!("{seconds} s"),
        ..6000.0 => format!("{} min", (seconds / 60.0).ceil()),
        _ => format!("{} h", (seconds / 3600.0).ceil()),
    }
}

/// The line as it fits into a terminal: a line that fills the last column would wrap.
fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width.saturating_sub(1)) {
        None => line.to_string(),
        Some(_) => line.chars().take(width.saturating_sub(4)).chain("...".chars()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_and_what_is_left() {
        let counts = Counts { wanted: 1000, done: 120, failed: 3 };
        assert_eq!(
            line(counts, "seeds", Duration::from_secs(3), &["test_basic_3a"]),
            "  120 of 1000 seeds, 3 failed, 40/s, 22 s left: test_basic_3a"
        );
        assert_eq!(
            line(counts, "seeds", Duration::from_secs(50), &["test_basic_3a", "test_concurrent_3a"]),
            "  120 of 1000 seeds, 3 failed, 2.4/s, 7 min left: test_basic_3a, test_concurrent_3a"
        );
        assert_eq!(
            line(
                Counts { wanted: 1000, done: 0, failed: 0 },
                "tests",
                Duration::from_secs(3),
                &["test_basic_3a"]
            ),
            "  0 of 1000 tests, 0 failed: test_basic_3a"
        );
    }

    #[test]
    fn a_span_is_a_short_number() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.2, "1 s"),
            (99.0, "99 s"),
            (99.5, "2 min"),
            (5999.0, "100 min"),
            (6001.0, "2 h"),
        ] {
            assert_eq!(span(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn a_line_never_fills_the_terminal() {
        assert_eq!(cut("0123456789", 11), "0123456789");
        assert_eq!(cut("0123456789", 10), "012345...");
        assert_eq!(cut("0123456789", 9), "01234...");
    }
}
