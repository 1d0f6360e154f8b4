//! The tree digest: one 64-bit sum that two equal trees share, kept as the tree changes.
//!
//! A node's digest is the CRC-32 of path, data and persisted stat; the tree's is their wrapping
//! sum. The CRC runs over path and data first, so its state after them (the *prefix*) is computed
//! once when the data changes and kept with the node: a stat that changes on a large node costs
//! 60 bytes of CRC, not the node.
//!
//! Facts: ZooKeeper `DigestCalculator` (version 2), `AdHash`. ACLs are not covered.
#![deny(unsafe_code)]

use crc32fast::Hasher;

use super::stat::StatPersisted;

/// What a node contributes to the digest of its tree: nothing below `/zookeeper/`.
pub(crate) fn is_counted(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

/// CRC-32 of path and data, to be continued by the stat.
pub(crate) fn prefix(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// Digest of a counted node, from its [`prefix`] and its stat.
pub(crate) fn node(prefix: u32, stat: &StatPersisted) -> u64 {
    let mut bytes = [0; 60];
    bytes[0..8].copy_from_slice(&stat.czxid.0.to_be_bytes());
    bytes[8..16].copy_from_slice(&stat.mzxid.0.to_be_bytes());
    bytes[16..24].copy_from_slice(&stat.pzxid.0.to_be_bytes());
    bytes[24..32].copy_from_slice(&stat.ctime_ms.to_be_bytes());
    bytes[32..40].copy_from_slice(&stat.mtime_ms.to_be_bytes());
    bytes[40..44].copy_from_slice(&stat.version.to_be_bytes());
    bytes[44..48].copy_from_slice(&stat.cversion.to_be_bytes());
    bytes[48..52].copy_from_slice(&stat.aversion.to_be_bytes());
    bytes[52..60].copy_from_slice(&stat.owner.to_raw().to_be_bytes());
    let mut crc = Hasher::new_with_initial(prefix);
    crc.update(&bytes);
    u64::from(crc.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apache_s_check_values_hold() {
        let check = |path, expect| {
            let digest = node(prefix(path, Some(b"")), &StatPersisted::default());
            assert_eq!(digest, expect, "{path:?}");
        };
        check("", 0x0412_8908);
        check("/", 0x0412_8908);
        check("/zookeeper", 0x4db4_4d58);
    }

    #[test]
    fn only_what_is_below_zookeeper_is_left_out() {
        let check = |path, counted| assert_eq!(is_counted(path), counted, "{path}");
        check("/zookeeper", true);
        check("/zookeepers", true);
        check("/zookeeper/quota", false);
    }
}
