//! The environment: the `LAB_*` variables, in one table, and the few others that matter. Only the parent reads the
//! environment, once. It sends its children what they need to know ([`crate::protocol::Start`]).

use crate::protocol::Pictures;
use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::path::PathBuf;

/// A `LAB_*` variable. `docs/variables.md` has the same table.
pub struct Variable {
    /// The variable's name.
    pub name: &'static str,
    /// The allowed values, besides 0 and the empty text.
    pub values: &'static str,
    /// What holds when the variable is not set.
    pub default: &'static str,
    /// Whether the variable has a meaning only in a simulation.
    pub is_for_simulations: bool,
}

const SIM: &str = "LAB_SIM";
pub(crate) const SEED: &str = "LAB_SEED";
const RUNS: &str = "LAB_RUNS";
const KEEP_GOING: &str = "LAB_KEEP_GOING";
pub(crate) const STRATEGY: &str = "LAB_STRATEGY";
const TRACE: &str = "LAB_TRACE";
const TWICE: &str = "LAB_TWICE";
const SIM_SWITCH: &str = "LAB_SIM_SWITCH";
const PICTURE: &str = "LAB_PICTURE";
const PEAK_THREADS: &str = "LAB_PEAK_THREADS";
const STRICT: &str = "LAB_STRICT";

const SWITCH: &str = "1";
const NUMBER: &str = "a whole number from 1 on";

/// All `LAB_*` variables. 0 and the empty text turn a variable off, as if it were not set. `LAB_PICTURE` differs: 0
/// means no picture at all, and the empty text means the default.
pub const VARIABLES: [Variable; 11] = [
    Variable { name: SIM, values: SWITCH, default: "real time", is_for_simulations: false },
    Variable { name: SEED, values: NUMBER, default: "a new seed each time", is_for_simulations: true },
    Variable { name: RUNS, values: NUMBER, default: "one seed", is_for_simulations: true },
    Variable { name: KEEP_GOING, values: SWITCH, default: "stop", is_for_simulations: true },
    Variable {
        name: STRATEGY,
        values: "uniform, priorities, pauses or slow-places",
        default: "uniform",
        is_for_simulations: true,
    },
    Variable { name: TRACE, values: "a folder", default: "no traces", is_for_simulations: true },
    Variable { name: TWICE, values: SWITCH, default: "once", is_for_simulations: true },
    Variable { name: SIM_SWITCH, values: "kernel", default: "by registers", is_for_simulations: true },
    Variable { name: PICTURE, values: SWITCH, default: "on failure", is_for_simulations: false },
    Variable { name: PEAK_THREADS, values: SWITCH, default: "not counted", is_for_simulations: false },
    Variable { name: STRICT, values: SWITCH, default: "a warning", is_for_simulations: false },
];

/// What the environment asks for.
pub(crate) struct Environment {
    /// None: the tests run in real time.
    pub(crate) simulations: Option<Simulations>,
    pub(crate) pictures: Pictures,
    pub(crate) counts_threads: bool,
    /// Whether threads that are left behind fail a test.
    pub(crate) is_strict: bool,
    /// Whether `RUST_LOG` asks for a log.
    pub(crate) prints_log: bool,
}

/// Which simulations to run.
pub(crate) struct Simulations {
    /// The first seed. None: a new seed.
    pub(crate) seed: Option<u64>,
    /// The number of seeds for each test.
    pub(crate) runs: u64,
    pub(crate) keep_going: bool,
    pub(crate) strategy: sim::Strategy,
    /// The folder for traces. None: traces are not kept.
    pub(crate) traces: Option<PathBuf>,
    /// Whether each seed is run twice and the traces are compared.
    pub(crate) twice: bool,
    /// Whether each simulated thread is a kernel thread.
    pub(crate) on_kernel_threads: bool,
}

