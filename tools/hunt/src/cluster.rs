//! The servers of a hunted run, and their network: starts, crashes and wires them.
//!
//! A server can crash at an instant that matters: just before or after it saves, or just after a message of it has left. At
//! that instant, on the thread that saves or sends, the server is separated from its network and from its disk. Its threads
//! still run for a moment, but nobody hears of it any more. Then it is killed.

use crate::scenario::{Fault, Scenario};
use harness::record::{self, on_server};
use labrpc::{ClientEnd, Departure, Latency, Network, Server};
use parking_lot::Mutex;
use rand::RngExt;
use rand::seq::IndexedRandom;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How a kind of server is started, and what it saves to.
pub trait Host: Send + Sync + 'static {
    /// Holds what a server saves.
    type Disk: Default + Send + Sync + 'static;

    /// A running server.
    type Instance: Instance;

    /// An independent disk with the same contents.
    fn copy(disk: &Self::Disk) -> Self::Disk;

    /// Calls `before` before each save to the disk, and `after` after it, on the thread that saves.
    fn on_save(
        disk: &Self::Disk,
        before: impl Fn() + Send + Sync + 'static,
        after: impl Fn() + Send + Sync + 'static,
    );

    /// Starts server `i`. What it does counts only until `life` ends.
    fn start(&self, i: usize, ends: Vec<ClientEnd>, disk: Arc<Self::Disk>, life: Life) -> Self::Instance;
}

/// A running server.
pub trait Instance: Send + Sync + 'static {
    /// Its term, and whether it leads.
    fn state(&self) -> (u64, bool);

    /// What it serves on the network.
    fn server(&self) -> Server;

    /// Ends it.
    fn kill(&self);
}

/// The time from a server's start to its crash.
#[derive(Clone)]
pub struct Life(Arc<AtomicBool>);

impl Life {
    fn new() -> Life {
        Life(Arc::new(AtomicBool::new(true)))
    }

    /// Whether the server has not crashed. What a crashed server still does counts for nothing.
    pub fn goes_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// An instant at which a server crashes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instant {
    BeforeSave,
    AfterSave,
    AfterReply,
    AfterRequest,
}

impl Instant {
    fn describe(self) -> &'static str {
        match self {
            Instant::BeforeSave => "crashes just before it saves",
            Instant::AfterSave => "crashes just after it has saved",
            Instant::AfterReply => "crashes just after a reply of it has left",
            Instant::AfterRequest => "crashes just after a request of it has left",
        }
    }
}

/// Makes a server crash at one of the next instants of a kind: the kind, and how many such instants pass before.
#[derive(Default)]
struct Trap(Option<(Instant, u32)>);

impl Trap {
    /// Whether the server is to crash at this instant.
    fn springs(&mut self, instant: Instant) -> bool {
        match &mut self.0 {
            Some((kind, passes)) if *kind == instant && *passes > 0 => {
                *passes -= 1;
                false
            }
            Some((kind, _)) if *kind == instant => {
                self.0 = None;
                true
            }
            _ => false,
        }
    }
}

/// A place for a server.
struct Slot<H: Host> {
    /// None: the server is down, or is being started.
    instance: Option<Arc<H::Instance>>,
    life: Life,
    disk: Arc<H::Disk>,
    trap: Trap,
    /// The names of the ends through which the server sends; empty before its first start.
    ends: Vec<String>,
    /// Whether the server takes part in the network.
    is_attached: bool,
    /// The highest term in which it was seen to lead.
    led: u64,
}

