//! Checks whether the history of a concurrent object is linearizable.
//!
//! Clients run operations against a shared object. A history records each operation: what was asked, what was answered,
//! and when. The history is *linearizable* if each operation can be given one instant between its call and its return
//! such that the following holds: if the operations had run one at a time, in the order of these instants, every client
//! would have got the answers that it did get. For a replicated key/value server this is what "behaves like a single
//! machine" means: no stale reads, no lost or doubled appends, and no order of events that contradicts the clock on the
//! wall.
//!
//! # Outline
//!
//! ```text
//! Operation { input, call, output, ret }       a finished operation, with the times of its call and its return
//! Event::Call { id, input }                    the same history as a sequence of calls and returns,
//! Event::Return { id, output }                   for a history with an order but no clock
//!
//! trait Model                                  what the object does when one client uses it at a time
//!     init, step                               required
//!     partition, partition_event               optional: split a history into independent parts
//!     kind, leads_to, brings                   optional: tell the search what it need not try
//!     describe                                 optional: what a picture calls an operation
//! RegisterModel, CasModel, KvModel             ready-made models
//!
//! check_operations(&model, &ops)               -> bool
//! check_operations_timeout(&model, &ops, t)    -> CheckResult::{Ok, Illegal, Unknown}
//! check_events(&model, &events)                -> bool
//! check_events_timeout(&model, &events, t)     -> CheckResult::{Ok, Illegal, Unknown}
//!
//! explain_operations(&model, &ops, t)          -> Explanation: the longest orders that can be found,
//! explain_events(&model, &events, t)             and the operations that fit into none
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
//! // While the append runs, a get may or may not see its effect. Once a get has seen it, all later ones must see it.
//! let append = op(KvOp::Append, "b", 10, "", 40);
//! let put = op(KvOp::Put, "a", 0, "", 5);
//! let new = op(KvOp::Get, "", 15, "ab", 20);
//! let old = op(KvOp::Get, "", 25, "a", 30);
//! assert!(check_operations(&KvModel, &[put.clone(), append.clone(), new.clone()]));
//! assert!(check_operations(&KvModel, &[put.clone(), append.clone(), old.clone()]));
//! assert!(!check_operations(&KvModel, &[put, append, new, old]));
//! ```
//!
//! # Pictures
//!
//! `cargo run -p linearizability --example history -- FILE.edn` checks a history that Jepsen has recorded of a register
//! with compare-and-set, and draws it as an HTML page: the longest order that explains the answers, and the operation at
//! which the history breaks. `page::html` in the folder of the example draws a history of any model.
//!
//! # Closed intervals
//!
//! An operation may take effect at any instant from its call to its return, both included. If one operation is called at
//! the time at which another returns, the two are concurrent. Clocks are the reason. Take a put recorded as `[0, 10]` and
//! a get recorded as `[10, 20]` that missed the put's value. If the clock ticks in units of ten, the server may have
//! answered the get a moment before the put took effect. The verdict "illegal" would accuse a correct server. Half-open
//! intervals would also contradict themselves: an operation `[10, 10]`, which begins and ends within one tick, would
//! return before it was called.
//!
//! # Cost
//!
//! The problem is NP-complete: for some histories a check takes practically forever. Histories of a key/value store with
//! a dozen clients take about a microsecond for each operation, legal or not. Their length does not matter: the search
//! has to try the orders of operations that ran at the same time, not of operations that came before them.
//!
#![doc = include_str!("cost.svg")]
//!
//! The charts show the workload of the lab's linearizability tests, on ten keys. The cost grows with the number of
//! operations. It grows slowly with the number of clients, up to about five clients at a time on each key. The last chart
//! shows the known worst case: all operations run at once, nothing that was read tells their order, and then comes an
//! answer that no order explains. Then the search goes through every set of the operations, and through every state that
//! each set can lead to. A hundred clients on ten keys, with ten operations on a key at a time, come near the worst case
//! even if the history is legal.
//!
//! A model keeps most histories away from the worst case with [`kind`](Model::kind), [`leads_to`](Model::leads_to) and
//! [`brings`](Model::brings). The values that were read tell the order of the operations before them. With these methods
//! the search gives up a wrong order where the order begins to be wrong, not where it ends.
//!
//! A search remembers each configuration that it has seen, so its memory grows with its running time. Set a limit if a
//! history may be hard. First, the parts of a history are searched one after the other, with few steps each. The parts
//! that need more steps are then searched in parallel, on a few threads that end before the check returns. If no thread
//! can be started, the calling thread does all the work.
#![forbid(unsafe_code)]

mod bitset;
mod foresight;
mod ids;
mod linearizability;
mod longest;
mod model;
mod models;
mod open;
mod part;
mod search;
mod seen;

use std::time::Duration;

pub use model::{CheckResult, Event, Explanation, Kind, Model, Operation, PartExplanation, Prefix};
pub use models::{
    CasInput, CasModel, CasOutput, KvInput, KvModel, KvOp, KvOutput, KvState, RegisterInput, RegisterModel,
};

/// Checks whether a history of operations is linearizable. The operations may be listed in any order. There is no time
/// limit.
///
/// An operation that never returned can be given `i64::MAX` as its return time, if the model allows any output for it
/// (see [`Event`]).
///
/// # Panics
///
/// If an operation returns before it is called. The message names the operation's index. A panic of the model is passed
/// on.
#[must_use]
pub fn check_operations<M>(model: &M, history: &[Operation<M::Input, M::Output>]) -> bool
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_operations(model, history, None) == CheckResult::Ok
}

/// Like [`check_operations`], but gives up with [`CheckResult::Unknown`] once `limit` has passed.
///
/// The limit is for the whole check, however many parts the history has. The check looks at the clock every few steps of
/// the model, and can exceed the limit by the time that these steps take. A limit of zero is no time at all. (In the Go
/// library, zero means no limit.)
///
/// # Panics
///
/// As for [`check_operations`].
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

/// Checks whether a history of events is linearizable. The events are listed in the order in which they happened. There
/// is no time limit.
///
/// # Panics
///
/// If an id is called or returns twice, returns before it is called, or never returns. The message names the id and
/// the event's index. A panic of the model is passed on.
#[must_use]
pub fn check_events<M>(model: &M, history: &[Event<M::Input, M::Output>]) -> bool
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::check_events(model, history, None) == CheckResult::Ok
}

/// Like [`check_events`], but gives up with [`CheckResult::Unknown`] once `limit` has passed. The limit works as for
/// [`check_operations_timeout`].
///
/// # Panics
///
/// As for [`check_events`].
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

/// Explains why a history of operations is not linearizable: finds the longest orders of its operations that explain
/// their answers, and the operations that could not come next.
///
/// Every part is searched to its end, even if another part is known to be illegal, so this takes longer than a check.
/// Once `limit` has passed, the function returns what it has found so far. [`Duration::MAX`] means no limit.
///
/// # Panics
///
/// As for [`check_operations`].
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

/// Like [`explain_operations`], for a history of events. The index of an operation is the index of its call.
///
/// # Panics
///
/// As for [`check_events`].
pub fn explain_events<M>(model: &M, history: &[Event<M::Input, M::Output>], limit: Duration) -> Explanation
where
    M: Model<Input: Sync, Output: Sync> + Sync,
{
    linearizability::explain_events(model, history, limit)
}
