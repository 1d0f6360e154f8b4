//! The request types a client may send and the transaction types a log may hold.
//!
//! Facts: ZooKeeper `ZooDefs.OpCode`. The numbers are the wire's.

use crate::jute::JuteError;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// A request or transaction type by its wire number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum OpCode {
            $($(#[$doc])* $name = $code,)*
        }

        impl OpCode {
            /// Every known opcode, in the order of this file.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
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
    Create = 1,
    Delete = 2,
    Exists = 3,
    GetData = 4,
    SetData = 5,
    GetAcl = 6,
    SetAcl = 7,
    GetChildren = 8,
    Sync = 9,
    Ping = 11,
    GetChildren2 = 12,
    /// Only inside a multi.
    Check = 13,
    Multi = 14,
    Create2 = 15,
    Reconfig = 16,
    CheckWatches = 17,
    RemoveWatches = 18,
    CreateContainer = 19,
    /// Made by the server's own container and TTL checker only.
    DeleteContainer = 20,
    CreateTtl = 21,
    MultiRead = 22,
    Auth = 100,
    SetWatches = 101,
    Sasl = 102,
    GetEphemerals = 103,
    GetAllChildrenNumber = 104,
    SetWatches2 = 105,
    AddWatch = 106,
    WhoAmI = 107,
    /// Internal: a new session's transaction.
    CreateSession = -10,
    CloseSession = -11,
    /// Internal: the transaction of a refused write, and a failed result in a multi.
    Error = -1,
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
