#![doc = include_str!("../../../../docs/go-to-rust.md")]
#![forbid(unsafe_code)]

mod names;
mod page;

pub use names::Names;
pub use page::{Page, Row};
