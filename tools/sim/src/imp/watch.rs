//! Watches from outside whether the simulation makes progress. If not, finds out where its running thread is.

use super::{places, progress, real};
use crate::options::Place;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the caller should call [`Watch::look`].
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
/// How long the simulation may stand still.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait until the thread with the baton has answered the signal.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Watches a simulation from a thread that is not simulated.
#[derive(Default)]
pub(crate) struct Watch {
    /// The progress at the last look.
    progress: u64,
    /// The process's processor time at the last look.
    processor_time: Duration,
    /// How long there has been no progress. This leaves out the time in which the simulation could run but got no
    /// processor, and the time in which it waited until somebody reads its output: on a busy machine both may be long.
    stuck: Duration,
}

impl Watch {
    /// Looks whether the simulation makes progress. The caller calls this once in each `interval`. If there has been no
    /// progress for as long as `patience`, returns the places where the thread with the baton is.
    pub(crate) fn look(&mut self, interval: Duration, patience: Duration) -> Option<Vec<Place>> {
        let processor_time = processor_time();
        let progress = progress::count();
        if progress != self.progress {
            *self = Watch { progress, processor_time, stuck: Duration::ZERO };
            return None;
        }
        // The time since the last look is not measured: when a debugger stops the process, real time passes.
        self.stuck += if others_run() {
            processor_time.saturating_sub(self.processor_time).min(interval)
        } else if waits_for_its_reader() {
            Duration::ZERO
        } else {
            interval
        };
        self.processor_time = processor_time;
        (self.stuck >= patience).then(places_of_holder)
    }
}

/// The processor time that this process has used.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

/// True if another thread of this process runs, or would run if it got a processor. False if all others wait in the
/// kernel.
fn others_run() -> bool {
    // SAFETY: gettid takes no argument and always succeeds.
    let own = unsafe { libc::gettid() }.to_string();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter(|task| task.file_name() != own.as_str()).any(|task| {
        // The file of a thread that has just ended cannot be read.
        is_running(&std::fs::read_to_string(task.path().join("stat")).unwrap_or_default())
    })
}

/// True if standard output or standard error is full: whoever reads it does not get on.
fn waits_for_its_reader() -> bool {
    is_full(libc::STDOUT_FILENO) || is_full(libc::STDERR_FILENO)
}

/// True if a thread that writes to the file now would wait.
fn is_full(file: c_int) -> bool {
    let mut wanted = libc::pollfd { fd: file, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointer is valid for one element. The call does not wait.
    unsafe { libc::poll(&mut wanted, 1, 0) == 0 }
}

/// True if the thread with this `stat` file runs or waits for a disk: its third field is R or D. The second field is a
/// name in brackets, which may contain anything.
fn is_running(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.split_whitespace().next(), Some("R" | "D")))
}

/// Return addresses of the thread that got the signal, the innermost first; 0 after the last one.
static FRAMES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Held while a thread is asked, because there is room for one answer.
static ASKING: Mutex<()> = Mutex::new(());

/// Handles the signal: stores the backtrace of the thread that it interrupted.
extern "C" fn answer(_signal: c_int) {
    let mut count = 0;
    // SAFETY: the function must not run on two threads at a time. Only `ask` sends the signal, to one thread at a time,
    // and asks no other thread before this one has answered.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
            count += 1;
            count < FRAMES.len()
        });
    }
    if let Some(after_the_last) = FRAMES.get(count) {
        after_the_last.store(0, Ordering::Relaxed);
    }
    ANSWERED.store(true, Ordering::Release);
}

/// The places where the thread with the baton is. A signal asks the thread, because it makes no call in which the
/// simulator could ask it. The signal's handler runs on the stack for signals, because the thread's own may be full.
fn places_of_holder() -> Vec<Place> {
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    ask(progress::holder(), libc::SA_ONSTACK).unwrap_or_default()
}

/// The places where real threads of this process are, by their kernel ids. Empty for a thread that has ended, and for all
/// threads from the first one on that does not answer.
pub(crate) fn places_of_threads(kernel_ids: &[usize]) -> Vec<Vec<Place>> {
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    let answers = kernel_ids.iter().map(|id| ask(libc::pid_t::try_from(*id).ok()?, 0));
    let mut places: Vec<Vec<Place>> = answers.map_while(|answer| answer).collect();
    places.resize_with(kernel_ids.len(), Vec::new);
    places
}

/// Asks a thread by a signal where it is. None: it does not answer. Then nobody may be asked any more, because the answer
/// may still come.
fn ask(kernel_id: libc::pid_t, flags: c_int) -> Option<Vec<Place>> {
    ANSWERED.store(false, Ordering::Release);
    // SAFETY: all zeros is a valid `sigaction`, and the handler that is put there has the right type. The signal goes
    // to a thread of this process, or to none if that thread has ended.
    let is_sent = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = answer as *const () as usize;
        action.sa_flags = flags | libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
        real::syscall()(libc::SYS_tgkill, libc::getpid(), kernel_id, libc::SIGUSR2) == 0
    };
    if !is_sent {
        return Some(Vec::new());
    }
    let deadline = Instant::now() + ANSWER_TIME;
    while !ANSWERED.load(Ordering::Acquire) {
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let addresses = FRAMES.iter().map(|frame| frame.load(Ordering::Relaxed)).take_while(|ip| *ip != 0);
    Some(places::of_addresses(addresses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::sync::Arc;

    #[test]
    fn a_threads_state_is_read_after_its_name() {
        assert!(is_running("7 (a) S 1) R 1 7 7 0"));
        assert!(!is_running("7 (R) S 1 7 7 0"));
        assert!(!is_running(""));
    }

    #[test]
    fn a_pipe_is_full_until_somebody_reads() {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let file = writer.as_raw_fd();
        // SAFETY: the file is open; only its flags change.
        assert_eq!(unsafe { libc::fcntl(file, libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        assert!(!is_full(file));
        let mut written = 0;
        while let Ok(count) = writer.write(&[0; 4096]) {
            written += count;
        }
        assert!(is_full(file));
        reader.read_exact(&mut vec![0; written]).unwrap();
        assert!(!is_full(file));
    }

    #[test]
    fn only_processor_time_counts_while_another_thread_runs() {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || while !stop.load(Ordering::Relaxed) {}
        });
        let mut watch =
            Watch { progress: progress::count(), processor_time: processor_time(), ..Watch::default() };
        let (interval, patience) = (Duration::from_secs(5), Duration::from_secs(10));
        // During three looks the thread cannot have used ten seconds of processor time.
        assert!((0..3).all(|_| watch.look(interval, patience).is_none()));
        let before = watch.stuck;
        while watch.stuck == before {
            watch.look(interval, patience);
        }
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }
}
