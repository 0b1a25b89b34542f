//! The names of the tasks that run on the pool of threads. This is the only place that parses "server 2: ticker".

use std::fmt;
use std::sync::Arc;

/// The name of a task that runs on a thread of [`go`](crate::go)'s pool.
///
/// A name is made from a text, and displays as that text:
/// ```
/// use labrpc::TaskName;
///
/// let ticker = TaskName::from("server 2: ticker");
/// assert_eq!(ticker, TaskName::OfServer { server: 2, purpose: "ticker".into() });
/// assert_eq!(ticker.server(), Some(2));
/// assert_eq!(ticker.to_string(), "server 2: ticker");
///
/// let client = TaskName::from("client 3");
/// assert_eq!(client, TaskName::Other("client 3".into()));
/// assert_eq!(client.server(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskName {
    /// The network runs a handler: "server 2: Raft.AppendEntries handler".
    Handler {
        /// The server's name on the network.
        server: Arc<str>,
        /// The handler that was called: "Raft.AppendEntries".
        svc_meth: Arc<str>,
    },
    /// The name given to [`go`](crate::go) is of the form "server N: purpose".
    OfServer {
        /// The server's number.
        server: usize,
        /// What the task does for the server: "ticker".
        purpose: String,
    },
    /// Any other name given to [`go`](crate::go).
    Other(String),
}

impl TaskName {
    /// The number of the server that the task works for. None if it works for no server, and if the server's name is not a
    /// number.
    pub fn server(&self) -> Option<usize> {
        match self {
            TaskName::Handler { server, .. } => number(server),
            TaskName::OfServer { server, .. } => Some(*server),
            TaskName::Other(_) => None,
        }
    }

    /// The handler that was called. None: it is no handler.
    pub(crate) fn method(&self) -> Option<&Arc<str>> {
        match self {
            TaskName::Handler { svc_meth, .. } => Some(svc_meth),
            _ => None,
        }
    }
}

/// The number that `text` is. None for "02" and "+2", which would not display as they were written.
fn number(text: &str) -> Option<usize> {
    let is_number = text == "0" || text.starts_with(|first| matches!(first, '1'..='9'));
    if is_number { text.parse().ok() } else { None }
}

impl From<&str> for TaskName {
    fn from(name: &str) -> TaskName {
        name.to_string().into()
    }
}

impl From<String> for TaskName {
    fn from(mut name: String) -> TaskName {
        let parts = name.strip_prefix("server ").and_then(|rest| rest.split_once(": "));
        let parts = parts.and_then(|(server, purpose)| Some((number(server)?, purpose.len())));
        match parts {
            Some((server, length)) => {
                name.drain(..name.len() - length);
                TaskName::OfServer { server, purpose: name }
            }
            None => TaskName::Other(name),
        }
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> String {
        match name {
            TaskName::Other(name) => name,
            name => name.to_string(),
        }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskName::Handler { server, svc_meth } => write!(f, "server {server}: {svc_meth} handler"),
            TaskName::OfServer { server, purpose } => write!(f, "server {server}: {purpose}"),
            TaskName::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_convention_names_the_server() {
        for (text, server) in [
            ("server 2: ticker", Some(2)),
            ("server 0: asks 1: for a vote", Some(0)),
            ("server 10: ", Some(10)),
            ("server 2", None),
            ("server 2:ticker", None),
            ("server x: ticker", None),
            ("server 02: ticker", None),
            ("server +2: ticker", None),
            ("server 1e3: ticker", None),
            ("server 99999999999999999999: ticker", None),
            ("a server 2: ticker", None),
            ("client 3", None),
            ("", None),
        ] {
            let name = TaskName::from(text);
            assert_eq!(name.server(), server, "{text}");
            assert_eq!(name.to_string(), text);
            assert_eq!(String::from(name), text);
        }
    }

    #[test]
    fn a_handlers_server_may_have_any_name() {
        for (server, number) in [("2", Some(2)), ("s", None), ("02", None)] {
            let name = TaskName::Handler { server: server.into(), svc_meth: "Raft.AppendEntries".into() };
            assert_eq!(name.server(), number);
            assert_eq!(name.to_string(), format!("server {server}: Raft.AppendEntries handler"));
        }
    }
}
