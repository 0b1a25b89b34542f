//! The network: which ends and servers there are, how they are connected, and the way of an RPC.
//!
//! `Shared::state` guards the ends, their connections and the servers; it is held for look-ups only.

use crate::draws::{self, Latency};
use crate::handover::Handover;
use crate::pool::{self, thread_census};
use crate::service::Server;
use crate::task_name::TaskName;
use crate::timer::{Due, Timer};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// A network of client ends and servers (Go: `labrpc.Network`).
///
/// Ends and servers are named by any value that can be displayed: numbers, strings.
/// Dropping the network cleans it up.
pub struct Network {
    shared: Arc<Shared>,
    timer_thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    timer: Timer,
    total_count: AtomicUsize,
    /// Whether threads stand still at random. A copy, so that those that do not need no lock.
    stalls: AtomicBool,
}

impl Shared {
    /// Has the calling thread stand still, if threads do so on this network and the draw says so.
    fn stall(&self) {
        if self.stalls.load(Ordering::Relaxed) {
            let stall = self.state.lock().latency.draw_stall(&mut rand::rng());
            stall.into_iter().for_each(sleep);
        }
    }
}

pub(crate) struct State {
    reliable: bool,
    /// Whether it takes seconds to find out that nobody answers.
    long_delays: bool,
    /// Whether replies are held back at random.
    long_reordering: bool,
    latency: Latency,
    cleaned_up: bool,
    /// Made with `make_end`. An end and its entry are one: a client end finds it without a look-up.
    ends: HashMap<String, Arc<End>>,
    servers: HashMap<Arc<str>, Arc<Server>>,
}

struct End {
    enabled: AtomicBool,
    /// For how many microseconds the next RPC's caller stands still.
    stall: AtomicU64,
    /// The name of the server it is connected to, for its life.
    server: Mutex<Option<Arc<str>>>,
}

