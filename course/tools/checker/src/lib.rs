//! What the two programs of this crate measure the linearizability checker with: histories that are made from a seed,
//! and the text format in which porcupine reads the same histories.
#![forbid(unsafe_code)]

pub mod histories;
pub mod logs;
