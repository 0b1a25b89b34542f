//! The type of a test.

/// A test: the name of its function, and the function.
pub type Test = (&'static str, fn());
