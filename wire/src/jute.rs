//! The jute encoding: how ints, longs, buffers, strings and vectors stand in bytes.
//!
//! All integers are big-endian; a length of -1 is null; records are their fields one after the
//! other, untagged. [`Reader`] borrows from the input and checks each length against the bytes
//! that remain before anything is built from it. [`Encode`] appends to a buffer that the caller
//! hands in, so that a hot path can reuse one.
//!
//! Facts: ZooKeeper `BinaryInputArchive`, `BinaryOutputArchive`.

use std::borrow::Cow;

use thiserror::Error;

/// Why bytes are no record. All of these are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JuteError {
    #[error("record ends after {have} bytes where {need} are needed")]
    Short { need: usize, have: usize },
    #[error("length {0} is neither -1 nor within the record")]
    Length(i32),
    #[error("a field that may not be null is null")]
    Null,
    #[error("{0} is no known {1}")]
    Unknown(i32, &'static str),
}

/// A bounded view of received bytes. Every read either advances or leaves an error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not yet read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], JuteError> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(JuteError::Short { need: len, have: self.rest.len() });
        };
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JuteError> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(JuteError::Short { need: N, have: self.rest.len() });
        };
        self.rest = tail;
        Ok(*head)
    }

    pub fn byte(&mut self) -> Result<u8, JuteError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn int(&mut self) -> Result<i32, JuteError> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Result<i64, JuteError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Any byte other than 0 is true.
    pub fn boolean(&mut self) -> Result<bool, JuteError> {
        self.byte().map(|byte| byte != 0)
    }

    /// `None` is null; null and empty are distinct.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, JuteError> {
        match self.int()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| JuteError::Length(len))?;
                self.bytes(len).map(Some)
            }
        }
    }

    /// Invalid UTF-8 is read with U+FFFD in its place, as Java does.
    pub fn ustring(&mut self) -> Result<Option<Cow<'a, str>>, JuteError> {
        // Nearly all is valid, which is found out faster than it is mended.
        let text = |bytes| {
            str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
        };
        Ok(self.buffer()?.map(text))
    }

    /// A string that may not be null.
    pub fn string(&mut self) -> Result<Cow<'a, str>, JuteError> {
        self.ustring()?.ok_or(JuteError::Null)
    }

    /// Element count of a vector; `None` is null, other negative counts read as empty.
    ///
    /// The count is a claim: it must never reserve memory.
    pub fn count(&mut self) -> Result<Option<usize>, JuteError> {
        match self.int()? {
            -1 => Ok(None),
            count => Ok(Some(usize::try_from(count).unwrap_or(0))),
        }
    }

    /// A vector of records. Memory grows with the bytes that are really there.
    pub fn vector<T: Decode<'a>>(&mut self) -> Result<Option<Vec<T>>, JuteError> {
        let Some(count) = self.count()? else { return Ok(None) };
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(Some(items))
    }
}

/// A record that can be read, borrowing from the input.
pub trait Decode<'a>: Sized {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError>;

    /// Reads one record from the start of `bytes`; whatever follows is ignored, as Apache does.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, JuteError> {
        Self::decode(&mut Reader::new(bytes))
    }
}

impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        reader.string()
    }
}

/// A record that can be written.
pub trait Encode {
    fn encode(&self, out: &mut Vec<u8>);

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// The primitive writers, on the buffer itself.
pub trait Put {
    fn put_bool(&mut self, value: bool);
    fn put_int(&mut self, value: i32);
    fn put_long(&mut self, value: i64);
    fn put_buffer(&mut self, value: Option<&[u8]>);
    fn put_string(&mut self, value: &str);
    fn put_ustring(&mut self, value: Option<&str>);
    fn put_vector<T: Encode>(&mut self, items: &[T]);
}

/// A length as jute writes it.
///
/// # Panics
/// When it exceeds 2^31-1: every buffer of ours is bounded far below that before it is built.
pub fn jute_len(len: usize) -> i32 {
    i32::try_from(len).expect("lengths are bounded before they are written")
}

impl Put for Vec<u8> {
    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    fn put_int(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_long(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_int(-1),
            Some(bytes) => {
                self.put_int(jute_len(bytes.len()));
                self.extend_from_slice(bytes);
            }
        }
    }

    fn put_string(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    fn put_ustring(&mut self, value: Option<&str>) {
        self.put_buffer(value.map(str::as_bytes));
    }

    fn put_vector<T: Encode>(&mut self, items: &[T]) {
        self.put_int(jute_len(items.len()));
        for item in items {
            item.encode(self);
        }
    }
}

impl Encode for Cow<'_, str> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn null_and_empty_buffers_stay_distinct() {
        let mut out = Vec::new();
        out.put_buffer(None);
        out.put_buffer(Some(b""));
        let mut reader = Reader::new(&out);
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(&b""[..])));
    }

    #[test]
    fn a_length_is_checked_against_what_remains() {
        let check = |len: i32, expect| {
            assert_eq!(Reader::new(&len.to_be_bytes()).buffer(), Err(expect));
        };
        check(1, JuteError::Short { need: 1, have: 0 });
        check(i32::MAX, JuteError::Short { need: i32::MAX as usize, have: 0 });
        check(-2, JuteError::Length(-2));
        check(i32::MIN, JuteError::Length(i32::MIN));
    }

    #[test]
    fn a_huge_vector_count_reserves_nothing() {
        let bytes = i32::MAX.to_be_bytes();
        let read = Reader::new(&bytes).vector::<Cow<'_, str>>();
        assert_eq!(read, Err(JuteError::Short { need: 4, have: 0 }));
    }

    #[test]
    fn a_negative_vector_count_other_than_null_is_empty() {
        let bytes = (-7i32).to_be_bytes();
        assert_eq!(Reader::new(&bytes).vector::<Cow<'_, str>>(), Ok(Some(Vec::new())));
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(a: i32, b: i64, c: bool, d: Option<Vec<u8>>, e: Option<String>) {
            let mut out = Vec::new();
            out.put_int(a);
            out.put_long(b);
            out.put_bool(c);
            out.put_buffer(d.as_deref());
            out.put_ustring(e.as_deref());
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.int(), Ok(a));
            prop_assert_eq!(reader.long(), Ok(b));
            prop_assert_eq!(reader.boolean(), Ok(c));
            prop_assert_eq!(reader.buffer(), Ok(d.as_deref()));
            prop_assert_eq!(reader.ustring(), Ok(e.map(Cow::Owned)));
            prop_assert!(reader.is_empty());
        }
    }
}
