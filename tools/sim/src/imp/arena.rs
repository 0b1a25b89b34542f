//! The memory that simulated threads allocate: blocks at addresses that depend on the run alone.

use super::memory::{ARENA, map};
use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::null_mut;

/// The arena grows by this many bytes at a time.
const CHUNK: usize = 32 << 20;

/// The sizes of blocks up to this one are the multiples of 16. Above, there are four sizes from each power of two to
/// the next.
const SMALL: usize = 1024;
const SMALL_CLASSES: usize = SMALL / 16;
/// Enough for blocks of up to 2^40 bytes.
const CLASSES: usize = SMALL_CLASSES + 4 * 30;
const ALIGNED_CLASSES: usize = 40;

/// The size of a block, and the index of the free list for blocks of this size.
#[derive(Clone, Copy)]
enum Class {
    Plain {
        size: usize,
        list: usize,
    },
    /// For alignments above 16: the size is a power of two, and the block is aligned to it.
    Aligned {
        size: usize,
        list: usize,
    },
}

impl Class {
    fn of(layout: Layout) -> Class {
        let size = layout.size().max(1);
        if layout.align() > 16 {
            let size = size.max(layout.align()).next_power_of_two();
            return Class::Aligned { size, list: size.trailing_zeros() as usize };
        }
        if size <= SMALL {
            let size = size.next_multiple_of(16);
            return Class::Plain { size, list: size / 16 - 1 };
        }
        let power = usize::BITS as usize - 1 - (size - 1).leading_zeros() as usize;
        let step = 1 << (power - 2);
        let size = size.next_multiple_of(step);
        let list = SMALL_CLASSES + 4 * (power - 10) + (size >> (power - 2)) - 5;
        Class::Plain { size, list }
    }

    fn size(self) -> usize {
        match self {
            Class::Plain { size, .. } | Class::Aligned { size, .. } => size,
        }
    }
}

/// Each free block holds the address of the next one in its list, or null.
struct Arena {
    free: [*mut u8; CLASSES],
    free_aligned: [*mut u8; ALIGNED_CLASSES],
    /// The start of the memory that no block has used yet.
    next: usize,
    mapped_to: usize,
}

impl Arena {
    /// The free list of a class; None: its blocks are too large for the arena.
    fn list(&mut self, class: Class) -> Option<&mut *mut u8> {
        match class {
            Class::Plain { list, .. } => self.free.get_mut(list),
            Class::Aligned { list, .. } => self.free_aligned.get_mut(list),
        }
    }

