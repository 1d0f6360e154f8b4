//! multi and multiRead: several operations in one frame, each behind a small header.
//!
//! The list ends with a header whose `done` is true; its other fields are not looked at. Reads
//! beside writes, a read in a multi, an unknown operation or a missing end make the whole request
//! undecodable. A multiRead of nothing but writes does decode: it fails too, but with a body.
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

impl<'a> WriteOp<'a> {
    /// The record of an operation of kind `op`. Nulls that a request of its own may hold and have
    /// judged (the path of a setData, the ACL of a create) do not decode inside a multi.
    fn decode(op: OpCode, reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                let create = Create::decode(op, reader)?;
                if create.acl.is_none() {
                    return Err(JuteError::Null);
                }
                Self::Create(op, create)
            }
            OpCode::Delete => Self::Delete(PathVersion::decode(reader)?),
            OpCode::SetData => {
                let set_data = SetData::decode(reader)?;
                if set_data.path.is_none() {
                    return Err(JuteError::Null);
                }
                Self::SetData(set_data)
            }
            OpCode::Check => Self::Check(PathVersion::decode(reader)?),
            other => return Err(JuteError::Unknown(other as i32, "operation of a multi")),
        })
    }
}

impl<'a> Decode<'a> for MultiRequest<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops });
            }
            ops.push(WriteOp::decode(OpCode::try_from(header.op)?, reader)?);
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
    /// Writes were in it, and nothing else: it fails, with an empty list of results.
    pub of_writes: bool,
}

impl<'a> Decode<'a> for MultiRead<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        let mut multi = Self::default();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(multi);
            }
            match OpCode::try_from(header.op)? {
                OpCode::GetData => multi.ops.push(ReadOp::GetData(PathWatch::decode(reader)?)),
                OpCode::GetChildren => {
                    multi.ops.push(ReadOp::GetChildren(PathWatch::decode(reader)?));
                }
                op => {
                    WriteOp::decode(op, reader)?;
                    multi.of_writes = true;
                }
            }
            if multi.of_writes && !multi.ops.is_empty() {
                return Err(JuteError::Unknown(header.op, "operation beside those before it"));
            }
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
        let bytes = MultiRead { ops: vec![ReadOp::GetData(read)], of_writes: false }.to_bytes();
        let expect = Err(JuteError::Unknown(4, "operation of a multi"));
        assert_eq!(MultiRequest::from_bytes(&bytes), expect);
    }

    #[test]
    fn a_multi_read_of_writes_is_marked_and_a_mixture_is_refused() {
        let delete = WriteOp::Delete(PathVersion { path: "/a".into(), version: -1 });
        let writes = MultiRequest { ops: vec![delete] }.to_bytes();
        let expect = MultiRead { ops: Vec::new(), of_writes: true };
        assert_eq!(MultiRead::from_bytes(&writes), Ok(expect));
        let read = ReadOp::GetData(PathWatch { path: "/a".into(), watch: false });
        let reads = MultiRead { ops: vec![read], of_writes: false }.to_bytes();
        let end = MultiHeader::END.to_bytes().len();
        let mixture = [&reads[..reads.len() - end], &writes].concat();
        let expect = Err(JuteError::Unknown(2, "operation beside those before it"));
        assert_eq!(MultiRead::from_bytes(&mixture), expect);
    }

    #[test]
    fn nulls_do_not_decode_inside_a_multi() {
        let check = |op| {
            let bytes = MultiRequest { ops: vec![op] }.to_bytes();
            assert_eq!(MultiRequest::from_bytes(&bytes), Err(JuteError::Null));
        };
        check(WriteOp::SetData(SetData { path: None, data: None, version: -1 }));
        let create = Create { path: "/a".into(), data: None, acl: None, flags: 0, ttl_ms: None };
        check(WriteOp::Create(OpCode::Create, create));
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
