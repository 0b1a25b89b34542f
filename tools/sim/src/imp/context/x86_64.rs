//! Switches threads on x86-64 processors. The thread pointer is the base of the segment `fs`.

use super::Context;
use std::arch::{asm, naked_asm};
use std::ffi::c_void;

/// True if a program may change its thread pointer without the kernel: the processor has the instruction `wrfsbase`,
/// and the kernel allows it.
pub(crate) fn can_switch() -> bool {
    /// The kernel's `HWCAP2_FSGSBASE`.
    const FSGSBASE: libc::c_ulong = 1 << 1;
    // SAFETY: the function takes any number.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & FSGSBASE != 0 }
}

/// The calling thread's thread pointer.
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: the first word at the thread pointer is the thread pointer itself, as the ABI demands.
    unsafe { asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    pointer
}

/// Pushes the registers that a function must preserve, exchanges the stack pointers and the thread pointers, and pops
/// the other thread's registers.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *const Context, to: *const Context) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, [rsi]",
        "mov rax, [rsi + 8]",
        "wrfsbase rax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Writes what `switch` pops for a thread that begins: `begin` finds the function in rbx and the argument in r12.
///
/// # Safety
/// As for `Context::begin`.
pub(super) unsafe fn prepare(
    top: usize,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> usize {
    let [r15, r14, r13, rbp] = [0; 4];
    let frame = [r15, r14, r13, argument as usize, function as usize, rbp, begin as *const () as usize];
    let stack_pointer = top - size_of_val(&frame);
    // SAFETY: the caller vouches for the memory below `top`.
    unsafe { (stack_pointer as *mut [usize; 7]).write(frame) };
    stack_pointer
}

/// The first code of each thread, on a stack of the simulator: calls the function. If the function returns, goes back to
/// the stack from which `call_on` came, and to its caller.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    naked_asm!("mov rdi, r12", "call rbx", "mov rsp, rbp", "pop r12", "pop rbx", "pop rbp", "ret")
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
        "push rbp",
        "push rbx",
        "push r12",
        "mov rbp, rsp",
        "mov rsp, rdi",
        "mov rbx, rsi",
        "mov r12, rdx",
        "jmp {begin}",
        begin = sym begin,
    )
}

/// `set_tid_address(runs)`, then `exit(0)`. The kernel writes 0 to `runs` when it does not use the stack any more.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn end_kernel_thread(runs: *mut u32) -> ! {
    naked_asm!(
        "mov eax, {set_tid_address}",
        "syscall",
        "xor edi, edi",
        "mov eax, {exit}",
        "syscall",
        "ud2",
        set_tid_address = const libc::SYS_set_tid_address,
        exit = const libc::SYS_exit,
    )
}
