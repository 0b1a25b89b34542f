//! What a test is.

/// A test: the name of its function, and the function.
pub type Test = (&'static str, fn());
