//! Scenarios: what one hunted run is like. A scenario is drawn from a seed, and has a text form that a person can type.

use harness::Strategy;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What one run is like. Displays as, for example, "3 servers, 2 clients, 1500 ms, uniform: loss, crash after a save".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// How many servers there are.
    pub servers: usize,
    /// How many clients work at once; 0: nobody asks for anything, and only elections are looked at.
    pub clients: usize,
    /// How long, in milliseconds of virtual time, clients work and faults happen.
    pub millis: u64,
    /// How the simulator chooses the next thread.
    pub strategy: Strategy,
    /// The size of Raft's state, in bytes, at which a server takes a snapshot. None: it never takes one.
    pub snapshots_at: Option<usize>,
    /// What goes wrong.
    pub faults: BTreeSet<Fault>,
}

/// When a fault happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// During the whole run.
    Always,
    /// At moments that the adversary chooses.
    Suddenly,
    /// When the servers do something: when one is elected, or restarts.
    OnOccasion,
}

/// Defines [`Fault`] from the list of faults: variant, name, when it happens, what happens.
macro_rules! faults {
    ($($variant:ident, $name:literal, $when:ident, $meaning:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $(#[doc = $meaning] $variant,)*
        }

        impl Fault {
            /// All kinds of faults.
            pub const ALL: [Fault; [$($name),*].len()] = [$(Fault::$variant),*];

            /// When it happens.
            pub(crate) fn when(self) -> When {
                match self {
                    $(Fault::$variant => When::$when,)*
                }
            }

            /// The name in a scenario's text.
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$variant => $name,)*
                }
            }
        }
    };
}

faults! {
    Loss, "loss", Always, "The network loses and delays messages, as the lab's unreliable network does.";
    Delays, "delays", Always, "Some messages take up to 600 ms, and later messages overtake them.";
    Reordering, "reordering", Always, "The network holds two replies in three back, by 200 to 2199 ms.";
    SlowLink, "slow link", Always, "Messages between two of the servers take up to 80 ms.";
    Timeouts, "long timeouts", Always, "An RPC that nobody answers returns after up to 7 s.";
    Stalls, "stalls", Always, "Now and then a thread stands still as it sends a request, gets one, or sends a reply.";
    ClientCut, "client cut", Suddenly, "A client does not reach one of the servers for a time, and gets no reply from it.";
    ClientAway, "client away", Suddenly, "A client is cut off from all servers during an operation. The others go on, and then all servers crash and restart, before the client is back.";
    OneWayCut, "one-way cut", Suddenly, "A server's requests do not reach another server, but that server's requests reach it.";
    Partition, "partition", Suddenly, "The servers are split into two groups.";
    LeaderCut, "leader cut", Suddenly, "The leader is cut off, alone or with others, but with less than a majority.";
    LeaderTwice, "leader changes twice", Suddenly, "As a leader cut, until another server leads. Then that one is cut off, and the first returns.";
    LeaderAgain, "leader again", Suddenly, "A leader is cut off with others, less than a majority, and gets many commands; then it is elected again, and cut off again, with others.";
    ThreadPause, "thread pause", Suddenly, "One thread of a server stands still for up to 600 ms.";
    ServerPause, "server pause", Suddenly, "All threads of a server stand still for up to 600 ms.";
    Standstill, "standstill", Suddenly, "All servers, or all but the leader, stand still for 0.6 to 1 s, without a heartbeat. Then their election timers are over at once.";
    Crash, "crash", Suddenly, "A server crashes.";
    CrashBeforeSave, "crash before a save", Suddenly, "A server crashes just before it saves its state.";
    CrashAfterSave, "crash after a save", Suddenly, "A server crashes just after it has saved its state.";
    CrashAfterReply, "crash after a reply", Suddenly, "A server crashes just after a reply has left. The reply arrives.";
    CrashAfterRequest, "crash after a request", Suddenly, "A server crashes just after a request has left. The request arrives.";
    CrashAtRestart, "crash at restart", OnOccasion, "A server that restarts crashes again before it can send or get a message.";
    CrashElected, "crash of the elected", OnOccasion, "A server crashes soon after it was elected.";
    CrashAll, "crash of all", Suddenly, "All servers crash at once.";
    SlowRestarts, "slow restarts", OnOccasion, "A crashed server restarts after 0.1 to 1 s. Without this fault it restarts within 20 ms.";
}

