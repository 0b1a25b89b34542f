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
    /// How long the process had run when it was looked at last.
    run: Duration,
    /// How long nothing new was found. Not counted is the time in which the simulation could not get a processor: on a
    /// machine with too much to do, it has the lowest priority.
    stuck: Duration,
}

impl Watch {
    /// Looks, once in each interval, whether the simulation gets on; if it has not for so long, where it is. Time by the
    /// clock says less: in a debugger, it passes for this thread too.
    pub(crate) fn look(&mut self, interval: Duration, patience: Duration) -> Option<Vec<Place>> {
        let run = processor_time();
        let progress = PROGRESS.load(Ordering::Relaxed);
        if progress != self.progress {
            *self = Watch { progress, run, stuck: Duration::ZERO };
            return None;
        }
        self.stuck += if others_run() { run.saturating_sub(self.run).min(interval) } else { interval };
        self.run = run;
        (self.stuck >= patience).then(places_of_holder)
    }
}

/// How long this process has run.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

/// Whether another thread of this process runs, or would if it got a processor. The rest wait in the system.
fn others_run() -> bool {
    // SAFETY: it takes no argument and always succeeds.
    let own = unsafe { libc::gettid() }.to_string();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter(|task| task.file_name() != own.as_str()).any(|task| {
        // One that ends meanwhile has no file any more.
        runs(&std::fs::read_to_string(task.path().join("stat")).unwrap_or_default())
    })
}

/// The third field of a thread's stat: it runs, or waits for the disk. The second is a name in brackets, which may hold
/// anything.
fn runs(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.split_whitespace().next(), Some("R" | "D")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_threads_state_stands_behind_its_name() {
        assert!(runs("7 (a) S 1) R 1 7 7 0"));
        assert!(!runs("7 (R) S 1 7 7 0"));
        assert!(!runs(""));
    }

    #[test]
    fn what_runs_is_given_the_time_that_it_has_run() {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || while !stop.load(Ordering::Relaxed) {}
        });
        let mut watch =
            Watch { progress: PROGRESS.load(Ordering::Relaxed), run: processor_time(), ..Watch::default() };
        let (interval, patience) = (Duration::from_secs(5), Duration::from_secs(10));
        // Three looks, by which it cannot have run for ten seconds.
        assert!((0..3).all(|_| watch.look(interval, patience).is_none()));
        let before = watch.stuck;
        while watch.stuck == before {
            watch.look(interval, patience);
        }
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }
}
