//! The types of a history and of a verdict, and the model of the object under test.
//!
//! Go counterpart: `linearizability/model.go`.

use std::hash::Hash;

/// One finished operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<I, O> {
    /// What the client asked.
    pub input: I,
    /// The time of the call, in any unit from any origin: only the order of times matters.
    pub call: i64,
    /// What the client was answered.
    pub output: O,
    /// The time of the return, on the same clock as `call` and not before it.
    pub ret: i64,
}

/// The call or the return of an operation. Its position in the history says when it happened.
///
/// A call and its return have the same `id`. An id names one operation in the whole history; it is not used again, even
/// after its operation has returned.
///
/// A call that never returns is refused, because there is no output to check. If the operation does not change the state
/// (a get), leave its call out. If the model allows every output for it (a put or an append), add a return at the end of
/// the history. Then the operation may have taken effect at any time since its call. It may also have taken effect after
/// all the others; they cannot tell this from an operation that never took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<I, O> {
    /// A client calls.
    Call {
        /// The name of the operation.
        id: u64,
        /// What the client asks.
        input: I,
    },
    /// A client gets its answer.
    Return {
        /// The name of the operation. Its call comes earlier in the history.
        id: u64,
        /// What the client is answered.
        output: O,
    },
}

/// The verdict of a check.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The history is linearizable.
    Ok,
    /// The history is not linearizable.
    Illegal,
    /// The time ran out before the verdict was known.
    Unknown,
}

/// Why a history is not linearizable: the longest orders of its operations that explain their answers.
///
/// An operation is named by its index in the history. In a history of events, that is the index of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict on the whole history.
    pub result: CheckResult,
    /// The parts into which the model has split the history.
    pub parts: Vec<PartExplanation>,
}

/// The longest orders of the operations of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartExplanation {
    /// The verdict on this part.
    pub result: CheckResult,
    /// The operations of the part, in the order of their calls.
    pub operations: Vec<usize>,
    /// The longest orders that were found, the longest first. There is at least one; it is complete if `result` is
    /// [`Ok`](CheckResult::Ok).
    ///
    /// If `result` is [`Illegal`](CheckResult::Illegal), an operation may be in several of them. The first prefix that
    /// contains an operation is the longest order found with it.
    pub prefixes: Vec<Prefix>,
    /// True if there are no longer orders, and if an operation that comes in none of the prefixes can come in no order.
    /// False if the time ran out before this was known.
    pub exact: bool,
}

/// Some operations of a part, in an order that explains their outputs, and the operations at which the order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The operations in the order in which they may have taken effect.
    pub order: Vec<usize>,
    /// The operations that could have come next. The model accepts none of them after `order`, or the order that continues
    /// with it is another prefix. They are sorted by their returns: the first one cannot wait for any other. Empty if
    /// `order` is complete.
    pub refused: Vec<usize>,
}

/// What a model knows about an operation without knowing the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Any,
    /// The operation changes no state that accepts it.
    Read,
    /// Every state accepts the operation.
    Update,
}

/// The sequential specification of an object: what it answers when its operations come one at a time.
///
/// All methods are pure: equal arguments give equal results, and a method changes nothing. The methods may be called from
/// several threads at once, in any order, and far more often than there are operations.
///
/// [`Eq`] and [`Hash`] replace `Equal` of the Go model: equal states are treated as one state. (In Go, a model without
/// `Equal` has shallow equality.) Very many states are cloned and kept. A large state should be shared, by an
/// [`Arc`](std::sync::Arc), and not copied.
pub trait Model {
    /// What a client asks with an operation.
    type Input;
    /// What an operation answers.
    type Output;
    /// The state of the object.
    type State: Clone + Eq + Hash;

    /// Splits a history into parts that do not influence each other; optional.
    ///
    /// The history must be linearizable if and only if each part is. Operations on different keys of a map are an example.
    /// A part is a history of its own and starts from [`init`](Model::init). Parts make the search much shorter: it need
    /// not try how the operations of different parts interleave. Without this method, the whole history is one part.
    fn partition<'a>(
        &self,
        history: &'a [Operation<Self::Input, Self::Output>],
    ) -> Vec<Vec<&'a Operation<Self::Input, Self::Output>>> {
        vec![history.iter().collect()]
    }

    /// The same as [`partition`](Model::partition) for a history of events; optional.
    ///
    /// A part has both events of each of its operations, in the order of the history. The history is well formed: every id
    /// is called once and later returns once.
    fn partition_event<'a>(
        &self,
        history: &'a [Event<Self::Input, Self::Output>],
    ) -> Vec<Vec<&'a Event<Self::Input, Self::Output>>> {
        vec![history.iter().collect()]
    }

    /// What is known about an operation with this input and this output; optional.
    ///
    /// The more is known, the less the search has to try. A false answer can lead to a wrong verdict.
    fn kind(&self, input: &Self::Input, output: &Self::Output) -> Kind {
        _ = (input, output);
        Kind::Any
    }

    /// False if no state that can follow `state` accepts this read, unless an operation in between
    /// [brings](Model::brings) what was read; optional. `input` and `output` are those of an operation whose
    /// [`kind`](Model::kind) is [`Kind::Read`].
    ///
    /// An example is a value that is only appended to: if the value is not a prefix of what was read, the read cannot be
    /// accepted any more. The search turns back as soon as the answer is false, and not when the read is due. Without this
    /// method the answer is true, which is never wrong.
    fn leads_to(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> bool {
        _ = (state, input, output);
        true
    }

    /// True if a read may be accepted after this operation, at once or after further operations, although
    /// [`leads_to`](Model::leads_to) was false for the state before the operation; optional. Both the operation and the
    /// read are given as input and output.
    ///
    /// An example is a put, if what was read begins with what was put. Without this method the answer is true, which is
    /// never wrong.
    fn brings(&self, operation: (&Self::Input, &Self::Output), read: (&Self::Input, &Self::Output)) -> bool {
        _ = (operation, read);
        true
    }

    /// What a picture of a history calls an operation, such as `get("x") → "ab"`; optional (Go: `DescribeOperation` in
    /// newer versions of the library).
    fn describe(&self, input: &Self::Input, output: &Self::Output) -> String {
        _ = (input, output);
        "operation".to_string()
    }

    /// The state of the object at the start.
    fn init(&self) -> Self::State;

    /// The state after an operation that runs in `state`. `None` if the object does not answer `output` in that state.
    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State>;
}
