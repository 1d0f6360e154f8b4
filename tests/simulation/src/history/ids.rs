//! How the numbers of `wire` stand in JSON: as plain numbers.
//!
//! `wire` knows nothing of serde, so serde is told here what its newtypes look like.

use menagerie_wire::{ServerId, SessionId, Zxid};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Zxid")]
pub(super) struct ZxidNumber(pub i64);

#[derive(Serialize, Deserialize)]
#[serde(remote = "SessionId")]
pub(super) struct SessionNumber(pub i64);

#[derive(Serialize, Deserialize)]
#[serde(remote = "ServerId")]
pub(super) struct ServerNumber(pub i64);
