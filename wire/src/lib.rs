//! The words spoken outside: every byte layout that a ZooKeeper client or peer may see.
//!
//! This crate holds no behaviour. It turns bytes into borrowed records and records into bytes, and
//! it does so totally: no input panics, no length read from outside sizes an allocation. Modules
//! carry ZooKeeper's own names (`data`, `proto`, `quorum`, `txn` are the modules of
//! `zookeeper.jute`), so a reader who knows the original finds the record where they expect it.
//!
//! It does not know what a request means, which of them are allowed, or what answers them.
#![forbid(unsafe_code)]

pub mod address;
pub mod data;
pub mod error_code;
pub mod event;
pub mod four_letter;
pub mod frame;
pub mod ids;
pub mod jute;
pub mod notification;
pub mod opcode;
pub mod proto;
pub mod quorum;
pub mod quorum_config;
pub mod txn;

pub use error_code::ErrorCode;
pub use ids::{Epoch, ServerId, SessionId, Xid, Zxid};
pub use jute::{Decode, Encode, JuteError, Reader};
pub use opcode::OpCode;
