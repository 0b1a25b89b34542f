//! Tells an observer of each RPC what happens to it. The lab's harness is one: it draws the messages of a test that fails.

use std::sync::OnceLock;

/// Hears of every RPC of every network in this process. It is called on the thread to which the step happens, and must
/// not block.
pub trait Observer: Send + Sync {
    /// A server offers the handler `svc_meth` ("Raft.AppendEntries").
    fn offers(&self, svc_meth: &str, contents: Contents);

    /// A request leaves. Returns a number for the RPC, by which the observer recognises it later.
    fn sends(&self, request: Request<'_>) -> u64;

    /// Something happens to an RPC.
    fn happens(&self, rpc: u64, step: Step<'_>);
}

/// Functions that describe the arguments and the reply of a handler, as [`labgob::describe`] does.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Describes the bytes of the arguments.
    pub args: fn(&[u8]) -> String,
    /// Describes the bytes of the reply.
    pub reply: fn(&[u8]) -> String,
}

/// A request that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name of the end through which it is sent.
    pub end: &'a str,
    /// The name of the server that the end is connected to. None: it was never connected.
    pub server: Option<&'a str>,
    /// The handler that is called: "Raft.AppendEntries".
    pub svc_meth: &'a str,
    /// The arguments, as labgob bytes.
    pub args: &'a [u8],
}

/// What happens to an RPC, in the order in which it can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A message will not arrive.
    Fails(Failure),
    /// The request has reached its server, and the handler starts.
    Arrives,
    /// The handler has returned this reply, as labgob bytes.
    Answers(&'a [u8]),
    /// Reordering holds the reply back.
    IsHeldBack,
    /// The caller's wait is over. True: with the reply.
    Ends(bool),
}

/// Why a message does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The end was disabled when the request left.
    Disconnected,
    /// There was no server of that name when the request left.
    NoServer,
    /// The unreliable network lost the request.
    RequestLost,
    /// The unreliable network lost the reply.
    ReplyLost,
    /// The end was disabled, or the server deleted or replaced, while the request was on its way or being handled.
    CutOff,
}

static OBSERVER: OnceLock<&'static dyn Observer> = OnceLock::new();

/// Sets this process's observer. Only the first call counts. RPCs that have left before are not observed.
pub fn set_observer(observer: &'static dyn Observer) {
    // Ignore the error: there is an observer.
    let _ = OBSERVER.set(observer);
}

/// Tells the observer of a handler.
pub(crate) fn offers(svc_meth: &str, contents: Contents) {
    if let Some(observer) = OBSERVER.get() {
        observer.offers(svc_meth, contents);
    }
}

/// An RPC that is observed, or not.
#[derive(Clone, Copy)]
pub(crate) struct Observed(Option<u64>);

impl Observed {
    /// Tells the observer of a request that leaves.
    pub(crate) fn sends(request: Request<'_>) -> Observed {
        Observed(OBSERVER.get().map(|observer| observer.sends(request)))
    }

    /// Tells the observer what happens to the RPC.
    pub(crate) fn happens(self, step: Step<'_>) {
        if let (Some(rpc), Some(observer)) = (self.0, OBSERVER.get()) {
            observer.happens(rpc, step);
        }
    }
}
