//! The log read back: every record in zxid order, and the judgement of how it ends.
//!
//! A record is handed out when its checksum is right, its chain value continues the one before, and
//! its zxid follows. Where that stops, the question is whether the rest was ever promised to
//! anybody:
//!
//! - The next segment says at which zxid and chain value it begins. A segment that ends earlier is
//!   damaged; whatever a segment holds beyond is a torn tail that an earlier start has cut off.
//! - In the last segment, a valid batch further on that says "synced beyond here" means damage.
//!   Without one, it is the batch that was under way at the crash: the log ends.
//!
//! Damage stops the reader with file and offset; it never becomes a shorter log.
//!
//! It reads through a window of the file: memory does not depend on the size of a segment, and no
//! length in the file is believed before the file is known to be that long.

use super::record::{BATCH_HEADER_BYTES, BatchHeader, Chain, RECORD_HEADER_BYTES, RecordHeader};
use super::segment::{self, FIRST_BATCH_AT, Segment};
use super::{WalError, follows};
use crate::disk::{Access, BLOCK_BYTES, Disk, DiskFile, read_exact_at};
use menagerie_flaws::{self as flaws, Flaw};
use menagerie_wire::Zxid;
use std::ops::Range;

const WINDOW_BYTES: usize = 1 << 20;

/// One transaction as it was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub zxid: Zxid,
    /// The record before, or what the log starts behind.
    pub follows_zxid: Zxid,
    pub body: &'a [u8],
}

/// Where a record is in the window of its segment.
struct Found {
    zxid: Zxid,
    follows_zxid: Zxid,
    body: Range<u64>,
}

/// Where a log ends, and what it consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    /// The last record; the zxid the log starts behind when there is none.
    pub zxid: Zxid,
    /// The chain value behind it.
    pub chain: Chain,
    /// All segments that hold a part of the log, in zxid order.
    pub segments: Vec<Segment>,
    /// Log files without any record: begun by commits that never arrived.
    pub leftovers: Vec<String>,
    /// File and offset of a batch that was under way when the writer ended.
    pub torn: Option<(String, u64)>,
    /// Records read, those up to the starting zxid included, and their bytes.
    pub records: u64,
    pub bytes: u64,
}

/// Reads a log from a zxid to its end, or, while its writer goes on, to what is durable.
pub struct Reader<D: Disk> {
    disk: D,
    log_start: Zxid,
    after: Zxid,
    /// Files and windows are as new as the log was when it reached up to here.
    fresh_to: Zxid,
    segments: Vec<Segment>,
    /// The one of `segments` that is read.
    index: usize,
    cursor: Option<Cursor<D::File>>,
    end: LogEnd,
}

/// A place in one segment.
struct Cursor<F> {
    window: Window<F>,
    name: String,
    nonce: u64,
    chain: Chain,
    /// The batch that is read, or where the next one should begin.
    batch_at: u64,
    record_at: u64,
    /// Where the records of the batch end; equal to `record_at` between batches.
    records_end: u64,
    records: u64,
}

/// Why nothing valid was found at the cursor.
type Reason = &'static str;

impl<D: Disk> Reader<D> {
    /// Will hand out the records behind `after`. Files whose first record is not behind
    /// `log_start` are not a part of this log.
    pub fn open(disk: &D, log_start: Zxid, after: Zxid) -> Result<Self, WalError> {
        Self::open_up_to(disk, log_start, after, Zxid(i64::MAX))
    }

    /// As [`Reader::open`], for [`Reader::next_up_to`]: what begins behind `to` is not looked at.
    pub fn open_up_to(disk: &D, log_start: Zxid, after: Zxid, to: Zxid) -> Result<Self, WalError> {
        assert!(log_start <= after, "a log from {log_start} cannot be read from {after}");
        let found = segment::find_up_to(disk, log_start, to)?;
        let mut reader = Self {
            disk: disk.clone(),
            log_start,
            after,
            fresh_to: to,
            segments: found.begun,
            index: 0,
            cursor: None,
            end: LogEnd { zxid: after, leftovers: found.blank, ..LogEnd::default() },
        };
        let first = reader.segments.partition_point(|s| s.header.follows_zxid <= after);
        let Some(first) = first.checked_sub(1) else {
            return match reader.segments.first() {
                Some(segment) => Err(gap(segment, after)),
                None => Ok(reader),
            };
        };
        reader.index = first;
        reader.end.segments = reader.segments[..first].to_vec();
        reader.end.zxid = reader.segments[first].header.follows_zxid;
        reader.end.chain = reader.segments[first].header.follows_chain;
        reader.cursor = Some(Cursor::open(disk, &reader.segments[first])?);
        Ok(reader)
    }

