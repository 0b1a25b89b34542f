//! The loggers: what the code under test writes through the `log` crate (`dprintf!`) is printed as `RUST_LOG` asks, and
//! the newest lines are kept for the picture of a test that fails.
//!
//! Keeping a line must not slow the servers down: only its first [`LONGEST`] bytes are formatted, and the record has a
//! time budget. In a simulation, keeping a line takes no time, and every line is kept.

use super::{session, threads, watch};
use crate::record::{self, Line};
use labrpc::TaskName;
use lines::{LogLine, Who};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How many bytes of a line are kept.
const LONGEST: usize = 400;

/// The lowest level that is kept. Records below it are written by the lab's libraries, not by the student's code.
const KEPT_LEVEL: Level = Level::Debug;

thread_local! {
    /// The last origin on this thread, with the task and the target that it was made for.
    static LAST: RefCell<Option<(TaskName, String, Origin)>> = const { RefCell::new(None) };
}

/// Who logs a line, and what about.
#[derive(Clone)]
struct Origin {
    who: Who,
    /// The client's name, if the thread is a client's.
    client: Option<Arc<str>>,
    topic: Arc<str>,
}

impl Origin {
    fn of(record: &Record<'_>) -> Origin {
        let Some(task) = labrpc::current_task() else { return Origin::new(None, record).entered() };
        let origin = LAST.with_borrow_mut(|last| match last {
            Some((of_task, target, origin)) if *of_task == task && target == record.target() => {
                origin.clone()
            }
            _ => {
                let origin = Origin::new(Some(&task), record);
                *last = Some((task, record.target().to_string(), origin.clone()));
                origin
            }
        });
        origin.entered()
    }

    fn new(task: Option<&TaskName>, record: &Record<'_>) -> Origin {
        let server = task.and_then(TaskName::server);
        let purpose = match task {
            // "AppendEntries" of "Raft.AppendEntries".
            Some(TaskName::Handler { svc_meth, .. }) => Some(last(svc_meth, '.')),
            Some(TaskName::OfServer { purpose, .. }) => Some(&**purpose),
            Some(TaskName::Other(_)) | None => None,
        };
        let module = record.module_path().unwrap_or_default();
        let topic =
            if record.target() != module { None } else { purpose.filter(|purpose| !purpose.is_empty()) };
        let topic = topic.unwrap_or_else(|| last(record.target(), ':'));
        let client = if threads::is_client() { task.map(|task| task.to_string().into()) } else { None };
        let who = match (server, &client) {
            (Some(server), _) => Who::Server(server),
            (None, Some(_)) => Who::Client,
            (None, None) => Who::Other,
        };
        Origin { who, client, topic: topic.replace(char::is_whitespace, "-").into() }
    }

    /// The origin of a line on a thread of the test inside `record::on_server`: the line is the server's.
    fn entered(self) -> Origin {
        match record::entered() {
            Some(server) if !matches!(self.who, Who::Server(_)) => {
                Origin { who: Who::Server(server), ..self }
            }
            _ => self,
        }
    }
}

/// The part of a path behind the last separator.
fn last(path: &str, separator: char) -> &str {
    path.rsplit(separator).next().unwrap_or(path)
}

/// A record as a line with this text.
fn line(at: Duration, record: &Record<'_>, text: String) -> Line {
    let Origin { who, client, topic } = Origin::of(record);
    let state = if let Who::Server(server) = who { record::latest(server) } else { None };
    let level = match record.level() {
        Level::Error => Some(lines::Level::Error),
        Level::Warn => Some(lines::Level::Warn),
        Level::Info | Level::Debug | Level::Trace => None,
    };
    Line { at, who, client, state, topic, level, text, passed_over: 0 }
}

/// A record as a printed line with this text.
fn printed(record: &Record<'_>, text: String) -> LogLine {
    line(record::elapsed(), record, text).printed()
}

/// Stands for what is left out.
const DOTS: &str = "...";

/// The first [`LONGEST`] bytes of a text. They lie on the stack until it is known how many there are.
struct Cut {
    bytes: [u8; LONGEST + DOTS.len()],
    len: usize,
    /// False if something was cut off.
    is_whole: bool,
}

