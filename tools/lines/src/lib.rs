//! The lines that tests print and that tools read. Each format is defined once, here: its writer uses `Display`, its
//! reader `FromStr`.
//!
//! | type | line |
//! | --- | --- |
//! | [`PassedLine`] | `  ... Passed --  15.5  5  4653  126` |
//! | [`LogLine`] | `  1234.567 S2  L5   AppendEntries  text` |
#![forbid(unsafe_code)]

mod log_line;
mod passed_line;

pub use log_line::{Level, LogLine, NotALogLine, State, Who, continuation};
pub use passed_line::{NotAPassedLine, PassedLine};
