//! How the network is wired: the ends, the servers, which end is connected to which server, and how good the network
//! is. Nothing here waits, and no RPC moves here.

use crate::faults::{Latency, NextStall, Slowness};
use crate::service::Server;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Guarded by a lock that is held for look-ups only.
pub(crate) struct Wiring {
    pub(crate) reliable: bool,
    /// True: it takes up to seven seconds to find out that nobody answers.
    pub(crate) long_delays: bool,
    /// True: two replies in three are held back.
    pub(crate) long_reordering: bool,
    pub(crate) latency: Latency,
    pub(crate) is_cleaned_up: bool,
    pub(crate) ends: HashMap<String, Arc<End>>,
    pub(crate) servers: HashMap<Arc<str>, Arc<Server>>,
}

/// A client's end. A client end holds it, so that an RPC does not look it up by name.
#[derive(Default)]
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) enabled: AtomicBool,
    pub(crate) next_stall: NextStall,
    pub(crate) slowness: Slowness,
    /// The name of the server that the end is connected to.
    server: Mutex<Option<Arc<str>>>,
}

impl End {
    /// A disabled end, which is connected to no server.
    pub(crate) fn new(name: String) -> End {
        End { name, ..End::default() }
    }

    pub(crate) fn connect(&self, server: Arc<str>) {
        *self.server.lock() = Some(server);
    }
}

/// Where a request goes, and how good the network is as it sets out.
pub(crate) struct EndInfo {
    /// The name of the server that the end is connected to.
    pub(crate) server: Option<Arc<str>>,
    /// None: nobody will answer.
    pub(crate) target: Option<Target>,
    pub(crate) reliable: bool,
    pub(crate) long_reordering: bool,
    pub(crate) long_delays: bool,
    pub(crate) latency: Latency,
}

/// The server that a request goes to.
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    /// The instance that had this name when the request set out.
    pub(crate) server: Arc<Server>,
}

impl Wiring {
    /// A reliable network with no ends and no servers.
    pub(crate) fn new() -> Wiring {
        Wiring {
            reliable: true,
            long_delays: false,
            long_reordering: false,
            latency: Latency::default(),
            is_cleaned_up: false,
            ends: HashMap::new(),
            servers: HashMap::new(),
        }
    }

    /// Reads all that a request needs to know of the network (Go: `ReadEndnameInfo`). None: the network is cleaned up.
    pub(crate) fn read_end_info(wiring: &Mutex<Wiring>, end: &End) -> Option<EndInfo> {
        let server = end.server.lock().clone();
        let wiring = wiring.lock();
        if wiring.is_cleaned_up {
            return None;
        }
        let target = server.clone().filter(|_| end.enabled.load(Ordering::SeqCst)).and_then(|name| {
            let server = wiring.servers.get(&name)?.clone();
            Some(Target { name, server })
        });
        let Wiring { reliable, long_reordering, long_delays, ref latency, .. } = *wiring;
        Some(EndInfo { server, target, reliable, long_reordering, long_delays, latency: latency.clone() })
    }

    /// True if the end has been disabled, or the server deleted or replaced, since the request set out (Go:
    /// `IsServerDead`). Then no reply may get through: a server that was replaced saves into a persister that was
    /// replaced, and a client must not hear that an Append is saved there. For the same reason, the tests delete a server
    /// before they copy its persister.
    pub(crate) fn is_server_dead(&self, end: &End, target: &Target) -> bool {
        let is_same = self.servers.get(&target.name).is_some_and(|now| Arc::ptr_eq(now, &target.server));
        !is_same || !end.enabled.load(Ordering::SeqCst)
    }
}