impl Cut {
    /// Formats a record. In a simulation the formatting is simulated, because it may take the servers' locks.
    fn of(record: &Record<'_>) -> Cut {
        let mut cut = Cut { bytes: [0; LONGEST + DOTS.len()], len: 0, is_whole: false };
        // An error means that the text is cut.
        cut.is_whole = write!(cut, "{}", record.args()).is_ok();
        cut
    }

    fn text(&self) -> &str {
        // All parts of the text end where a character ends, so there is no error.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn add(&mut self, text: &str) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len();
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST - self.len.min(LONGEST);
        if text.len() <= room {
            self.add(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.add(&text[..end]);
        self.add(DOTS);
        Err(fmt::Error)
    }
}

/// The logger in real time.
struct RealTime {
    printer: env_logger::Logger,
    /// The highest level that the printer prints.
    printed: LevelFilter,
    keeps: bool,
}

/// Makes `log` print what `RUST_LOG` asks for, and keep lines, if that is wanted.
pub(super) fn install(keeps: bool) {
    let format = |out: &mut env_logger::fmt::Formatter, record: &Record<'_>| {
        writeln!(out, "{}", printed(record, record.args().to_string()))
    };
    let printer = env_logger::builder().format(format).build();
    let printed = printer.filter();
    let kept = if keeps { KEPT_LEVEL.to_level_filter() } else { LevelFilter::Off };
    log::set_max_level(printed.max(kept));
    // An error means that the code under test has set a logger of its own.
    let _ = log::set_boxed_logger(Box::new(RealTime { printer, printed, keeps }));
}

impl Log for RealTime {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.keeps || self.printer.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.keeps && record.level() <= KEPT_LEVEL {
            record::keep_within_budget(|at| line(at, record, Cut::of(record).text().to_string()));
        }
        if record.level() <= self.printed {
            // The printer itself checks whether the target is wanted too.
            self.printer.log(record);
        }
    }

    fn flush(&self) {
        self.printer.flush();
    }
}

/// The logger in a simulation: prints what `RUST_LOG` asks for, keeps lines, and traces everything. Printing must not
/// change the run. Every record is therefore made and formatted, even if it is not wanted, and wanted records are
/// written outside of the simulation. Records below [`KEPT_LEVEL`] are formatted only if they are printed or traced.
struct Simulated {
    wanted: env_logger::Logger,
    /// The highest level of a record that is wanted.
    printed: LevelFilter,
    /// Standard error without std's lock: a simulated thread may hold that lock, and wait.
    stderr: File,
}

/// Installs the logger of a simulation.
pub(super) fn install_simulated() {
    let wanted = env_logger::Builder::from_default_env().build();
    let stderr =
        session::stderr().unwrap_or_else(|e| watch::fail(&format!("cannot write to standard error: {e}")));
    let printed = wanted.filter();
    log::set_boxed_logger(Box::new(Simulated { wanted, printed, stderr }))
        .expect("this is the process's first logger");
    log::set_max_level(LevelFilter::Trace);
}

impl Simulated {
    /// Prints a record if it is wanted. `text`: the whole text, if it is known.
    fn print(&self, record: &Record<'_>, text: Option<&str>) {
        if record.level() <= self.printed && self.wanted.matches(record) {
            let text = text.map_or_else(|| record.args().to_string(), str::to_string);
            let line = format!("{}\n", printed(record, text));
            // Ignore the error: without standard error, nobody could read a message about it.
            let _ = (&self.stderr).write_all(line.as_bytes());
        }
    }
}

impl Log for Simulated {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() > KEPT_LEVEL {
            sim::trace(*record.args());
            return sim::outside(|| self.print(record, None));
        }
        let cut = Cut::of(record);
        let text = cut.text();
        sim::trace(format_args!("{text}"));
        sim::outside(|| {
            self.print(record, cut.is_whole.then_some(text));
            record::keep(line(record::elapsed(), record, text.to_string()));
        });
    }

    fn flush(&self) {}
}
