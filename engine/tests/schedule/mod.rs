//! Choices and bytes that a seed decides, for tests that try many schedules.

/// splitmix64: numbers below a bound, always the same ones for a seed.
pub(crate) fn chooser(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// Bytes that no other run of a server, and no other zxid, writes.
pub(crate) fn body(run: u64, zxid: i64, len: usize) -> Vec<u8> {
    let mut choose = chooser((run << 32) ^ zxid as u64);
    (0..len).map(|_| choose(256) as u8).collect()
}
