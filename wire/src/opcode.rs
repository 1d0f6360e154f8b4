//! The request types a client may send and the transaction types a log may hold.
//!
//! Facts: ZooKeeper `ZooDefs.OpCode`. The numbers are the wire's.

use crate::jute::JuteError;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $word:literal,)*) => {
        /// A request or transaction type by its wire number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum OpCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl OpCode {
            /// Every known opcode, in the order of this file.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As `ZooDefs.OpCode` calls it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }

        impl TryFrom<i32> for OpCode {
            type Error = JuteError;

            fn try_from(code: i32) -> Result<Self, JuteError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(JuteError::Unknown(code, "opcode")),
                }
            }
        }
    };
}

opcodes! {
    Create = 1 "create",
    Delete = 2 "delete",
    Exists = 3 "exists",
    GetData = 4 "getData",
    SetData = 5 "setData",
    GetAcl = 6 "getACL",
    SetAcl = 7 "setACL",
    GetChildren = 8 "getChildren",
    Sync = 9 "sync",
    Ping = 11 "ping",
    GetChildren2 = 12 "getChildren2",
    /// Only inside a multi.
    Check = 13 "check",
    Multi = 14 "multi",
    Create2 = 15 "create2",
    Reconfig = 16 "reconfig",
    CheckWatches = 17 "checkWatches",
    RemoveWatches = 18 "removeWatches",
    CreateContainer = 19 "createContainer",
    /// Made by the server's own container and TTL checker only.
    DeleteContainer = 20 "deleteContainer",
    CreateTtl = 21 "createTTL",
    MultiRead = 22 "multiRead",
    Auth = 100 "auth",
    SetWatches = 101 "setWatches",
    Sasl = 102 "sasl",
    GetEphemerals = 103 "getEphemerals",
    GetAllChildrenNumber = 104 "getAllChildrenNumber",
    SetWatches2 = 105 "setWatches2",
    AddWatch = 106 "addWatch",
    WhoAmI = 107 "whoAmI",
    /// Internal: a new session's transaction.
    CreateSession = -10 "createSession",
    CloseSession = -11 "closeSession",
    /// Internal: the transaction of a refused write, and a failed result in a multi.
    Error = -1 "error",
}

impl OpCode {
    /// Whether a client asks for a transaction with it. Sessions have transactions too, but no
    /// request for one: they begin with a handshake, and end by their own request or by none.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Create2
                | Self::CreateContainer
                | Self::CreateTtl
                | Self::Delete
                | Self::SetData
                | Self::SetAcl
                | Self::Multi
                | Self::Reconfig
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself() {
        for &op in OpCode::ALL {
            assert_eq!(OpCode::try_from(op as i32), Ok(op));
        }
        for unknown in [0, 10, 23, -2, 108, i32::MAX] {
            assert_eq!(OpCode::try_from(unknown), Err(JuteError::Unknown(unknown, "opcode")));
        }
    }
}
