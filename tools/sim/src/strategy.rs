//! How the schedule is drawn.

use std::str::FromStr;

/// How the next thread is chosen, and what else happens to threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Each thread that could run is as likely as any other.
    #[default]
    Uniform,
    /// The thread with the highest priority runs. Priorities are drawn, and now and then one is drawn anew: some
    /// threads starve for a while, as in "A randomized scheduler with probabilistic guarantees of finding bugs" (PCT).
    Priorities,
    /// As uniform, but several times a second a thread stops wherever it is for up to 20 ms, as on a busy machine.
    Pauses,
    /// As pauses, but for up to 400 ms: long enough for an election behind the thread's back. And the lab's network
    /// delays some messages even longer. No real run is as bad: what is late here only is not the student's fault.
    Storm,
}

impl Strategy {
    /// All, by name.
    pub const ALL: [(&'static str, Strategy); 4] = [
        ("uniform", Strategy::Uniform),
        ("priorities", Strategy::Priorities),
        ("pauses", Strategy::Pauses),
        ("storm", Strategy::Storm),
    ];
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Strategy, String> {
        let found = Strategy::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, strategy)| *strategy).ok_or_else(|| {
            let names: Vec<&str> = Strategy::ALL.iter().map(|(name, _)| *name).collect();
            format!("there is no strategy {name:?}; there are {}", names.join(", "))
        })
    }
}
