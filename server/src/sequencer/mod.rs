//! The heart: one core that orders writes and knows whose session lives.

pub mod expiry;
