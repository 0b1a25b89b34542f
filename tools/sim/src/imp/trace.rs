//! The trace file.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;

/// The buffer is written to the file when it is longer than this.
const BUFFER: usize = 1 << 16;

pub(crate) struct Trace {
    file: File,
    buffer: String,
}

impl Trace {
    pub(crate) fn new(file: File) -> Trace {
        Trace { file, buffer: String::new() }
    }

    pub(crate) fn add_line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.buffer, "{line}");
        if self.buffer.len() > BUFFER {
            self.flush();
        }
    }

    pub(crate) fn flush(&mut self) {
        // If this fails, the trace is incomplete; the run must not change because of it.
        let _ = self.file.write_all(self.buffer.as_bytes());
        self.buffer.clear();
    }
}
