//! What a server promised about the values it answers with, remembered and compared.
//!
//! One thread sees every reply in the order of arrival, so real time can be judged: whatever one
//! server has shown of a key before a request was *sent* is the least that its reply may show.
//! For requests that were already in flight the order of one connection holds: a reply raises the
//! minimum of all requests for the same key behind it, which makes a session's own writes visible
//! to its own later reads even when both were pipelined.
//!
//! Values carry their key and a number that is unique to their write. The version of a node names
//! one write, so two replies with the same version must carry the same number.
//!
//! What one server shows binds no other server: followers may lag.

use menagerie_wire::OpCode;
use menagerie_wire::data::Stat;
use menagerie_wire::jute::{Decode as _, JuteError, Reader};
use menagerie_wire::proto::MultiHeader;

use crate::conversation::Note;
use crate::violations::Violation;

/// Bytes at the front of a value that name its key and its write.
pub const LABEL_BYTES: usize = 4 + 8;

/// Writes key and number into the front of `value`, as far as it is long enough.
pub fn label(value: &mut [u8], key: u32, sequence: u64) {
    if let Some(label) = value.first_chunk_mut::<LABEL_BYTES>() {
        label[..4].copy_from_slice(&key.to_be_bytes());
        label[4..].copy_from_slice(&sequence.to_be_bytes());
    }
}

/// The newest version of a key that any reply showed, and the number of its value.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    version: i32,
    sequence: u64,
}

/// All that is known about the keys of one test tree, written by nobody else.
pub struct Checks {
    value_bytes: usize,
    newest: Vec<Newest>,
    /// By server and key: the newest version that the server showed.
    shown: Vec<Vec<i32>>,
}

impl Checks {
    /// Keys at version 0 with values of number 0, the same on every server.
    pub fn new(servers: usize, keys: u32, value_bytes: usize) -> Self {
        let keys = keys as usize;
        Self {
            value_bytes,
            newest: vec![Newest::default(); keys],
            shown: vec![vec![0; keys]; servers],
        }
    }

    /// The least version that a request for `key`, sent now, must show.
    pub fn version_min(&self, server: usize, key: u32) -> i32 {
        self.shown[server][key as usize]
    }

    /// Judges the answer to a setData. `behind` are the requests that its connection sent later.
    pub fn on_write<'n>(
        &mut self,
        server: usize,
        note: &Note,
        behind: impl Iterator<Item = &'n mut Note>,
        body: &[u8],
    ) -> Result<(), Violation> {
        let stat = Stat::from_bytes(body).map_err(|_| undecodable(note))?;
        self.show(server, note.key, stat.version, behind);
        // The write made a new version on top of every one that was known.
        check_version(note, stat.version, note.version_min.saturating_add(1))?;
        self.check_number(note.key, stat.version, note.sequence)
    }

    /// Judges the answer to a getData; `behind` as for a write.
    pub fn on_read<'n>(
        &mut self,
        server: usize,
        note: &Note,
        behind: impl Iterator<Item = &'n mut Note>,
        body: &[u8],
    ) -> Result<(), Violation> {
        let (data, stat) = decode_read(body).map_err(|_| undecodable(note))?;
        self.show(server, note.key, stat.version, behind);
        check_version(note, stat.version, note.version_min)?;
        let foreign = Violation::ForeignValue { key: note.key, version: stat.version };
        if data.len() != self.value_bytes {
            return Err(foreign);
        }
        let mut label = Reader::new(data);
        let (Ok(key), Ok(sequence)) = (label.int(), label.long()) else { return Ok(()) };
        if key.cast_unsigned() != note.key {
            return Err(foreign);
        }
        self.check_number(note.key, stat.version, sequence.cast_unsigned())
    }

    /// Judges the answer to an exists; `behind` as for a write.
    pub fn on_exists<'n>(
        &mut self,
        server: usize,
        note: &Note,
        behind: impl Iterator<Item = &'n mut Note>,
        body: &[u8],
    ) -> Result<(), Violation> {
        let stat = Stat::from_bytes(body).map_err(|_| undecodable(note))?;
        self.show(server, note.key, stat.version, behind);
        check_version(note, stat.version, note.version_min)
    }

    fn show<'n>(
        &mut self,
        server: usize,
        key: u32,
        version: i32,
        behind: impl Iterator<Item = &'n mut Note>,
    ) {
        let shown = &mut self.shown[server][key as usize];
        *shown = version.max(*shown);
        for note in behind.filter(|note| note.key == key) {
            note.version_min = version.max(note.version_min);
        }
    }

    fn check_number(&mut self, key: u32, version: i32, sequence: u64) -> Result<(), Violation> {
        let newest = &mut self.newest[key as usize];
        if version > newest.version {
            *newest = Newest { version, sequence };
        } else if version == newest.version && sequence != newest.sequence {
            return Err(Violation::WrongValue { key, version });
        }
        Ok(())
    }
}

