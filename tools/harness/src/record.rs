//! A record of what happened in a test: its operations, what the servers did, said and logged, and when. The tests'
//! `Config` writes the record, and reports read it; the record knows neither.
//!
//! The record is memory of bounded size behind locks that are held for a moment. When a test is graded, only operations
//! are recorded.
//!
//! In a simulation everything is always recorded, even if no picture is wanted: a run must not depend on whether one is
//! wanted. Recording happens outside of the simulation: it takes no virtual time, no thread loses the processor
//! meanwhile, and no thread ever waits for one of these locks. The locks are std's, because parking_lot notes each
//! thread that takes a lock in a table that all threads share.
//!
//! There is no lock order: a thread that holds one of these locks takes no other lock.

mod excerpt;
mod log;
mod messages;
mod operations;
mod ring;
mod servers;

pub use excerpt::excerpt;
pub use servers::Finding;

pub(crate) use log::{Kept, Line};
pub(crate) use messages::{Claim, Fate, Messages, Rpc, Says, Sender, Vote};
pub(crate) use operations::{Call, Ended, Seen};
pub(crate) use servers::{Groups, Kind, Life, Mark, Network, Note, Seen as SeenState, Servers};

use excerpt::Excerpt;
use lines::State;
use log::{Budget, Log};
use operations::Operations;
use servers::MOST_SERVERS;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

static RECORD: Record = Record::new();

thread_local! {
    /// What this thread did last: a failure on this thread is probably about it.
    static TOUCHED: Cell<Option<Focus>> = const { Cell::new(None) };
    /// What this thread has said that its failure is about.
    static ABOUT: Cell<Option<Focus>> = const { Cell::new(None) };
    /// The server whose code a thread of the test is running, inside [`on_server`].
    static ENTERED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A failure is about what its thread did last, if that was no longer ago than this.
const FRESH: Duration = Duration::from_millis(200);

struct Record {
    started: OnceLock<Instant>,
    /// Whether everything is recorded, or operations only.
    is_on: AtomicBool,
    /// The test's printed title, as "Test: one client (3A)".
    title: Mutex<String>,
    /// The text that the failure is about.
    sought: Mutex<String>,
    /// The property or rule that the failure breaks.
    violated: Mutex<Option<&'static str>>,
    operations: Mutex<Operations>,
    servers: Mutex<Servers>,
    /// What each server answered last: twice its term, plus one if it leads, plus two. 0: it has not answered yet.
    latest: [AtomicU64; MOST_SERVERS],
    /// The server that is being asked for its state, plus one. 0: none.
    asked: AtomicUsize,
    /// When it was asked, in microseconds since the test began.
    asked_at: AtomicU64,
    messages: Mutex<Messages>,
    log: Mutex<Log>,
    budget: Budget,
}

impl Record {
    const fn new() -> Record {
        Record {
            started: OnceLock::new(),
            is_on: AtomicBool::new(false),
            title: Mutex::new(String::new()),
            sought: Mutex::new(String::new()),
            violated: Mutex::new(None),
            operations: Mutex::new(Operations::new()),
            servers: Mutex::new(Servers::new()),
            latest: [const { AtomicU64::new(0) }; MOST_SERVERS],
            asked: AtomicUsize::new(0),
            asked_at: AtomicU64::new(0),
            messages: Mutex::new(Messages::new()),
            log: Mutex::new(Log::new()),
            budget: Budget::new(),
        }
    }
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Operation(u64),
    Mark(u64),
    Server(usize),
}

/// The locks are held for a moment, by code that does not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f` with the operations, outside of a simulation.
pub(crate) fn operations<T>(f: impl FnOnce(&mut Operations) -> T) -> T {
    sim::outside(|| f(&mut lock(&RECORD.operations)))
}

/// Calls `f` with what is known of the servers, outside of a simulation.
pub(crate) fn with_servers<T>(f: impl FnOnce(&mut Servers) -> T) -> T {
    sim::outside(|| f(&mut lock(&RECORD.servers)))
}

/// Calls `f` with the messages and the time, outside of a simulation.
pub(crate) fn messages<T>(f: impl FnOnce(&mut Messages, Duration) -> T) -> T {
    sim::outside(|| {
        let at = elapsed();
        f(&mut lock(&RECORD.messages), at)
    })
}

// The clock.

/// Starts the clock.
pub(crate) fn start_clock() {
    RECORD.started.get_or_init(Instant::now);
}

/// The time since the test began. In a simulation this is virtual time, and the call does not count as a read of the
/// clock.
pub fn elapsed() -> Duration {
    if let Some(time) = sim::elapsed() {
        return time;
    }
    RECORD.started.get().map_or(Duration::ZERO, Instant::elapsed)
}

// The test.

/// Turns the recording of everything on.
pub(crate) fn start() {
    RECORD.is_on.store(true, Ordering::Relaxed);
    operations(Operations::keep_many);
}

/// Whether everything that a picture shows is recorded. In a simulation it always is.
pub fn is_on() -> bool {
    RECORD.is_on.load(Ordering::Relaxed)
}

/// Notes the test's printed title.
pub(crate) fn set_title(title: &str) {
    *lock(&RECORD.title) = title.to_string();
}

pub(crate) fn title() -> String {
    lock(&RECORD.title).clone()
}

// Operations.

/// An operation that is pending until this is dropped.
pub struct Operation {
    id: u64,
    result: Option<Excerpt>,
}

/// Notes that an operation begins: `who` is the client ("client 3"), `what` is what it does (`get("0")`).
#[must_use = "the operation ends when this is dropped"]
pub fn operation(who: impl Into<String>, what: impl Into<String>) -> Operation {
    let (who, what) = (who.into(), what.into());
    sim::trace(format_args!("begins: {who}: {what}"));
    let id = operations(|operations| operations.begin(Call { who, what, at: elapsed() }));
    touch(Focus::Operation(id));
    Operation { id, result: None }
}

impl Operation {
    /// Ends the operation with this result. The picture shows the beginning and the end of the result.
    pub fn returned(mut self, result: &str) {
        self.result = Some(sim::outside(|| Excerpt::of(result)));
    }

    /// The operation's number, which names it in a [`Finding`].
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let result = self.result.take();
        let traced = operations(|operations| {
            let Call { who, what, .. } = operations.end(self.id, result, elapsed())?;
            sim::is_tracing().then(|| format!("has done: {who}: {what}"))
        });
        if let Some(text) = traced {
            sim::trace(format_args!("{text}"));
        }
    }
}

