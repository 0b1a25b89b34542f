//! The network as tests use it: they wire it up, make it bad, and clean it up.

use crate::client_end::ClientEnd;
use crate::faults::{Departure, Latency};
use crate::pool::{self, Relief, thread_census};
use crate::process::Shared;
use crate::service::Server;
use crate::wiring::End;
use parking_lot::Mutex;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// A network of client ends and servers (Go: `labrpc.Network`).
///
/// The name of an end or a server is any value that can be displayed: a number, a string.
/// Dropping the network cleans it up.
pub struct Network {
    shared: Arc<Shared>,
    timer_thread: Mutex<Option<JoinHandle<()>>>,
}

impl Network {
    /// A reliable network with no ends and no servers (Go: `labrpc.MakeNetwork`).
    pub fn new() -> Network {
        let shared = Arc::new(Shared::new());
        let relief: Weak<dyn Relief> = Arc::downgrade(&(shared.clone() as Arc<dyn Relief>));
        pool::add_relief(relief);
        let thread = std::thread::Builder::new().name("labrpc-timer".to_string()).spawn({
            let shared = shared.clone();
            move || shared.timer.run()
        });
        let thread = thread.unwrap_or_else(|e| {
            panic!("labrpc: cannot start the network's thread: {e}. {}", thread_census())
        });
        Network { shared, timer_thread: Mutex::new(Some(thread)) }
    }

    /// Makes a client end: the port through which a client talks to one server. At first the end is disabled.
    ///
    /// # Panics
    /// If the network has an end of this name.
    pub fn make_end(&self, name: impl ToString) -> ClientEnd {
        let name = name.to_string();
        let end = Arc::new(End::new(name.clone()));
        let old = self.shared.wiring.lock().ends.insert(name.clone(), end.clone());
        assert!(old.is_none(), "labrpc: make_end: the network has an end named {name}");
        ClientEnd::new(self.shared.clone(), end)
    }

    /// Adds a server to the network. If there is a server of this name, replaces it; RPCs that the old server is handling
    /// return false.
    pub fn add_server(&self, name: impl ToString, server: Server) {
        let old = self.shared.wiring.lock().servers.insert(name.to_string().into(), Arc::new(server));
        // The old server may own anything. Drop it when the lock is free.
        drop(old);
    }

    /// Removes a server from the network. RPCs that it is handling return false within 100 ms. If their handlers return
    /// later, the replies are discarded.
    pub fn delete_server(&self, name: impl ToString) {
        let server = self.shared.wiring.lock().servers.remove(name.to_string().as_str());
        // The server may own anything. Drop it when the lock is free.
        drop(server);
    }

    /// Connects an end to a server. The server need not have been added yet.
    ///
    /// # Panics
    /// If there is no such end.
    pub fn connect(&self, end: impl ToString, server: impl ToString) {
        self.end(&end.to_string()).connect(server.to_string().into());
    }

    /// Lets an end's RPCs through, or not. RPCs that are on their way when the end is disabled return false.
    ///
    /// # Panics
    /// If there is no such end.
    pub fn enable(&self, end: impl ToString, enabled: bool) {
        self.end(&end.to_string()).enabled.store(enabled, Ordering::SeqCst);
    }

    /// Makes the caller of the next RPC through this end stall before its arguments are read, as if its thread had lost the
    /// processor there. The duration counts in whole microseconds.
    ///
    /// # Panics
    /// If there is no such end.
    pub fn stall(&self, end: impl ToString, duration: Duration) {
        self.end(&end.to_string()).next_stall.set(duration);
    }

    /// Makes each message of the RPCs through this end, request or reply, take up to `longest` more, and at least half of
    /// that. The duration counts in whole microseconds; zero ends it.
    ///
    /// # Panics
    /// If there is no such end.
    pub fn slow(&self, end: impl ToString, longest: Duration) {
        self.end(&end.to_string()).slowness.set(longest);
    }

    /// Calls `hook` whenever a message has left its sender, on the thread that has sent it. The hook must not block. It
    /// may disable ends and delete servers: the message is on its way already.
    pub fn on_departure(&self, hook: impl Fn(Departure<'_>) + Send + Sync + 'static) {
        self.shared.departures.set(hook);
    }

    fn end(&self, name: &str) -> Arc<End> {
        let end = self.shared.wiring.lock().ends.get(name).cloned();
        end.unwrap_or_else(|| panic!("labrpc: the network has no end named {name}; make_end makes it"))
    }

    /// Makes the network reliable or unreliable. A reliable network delivers every message at once. An unreliable one delays
    /// requests by 0 to 26 ms, and loses 10 % of the requests and 10 % of the replies.
    pub fn reliable(&self, yes: bool) {
        self.shared.wiring.lock().reliable = yes;
    }

    /// Makes the network hold back two replies in three, by 200 to 2199 ms, or none.
    pub fn long_reordering(&self, yes: bool) {
        self.shared.wiring.lock().long_reordering = yes;
    }

    /// Makes an RPC through a disabled or unconnected end return after up to 6999 ms, or after up to 99 ms.
    pub fn long_delays(&self, yes: bool) {
        self.shared.wiring.lock().long_delays = yes;
    }

    /// Sets how long messages are under way, and how long threads stall. At first neither takes any time.
    pub fn latency(&self, latency: Latency) {
        self.shared.has_stalls.store(latency.stalls.is_some(), Ordering::Relaxed);
        self.shared.wiring.lock().latency = latency;
    }

    /// The number of RPCs that have reached the server of this name since it was added.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn get_count(&self, server: impl ToString) -> usize {
        let name = server.to_string();
        let server = self.shared.wiring.lock().servers.get(name.as_str()).cloned();
        server
            .unwrap_or_else(|| panic!("labrpc: get_count: the network has no server named {name}"))
            .get_count()
    }

    /// The number of RPCs that have been sent, lost ones included.
    pub fn get_total_count(&self) -> usize {
        self.shared.total_count.load(Ordering::Relaxed)
    }

    /// Shuts the network down. Pending calls and later ones return false, the servers are removed, and the network's thread
    /// ends before this function returns. (Go waits for pending calls, which takes up to 7 s.)
    pub fn cleanup(&self) {
        let servers = {
            let mut wiring = self.shared.wiring.lock();
            wiring.is_cleaned_up = true;
            std::mem::take(&mut wiring.servers)
        };
        self.shared.timer.stop();
        self.shared.departures.clear();
        drop(servers);
        if let Some(thread) = self.timer_thread.lock().take() {
            thread.join().expect("the network's thread runs nothing that panics");
        }
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.cleanup();
    }
}
