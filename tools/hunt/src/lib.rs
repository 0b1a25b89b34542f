//! Hunts for bugs: makes many short runs in simulation, each with a few kinds of faults that are drawn from its seed (swarm
//! testing), and checks the properties of Figure 3 of the Raft paper. `make hunt` runs it; docs/simulation.md explains it.
//!
//! | modules | task |
//! | --- | --- |
//! | `scenario` | what one run is like |
//! | `search` | looks for a run that fails, and for the smallest one |
//! | `command` | the command line of a hunting program |
//! | `run`, `cluster`, `adversary` | one run, in a process of its own: the servers, and what happens to them |
//!
//! A program that hunts has a [`Prey`]: the test that makes one run. The test starts servers with [`Run::begin`], lets
//! clients work while [`Run::disturb`] disturbs the servers, and checks what the servers and the clients say. A check that
//! fails calls `harness::fail`.
#![forbid(unsafe_code)]

mod adversary;
mod cluster;
mod command;
mod run;
mod scenario;
mod search;

pub use cluster::{Cluster, Demand, Host, Instance, Life};
pub use command::{Prey, main};
pub use run::{POLL, Run, scenario};
pub use scenario::{Fault, NotAScenario, Scenario};
pub use search::{Failure, Found, Outcome, Progress, Search, Trial};