/// The servers and their network. Several threads may call the methods at once.
pub struct Cluster<H: Host> {
    /// How many servers there are.
    pub n: usize,
    /// What the run is like.
    pub scenario: Scenario,
    host: H,
    net: Network,
    /// No thread holds this lock while it calls into a server.
    slots: Mutex<Vec<Slot<H>>>,
    /// `links[i][j]`: whether requests of server `i` reach server `j`.
    links: Mutex<Vec<Vec<bool>>>,
    /// The two servers with a slow link between them.
    slow: Option<(usize, usize)>,
    /// Servers that have crashed, and are to be killed.
    graveyard: Mutex<Vec<(usize, Arc<H::Instance>)>>,
    /// For each term, the server that was seen to lead in it.
    leaders: Mutex<BTreeMap<u64, usize>>,
    ends: AtomicUsize,
    client_links: Mutex<Vec<ClientLink>>,
    /// How many requests each client has sent.
    client_requests: Mutex<BTreeMap<usize, u64>>,
    demand: Mutex<Demand>,
    me: Weak<Cluster<H>>,
}

/// What the adversary wants of the clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Each works at its own pace.
    #[default]
    Usual,
    /// They begin nothing new.
    Quiet,
    /// Raft only: one of them starts so many commands on this server, which thinks that it leads.
    Rush {
        /// The server.
        server: usize,
        /// How many commands.
        commands: usize,
    },
}

/// An end through which a client reaches a server.
struct ClientLink {
    client: usize,
    server: usize,
    /// The end's name.
    end: String,
}

impl<H: Host> Cluster<H> {
    /// Starts all servers, on a network with the scenario's faults.
    pub fn new(host: H, scenario: Scenario) -> Arc<Cluster<H>> {
        let n = scenario.servers;
        record::servers(n);
        let rng = &mut rand::rng();
        let net = Network::new();
        let slow = scenario.has(Fault::SlowLink).then(|| {
            let i = rng.random_range(0..n);
            (i, (i + rng.random_range(1..n)) % n)
        });
        let cluster = Arc::new_cyclic(|me| Cluster {
            n,
            scenario,
            host,
            net,
            slots: Mutex::new((0..n).map(|_| Slot::new()).collect()),
            links: Mutex::new(vec![vec![true; n]; n]),
            slow,
            graveyard: Mutex::default(),
            leaders: Mutex::default(),
            ends: AtomicUsize::new(0),
            client_links: Mutex::default(),
            client_requests: Mutex::default(),
            demand: Mutex::default(),
            me: me.clone(),
        });
        cluster.disturb_network();
        let me = cluster.me.clone();
        cluster.net.on_departure(move |departure| {
            if let Some(cluster) = me.upgrade() {
                cluster.at_departure(departure);
            }
        });
        let me = cluster.me.clone();
        harness::observe(move |i| Some(me.upgrade()?.instance(i)?.state()));
        for i in 0..n {
            cluster.start(i, None);
        }
        cluster.attach_all();
        cluster
    }

    /// Makes the network as bad as the scenario says.
    fn disturb_network(&self) {
        let rng = &mut rand::rng();
        let ms = Duration::from_millis;
        let has = |fault| self.scenario.has(fault);
        let mut latency = harness::latency();
        if has(Fault::Delays) {
            latency.stragglers = Some((rng.random_range(3..30), ms(rng.random_range(20..600))));
        }
        if has(Fault::Stalls) {
            latency.stalls = Some((rng.random_range(20..300), ms(rng.random_range(10..800))));
        }
        self.net.latency(latency);
        self.net.reliable(!has(Fault::Loss));
        record::unreliable(has(Fault::Loss));
        self.net.long_reordering(has(Fault::Reordering));
        record::long_reordering(has(Fault::Reordering));
        self.net.long_delays(has(Fault::Timeouts));
    }

    /// Ends all faults: the network becomes good, all servers run and reach each other, and threads pause seldom.
    pub(crate) fn calm(&self) {
        harness::calm();
        self.net.latency(Latency { stragglers: None, stalls: None, ..harness::latency() });
        self.net.reliable(true);
        record::unreliable(false);
        self.net.long_reordering(false);
        record::long_reordering(false);
        self.net.long_delays(false);
        for slot in self.slots.lock().iter_mut() {
            slot.trap = Trap::default();
            slot.ends.iter().for_each(|end| self.net.slow(end, Duration::ZERO));
        }
        self.set_links(|_, _| true);
        self.cut_clients(|_, _| false);
        self.set_demand(Demand::Usual);
        self.bury();
        for i in 0..self.n {
            if self.instance(i).is_none() {
                self.start(i, None);
            }
        }
        self.attach_all();
    }