impl Network {
    /// A reliable network with no ends and no servers (Go: `labrpc.MakeNetwork`).
    pub fn new() -> Network {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                reliable: true,
                long_delays: false,
                long_reordering: false,
                latency: Latency::default(),
                cleaned_up: false,
                ends: HashMap::new(),
                servers: HashMap::new(),
            }),
            timer: Timer::default(),
            total_count: AtomicUsize::new(0),
            stalls: AtomicBool::new(false),
        });
        let thread = std::thread::Builder::new().name("labrpc-timer".to_string()).spawn({
            let shared = shared.clone();
            move || shared.timer.run(&shared.state)
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
        let end = Arc::new(End {
            enabled: AtomicBool::new(false),
            stall: AtomicU64::new(0),
            server: Mutex::new(None),
        });
        let old = self.shared.state.lock().ends.insert(name.clone(), end.clone());
        assert!(old.is_none(), "labrpc: make_end: the network has an end named {name}");
        ClientEnd { shared: self.shared.clone(), end }
    }

    /// Puts a server on the network, or replaces the one of this name. RPCs that the old one is handling return
    /// false.
    pub fn add_server(&self, name: impl ToString, server: Server) {
        let old = self.shared.state.lock().servers.insert(name.to_string().into(), Arc::new(server));
        // What the server holds must not be dropped under the lock.
        drop(old);
    }

    /// Takes a server off the network. RPCs that it is handling return false within 100 ms, and what their handlers
    /// answer later is thrown away.
    pub fn delete_server(&self, name: impl ToString) {
        let server = self.shared.state.lock().servers.remove(name.to_string().as_str());
        // What the server holds must not be dropped under the lock.
        drop(server);
    }

    /// Connects an end to a server, which need not be there yet.
    ///
    /// # Panics
    /// When there is no such end.
    pub fn connect(&self, end: impl ToString, server: impl ToString) {
        *self.end(&end.to_string()).server.lock() = Some(server.to_string().into());
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
        self.end(&end.to_string()).stall.store(duration.as_micros() as u64, Ordering::Relaxed);
    }

    fn end(&self, name: &str) -> Arc<End> {
        let end = self.shared.state.lock().ends.get(name).cloned();
        end.unwrap_or_else(|| panic!("labrpc: the network has no end named {name}; make_end makes it"))
    }

    /// Whether the network keeps and delivers every message at once. If not, requests are delayed by 0 to 26 ms,
    /// 10 % of the requests are lost, and 10 % of the replies.
    pub fn reliable(&self, yes: bool) {
        self.shared.state.lock().reliable = yes;
    }

    /// Whether two replies in three are held back by 200 to 2199 ms.
    pub fn long_reordering(&self, yes: bool) {
        self.shared.state.lock().long_reordering = yes;
    }

    /// Whether an RPC through a disabled or unconnected end returns after up to 6999 ms, not 99.
    pub fn long_delays(&self, yes: bool) {
        self.shared.state.lock().long_delays = yes;
    }

    /// How long messages take. At first they take no time; simulated tests give them some.
    pub fn latency(&self, latency: Latency) {
        self.shared.stalls.store(latency.stalls.is_some(), Ordering::Relaxed);
        self.shared.state.lock().latency = latency;
    }

    /// How many RPCs have reached the server of this name, since it was added.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn get_count(&self, server: impl ToString) -> usize {
        let name = server.to_string();
        let server = self.shared.state.lock().servers.get(name.as_str()).cloned();
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
            let mut state = self.shared.state.lock();
            state.cleaned_up = true;
            std::mem::take(&mut state.servers)
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

/// A client's port to one server (Go: `labrpc.ClientEnd`). Clones are the same port; one port carries any number of
/// RPCs at a time, in no promised order.
#[derive(Clone)]
pub struct ClientEnd {
    shared: Arc<Shared>,
    end: Arc<End>,
}

impl ClientEnd {
    /// Sends an RPC, such as "Raft.AppendEntries", and waits for its reply. True: the handler ran, and its reply is
    /// in `reply`. False: the request or the reply was lost, or the server is down; the handler may have run or not.
    ///
    /// A call ends unless its handler never does; there is no need for a time-out of your own.
    ///
    /// # Panics
    /// When `reply` is not of the type that the handler fills in.
    pub fn call<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        svc_meth: &str,
        args: &A,
        reply: &mut R,
    ) -> bool {
        let answer = Arc::new(Handover::new());
        self.send(svc_meth, args, {
            let answer = answer.clone();
            move |bytes| answer.put(bytes)
        });
        match answer.take() {
            Some(bytes) => {
                *reply = decode_reply(svc_meth, &bytes);
                true
            }
            None => false,
        }
    }

    /// Starts an RPC and returns at once; the reply, or None in its place, arrives in the channel (net/rpc's `Go`).
    /// Many such channels can be waited for with `crossbeam_channel::select!`.
    pub fn go<A: Serialize + ?Sized, R: DeserializeOwned + Send + 'static>(
        &self,
        svc_meth: &str,
        args: &A,
    ) -> Receiver<Option<R>> {
        let (tx, rx) = bounded(1);
        self.deliver(svc_meth, args, tx, |reply| reply);
        rx
    }

    /// Starts an RPC and returns at once; what `wrap` makes of the reply, or of None in its place, is sent to
    /// `done`, which many RPCs may share (net/rpc's `Go` with a `done` channel). Nothing happens when nobody
    /// receives from `done` any more. `wrap` must not block: it may run on the network's own thread.
    ///
    /// # Panics
    /// When `done` is a bounded channel: the network does not wait for its clients.
    pub fn go_to<A: Serialize + ?Sized, R: DeserializeOwned + 'static, T: Send + 'static>(
        &self,
        svc_meth: &str,
        args: &A,
        done: &Sender<T>,
        wrap: impl FnOnce(Option<R>) -> T + Send + 'static,
    ) {
        assert!(done.capacity().is_none(), "labrpc: go_to: the channel must be unbounded");
        self.deliver(svc_meth, args, done.clone(), wrap);
    }

    fn deliver<A: Serialize + ?Sized, R: DeserializeOwned + 'static, T: Send + 'static>(
        &self,
        svc_meth: &str,
        args: &A,
        done: Sender<T>,
        wrap: impl FnOnce(Option<R>) -> T + Send + 'static,
    ) {
        let name = svc_meth.to_string();
        self.send(svc_meth, args, move |answer| {
            let reply = answer.map(|bytes| decode_reply(&name, &bytes));
            // The caller may have lost interest, and dropped the receiver.
            let _ = done.send(wrap(reply));
        });
    }

    fn send<A: Serialize + ?Sized>(
        &self,
        svc_meth: &str,
        args: &A,
        finish: impl FnOnce(Option<Vec<u8>>) + Send + 'static,
    ) {
        if self.end.stall.load(Ordering::Relaxed) > 0 {
            sleep(Duration::from_micros(self.end.stall.swap(0, Ordering::Relaxed)));
        }
        self.shared.stall();
        let args = labgob::encode(args)
            .unwrap_or_else(|e| panic!("labrpc: {svc_meth}: the arguments cannot be encoded: {e}"));
        self.shared.total_count.fetch_add(1, Ordering::Relaxed);
        process_request(&self.shared, self.end.clone(), svc_meth, args, Box::new(finish));
    }
}

fn decode_reply<R: DeserializeOwned>(svc_meth: &str, bytes: &[u8]) -> R {
    labgob::decode(bytes).unwrap_or_else(|e| {
        panic!("labrpc: {svc_meth}: the handler's reply is not what the caller takes: {e}")
    })
}

type Finish = Box<dyn FnOnce(Option<Vec<u8>>) + Send>;

/// An RPC on its way.
pub(crate) struct Call {
    end: Arc<End>,
    server_name: Arc<str>,
    /// The instance for which the request entered the network. None: nobody will answer.
    server: Option<Arc<Server>>,
    reliable: bool,
    long_reordering: bool,
    latency: Latency,
    /// The reply is on its way back, held up. It arrives whatever happens to the end and the server meanwhile.
    returning: AtomicBool,
    /// Hands over the reply; gone once that has happened. It never blocks.
    finish: Mutex<Option<Finish>>,
}

