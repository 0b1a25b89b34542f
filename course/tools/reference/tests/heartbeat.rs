//! The tests of `reference_tests::heartbeat`, each in a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    reference_tests::heartbeat::run()
}
