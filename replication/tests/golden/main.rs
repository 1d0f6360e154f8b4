//! What Apache's servers said to each other, said by a node in the place of one of them.
//!
//! The conversations in `wire/tests/data/ensemble` were captured between servers of Apache
//! ZooKeeper 3.9.4. A node takes the part of a learner, and hears what the leader said then; that
//! of the leader, and hears the learners; or that of a voter without a leader, and hears the
//! others. Its own packets must be, byte for byte, those of the server whose part it has. What
//! comes from clients or from the tree is taken from the capture. When a disk was ready, or a PING
//! was due, is not: packets are compared in order within each type, and up to NEWLEADER in order
//! altogether.

mod capture;
mod elections;
mod leaders;
mod learners;
mod player;