// Servers. The tests' `Config` calls each of these functions to note what it has just done or seen.

/// Notes that there are `n` servers. None of them runs yet, and all are disconnected.
///
/// # Panics
/// When there are more than any test has.
pub fn servers(n: usize) {
    assert!(n <= MOST_SERVERS, "a picture has room for {MOST_SERVERS} servers, not for {n}");
    if is_on() {
        with_servers(|servers| servers.count = n);
    }
}

/// Notes that server `i` sends its RPCs through this end.
pub fn end_of_server(end: &str, i: usize) {
    if is_on() {
        messages(|messages, _| messages.end(end, Sender::Server(i)));
    }
}

/// Notes that a client sends its RPCs through this end. `name` is its name on threads that have none.
pub fn end_of_client(end: &str, name: &str) {
    if is_on() {
        messages(|messages, _| messages.end(end, Sender::Client(name.to_string())));
    }
}

/// Notes that server `i` has been started.
pub fn up(i: usize) {
    live(i, true);
}

/// Notes that server `i` has crashed, or is about to.
pub fn down(i: usize) {
    live(i, false);
}

fn live(i: usize, is_up: bool) {
    if is_on() {
        RECORD.latest[i].store(0, Ordering::Relaxed);
        with_servers(|servers| servers.live(elapsed(), i, is_up));
        if !is_up {
            messages(|messages, _| messages.crash(i));
        }
    }
}

/// Notes that servers `i` and `j` have been connected, or disconnected.
pub fn link(i: usize, j: usize, connected: bool) {
    if is_on() && i != j {
        with_servers(|servers| servers.link(elapsed(), i, j, connected));
    }
}

/// Notes whether the network loses and delays messages.
pub fn unreliable(yes: bool) {
    if is_on() {
        with_servers(|servers| servers.network(elapsed(), |network| network.is_unreliable = yes));
    }
}