    /// The server, or None when it is down.
    pub fn instance(&self, i: usize) -> Option<Arc<H::Instance>> {
        self.slots.lock()[i].instance.clone()
    }

    /// The server and its life, or None when it is down.
    pub fn living(&self, i: usize) -> Option<(Arc<H::Instance>, Life)> {
        let slots = self.slots.lock();
        let slot = &slots[i];
        Some((slot.instance.clone()?, slot.life.clone()))
    }

    /// What server `i` saves to.
    pub fn disk(&self, i: usize) -> Arc<H::Disk> {
        self.slots.lock()[i].disk.clone()
    }

    /// What the adversary wants of the calling client. A rush is handed to one client; after it, all are quiet.
    pub fn demand(&self) -> Demand {
        let mut demand = self.demand.lock();
        match *demand {
            Demand::Rush { .. } => std::mem::replace(&mut demand, Demand::Quiet),
            other => other,
        }
    }

    pub(crate) fn set_demand(&self, demand: Demand) {
        *self.demand.lock() = demand;
    }

    /// Makes an end through which a client reaches a server.
    pub fn client_end(&self, client: usize, server: usize) -> ClientEnd {
        let name = format!("client {client} to {server}");
        let end = self.net.make_end(&name);
        record::end_of_client(&name, &format!("client {client}"));
        self.net.connect(&name, server);
        self.net.enable(&name, true);
        self.client_links.lock().push(ClientLink { client, server, end: name });
        end
    }

    /// How many requests a client has sent.
    pub(crate) fn requests_of_client(&self, client: usize) -> u64 {
        self.client_requests.lock().get(&client).copied().unwrap_or(0)
    }

    /// Cuts clients off from the servers for which `is_cut`, which is given a client and a server, is true. Lets them
    /// reach all others.
    pub(crate) fn cut_clients(&self, is_cut: impl Fn(usize, usize) -> bool) {
        for ClientLink { client, server, end } in self.client_links.lock().iter() {
            self.net.enable(end, !is_cut(*client, *server));
        }
    }

    /// Asks server `i` for its term and role, and notes if it leads. None: it is down.
    pub fn state(&self, i: usize) -> Option<(u64, bool)> {
        let (instance, life) = self.living(i)?;
        let (term, is_leader) = on_server(i, || instance.state());
        if !life.goes_on() {
            return None;
        }
        if is_leader {
            self.note_leader(i, term);
        }
        Some((term, is_leader))
    }

    /// Notes that server `i`, which is alive, leads in `term`. Checks that no other server ever led in this term.
    pub fn note_leader(&self, i: usize, term: u64) {
        let first = *self.leaders.lock().entry(term).or_insert_with(|| {
            record::leads(i, term);
            i
        });
        if first != i {
            record::leads(i, term);
            record::about_server(i);
            harness::fail(&format!(
                "Election Safety: server {first} led in term {term}, and now server {i} leads in the same term"
            ));
        }
        let slot = &mut self.slots.lock()[i];
        slot.led = slot.led.max(term);
    }

    /// The highest term in which a server was seen to lead, and that server.
    pub(crate) fn newest_leader(&self) -> Option<(u64, usize)> {
        self.leaders.lock().last_key_value().map(|(term, i)| (*term, *i))
    }

    // Starts and crashes.

