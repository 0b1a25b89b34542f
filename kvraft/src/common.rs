//! The RPCs between clerks and servers (Go: common.go).
//!
//! - "KVServer.Get": [`GetArgs`], [`GetReply`];
//! - "KVServer.PutAppend": [`PutAppendArgs`], [`PutAppendReply`].

use serde::{Deserialize, Serialize};

/// The result of a request that the leader has executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Err {
    #[default]
    OK,
    /// The key of a get has no value.
    ErrNoKey,
}

/// The identity of a request. A server uses it to recognise a request that it has executed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestId {
    /// The clerk's random number.
    pub(crate) client: u64,
    /// The request's number: 1 for the clerk's first request. A clerk has one request at a time, so a server remembers
    /// only the last number of each clerk.
    pub(crate) seq: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PutOrAppend {
    Put,
    Append,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PutAppendArgs {
    pub(crate) id: RequestId,
    pub(crate) op: PutOrAppend,
    pub(crate) key: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PutAppendReply {
    /// True: the server does not lead, or has stopped leading. The request may be executed later, or never.
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GetArgs {
    pub(crate) id: RequestId,
    pub(crate) key: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct GetReply {
    /// As in [`PutAppendReply`].
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
    /// Empty unless `err` is OK.
    pub(crate) value: String,
}
