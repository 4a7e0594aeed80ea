//! Whole records of many connections in one piece of memory, on their way to the decoder.
//!
//! Connections read straight into the block, and records stay where they came
//! to lie. What is unfinished goes back to its connection, so the block ends
//! with the last whole record.

use std::ops::Range;
use std::sync::Arc;

use thalweg_formats::FrameBlock;
use thalweg_formats::framing::{Cutter, Frame, TooLong};

use super::connection::READ_BYTES;

/// A block of this size takes no more.
const BLOCK_BYTES: usize = 1 << 18;

/// Memory beyond this is given back once its records are given out.
const BLOCK_BYTES_KEPT: usize = BLOCK_BYTES + 2 * READ_BYTES;

/// Records that wait to be given out.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Records up to `filled`, then memory to be read into.
    bytes: Vec<u8>,
    filled: usize,
    frames: Vec<Frame>,
    /// So many frames were given out.
    given: usize,
    runs: Vec<Run>,
}

/// Frames of one connection, up to the next run.
#[derive(Debug)]
struct Run {
    first: usize,
    peer: Arc<str>,
}

impl Block {
    /// Whether all that there was has been given out.
    pub(super) fn is_empty(&self) -> bool {
        self.given == self.frames.len()
    }

    /// Whether nothing more should be read before records are given out.
    pub(super) fn is_full(&self, rows_max: usize) -> bool {
        self.frames.len() >= rows_max || self.filled >= BLOCK_BYTES
    }

    /// Memory to read `length` bytes into, behind a copy of what the connection held.
    pub(super) fn space(&mut self, held: &[u8], length: usize) -> &mut [u8] {
        let start = self.filled + held.len();
        if self.bytes.len() < start + length {
            self.bytes.resize(start + length, 0);
        }
        self.bytes[self.filled..start].copy_from_slice(held);
        &mut self.bytes[start..start + length]
    }

    /// Takes the whole records of the first `length` bytes that stand in the space, and gives back the rest.
    pub(super) fn cut(
        &mut self,
        cutter: &mut Cutter,
        length: usize,
        peer: &Arc<str>,
    ) -> Result<&[u8], TooLong> {
        let (before, end) = (self.frames.len(), self.filled + length);
        let cut = cutter.cut(&mut self.bytes[..end], self.filled, &mut self.frames);
        if let Some(last) = self.frames[before..].last() {
            // One more than the last frame, so that the next one does not touch it: see the law of blocks.
            self.filled = cut.unwrap_or(last.end as usize + 1);
            if self.runs.last().is_none_or(|run| !Arc::ptr_eq(&run.peer, peer)) {
                self.runs.push(Run { first: before, peer: peer.clone() });
            }
        }
        cut.map(|taken| &self.bytes[taken..end])
    }

    /// The next frames to give out, at most `rows_max`; none once all are given. Then the block is free again.
    pub(super) fn next(&mut self, rows_max: usize) -> Option<Range<usize>> {
        if self.is_empty() {
            self.frames.clear();
            self.runs.clear();
            (self.given, self.filled) = (0, 0);
            self.bytes.truncate(BLOCK_BYTES_KEPT);
            self.bytes.shrink_to(BLOCK_BYTES_KEPT);
            return None;
        }
        let start = self.given;
        self.given = self.frames.len().min(start + rows_max);
        Some(start..self.given)
    }

    /// Some frames, for a decoder.
    pub(super) fn frames(&self, range: Range<usize>) -> FrameBlock<'_> {
        FrameBlock::new(&self.bytes[..self.filled], &self.frames[range], 0)
    }

    /// Who sent a frame.
    pub(super) fn peer(&self, frame: usize) -> &str {
        let run = self.runs.partition_point(|run| run.first <= frame);
        &self.runs[run - 1].peer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_formats::framing::{Framing, LengthBytes};

    fn put(block: &mut Block, framing: Framing, peer: &str, bytes: &[u8]) -> Result<Vec<u8>, TooLong> {
        block.space(&[], bytes.len()).copy_from_slice(bytes);
        block.cut(&mut Cutter::new(framing, 9), bytes.len(), &peer.into()).map(<[u8]>::to_vec)
    }

    #[test]
    fn records_of_two_peers_never_make_one_letter() {
        for (framing, first, second) in [
            (Framing::Newline, b"\xc3\nx".as_slice(), b"\xa9\n".as_slice()),
            (Framing::Newline, b"\xc3\nlonger than nine", b"\xa9\n"),
            (Framing::Length(LengthBytes::One), b"\x01\xc3\x01", b"\x01\xa9"),
            (Framing::Length(LengthBytes::One), b"\x01\xc3\xff", b"\x01\xa9"),
        ] {
            let mut block = Block::default();
            let _ = put(&mut block, framing, "a", first);
            put(&mut block, framing, "b", second).expect("short");
            let range = block.next(10).expect("two records");
            let frames = block.frames(range);
            assert_eq!(frames.iter().collect::<Vec<_>>(), [b"\xc3", b"\xa9"]);
            assert!(std::str::from_utf8(frames.bytes()).is_err(), "{:?}", frames.bytes());
            assert_eq!((block.peer(0), block.peer(1)), ("a", "b"));
        }
    }

    #[test]
    fn what_is_given_out_is_free_again() {
        let mut block = Block::default();
        let rest = put(&mut block, Framing::Newline, "a", b"one\ntwo\nthr").expect("short");
        assert_eq!(rest, b"thr");
        assert_eq!((block.next(1), block.next(1)), (Some(0..1), Some(1..2)));
        assert!(block.is_empty() && block.next(1).is_none() && !block.is_full(1));
        block.space(&[b'x'; 10], 8 * BLOCK_BYTES);
        assert!(block.next(1).is_none() && block.bytes.capacity() <= BLOCK_BYTES_KEPT);
    }
}
