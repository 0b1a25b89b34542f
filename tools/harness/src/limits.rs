//! How many threads this process can have.

use rustix::process::{Resource, getrlimit, getuid};

/// More threads than any test needs.
const PLENTY: u64 = 4096;

/// The number of threads that are left to those that do not come from labrpc's pool.
const SPARE: u64 = 6;

/// How many threads labrpc's pool can have. None: it is not limited, or the limit is not known. On Linux the limit (ulimit -u)
/// holds for all processes and threads of the user together.
pub(crate) fn threads_of_the_pool() -> Option<usize> {
    let user = getuid();
    // The limit does not hold for root.
    if user.is_root() {
        return None;
    }
    // There is at least this process.
    let used = Some(threads_of_user(user.as_raw())).filter(|used| *used > 0)?;
    let room = getrlimit(Resource::Nproc).current?.saturating_sub(used);
    (room < PLENTY).then(|| usize::try_from(room.saturating_sub(SPARE).max(1)).ok())?
}

/// The number of processes and threads of a user, as far as they can be seen from here; 0 where there is no /proc.
pub fn threads_of_user(user: u32) -> u64 {
    let user = user.to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let threads = processes.filter_map(|process| {
        let status = std::fs::read_to_string(process.path().join("status")).ok()?;
        let field = |label: &str| {
            let line = status.lines().find(|line| line.starts_with(label))?;
            line[label.len()..].split_whitespace().next()
        };
        (field("Uid:")? == user).then(|| field("Threads:")?.parse::<u64>().ok())?
    });
    threads.sum()
}
