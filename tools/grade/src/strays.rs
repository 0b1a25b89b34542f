//! Kills the processes that a test leaves behind.
//!
//! Killing the test's process group misses a process that has left the group. On Linux, the kernel makes the grader the
//! parent of all orphans below it ([`adopt`]). Every process that a test has started therefore stays a descendant of the
//! grader. The user's other processes are not its descendants, and are left alone.

#[cfg(target_os = "linux")]
mod linux {
    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};
    use std::collections::HashMap;
    use std::time::{Duration, Instant};

    /// How long to try: a process that does not die must not keep the grader from its result.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// From now on, orphans below this process become its children.
    pub fn adopt() {
        // Ignore an error: then only processes that have left their group are missed.
        let _ = set_child_subreaper(Some(getpid()));
    }

    /// Kills every descendant of this process. No thread may be waiting for a child.
    pub fn kill_all() {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = descendants();
            // Stop all first: a stopped process starts no others.
            for signal in [Signal::STOP, Signal::KILL] {
                left.iter().for_each(|pid| _ = kill_process(*pid, signal));
            }
            while let Ok(Some(_)) = waitpid(None, WaitOptions::NOHANG) {}
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// With zombies: a process whose first thread has ended may have others.
    fn descendants() -> Vec<Pid> {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process that has ended meanwhile has no file any more.
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            if let Some(parent) = parent_of(&stat) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut found = Vec::new();
        let mut parents = vec![getpid().as_raw_nonzero().get()];
        while let Some(parent) = parents.pop() {
            let these = children.remove(&parent).unwrap_or_default();
            found.extend(these.iter().filter_map(|pid| Pid::from_raw(*pid)));
            parents.extend(these);
        }
        found
    }

    /// The fourth field of /proc/PID/stat. The second field is a name in brackets, which may hold anything.
    pub(super) fn parent_of(stat: &str) -> Option<i32> {
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse().ok()
    }
}

#[cfg(target_os = "linux")]
pub use linux::{adopt, kill_all};

/// From now on, orphans below this process become its children.
#[cfg(not(target_os = "linux"))]
pub fn adopt() {}

/// Kills every descendant of this process. No thread may be waiting for a child.
#[cfg(not(target_os = "linux"))]
pub fn kill_all() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::parent_of;

    #[test]
    fn a_name_cannot_pose_as_fields() {
        assert_eq!(parent_of("12 (sleep) S 7 12 3"), Some(7));
        assert_eq!(parent_of("12 (a) Z 1 (b) R 7 12 3"), Some(7));
        assert_eq!(parent_of("12 (cut"), None);
    }
}
