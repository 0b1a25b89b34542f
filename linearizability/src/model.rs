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

/// How far an order of a history's operations could be found: what a picture of a history that is not linearizable
/// shows.
///
/// An operation is named by its index in the history, in a history of events by that of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict on the whole history.
    pub result: CheckResult,
    /// Each part that the model's partition makes, in its order.
    pub parts: Vec<PartExplanation>,
}

/// How far an order of one part's operations could be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartExplanation {
    /// The verdict on this part alone.
    pub result: CheckResult,
    /// The part's operations in the order of their calls.
    pub operations: Vec<usize>,
    /// Orders that got as far as they could, the longest first; at least one, which is complete if `result` is
    /// [`Ok`](CheckResult::Ok).
    ///
    /// If it is [`Illegal`](CheckResult::Illegal), then for each operation that comes in any of them, the first that it
    /// comes in is the longest found with it.
    pub prefixes: Vec<Prefix>,
    /// Whether these are the longest that there are, and with each operation that can come in an order at all; false if
    /// the time ran out before that was certain.
    pub exact: bool,
}

/// Some operations of a part in an order that explains their outputs, and where it broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The operations in the order in which they may have taken effect.
    pub order: Vec<usize>,
    /// Those that could have come next: the model accepts none after `order`, or the order through it is another of the
    /// prefixes. The first of them is the one that returns first: it cannot wait for any other. Empty if `order` is
    /// complete.
    pub refused: Vec<usize>,
}

/// What a model knows of an operation beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Any,
    /// It leaves every state that accepts it as it is.
    Read,
    /// Every state accepts it.
    Update,
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

    /// What is known of an operation that had this output; optional.
    ///
    /// The more is known, the less the search has to try. If it is not true, verdicts can be wrong.
    fn kind(&self, input: &Self::Input, output: &Self::Output) -> Kind {
        _ = (input, output);
        Kind::Any
    }

    /// Whether a read (by its [`kind`](Model::kind)) may yet be accepted if `state` is the present one, without one of
    /// the operations in between that [bring](Model::brings) what it read; optional.
    ///
    /// A value that is only appended to, for example, cannot be read any more once it is not a beginning of what was
    /// read. The search turns back as soon as this says no, and not when the read is due. Without this method the
    /// answer is yes, which is never wrong.
    fn leads_to(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> bool {
        _ = (state, input, output);
        true
    }

    /// Whether an operation, given as input and output, may have the effect that a read is accepted, at once or after
    /// others, though the state before it did not [lead](Model::leads_to) there; optional.
    ///
    /// A put does, if what was read begins with what was put. Without this method the answer is yes, which is never
    /// wrong.
    fn brings(&self, operation: (&Self::Input, &Self::Output), read: (&Self::Input, &Self::Output)) -> bool {
        _ = (operation, read);
        true
    }

    /// The state in which the object starts.
    fn init(&self) -> Self::State;

    /// The state after an operation that is run in `state`, or `None` if the object could not have answered `output`
    /// there.
    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State>;
}