impl Fault {
    /// Whether a server crashes.
    fn is_a_crash(self) -> bool {
        use Fault::*;
        matches!(
            self,
            Crash
                | CrashBeforeSave
                | CrashAfterSave
                | CrashAfterReply
                | CrashAfterRequest
                | CrashElected
                | CrashAll
        )
    }

    /// Whether servers crash, among other things.
    pub(crate) fn makes_servers_crash(self) -> bool {
        self.is_a_crash() || self == Fault::ClientAway
    }

    /// Whether the fault means nothing unless another fault makes a server crash.
    fn needs_a_crash(self) -> bool {
        matches!(self, Fault::CrashAtRestart | Fault::SlowRestarts)
    }
}

impl Scenario {
    /// The scenario of a seed. `snapshots`: whether servers may take snapshots.
    pub fn draw(seed: u64, snapshots: bool) -> Scenario {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut servers = *[3, 3, 3, 3, 3, 5, 5, 5, 7].choose(rng).expect("the list is not empty");
        let mut clients = rng.random_range(1..=4);
        // Short runs are more frequent than long ones.
        let mut millis = 1000 + (4000.0 * rng.random::<f64>().powi(2)) as u64;
        use Strategy::{Pauses, Priorities, SlowPlaces, Uniform};
        let strategies =
            [Uniform, Uniform, Priorities, Pauses, SlowPlaces, SlowPlaces, SlowPlaces, SlowPlaces];
        let strategy = *strategies.choose(rng).expect("the list is not empty");
        let mut snapshots_at = (snapshots && rng.random_ratio(2, 3)).then(|| 100 << rng.random_range(0..4));
        // Few kinds of faults at a time: what one kind does may hide what another one would bring to light.
        let kinds = *[1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5, 8].choose(rng).expect("the list is not empty");
        let mut faults = Fault::ALL;
        faults.shuffle(rng);
        let mut faults: BTreeSet<Fault> = faults.into_iter().take(kinds).collect();
        if faults.iter().any(|fault| fault.needs_a_crash()) && !faults.iter().any(|fault| fault.is_a_crash())
        {
            faults.insert(Fault::Crash);
        }
        // What these need to mean anything.
        if faults.contains(&Fault::LeaderAgain) {
            servers = servers.max(5);
            millis = millis.max(3000);
        }
        if faults.contains(&Fault::ClientAway) {
            clients = clients.max(3);
            snapshots_at = snapshots_at.map(|size| size.min(200));
        }
        Scenario { servers, clients, millis, strategy, snapshots_at, faults }
    }

    /// Whether this kind of fault happens.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Whether the time that an operation takes says something about the solution. With the other strategies, threads pause or
    /// starve, and an operation that waits for no heartbeat may take as long as one that does.
    pub(crate) fn tells_speed(&self) -> bool {
        self.strategy == Strategy::Uniform
    }

    /// How long clients work and faults happen.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// Scenarios that are smaller by one step, those first that make the story simplest.
    pub fn smaller(&self) -> Vec<Scenario> {
        let mut smaller = Vec::new();
        for fault in &self.faults {
            let mut faults = self.faults.clone();
            faults.remove(fault);
            smaller.push(Scenario { faults, ..self.clone() });
        }
        if self.servers > 3 {
            smaller.push(Scenario { servers: self.servers - 2, ..self.clone() });
        }
        if self.clients > 1 {
            smaller.push(Scenario { clients: 1, ..self.clone() });
        }
        if self.snapshots_at.is_some() {
            smaller.push(Scenario { snapshots_at: None, ..self.clone() });
        }
        if self.millis > 500 {
            smaller.push(Scenario { millis: (self.millis / 2).max(500), ..self.clone() });
        }
        if self.strategy != Strategy::Uniform {
            smaller.push(Scenario { strategy: Strategy::Uniform, ..self.clone() });
        }
        smaller
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = if self.clients == 1 { "client" } else { "clients" };
        write!(f, "{} servers, {} {clients}, {} ms", self.servers, self.clients, self.millis)?;
        let strategy = Strategy::ALL.iter().find(|(_, strategy)| *strategy == self.strategy);
        write!(f, ", {}", strategy.map_or("", |(name, _)| name))?;
        if let Some(size) = self.snapshots_at {
            write!(f, ", snapshots at {size} bytes")?;
        }
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{} {}", if i == 0 { ":" } else { "," }, fault.name())?;
        }
        Ok(())
    }
}

/// A text is not a scenario. The message says which part of it is wrong, and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAScenario {
    part: String,
    allowed: String,
}

