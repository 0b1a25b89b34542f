#![doc = include_str!("../../../../docs/go-to-rust.md")]
#![forbid(unsafe_code)]

mod error;
mod modules;
mod names;
mod page;

pub use error::Error;
pub use modules::Modules;
pub use names::Names;
pub use page::{Page, Row};
