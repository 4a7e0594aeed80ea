//! A hash of bytes that is the same for ever, in every process: positions hold it.

/// FNV-1a of 64 bits (Fowler, Noll, Vo), with a last stir so that its low bits may be used alone.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, step);
    (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn it_never_changes() {
        assert_eq!(hash(b""), GOLDEN[0]);
        assert_eq!(hash(b"2026/11/20/part-1.json"), GOLDEN[1]);
    }

    const GOLDEN: [u64; 2] = [0xd5cb36d58570e254, 0xdbbce1382b1e73a6];
}