    /// Will hand out the records of one segment, wherever the log goes on.
    pub(super) fn of_segment(disk: &D, segment: &Segment) -> Result<Self, WalError> {
        let after = segment.header.follows_zxid;
        Ok(Self {
            disk: disk.clone(),
            log_start: after,
            after,
            fresh_to: Zxid(i64::MAX),
            segments: vec![segment.clone()],
            index: 0,
            cursor: Some(Cursor::open(disk, segment)?),
            end: LogEnd { zxid: after, chain: segment.header.follows_chain, ..LogEnd::default() },
        })
    }

    /// The next record behind the starting zxid; `None` at the end of the log.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, WalError> {
        let found = self.advance(Zxid(i64::MAX))?;
        Ok(found.and_then(|found| self.record(found)))
    }

    fn record(&self, found: Found) -> Option<Record<'_>> {
        let Found { zxid, follows_zxid, body } = found;
        let cursor = self.cursor.as_ref()?;
        Some(Record { zxid, follows_zxid, body: cursor.window.held(body) })
    }

    /// Goes to the next record behind the starting zxid, but does not go on from `to`.
    fn advance(&mut self, to: Zxid) -> Result<Option<Found>, WalError> {
        loop {
            if self.end.zxid >= to || !self.enter_next_segment_if_due()? {
                return Ok(None);
            }
            let Some(cursor) = self.cursor.as_mut() else { return Ok(None) };
            match cursor.step(self.end.zxid)? {
                Err(reason) => self.end_segment(reason)?,
                Ok(Step::Batch) => {}
                Ok(Step::Record { zxid, body }) => {
                    let follows_zxid = std::mem::replace(&mut self.end.zxid, zxid);
                    self.end.chain = cursor.chain;
                    self.end.records += 1;
                    self.end.bytes += body.end - body.start;
                    if zxid > self.after {
                        return Ok(Some(Found { zxid, follows_zxid, body }));
                    }
                }
            }
        }
    }

    /// The next record behind the starting zxid, up to `to`, which is the last one known to be
    /// durable. Nothing beyond is judged: a writer may be busy there.
    ///
    /// # Errors
    /// Also when the log holds no record `to`.
    pub fn next_up_to(&mut self, to: Zxid) -> Result<Option<Record<'_>>, WalError> {
        if to > self.fresh_to {
            self.refresh(to)?;
        }
        match self.advance(to)? {
            Some(found) if found.zxid <= to => Ok(self.record(found)),
            Some(_) => Err(WalError::NotInLog { zxid: to }),
            None if self.end.zxid < to => Err(WalError::NotInLog { zxid: to }),
            None => Ok(None),
        }
    }

    /// The last record that was read or passed over; before any, what the log stands at there.
    pub fn position(&self) -> Zxid {
        self.end.zxid
    }

    /// Looks again at what has grown since: the log reaches up to `to` now.
    fn refresh(&mut self, to: Zxid) -> Result<(), WalError> {
        let Some(cursor) = self.cursor.as_mut() else {
            let (disk, after) = (self.disk.clone(), self.after.max(self.end.zxid));
            *self = Self::open_up_to(&disk, self.log_start, after, to)?;
            return Ok(());
        };
        cursor.window.refresh()?;
        let last = self.segments.last().map_or(self.log_start, |last| last.header.first_zxid);
        self.segments.append(&mut segment::find_up_to(&self.disk, last, to)?.begun);
        self.fresh_to = to;
        Ok(())
    }

    /// Reads on to the end of the log.
    pub fn finish(mut self) -> Result<LogEnd, WalError> {
        while self.next_record()?.is_some() {}
        Ok(self.end)
    }

    /// Leaves the segment where the one behind it begins. False when there is nothing to read.
    fn enter_next_segment_if_due(&mut self) -> Result<bool, WalError> {
        while let Some(cursor) = &self.cursor {
            let Some(next) = self.segments.get(self.index + 1) else { return Ok(true) };
            if self.end.zxid < next.header.follows_zxid {
                return Ok(true);
            }
            if next.header.follows_chain != self.end.chain
                || next.header.follows_zxid != self.end.zxid
            {
                let reason = "the log behind it goes on from another history";
                return Err(cursor.damaged(reason, self.end.zxid));
            }
            let next = Cursor::open(&self.disk, next)?;
            self.leave_segment(Some(next));
        }
        Ok(false)
    }

    fn leave_segment(&mut self, next: Option<Cursor<D::File>>) {
        let Some(cursor) = std::mem::replace(&mut self.cursor, next) else { return };
        if cursor.records > 0 {
            self.end.segments.push(self.segments[self.index].clone());
        } else {
            self.end.leftovers.push(cursor.name);
        }
        self.index += 1;
    }

    /// Nothing valid at the cursor: the end of the log, or damage.
    fn end_segment(&mut self, reason: Reason) -> Result<(), WalError> {
        let Some(cursor) = self.cursor.as_mut() else { return Ok(()) };
        let damaged = self.index + 1 < self.segments.len() || cursor.was_synced_beyond()?;
        if damaged && !flaws::has(Flaw::DamageTakenForEnd) {
            return Err(cursor.damaged(reason, self.end.zxid));
        }
        if cursor.record_at < cursor.records_end {
            self.end.torn = Some((cursor.name.clone(), cursor.batch_at));
        }
        self.leave_segment(None);
        Ok(())
    }
}

