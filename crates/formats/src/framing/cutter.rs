//! Whole records of a stream, found where its bytes lie.
//!
//! A [`Cutter`] holds no bytes: the caller keeps what is unfinished and shows
//! it again with more behind it. What a length claims is only ever compared,
//! never allocated.

use memchr::memchr;

use super::{Frame, Framing, LengthBytes};

/// A record that is longer than the limit. Nothing behind it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The number of the record, from 1.
    pub number: u64,
    /// Its length as it claims, or what there was of it.
    pub bytes: u64,
}

/// Cuts the bytes of one stream into records.
///
/// ```
/// use thalweg_formats::framing::{Cutter, Framing, LengthBytes};
///
/// let mut cutter = Cutter::new(Framing::Length(LengthBytes::Two), 1024);
/// let mut block = b"\x00\x02hi\x00\x00\x00\x05unf".to_vec();
/// let mut frames = Vec::new();
/// assert_eq!(cutter.cut(&mut block, 0, &mut frames), Ok(6));
/// let found: Vec<_> = frames.iter().map(|f| (f.start, f.end, f.line)).collect();
/// assert_eq!(found, [(2, 4, 1), (6, 6, 2)]);
/// ```
#[derive(Clone, Debug)]
pub struct Cutter {
    framing: Framing,
    bytes_max: usize,
    /// So many bytes of the unfinished line hold no newline.
    scanned: usize,
    /// The number of the next record, from 1.
    number: u64,
}

impl Cutter {
    /// A cutter at the start of a stream; records of more than `bytes_max` bytes are refused.
    pub fn new(framing: Framing, bytes_max: usize) -> Self {
        Self { framing, bytes_max, scanned: 0, number: 1 }
    }

    /// The number of the next record, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Appends the whole records in `block[start..]` to `frames` and gives the place behind the last.
    ///
    /// What lies at `start` is what the last cut left over. Lengths are written over with newlines
    /// once they are read, so that what lies between two frames is ASCII.
    ///
    /// # Errors
    /// If a record is too long. The records before it are in `frames`.
    ///
    /// # Panics
    /// If the block has 4 GiB or more.
    pub fn cut(&mut self, block: &mut [u8], start: usize, frames: &mut Vec<Frame>) -> Result<usize, TooLong> {
        assert!(u32::try_from(block.len()).is_ok(), "a block stays under 4 GiB");
        match self.framing {
            Framing::Newline => self.cut_lines(block, start, frames),
            Framing::Length(LengthBytes::One) => self.cut_lengths::<1>(block, start, frames),
            Framing::Length(LengthBytes::Two) => self.cut_lengths::<2>(block, start, frames),
            Framing::Length(LengthBytes::Four) => self.cut_lengths::<4>(block, start, frames),
            Framing::Length(LengthBytes::Eight) => self.cut_lengths::<8>(block, start, frames),
        }
    }

    /// Whether [`cut`](Self::cut) would find a record, or one that is too long, in what is held.
    pub fn is_ready(&mut self, held: &[u8]) -> bool {
        match self.framing {
            Framing::Newline => {
                let found = memchr(b'\n', &held[self.scanned..]).is_some();
                if !found {
                    self.scanned = held.len();
                }
                found || held.len() > self.bytes_max
            }
            Framing::Length(width) => {
                let Some(length) = held.get(..width.get()) else { return false };
                let length = number(length);
                length > self.bytes_max as u64 || (held.len() - width.get()) as u64 >= length
            }
        }
    }

    fn cut_lines(&mut self, block: &[u8], start: usize, frames: &mut Vec<Frame>) -> Result<usize, TooLong> {
        let mut at = start;
        let mut scanned = start + self.scanned;
        while let Some(length) = memchr(b'\n', &block[scanned..]) {
            let end = scanned + length;
            if end - at > self.bytes_max {
                return Err(self.too_long((end - at) as u64));
            }
            let line = &block[at..end];
            let length = line.strip_suffix(b"\r").unwrap_or(line).len();
            if length > 0 {
                frames.push(Frame { start: at as u32, end: (at + length) as u32, line: self.number });
            }
            self.number += 1;
            at = end + 1;
            scanned = at;
        }
        self.scanned = block.len() - at;
        if self.scanned > self.bytes_max { Err(self.too_long(self.scanned as u64)) } else { Ok(at) }
    }

    fn cut_lengths<const WIDTH: usize>(
        &mut self,
        block: &mut [u8],
        start: usize,
        frames: &mut Vec<Frame>,
    ) -> Result<usize, TooLong> {
        let mut at = start;
        while let Some(prefix) = block[at..].first_chunk_mut::<WIDTH>() {
            let length = number(prefix);
            if length > self.bytes_max as u64 {
                return Err(self.too_long(length));
            }
            let begin = at + WIDTH;
            let end = begin + length as usize;
            if end > block.len() {
                break;
            }
            block[at..begin].copy_from_slice(&[b'\n'; WIDTH]);
            frames.push(Frame { start: begin as u32, end: end as u32, line: self.number });
            self.number += 1;
            at = end;
        }
        Ok(at)
    }

    fn too_long(&self, bytes: u64) -> TooLong {
        TooLong { number: self.number, bytes }
    }
}

