//! The batch that is being gathered: records in the very bytes that will be written.
//!
//! The buffer begins with room for a segment header, then for the batch header; records are copied
//! behind. So whether the batch goes on in a segment or begins a new one, it is one run of blocks,
//! and its buffer goes to the disk and comes back.

use super::record::{BATCH_HEADER_BYTES, BatchHeader, Chain, RECORD_HEADER_BYTES, RecordHeader};
use super::segment::SegmentHeader;
use crate::disk::{BLOCK_BYTES, Buffer};
use menagerie_wire::Zxid;
use std::ops::Range;

const BATCH_AT: usize = BLOCK_BYTES;
const RECORDS_AT: usize = BATCH_AT + BATCH_HEADER_BYTES;

/// A buffer that one huge batch has grown beyond this is not kept.
const BUFFER_KEEP_BYTES_MAX: usize = 4 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Records of consecutive zxids, not yet on their way.
pub(super) struct Batch {
    buffer: Buffer,
    /// Where the next record goes.
    end: usize,
    /// From here on the buffer holds zeros, but for records of this batch.
    zero_from: usize,
    chain_before: Chain,
    chain_after: Chain,
    zxids: Option<(Zxid, Zxid)>,
}

/// A batch as it goes to the disk.
pub(super) struct SealedBatch {
    pub(super) buffer: Buffer,
    /// What of the buffer is to be written.
    pub(super) range: Range<usize>,
    /// From here on the buffer holds zeros.
    pub(super) zero_from: usize,
}

impl Batch {
    pub(super) fn new(chain: Chain) -> Self {
        Self::reuse(Buffer::zeroed(BUFFER_BYTES), 0, chain)
    }

    /// An empty batch in the buffer of an earlier one, which holds zeros from `zero_from` on.
    pub(super) fn reuse(mut buffer: Buffer, mut zero_from: usize, chain: Chain) -> Self {
        if buffer.len() > BUFFER_KEEP_BYTES_MAX || buffer.len() < BUFFER_BYTES {
            buffer = Buffer::zeroed(BUFFER_BYTES);
            zero_from = 0;
        }
        let (end, zxids) = (RECORDS_AT, None);
        Self { buffer, end, zero_from, chain_before: chain, chain_after: chain, zxids }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.zxids.is_none()
    }

    pub(super) fn first_zxid(&self) -> Option<Zxid> {
        self.zxids.map(|(first, _)| first)
    }

    pub(super) fn last_zxid(&self) -> Option<Zxid> {
        self.zxids.map(|(_, last)| last)
    }

    pub(super) fn records_bytes(&self) -> usize {
        self.end - RECORDS_AT
    }

    /// Bytes on the disk: whole blocks, without a segment header.
    pub(super) fn disk_bytes(&self) -> usize {
        (self.end - BATCH_AT).next_multiple_of(BLOCK_BYTES)
    }

    pub(super) fn chain_before(&self) -> Chain {
        self.chain_before
    }

    pub(super) fn chain_after(&self) -> Chain {
        self.chain_after
    }

    pub(super) fn push(&mut self, zxid: Zxid, body: &[u8]) {
        let header = RecordHeader::of(zxid, body, self.chain_after);
        let body_at = self.end + RECORD_HEADER_BYTES;
        let end = body_at + body.len();
        self.buffer.grow(end, self.end);
        self.buffer[self.end..body_at].copy_from_slice(&header.encode());
        self.buffer[body_at..end].copy_from_slice(body);
        self.chain_after = self.chain_after.after(header.crc);
        self.zxids = Some((self.first_zxid().unwrap_or(zxid), zxid));
        self.end = end;
    }

    /// Moves the records behind another chain value.
    pub(super) fn rechain(&mut self, chain: Chain) {
        self.chain_before = chain;
        self.chain_after = chain;
        let mut at = RECORDS_AT;
        while at < self.end {
            let bytes = self.buffer[at..].first_chunk_mut().expect("records are whole");
            let mut header = RecordHeader::decode(bytes);
            header.chain = self.chain_after;
            *bytes = header.encode();
            self.chain_after = self.chain_after.after(header.crc);
            at += RECORD_HEADER_BYTES + header.body_bytes as usize;
        }
    }

    /// Completes the batch; with a segment header in front when it begins one.
    pub(super) fn seal(
        mut self,
        nonce: u64,
        synced_to: u64,
        begins: Option<&SegmentHeader>,
    ) -> SealedBatch {
        let header = BatchHeader {
            nonce,
            chain: self.chain_before,
            synced_to,
            records_bytes: self.records_bytes() as u64,
        };
        let end = BATCH_AT + self.disk_bytes();
        self.buffer[BATCH_AT..RECORDS_AT].copy_from_slice(&header.encode());
        // What an earlier batch has left; most are about as long as the one before.
        let used_to = self.zero_from.clamp(self.end, end);
        self.buffer[self.end..used_to].fill(0);
        let zero_from = if self.zero_from > end { self.zero_from } else { self.end };
        let start = begins.map_or(BATCH_AT, |segment| {
            segment.encode_into(&mut self.buffer[..BATCH_AT]);
            0
        });
        SealedBatch { buffer: self.buffer, range: start..end, zero_from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_its_records_a_batch_is_zero_whatever_was_in_the_buffer() {
        let mut sealed = Batch::new(Chain::seed(1)).seal(1, 0, None);
        for len in [5_000, 10, 9_000, 3_000, 2_999, 100, 400_000, 1, 5_000] {
            let mut batch = Batch::reuse(sealed.buffer, sealed.zero_from, Chain::seed(1));
            batch.push(Zxid(1), &vec![7; len]);
            let end = batch.end;
            sealed = batch.seal(1, 0, None);
            assert_eq!(sealed.range.end, end.next_multiple_of(BLOCK_BYTES));
            let behind = &sealed.buffer[end..sealed.range.end];
            assert!(behind.iter().all(|byte| *byte == 0), "behind a record of {len} bytes");
            assert!(sealed.buffer[sealed.zero_from..].iter().all(|byte| *byte == 0));
        }
    }
}