impl fmt::Display for NotAScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} does not belong in a scenario: {}", self.part, self.allowed)
    }
}

impl std::error::Error for NotAScenario {}

impl FromStr for Scenario {
    type Err = NotAScenario;

    fn from_str(text: &str) -> Result<Scenario, NotAScenario> {
        let (setting, faults) = text.split_once(':').unwrap_or((text, ""));
        let mut scenario = Scenario {
            servers: 3,
            clients: 1,
            millis: 1000,
            strategy: Strategy::Uniform,
            snapshots_at: None,
            faults: parts(faults).map(fault).collect::<Result<_, _>>()?,
        };
        for part in parts(setting) {
            scenario.set(part)?;
        }
        if scenario.clients == 0 && !scenario.faults.is_empty() {
            return Err(NotAScenario {
                part: "0 clients".to_string(),
                allowed: "without clients there are no faults".to_string(),
            });
        }
        Ok(scenario)
    }
}

/// The parts of a list with commas.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn fault(name: &str) -> Result<Fault, NotAScenario> {
    Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| NotAScenario {
        part: name.to_string(),
        allowed: format!("the faults are {}", Fault::ALL.map(Fault::name).join(", ")),
    })
}

impl Scenario {
    /// Takes one part of the text before the colon.
    fn set(&mut self, part: &str) -> Result<(), NotAScenario> {
        let wrong = || {
            NotAScenario {
            part: part.to_string(),
            allowed: "before the colon come, for example, \"3 servers, 2 clients, 1500 ms, uniform, snapshots at 500 \
                      bytes\" (2 to 15 servers, 0 to 20 clients, 1 to 60000 ms; uniform, priorities, pauses or slow-places)"
                .to_string(),
        }
        };
        if let Ok(strategy) = part.parse() {
            self.strategy = strategy;
            return Ok(());
        }
        let words: Vec<&str> = part.split(' ').collect();
        let number = |text: &str, range: std::ops::RangeInclusive<usize>| {
            text.parse().ok().filter(|number| range.contains(number)).ok_or_else(wrong)
        };
        match words[..] {
            [count, "servers"] => self.servers = number(count, 2..=15)?,
            [count, "client" | "clients"] => self.clients = number(count, 0..=20)?,
            [millis, "ms"] => self.millis = number(millis, 1..=60_000)? as u64,
            ["snapshots", "at", size, "bytes"] => self.snapshots_at = Some(number(size, 1..=1_000_000)?),
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_as_it_is_written() {
        for seed in 1..500 {
            for snapshots in [false, true] {
                let scenario = Scenario::draw(seed, snapshots);
                assert_eq!(scenario.to_string().parse(), Ok(scenario.clone()));
                assert!(snapshots || scenario.snapshots_at.is_none());
            }
        }
        assert_eq!(
            "3 servers, 1 client, 900 ms: crash after a save".parse::<Scenario>().unwrap().to_string(),
            "3 servers, 1 client, 900 ms, uniform: crash after a save"
        );
    }

    #[test]
    fn what_is_wrong_in_a_text_is_named() {
        for (text, part) in [
            ("3 servers: crash, rain", "\"rain\""),
            ("3 server", "\"3 server\""),
            ("1 servers", "\"1 servers\""),
            ("x ms", "\"x ms\""),
            ("3 servers, luck", "\"luck\""),
            ("3 servers, 0 clients: crash", "\"0 clients\""),
        ] {
            let message = text.parse::<Scenario>().unwrap_err().to_string();
            assert!(message.starts_with(part), "{message}");
        }
    }

    #[test]
    fn speed_is_checked_where_threads_run_freely() {
        let tells_speed = |text: &str| text.parse::<Scenario>().unwrap().tells_speed();
        assert!(tells_speed("3 servers, uniform: loss"));
        for strategy in ["priorities", "pauses", "slow-places"] {
            assert!(!tells_speed(strategy), "{strategy}");
        }
    }

    #[test]
    fn every_fault_is_drawn_and_can_be_taken_away() {
        let drawn: Vec<Scenario> = (1..500).map(|seed| Scenario::draw(seed, true)).collect();
        for fault in Fault::ALL {
            assert!(drawn.iter().any(|scenario| scenario.has(fault)), "{}", fault.name());
        }
        for scenario in &drawn {
            let smaller = scenario.smaller();
            assert!(smaller.iter().all(|other| other != scenario));
            for fault in &scenario.faults {
                assert!(smaller.iter().any(|other| !other.has(*fault)));
            }
        }
    }
}