/// A big-endian number of at most eight bytes.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LENGTHS: [LengthBytes; 4] =
        [LengthBytes::One, LengthBytes::Two, LengthBytes::Four, LengthBytes::Eight];

    fn framed(framing: Framing, records: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            let start = framing.begin(&mut out);
            out.extend_from_slice(record);
            framing.end(start, &mut out).expect("short enough");
        }
        out
    }

    /// Feeds pieces as a connection would: what is left over is held and shown again.
    fn feed(cutter: &mut Cutter, pieces: &[&[u8]], ask_first: bool) -> (Vec<Vec<u8>>, Option<TooLong>) {
        let (mut held, mut found) = (Vec::new(), Vec::new());
        for piece in pieces {
            held.extend_from_slice(piece);
            if ask_first && !cutter.is_ready(&held) {
                continue;
            }
            // Bytes of other streams lie before.
            let mut block = [b"else".as_slice(), &held].concat();
            let mut frames = Vec::new();
            let taken = cutter.cut(&mut block, 4, &mut frames);
            found.extend(frames.iter().map(|f| block[f.start as usize..f.end as usize].to_vec()));
            match taken {
                Ok(taken) => held = block[taken..].to_vec(),
                Err(error) => return (found, Some(error)),
            }
        }
        assert_eq!(cutter.number() as usize, found.len() + 1);
        (found, None)
    }

    fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle().take(bytes.len() + 1) {
            let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces.push(bytes);
        pieces
    }

    proptest! {
        #[test]
        fn records_are_the_same_however_the_bytes_come(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30),
            cuts in prop::collection::vec(1usize..60, 1..20),
            ask_first in any::<bool>(),
        ) {
            for width in LENGTHS {
                let framing = Framing::Length(width);
                let bytes = framed(framing, &records);
                let found = feed(&mut Cutter::new(framing, 39), &pieces(&bytes, &cuts), ask_first);
                prop_assert_eq!(found, (records.clone(), None));
            }
        }

        #[test]
        fn lines_are_the_same_however_the_bytes_come(
            lines in prop::collection::vec("[a-z\u{e9} ]{1,12}", 0..30),
            cuts in prop::collection::vec(1usize..60, 1..20),
            ask_first in any::<bool>(),
        ) {
            let lines: Vec<_> = lines.into_iter().map(String::into_bytes).collect();
            let bytes = framed(Framing::Newline, &lines);
            let found = feed(&mut Cutter::new(Framing::Newline, 30), &pieces(&bytes, &cuts), ask_first);
            prop_assert_eq!(found, (lines, None));
        }

        #[test]
        fn noise_never_panics(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(1usize..60, 1..20),
        ) {
            for framing in LENGTHS.map(Framing::Length) {
                feed(&mut Cutter::new(framing, 50), &pieces(&noise, &cuts), true);
            }
        }
    }

    #[test]
    fn the_limit_is_exact_and_what_came_before_is_kept() {
        for framing in [Framing::Newline, Framing::Length(LengthBytes::Four)] {
            let bytes = framed(framing, &[b"12345".to_vec(), b"123456".to_vec(), b"1".to_vec()]);
            for ask_first in [false, true] {
                let (found, error) = feed(&mut Cutter::new(framing, 5), &[&bytes], ask_first);
                assert_eq!(found, [b"12345".to_vec()]);
                assert_eq!(error, Some(TooLong { number: 2, bytes: 6 }));
            }
        }
    }

    #[test]
    fn a_claim_is_refused_before_its_bytes_come() {
        let mut cutter = Cutter::new(Framing::Length(LengthBytes::Four), 16 << 20);
        assert!(!cutter.is_ready(b"\x80\x00\x00"));
        assert!(cutter.is_ready(b"\x80\x00\x00\x00"));
        let refused = cutter.cut(&mut b"\x80\x00\x00\x00".to_vec(), 0, &mut Vec::new());
        assert_eq!(refused, Err(TooLong { number: 1, bytes: 1 << 31 }));
        let mut cutter = Cutter::new(Framing::Length(LengthBytes::Eight), 16);
        let refused = cutter.cut(&mut [0xff; 8], 0, &mut Vec::new());
        assert_eq!(refused, Err(TooLong { number: 1, bytes: u64::MAX }));
        let mut cutter = Cutter::new(Framing::Newline, 3);
        assert_eq!(
            cutter.cut(&mut b"abcd".to_vec(), 0, &mut Vec::new()),
            Err(TooLong { number: 1, bytes: 4 })
        );
    }

    #[test]
    fn empty_lines_are_counted_and_carriage_returns_cut_off() {
        let mut frames = Vec::new();
        let mut block = b"\r\n\na\r\nb".to_vec();
        assert_eq!(Cutter::new(Framing::Newline, 9).cut(&mut block, 0, &mut frames), Ok(6));
        assert_eq!(frames, [Frame { start: 3, end: 4, line: 3 }]);
    }

    #[test]
    fn text_cut_in_two_is_no_text_in_its_block_either() {
        // A frame that ends within a letter, and a length that would end the letter.
        let mut block = [&[1, 0xc3, 0xa9][..], &[b'x'; 0xa9]].concat();
        let mut frames = Vec::new();
        Cutter::new(Framing::Length(LengthBytes::One), 255).cut(&mut block, 0, &mut frames).expect("short");
        assert_eq!(frames.len(), 2);
        assert!(std::str::from_utf8(&block[1..]).is_err());
    }

    #[test]
    fn a_length_that_cannot_be_said_is_refused() {
        let framing = Framing::Length(LengthBytes::One);
        let mut out = b"kept".to_vec();
        let start = framing.begin(&mut out);
        out.resize(out.len() + 256, 0);
        assert!(framing.end(start, &mut out).is_err());
        assert_eq!(out, b"kept");
    }
}
