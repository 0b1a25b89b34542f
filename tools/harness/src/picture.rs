//! What a title's picture needs to know, beside its operations and the log: which servers there are, how they are
//! connected, what they say of themselves. The tests' `Config` calls these functions as it does what they name.
//!
//! All this is memory of a bounded size and a lock that is held for a moment. One thread of the harness asks each server
//! for its term and role every 10 ms. When the title is graded, nothing of this is done.
//!
//! In a simulation all of it is always done, whether a picture is wanted or not, so that a run does not depend on that.
//! The thread that asks is a simulated one, since it takes the servers' locks. All else is done outside of the simulation:
//! it takes no time there, and nobody loses the processor meanwhile, so nobody ever waits for one of these locks. They
//! are std's, because parking_lot's note each thread that takes one in a table that all threads share.
//!
//! Lock order: `RECORD` and `PROBE` alone; nothing is locked under them.

use crate::child::{elapsed, lock};
use crate::operations;
use crate::ring::Ring;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How often each server is asked for its term, and whether it leads.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How many of each kind of events are kept.
const KEPT: usize = 60_000;

/// More servers than any title has.
const MOST_SERVERS: usize = 16;

/// Whether anything is kept.
static ON: AtomicBool = AtomicBool::new(false);

static RECORD: Mutex<Record> = Mutex::new(Record {
    servers: 0,
    states: Ring::new(KEPT),
    lives: Ring::new(KEPT),
    links: [[false; MOST_SERVERS]; MOST_SERVERS],
    groups: Ring::new(KEPT),
    network: (false, false),
    networks: Ring::new(KEPT),
    marks: Ring::new(KEPT),
    next_mark: 0,
    findings: Vec::new(),
});

/// What each server said last: twice its term, plus one if it leads, plus two. 0: nothing.
static LATEST: [AtomicU64; MOST_SERVERS] = [const { AtomicU64::new(0) }; MOST_SERVERS];

type Probe = dyn Fn(usize) -> Option<(u64, bool)> + Send + Sync;
static PROBE: Mutex<Option<Arc<Probe>>> = Mutex::new(None);

/// The server that is being asked, plus one, and since when in microseconds.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static ASKED_AT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static TOUCHED: Cell<Option<Focus>> = const { Cell::new(None) };
    static IS_OBSERVER: Cell<bool> = const { Cell::new(false) };
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Operation(u64),
    Mark(u64),
}

/// What is known of the servers and their network. All times are since the title began.
pub(crate) struct Record {
    pub(crate) servers: usize,
    pub(crate) states: Ring<State>,
    /// When a server started, or crashed (false).
    pub(crate) lives: Ring<(Duration, usize, bool)>,
    links: [[bool; MOST_SERVERS]; MOST_SERVERS],
    /// By server, the lowest-numbered server that it is connected with, directly or not.
    pub(crate) groups: Ring<(Duration, Vec<usize>)>,
    /// Whether it is unreliable, and whether it reorders replies.
    network: (bool, bool),
    pub(crate) networks: Ring<(Duration, bool, bool)>,
    pub(crate) marks: Ring<Mark>,
    next_mark: u64,
    pub(crate) findings: Vec<Finding>,
}

/// A server's term, and whether it leads, from a time on.
pub(crate) struct State {
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) term: u64,
    pub(crate) leads: bool,
}

/// Something that happened on a server.
pub(crate) struct Mark {
    pub(crate) id: u64,
    pub(crate) at: Duration,
    pub(crate) server: usize,
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Started,
    Applied,
}

/// What the linearizability checker found out about one part of the history, in which no order of the operations
/// explains all results. Operations are named by their [`id`](crate::Operation::id).
pub struct Finding {
    /// A longest sequence of them that explains itself.
    pub order: Vec<u64>,
    /// What would have had to come next, and cannot: the first of them breaks the history.
    pub refused: Vec<u64>,
    /// All of the part.
    pub part: Vec<u64>,
    /// In words.
    pub note: String,
}

/// Whether what a picture shows is being recorded. In a simulation it always is.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Calls `f` with the record. A simulation does not notice it.
fn with<T>(f: impl FnOnce(&mut Record) -> T) -> T {
    sim::outside(|| f(&mut record()))
}

/// There are `n` servers, none of which runs, and all of which are disconnected.
///
/// # Panics
/// When there are more than any title has.
pub fn servers(n: usize) {
    assert!(n <= MOST_SERVERS, "a picture has room for {MOST_SERVERS} servers, not for {n}");
    if is_on() {
        with(|record| record.servers = n);
    }
}

/// Server `i` has been started.
pub fn up(i: usize) {
    live(i, true);
}

/// Server `i` has crashed, or is about to.
pub fn down(i: usize) {
    live(i, false);
}

fn live(i: usize, up: bool) {
    if !is_on() {
        return;
    }
    LATEST[i].store(0, Ordering::Relaxed);
    with(|record| {
        let was = record.lives.iter().rev().find(|(_, server, _)| *server == i).is_some_and(|(_, _, up)| *up);
        if was != up {
            record.lives.push((elapsed(), i, up));
        }
    });
}

/// Servers `i` and `j` have been connected, or disconnected.
pub fn link(i: usize, j: usize, connected: bool) {
    if !is_on() || i == j {
        return;
    }
    with(|record| {
        if record.links[i][j] == connected {
            return;
        }
        record.links[i][j] = connected;
        record.links[j][i] = connected;
        let groups = record.components();
        record.groups.push((elapsed(), groups));
    });
}

/// Whether the network loses and delays messages.
pub fn unreliable(yes: bool) {
    note_network(|(unreliable, _)| *unreliable = yes);
}