    /// Starts a server that is down, and leaves it detached. Notes that it `how`, if that is given: "starts again".
    pub(crate) fn start(&self, i: usize, how: Option<&str>) {
        let names: Vec<String> = (0..self.n)
            .map(|j| format!("{i} to {j}, {}", self.ends.fetch_add(1, Ordering::SeqCst)))
            .collect();
        let ends: Vec<ClientEnd> = (names.iter().enumerate())
            .map(|(j, name)| {
                let end = self.net.make_end(name);
                record::end_of_server(name, i);
                self.net.connect(name, j);
                if self.slow.is_some_and(|(a, b)| (i, j) == (a, b) || (j, i) == (a, b)) {
                    self.net.slow(name, Duration::from_millis(80));
                }
                end
            })
            .collect();
        let life = Life::new();
        let (disk, led) = {
            let slot = &mut self.slots.lock()[i];
            (slot.ends, slot.life, slot.trap) = (names, life.clone(), Trap::default());
            (slot.disk.clone(), slot.led)
        };
        let hook = |instant| {
            let (me, life) = (self.me.clone(), life.clone());
            move || {
                if let Some(cluster) = me.upgrade().filter(|_| life.goes_on()) {
                    cluster.at(i, instant);
                }
            }
        };
        H::on_save(&disk, hook(Instant::BeforeSave), hook(Instant::AfterSave));
        record::up(i);
        if let Some(how) = how {
            record::note_of(i, format!("server {i} {how}"));
        }
        let instance = Arc::new(on_server(i, || self.host.start(i, ends, disk, life.clone())));
        let server = instance.server();
        {
            let slot = &mut self.slots.lock()[i];
            if !life.goes_on() {
                // It has crashed while it was started.
                self.graveyard.lock().push((i, instance));
                return;
            }
            slot.instance = Some(instance.clone());
            self.net.add_server(i, server);
        }
        let (term, _) = on_server(i, || instance.state());
        if term < led && life.goes_on() {
            record::about_server(i);
            harness::fail(&format!(
                "Figure 2, persistent state: server {i} led in term {led}, and after a restart its term is {term}"
            ));
        }
    }

    /// Attaches a server to the network.
    pub(crate) fn attach(&self, i: usize) {
        self.slots.lock()[i].is_attached = true;
        self.wire();
    }

    pub(crate) fn attach_all(&self) {
        self.slots.lock().iter_mut().for_each(|slot| slot.is_attached = true);
        self.wire();
    }

    /// Crashes a server, if it is up. Notes that it `how`, if that is given: "crashes".
    pub(crate) fn crash(&self, i: usize, how: Option<&str>) {
        self.crash_in(&mut self.slots.lock()[i], i, how);
    }

    fn crash_in(&self, slot: &mut Slot<H>, i: usize, how: Option<&str>) {
        if !slot.life.goes_on() {
            return;
        }
        slot.life.end();
        slot.is_attached = false;
        if let Some(how) = how {
            record::note_of(i, format!("server {i} {how}"));
        }
        record::down(i);
        for end in &slot.ends {
            self.net.enable(end, false);
        }
        // Delete the server before its disk is copied: what it saves after the copy is lost, so nobody may get a reply
        // about it.
        self.net.delete_server(i);
        // Its successor gets a copy of the disk: what the old instance still saves is lost.
        slot.disk = Arc::new(H::copy(&slot.disk));
        if let Some(instance) = slot.instance.take() {
            self.graveyard.lock().push((i, instance));
        }
    }

    /// Kills the servers that have crashed.
    pub(crate) fn bury(&self) {
        let dead = std::mem::take(&mut *self.graveyard.lock());
        for (i, instance) in dead {
            on_server(i, || instance.kill());
        }
    }

    /// Makes server `i` crash at one of the next instants of this kind.
    pub(crate) fn set_trap(&self, i: usize, instant: Instant, passes: u32) {
        self.slots.lock()[i].trap = Trap(Some((instant, passes)));
    }

