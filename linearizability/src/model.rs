//! What a history consists of, and what a model must say about the object under test.
//!
//! Go counterpart: `linearizability/model.go`.

use std::hash::Hash;

/// One finished operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// What was asked.
    pub input: I,
    /// When the client called. Any unit and origin will do: only the order of times matters.
    pub call: i64,
    /// What came back.
    pub output: O,
    /// When the answer came back, on the same clock as `call` and not before it.
    pub ret: i64,
}

/// One end of an operation; the position in the history says when it happened.
///
/// The `id` ties a return to its call. An id names one operation in the whole history: it is not used again, not even
/// after its operation has returned.
///
/// A call that never returns is refused, because there is no output to check. Where the state does not change (a
/// get), leave the call out. Where every output is allowed (a put or an append), add a return at the end of the
/// history: the operation may then have taken effect at any time since its call, or after all the others, which none
/// of them can tell from never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<I, O> {
    /// A client asks.
    Call {
        /// Names the operation.
        id: u64,
        /// What it asks.
        input: I,
    },
    /// A client has its answer.
    Return {
        /// Names the operation, which was called earlier in the history.
        id: u64,
        /// What came back.
        output: O,
    },
}

/// What a check found out.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The history is linearizable.
    Ok,
    /// The history is not linearizable.
    Illegal,
    /// The time ran out before either was certain.
    Unknown,
}

/// An object's sequential specification: what it answers when its operations come one at a time.
///
/// All methods are pure: equal arguments give equal results, and nothing else changes. They may be called from
/// several threads at once, in any order, and far more often than there are operations.
///
/// Two states that are equal are taken for the same: [`Eq`] and [`Hash`] stand in the place of the Go model's `Equal`,
/// whose absence meant shallow equality. States are cloned and kept in great number, so a large one is better shared
/// (by an [`Arc`](std::sync::Arc)) than copied.
pub trait Model {
    /// What an operation asks.
    type Input;
    /// What an operation answers.
    type Output;
    /// What the object remembers.
    type State: Clone + Eq + Hash;

    /// Splits a history into parts that do not influence each other; optional.
    ///
    /// The history must be linearizable exactly if each part is, as with operations on different keys of a map. A part
    /// is a history of its own and starts from [`init`](Model::init). Parts make the search much shorter, since it
    /// need not try how their operations interleave. Without this method there is one part, the whole history.
    fn partition<'a>(
        &self,
        history: &'a [Operation<Self::Input, Self::Output>],
    ) -> Vec<Vec<&'a Operation<Self::Input, Self::Output>>> {
        vec![history.iter().collect()]
    }

    /// The same as [`partition`](Model::partition) for a history of events; optional.
    ///
    /// A part has both events of each of its operations, in the order of the history. The history is known to be well
    /// formed: every id is called once and later returns once.
    fn partition_event<'a>(
        &self,
        history: &'a [Event<Self::Input, Self::Output>],
    ) -> Vec<Vec<&'a Event<Self::Input, Self::Output>>> {
        vec![history.iter().collect()]
    }

    /// The state in which the object starts.
    fn init(&self) -> Self::State;

    /// The state after an operation that is run in `state`, or `None` if the object could not have answered `output`
    /// there.
    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State>;
}