/// Why the environment makes no sense. The message says what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EnvironmentError {
    /// There is no such variable.
    Unknown(String),
    /// A variable cannot have this value.
    Wrong { name: &'static str, value: String, allowed: &'static str },
    /// A variable for simulations is set, but the tests run in real time.
    RealTime(&'static str),
    /// A simulation is wanted, but there is no simulator for this system.
    NoSimulator,
    /// Only code that is built for races has slow places.
    NoPlaces,
    /// Threads are wanted to be counted, but this system does not tell how many there are.
    NoThreads,
    /// From this seed on, there are fewer than `runs` seeds.
    LastSeed { seed: u64, runs: u64 },
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvironmentError::Unknown(name) => {
                let names: Vec<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
                write!(f, "{name}: there is no such variable; there are {}", names.join(", "))
            }
            EnvironmentError::Wrong { name, value, allowed } => {
                write!(f, "{name}={value}: it must be {allowed}; 0 or nothing turns it off")
            }
            EnvironmentError::RealTime(name) => write!(f, "{name} is for simulations: set {SIM}=1 too"),
            EnvironmentError::NoSimulator => write!(
                f,
                "{SIM}=1: simulation works only on x86-64 and aarch64 Linux with glibc; without {SIM} the tests run in \
                 real time"
            ),
            EnvironmentError::NoPlaces => {
                write!(
                    f,
                    "{STRATEGY}=slow-places: this needs `make sim-races`, which builds the lab in a special way"
                )
            }
            EnvironmentError::NoThreads => {
                write!(f, "{PEAK_THREADS}=1: threads can be counted on Linux only")
            }
            EnvironmentError::LastSeed { seed, runs } => {
                write!(
                    f,
                    "{SEED}={seed}: there are no {runs} seeds from there on ({RUNS}); the last is {}",
                    u64::MAX
                )
            }
        }
    }
}

impl std::error::Error for EnvironmentError {}

impl Default for Simulations {
    /// One simulation of each test, with a new seed.
    fn default() -> Simulations {
        Simulations {
            seed: None,
            runs: 1,
            keep_going: false,
            strategy: sim::Strategy::default(),
            traces: None,
            twice: false,
            on_kernel_threads: false,
        }
    }
}

impl Environment {
    /// Reads the environment variables.
    pub(crate) fn read() -> Result<Environment, EnvironmentError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let of_the_lab = std::env::vars_os().map(|(name, value)| (text(name), value));
        let of_the_lab = of_the_lab.filter(|(name, _)| name.starts_with("LAB_"));
        let values = Values(of_the_lab.map(|(name, value)| (name, text(value))).collect());
        let prints_log = variable("RUST_LOG").is_some();
        Ok(Environment { prints_log, ..values.environment(sim::SUPPORTED, sim::is_instrumented())? })
    }
}

/// The `LAB_*` variables by name.
struct Values(BTreeMap<String, String>);

impl Values {
    /// `can_simulate`: whether there is a simulator. `has_places`: whether this program is built for races.
    fn environment(&self, can_simulate: bool, has_places: bool) -> Result<Environment, EnvironmentError> {
        let is_known = |name: &str| VARIABLES.iter().any(|variable| variable.name == name);
        if let Some(name) = self.0.keys().find(|name| !is_known(name)) {
            return Err(EnvironmentError::Unknown(name.clone()));
        }
        let simulations = self.simulations()?;
        let for_simulations = VARIABLES.iter().filter(|variable| variable.is_for_simulations);
        let is_simulated = self.switch(SIM)?;
        if !is_simulated
            && let Some(set) = for_simulations.map(|v| v.name).find(|name| self.on(name).is_some())
        {
            return Err(EnvironmentError::RealTime(set));
        }
        if is_simulated && !can_simulate {
            return Err(EnvironmentError::NoSimulator);
        }
        if simulations.strategy == sim::Strategy::SlowPlaces && !has_places {
            return Err(EnvironmentError::NoPlaces);
        }
        let counts_threads = self.switch(PEAK_THREADS)?;
        if counts_threads && !cfg!(target_os = "linux") {
            return Err(EnvironmentError::NoThreads);
        }
        let pictures = match (self.0.get(PICTURE).map(String::as_str), self.switch(PICTURE)?) {
            (_, true) => Pictures::Always,
            (None | Some(""), _) => Pictures::OnFailure,
            _ => Pictures::Never,
        };
        Ok(Environment {
            simulations: is_simulated.then_some(simulations),
            pictures,
            counts_threads,
            is_strict: self.switch(STRICT)?,
            prints_log: false,
        })
    }