/// Notes whether the network holds replies back.
pub fn long_reordering(yes: bool) {
    if is_on() {
        with_servers(|servers| servers.network(elapsed(), |network| network.reorders = yes));
    }
}

/// Notes that server `i`, which is or believes to be the leader, has accepted a command (`start`).
pub fn started(i: usize, what: impl Into<String>) {
    mark(i, Kind::Started, what.into());
}

/// Notes that server `i` has applied a command.
pub fn applied(i: usize, what: impl Into<String>) {
    mark(i, Kind::Applied, what.into());
}

fn mark(server: usize, kind: Kind, what: String) {
    if !is_on() {
        return;
    }
    let id = with_servers(|servers| servers.mark(elapsed(), server, kind, what));
    // While this thread's operation is pending, a failure is about the operation, not about this mark.
    let is_within = |operation| operations(|operations| operations.is_pending(operation));
    if !matches!(TOUCHED.get(), Some(Focus::Operation(operation)) if is_within(operation)) {
        touch(Focus::Mark(id));
    }
}

/// Notes why the history is not linearizable.
pub fn found(findings: Vec<Finding>) {
    with_servers(|servers| servers.findings = findings);
}

/// Notes that a server is being asked for its state, until [`answer`] is called.
pub(crate) fn ask(server: usize) {
    RECORD.asked_at.store(elapsed().as_micros() as u64, Ordering::Relaxed);
    RECORD.asked.store(server + 1, Ordering::Relaxed);
}

/// Notes the answer of the server that was asked. None: the server is crashed.
pub(crate) fn answer(server: usize, state: Option<State>) {
    RECORD.asked.store(0, Ordering::Relaxed);
    if let Some(state) = state {
        saw(server, state);
    }
}

fn saw(server: usize, State { term, is_leader }: State) {
    let code = term.wrapping_add(1).wrapping_mul(2) + u64::from(is_leader);
    if RECORD.latest[server].swap(code, Ordering::Relaxed) != code {
        with_servers(|servers| servers.states.push(SeenState { at: elapsed(), server, term, is_leader }));
    }
}

/// Notes that the test has seen server `i` lead in `term`.
pub fn leads(i: usize, term: u64) {
    if is_on() {
        saw(i, State { term, is_leader: true });
    }
}

/// The term and the role in which a server was last seen.
pub(crate) fn latest(server: usize) -> Option<State> {
    let code = RECORD.latest.get(server)?.load(Ordering::Relaxed);
    (code > 1).then(|| State { term: code / 2 - 1, is_leader: code % 2 == 1 })
}

/// The server that has not answered the harness for at least a second, and since when.
pub(crate) fn silent() -> Option<(usize, Duration)> {
    let server = RECORD.asked.load(Ordering::Relaxed).checked_sub(1)?;
    let since = Duration::from_micros(RECORD.asked_at.load(Ordering::Relaxed));
    (elapsed().saturating_sub(since) > Duration::from_secs(1)).then_some((server, since))
}

// The log.

/// Keeps a line. In a simulation, call this within [`sim::outside`].
pub(crate) fn keep(mut line: Line) {
    line.passed_over = RECORD.budget.take_passed_over();
    lock(&RECORD.log).push(line);
}

/// Keeps the line that `make` returns, unless the time budget for keeping lines is spent.
pub(crate) fn keep_within_budget(make: impl FnOnce(Duration) -> Line) {
    let began = elapsed();
    if RECORD.budget.take(began) {
        keep(make(began));
        RECORD.budget.spend(elapsed() - began);
    }
}

/// The kept lines of the log. In a simulation, call this within [`sim::outside`].
pub(crate) fn kept() -> Kept {
    lock(&RECORD.log).kept(RECORD.budget.passed_over())
}

/// Runs `f`, which calls into server `i` on a thread of the test. Lines that `f` logs are shown as the server's.
pub fn on_server<T>(i: usize, f: impl FnOnce() -> T) -> T {
    let outer = ENTERED.replace(Some(i));
    let result = f();
    ENTERED.set(outer);
    result
}

/// The server whose code the calling thread is running, inside [`on_server`].
pub(crate) fn entered() -> Option<usize> {
    ENTERED.get()
}

// What led to a failure.

/// Notes something that happened, for the story that is printed under a failure's message: "server 2 crashes".
pub fn note(what: impl Into<String>) {
    let what = what.into();
    sim::trace(format_args!("{what}"));
    note_late(elapsed(), what);
}

