//! The RPCs between clerks and servers (Go: common.go).
//!
//! - "KVServer.Get": [`GetArgs`], [`GetReply`];
//! - "KVServer.PutAppend": [`PutAppendArgs`], [`PutAppendReply`].

use serde::{Deserialize, Serialize};

/// How a request ended that reached the leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Err {
    #[default]
    OK,
    /// A get of a key that is not there.
    ErrNoKey,
}

/// Which request of which client: a server recognises by it what it has already executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestId {
    /// Drawn at random by each clerk.
    pub(crate) client: u64,
    /// 1 for a clerk's first request. A clerk has one request at a time: when a server sees one, it may forget those
    /// before.
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
    /// The server is not the leader, or no longer: the request may be executed later, or never.
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