    fn simulations(&self) -> Result<Simulations, EnvironmentError> {
        let (seed, runs) = (self.number(SEED)?, self.number(RUNS)?.unwrap_or(1));
        if let Some(seed) = seed.filter(|seed| seed.checked_add(runs - 1).is_none()) {
            return Err(EnvironmentError::LastSeed { seed, runs });
        }
        Ok(Simulations {
            seed,
            runs,
            keep_going: self.switch(KEEP_GOING)?,
            strategy: match self.on(STRATEGY) {
                Some(name) => name.parse().map_err(|_| self.wrong(STRATEGY))?,
                None => sim::Strategy::default(),
            },
            traces: self.on(TRACE).map(PathBuf::from),
            twice: self.switch(TWICE)?,
            on_kernel_threads: match self.on(SIM_SWITCH) {
                Some("kernel") => true,
                Some(_) => return Err(self.wrong(SIM_SWITCH)),
                None => false,
            },
        })
    }

    /// The variable's value. None: the variable is off (0, empty or not set).
    fn on(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !["", "0"].contains(value))
    }

    fn switch(&self, name: &'static str) -> Result<bool, EnvironmentError> {
        match self.on(name) {
            Some("1") => Ok(true),
            Some(_) => Err(self.wrong(name)),
            None => Ok(false),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, EnvironmentError> {
        let number = self.on(name).map(str::parse).transpose();
        number.ok().filter(|number| *number != Some(0)).ok_or_else(|| self.wrong(name))
    }

    fn wrong(&self, name: &'static str) -> EnvironmentError {
        let allowed = VARIABLES.iter().find(|variable| variable.name == name);
        EnvironmentError::Wrong {
            name,
            value: self.0.get(name).cloned().unwrap_or_default(),
            allowed: allowed.map_or("", |variable| variable.values),
        }
    }
}

/// The value of a variable that is not one of the lab's. None: it is empty or not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value).filter(|value| !value.is_empty()),
        Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
        Err(VarError::NotPresent) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(variables: &[(&str, &str)], can_simulate: bool) -> Option<EnvironmentError> {
        error_in(variables, can_simulate, false)
    }

    fn error_in(
        variables: &[(&str, &str)],
        can_simulate: bool,
        has_places: bool,
    ) -> Option<EnvironmentError> {
        let values = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Values(values).environment(can_simulate, has_places).err()
    }

    #[test]
    fn slow_places_need_a_program_that_is_built_for_races() {
        let variables = [(SIM, "1"), (STRATEGY, "slow-places")];
        assert_eq!(error_in(&variables, true, false), Some(EnvironmentError::NoPlaces));
        assert_eq!(error_in(&variables, true, true), None);
    }

    #[test]
    fn a_simulation_is_refused_where_there_is_no_simulator() {
        assert_eq!(error_of(&[(SIM, "1")], false), Some(EnvironmentError::NoSimulator));
        assert_eq!(
            error_of(&[(SIM, "1"), (SEED, "7"), (RUNS, "10")], false),
            Some(EnvironmentError::NoSimulator)
        );
        assert_eq!(error_of(&[(SIM, "1")], true), None);
        assert_eq!(error_of(&[(SIM, "0")], false), None);
        assert_eq!(error_of(&[], false), None);
    }
}
