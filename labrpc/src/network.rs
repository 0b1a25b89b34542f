//! The network as the tests see it: they wire it up, make it bad, and clean it up.

use crate::client_end::ClientEnd;
use crate::faults::Latency;
use crate::pool::thread_census;
use crate::process::Shared;
use crate::service::Server;
use crate::wiring::End;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
        let thread = std::thread::Builder::new().name("labrpc-timer".to_string()).spawn({
            let shared = shared.clone();
            move || shared.timer.run()
        });
        let thread = thread.unwrap_or_else(|e| {
            panic!("labrpc: cannot start the network's thread: {e}. {}", thread_census())
        });
        Network { shared, timer_thread: Mutex::new(Some(thread)) }
    }

    /// Makes a client end: the port through which a client talks to one server. It is disabled.
    ///
    /// # Panics
    /// When the network has an end of this name.
    pub fn make_end(&self, name: impl ToString) -> ClientEnd {
        let name = name.to_string();
        let end = Arc::<End>::default();
        let old = self.shared.wiring.lock().ends.insert(name.clone(), end.clone());
        assert!(old.is_none(), "labrpc: make_end: the network has an end named {name}");
        ClientEnd::new(self.shared.clone(), end)
    }

    /// Puts a server on the network, or replaces the one of this name. RPCs that the old one is handling return
    /// false.
    pub fn add_server(&self, name: impl ToString, server: Server) {
        let old = self.shared.wiring.lock().servers.insert(name.to_string().into(), Arc::new(server));
        // What the server holds must not be dropped under the lock.
        drop(old);
    }

    /// Takes a server off the network. RPCs that it is handling return false within 100 ms, and what their handlers
    /// answer later is thrown away.
    pub fn delete_server(&self, name: impl ToString) {
        let server = self.shared.wiring.lock().servers.remove(name.to_string().as_str());
        // What the server holds must not be dropped under the lock.
        drop(server);
    }

    /// Connects an end to a server, which need not be there yet.
    ///
    /// # Panics
    /// When there is no such end.
    pub fn connect(&self, end: impl ToString, server: impl ToString) {
        self.end(&end.to_string()).connect(server.to_string().into());
    }

    /// Lets an end's RPCs through, or not. RPCs on their way when the end is disabled return false.
    ///
    /// # Panics
    /// When there is no such end.
    pub fn enable(&self, end: impl ToString, enabled: bool) {
        self.end(&end.to_string()).enabled.store(enabled, Ordering::SeqCst);
    }

    /// The caller of the next RPC through this end stands still for so long (in whole microseconds) before its arguments
    /// are read, as if its thread had lost the processor there.
    ///
    /// # Panics
    /// When there is no such end.
    pub fn stall(&self, end: impl ToString, duration: Duration) {
        self.end(&end.to_string()).next_stall.set(duration);
    }

    fn end(&self, name: &str) -> Arc<End> {
        let end = self.shared.wiring.lock().ends.get(name).cloned();
        end.unwrap_or_else(|| panic!("labrpc: the network has no end named {name}; make_end makes it"))
    }

    /// Whether the network keeps and delivers every message at once. If not, requests are delayed by 0 to 26 ms,
    /// 10 % of the requests are lost, and 10 % of the replies.
    pub fn reliable(&self, yes: bool) {
        self.shared.wiring.lock().reliable = yes;
    }

    /// Whether two replies in three are held back by 200 to 2199 ms.
    pub fn long_reordering(&self, yes: bool) {
        self.shared.wiring.lock().long_reordering = yes;
    }

    /// Whether an RPC through a disabled or unconnected end returns after up to 6999 ms, not 99.
    pub fn long_delays(&self, yes: bool) {
        self.shared.wiring.lock().long_delays = yes;
    }

    /// How long messages take. At first they take no time; simulated tests give them some.
    pub fn latency(&self, latency: Latency) {
        self.shared.has_stalls.store(latency.stalls.is_some(), Ordering::Relaxed);
        self.shared.wiring.lock().latency = latency;
    }

    /// How many RPCs have reached the server of this name, since it was added.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn get_count(&self, server: impl ToString) -> usize {
        let name = server.to_string();
        let server = self.shared.wiring.lock().servers.get(name.as_str()).cloned();
        server
            .unwrap_or_else(|| panic!("labrpc: get_count: the network has no server named {name}"))
            .get_count()
    }

    /// How many RPCs have been sent, lost ones too.
    pub fn get_total_count(&self) -> usize {
        self.shared.total_count.load(Ordering::Relaxed)
    }

    /// Shuts the network down: pending and later calls return false, servers are let go, the network's thread has
    /// ended on return. (Go lets pending calls run out, which takes up to 7 s.)
    pub fn cleanup(&self) {
        let servers = {
            let mut wiring = self.shared.wiring.lock();
            wiring.is_cleaned_up = true;
            std::mem::take(&mut wiring.servers)
        };
        self.shared.timer.stop();
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
