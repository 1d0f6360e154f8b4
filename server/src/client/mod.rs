//! The client door: connections, sessions, and the shard that serves them.

pub mod password;