impl Call {
    /// Ends the call, if it has not ended.
    pub(crate) fn finish(&self, reply: Option<Vec<u8>>) {
        let finish = self.finish.lock().take();
        if let Some(finish) = finish {
            finish(reply);
        }
    }

    /// Whether the handler still runs, as far as the caller can know.
    pub(crate) fn is_with_handler(&self) -> bool {
        !self.returning.load(Ordering::SeqCst) && self.finish.lock().is_some()
    }

    /// Whether the end has been disabled, or the server deleted or replaced, since the request entered: then no
    /// reply gets through. This keeps a client from a reply to an Append that a superseded server has saved in a
    /// superseded persister; the harness deletes a server before it copies its persister.
    pub(crate) fn is_cut_off(&self, state: &State) -> bool {
        let server = state.servers.get(&self.server_name);
        let same = match (server, &self.server) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            _ => false,
        };
        !same || !self.end.enabled.load(Ordering::SeqCst)
    }
}

/// A call that nobody can end any more has ended.
impl Drop for Call {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// Sends a request on its way (Go: `ProcessReq`). End, server, reliability and reordering are read here, once.
fn process_request(shared: &Arc<Shared>, end: Arc<End>, svc_meth: &str, args: Vec<u8>, finish: Finish) {
    let name = end.server.lock().clone();
    let state = shared.state.lock();
    if state.cleaned_up {
        drop(state);
        return finish(None);
    }
    let server = match &name {
        Some(name) if end.enabled.load(Ordering::SeqCst) => state.servers.get(name).cloned(),
        _ => None,
    };
    let (reliable, long_reordering, long_delays) = (state.reliable, state.long_reordering, state.long_delays);
    let latency = state.latency.clone();
    drop(state);

    let server_name = name.unwrap_or_else(|| "none".into());
    let answered = server.is_some();
    let finish = Mutex::new(Some(finish));
    let returning = AtomicBool::new(false);
    let call =
        Arc::new(Call { end, server_name, server, reliable, long_reordering, latency, returning, finish });
    let rng = &mut rand::rng();
    if !answered {
        let delay = draws::no_answer_delay(rng, long_delays);
        log::trace!("{svc_meth} to nobody, for {delay:?}: {}", Digest(&args));
        return shared.timer.after(delay, call, Due::Answer(None));
    }
    let delay = if reliable { call.latency.draw(rng) } else { Some(draws::request_delay(rng)) };
    let lost = !reliable && draws::message_is_lost(rng);
    let (server, fate) = (&call.server_name, if lost { "; lost" } else { "" });
    log::trace!(
        "{svc_meth} to server {server}, for {:?}: {}{fate}",
        delay.unwrap_or_default(),
        Digest(&args)
    );
    let Some(delay) = delay else {
        return deliver_request(shared.clone(), call, svc_meth.into(), args);
    };
    let due = if lost {
        Due::Answer(None)
    } else {
        let (shared, call, svc_meth) = (shared.clone(), call.clone(), svc_meth.into());
        Due::Request(Box::new(move || deliver_request(shared, call, svc_meth, args)))
    };
    shared.timer.after(delay, call, due);
}

/// Runs the handler on a thread of the pool.
fn deliver_request(shared: Arc<Shared>, call: Arc<Call>, svc_meth: Arc<str>, args: Vec<u8>) {
    if !shared.timer.look_after(&call) {
        return;
    }
    let name = TaskName::Handler { server: call.server_name.clone(), svc_meth: svc_meth.clone() };
    pool::start(name, move |worker| {
        let server = call.server.as_ref().expect("a request is delivered to a server only");
        let reply = server.dispatch(&svc_meth, &args);
        shared.stall();
        let rng = &mut rand::rng();
        let cut_off = call.is_cut_off(&shared.state.lock());
        if cut_off || !call.reliable && draws::message_is_lost(rng) {
            let fate = if cut_off { "cut off" } else { "lost" };
            log::trace!("{svc_meth} from server {}: {}; {fate}", call.server_name, Digest(&reply));
            worker.rest();
            return call.finish(None);
        }
        let reordered = draws::reordering_delay(rng).filter(|_| call.long_reordering);
        let delay = reordered.or_else(|| call.latency.draw(rng));
        let (server, wait) = (&call.server_name, delay.unwrap_or_default());
        log::trace!("{svc_meth} from server {server}, for {wait:?}: {}", Digest(&reply));
        match delay {
            Some(delay) => {
                call.returning.store(true, Ordering::SeqCst);
                shared.timer.after(delay, call, Due::Answer(Some(reply)));
            }
            None => {
                worker.rest();
                call.finish(Some(reply));
            }
        }
    });
}

/// A message in a log: how long it is, and a number that differs when its bytes do.
struct Digest<'a>(&'a [u8]);

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // FNV-1a.
        let hash = self
            .0
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        write!(f, "{} bytes, {:08x}", self.0.len(), hash as u32)
    }
}
