//! Session passwords: proof that a client is the one to whom a session was given.
//!
//! A password is a keyed MAC of the session id, so that every holder of the secret can check it
//! without remembering anything, and nobody who reads an `ephemeralOwner` can make it up. Clients
//! treat it as opaque bytes; they expect 16 of them.
//!
//! Apache derives it from the id alone. A member of an ensemble without a common secret does the
//! same, so that sessions can move between all members, those of Apache included.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use menagerie_wire::SessionId;
use menagerie_wire::proto::PASSWD_LEN;
use sha2::Sha256;

/// What all passwords are made with. Never shown.
#[derive(Clone)]
pub struct SessionSecret(Source);

#[derive(Clone)]
enum Source {
    Key([u8; SessionSecret::LEN]),
    /// No secret at all.
    Apache,
}

impl SessionSecret {
    pub const LEN: usize = 32;

    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Source::Key(bytes))
    }

    /// Apache's passwords, which everybody can compute who knows the session's id.
    pub const fn of_apache() -> Self {
        Self(Source::Apache)
    }

    /// The password of `session`.
    pub fn password(&self, session: SessionId) -> [u8; PASSWD_LEN] {
        match &self.0 {
            Source::Key(key) => {
                let tag = mac(key, session).finalize().into_bytes();
                *tag.first_chunk().expect("a SHA-256 tag is longer than a password")
            }
            Source::Apache => apaches_password(session),
        }
    }

    /// Whether `password` is that of `session`, in a time that tells nothing about it.
    // ZooKeeper: ZooKeeperServer.checkPasswd, for which no session is 0.
    pub fn verify(&self, session: SessionId, password: Option<&[u8]>) -> bool {
        let Some(password) =
            password.and_then(|password| <&[u8; PASSWD_LEN]>::try_from(password).ok())
        else {
            return false;
        };
        match &self.0 {
            Source::Key(key) => mac(key, session).verify_truncated_left(password).is_ok(),
            Source::Apache => {
                let pairs = password.iter().zip(apaches_password(session));
                let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
                difference == 0 && session != SessionId::NONE
            }
        }
    }
}

fn mac(key: &[u8], session: SessionId) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.chain_update(session.0.to_be_bytes())
}

/// Sixteen bytes of a `java.util.Random` that is seeded with the id and a constant.
// ZooKeeper: ZooKeeperServer.generatePasswd, superSecret. Java: Random.next, Random.nextBytes.
fn apaches_password(session: SessionId) -> [u8; PASSWD_LEN] {
    const SUPER_SECRET: u64 = 0xb341_5c00;
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const STATE: u64 = (1 << 48) - 1;
    let mut state = (session.0.cast_unsigned() ^ SUPER_SECRET ^ MULTIPLIER) & STATE;
    let mut password = [0; PASSWD_LEN];
    for bytes in password.as_chunks_mut::<4>().0 {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & STATE;
        *bytes = ((state >> 16) as u32).to_le_bytes();
    }
    password
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

    /// Computed by OpenJDK's `java.util.Random`; the first one was also seen from an Apache 3.9.4.
    #[test]
    fn apaches_passwords_are_those_of_apache() {
        let check = |session: u64, expect: u128| {
            let session = SessionId(session.cast_signed());
            let password = SessionSecret::of_apache().password(session);
            assert_eq!(u128::from_be_bytes(password), expect, "{session}");
        };
        check(0x0100_001b_d0b4_0000, 0xee03_7ff2_e3b1_992d_7c7b_87ff_6444_9379);
        check(0, 0xf22a_cd4a_97e6_9d6d_20a4_9bb6_38ea_db38);
        check(1, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005);
        check(u64::MAX, 0x20f6_2cb5_648d_c2d7_7147_1c8a_2486_a9ee);
        check(0x8000_0000_0000_00ff, 0x2f63_a64b_79f8_5779_aff6_ae70_a223_e494);
        check(0xff12_3456_78ab_cdef, 0xf7aa_663f_3fad_da09_74ca_2adb_e337_8a32);
    }

    #[test]
    fn apaches_check_knows_no_session_0_and_no_other_password() {
        let secret = SessionSecret::of_apache();
        let password = secret.password(SESSION);
        assert!(secret.verify(SESSION, Some(&password)));
        assert!(!secret.verify(SESSION, Some(&password[..15])));
        assert!(!secret.verify(SESSION, None));
        for bit in 0..8 * PASSWD_LEN {
            let mut flipped = password;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!secret.verify(SESSION, Some(&flipped)), "bit {bit}");
        }
        assert!(!secret.verify(SessionId(SESSION.0 + 1), Some(&password)));
        assert!(!secret.verify(SessionId::NONE, Some(&secret.password(SessionId::NONE))));
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
