//! The stacks of simulated threads.

use super::image::Image;
use super::{memory, real};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

/// std's default size of a stack.
const DEFAULT_SIZE: usize = 2 << 20;

/// The distance in bytes from one stack of the default size to the next. The memory between two stacks is never mapped:
/// a stack overflow ends the program, as it does without simulation.
const DISTANCE: usize = if cfg!(target_arch = "aarch64") { 4 << 20 } else { 16 << 20 };
/// There are this many sizes, each twice as large as the one before.
const SIZES: usize = 10;
/// All stacks of one size lie in a range of addresses that is as long as this.
const RANGE: usize = (memory::STACKS.end - memory::STACKS.start) / SIZES;
/// The largest number of stacks of the default size.
pub(crate) const MOST: usize = RANGE / DISTANCE;

/// The stacks that this process has mapped, by address. They remain mapped when a simulation ends, and the next one uses
/// them again.
static MAPPED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// A stack. It is mapped.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    /// The lowest address.
    pub(crate) address: usize,
    pub(crate) size: usize,
}

impl Stack {
    /// The upper end of the program's part. A thread begins here, so that its variables have the same addresses in each
    /// run.
    pub(crate) fn top(self) -> usize {
        self.address + self.size - storage()
    }

    /// Starts a kernel thread on this stack.
    ///
    /// # Errors
    /// The number of the error with which the C library did not start it.
    pub(crate) fn start(
        self,
        routine: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> Result<libc::pthread_t, c_int> {
        let mut kernel_thread: libc::pthread_t = 0;
        // SAFETY: the attributes are initialised before they are used, and destroyed afterwards. The stack is mapped,
        // and the caller has it for the new thread.
        let error = unsafe {
            let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
            libc::pthread_attr_init(&mut attributes);
            libc::pthread_attr_setstack(&mut attributes, self.address as *mut c_void, self.size);
            let error = real::pthread_create()(&mut kernel_thread, &attributes, routine, argument);
            libc::pthread_attr_destroy(&mut attributes);
            error
        };
        if error == 0 { Ok(kernel_thread) } else { Err(error) }
    }
}

/// The size of the upper end of each stack, where the C library keeps the thread's storage and calls its first function.
/// The program's part of the stack is below. The size depends on the program's thread-local values.
fn storage() -> usize {
    /// Enough for the C library's record of the thread, the room that it leaves for libraries that are loaded later, and
    /// its own calls.
    const OF_THE_C_LIBRARY: usize = 48 << 10;
    (OF_THE_C_LIBRARY + Image::size_of_all()).next_multiple_of(memory::PAGE)
}

/// There is no memory for another stack.
#[derive(Debug)]
pub(crate) struct NoStack {
    pub(crate) size: usize,
}

/// The stacks of one simulation.
#[derive(Default)]
pub(crate) struct Stacks {
    /// By size.
    sizes: BTreeMap<usize, Free>,
}

/// The stacks of one size that no thread has.
#[derive(Default)]
struct Free {
    addresses: Vec<usize>,
    /// How many stacks threads have had so far.
    used: usize,
}

impl Stacks {
    /// A stack for a new thread whose program wants `size` bytes.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn take(&mut self, size: usize) -> Result<Stack, NoStack> {
        let rank = size.div_ceil(DEFAULT_SIZE).max(1).next_power_of_two().trailing_zeros() as usize;
        let error = NoStack { size };
        if rank >= SIZES {
            return Err(error);
        }
        let (size, distance) = ((DEFAULT_SIZE << rank) + storage(), DISTANCE << rank);
        let free = self.sizes.entry(size).or_default();
        if let Some(address) = free.addresses.pop() {
            return Ok(Stack { address, size });
        }
        let offset = free.used * distance;
        let address = memory::STACKS.start + rank * RANGE + offset;
        let mut mapped = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
        if !mapped.contains(&address) {
            if offset + distance > RANGE || !memory::map(address, size) {
                return Err(error);
            }
            mapped.insert(address);
        }
        free.used += 1;
        Ok(Stack { address, size })
    }

    /// Takes back the stack of a thread that has ended.
    pub(crate) fn give(&mut self, stack: Stack) {
        self.sizes.entry(stack.size).or_default().addresses.push(stack.address);
    }
}