/// Judges the answer to a getChildren of a directory with `keys` nodes whose names are numbers;
/// others may come and go beside them.
pub fn check_names(note: &Note, keys: u32, body: &[u8]) -> Result<(), Violation> {
    let mut reader = Reader::new(body);
    let count = reader.count().ok().flatten().ok_or_else(|| undecodable(note))?;
    let mut found = 0;
    for _ in 0..count {
        let name = reader.buffer().ok().flatten().ok_or_else(|| undecodable(note))?;
        found += u32::from(name.iter().all(u8::is_ascii_digit));
    }
    if found == keys { Ok(()) } else { Err(Violation::WrongNames { keys, found }) }
}

/// Judges the answer to a create: the path that was asked for.
pub fn check_created(note: &Note, path: &str, body: &[u8]) -> Result<(), Violation> {
    let created = Reader::new(body).buffer().ok().flatten();
    if created == Some(path.as_bytes()) { Ok(()) } else { Err(undecodable(note)) }
}

/// The stat of the next result of a multi, which `rest` begins with.
pub fn next_result<'a>(note: &Note, rest: &mut &'a [u8]) -> Result<&'a [u8], Violation> {
    let mut reader = Reader::new(rest);
    let header = MultiHeader::decode(&mut reader).map_err(|_| undecodable(note))?;
    let stat = reader.bytes(Stat::LEN).map_err(|_| undecodable(note))?;
    if header.done || header.op != OpCode::SetData as i32 {
        return Err(undecodable(note));
    }
    *rest = reader.rest();
    Ok(stat)
}

/// For each key `value` under its first label.
pub fn first_values(mut value: Vec<u8>) -> impl FnMut(u32) -> Vec<u8> {
    move |key| {
        label(&mut value, key, 0);
        value.clone()
    }
}

fn check_version(note: &Note, version: i32, min: i32) -> Result<(), Violation> {
    if version < min {
        return Err(Violation::StaleVersion { key: note.key, known: note.version_min, version });
    }
    Ok(())
}

fn undecodable(note: &Note) -> Violation {
    Violation::Undecodable { key: note.key }
}

fn decode_read(body: &[u8]) -> Result<(&[u8], Stat), JuteError> {
    let mut reader = Reader::new(body);
    let data = reader.buffer()?.unwrap_or_default();
    Ok((data, Stat::decode(&mut reader)?))
}

#[cfg(test)]
mod tests {
    use menagerie_wire::jute::{Encode as _, Put as _};

    use super::*;
    use crate::clock::Nanos;
    use crate::latency::Operation;

    const KEY: u32 = 3;

    fn note(version_min: i32, sequence: u64) -> Note {
        let operation = Operation::Read;
        Note { key: KEY, version_min, sequence, ..Note::plain(operation, Nanos(0)) }
    }

    fn written(version: i32) -> Vec<u8> {
        Stat { version, ..Stat::default() }.to_bytes()
    }

    fn read(key: u32, version: i32, sequence: u64) -> Vec<u8> {
        let mut value = [b'm'; 20];
        label(&mut value, key, sequence);
        let mut body = Vec::new();
        body.put_buffer(Some(&value));
        body.extend(written(version));
        body
    }

