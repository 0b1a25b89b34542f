//! Whether other programs had the processors while a test ran in real time. Linux tells it in /proc.
//!
//! On a machine that is too busy, a right solution can fail a test that runs in real time: its heartbeats come too late. What is
//! measured here is all the work of the machine, less the work of this process and of those that it has started. The time that
//! a virtual machine's host has taken away counts as the work of others.

/// The part of all the processors' time, from 0 to 1, from which on others may be why a test has failed. Two gradings side by
/// side on a small machine are more than that.
const MUCH: f64 = 0.25;

/// Clock ticks since the machine, or this process, has started.
#[derive(Clone, Copy)]
struct Ticks {
    /// All processors' time.
    all: u64,
    /// Their time without work.
    idle: u64,
    /// The time that this process and the processes that it has waited for have used.
    own: u64,
}

impl Ticks {
    /// None: this system does not tell it.
    fn now() -> Option<Ticks> {
        let read = |path| std::fs::read_to_string(path).ok();
        Ticks::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
    }

    /// `machine` is the text of /proc/stat, `process` that of /proc/self/stat.
    fn parse(machine: &str, process: &str) -> Option<Ticks> {
        let numbers = |words: &str| -> Option<Vec<u64>> {
            words.split_whitespace().map(|word| word.parse().ok()).collect()
        };
        // user, nice, system, idle, iowait, irq, softirq, steal. Guests' time, which follows, is part of user and nice.
        let machine = numbers(machine.lines().next()?.strip_prefix("cpu ")?)?;
        // Behind the program's name, which may hold anything, come the state (3) and then numbers, some of them negative. Own
        // time is in the fields 14 and 15, that of processes that were waited for in 16 and 17.
        let process: Vec<&str> = process.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Ticks {
            all: machine.get(..8)?.iter().sum(),
            idle: machine[3] + machine[4],
            own: numbers(&process.get(14 - 3..=17 - 3)?.join(" "))?.iter().sum(),
        })
    }
}

/// Watches the processors from a moment on.
pub(crate) struct Watch(Option<Ticks>);

impl Watch {
    /// From now on.
    pub(crate) fn begin() -> Watch {
        Watch(Ticks::now())
    }

    /// What percentage of all the processors' time others have used since then, if it is much. To be asked when all processes that
    /// this one has started since then have ended and were waited for. None: it is little, or the system does not tell it.
    pub(crate) fn others_used(&self) -> Option<u32> {
        percentage(self.0?, Ticks::now()?)
    }
}

fn percentage(begin: Ticks, end: Ticks) -> Option<u32> {
    let since = |ticks: fn(Ticks) -> u64| ticks(end).saturating_sub(ticks(begin)) as f64;
    let all = since(|ticks| ticks.all);
    let others = (all - since(|ticks| ticks.idle) - since(|ticks| ticks.own)) / all;
    (all > 0.0 && others >= MUCH).then_some((100.0 * others) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_of_the_machine_and_of_the_process_are_read() {
        let machine = "cpu  100 10 50 1000 30 1 2 40 99 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let process = "7 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 100 0 0";
        let Ticks { all, idle, own } = Ticks::parse(machine, process).unwrap();
        assert_eq!((all, idle, own), (1233, 1030, 110));
        for (machine, process) in
            [("", process), ("cpu  1 2\n", process), ("cpu  x\n", process), (machine, "7 (a) S 1")]
        {
            assert!(Ticks::parse(machine, process).is_none(), "{machine:?} {process:?}");
        }
    }

    #[test]
    fn only_the_work_of_others_counts() {
        let begin = Ticks { all: 1000, idle: 500, own: 100 };
        let after =
            |idle: u64, own: u64| percentage(begin, Ticks { all: 1200, idle: 500 + idle, own: 100 + own });
        // 200 ticks have passed.
        assert_eq!(after(0, 0), Some(100));
        assert_eq!(after(0, 100), Some(50));
        assert_eq!(after(150, 0), Some(25));
        // The test itself was busy, or nobody was.
        assert_eq!(after(10, 190), None);
        assert_eq!(after(160, 0), None);
        assert_eq!(percentage(begin, begin), None);
    }

    #[test]
    fn linux_tells_it() {
        assert_eq!(Ticks::now().is_some(), cfg!(target_os = "linux"));
    }
}
