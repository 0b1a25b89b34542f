//! Memory at addresses that are the same in each run.
//!
//! parking_lot keeps its queues in a table hashed by the locks' addresses, and is fair now and then by a timer for each
//! of the table's places. With addresses that the system draws anew for each process, a replay now and then goes another
//! way. So what simulated threads allocate lies in an arena at a fixed address, and so do their stacks.

use super::scheduler;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the arena begins and ends. The system puts nothing there: programs, libraries and stacks lie far above.
const ARENA: usize = 0x3000_0000_0000;
const ARENA_END: usize = 0x3800_0000_0000;
/// The arena grows by so much.
const CHUNK: usize = 32 << 20;

/// Where the stacks begin. Between two lies what is never mapped: who overflows one dies, as elsewhere.
const STACKS: usize = 0x2000_0000_0000;
const STACK_DISTANCE: usize = 16 << 20;
/// The size of std's stacks.
pub(crate) const STACK_SIZE: usize = 2 << 20;
/// Below each stack: never mapped.
pub(crate) const GUARD_SIZE: usize = 4096;

/// Blocks of up to this size come in steps of 16 bytes, larger ones in four sizes from each power of two to the next.
const SMALL: usize = 1024;
const SMALL_CLASSES: usize = SMALL / 16;
/// Up to 2^40 bytes.
const CLASSES: usize = SMALL_CLASSES + 4 * 30;

struct Arena {
    free: [*mut u8; CLASSES],
    /// Blocks with an alignment of more than 16, by the logarithm of their size, to which they are aligned up to a page.
    free_aligned: [*mut u8; 40],
    next: usize,
    mapped_to: usize,
}

struct Guarded {
    locked: AtomicBool,
    arena: UnsafeCell<Arena>,
}

// SAFETY: the arena is accessed while `locked` is held only.
unsafe impl Sync for Guarded {}

static ARENA_STATE: Guarded = Guarded {
    locked: AtomicBool::new(false),
    arena: UnsafeCell::new(Arena {
        free: [null_mut(); CLASSES],
        free_aligned: [null_mut(); 40],
        next: ARENA,
        mapped_to: ARENA,
    }),
};

/// The size of a block, and the number of its free list.
#[derive(Clone, Copy)]
enum Class {
    Plain { size: usize, list: usize },
    Aligned { size: usize, list: usize },
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

impl Arena {
    fn list(&mut self, class: Class) -> Option<&mut *mut u8> {
        match class {
            Class::Plain { list, .. } => self.free.get_mut(list),
            Class::Aligned { list, .. } => self.free_aligned.get_mut(list),
        }
    }

    /// Null when there is no memory.
    fn take(&mut self, class: Class) -> *mut u8 {
        let Some(list) = self.list(class) else { return null_mut() };
        let block = *list;
        if !block.is_null() {
            // SAFETY: a free block holds the address of the next one, or null (see `give`).
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
            if self.mapped_to + CHUNK > ARENA_END || !map(self.mapped_to, CHUNK) {
                return null_mut();
            }
            self.mapped_to += CHUNK;
        }
        self.next = end;
        start as *mut u8
    }

    fn give(&mut self, block: *mut u8, class: Class) {
        if let Some(list) = self.list(class) {
            // SAFETY: the block is nobody's any more, and has room for an address: the smallest have 16 bytes.
            unsafe { block.cast::<*mut u8>().write(*list) };
            *list = block;
        }
    }
}

fn with_arena<T>(f: impl FnOnce(&mut Arena) -> T) -> T {
    // Only a thread that is not simulated can be in the way, and not for long.
    while ARENA_STATE.locked.swap(true, Ordering::Acquire) {
        std::hint::spin_loop();
    }
    // SAFETY: the lock is held.
    let result = f(unsafe { &mut *ARENA_STATE.arena.get() });
    ARENA_STATE.locked.store(false, Ordering::Release);
    result
}

/// Maps memory at a fixed address. False when something else is there, or there is none.
fn map(address: usize, size: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: with this flag the kernel never replaces what is mapped already.
    let got = unsafe { libc::mmap(address as *mut c_void, size, access, flags, -1, 0) };
    got as usize == address
}

/// A stack for a new thread: a free one, or one more; its lowest address.
pub(crate) fn stack(free: Option<usize>, made: &mut usize) -> usize {
    free.unwrap_or_else(|| {
        let stack = STACKS + *made * STACK_DISTANCE;
        // A stack of an earlier simulation in this process is there already, and free.
        if *made >= STACKS_MAPPED.load(Ordering::Relaxed) {
            assert!(map(stack, STACK_SIZE), "no memory for a thread's stack at {stack:#x}");
            STACKS_MAPPED.store(*made + 1, Ordering::Relaxed);
        }
        *made += 1;
        stack
    })
}

static STACKS_MAPPED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The program's allocator: the system's for all but simulated threads.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn is_of_arena(block: *mut u8) -> bool {
    (ARENA..ARENA_END).contains(&(block as usize))
}

// SAFETY: the arena's blocks are as large and as aligned as their class, which is at least what the layout says; each is
// given out once until it comes back. All else is the system's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if scheduler::current().is_none() {
            // SAFETY: the caller vouches for the layout.
            return unsafe { System.alloc(layout) };
        }
        scheduler::at_allocation();
        with_arena(|arena| arena.take(Class::of(layout)))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_of_arena(block) {
            // SAFETY: it was not allocated in the arena, so it was by the system.
            return unsafe { System.dealloc(block, layout) };
        }
        // When others free it is a matter of chance: what they free is not used again.
        if scheduler::is_simulated() {
            with_arena(|arena| arena.give(block, Class::of(layout)));
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !is_of_arena(block) {
            // SAFETY: it was not allocated in the arena, so it was by the system.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller vouches for the new size.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if Class::of(new_layout).size() == Class::of(layout).size() {
            return block;
        }
        // SAFETY: the layouts are valid, the blocks distinct, and both at least as long as what is copied.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if scheduler::current().is_none() {
            // SAFETY: the caller vouches for the layout.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller vouches for the layout, and the block is at least as long.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }
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
            free_aligned: [null_mut(); 40],
            next: ARENA_END - 4 * CHUNK,
            mapped_to: ARENA_END - 4 * CHUNK,
        };
        let layouts = [(24, 8), (1, 1), (100, 128), (CHUNK, 16), (3000, 4096), (24, 8)];
        let classes = layouts.map(|(size, align)| Class::of(Layout::from_size_align(size, align).unwrap()));
        let blocks = classes.map(|class| arena.take(class));
        for (i, block) in blocks.iter().enumerate() {
            assert!((*block as usize).is_multiple_of(layouts[i].1));
            // SAFETY: the block is this test's, and as long.
            unsafe { block.write_bytes(i as u8, layouts[i].0) };
        }
        for (i, block) in blocks.iter().enumerate() {
            // SAFETY: the block is this test's, and as long.
            let bytes = unsafe { std::slice::from_raw_parts(*block, layouts[i].0) };
            assert!(bytes.iter().all(|b| *b == i as u8), "block {i} was written over");
        }
        arena.give(blocks[2], classes[2]);
        assert_eq!(arena.take(classes[2]), blocks[2]);
        assert!(arena.take(Class::of(Layout::from_size_align(8 * CHUNK, 8).unwrap())).is_null());
    }
}
