//! The client's side of an RPC: it encodes the arguments, and decodes the reply.

use crate::faults::Point;
use crate::handover::Handover;
use crate::pool;
use crate::process::{Shared, process_request};
use crate::wiring::End;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A client's port to one server (Go: `labrpc.ClientEnd`). Clones are the same port. One port carries any number of RPCs
/// at a time; their order is not kept.
#[derive(Clone)]
pub struct ClientEnd {
    net: Arc<Shared>,
    end: Arc<End>,
}

impl ClientEnd {
    pub(crate) fn new(net: Arc<Shared>, end: Arc<End>) -> ClientEnd {
        ClientEnd { net, end }
    }

    /// Sends an RPC, such as "Raft.AppendEntries", and waits for its reply. True: the handler ran, and `reply` holds its
    /// reply. False: the request or the reply was lost, or the server is down. Then the handler may or may not have run.
    ///
    /// A call always returns, unless the handler of a server on the network never returns. You need no time-out of your
    /// own.
    ///
    /// # Panics
    /// If `reply` is not of the type that the handler fills in.
    pub fn call<A: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        svc_meth: &str,
        args: &A,
        reply: &mut R,
    ) -> bool {
        let answer = Arc::new(Handover::new());
        self.send(svc_meth, args, pool::is_worker(), {
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

    /// Starts an RPC and returns at once (net/rpc's `Go`). The channel receives the reply, or None if it was lost.
    /// `crossbeam_channel::select!` waits for many such channels.
    pub fn go<A: Serialize + ?Sized, R: DeserializeOwned + Send + 'static>(
        &self,
        svc_meth: &str,
        args: &A,
    ) -> Receiver<Option<R>> {
        let (tx, rx) = bounded(1);
        self.deliver(svc_meth, args, tx, |reply| reply);
        rx
    }

    /// Starts an RPC and returns at once (net/rpc's `Go` with a `done` channel). When the RPC ends, the network calls
    /// `wrap` with the reply, or with None if it was lost, and sends the result to `done`. Many RPCs may share `done`. If
    /// its receiver has been dropped, the result is discarded. `wrap` must not block: it may run on the network's own
    /// thread.
    ///
    /// # Panics
    /// If `done` is a bounded channel: the network does not wait for its clients.
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
        self.send(svc_meth, args, false, move |answer| {
            let reply = answer.map(|bytes| decode_reply(&name, &bytes));
            // Ignore the error: the caller may have dropped the receiver.
            let _ = done.send(wrap(reply));
        });
    }

    fn send<A: Serialize + ?Sized>(
        &self,
        svc_meth: &str,
        args: &A,
        keeps_a_thread: bool,
        finish: impl FnOnce(Option<Vec<u8>>) + Send + 'static,
    ) {
        self.net.stall(Point::Call, &self.end);
        let args = labgob::encode(args)
            .unwrap_or_else(|e| panic!("labrpc: {svc_meth}: the arguments cannot be encoded: {e}"));
        self.net.total_count.fetch_add(1, Ordering::Relaxed);
        process_request(&self.net, self.end.clone(), svc_meth, args, keeps_a_thread, Box::new(finish));
    }
}

fn decode_reply<R: DeserializeOwned>(svc_meth: &str, bytes: &[u8]) -> R {
    labgob::decode(bytes).unwrap_or_else(|e| {
        panic!("labrpc: {svc_meth}: the handler's reply is not what the caller takes: {e}")
    })
}