/// Whether the network holds replies back.
pub fn long_reordering(yes: bool) {
    note_network(|(_, reordering)| *reordering = yes);
}

fn note_network(change: impl FnOnce(&mut (bool, bool))) {
    if !is_on() {
        return;
    }
    with(|record| {
        let was = record.network;
        change(&mut record.network);
        let (unreliable, reordering) = record.network;
        if record.networks.iter().next().is_none() || was != record.network {
            record.networks.push((elapsed(), unreliable, reordering));
        }
    });
}

/// Server `i` has taken a command as the leader that it is or believes to be.
pub fn started(i: usize, what: impl Into<String>) {
    mark(i, Kind::Started, what.into());
}

/// Server `i` has applied a command.
pub fn applied(i: usize, what: impl Into<String>) {
    mark(i, Kind::Applied, what.into());
}

fn mark(server: usize, kind: Kind, what: String) {
    if !is_on() {
        return;
    }
    let id = with(|record| {
        let id = record.next_mark;
        record.next_mark += 1;
        record.marks.push(Mark { id, at: elapsed(), server, kind, what });
        id
    });
    // What belongs to an operation is not of interest by itself.
    if !matches!(TOUCHED.get(), Some(Focus::Operation(id)) if operations::is_pending(id)) {
        touch(Focus::Mark(id));
    }
}

/// The history is not linearizable.
pub fn found(findings: Vec<Finding>) {
    with(|record| record.findings = findings);
}

/// From now on, `probe` says of each server in which term it is, and whether it leads; None when it is crashed. It runs
/// on a thread of the harness, holds no lock that the title needs, and may panic or hang.
pub fn observe(probe: impl Fn(usize) -> Option<(u64, bool)> + Send + Sync + 'static) {
    if is_on() {
        let probe: Arc<Probe> = Arc::new(probe);
        let old = sim::outside(|| lock(&PROBE).replace(probe));
        // Not above: what the title has put into it may wake others when it goes.
        drop(old);
    }
}

impl Record {
    fn components(&self) -> Vec<usize> {
        let mut lowest: Vec<usize> = (0..self.servers).collect();
        // As often as a chain of servers can be long.
        for _ in 0..self.servers {
            for i in 0..self.servers {
                for j in 0..self.servers {
                    if self.links[i][j] {
                        lowest[i] = lowest[i].min(lowest[j]);
                    }
                }
            }
        }
        lowest
    }
}

/// Gives what is recorded; in a simulation, outside of it only.
pub(crate) fn record() -> MutexGuard<'static, Record> {
    lock(&RECORD)
}

/// What this thread did last: when it panics, that is what the failure is about.
pub(crate) fn touch(focus: Focus) {
    TOUCHED.set(Some(focus));
}

/// What a failure on this thread is about; in a simulation, outside of it only.
pub(crate) fn focus() -> Option<Focus> {
    let record = record();
    let broken = record.findings.first().and_then(|finding| finding.refused.first().copied());
    // Threads are reused: on a server's, what it did for a client or for another server is of the past.
    let server = labrpc::current_task().and_then(|task| task.server());
    let is_own = |focus: &Focus| match (server, focus) {
        (None, _) => true,
        (Some(_), Focus::Operation(_)) => false,
        (Some(server), Focus::Mark(id)) => {
            (record.marks.iter().rev()).find(|mark| mark.id == *id).is_some_and(|mark| mark.server == server)
        }
    };
    broken.map(Focus::Operation).or_else(|| TOUCHED.get().filter(is_own))
}

/// The term and the role that a server was last seen in.
pub(crate) fn latest(server: usize) -> Option<(u64, bool)> {
    let code = LATEST.get(server)?.load(Ordering::Relaxed);
    (code > 1).then(|| (code / 2 - 1, code % 2 == 1))
}

/// The server that has not answered the harness for at least a second, and since when.
pub(crate) fn silent() -> Option<(usize, Duration)> {
    let server = ASKED.load(Ordering::Relaxed).checked_sub(1)?;
    let since = Duration::from_micros(ASKED_AT.load(Ordering::Relaxed));
    (elapsed().saturating_sub(since) > Duration::from_secs(1)).then_some((server, since))
}

/// Whether this is the thread that asks the servers. Its panics are not the title's: it may have asked a server that was
/// just being killed.
pub(crate) fn is_observer() -> bool {
    IS_OBSERVER.get()
}

/// Turns the recording on, with its thread; in a simulation, on one of its threads. Where no thread can be started, terms
/// and roles are missing.
pub(crate) fn start() {
    ON.store(true, Ordering::Relaxed);
    operations::keep_many();
    // When it cannot be started, the title has more urgent needs for threads.
    let _ = std::thread::Builder::new().name("titles-observer".to_string()).spawn(|| {
        IS_OBSERVER.set(true);
        sim::stand_by();
        loop {
            std::thread::sleep(LOOK_INTERVAL);
            let probe = sim::outside(|| lock(&PROBE).clone());
            if let Some(probe) = probe {
                let servers = with(|record| record.servers);
                (0..servers).for_each(|server| look(server, &*probe));
            }
        }
    });
}

/// Asks one server.
fn look(server: usize, probe: &Probe) {
    ASKED_AT.store(elapsed().as_micros() as u64, Ordering::Relaxed);
    ASKED.store(server + 1, Ordering::Relaxed);
    let said = catch_unwind(AssertUnwindSafe(|| probe(server))).ok().flatten();
    ASKED.store(0, Ordering::Relaxed);
    let Some((term, leads)) = said else { return };
    let code = term.wrapping_add(1).wrapping_mul(2) + u64::from(leads);
    if LATEST[server].swap(code, Ordering::Relaxed) != code {
        with(|record| record.states.push(State { at: elapsed(), server, term, leads }));
    }
}