enum Step {
    Batch,
    Record { zxid: Zxid, body: Range<u64> },
}

impl<F: DiskFile> Cursor<F> {
    fn open<D: Disk<File = F>>(disk: &D, segment: &Segment) -> Result<Self, WalError> {
        let name = segment.name.clone();
        let file = disk.open(&name, Access::Read).map_err(WalError::io("open", &name))?;
        let bytes = file.bytes().map_err(WalError::io("measure", &name))?;
        Ok(Self {
            window: Window {
                name: name.clone(),
                file,
                file_bytes: bytes,
                start: 0,
                held: Vec::new(),
            },
            name,
            nonce: segment.header.nonce,
            chain: Chain::seed(segment.header.nonce),
            batch_at: FIRST_BATCH_AT,
            record_at: FIRST_BATCH_AT,
            records_end: FIRST_BATCH_AT,
            records: 0,
        })
    }

    /// Reads the next batch header or record; moves only if it is valid behind `last`.
    fn step(&mut self, last: Zxid) -> Result<Result<Step, Reason>, WalError> {
        if self.record_at == self.records_end { self.batch() } else { self.record(last) }
    }

    fn batch(&mut self) -> Result<Result<Step, Reason>, WalError> {
        let at = self.records_end.next_multiple_of(BLOCK_BYTES as u64);
        (self.batch_at, self.record_at, self.records_end) = (at, at, at);
        let Some(bytes) = self.window.read(at, BATCH_HEADER_BYTES as u64)? else {
            return Ok(Err("the file ends"));
        };
        let bytes = bytes.first_chunk().expect("as long as was asked for");
        let Some(header) = BatchHeader::decode(bytes, self.nonce) else {
            return Ok(Err("no batch begins here"));
        };
        if header.chain != self.chain {
            return Ok(Err("the batch does not continue the chain"));
        }
        let records_at = at + BATCH_HEADER_BYTES as u64;
        if header.records_bytes > self.window.file_bytes - records_at {
            return Ok(Err("the batch is longer than the file"));
        }
        self.record_at = records_at;
        self.records_end = records_at + header.records_bytes;
        Ok(Ok(Step::Batch))
    }

    fn record(&mut self, last: Zxid) -> Result<Result<Step, Reason>, WalError> {
        let left = self.records_end - self.record_at;
        if left < RECORD_HEADER_BYTES as u64 {
            return Ok(Err("the batch ends inside a record"));
        }
        let body_at = self.record_at + RECORD_HEADER_BYTES as u64;
        let Some(bytes) = self.window.read(self.record_at, RECORD_HEADER_BYTES as u64)? else {
            return Ok(Err("the file ends"));
        };
        let header = RecordHeader::decode(bytes.first_chunk().expect("as long as asked for"));
        if u64::from(header.body_bytes) > self.records_end - body_at {
            return Ok(Err("the record is longer than its batch"));
        }
        let body = body_at..body_at + u64::from(header.body_bytes);
        let matches = |bytes: &[u8]| header.matches(bytes);
        match self.window.read(body.start, body.end - body.start)? {
            Some(bytes) if matches(bytes) || flaws::has(Flaw::TornRecordAccepted) => {}
            _ => return Ok(Err("a record does not match its checksum")),
        }
        if header.chain != self.chain {
            return Ok(Err("a record does not continue the chain"));
        }
        if !follows(last, header.zxid) {
            return Ok(Err("a record's zxid does not follow the one before"));
        }
        self.chain = self.chain.after(header.crc);
        self.record_at = body.end;
        self.records += 1;
        Ok(Ok(Step::Record { zxid: header.zxid, body }))
    }

    /// Whether a later batch of this segment was written when the one at the cursor was durable.
    fn was_synced_beyond(&mut self) -> Result<bool, WalError> {
        let mut at = self.batch_at + BLOCK_BYTES as u64;
        while let Some(bytes) = self.window.read(at, BATCH_HEADER_BYTES as u64)? {
            let bytes = bytes.first_chunk().expect("as long as was asked for");
            let later = BatchHeader::decode(bytes, self.nonce);
            if later.is_some_and(|later| later.synced_to > self.batch_at) {
                return Ok(true);
            }
            at += BLOCK_BYTES as u64;
        }
        Ok(false)
    }

