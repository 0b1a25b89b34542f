//! The RPCs between clerks and servers (Go: common.go).
//!
//! - "KVServer.Get": [`GetArgs`], [`GetReply`];
//! - "KVServer.PutAppend": [`PutAppendArgs`], [`PutAppendReply`].
//!
//! This file is yours to write, and is only a beginning. Add what a server needs to recognise a request that it has
//! executed already.

use serde::{Deserialize, Serialize};

/// The result of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Err {
    #[default]
    OK,
    /// The key of a get has no value.
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
    /// True: the server is not the leader. Ask another one.
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
