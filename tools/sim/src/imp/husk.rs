//! Threads without kernel threads.
//!
//! The C library makes each thread: it initialises the thread-local storage, and starts a kernel thread on one of the
//! simulator's stacks. That kernel thread ends at once, without the C library's knowledge. What remains is a *husk*: a
//! stack, and a thread-local storage as the C library wants it. Simulated threads run in husks, all on one kernel
//! thread. When a simulated thread has ended, the next one can use its husk. The program's own part of the thread-local
//! storage is then set to its initial values again.

use super::context::{self, Context};
use super::real;
use super::stacks::Stack;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr::{copy_nonoverlapping, null, write_bytes};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The husks: the address of the stack of each, and its thread pointer. They remain when a simulation ends.
static HUSKS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// Makes `context` a thread that begins with `function(argument)`, in the husk with this stack. Makes the husk if there
/// is none.
///
/// # Errors
/// The number of the error with which the C library did not start a thread.
///
/// # Safety
/// Nobody may use the stack, and `function` must not return.
pub(crate) unsafe fn begin(
    context: &Context,
    stack: Stack,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) -> Result<(), c_int> {
    let mut husks = HUSKS.lock().unwrap_or_else(PoisonError::into_inner);
    let thread_pointer = match husks.get(&stack.address) {
        Some(&thread_pointer) => {
            // SAFETY: the thread that used the husk has ended.
            unsafe { Image::of_program().restore(thread_pointer) };
            thread_pointer
        }
        None => {
            let thread_pointer = make(stack)?;
            husks.insert(stack.address, thread_pointer);
            thread_pointer
        }
    };
    // SAFETY: the caller vouches for the stack and the function. The husk's last thread has ended.
    unsafe { context.begin(stack.top(), thread_pointer, function, argument) };
    Ok(())
}

/// What a kernel thread that becomes a husk tells its maker.
struct Making {
    thread_pointer: AtomicUsize,
    kernel_id: AtomicI32,
    /// 1; the kernel sets it to 0 when the kernel thread does not use its stack any more.
    runs: AtomicU32,
}

/// Makes a husk, and waits until its kernel thread has ended. Returns its thread pointer.
fn make(stack: Stack) -> Result<usize, c_int> {
    let making =
        Making { thread_pointer: AtomicUsize::new(0), kernel_id: AtomicI32::new(0), runs: AtomicU32::new(1) };
    stack.start(become_husk, (&raw const making).cast_mut().cast())?;
    while making.runs.load(Ordering::Acquire) != 0 {
        // The kernel wakes this word as one that processes share.
        // SAFETY: the word lives as long as the call.
        unsafe {
            real::syscall()(
                libc::SYS_futex,
                making.runs.as_ptr(),
                libc::FUTEX_WAIT,
                1,
                null::<libc::timespec>(),
            )
        };
    }
    // Until the kernel has forgotten the thread, it counts for the user's limit of processes.
    let kernel_id = making.kernel_id.load(Ordering::Relaxed);
    // SAFETY: signal 0 is not sent; the call only looks for the thread.
    while unsafe { real::syscall()(libc::SYS_tgkill, libc::getpid(), kernel_id, 0) } == 0 {
        // SAFETY: the function takes no arguments.
        unsafe { real::sched_yield()() };
    }
    Ok(making.thread_pointer.load(Ordering::Relaxed))
}

/// What a husk's kernel thread does: it says where the thread-local storage is, and ends.
extern "C" fn become_husk(making: *mut c_void) -> *mut c_void {
    // SAFETY: this is the maker's `Making`, which lives until the kernel has set `runs` to 0.
    let making = unsafe { &*making.cast::<Making>() };
    making.thread_pointer.store(context::thread_pointer(), Ordering::Relaxed);
    // SAFETY: gettid takes no argument. The maker keeps `runs` until the kernel has set it to 0.
    unsafe {
        making.kernel_id.store(libc::gettid(), Ordering::Relaxed);
        context::end_kernel_thread(&making.runs)
    }
}

/// The program's own part of a thread-local storage. The C library's part and those of other libraries stay as they are
/// when a husk is used again.
struct Image {
    /// The distance from the thread pointer to this part.
    offset: isize,
    size: usize,
    /// The initial values of the first bytes; the other bytes are 0.
    initial: &'static [u8],
}

impl Image {
    fn of_program() -> &'static Image {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(|| {
            let mut image = Image { offset: 0, size: 0, initial: &[] };
            // SAFETY: `read_image` takes this argument.
            unsafe { libc::dl_iterate_phdr(Some(read_image), (&raw mut image).cast()) };
            image
        })
    }

    /// Sets this part of the storage with this thread pointer to its initial values.
    ///
    /// # Safety
    /// The storage must be one that the C library has made, and no thread may use it.
    unsafe fn restore(&self, thread_pointer: usize) {
        let part = thread_pointer.wrapping_add_signed(self.offset) as *mut u8;
        // SAFETY: the caller vouches for the storage. In each storage, this part has the same place and the same size.
        unsafe {
            copy_nonoverlapping(self.initial.as_ptr(), part, self.initial.len());
            write_bytes(part.add(self.initial.len()), 0, self.size - self.initial.len());
        }
    }
}

/// Reads the image of the first object, which is the program, and stops.
unsafe extern "C" fn read_image(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    image: *mut c_void,
) -> c_int {
    // SAFETY: the C library passes a valid object and the argument of the caller, who waits.
    let (object, image) = unsafe { (&*object, &mut *image.cast::<Image>()) };
    // SAFETY: the object's headers are in memory, and never change.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    if let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_TLS)
        && !object.dlpi_tls_data.is_null()
    {
        let initial = object.dlpi_addr.wrapping_add(header.p_vaddr) as *const u8;
        *image = Image {
            offset: (object.dlpi_tls_data as isize).wrapping_sub_unsigned(context::thread_pointer()),
            size: header.p_memsz as usize,
            // SAFETY: the header says that the initial values are there, and they never change.
            initial: unsafe { std::slice::from_raw_parts(initial, header.p_filesz as usize) },
        };
    }
    1
}
