//! The program's allocator: the arena for simulated threads, the system's allocator for all others.

use super::{arena, scheduler, thread};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::copy_nonoverlapping;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: `arena::allocate` returns a block that is at least as large and as aligned as the layout says, and that
// belongs to nobody else until it is freed. All other blocks are the system allocator's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if thread::current().is_none() {
            // SAFETY: the caller vouches for the layout.
            return unsafe { System.alloc(layout) };
        }
        scheduler::at_allocation(layout.size());
        arena::allocate(layout)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !arena::contains(block) {
            // SAFETY: a block outside the arena was allocated by the system.
            return unsafe { System.dealloc(block, layout) };
        }
        // A thread that is not simulated frees a block at an unpredictable moment. If the arena used that block again,
        // addresses would depend on the moment. The block is therefore never used again.
        if thread::is_simulated() {
            // SAFETY: the block is the arena's, and the caller vouches that it was allocated with this layout and is
            // not used any more.
            unsafe { arena::free(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !arena::contains(block) {
            // SAFETY: a block outside the arena was allocated by the system.
            return unsafe { System.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller vouches for the new size.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if arena::have_equal_blocks(layout, new_layout) {
            return block;
        }
        // SAFETY: both layouts are valid; the blocks are distinct, and each is at least as long as the copied part.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                copy_nonoverlapping(block, new, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if thread::current().is_none() {
            // SAFETY: the caller vouches for the layout.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller vouches for the layout; the block is at least as long as the layout says.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }
}
