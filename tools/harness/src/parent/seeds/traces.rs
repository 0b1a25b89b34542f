//! Where the traces of simulations are written, and the comparison of two of them.

use crate::environment::Simulations;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where the traces are written.
pub(super) enum Traces {
    Nowhere,
    /// The user's folder.
    Kept(PathBuf),
    /// A temporary folder, for traces that are only compared.
    Compared(TempDir),
}

impl Traces {
    /// Makes the folder, and checks that files can be written there.
    pub(super) fn new(wanted: &Simulations) -> Result<Traces, TraceError> {
        match &wanted.traces {
            Some(folder) => {
                let made = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
                made.map_err(|source| TraceError::NoFolder { folder: folder.clone(), source })?;
                Ok(Traces::Kept(folder.clone()))
            }
            None if wanted.twice => match tempfile::tempdir() {
                Ok(folder) => Ok(Traces::Compared(folder)),
                Err(source) => Err(TraceError::NoTemporaryFolder(source)),
            },
            None => Ok(Traces::Nowhere),
        }
    }

    /// The file for the trace of one seed of a test. `mark` tells the traces of one seed apart.
    pub(super) fn file(&self, test: &str, seed: u64, mark: &str) -> Option<PathBuf> {
        Some(self.folder()?.join(format!("{test}-{seed}{mark}")))
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Traces::Nowhere => None,
            Traces::Kept(folder) => Some(folder),
            Traces::Compared(folder) => Some(folder.path()),
        }
    }

    /// Where two traces differ. None: they are the same.
    pub(super) fn compare(&self, first: PathBuf, second: PathBuf) -> Result<Option<Difference>, TraceError> {
        let read = |trace: &PathBuf| {
            fs::read(trace).map_err(|source| TraceError::Unreadable { trace: trace.clone(), source })
        };
        let (a, b) = (read(&first)?, read(&second)?);
        let is_kept = matches!(self, Traces::Kept(_));
        if a == b {
            if !is_kept {
                // Ignore the error: the temporary folder is removed when the program ends.
                let _ = fs::remove_file(first).and_then(|()| fs::remove_file(second));
            }
            return Ok(None);
        }
        let traces = if is_kept { [first, second] } else { [rescued(first), rescued(second)] };
        Ok(Some(Difference { line: first_difference(&a, &b), traces }))
    }
}

/// Moves a trace that the user should look at out of the temporary folder. Returns its new path.
fn rescued(trace: PathBuf) -> PathBuf {
    let name = trace.file_name().unwrap_or_default().to_string_lossy();
    let to = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    if fs::rename(&trace, &to).is_ok() { to } else { trace }
}

fn first_difference(a: &[u8], b: &[u8]) -> Option<(usize, [String; 2])> {
    let mut lines = a.split(|byte| *byte == b'\n').zip(b.split(|byte| *byte == b'\n')).enumerate();
    let (number, (a, b)) = lines.find(|(_, (a, b))| a != b)?;
    Some((number + 1, [a, b].map(|line| String::from_utf8_lossy(line).into_owned())))
}

/// Where two traces differ first.
#[derive(Debug)]
pub(super) struct Difference {
    /// The number of the line, and both lines. None: one trace is longer.
    line: Option<(usize, [String; 2])>,
    traces: [PathBuf; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a second run with the same seed went another way, from here on:\n")?;
        match &self.line {
            Some((number, [first, second])) => writeln!(f, "line {number}\n  {first}\n  {second}")?,
            None => f.write_str("one trace is longer than the other\n")?,
        }
        let [first, second] = &self.traces;
        write!(f, "The traces: {} {}", first.display(), second.display())
    }
}

/// Traces that cannot be written or read.
#[derive(Debug)]
pub(super) enum TraceError {
    NoFolder { folder: PathBuf, source: std::io::Error },
    NoTemporaryFolder(std::io::Error),
    Unreadable { trace: PathBuf, source: std::io::Error },
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::NoFolder { folder, source } => write!(
                f,
                "LAB_TRACE={}: it must be a folder in which traces can be written: {source}",
                folder.display()
            ),
            TraceError::NoTemporaryFolder(source) => write!(
                f,
                "LAB_TWICE: cannot make a folder for traces in {}: {source}",
                std::env::temp_dir().display()
            ),
            TraceError::Unreadable { trace, source } => {
                write!(f, "cannot read the trace {}: {source}", trace.display())
            }
        }
    }
}
