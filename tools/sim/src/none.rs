//! The same functions as the simulator's, for programs that are built without it.

use crate::{Options, Outcome, Place};
use std::fmt;
use std::time::Duration;

pub(crate) const SUPPORTED: bool = false;

pub(crate) fn run(options: Options, _name: &str, _f: impl FnOnce() + Send + 'static) -> Outcome {
    (options.hooks.fail)("this program was built without the simulator, or it runs on another system")
}

pub(crate) fn is_simulated() -> bool {
    false
}

pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    f()
}

pub(crate) fn elapsed() -> Option<Duration> {
    None
}

pub(crate) fn trace(_text: fmt::Arguments<'_>) {}

pub(crate) fn flush_trace() {}

pub(crate) fn is_tracing() -> bool {
    false
}

pub(crate) fn stand_by() {}

pub(crate) fn pause(_duration: Duration, _is_chosen: impl FnMut(usize, &str) -> bool) {}

pub(crate) fn calm() {}

pub(crate) fn threads() -> Option<Vec<(usize, String)>> {
    None
}

pub(crate) fn peak() -> usize {
    0
}

pub(crate) fn is_instrumented() -> bool {
    false
}

pub(crate) fn whereabouts(ids: &[usize]) -> Vec<Vec<Place>> {
    ids.iter().map(|_| Vec::new()).collect()
}
