//! Checks files of a hand-in: `rules FILE...` prints what is wrong with the first file that breaks a rule. The exit code is 0 if
//! none does, 1 if one does, and 2 if a file cannot be read.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    for path in std::env::args().skip(1) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => {
                eprintln!("rules: cannot read {path}: {e}");
                return ExitCode::from(2);
            }
        };
        let name =
            Path::new(&path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned());
        if let Some(violation) = rules::check(&name, &text) {
            eprintln!("rules: {violation}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