    /// Called at each instant at which a trap may spring.
    fn at(&self, i: usize, instant: Instant) {
        // The lock is held from the look at the trap to the crash: if `calm` came between, nobody would start the server again.
        let slot = &mut self.slots.lock()[i];
        if slot.trap.springs(instant) {
            self.crash_in(slot, i, Some(instant.describe()));
        }
    }

    fn at_departure(&self, departure: Departure<'_>) {
        match departure {
            Departure::Reply { server } => {
                if let Ok(i) = server.parse() {
                    self.at(i, Instant::AfterReply);
                }
            }
            Departure::Request { end } => {
                if let Some(link) = self.client_links.lock().iter().find(|link| link.end == end) {
                    *self.client_requests.lock().entry(link.client).or_default() += 1;
                    return;
                }
                let sender = end.split(' ').next().and_then(|i| i.parse().ok());
                let is_of_this_life = |i: usize| self.slots.lock()[i].ends.iter().any(|own| own == end);
                if let Some(i) = sender.filter(|i| is_of_this_life(*i)) {
                    self.at(i, Instant::AfterRequest);
                }
            }
        }
    }

    /// Checks, after all servers have crashed and been started again, and before any of them can send a message, that a
    /// majority has kept the term of the newest leader: it has voted in that term.
    pub(crate) fn check_terms_kept(&self) {
        let Some((newest, leader)) = self.newest_leader() else { return };
        let terms: Vec<u64> = (0..self.n).filter_map(|i| Some(self.instance(i)?.state().0)).collect();
        let kept = terms.iter().filter(|term| **term >= newest).count();
        if terms.len() == self.n && kept <= self.n / 2 {
            harness::fail(&format!(
                "Figure 2, persistent state: server {leader} led in term {newest}, so a majority must have voted in that \
                 term; all servers restarted, and now their terms are {terms:?}"
            ));
        }
    }

    // The network between the servers.

    /// Sets which servers reach which others. Returns whether that changes anything.
    pub(crate) fn set_links(&self, reaches: impl Fn(usize, usize) -> bool) -> bool {
        let mut has_changed = false;
        {
            let mut links = self.links.lock();
            for i in 0..self.n {
                for j in 0..self.n {
                    let reaches = reaches(i, j);
                    has_changed |= std::mem::replace(&mut links[i][j], reaches) != reaches;
                }
            }
        }
        self.wire();
        has_changed
    }

    fn wire(&self) {
        let slots = self.slots.lock();
        let links = self.links.lock();
        for i in 0..self.n {
            for j in 0..self.n {
                let reaches = links[i][j] && slots[i].is_attached && slots[j].is_attached;
                if let Some(end) = slots[i].ends.get(j) {
                    self.net.enable(end, reaches);
                }
            }
        }
        for i in 0..self.n {
            for j in 0..i {
                let are_connected =
                    |i: usize, j: usize| links[i][j] && slots[i].is_attached && slots[j].is_attached;
                record::link(i, j, are_connected(i, j) && are_connected(j, i));
            }
        }
    }

    /// Kills all servers and shuts the network down.
    pub(crate) fn cleanup(&self) {
        for slot in self.slots.lock().iter_mut() {
            slot.trap = Trap::default();
        }
        for i in 0..self.n {
            let instance = {
                let slot = &mut self.slots.lock()[i];
                slot.life.end();
                slot.instance.take()
            };
            self.graveyard.lock().extend(instance.map(|instance| (i, instance)));
        }
        self.bury();
        self.net.cleanup();
    }
}

impl<H: Host> Slot<H> {
    fn new() -> Slot<H> {
        let life = Life::new();
        life.end();
        Slot {
            instance: None,
            life,
            disk: Arc::default(),
            trap: Trap::default(),
            ends: Vec::new(),
            is_attached: false,
            led: 0,
        }
    }
}

/// A number of the list.
pub(crate) fn any<T: Copy>(list: &[T]) -> Option<T> {
    list.choose(&mut rand::rng()).copied()
}
