//! The addresses that the simulator uses.
//!
//! Memory must lie at the same addresses in each run. parking_lot keeps its queues in a table that is hashed by the
//! addresses of the locks, and each entry of the table has a timer that decides when an unlock is fair. The kernel
//! chooses new addresses for each process; with those, a replay would sometimes differ. The allocations and stacks of
//! simulated threads therefore lie in two fixed ranges. Programs, libraries and the kernel's own stacks lie far above
//! both.

use std::ffi::c_void;
use std::ops::Range;

/// The stacks of simulated threads.
pub(crate) const STACKS: usize = 0x2000_0000_0000;
/// The allocations of simulated threads.
pub(crate) const ARENA: Range<usize> = 0x3000_0000_0000..0x3800_0000_0000;

/// Makes the C library's allocator, which serves what is not simulated, use one heap for all threads, and enlarge it in
/// large steps. Usually it has a heap for each of the first threads, and asks the kernel for a few pages at a time.
pub(crate) fn economise() {
    const STEP: libc::c_int = 4 << 20;
    // SAFETY: the calls take only numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, STEP);
    }
}

/// Maps memory at a fixed address. Returns false when there is no memory, or when something is mapped there already.
pub(crate) fn map(address: usize, size: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: MAP_FIXED_NOREPLACE makes the kernel refuse to replace a mapping that exists.
    let got = unsafe { libc::mmap(address as *mut c_void, size, access, flags, -1, 0) };
    got as usize == address
}
