//! multi and multiRead: several operations in one frame, each behind a small header.
//!
//! The list ends with a header whose `done` is true; its other fields are not looked at. A write
//! in a multiRead, a read in a multi, an unknown operation or a missing end make the whole request
//! undecodable, with one exception that the wire demands: a multiRead answers the reads that stand
//! before a forbidden operation, so [`MultiRead`] keeps them beside the mark that it is bad.
//!
//! Facts: ZooKeeper `MultiOperationRecord`, `MultiHeader`.

use crate::jute::{Decode, Encode, JuteError, Put, Reader};
use crate::opcode::OpCode;
use crate::proto::request::{Create, PathVersion, PathWatch, SetData};

/// Stands before each operation and each result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeader {
    pub op: i32,
    pub done: bool,
    pub err: i32,
}

impl MultiHeader {
    /// Ends a list.
    pub const END: Self = Self { op: -1, done: true, err: -1 };
}

impl Encode for MultiHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.op);
        out.put_bool(self.done);
        out.put_int(self.err);
    }
}

impl<'a> Decode<'a> for MultiHeader {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self { op: reader.int()?, done: reader.boolean()?, err: reader.int()? })
    }
}

/// One operation of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp<'a> {
    /// create, create2, createContainer or createTTL, as the opcode says.
    Create(OpCode, Create<'a>),
    Delete(PathVersion<'a>),
    SetData(SetData<'a>),
    Check(PathVersion<'a>),
}

/// The operations of a multi, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MultiRequest<'a> {
    pub ops: Vec<WriteOp<'a>>,
}

impl<'a> Decode<'a> for MultiRequest<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops });
            }
            ops.push(match OpCode::try_from(header.op)? {
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl) => WriteOp::Create(op, Create::decode(op, reader)?),
                OpCode::Delete => WriteOp::Delete(PathVersion::decode(reader)?),
                OpCode::SetData => WriteOp::SetData(SetData::decode(reader)?),
                OpCode::Check => WriteOp::Check(PathVersion::decode(reader)?),
                other => return Err(JuteError::Unknown(other as i32, "operation of a multi")),
            });
        }
    }
}

impl Encode for MultiRequest<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        for op in &self.ops {
            let (code, record): (OpCode, &dyn Encode) = match op {
                WriteOp::Create(code, create) => (*code, create),
                WriteOp::Delete(delete) => (OpCode::Delete, delete),
                WriteOp::SetData(set_data) => (OpCode::SetData, set_data),
                WriteOp::Check(check) => (OpCode::Check, check),
            };
            MultiHeader { op: code as i32, done: false, err: -1 }.encode(out);
            record.encode(out);
        }
        MultiHeader::END.encode(out);
    }
}

/// One operation of a multiRead. Its watch flag is read and ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOp<'a> {
    GetData(PathWatch<'a>),
    GetChildren(PathWatch<'a>),
}

/// The operations of a multiRead, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MultiRead<'a> {
    pub ops: Vec<ReadOp<'a>>,
    /// A write stands behind `ops`: those are answered, the request as a whole fails.
    pub ends_in_write: bool,
}

impl<'a> Decode<'a> for MultiRead<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops, ends_in_write: false });
            }
            ops.push(match OpCode::try_from(header.op)? {
                OpCode::GetData => ReadOp::GetData(PathWatch::decode(reader)?),
                OpCode::GetChildren => ReadOp::GetChildren(PathWatch::decode(reader)?),
                op @ (OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl) => {
                    Create::decode(op, reader)?;
                    return Ok(Self { ops, ends_in_write: true });
                }
                OpCode::Delete | OpCode::Check => {
                    PathVersion::decode(reader)?;
                    return Ok(Self { ops, ends_in_write: true });
                }
                OpCode::SetData => {
                    SetData::decode(reader)?;
                    return Ok(Self { ops, ends_in_write: true });
                }
                other => return Err(JuteError::Unknown(other as i32, "operation of a multiRead")),
            });
        }
    }
}

impl Encode for MultiRead<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        for op in &self.ops {
            let (code, record) = match op {
                ReadOp::GetData(read) => (OpCode::GetData, read),
                ReadOp::GetChildren(read) => (OpCode::GetChildren, read),
            };
            MultiHeader { op: code as i32, done: false, err: -1 }.encode(out);
            record.encode(out);
        }
        MultiHeader::END.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_multi_is_only_its_end() {
        let bytes = MultiHeader::END.to_bytes();
        assert_eq!(MultiRequest::from_bytes(&bytes), Ok(MultiRequest::default()));
        assert_eq!(MultiRequest::from_bytes(&[]), Err(JuteError::Short { need: 4, have: 0 }));
    }

    #[test]
    fn a_read_in_a_multi_is_refused() {
        let read = PathWatch { path: "/a".into(), watch: false };
        let bytes = MultiRead { ops: vec![ReadOp::GetData(read)], ends_in_write: false }.to_bytes();
        let expect = Err(JuteError::Unknown(4, "operation of a multi"));
        assert_eq!(MultiRequest::from_bytes(&bytes), expect);
    }

    #[test]
    fn a_multi_reads_back() {
        let ops = vec![
            WriteOp::Check(PathVersion { path: "/a".into(), version: 1 }),
            WriteOp::SetData(SetData { path: Some("/a".into()), data: None, version: -1 }),
        ];
        let multi = MultiRequest { ops };
        assert_eq!(MultiRequest::from_bytes(&multi.to_bytes()), Ok(multi));
    }
}