/// As [`note`], for something that happened to a server.
pub fn note_of(server: usize, what: impl Into<String>) {
    let what = what.into();
    sim::trace(format_args!("{what}"));
    with_servers(|servers| servers.notes.push(Note { at: elapsed(), server: Some(server), what }));
}

/// As [`note`], for something that happened earlier, and that only now turns out to be a part of the story.
pub fn note_late(at: Duration, what: String) {
    with_servers(|servers| servers.notes.push(Note { at, server: None, what }));
}

/// Notes what probably made the test hang, for the story.
pub(crate) fn suspect(at: Duration, server: usize, what: String) {
    with_servers(|servers| servers.suspects.push((at, server, what)));
}

/// The end of a message that there is no leader: how often servers have asked for votes from this time on. Empty where
/// messages are not recorded.
pub fn votes_asked_since(at: Duration) -> String {
    if !is_on() {
        return String::new();
    }
    match messages(|messages, _| messages.requests_since("Raft.RequestVote", at)) {
        0 => ", and no server has asked another for its vote (Raft.RequestVote)".to_string(),
        n => format!(", although servers have sent Raft.RequestVote {n} times"),
    }
}

// What a failure is about.

/// Notes that the failure that the calling thread is about to report concerns server `i`.
pub fn about_server(i: usize) {
    about(Focus::Server(i));
}

/// Notes that the failure that the calling thread is about to report concerns the last operation of a client.
pub fn about_client(name: &str) {
    if let Some(id) = operations(|operations| operations.last_of(name)) {
        about(Focus::Operation(id));
    }
}

/// Notes what the failure that the calling thread is about to report concerns.
pub(crate) fn about(focus: Focus) {
    ABOUT.set(Some(focus));
}

/// Notes that the failure that the calling thread is about to report concerns this text. The picture searches for it.
pub fn about_text(text: &str) {
    *lock(&RECORD.sought) = text.to_string();
}

/// Notes that the failure that the calling thread is about to report breaks a property or a rule of the paper, with its place:
/// "State Machine Safety (Figure 3 of the Raft paper)".
pub fn about_property(name: &'static str) {
    *lock(&RECORD.violated) = Some(name);
}

/// The property or rule that the failure breaks.
pub(crate) fn violated() -> Option<&'static str> {
    *lock(&RECORD.violated)
}

/// The text that the failure is about, or the empty text.
pub(crate) fn sought() -> String {
    lock(&RECORD.sought).clone()
}

/// Notes what the calling thread did last.
fn touch(focus: Focus) {
    TOUCHED.set(Some(focus));
}

/// What a failure on the calling thread is about. `server`: the server that the thread works for, if any.
pub(crate) fn focus(server: Option<usize>) -> Option<Focus> {
    let touched = TOUCHED.get();
    let now = elapsed();
    let (is_pending, ended) = match touched {
        Some(Focus::Operation(id)) => {
            operations(|operations| (operations.is_pending(id), operations.ended_at(id)))
        }
        _ => (false, None),
    };
    with_servers(|servers| {
        let broken = servers.findings.first().and_then(|finding| finding.refused.first());
        // Threads are reused. If a server's thread has touched an operation, that was in an earlier task; a mark may be
        // from an earlier task too.
        let is_own = |focus: &Focus| match (server, focus) {
            (None, _) => true,
            (Some(_), Focus::Operation(_) | Focus::Server(_)) => false,
            (Some(server), Focus::Mark(id)) => {
                servers.marks.iter().rev().any(|mark| mark.id == *id && mark.server == server)
            }
        };
        let broken = broken.map(|id| Focus::Operation(*id));
        let is_fresh = |focus: &Focus| match focus {
            Focus::Operation(_) => is_pending || ended.is_some_and(|ended| now <= ended + FRESH),
            Focus::Mark(id) => {
                servers.marks.iter().rev().any(|mark| mark.id == *id && now <= mark.at + FRESH)
            }
            Focus::Server(_) => true,
        };
        broken
            .or(ABOUT.get())
            .or_else(|| touched.filter(is_own).filter(is_fresh))
            .or(server.or(entered()).map(Focus::Server))
    })
}
