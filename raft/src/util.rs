//! Debugging output (Go: util.go).

/// Prints a line while debugging (Go: `DPrintf`). It is silent unless the program runs with `RUST_LOG=debug`, or
/// `RUST_LOG=raft=debug` for one crate's lines only.
#[macro_export]
macro_rules! dprintf {
    ($($arg:tt)+) => { ::log::debug!($($arg)+) };
}
