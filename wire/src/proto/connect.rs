//! The handshake: the first frame each way.
//!
//! Clients older than read-only mode leave the last byte out, and the answer must then leave it
//! out too, so its presence is part of the record.
//! Facts: ZooKeeper `ConnectRequest`, `ProtocolManager`.

use crate::ids::{SessionId, Zxid};
use crate::jute::{Decode, Encode, JuteError, Put, Reader};

/// Bytes of every session password that a server sends.
pub const PASSWD_LEN: usize = 16;

/// The client's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Ignored by servers.
    pub protocol_version: i32,
    /// The newest zxid the client saw anywhere: a server behind it must turn the client away.
    pub last_zxid_seen: Zxid,
    pub timeout_ms: i32,
    /// [`SessionId::NONE`] asks for a new session.
    pub session_id: SessionId,
    pub passwd: Option<&'a [u8]>,
    /// `None` when the client left the byte out.
    pub read_only: Option<bool>,
}

impl<'a> Decode<'a> for ConnectRequest<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(Self {
            protocol_version: reader.int()?,
            last_zxid_seen: Zxid(reader.long()?),
            timeout_ms: reader.int()?,
            session_id: SessionId(reader.long()?),
            passwd: reader.buffer()?,
            read_only: reader.boolean().ok(),
        })
    }
}

impl Encode for ConnectRequest<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.protocol_version);
        out.put_long(self.last_zxid_seen.0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(self.passwd);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// The server's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// The negotiated timeout; 0 tells the client that its session is gone.
    pub timeout_ms: i32,
    pub session_id: SessionId,
    pub passwd: [u8; PASSWD_LEN],
    /// Present exactly when the request had it.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// "Your session is gone": both the timeout and the id are 0, as different clients look at
    /// different ones.
    pub const fn expired(read_only: Option<bool>) -> Self {
        Self { timeout_ms: 0, session_id: SessionId::NONE, passwd: [0; PASSWD_LEN], read_only }
    }
}

impl Encode for ConnectResponse {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session_id.0);
        out.put_buffer(Some(&self.passwd));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

impl<'a> Decode<'a> for ConnectResponse {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, JuteError> {
        reader.int()?;
        let timeout_ms = reader.int()?;
        let session_id = SessionId(reader.long()?);
        let passwd = reader.buffer()?.ok_or(JuteError::Null)?;
        let passwd = passwd
            .try_into()
            .map_err(|_| JuteError::Short { need: PASSWD_LEN, have: passwd.len() })?;
        Ok(Self { timeout_ms, session_id, passwd, read_only: reader.boolean().ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_only_byte_may_be_missing() {
        for (read_only, len) in [(None, 44), (Some(false), 45), (Some(true), 45)] {
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid::ZERO,
                timeout_ms: 10_000,
                session_id: SessionId::NONE,
                passwd: Some(&[0; PASSWD_LEN]),
                read_only,
            };
            let bytes = request.to_bytes();
            assert_eq!(bytes.len(), len);
            assert_eq!(ConnectRequest::from_bytes(&bytes), Ok(request));
        }
    }

    #[test]
    fn a_response_mirrors_the_byte() {
        assert_eq!(ConnectResponse::expired(None).to_bytes().len(), 36);
        assert_eq!(ConnectResponse::expired(Some(false)).to_bytes().len(), 37);
    }
}
