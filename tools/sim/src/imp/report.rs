//! What to say when a simulation does not get on.

use super::real;
use super::scheduler::{HOLDER, PROGRESS};
use crate::Place;
use backtrace::Backtrace;
use std::ffi::c_int;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Where a thread is.
pub(crate) struct ThreadReport {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) places: Vec<Place>,
}

/// The lines of a backtrace, the innermost first.
pub(crate) fn places(mut backtrace: Backtrace) -> Vec<Place> {
    backtrace.resolve();
    let symbols = backtrace.frames().iter().flat_map(|frame| frame.symbols());
    symbols.filter_map(place).collect()
}

fn place(symbol: &backtrace::BacktraceSymbol) -> Option<Place> {
    let function = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
    Some(Place { file: symbol.filename()?.to_path_buf(), line: symbol.lineno()?, function })
}

pub(crate) fn deadlock(threads: &[ThreadReport], show: fn(&[Place]) -> String) -> String {
    let mut text = "deadlock: every thread waits, and none for a time\n".to_string();
    for thread in threads {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  thread \"{}\" {}, at", thread.name, thread.state);
        text += &show(&thread.places);
    }
    text
}

/// Where the thread is that was asked by a signal.
static FRAMES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static ANSWERED: AtomicBool = AtomicBool::new(false);

extern "C" fn answer(_signal: c_int) {
    let mut count = 0;
    // SAFETY: only the one thread that is asked runs this, once.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
            count += 1;
            count < FRAMES.len()
        });
    }
    ANSWERED.store(true, Ordering::Release);
}

/// Where the thread with the baton is. It is asked by a signal, since it makes no call in which it could be asked
/// otherwise.
fn places_of_holder() -> Vec<Place> {
    // SAFETY: the action is all zeros but for the handler, which is a function of the right type. The signal goes to a
    // thread of this process; if it has ended, to none.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = answer as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
        real::syscall()(libc::SYS_tgkill, libc::getpid(), HOLDER.load(Ordering::Relaxed), libc::SIGUSR2);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while !ANSWERED.load(Ordering::Acquire) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut places = Vec::new();
    for frame in FRAMES.iter().map(|frame| frame.load(Ordering::Relaxed)).take_while(|ip| *ip != 0) {
        backtrace::resolve(frame as *mut _, |symbol| {
            let function = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                places.push(Place { file: file.to_path_buf(), line, function });
            }
        });
    }
    places
}

/// Watches a simulation from a thread that is not simulated.
#[derive(Default)]
pub(crate) struct Watch {
    progress: u64,
    /// How many looks have found nothing new. Time says less: in a debugger, it passes for this thread too.
    looks: u32,
}

impl Watch {
    /// Looks whether the simulation gets on; if so many looks in a row have found that it does not, where it is.
    pub(crate) fn look(&mut self, patience: u32) -> Option<Vec<Place>> {
        let progress = PROGRESS.load(Ordering::Relaxed);
        if progress != self.progress {
            *self = Watch { progress, looks: 0 };
        }
        self.looks += 1;
        (self.looks > patience).then(places_of_holder)
    }
}
