//! Reads lines from a pipe or a socket, and never waits for them.

use crate::protocol::LONGEST_LINE;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{ioctl_fionbio, ioctl_fionread};
use std::io::{ErrorKind, Read, Result};
use std::os::fd::AsFd;

/// How many bytes to read at a time.
const PIECE: usize = 1 << 14;

/// The reading end of a pipe, or a socket.
pub(super) struct Stream<F> {
    file: F,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// False once everybody has closed the other end.
    is_open: bool,
}

impl<F: Read + AsFd> Stream<F> {
    /// From now on, no use of `file` waits.
    pub(super) fn new(file: F) -> Result<Stream<F>> {
        ioctl_fionbio(&file, true)?;
        Ok(Stream { file, begun: Vec::new(), is_open: true })
    }

    /// What `poll` needs in order to wait until there is something to read. None: nothing will come.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.is_open.then(|| PollFd::new(&self.file, PollFlags::IN))
    }

    /// Reads a piece of what is there, and calls `line` with each whole line. A line that is longer than
    /// [`LONGEST_LINE`] comes in parts. Returns the number of bytes: 0 means that there is nothing to read now.
    pub(super) fn read(&mut self, line: &mut dyn FnMut(&[u8])) -> usize {
        let mut piece = [0; PIECE];
        let length = match self.file.read(&mut piece) {
            Ok(length) => {
                self.is_open = length > 0;
                length
            }
            Err(e) => {
                self.is_open = matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
                0
            }
        };
        for part in piece[..length].split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if part.ends_with(b"\n") || self.begun.len() as u64 >= LONGEST_LINE {
                line(&std::mem::take(&mut self.begun));
            }
        }
        length
    }

    /// Reads everything that was written before this call, and no more: a process may hold the other end and write
    /// without end. The last line need not be whole.
    pub(super) fn read_the_rest(&mut self, line: &mut dyn FnMut(&[u8])) {
        let mut left = ioctl_fionread(&self.file).unwrap_or(u64::MAX);
        while left > 0 {
            match self.read(line) {
                0 => break,
                length => left = left.saturating_sub(length as u64),
            }
        }
        if !self.begun.is_empty() {
            line(&std::mem::take(&mut self.begun));
        }
    }
}
