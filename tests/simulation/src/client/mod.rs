//! What every client does that a history is recorded of, whatever carries its bytes: how requests
//! and replies stand on the wire, and which watches it leaves again.

mod requests;
mod watches;

pub use requests::{decode, decode_event, encode};
pub use watches::Watches;
