//! Limits on the number of processes and threads.

use rustix::process::{Resource, getrlimit};

/// How many processes and threads the user may have; None if only the machine limits them.
pub fn process_limit() -> Option<u64> {
    getrlimit(Resource::Nproc).current
}

/// The limit on the user's processes and threads while a hand-in is compiled: far above what a compiler needs, far below what
/// freezes a machine.
pub fn processes() -> u64 {
    const ROOM: u64 = 2000;
    threads_of_the_machine() + ROOM
}

/// The number of threads of all users, which is at least the number of the user's own; 0 where there is no /proc.
fn threads_of_the_machine() -> u64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().nth(3).and_then(|field| field.split_once('/')?.1.parse().ok()).unwrap_or_default()
}
