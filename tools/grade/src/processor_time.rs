//! How much processor time processes have used. Linux tells it in /proc.

use rustix::process::Pid;
use std::time::Duration;

/// True if this system tells it.
pub const IS_KNOWN: bool = cfg!(target_os = "linux");

/// The processor time of all processes in a group, and of those that they have waited for. None: this system does not tell it.
pub fn of_group(group: Pid) -> Option<Duration> {
    if !IS_KNOWN {
        return None;
    }
    let ticks: u64 = std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        // A process may have ended meanwhile.
        .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
        .filter_map(|stat| ticks(&stat, group))
        .sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1000 / per_second))
}

/// The clock ticks in a line of /proc/PID/stat. None: the process is in another group.
fn ticks(stat: &str, group: Pid) -> Option<u64> {
    // The second field is the program's name, in brackets; it may hold anything. The third is the state.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let is_in_group = number(5)? == i64::from(group.as_raw_nonzero().get());
    // Its own, in the program and in the kernel, and those of the children that it has waited for.
    let ticks = (14..=17).map(|field| number(field).unwrap_or(0)).sum::<i64>();
    is_in_group.then_some(ticks.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_a_group_are_read_whatever_the_name() {
        let line = "7 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 100 0 0";
        let group = |id| Pid::from_raw(id).unwrap();
        assert_eq!(ticks(line, group(42)), Some(110));
        assert_eq!(ticks(line, group(7)), None);
        assert_eq!(ticks("garbage", group(7)), None);
    }
}
