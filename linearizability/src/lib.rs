//! Checks whether the history of a concurrent object is linearizable.
//!
//! A history records, for each operation that clients ran against a shared object, what was asked, what came back,
//! and when each happened. It is *linearizable* if every operation can be given one instant between its call and its
//! return at which it seems to take effect all at once, so that running the operations one at a time in the order of
//! these instants would have given every client the answers it got. For a replicated key/value server this is what
//! "behaves like a single machine" means: no stale reads, no lost or doubled appends, and no order of events that
//! contradicts the clock on the wall.
//!
//! # Outline
//!
//! ```text
//! Operation { input, call, output, ret }       one finished operation with its two times
//! Event::Call { id, input }                    or the same history as a sequence of calls
//! Event::Return { id, output }                   and returns, if there is an order but no clock
//!
//! trait Model                                  what the object does when used by one client at a time
//!     init, step                               required
//!     partition, partition_event               optional: split a history into independent parts
//!     kind, leads_to, brings                   optional: what the search need not try
//! RegisterModel, CasModel, KvModel             ready-made models
//!
//! check_operations(&model, &ops)               -> bool
//! check_operations_timeout(&model, &ops, t)    -> CheckResult::{Ok, Illegal, Unknown}
//! check_events(&model, &events)                -> bool
//! check_events_timeout(&model, &events, t)     -> CheckResult::{Ok, Illegal, Unknown}
//!
//! explain_operations(&model, &ops, t)          -> Explanation: how far an order can be found,
//! explain_events(&model, &events, t)             and which operation breaks it
//! ```
//!
//! # Example
//!
//! ```
//! use linearizability::{KvInput, KvModel, KvOp, KvOutput, Operation, check_operations};
//!
//! fn op(op: KvOp, value: &str, call: i64, output: &str, ret: i64) -> Operation<KvInput, KvOutput> {
//!     let input = KvInput { op, key: "x".into(), value: value.into() };
//!     Operation { input, call, output: KvOutput { value: output.into() }, ret }
//! }
//!
//! // While the append runs, a get may see its effect or not; once one get has seen it, later ones must.
//! let append = op(KvOp::Append, "b", 10, "", 40);
//! let put = op(KvOp::Put, "a", 0, "", 5);
//! let new = op(KvOp::Get, "", 15, "ab", 20);
//! let old = op(KvOp::Get, "", 25, "a", 30);
//! assert!(check_operations(&KvModel, &[put.clone(), append.clone(), new.clone()]));
//! assert!(check_operations(&KvModel, &[put.clone(), append.clone(), old.clone()]));
//! assert!(!check_operations(&KvModel, &[put, append, new, old]));
//! ```
//!
//! # Closed intervals
//!
//! An operation may take effect at any instant from its call to its return, both included. So an operation called at
//! the very time at which another returns is concurrent with it, not after it. Clocks are the reason: take a put
//! recorded as `[0, 10]` and a get recorded as `[10, 20]` that missed the put's value. If the clock ticks in units of
//! ten, the get may well have been called, and answered by the server, a moment before the put took effect, and a
//! verdict of "illegal" would accuse a correct server. The other reading even contradicts itself: of an operation
//! whose whole life falls into one tick, `[10, 10]`, it would say that it returned before it was called.
//!
//! # Cost
//!
//! The question is NP-complete, so some histories take forever. Those of a key/value store with a dozen clients take
//! about a microsecond for each operation, legal or not, however long they are: what a search must try and remember is
//! what ran at the same time, not what came before.
//!
#![doc = include_str!("cost.svg")]
//!
//! The charts are the workload of the lab's linearizability tests, on ten keys: its cost grows with the number of
//! operations, and slowly with that of the clients, up to about five on a key at a time. (`cargo run --release -p
//! checker-bench --bin cost` measures and draws it.) The last one shows the known worst case: operations that all
//! run at once, whose order nothing that was read tells, and then an answer that no order explains. Here the search goes
//! through every set of them and every state that each can lead to. A hundred clients on ten keys, with ten operations on
//! a key at a time, come near to this even if what they saw is legal.
//!
//! What a model says in [`kind`](Model::kind), [`leads_to`](Model::leads_to) and [`brings`](Model::brings) keeps most
//! histories away from it: the values that were read tell the order of the operations before them, so that a wrong order
//! is given up where it begins and not where it ends.
//!
//! A search remembers each configuration that it has come upon, so that its memory grows with its running time: give a
//! limit where the history may be a hard one. The partitions of a history are searched one after the other with few
//! steps each, and those that need more in parallel, on a few threads that end before the check returns; where no thread
//! can be started, the calling thread does all the work.
#![forbid(unsafe_code)]

mod bitset;
mod ids;
mod linearizability;
mod model;
mod models;
mod part;
mod search;
mod seen;

use std::time::Duration;

pub use model::{CheckResult, Event, Explanation, Kind, Model, Operation, PartExplanation, Prefix};
pub use models::{
    CasInput, CasModel, CasOutput, KvInput, KvModel, KvOp, KvOutput, KvState, RegisterInput, RegisterModel,
};

/// Tells whether a history of operations, given in any order, is linearizable; takes as long as it takes.
///
/// An operation that never returned can be given `i64::MAX` as its return time, if any output is as good as any
/// other for it (see [`Event`]).
///
/// # Panics
///
/// If an operation returns before it is called. The message names its index. A panic of the model's is passed on.
#[must_use]
pub fn check_operations<M>(model: &M, history: &[Operation<M::Input, M::Output>]) -> bool
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_operations(model, history, None) == CheckResult::Ok
}

/// Like [`check_operations`], but gives up with [`CheckResult::Unknown`] once `limit` has passed.
///
/// The limit is for the check as a whole, however many partitions there are. It is looked at every few steps of the
/// model, so a check can overrun it by that much. A limit of zero is no time at all; in the Go library it meant no
/// limit.
///
/// # Panics
///
/// As [`check_operations`] does.
pub fn check_operations_timeout<M>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    limit: Duration,
) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_operations(model, history, Some(limit))
}

/// Tells whether a history of events, in the order in which they happened, is linearizable; takes as long as it takes.
///
/// # Panics
///
/// If an id is called or returns twice, returns before it is called, or never returns. The message names the id and
/// the event's index. A panic of the model's is passed on.
#[must_use]
pub fn check_events<M>(model: &M, history: &[Event<M::Input, M::Output>]) -> bool
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_events(model, history, None) == CheckResult::Ok
}

/// Like [`check_events`], but gives up with [`CheckResult::Unknown`] once `limit` has passed; the limit is that of
/// [`check_operations_timeout`].
///
/// # Panics
///
/// As [`check_events`] does.
pub fn check_events_timeout<M>(
    model: &M,
    history: &[Event<M::Input, M::Output>],
    limit: Duration,
) -> CheckResult
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_events(model, history, Some(limit))
}

/// Tells, of a history of operations, how far an order of them can be found: the longest linearizable prefixes of a
/// history that is not linearizable, and the operation that breaks each.
///
/// Every part is searched to its end, also after one has turned out to be illegal, so this takes longer than a check.
/// Once `limit` has passed, what has been found until then is given; [`Duration::MAX`] is no limit.
///
/// # Panics
///
/// As [`check_operations`] does.
pub fn explain_operations<M>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    limit: Duration,
) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::explain_operations(model, history, limit)
}

/// Like [`explain_operations`], of a history of events. An operation's index is that of its call.
///
/// # Panics
///
/// As [`check_events`] does.
pub fn explain_events<M>(model: &M, history: &[Event<M::Input, M::Output>], limit: Duration) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::explain_events(model, history, limit)
}
