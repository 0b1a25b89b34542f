//! The thread-local values of the program and of its libraries, as the executable files describe them. Each thread's storage
//! has a part for each object (the program or a library).

use super::context;
use std::ffi::{c_int, c_void};
use std::ptr::{copy_nonoverlapping, write_bytes};
use std::sync::OnceLock;

/// The values of one object.
pub(crate) struct Image {
    /// The distance from the thread pointer to the object's part.
    offset: isize,
    size: usize,
    /// The part begins at a multiple of this.
    align: usize,
    /// The initial values of the first bytes; the other bytes are 0.
    initial: &'static [u8],
}

impl Image {
    /// The values of all objects, the program's first.
    fn all() -> &'static [Image] {
        static IMAGES: OnceLock<Vec<Image>> = OnceLock::new();
        IMAGES.get_or_init(|| {
            let mut images = Vec::new();
            // SAFETY: `read` takes this argument.
            unsafe { libc::dl_iterate_phdr(Some(read), (&raw mut images).cast()) };
            images
        })
    }

    /// The program's own values.
    pub(crate) fn of_program() -> &'static Image {
        &Image::all()[0]
    }

    /// The size of all objects' parts together, at most.
    pub(crate) fn size_of_all() -> usize {
        Image::all().iter().map(|image| image.size + image.align).sum()
    }

    /// Sets the object's part of the storage with this thread pointer to its initial values.
    ///
    /// # Safety
    /// The storage must be one that the C library has made, and no thread may use it. The object must be the program, or
    /// a library that was loaded with it: the parts of these have the same distance from each thread pointer.
    pub(crate) unsafe fn restore(&self, thread_pointer: usize) {
        let part = thread_pointer.wrapping_add_signed(self.offset) as *mut u8;
        // SAFETY: the caller vouches for the storage, and the part has this size.
        unsafe {
            copy_nonoverlapping(self.initial.as_ptr(), part, self.initial.len());
            write_bytes(part.add(self.initial.len()), 0, self.size - self.initial.len());
        }
    }
}

/// Adds an object's image, which is empty if the object has no thread-local values.
unsafe extern "C" fn read(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    images: *mut c_void,
) -> c_int {
    // SAFETY: the C library passes a valid object and the argument of the caller, who waits.
    let (object, images) = unsafe { (&*object, &mut *images.cast::<Vec<Image>>()) };
    // SAFETY: the object's headers are in memory, and never change.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    let header = headers.iter().find(|header| header.p_type == libc::PT_TLS);
    let mut image = Image { offset: 0, size: 0, align: 0, initial: &[] };
    if let Some(header) = header.filter(|_| !object.dlpi_tls_data.is_null()) {
        let initial = object.dlpi_addr.wrapping_add(header.p_vaddr) as *const u8;
        image = Image {
            offset: (object.dlpi_tls_data as isize).wrapping_sub_unsigned(context::thread_pointer()),
            size: header.p_memsz as usize,
            align: header.p_align as usize,
            // SAFETY: the header says that the initial values are there, and they never change.
            initial: unsafe { std::slice::from_raw_parts(initial, header.p_filesz as usize) },
        };
    }
    images.push(image);
    0
}
