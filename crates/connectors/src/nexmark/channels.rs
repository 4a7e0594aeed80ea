//! Where bids come from: four hot channels, ten thousand others, and their
//! pages, written out once.

use super::random::{Draw, Stream, below, is_hot, letters, more};

/// The channels that half of all bids come from.
const HOT: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// The other channels.
const COLD: u64 = 10_000;

/// All but one in so many bids come from a hot channel.
const HOT_RATIO: u64 = 2;

/// One in so many cold pages does not name its channel.
const UNNAMED_RATIO: u64 = 10;

/// Every channel with its page.
pub(super) struct Channels {
    pub(super) names: Texts,
    pub(super) urls: Texts,
}

impl Channels {
    /// The same for every seed.
    pub(super) fn new() -> Self {
        let stream = Stream::new(0, Draw::Url);
        let (mut names, mut urls) = (Texts::default(), Texts::default());
        for (index, name) in HOT.iter().enumerate() {
            names.add(|out| out.extend_from_slice(name.as_bytes()));
            urls.add(|out| page(stream.at(COLD + index as u64), out));
        }
        for channel in 0..COLD {
            let bits = stream.at(channel);
            names.add(|out| out.extend_from_slice(format!("channel-{channel}").as_bytes()));
            urls.add(|out| {
                page(bits, out);
                if below(more(bits, 0), UNNAMED_RATIO) > 0 {
                    let id = i64::from((channel as i32).reverse_bits()).abs();
                    out.extend_from_slice(format!("&channel_id={id}").as_bytes());
                }
            });
        }
        Self { names, urls }
    }

    /// One of them.
    pub(super) fn choose(bits: u64) -> usize {
        let hot = HOT.len() as u64;
        let chosen = if is_hot(bits, HOT_RATIO) { below(bits, hot) } else { hot + below(bits, COLD) };
        chosen as usize
    }
}

/// `https://www.nexmark.com/abc/defg/hij/item.htm?query=1`
fn page(bits: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"https://www.nexmark.com/");
    for part in 1..4 {
        let bits = more(bits, part);
        letters(bits, 3 + below(bits, 2) as usize, out);
        out.push(b'/');
    }
    out.extend_from_slice(b"item.htm?query=1");
}

/// Texts that lie one behind the other.
#[derive(Default)]
pub(super) struct Texts {
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Texts {
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The text of this index.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }
}
