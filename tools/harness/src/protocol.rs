//! What the parent (the test binary as a user starts it) and the child (the process of one test) say to each other, over
//! a pair of sockets that is the child's standard input. Each message is one line of JSON.
//!
//! The parent sends one [`Start`]. The child answers with [`Report`]s. The code under test runs in the child and can
//! write to the child's end too. The parent therefore ignores lines that are not a message, and believes a
//! [`Report::Passed`] only if it holds the token.

use lines::PassedLine;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{BufRead, Read};
use std::path::PathBuf;

/// Set in a child's environment: tells the test binary to wait for a [`Start`], which says everything else.
pub(crate) const CHILD_VARIABLE: &str = "HARNESS_CHILD";

/// The length in bytes at which a line is cut.
pub(crate) const LONGEST_LINE: u64 = 1 << 16;

/// The length in bytes of a text that always fits into a line, even if JSON writes each byte as six (`\u001f`).
const LONGEST_TEXT: usize = LONGEST_LINE as usize / 8;

/// The parent's order to the child.
#[derive(Serialize, Deserialize)]
pub(crate) struct Start {
    /// The name of the test's function.
    pub(crate) test: String,
    /// Proves that [`Report::Passed`] comes from the harness.
    pub(crate) token: String,
    /// Whether the child closes its memory to other processes, as graders want.
    pub(crate) sealed: bool,
    /// The workspace that the test binary was compiled in. None: the one in which this crate was compiled.
    pub(crate) workspace: Option<PathBuf>,
    /// None: the test runs in real time.
    pub(crate) simulation: Option<Simulation>,
    pub(crate) pictures: Pictures,
    /// Whether to count the threads and to print their peak.
    pub(crate) counts_threads: bool,
    /// Whether threads that are left behind fail the test.
    pub(crate) is_strict: bool,
    /// Threads that are left fail no test, whatever its name.
    pub(crate) is_lenient: bool,
}

/// One simulation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    #[serde(with = "strategy")]
    pub(crate) strategy: sim::Strategy,
    /// The file for the trace.
    pub(crate) trace: Option<PathBuf>,
    /// Whether each simulated thread is a kernel thread, for debuggers.
    pub(crate) on_kernel_threads: bool,
    /// The command that replays this simulation, if a person can type one.
    pub(crate) replay: Option<String>,
    /// What the test reads with [`scenario`](crate::scenario).
    pub(crate) scenario: Option<String>,
}

/// When to draw a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pictures {
    Never,
    /// When the test fails.
    OnFailure,
    Always,
}

/// A message from the child about its test.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The test's function has returned, and whatever the threads that are left do, the test has passed. The child looks at these
    /// threads, prints the last line, and says that the test has passed. If the child ends before that, this message counts.
    Returned {
        token: String,
        /// The test's last line, if it has one.
        line: Option<PassedLine>,
    },
    /// The test has passed.
    Passed {
        token: String,
        /// The test's last line, if it has one.
        line: Option<PassedLine>,
    },
    /// The test has failed. A failure needs no proof, so the token is not sent.
    Failed { message: String },
    /// A thread has panicked. The child looks for the lines where it was, which takes long on a busy machine, and then says
    /// that the test has failed. If the child ends before that, this message says why the test has failed.
    Panicked { message: String },
    /// Something that does not fail the test, and that whoever judges it should know.
    Remark { text: String },
    /// What became of the picture.
    Picture(Drawing),
}

/// What became of a test's picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drawing {
    /// The picture was drawn.
    Drawn {
        /// The file with the test's log.
        log: String,
        /// The file with the picture.
        picture: String,
    },
    /// The picture could not be drawn.
    NotDrawn {
        /// The reason.
        why: String,
    },
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drawing::Drawn { log, picture } => write!(f, "  log: {log}\n  picture: {picture}"),
            Drawing::NotDrawn { why } => write!(f, "  no picture: {why}"),
        }
    }
}

impl Report {
    /// The report as a line. Shortens a failure's message or a remark if the line would be too long: the parent would cut
    /// the line.
    pub(crate) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let line = encode(self)?;
        let fits = line.len() as u64 <= LONGEST_LINE;
        match self {
            Report::Failed { message } if !fits => encode(&Report::Failed { message: shortened(message) }),
            Report::Panicked { message } if !fits => {
                encode(&Report::Panicked { message: shortened(message) })
            }
            Report::Remark { text } if !fits => encode(&Report::Remark { text: shortened(text) }),
            _ => Ok(line),
        }
    }
}

/// The beginning of a text that is too long.
fn shortened(text: &str) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    format!("{}...", &text[..end.unwrap_or(0)])
}

/// A message as a line.
pub(crate) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads lines until one is a message. None: there are no more lines.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl BufRead) -> Option<T> {
    loop {
        let mut line = Vec::new();
        let Ok(1..) = from.take(LONGEST_LINE).read_until(b'\n', &mut line) else { return None };
        if let Some(message) = decode(&line) {
            return Some(message);
        }
    }
}

/// The message in a line. None: the line is not a message.
pub(crate) fn decode<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

/// A strategy is sent as its name.
mod strategy {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use sim::Strategy;

    pub(super) fn serialize<S: Serializer>(strategy: &Strategy, to: S) -> Result<S::Ok, S::Error> {
        let found = Strategy::ALL.iter().find(|(_, one)| one == strategy);
        found.map(|(name, _)| name).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Strategy, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