    fn damaged(&self, reason: Reason, last_whole: Zxid) -> WalError {
        let (file, reason) = (self.name.clone(), reason.to_owned());
        WalError::Damaged { file, offset: self.record_at, reason, last_whole }
    }
}

/// A part of a file in memory.
struct Window<F> {
    name: String,
    file: F,
    file_bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl<F: DiskFile> Window<F> {
    /// The bytes at `offset`; `None` beyond the end of the file.
    fn read(&mut self, offset: u64, len: u64) -> Result<Option<&[u8]>, WalError> {
        let end = offset.saturating_add(len);
        if end > self.file_bytes {
            return Ok(None);
        }
        if offset < self.start || end > self.start + self.held.len() as u64 {
            let wanted = len.max(WINDOW_BYTES as u64).min(self.file_bytes - offset);
            self.held.resize(wanted as usize, 0);
            let read = read_exact_at(&self.file, &mut self.held, offset)
                .map_err(WalError::io("read", &self.name))?;
            self.held.truncate(read);
            self.start = offset;
            if end > offset + read as u64 {
                return Ok(None);
            }
        }
        Ok(Some(self.held(offset..end)))
    }

    /// Forgets what it holds: the file is written meanwhile.
    fn refresh(&mut self) -> Result<(), WalError> {
        self.file_bytes = self.file.bytes().map_err(WalError::io("measure", &self.name))?;
        self.held.clear();
        Ok(())
    }

    /// # Panics
    /// When the range was not the last one that was read.
    fn held(&self, range: Range<u64>) -> &[u8] {
        let at = |offset: u64| (offset - self.start) as usize;
        &self.held[at(range.start)..at(range.end)]
    }
}

fn gap(segment: &Segment, after: Zxid) -> WalError {
    WalError::Gap {
        file: segment.name.clone(),
        first_missing: Zxid(after.0.wrapping_add(1)),
        last_missing: segment.header.follows_zxid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDisk;
    use crate::wal::{SegmentPool, Settings, Writer};
    use menagerie_wire::Epoch;

    fn writer(disk: &MemoryDisk) -> Writer<MemoryDisk> {
        let pool = SegmentPool::open(disk.clone(), 64 << 10).unwrap();
        let settings = Settings { synced: true, nonce_seed: 1 };
        Writer::open(disk.clone(), pool, &LogEnd::default(), settings).unwrap()
    }

    fn read_up_to(reader: &mut Reader<MemoryDisk>, to: Zxid, found: &mut Vec<(Zxid, u8)>) {
        while let Some(record) = reader.next_up_to(to).unwrap() {
            found.push((record.zxid, record.body[0]));
        }
        assert_eq!(reader.position(), to);
    }

    #[test]
    fn a_log_is_read_up_to_what_is_durable_while_it_grows() {
        let disk = MemoryDisk::new();
        let mut writer = writer(&disk);
        let mut early = Reader::open_up_to(&disk, Zxid::ZERO, Zxid::ZERO, Zxid::ZERO).unwrap();
        let (mut appended, mut found) = (Vec::new(), Vec::new());
        disk.hold_commits();
        for round in 0..40u8 {
            for size in [10, 700, 3000].into_iter().take(1 + usize::from(round) % 3) {
                let zxid = match round {
                    20 if size == 10 => Zxid::new(Epoch(3), 1),
                    _ => writer.last_zxid().next(),
                };
                writer.append(zxid, &vec![round; size]).unwrap();
                appended.push((zxid, round));
            }
            if round % 7 == 0 {
                writer.roll();
            }
            let durable = writer.durable_zxid();
            // Written, and not durable: what a crash may take, and nobody may be told.
            writer.submit().unwrap();
            read_up_to(&mut early, durable, &mut found);
            assert!(found.iter().all(|(zxid, _)| *zxid <= durable));
            disk.release_commits();
            writer.wait().unwrap();
            disk.hold_commits();
            if round % 5 == 0 {
                disk.release_commits();
                writer.mark_idle().unwrap();
                writer.wait().unwrap();
                disk.hold_commits();
            }
            let middle = appended[appended.len() / 2].0;
            let late = Reader::open_up_to(&disk, Zxid::ZERO, middle, writer.durable_zxid());
            let mut behind = Vec::new();
            read_up_to(&mut late.unwrap(), writer.durable_zxid(), &mut behind);
            assert_eq!(behind, appended[appended.len() / 2 + 1..]);
        }
        read_up_to(&mut early, writer.durable_zxid(), &mut found);
        assert_eq!(found, appended);
        let beyond = writer.last_zxid().next();
        assert!(matches!(early.next_up_to(beyond), Err(WalError::NotInLog { .. })));
    }
}
