//! The log: what the code under test writes through the `log` crate (`dprintf!`). `RUST_LOG` says what is printed. The
//! newest lines are kept in any case, for the picture of a title that fails.
//!
//! Keeping must not load the servers: a line is formatted up to [`LONGEST`] bytes only, and in each [`WINDOW`] no more
//! than [`BUDGET`] is spent. What comes beyond that is counted, and not kept. In a simulation it takes no time, so that all
//! is kept.

use crate::child::{elapsed, lock};
use crate::picture;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How many bytes of a line are kept.
const LONGEST: usize = 400;

/// How many bytes all lines together may have that are kept.
const KEPT: usize = 16 << 20;

/// The lowest level that is kept: what is below it is the lab's own.
pub(crate) const KEPT_LEVEL: Level = Level::Debug;

/// What a line costs beside its text.
const LINE_OVERHEAD: usize = 96;

/// One part in a hundred of one processor's time may go into keeping lines.
const WINDOW: Duration = Duration::from_millis(50);
const BUDGET: Duration = Duration::from_micros(500);

/// What took longer than a line can take was another thread's turn.
const LONGEST_TURN: Duration = Duration::from_micros(20);

static LOGGER: OnceLock<Logger> = OnceLock::new();
static LINES: Mutex<Lines> = Mutex::new(Lines { kept: VecDeque::new(), bytes: 0, dropped: 0 });

/// The current window, the nanoseconds spent in it, and the lines passed over since the last one kept.
static NOW: AtomicU64 = AtomicU64::new(0);
static SPENT: AtomicU64 = AtomicU64::new(0);
static PASSED_OVER: AtomicU64 = AtomicU64::new(0);

struct Logger {
    printer: env_logger::Logger,
    /// The highest level that it prints.
    printed: LevelFilter,
    keep: bool,
}

struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
    /// How many were kept, and then forgotten for want of room.
    dropped: u64,
}

/// A line of the log.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) at: Duration,
    pub(crate) level: Level,
    pub(crate) origin: Origin,
    state: Option<State>,
    pub(crate) text: String,
    /// How many lines before this one were not kept.
    pub(crate) passed_over: u64,
}

/// Where a line comes from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) who: Who,
    /// What the thread is there for: "AppendEntries", "ticker". One word.
    pub(crate) topic: Arc<str>,
}

#[derive(Clone)]
pub(crate) enum Who {
    Server(usize),
    /// "client 3".
    Client(Arc<str>),
    Other,
}

/// The term and the role that a server was last seen in.
#[derive(Clone, Copy)]
struct State {
    term: u64,
    /// None: the line is of another term.
    leads: Option<bool>,
}

thread_local! {
    /// The last origin on this thread, of which task and which target.
    static LAST: RefCell<Option<(String, String, Origin)>> = const { RefCell::new(None) };
}

/// Makes `log` print what `RUST_LOG` asks for, and keep all, if that is wanted. A simulation has a logger of its own.
pub(crate) fn start(keep: bool) {
    let format = |out: &mut env_logger::fmt::Formatter, record: &Record<'_>| {
        writeln!(out, "{}", printed(record, &record.args().to_string()))
    };
    let printer = env_logger::builder().format(format).build();
    let (printed, kept) =
        (printer.filter(), if keep { KEPT_LEVEL.to_level_filter() } else { LevelFilter::Off });
    log::set_max_level(printed.max(kept));
    let logger = LOGGER.get_or_init(|| Logger { printer, printed, keep });
    // An error means that the code under test has set a logger of its own.
    let _ = log::set_logger(logger);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.keep || self.printer.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.keep && record.level() <= KEPT_LEVEL {
            keep(record);
        }
        if record.level() <= self.printed {
            // It looks itself whether this line is wanted.
            self.printer.log(record);
        }
    }

    fn flush(&self) {
        self.printer.flush();
    }
}

/// A record of this text as it is printed.
pub(crate) fn printed(record: &Record<'_>, text: &str) -> String {
    let origin = Origin::of(record, text);
    let state = State::of(&origin, text);
    Prefixed(elapsed(), record.level(), &origin, state, text).to_string()
}

fn keep(record: &Record<'_>) {
    let began = elapsed();
    let window = (began.as_micros() / WINDOW.as_micros()) as u64;
    if NOW.swap(window, Ordering::Relaxed) != window {
        SPENT.store(0, Ordering::Relaxed);
    }
    if SPENT.load(Ordering::Relaxed) > BUDGET.as_nanos() as u64 {
        PASSED_OVER.fetch_add(1, Ordering::Relaxed);
        return;
    }
    keep_cut(began, record, Cut::of(record));
    SPENT.fetch_add((elapsed() - began).min(LONGEST_TURN).as_nanos() as u64, Ordering::Relaxed);
}

/// Keeps a record of which this is the text.
pub(crate) fn keep_cut(at: Duration, record: &Record<'_>, Cut { mut text, .. }: Cut) {
    text.shrink_to_fit();
    let origin = Origin::of(record, &text);
    let state = State::of(&origin, &text);
    let passed_over = PASSED_OVER.swap(0, Ordering::Relaxed);
    lock(&LINES).push(Line { at, level: record.level(), origin, state, text, passed_over });
}

/// A text up to [`LONGEST`] bytes.
pub(crate) struct Cut {
    pub(crate) text: String,
    /// Whether there is no more.
    pub(crate) whole: bool,
}

