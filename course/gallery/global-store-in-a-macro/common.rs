//! The RPCs between clerks and servers.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Get,
    Put,
    Append,
}

/// The arguments of "KVServer.Get" and "KVServer.PutAppend".
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Args {
    pub(crate) op: Op,
    pub(crate) key: String,
    /// Empty for a get.
    pub(crate) value: String,
    pub(crate) client: u64,
    pub(crate) seq: u64,
}

/// Their reply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) wrong_leader: bool,
    /// The value that a get asks for.
    pub(crate) value: String,
}
