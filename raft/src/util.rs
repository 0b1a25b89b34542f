//! Debugging output (Go: util.go).

/// Logs a line for debugging (Go: `DPrintf`). The line is printed if the program runs with `RUST_LOG=debug`. With
/// `RUST_LOG=raft=debug`, only the lines of the crate `raft` are printed.
#[macro_export]
macro_rules! dprintf {
    ($($arg:tt)+) => { ::log::debug!($($arg)+) };
}
