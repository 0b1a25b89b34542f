//! The program `grade`. Its command line is read in the library's module `cli`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    grade::main()
}
