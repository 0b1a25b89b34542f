//! The RPCs between clerks and servers (Go: common.go).
//!
//! - "KVServer.Get": [`GetArgs`], [`GetReply`];
//! - "KVServer.PutAppend": [`PutAppendArgs`], [`PutAppendReply`].
//!
//! This file is yours to write; what is here is a beginning. Add what a server must know to recognise a request that it has executed already.

use serde::{Deserialize, Serialize};

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Err {
    #[default]
    OK,
    /// A get of a key that is not there.
    ErrNoKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PutOrAppend {
    Put,
    Append,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PutAppendArgs {
    pub(crate) op: PutOrAppend,
    pub(crate) key: String,
    pub(crate) value: String,
    // Your data here.
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PutAppendReply {
    /// The server is not the leader: ask another.
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GetArgs {
    pub(crate) key: String,
    // Your data here.
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct GetReply {
    /// As in [`PutAppendReply`].
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
    pub(crate) value: String,
}