    fn checks() -> Checks {
        Checks::new(2, 10, 20)
    }

    fn nothing() -> std::iter::Empty<&'static mut Note> {
        std::iter::empty()
    }

    #[test]
    fn a_value_written_is_the_value_read() {
        let mut checks = checks();
        assert_eq!(checks.on_read(0, &note(0, 0), nothing(), &read(KEY, 0, 0)), Ok(()));
        assert_eq!(checks.on_write(0, &note(0, 9), nothing(), &written(1)), Ok(()));
        assert_eq!(checks.on_read(0, &note(1, 0), nothing(), &read(KEY, 1, 9)), Ok(()));
        let wrong = Err(Violation::WrongValue { key: KEY, version: 1 });
        assert_eq!(checks.on_read(0, &note(1, 0), nothing(), &read(KEY, 1, 8)), wrong);
        let foreign = Err(Violation::ForeignValue { key: KEY, version: 1 });
        assert_eq!(checks.on_read(0, &note(1, 0), nothing(), &read(KEY + 1, 1, 9)), foreign);
    }

    #[test]
    fn a_read_sent_after_a_reply_may_not_show_less_on_the_same_server() {
        let mut checks = checks();
        assert_eq!(checks.on_write(0, &note(0, 9), nothing(), &written(1)), Ok(()));
        assert_eq!((checks.version_min(0, KEY), checks.version_min(1, KEY)), (1, 0));
        let stale = Err(Violation::StaleVersion { key: KEY, known: 1, version: 0 });
        assert_eq!(checks.on_read(0, &note(1, 0), nothing(), &read(KEY, 0, 0)), stale);
    }

    #[test]
    fn a_pipelined_read_sees_the_write_before_it() {
        let mut behind = [note(0, 0), Note { key: KEY + 1, ..note(0, 0) }];
        let judged = checks().on_write(0, &note(0, 9), behind.iter_mut(), &written(1));
        assert_eq!(judged, Ok(()));
        assert_eq!((behind[0].version_min, behind[1].version_min), (1, 0));
    }

    #[test]
    fn a_write_makes_a_version_that_nobody_knew() {
        let stale = Err(Violation::StaleVersion { key: KEY, known: 4, version: 4 });
        assert_eq!(checks().on_write(0, &note(4, 9), nothing(), &written(4)), stale);
    }

    #[test]
    fn a_list_has_all_keys_and_perhaps_others() {
        let check = |names: &[&str], expect| {
            let mut body = Vec::new();
            body.put_int(names.len() as i32);
            names.iter().for_each(|name| body.put_string(name));
            assert_eq!(check_names(&note(0, 0), 2, &body), expect, "{names:?}");
            let cut = check_names(&note(0, 0), 2, &body[..body.len() - 1]);
            assert_eq!(cut, Err(Violation::Undecodable { key: KEY }));
        };
        check(&["0000001", "t7", "0000002"], Ok(()));
        check(&["0000001", "t7"], Err(Violation::WrongNames { keys: 2, found: 1 }));
    }

    #[test]
    fn a_multi_has_a_stat_for_each_write() {
        let mut body = Vec::new();
        for version in [3, 4] {
            MultiHeader { op: OpCode::SetData as i32, done: false, err: 0 }.encode(&mut body);
            body.extend(written(version));
        }
        MultiHeader::END.encode(&mut body);
        let mut rest = &body[..];
        assert_eq!(next_result(&note(0, 0), &mut rest), Ok(&*written(3)));
        assert_eq!(next_result(&note(0, 0), &mut rest), Ok(&*written(4)));
        let undecodable = Err(Violation::Undecodable { key: KEY });
        assert_eq!(next_result(&note(0, 0), &mut rest), undecodable);
    }

    #[test]
    fn a_cut_body_is_a_violation() {
        let body = read(KEY, 0, 0);
        let undecodable = Err(Violation::Undecodable { key: KEY });
        for len in 0..body.len() {
            let judged = checks().on_read(0, &note(0, 0), nothing(), &body[..len]);
            assert_eq!(judged, undecodable, "{len} bytes");
        }
    }
}
