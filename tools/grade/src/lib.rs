//! Grades hand-ins of Lab 2 (`raft.rs`) and of Lab 3 (four files): builds the files with a pristine copy of the workspace (one
//! without a student's changes), runs the tests of a part of the lab, and prints the scores as Autolab reads them.
//!
//! The program is [`main`]; `grade --help` lists what it can do. The public modules are for the program that sets up an
//! Autolab assessment. They say which tests there are, their points, and which folders a grading job needs.
#![forbid(unsafe_code)]

mod archive;
mod busy;
mod cargo_messages;
mod cli;
mod compile;
mod confine;
mod console;
pub mod deadlines;
mod disk;
mod folder;
mod folders;
mod foreign;
mod gate;
mod grading;
mod hunting;
pub mod lab;
mod limits;
mod outcome;
mod plan;
mod processor_time;
mod report;
mod run;
mod strays;
pub mod workspace;

pub use cli::main;
pub use plan::{Clock, Extra, check_hunt_points, worth};
