//! Session passwords: proof that a client is the one to whom a session was given.
//!
//! A password is a keyed MAC of the session id, so that every holder of the secret can check it
//! without remembering anything, and nobody who reads an `ephemeralOwner` can make it up. (Apache
//! derives it from the id alone.) Clients treat it as opaque bytes; they expect 16 of them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use menagerie_wire::SessionId;
use menagerie_wire::proto::PASSWD_LEN;
use sha2::Sha256;

/// The key of all passwords. It lives in the data directory and is never shown.
#[derive(Clone)]
pub struct SessionSecret([u8; Self::LEN]);

impl SessionSecret {
    pub const LEN: usize = 32;

    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The password of `session`.
    pub fn password(&self, session: SessionId) -> [u8; PASSWD_LEN] {
        let tag = self.mac(session).finalize().into_bytes();
        *tag.first_chunk().expect("a SHA-256 tag is longer than a password")
    }

    /// Whether `password` is that of `session`, in a time that tells nothing about it.
    pub fn verify(&self, session: SessionId, password: Option<&[u8]>) -> bool {
        let whole = password.filter(|password| password.len() == PASSWD_LEN);
        whole.is_some_and(|password| self.mac(session).verify_truncated_left(password).is_ok())
    }

    fn mac(&self, session: SessionId) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(session.0.to_be_bytes())
    }
}

impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(0x0100_0019_8f2a_0000);

    #[test]
    fn only_the_whole_password_of_this_session_and_secret_is_right() {
        let secret = SessionSecret::new([7; SessionSecret::LEN]);
        let password = secret.password(SESSION);
        let check = |password: Option<&[u8]>, right: bool| {
            assert_eq!(secret.verify(SESSION, password), right, "{password:?}");
        };
        check(Some(&password), true);
        check(Some(&password[..15]), false);
        check(Some(&[&password[..], &[0]].concat()), false);
        check(Some(&[0; PASSWD_LEN]), false);
        check(Some(&[]), false);
        check(None, false);
        let mut flipped = password;
        flipped[15] ^= 1;
        check(Some(&flipped), false);
        assert!(!secret.verify(SessionId(SESSION.0 + 1), Some(&password)));
        let other = SessionSecret::new([8; SessionSecret::LEN]);
        assert!(!other.verify(SESSION, Some(&password)));
    }

    #[test]
    fn passwords_survive_a_restart() {
        let password = SessionSecret::new([0; SessionSecret::LEN]).password(SessionId(1));
        let expect = [
            0xa4, 0xa1, 0x1c, 0xe5, 0xfb, 0xe8, 0xf9, 0x6b, 0xf3, 0x02, 0x80, 0x35, 0x28, 0x6c,
            0x2c, 0x92,
        ];
        assert_eq!(password, expect);
    }
}