    /// Returns a block; null when there is no memory.
    fn take(&mut self, class: Class) -> *mut u8 {
        let Some(list) = self.list(class) else { return null_mut() };
        let block = *list;
        if !block.is_null() {
            // SAFETY: a free block holds an address, which `give` has written.
            *list = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        let align = match class {
            Class::Plain { .. } => 16,
            Class::Aligned { size, .. } => size,
        };
        let start = self.next.next_multiple_of(align);
        let end = start + class.size();
        while end > self.mapped_to {
            if self.mapped_to + CHUNK > ARENA.end || !map(self.mapped_to, CHUNK) {
                return null_mut();
            }
            // SAFETY: the memory is the arena's. The kernel may ignore the advice: the memory is only slower then.
            unsafe { libc::madvise(self.mapped_to as *mut c_void, CHUNK, libc::MADV_HUGEPAGE) };
            self.mapped_to += CHUNK;
        }
        self.next = end;
        start as *mut u8
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `take` must have returned the block for this class, and nobody may use it any more.
    unsafe fn give(&mut self, block: *mut u8, class: Class) {
        if let Some(list) = self.list(class) {
            // SAFETY: the block is the arena's again, and even the smallest block has room for an address.
            unsafe { block.cast::<*mut u8>().write(*list) };
            *list = block;
        }
    }
}

struct Shared(UnsafeCell<Arena>);

// SAFETY: only `with_arena` accesses the content; it says why no other thread does so at that time.
unsafe impl Sync for Shared {}

static ARENA_STATE: Shared = Shared(UnsafeCell::new(Arena {
    free: [null_mut(); CLASSES],
    free_aligned: [null_mut(); ALIGNED_CLASSES],
    next: ARENA.start,
    mapped_to: ARENA.start,
}));

/// Runs `f` with the arena. The calling thread must be a simulated one, and have the baton.
#[inline]
fn with_arena<T>(f: impl FnOnce(&mut Arena) -> T) -> T {
    // SAFETY: a thread is a simulated one from the moment at which it first gets the baton, and only one thread has that.
    // `f` does not call `with_arena`.
    f(unsafe { &mut *ARENA_STATE.0.get() })
}

/// A block that fits the layout, and that nobody else has; null when there is no memory. The calling thread must be a
/// simulated one.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    with_arena(|arena| arena.take(Class::of(layout)))
}

/// Takes a block back. The calling thread must be a simulated one.
///
/// # Safety
/// `allocate` must have returned the block for this layout, or for one with an equal block (see `have_equal_blocks`).
/// Nobody may use the block any more.
pub(crate) unsafe fn free(block: *mut u8, layout: Layout) {
    // SAFETY: the caller vouches for it.
    with_arena(|arena| unsafe { arena.give(block, Class::of(layout)) });
}

/// True if the block is one of the arena's.
pub(crate) fn contains(block: *mut u8) -> bool {
    ARENA.contains(&(block as usize))
}

/// True if a block for one of the layouts, which have the same alignment, serves the other too.
pub(crate) fn have_equal_blocks(one: Layout, other: Layout) -> bool {
    Class::of(one).size() == Class::of(other).size()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_large_enough_and_comes_back_to_a_list_of_its_size() {
        let mut sizes = std::collections::BTreeMap::new();
        for size in
            (0..5000).chain((12..40).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]))
        {
            match Class::of(Layout::from_size_align(size, 8).unwrap()) {
                Class::Plain { size: block, list } => {
                    assert!(block >= size && block <= 16.max(size + size / 4 + 16), "{size}: {block}");
                    assert!(list < CLASSES, "{size}: list {list}");
                    assert_eq!(*sizes.entry(list).or_insert(block), block, "{size}");
                }
                Class::Aligned { .. } => panic!("{size} needs no alignment"),
            }
        }
        for align in [32, 64, 128, 4096] {
            for size in [0, 1, 100, 128, 5000] {
                let class = Class::of(Layout::from_size_align(size, align).unwrap());
                assert!(
                    class.size() >= size.max(align) && class.size().is_multiple_of(align),
                    "{size}, {align}"
                );
            }
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_are_used_again() {
        let mut arena = Arena {
            free: [null_mut(); CLASSES],
            free_aligned: [null_mut(); ALIGNED_CLASSES],
            next: ARENA.end - 4 * CHUNK,
            mapped_to: ARENA.end - 4 * CHUNK,
        };
        let layouts = [(24, 8), (1, 1), (100, 128), (CHUNK, 16), (3000, 4096), (24, 8)];
        let classes = layouts.map(|(size, align)| Class::of(Layout::from_size_align(size, align).unwrap()));
        let blocks = classes.map(|class| arena.take(class));
        for (i, block) in blocks.iter().enumerate() {
            assert!((*block as usize).is_multiple_of(layouts[i].1));
            // SAFETY: the block is this test's, and at least as long.
            unsafe { block.write_bytes(i as u8, layouts[i].0) };
        }
        for (i, block) in blocks.iter().enumerate() {
            // SAFETY: the block is this test's, and at least as long.
            let bytes = unsafe { std::slice::from_raw_parts(*block, layouts[i].0) };
            assert!(bytes.iter().all(|b| *b == i as u8), "block {i} was written over");
        }
        // SAFETY: the block is this test's, of this class, and not used any more.
        unsafe { arena.give(blocks[2], classes[2]) };
        assert_eq!(arena.take(classes[2]), blocks[2]);
        assert!(arena.take(Class::of(Layout::from_size_align(8 * CHUNK, 8).unwrap())).is_null());
    }
}