/// Stands for what is left out.
const DOTS: &str = "...";

impl Cut {
    /// What a record says. In a simulation it is put into words there, since that may take locks; only what the harness
    /// itself needs for it is not of the simulation.
    pub(crate) fn of(record: &Record<'_>) -> Cut {
        let mut cut =
            Cut { text: sim::outside(|| String::with_capacity(LONGEST + DOTS.len())), whole: false };
        // An error means that the text is cut.
        cut.whole = write!(cut, "{}", record.args()).is_ok();
        cut
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST - self.text.len().min(LONGEST);
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.text.push_str(DOTS);
        Err(fmt::Error)
    }
}

impl Lines {
    fn push(&mut self, line: Line) {
        self.bytes += line.text.len() + LINE_OVERHEAD;
        self.kept.push_back(line);
        while self.bytes > KEPT {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
            self.dropped += 1;
        }
    }
}

/// What is kept of the log.
pub(crate) struct Kept {
    /// The oldest first.
    pub(crate) lines: Vec<Line>,
    /// How many lines before them were kept once.
    pub(crate) dropped: u64,
    /// How many behind them were not.
    pub(crate) passed_over: u64,
}

pub(crate) fn kept() -> Kept {
    let Lines { kept, dropped, .. } = &*lock(&LINES);
    let lines = kept.iter().cloned().collect();
    Kept { lines, dropped: *dropped, passed_over: PASSED_OVER.load(Ordering::Relaxed) }
}

impl Line {
    /// As it is printed.
    pub(crate) fn printed(&self) -> String {
        Prefixed(self.at, self.level, &self.origin, self.state, &self.text).to_string()
    }
}

impl Origin {
    fn of(record: &Record<'_>, text: &str) -> Origin {
        let task = labrpc::current_task().map(|task| task.to_string());
        let task = task.or_else(|| std::thread::current().name().map(str::to_string)).unwrap_or_default();
        let mut origin = LAST.with_borrow_mut(|last| match last {
            Some((of_task, target, origin)) if *of_task == task && target == record.target() => {
                origin.clone()
            }
            _ => {
                let origin = Origin::new(&task, record);
                *last = Some((task, record.target().to_string(), origin.clone()));
                origin
            }
        });
        // On a thread of the test, or one without a name: the starter's lines begin with their server.
        if let Some(server) = server(text)
            && !matches!(origin.who, Who::Server(_))
        {
            origin.who = Who::Server(server);
        }
        origin
    }

    /// From what a thread is called: "server 2: ticker", "server 2: Raft.AppendEntries handler", "client thread 3".
    fn new(task: &str, record: &Record<'_>) -> Origin {
        let purpose = task.split_once(": ").map_or("", |(_, purpose)| purpose);
        let rpc = purpose.strip_suffix(" handler").and_then(|name| name.split_once('.'));
        let purpose = rpc.map_or(purpose, |(_, method)| method);
        let server = server(task);
        let module = record.module_path().unwrap_or_default();
        let topic = match server {
            _ if record.target() != module => last(record.target()),
            Some(_) if !purpose.is_empty() => purpose,
            _ => last(module),
        };
        let who = match server {
            Some(server) => Who::Server(server),
            None if task.starts_with("client ") => Who::Client(task.into()),
            None => Who::Other,
        };
        Origin { who, topic: topic.replace(char::is_whitespace, "-").into() }
    }
}

impl State {
    fn of(origin: &Origin, text: &str) -> Option<State> {
        let Who::Server(server) = origin.who else { return None };
        let seen = picture::latest(server);
        let seen = seen.map(|(term, leads)| State { term, leads: Some(leads) });
        // As the starter's lines do, "server 2, term 5: ...": the line knows its term better.
        let said = text.split_once(", term ").filter(|(before, _)| before.len() < "server 999".len());
        let said = said.and_then(|(_, rest)| number(rest));
        match (seen, said) {
            (seen, Some(term)) if seen.is_none_or(|state| state.term != term) => {
                Some(State { term, leads: None })
            }
            (seen, _) => seen,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.leads {
            Some(true) => 'L',
            Some(false) => 'F',
            None => '?',
        };
        write!(f, "{role}{}", self.term)
    }
}

/// The number of the server that a text begins with.
fn server(text: &str) -> Option<usize> {
    number(text.strip_prefix("server ")?)
}

/// The number that a text begins with.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Server(number) => write!(f, "S{number}"),
            Who::Client(_) => f.write_str("C"),
            Who::Other => f.write_str("-"),
        }
    }
}

/// A text with what stands before it in the log: `  1234.567 S2 L5 AppendEntries  `, which is milliseconds since the
/// title began, server, role (leader or follower; "?" when it is not known) and term, topic.
struct Prefixed<'a>(Duration, Level, &'a Origin, Option<State>, &'a str);

impl fmt::Display for Prefixed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prefixed(at, level, Origin { who, topic }, state, text) = self;
        let state = state.map_or("-".to_string(), |state| state.to_string());
        let milliseconds = at.as_secs_f64() * 1e3;
        write!(f, "{milliseconds:10.3} {who:<3} {state:<4} {topic:<14} ", who = who.to_string())?;
        if *level < Level::Info {
            write!(f, "{level}: ")?;
        }
        f.write_str(&text.trim_end().replace('\n', "\n             | "))
    }
}
