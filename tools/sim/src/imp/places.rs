//! Turns backtraces into places: file, line and function.

use crate::options::Place;
use backtrace::{Backtrace, BacktraceSymbol};
use std::ffi::c_void;

/// The places of a backtrace, the innermost first.
pub(crate) fn of_backtrace(mut backtrace: Backtrace) -> Vec<Place> {
    backtrace.resolve();
    let symbols = backtrace.frames().iter().flat_map(|frame| frame.symbols());
    symbols.filter_map(of_stored_symbol).collect()
}

fn of_stored_symbol(symbol: &BacktraceSymbol) -> Option<Place> {
    let function = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
    Some(Place { file: symbol.filename()?.to_path_buf(), line: symbol.lineno()?, function })
}

/// The places of these addresses of instructions.
pub(crate) fn of_addresses(addresses: impl Iterator<Item = usize>) -> Vec<Place> {
    let mut places = Vec::new();
    for address in addresses {
        backtrace::resolve(address as *mut c_void, |symbol| {
            let function = symbol.name().map_or(String::new(), |name| format!("{name:#}"));
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                places.push(Place { file: file.to_path_buf(), line, function });
            }
        });
    }
    places
}
