//! The numbers of the clients' lanes on the page.

use std::collections::HashMap;

/// The clients, in the order in which they were first seen.
#[derive(Default)]
pub(super) struct Lanes {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Lanes {
    pub(super) fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_string());
        self.numbers.insert(name.to_string(), self.names.len() - 1);
        self.names.len() - 1
    }

    pub(super) fn names(self) -> Vec<String> {
        self.names
    }
}

/// How the page's data names the lane of a server: a client's number is its own name.
pub(super) fn of_server(server: usize) -> i64 {
    -1 - server as i64
}
