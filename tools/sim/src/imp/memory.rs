//! The addresses that the simulator uses.
//!
//! Memory must lie at the same addresses in each run. parking_lot keeps its queues in a table that is hashed by the
//! addresses of the locks, and each entry of the table has a timer that decides when an unlock is fair. The kernel
//! chooses new addresses for each process; with those, a replay would sometimes differ. The allocations and stacks of
//! simulated threads therefore lie in two fixed ranges. Programs, libraries and the kernel's own stacks lie far above
//! both.

use std::ffi::c_void;
use std::ops::Range;

// Kernels for x86-64 give a program 47 bits of addresses. Those for aarch64 may give it only 39 bits, as in Raspberry Pi
// OS. The ranges for aarch64 are therefore shorter: they have room for 2048 stacks of the default size and for 128 GiB of
// allocations. Such a kernel puts programs above 0x55_5555_5555, and libraries above that or, when the stack has no size
// limit, above 0x20_0000_0000.

/// The stacks of simulated threads.
pub(crate) const STACKS: Range<usize> = if cfg!(target_arch = "aarch64") {
    0x4_0000_0000..0x18_0000_0000
} else {
    0x2000_0000_0000..0x2a00_0000_0000
};
/// The allocations of simulated threads.
pub(crate) const ARENA: Range<usize> = if cfg!(target_arch = "aarch64") {
    0x30_0000_0000..0x50_0000_0000
} else {
    0x3000_0000_0000..0x3800_0000_0000
};

/// The largest size of a page that kernels use. Sizes of mapped memory are multiples of it.
pub(crate) const PAGE: usize = 64 << 10;

/// True if the kernel gives this process memory at the upper ends of both ranges. The simulator does not use the upper
/// ends unless it needs all of a range.
pub(crate) fn can_map() -> bool {
    is_usable(&STACKS) && is_usable(&ARENA)
}

fn is_usable(range: &Range<usize>) -> bool {
    let page = range.end - PAGE;
    // SAFETY: the page is unmapped only if this function has mapped it, and nobody else knows of it.
    map(page, PAGE) && unsafe { libc::munmap(page as *mut c_void, PAGE) } == 0
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_usable_until_something_lies_at_its_upper_end() {
        // The simulator does not use the addresses between its two ranges.
        let range = STACKS.end..STACKS.end + 16 * PAGE;
        assert!(is_usable(&range));
        assert!(is_usable(&range), "nothing remains mapped");
        assert!(map(range.end - PAGE, PAGE));
        assert!(!is_usable(&range));
    }
}
