//! The RPCs between clerks and servers.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Err {
    #[default]
    OK,
    ErrNoKey,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PutAppendArgs {
    pub(crate) key: String,
    pub(crate) value: String,
    /// "Put" or "Append".
    pub(crate) op: String,
    pub(crate) client_id: u64,
    pub(crate) seq: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PutAppendReply {
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct GetArgs {
    pub(crate) key: String,
    pub(crate) client_id: u64,
    pub(crate) seq: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct GetReply {
    pub(crate) wrong_leader: bool,
    pub(crate) err: Err,
    pub(crate) value: String,
}
