//! What the data is, and how it survives: the znode tree, its transactions, log and snapshots.
//!
//! No sockets and no roles: who leads, who asks and who waits is decided elsewhere. A caller hands
//! in requests or transactions in zxid order and reads immutable roots of the tree.

pub mod access;
pub mod data_dir;
pub mod disk;
pub mod manifest;
pub mod path;
pub mod recovery;
pub mod restore;
pub mod snapshot;
pub mod tree;
pub mod txn;
pub mod wal;
