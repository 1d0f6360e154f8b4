//! The error numbers that replies and error transactions carry.
//!
//! Facts: ZooKeeper `KeeperException.Code`. Only codes that a server sends are here; those that
//! client libraries make up for themselves (connection loss, timeouts) are not.

use thiserror::Error;

use crate::jute::JuteError;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a request was refused. Success has no variant: it is the absence of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
        #[repr(i32)]
        pub enum ErrorCode {
            $($(#[$doc])* #[error($text)] $name = $code,)*
        }

        impl TryFrom<i32> for ErrorCode {
            type Error = JuteError;

            fn try_from(code: i32) -> Result<Self, JuteError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(JuteError::Unknown(code, "error code")),
                }
            }
        }
    };
}

error_codes! {
    /// In multi results: an operation behind the one that failed.
    RuntimeInconsistency = -2, "not tried: an earlier operation of the multi failed";
    /// The body cannot be decoded, or a multi holds what it may not.
    MarshallingError = -5, "the request cannot be decoded";
    Unimplemented = -6, "the operation is not offered here";
    BadArguments = -8, "bad arguments";
    UnknownSession = -12, "the session is not known";
    NewConfigNoQuorum = -13, "no quorum of the new configuration is connected and synced";
    ReconfigInProgress = -14, "another reconfiguration is in progress";
    NoNode = -101, "no such node";
    NoAuth = -102, "not allowed by the node's ACL";
    BadVersion = -103, "the version does not match";
    NoChildrenForEphemerals = -108, "an ephemeral node may not have children";
    NodeExists = -110, "the node exists";
    NotEmpty = -111, "the node has children";
    SessionExpired = -112, "the session has expired";
    InvalidAcl = -114, "the ACL is not valid";
    AuthFailed = -115, "authentication failed";
    SessionMoved = -118, "the session moved to another connection";
    NotReadOnly = -119, "a write on a read-only server";
    EphemeralOnLocalSession = -120, "an ephemeral node on a local session";
    NoWatcher = -121, "no such watch";
    ReconfigDisabled = -123, "reconfiguration is disabled";
    SessionClosedRequireSaslAuth = -124, "the server requires authentication first";
    QuotaExceeded = -125, "a hard quota would be exceeded";
    ThrottledOp = -127, "the request waited too long and was dropped";
}

impl ErrorCode {
    /// The wire number; 0 stands for success and is never one of these.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_zero_is_no_error() {
        assert_eq!(ErrorCode::try_from(-101), Ok(ErrorCode::NoNode));
        assert_eq!(ErrorCode::NoNode.code(), -101);
        assert_eq!(ErrorCode::try_from(0), Err(JuteError::Unknown(0, "error code")));
    }
}
