//! Randomness by counting: the n-th number of a stream needs none before it.

/// The golden ratio in 64 bits, splitmix64's step.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a number is drawn for. Each has a stream of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    PersonName,
    PersonEmail,
    PersonCard,
    PersonCity,
    PersonState,
    PersonExtra,
    AuctionItem,
    AuctionDescription,
    AuctionInitial,
    AuctionReserve,
    AuctionExpires,
    AuctionSeller,
    AuctionCategory,
    AuctionExtra,
    BidAuction,
    BidBidder,
    BidPrice,
    BidChannel,
    BidExtra,
    Url,
}

/// A stream of random numbers: splitmix64 (Steele et al. 2014), read at any place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream(u64);

impl Stream {
    /// The stream of one draw.
    pub(super) fn new(seed: u64, draw: Draw) -> Self {
        Self(mix(mix(seed).wrapping_add((draw as u64 + 1).wrapping_mul(STEP))))
    }

    /// Number `n` of it, 64 random bits.
    pub(super) fn at(self, n: u64) -> u64 {
        mix(self.0.wrapping_add(n.wrapping_mul(STEP)))
    }
}

/// More bits from bits: number `n` of the stream that they begin.
pub(super) fn more(bits: u64, n: u64) -> u64 {
    Stream(bits).at(n)
}

/// From 0 to `n`, exclusive, by the upper bits.
pub(super) fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

/// False once in `ratio` times, by the lowest bits. `ratio` is a power of two.
pub(super) fn is_hot(bits: u64, ratio: u64) -> bool {
    debug_assert!(ratio.is_power_of_two());
    bits & (ratio - 1) != 0
}

/// Appends `count` letters from a to z.
pub(super) fn letters(bits: u64, count: usize, out: &mut Vec<u8>) {
    let end = out.len() + count;
    for word in 0..count.div_ceil(8) as u64 {
        out.extend_from_slice(&eight_letters(more(bits, word)));
    }
    out.truncate(end);
}

/// Each byte becomes a letter: byte * 26 / 256, in lanes of 16 bits.
fn eight_letters(bits: u64) -> [u8; 8] {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let letters = |lanes: u64| (((lanes & LANES) * 26) >> 8) & LANES;
    let both = letters(bits) | letters(bits >> 8) << 8;
    (both + u64::from_le_bytes([b'a'; 8])).to_le_bytes()
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_letters_and_all_of_them() {
        let mut text = Vec::new();
        letters(7, 26_003, &mut text);
        assert_eq!(text.len(), 26_003);
        let mut counts = [0; 26];
        text.iter().for_each(|letter| counts[usize::from(letter - b'a')] += 1);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn streams_differ_by_draw_and_by_seed() {
        let at = |seed, draw| Stream::new(seed, draw).at(5);
        let all = [at(0, Draw::BidPrice), at(0, Draw::BidAuction), at(1, Draw::BidPrice), at(1, Draw::Url)];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one));
        }
    }

    #[test]
    fn bounds_hold() {
        let stream = Stream::new(3, Draw::BidPrice);
        let drawn: Vec<u64> = (0..10_000).map(|n| below(stream.at(n), 5)).collect();
        for value in 0..5 {
            let count = drawn.iter().filter(|&&v| v == value).count();
            assert!((1_800..2_200).contains(&count), "{value} came {count} times");
        }
        let hot = (0..10_000).filter(|&n| is_hot(stream.at(n), 4)).count();
        assert!((7_300..7_700).contains(&hot), "{hot}");
    }
}
