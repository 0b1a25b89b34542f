//! The edges in the control flow of instrumented code (`-sanitizer-coverage-trace-pc-guard`). For each edge, the compiler
//! has added a number to the program, the edge's guard. It is zero for an edge that no longer matters to the strategy.

use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// The guards, which lie one behind the other, and how many there are.
static GUARDS: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// An edge of this program.
#[derive(Clone, Copy)]
pub(super) struct Edge(&'static AtomicU32);

impl Edge {
    /// The edge with this guard.
    ///
    /// # Safety
    /// `guard` is what the compiler passes to `__sanitizer_cov_trace_pc_guard`.
    #[inline]
    pub(super) unsafe fn new(guard: *mut u32) -> Edge {
        // SAFETY: the guard is a static variable, and only this module has access to it, always as an atomic.
        Edge(unsafe { AtomicU32::from_ptr(guard) })
    }

    /// The edge's number, from 0 on. It stays the same until the program is built anew.
    pub(super) fn number(self) -> usize {
        let first = GUARDS.load(Ordering::Relaxed).addr();
        (std::ptr::from_ref(self.0).addr() - first) / size_of::<AtomicU32>()
    }

    /// Whether the strategy must be asked when a thread passes.
    #[inline]
    pub(super) fn matters(self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// From now on, this edge does not matter.
    pub(super) fn forget(self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Notes where the guards are. Each instrumented part of the program says so, before `main`.
pub(super) fn found(start: *mut u32, stop: *mut u32) {
    GUARDS.store(start.cast(), Ordering::Relaxed);
    COUNT.store((stop.addr() - start.addr()) / size_of::<AtomicU32>(), Ordering::Relaxed);
}

/// Makes all edges matter: a simulation begins.
pub(super) fn all_matter() {
    let guards = GUARDS.load(Ordering::Relaxed);
    for number in 0..COUNT.load(Ordering::Relaxed) {
        // SAFETY: the compiler says that there are so many guards.
        unsafe { &*guards.add(number) }.store(1, Ordering::Relaxed);
    }
}

/// True if the program contains instrumented code.
pub(crate) fn is_instrumented() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}
