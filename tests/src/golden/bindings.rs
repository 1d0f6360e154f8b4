//! Which actual value stands for which captured one, within one file.
//!
//! Sessions, passwords and ports are opaque: a captured value always means the same actual value,
//! and two different ones never the same, but for passwords: Apache makes one of the lower 48 bits
//! of a session id, which two servers may have in common. Zxids also keep their order. They need
//! not be equal: a session whose client went away takes a zxid when it expires, at a moment that
//! the clock decides.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    opaque: BTreeMap<Vec<u8>, Vec<u8>>,
    zxids: BTreeMap<i64, i64>,
}

impl Bindings {
    /// Binds a session id or a port, or says what contradicts it.
    pub(super) fn bind_distinct(&mut self, captured: &[u8], actual: &[u8]) -> Result<(), String> {
        let mut pairs = self.opaque.iter();
        if let Some((other, _)) =
            pairs.find(|(known, value)| *known != captured && *value == actual)
        {
            return Err(format!("{actual:02x?} already stands for {other:02x?}"));
        }
        self.bind_opaque(captured, actual)
    }

    /// Binds a password, or says what contradicts it.
    pub(super) fn bind_opaque(&mut self, captured: &[u8], actual: &[u8]) -> Result<(), String> {
        if let Some(known) = self.opaque.get(captured) {
            return if known == actual {
                Ok(())
            } else {
                Err(format!("{captured:02x?} was {known:02x?} before, now it is {actual:02x?}"))
            };
        }
        self.opaque.insert(captured.to_vec(), actual.to_vec());
        Ok(())
    }

    /// What to send for a captured session id or password; a value that no response ever held is
    /// made up by the capture and is sent as it is.
    pub(super) fn opaque<'a>(&'a self, captured: &'a [u8]) -> &'a [u8] {
        self.opaque.get(captured).map_or(captured, Vec::as_slice)
    }

    /// Binds a zxid, or says which earlier pair it is out of order with.
    pub(super) fn bind_zxid(&mut self, captured: i64, actual: i64) -> Result<(), String> {
        let conflict = |(known, value): (&i64, &i64)| {
            format!("zxid {captured:#x} is {actual:#x} here, but {known:#x} was {value:#x}")
        };
        if let Some(pair) = self.zxids.get_key_value(&captured) {
            return if *pair.1 == actual { Ok(()) } else { Err(conflict(pair)) };
        }
        if let Some(below) = self.zxids.range(..captured).next_back().filter(|p| *p.1 >= actual) {
            return Err(conflict(below));
        }
        if let Some(above) = self.zxids.range(captured..).next().filter(|p| *p.1 <= actual) {
            return Err(conflict(above));
        }
        self.zxids.insert(captured, actual);
        Ok(())
    }

    /// What to send for a captured zxid; a made up one is sent as it is.
    pub(super) fn zxid(&self, captured: i64) -> i64 {
        self.zxids.get(&captured).copied().unwrap_or(captured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_values_are_bound_one_to_one() {
        let mut bindings = Bindings::default();
        assert_eq!(bindings.bind_opaque(b"a", b"1"), Ok(()));
        assert_eq!(bindings.bind_opaque(b"a", b"1"), Ok(()));
        assert!(bindings.bind_opaque(b"a", b"2").is_err());
        assert!(bindings.bind_distinct(b"b", b"1").is_err());
        assert_eq!(bindings.bind_distinct(b"a", b"1"), Ok(()));
        assert_eq!(bindings.opaque(b"a"), b"1");
        assert_eq!(bindings.opaque(b"bogus"), b"bogus");
    }

    #[test]
    fn zxids_keep_their_order() {
        let mut bindings = Bindings::default();
        assert_eq!(bindings.bind_zxid(10, 12), Ok(()));
        assert_eq!(bindings.bind_zxid(20, 25), Ok(()));
        assert_eq!(bindings.bind_zxid(15, 13), Ok(()));
        for (captured, actual) in [(10, 13), (9, 12), (11, 12), (16, 25), (30, 25)] {
            assert!(bindings.bind_zxid(captured, actual).is_err(), "{captured} as {actual}");
        }
        assert_eq!((bindings.zxid(20), bindings.zxid(99)), (25, 99));
    }
}
