//! The stacks of simulated threads.

use super::memory;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The distance in bytes from one stack to the next. The memory between two stacks is never mapped: a stack overflow
/// ends the program, as it does without simulation.
const DISTANCE: usize = 16 << 20;
/// The size of a stack: std's default.
pub(crate) const SIZE: usize = 2 << 20;
/// The size of the guard page below each stack. It is a part of the memory that is never mapped.
pub(crate) const GUARD_SIZE: usize = 4096;

/// How many stacks this process has mapped. They remain mapped when a simulation ends, and the next one uses them
/// again.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// The stacks of one simulation, each known by its lowest address.
#[derive(Default)]
pub(crate) struct Stacks {
    free: Vec<usize>,
    used: usize,
}

impl Stacks {
    /// A stack for a new thread.
    pub(crate) fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            let stack = memory::STACKS + self.used * DISTANCE;
            if self.used >= MAPPED.load(Ordering::Relaxed) {
                assert!(memory::map(stack, SIZE), "no memory for a thread's stack at {stack:#x}");
                MAPPED.store(self.used + 1, Ordering::Relaxed);
            }
            self.used += 1;
            stack
        })
    }

    /// Takes back the stack of a thread that has ended.
    pub(crate) fn give(&mut self, stack: usize) {
        self.free.push(stack);
    }
}
