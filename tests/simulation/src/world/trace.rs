//! Everything that happens in a world, as one number: two runs are the same if it is.
//!
//! A verbose trace prints the same things as lines. What is hashed is what was given to the real
//! code and what came out of it, bytes included, never an address or a hash order.

use std::fmt;

/// FNV-1a, a word at a time.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The trace of one world.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    steps: u64,
    verbose: bool,
}

impl Trace {
    #[must_use]
    pub const fn new(verbose: bool) -> Self {
        Self { hash: OFFSET, steps: 0, verbose }
    }

    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Things noted so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    const fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME).rotate_left(23);
    }

    /// Notes that something of this kind happened.
    pub fn note(&mut self, at_us: u64, words: &[u64], text: impl FnOnce() -> String) {
        self.steps += 1;
        self.word(at_us);
        for word in words {
            self.word(*word);
        }
        self.say(at_us, text);
    }

    /// Notes bytes that went from one place to another.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
        self.word(bytes.len() as u64);
    }

    /// Prints a line, if anybody wants to read it.
    pub fn say(&self, at_us: u64, text: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{:>12.6} {}", at_us as f64 / 1e6, text());
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} after {} steps", self.hash, self.steps)
    }
}
