//! What the client that asked is told about its transaction.

use menagerie_wire::data::Stat;
use menagerie_wire::jute::Put;
use menagerie_wire::proto::MultiHeader;
use menagerie_wire::{Encode, ErrorCode, OpCode};

use super::change::Change;

/// What a transaction led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The error goes into the reply header; there is no body then.
    pub result: Result<OpResult, ErrorCode>,
    /// In the order in which watches must hear of them.
    pub changes: Vec<Change>,
}

/// The result of an operation that was not refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    Create {
        path: Box<str>,
    },
    /// Also of createContainer and createTTL.
    Create2 {
        path: Box<str>,
        stat: Stat,
    },
    Delete,
    /// Also of reconfig.
    SetData {
        stat: Stat,
    },
    SetAcl {
        stat: Stat,
    },
    Check,
    /// The results of a multi that took place. An error is among them only when the transaction
    /// was replayed over a state that was ahead of it, which nobody waits for.
    Multi(Vec<Result<Self, ErrorCode>>),
    /// None did: the one at index `failed` of `count` was refused. The reply header says 0.
    MultiRefused {
        failed: usize,
        code: ErrorCode,
        count: usize,
    },
    CreateSession {
        timeout_ms: i32,
    },
    CloseSession,
}

impl OpResult {
    /// Appends the body of the reply.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create { path } => out.put_string(path),
            Self::Create2 { path, stat } => {
                out.put_string(path);
                stat.encode(out);
            }
            Self::SetData { stat } | Self::SetAcl { stat } => stat.encode(out),
            Self::Delete | Self::Check | Self::CreateSession { .. } | Self::CloseSession => {}
            Self::Multi(results) => {
                for result in results {
                    match result {
                        Ok(result) => {
                            let op = result.op() as i32;
                            MultiHeader { op, done: false, err: 0 }.encode(out);
                            result.encode_body(out);
                        }
                        Err(code) => encode_error(code.code(), out),
                    }
                }
                MultiHeader::END.encode(out);
            }
            Self::MultiRefused { failed, code, count } => {
                for index in 0..*count {
                    let err = match index.cmp(failed) {
                        std::cmp::Ordering::Less => 0,
                        std::cmp::Ordering::Equal => code.code(),
                        std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency.code(),
                    };
                    encode_error(err, out);
                }
                MultiHeader::END.encode(out);
            }
        }
    }

    /// The type that a multi's reply gives this result.
    // ZooKeeper: FinalRequestProcessor, MultiResponse.serialize
    fn op(&self) -> OpCode {
        match self {
            Self::Create { .. } => OpCode::Create,
            Self::Create2 { .. } => OpCode::Create2,
            Self::Delete => OpCode::Delete,
            Self::SetData { .. } => OpCode::SetData,
            Self::SetAcl { .. } => OpCode::SetAcl,
            Self::Check => OpCode::Check,
            Self::Multi(_) | Self::MultiRefused { .. } => OpCode::Multi,
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::CloseSession => OpCode::CloseSession,
        }
    }
}

/// Appends one failed result of a multi or multiRead.
pub(super) fn encode_error(err: i32, out: &mut Vec<u8>) {
    MultiHeader { op: OpCode::Error as i32, done: false, err }.encode(out);
    out.put_int(err);
}

/// The code of an error transaction. Another server may have written one that no client needs to
/// tell apart from an internal failure.
pub(super) fn error_code(err: i32) -> ErrorCode {
    ErrorCode::try_from(err).unwrap_or(ErrorCode::MarshallingError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(result: &OpResult) -> String {
        let mut out = Vec::new();
        result.encode_body(&mut out);
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    const END: &str = "ffffffff01ffffffff";

    #[test]
    fn an_empty_multi_answers_its_end_only() {
        assert_eq!(hex(&OpResult::Multi(Vec::new())), END);
    }

    #[test]
    fn every_result_of_a_multi_has_its_own_type() {
        let results = vec![
            OpResult::Create { path: "/a".into() },
            OpResult::Delete,
            OpResult::Check,
            OpResult::SetData { stat: Stat::default() },
        ];
        let stat = "00".repeat(Stat::LEN);
        let expect = [
            "000000010000000000000000022f61",
            "000000020000000000",
            "0000000d0000000000",
            "000000050000000000",
            &stat,
            END,
        ];
        let results = results.into_iter().map(Ok).collect();
        assert_eq!(hex(&OpResult::Multi(results)), expect.concat());
    }

    #[test]
    fn a_refused_multi_tells_which_operation_failed() {
        let refused = OpResult::MultiRefused { failed: 1, code: ErrorCode::NodeExists, count: 3 };
        let expect = [
            "ffffffff000000000000000000",
            "ffffffff00ffffff92ffffff92",
            "ffffffff00fffffffefffffffe",
            END,
        ];
        assert_eq!(hex(&refused), expect.concat());
    }
}
