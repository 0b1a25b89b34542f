use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be read.
#[derive(Debug)]
pub struct Error {
    file: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    Syntax(syn::Error),
}

impl Error {
    pub(crate) fn io(file: &Path, cause: io::Error) -> Error {
        Error { file: file.to_path_buf(), cause: Cause::Io(cause) }
    }

    pub(crate) fn syntax(file: &Path, cause: syn::Error) -> Error {
        Error { file: file.to_path_buf(), cause: Cause::Syntax(cause) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.cause {
            Cause::Io(e) => write!(f, "cannot read {file}: {e}"),
            Cause::Syntax(e) => write!(f, "{file} is not Rust: line {}: {e}", e.span().start().line),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match &self.cause {
            Cause::Io(e) => e,
            Cause::Syntax(e) => e,
        })
    }
}
