//! Where one record ends and the next begins.
//!
//! ```text
//! a file      bytes ─► LineFramer ─► FrameBlock      holds what is unfinished
//! a listener  bytes ─► Cutter ─────► frames in place  holds nothing
//! a sink      Framing::begin, the record, Framing::end
//! ```
//!
//! The law of blocks: what lies between two frames is ASCII, so that a block
//! is valid UTF-8 only if each of its frames is.

mod cutter;
mod line;

use serde::{Deserialize, Serialize};

pub use cutter::{Cutter, TooLong};
pub use line::{Framed, LineFramer, LinePosition};

/// How records are told apart in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// Each ends with `\n` or `\r\n`. Empty lines are counted, but are no records.
    Newline,
    /// Each stands behind its length, a big-endian number that counts neither
    /// itself nor anything but the record. A length of zero is an empty record.
    Length(LengthBytes),
}

/// How wide the length before a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LengthBytes {
    /// Records of up to 255 bytes.
    One,
    /// Records of up to 65,535 bytes.
    Two,
    /// Records of up to 4 GiB.
    Four,
    /// Records of any size.
    Eight,
}

impl LengthBytes {
    /// The width of so many bytes, if there is one.
    pub fn new(bytes: usize) -> Option<Self> {
        match bytes {
            1 => Some(LengthBytes::One),
            2 => Some(LengthBytes::Two),
            4 => Some(LengthBytes::Four),
            8 => Some(LengthBytes::Eight),
            _ => None,
        }
    }

    /// The number of bytes.
    pub fn get(self) -> usize {
        match self {
            LengthBytes::One => 1,
            LengthBytes::Two => 2,
            LengthBytes::Four => 4,
            LengthBytes::Eight => 8,
        }
    }

    /// The longest record that this can say the length of.
    pub fn record_bytes_max(self) -> u64 {
        u64::MAX >> (64 - 8 * self.get())
    }
}

/// A record that is too long for the bytes of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthOverflow {
    /// The bytes of the record.
    pub bytes: usize,
}

impl Framing {
    /// Begins a record at the end of `out`: what is appended from here on belongs to it.
    #[inline]
    pub fn begin(self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        match self {
            Framing::Newline => {}
            Framing::Length(width) => out.resize(start + width.get(), 0),
        }
        start
    }

    /// Ends the record that began at `start`.
    ///
    /// # Errors
    /// If its length cannot be said. `out` is then as it was before.
    #[inline]
    pub fn end(self, start: usize, out: &mut Vec<u8>) -> Result<(), LengthOverflow> {
        let width = match self {
            Framing::Newline => {
                out.push(b'\n');
                return Ok(());
            }
            Framing::Length(width) => width,
        };
        let bytes = out.len() - start - width.get();
        if bytes as u64 > width.record_bytes_max() {
            out.truncate(start);
            return Err(LengthOverflow { bytes });
        }
        let length = (bytes as u64).to_be_bytes();
        out[start..start + width.get()].copy_from_slice(&length[8 - width.get()..]);
        Ok(())
    }
}

/// One record within a block: `bytes[start..end]` of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first byte, counted from the start of the block.
    pub start: u32,
    /// The byte behind the last one.
    pub end: u32,
    /// The number of the line, from 1.
    pub line: u64,
}

/// Some complete records that lie in one piece of memory.
#[derive(Clone, Copy, Debug)]
pub struct FrameBlock<'a> {
    bytes: &'a [u8],
    frames: &'a [Frame],
    offset: u64,
}

impl<'a> FrameBlock<'a> {
    /// A block of frames within `bytes`, whose first byte is byte `offset` of the whole input.
    ///
    /// # Panics
    /// If a frame does not lie within `bytes`.
    pub fn new(bytes: &'a [u8], frames: &'a [Frame], offset: u64) -> Self {
        let within = |frame: &Frame| frame.start <= frame.end && frame.end as usize <= bytes.len();
        assert!(frames.iter().all(within), "a frame lies within its block");
        Self { bytes, frames, offset }
    }

    /// The number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// All bytes: the frames and what lies between them.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of each frame, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.frames.iter().map(move |frame| &bytes[frame.start as usize..frame.end as usize])
    }

    /// The number of the line that frame `index` is, from 1.
    pub fn line(&self, index: usize) -> u64 {
        self.frames[index].line
    }

    /// Where in the whole input frame `index` begins.
    pub fn offset(&self, index: usize) -> u64 {
        self.offset + u64::from(self.frames[index].start)
    }
}
