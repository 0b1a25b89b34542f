//! What happened to the servers and their network. All times count from the beginning of the test.

use super::ring::Ring;
use std::time::Duration;

/// How many of each kind of events are kept.
const KEPT: usize = 60_000;

/// How many notes are kept: as many as are printed.
const NOTED: usize = 15;

/// More servers than any test has.
pub(crate) const MOST_SERVERS: usize = 16;

/// What is known of the servers and their network.
pub(crate) struct Servers {
    /// How many servers there are.
    pub(crate) count: usize,
    pub(crate) states: Ring<Seen>,
    pub(crate) lives: Ring<Life>,
    links: [[bool; MOST_SERVERS]; MOST_SERVERS],
    pub(crate) groups: Ring<Groups>,
    network: Network,
    pub(crate) networks: Ring<(Duration, Network)>,
    pub(crate) marks: Ring<Mark>,
    next_mark: u64,
    /// What happened, in words, for the story of a failure.
    pub(crate) notes: Ring<Note>,
    pub(crate) findings: Vec<Finding>,
    /// What probably made the test hang: when it happened, on which server, and what.
    pub(crate) suspects: Vec<(Duration, usize, String)>,
}

/// A server's term and role, which it has had since `at`.
pub(crate) struct Seen {
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) term: u64,
    pub(crate) is_leader: bool,
}

/// The start or the crash of a server.
pub(crate) struct Life {
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) is_up: bool,
}

/// Something that happened, in words.
pub(crate) struct Note {
    pub(crate) at: Duration,
    /// The server to which it happened. None: it is about several, or about none.
    pub(crate) server: Option<usize>,
    pub(crate) what: String,
}

/// Which servers are connected with each other since `at`.
pub(crate) struct Groups {
    pub(crate) at: Duration,
    /// For each server, the lowest-numbered server that it is connected with, directly or through others.
    pub(crate) lowest: Vec<usize>,
}

/// The network's faults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) is_unreliable: bool,
    pub(crate) reorders: bool,
}

/// Something that happened on a server.
pub(crate) struct Mark {
    pub(crate) id: u64,
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// What a server did with a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Started,
    Applied,
}

/// The linearizability checker's finding about one part of the history: no order of the part's operations explains all
/// their results. Operations are named by their [`id`](crate::Operation::id).
pub struct Finding {
    /// A longest order of some of the operations that explains their results.
    pub order: Vec<u64>,
    /// The operations that could come next; the result of none fits. The picture shows the first one as the one that
    /// breaks the history.
    pub refused: Vec<u64>,
    /// All operations of the part.
    pub part: Vec<u64>,
    /// The finding in words.
    pub note: String,
}

impl Servers {
    pub(crate) const fn new() -> Servers {
        Servers {
            count: 0,
            states: Ring::new(KEPT),
            lives: Ring::new(KEPT),
            links: [[false; MOST_SERVERS]; MOST_SERVERS],
            groups: Ring::new(KEPT),
            network: Network { is_unreliable: false, reorders: false },
            networks: Ring::new(KEPT),
            marks: Ring::new(KEPT),
            next_mark: 0,
            notes: Ring::new(NOTED),
            findings: Vec::new(),
            suspects: Vec::new(),
        }
    }

    /// Notes that a server starts or crashes. Does nothing if the server is in that state already.
    pub(crate) fn live(&mut self, at: Duration, server: usize, is_up: bool) {
        let was_up =
            self.lives.iter().rev().find(|life| life.server == server).is_some_and(|life| life.is_up);
        if was_up != is_up {
            self.lives.push(Life { at, server, is_up });
        }
    }

    /// Notes that two servers are connected or disconnected. Does nothing if they are so already.
    pub(crate) fn link(&mut self, at: Duration, i: usize, j: usize, connected: bool) {
        if self.links[i][j] == connected {
            return;
        }
        self.links[i][j] = connected;
        self.links[j][i] = connected;
        let lowest = self.components();
        self.groups.push(Groups { at, lowest });
    }

    fn components(&self) -> Vec<usize> {
        let mut lowest: Vec<usize> = (0..self.count).collect();
        // Each round carries a number at least one link further; no path has more links than there are servers.
        for _ in 0..self.count {
            for i in 0..self.count {
                for j in 0..self.count {
                    if self.links[i][j] {
                        lowest[i] = lowest[i].min(lowest[j]);
                    }
                }
            }
        }
        lowest
    }

    /// Notes a change of the network's faults. Notes the first call even if it changes nothing.
    pub(crate) fn network(&mut self, at: Duration, change: impl FnOnce(&mut Network)) {
        let was = self.network;
        change(&mut self.network);
        if self.networks.iter().len() == 0 || was != self.network {
            self.networks.push((at, self.network));
        }
    }

    /// Notes what happened on a server, and returns the mark's id.
    pub(crate) fn mark(&mut self, at: Duration, server: usize, kind: Kind, what: String) -> u64 {
        let id = self.next_mark;
        self.next_mark += 1;
        self.marks.push(Mark { id, at, server, kind, what });
        id
    }
}
