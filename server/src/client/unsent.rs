//! What is encoded for a client and not yet taken by its socket.
//!
//! Answers are gathered in a buffer that is lent: one that is empty goes back to the spares of its
//! core, so an idle connection holds none, and a busy core fills the same few again and again
//! while they are in its cache.

/// A spare buffer is at most so large, and all of a core's together: an event for some thousand
/// watchers fills as many at once.
const SPARE_BYTES_MAX: usize = 64 << 10;
const SPARES_BYTES_MAX: usize = 4 << 20;
/// What was sent is moved out of the way when there is at least so much of it.
const MOVED_BYTES_MIN: usize = 4 << 10;

/// The buffer of one connection.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    buffer: Vec<u8>,
    /// The socket has taken what is before.
    start: usize,
}

/// Empty buffers that no connection of this core needs now; the one used last is lent first.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spares {
    fn lend(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn take_back(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let fits = self.bytes + bytes <= SPARES_BYTES_MAX;
        if fits && (1..=SPARE_BYTES_MAX).contains(&bytes) {
            buffer.clear();
            self.buffers.push(buffer);
            self.bytes += bytes;
        }
    }
}

impl Unsent {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The buffer, to add to.
    pub(crate) fn end(&mut self, spares: &mut Spares) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = spares.lend();
        }
        &mut self.buffer
    }

    /// The socket took `count` more bytes.
    pub(crate) fn took(&mut self, count: usize, spares: &mut Spares) {
        self.start += count;
        if self.start == self.buffer.len() {
            return self.give_up(spares);
        }
        if self.start >= MOVED_BYTES_MIN && self.start >= self.bytes().len() {
            // A socket that is always a little behind would keep everything ever sent.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
    }

    /// Nothing of it will be sent.
    pub(crate) fn give_up(&mut self, spares: &mut Spares) {
        spares.take_back(std::mem::take(self).buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(unsent: &mut Unsent, spares: &mut Spares, bytes: &[u8]) {
        unsent.end(spares).extend_from_slice(bytes);
    }

    #[test]
    fn what_is_sent_in_parts_is_sent_once_and_in_order() {
        let (mut unsent, mut spares) = (Unsent::default(), Spares::default());
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| at as u8).collect();
        put(&mut unsent, &mut spares, &bytes[..15_000]);
        let mut sent = Vec::new();
        for count in [1, 5_000, 4_000, 2_000] {
            sent.extend_from_slice(&unsent.bytes()[..count]);
            unsent.took(count, &mut spares);
        }
        put(&mut unsent, &mut spares, &bytes[15_000..]);
        sent.extend_from_slice(unsent.bytes());
        assert_eq!(sent, bytes);
        unsent.took(unsent.bytes().len(), &mut spares);
        assert_eq!(unsent.bytes(), b"");
    }

    #[test]
    fn an_emptied_buffer_is_lent_to_the_next_and_none_is_kept() {
        let mut spares = Spares::default();
        let (mut one, mut other) = (Unsent::default(), Unsent::default());
        put(&mut one, &mut spares, &[1; 1_000]);
        let lent = one.buffer.as_ptr();
        one.took(1_000, &mut spares);
        assert_eq!(one.buffer.capacity(), 0);
        put(&mut other, &mut spares, &[2]);
        assert_eq!((other.bytes(), other.buffer.as_ptr()), (&[2][..], lent));
        other.give_up(&mut spares);
        assert_eq!((other.bytes(), spares.buffers.len()), (&[][..], 1));
    }

    #[test]
    fn spares_are_few_and_of_no_great_size() {
        let mut spares = Spares::default();
        let full = [1; SPARE_BYTES_MAX];
        let count = 2 * SPARES_BYTES_MAX / SPARE_BYTES_MAX;
        let mut all: Vec<Unsent> = (0..count).map(|_| Unsent::default()).collect();
        all.iter_mut().for_each(|unsent| put(unsent, &mut spares, &full));
        all.iter_mut().for_each(|unsent| unsent.took(full.len(), &mut spares));
        assert_eq!((spares.buffers.len(), spares.bytes), (count / 2, SPARES_BYTES_MAX));
        let (mut large, mut spares) = (Unsent::default(), Spares::default());
        put(&mut large, &mut spares, &[1; SPARE_BYTES_MAX + 1]);
        large.took(SPARE_BYTES_MAX + 1, &mut spares);
        assert_eq!((large.buffer.capacity(), spares.buffers.len()), (0, 0));
    }
}
