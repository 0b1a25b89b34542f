//! Switches threads on aarch64 processors. The thread pointer is the register `tpidr_el0`.

use super::Context;
use std::arch::{asm, naked_asm};
use std::ffi::c_void;

/// Every program may change its thread pointer.
pub(crate) fn can_switch() -> bool {
    true
}

/// The calling thread's thread pointer.
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: the instruction only reads the register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem)) };
    pointer
}

/// Stores the registers that a function must preserve, exchanges the stack pointers and the thread pointers, and loads
/// the other thread's registers.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *const Context, to: *const Context) {
    naked_asm!(
        "sub sp, sp, #160",
        "stp x19, x20, [sp]",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "mov x9, sp",
        "str x9, [x0]",
        "ldr x9, [x1]",
        "mov sp, x9",
        "ldr x9, [x1, #8]",
        "msr tpidr_el0, x9",
        "ldp x19, x20, [sp]",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "add sp, sp, #160",
        "ret",
    )
}

/// Writes what `switch` loads for a thread that begins: `begin` finds the function in x19 and the argument in x20.
///
/// # Safety
/// As for `Context::begin`.
pub(super) unsafe fn prepare(
    top: usize,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> usize {
    let mut frame = [0; 20];
    (frame[0], frame[1]) = (function as usize, argument as usize);
    // x30 holds the address to which `switch` returns.
    frame[11] = begin as *const () as usize;
    let stack_pointer = top - size_of_val(&frame);
    // SAFETY: the caller vouches for the memory below `top`.
    unsafe { (stack_pointer as *mut [usize; 20]).write(frame) };
    stack_pointer
}

/// The first code of each thread, on a stack of the simulator: calls the function. If the function returns, goes back to
/// the stack from which `call_on` came, and to its caller.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    naked_asm!(
        "mov x0, x20",
        "blr x19",
        "mov sp, x29",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #32",
        "ret",
    )
}

/// Calls `function(argument)` on the stack with the upper end `top`. The function finds the stack as `prepare` makes it.
///
/// # Safety
/// The memory below `top` must be a stack that nobody uses, and `top` a multiple of 16.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on(
    top: usize,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    naked_asm!(
        "stp x29, x30, [sp, #-32]!",
        "stp x19, x20, [sp, #16]",
        "mov x29, sp",
        "mov sp, x0",
        "mov x19, x1",
        "mov x20, x2",
        "b {begin}",
        begin = sym begin,
    )
}

/// `set_tid_address(runs)`, then `exit(0)`. The kernel writes 0 to `runs` when it does not use the stack any more.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn end_kernel_thread(runs: *mut u32) -> ! {
    naked_asm!(
        "mov x8, #{set_tid_address}",
        "svc #0",
        "mov x0, #0",
        "mov x8, #{exit}",
        "svc #0",
        "brk #1",
        set_tid_address = const libc::SYS_set_tid_address,
        exit = const libc::SYS_exit,
    )
}
