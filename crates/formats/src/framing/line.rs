//! A stream of bytes into lines, for what is read from its start to its end.
//!
//! [`LineFramer`] holds at most one unfinished line and what was pushed last,
//! so its memory is bounded by the limit on a line and the size of a push,
//! whatever the input.

use memchr::memchr;

use super::{Frame, FrameBlock};

/// A place between two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePosition {
    /// The byte at which the next line begins.
    pub offset: u64,
    /// The number of the next line, from 1.
    pub line: u64,
}

impl LinePosition {
    /// Before the first line.
    pub const START: LinePosition = LinePosition { offset: 0, line: 1 };
}

/// What a framer found next.
#[derive(Debug)]
pub enum Framed<'a> {
    /// Lines, at least one.
    Block(FrameBlock<'a>),
    /// A line over the limit begins here. It is skipped.
    TooLong(LinePosition),
}

/// Cuts bytes into lines, which end with `\n` or `\r\n`.
///
/// Empty lines are counted, but are no frames.
///
/// ```
/// use thalweg_formats::framing::{Framed, LineFramer, LinePosition};
///
/// let mut framer = LineFramer::new(1024, LinePosition::START);
/// framer.push(b"one\r\n\ntw");
/// let Some(Framed::Block(block)) = framer.next(100) else { panic!("a line is complete") };
/// assert_eq!(block.iter().collect::<Vec<_>>(), [b"one"]);
/// assert_eq!(framer.position(), LinePosition { offset: 6, line: 3 });
/// framer.push(b"o");
/// framer.finish();
/// let Some(Framed::Block(block)) = framer.next(100) else { panic!("the last line needs no end") };
/// assert_eq!((block.iter().next(), block.line(0), block.offset(0)), (Some(&b"two"[..]), 3, 6));
/// ```
#[derive(Debug)]
pub struct LineFramer {
    line_bytes_max: usize,
    /// Bytes not yet given out begin at `taken`, which is place `position` of the whole input.
    buffer: Vec<u8>,
    taken: usize,
    position: LinePosition,
    /// No newline between `taken` and here.
    scanned: usize,
    /// The line at `position` is over the limit, and so many of its bytes have been thrown away.
    skipped: Option<u64>,
    finished: bool,
    frames: Vec<Frame>,
}

impl LineFramer {
    /// A framer for input that begins at `position`; longer lines than `line_bytes_max` are refused.
    pub fn new(line_bytes_max: usize, position: LinePosition) -> Self {
        Self {
            line_bytes_max,
            buffer: Vec::new(),
            taken: 0,
            position,
            scanned: 0,
            skipped: None,
            finished: false,
            frames: Vec::new(),
        }
    }

    /// Adds bytes. Call it when [`next`](Self::next) has nothing more to give, lest the buffer grow.
    pub fn push(&mut self, mut bytes: &[u8]) {
        debug_assert!(!self.finished, "nothing comes after the end");
        if let Some(skipped) = &mut self.skipped {
            let Some(end) = memchr(b'\n', bytes) else {
                *skipped += bytes.len() as u64;
                return;
            };
            self.position.offset += *skipped + end as u64 + 1;
            self.position.line += 1;
            self.skipped = None;
            bytes = &bytes[end + 1..];
        }
        self.buffer.drain(..self.taken);
        self.scanned -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
        assert!(u32::try_from(self.buffer.len()).is_ok(), "a push and a line stay under 4 GiB");
    }

    /// Does what [`push`](Self::push) does with `chunk[start..]`, mostly without copying it: the chunk becomes
    /// the framer's memory, and the chunk is given the memory that the framer had. What lies before `start` is
    /// room for the unfinished line; if that is too long, all is copied after all.
    ///
    /// # Panics
    /// If `start` lies behind the chunk.
    pub fn exchange(&mut self, chunk: &mut Vec<u8>, start: usize) {
        debug_assert!(!self.finished, "nothing comes after the end");
        let unfinished = self.buffer.len() - self.taken;
        if self.skipped.is_some() || unfinished > start {
            self.push(&chunk[start..]);
            return;
        }
        let begin = start - unfinished;
        chunk[begin..start].copy_from_slice(&self.buffer[self.taken..]);
        std::mem::swap(&mut self.buffer, chunk);
        self.scanned = self.scanned - self.taken + begin;
        self.taken = begin;
        assert!(u32::try_from(self.buffer.len()).is_ok(), "a chunk stays under 4 GiB");
    }

    /// Says that no more bytes come: what is left is the last line.
    pub fn finish(&mut self) {
        self.finished = true;
        if let Some(skipped) = self.skipped.take() {
            self.position.offset += skipped;
            self.position.line += 1;
        }
    }

    /// The place behind the last line given out. Reading can go on from there.
    pub fn position(&self) -> LinePosition {
        self.position
    }

    /// The bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next lines, at most `rows_max`, or none until more is pushed.
    pub fn next(&mut self, rows_max: usize) -> Option<Framed<'_>> {
        self.frames.clear();
        let start = self.taken;
        let offset = self.position.offset;
        while self.frames.len() < rows_max {
            let Some((end, next)) = self.line_end() else { break };
            if end - self.taken > self.line_bytes_max {
                if !self.frames.is_empty() {
                    break;
                }
                return Some(Framed::TooLong(self.skip_line(next)));
            }
            let line = &self.buffer[self.taken..end];
            let length = line.strip_suffix(b"\r").unwrap_or(line).len();
            if length > 0 {
                let first = self.taken - start;
                let frame =
                    Frame { start: first as u32, end: (first + length) as u32, line: self.position.line };
                self.frames.push(frame);
            }
            self.take_line(next.unwrap_or(end));
        }
        if self.frames.is_empty() {
            return None;
        }
        let bytes = &self.buffer[start..self.taken];
        Some(Framed::Block(FrameBlock { bytes, frames: &self.frames, offset }))
    }

    /// The end of the line at `taken`, and where the next one begins unless that is still unknown.
    /// None if there is no complete line, and what there is of it is not too long.
    fn line_end(&mut self) -> Option<(usize, Option<usize>)> {
        if let Some(at) = memchr(b'\n', &self.buffer[self.scanned..]) {
            let end = self.scanned + at;
            return Some((end, Some(end + 1)));
        }
        let end = self.buffer.len();
        self.scanned = end;
        let complete = self.finished && end > self.taken;
        (complete || end - self.taken > self.line_bytes_max).then_some((end, None))
    }

    fn take_line(&mut self, next: usize) {
        self.position.offset += (next - self.taken) as u64;
        self.position.line += 1;
        self.taken = next;
        self.scanned = next;
    }

    /// Throws the line at `taken` away, and more of it as it comes if its end is not yet known.
    fn skip_line(&mut self, next: Option<usize>) -> LinePosition {
        let start = self.position;
        match next {
            Some(next) => self.take_line(next),
            None if self.finished => self.take_line(self.buffer.len()),
            None => {
                self.skipped = Some((self.buffer.len() - self.taken) as u64);
                self.taken = self.buffer.len();
            }
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a framer gives for these pushes: `line@offset:text`, or `line@offset!` where too long.
    fn frames(limit: usize, rows_max: usize, from: LinePosition, pushes: &[&[u8]]) -> Vec<String> {
        let mut framer = LineFramer::new(limit, from);
        let mut found = Vec::new();
        for push in pushes {
            framer.push(push);
            drain(&mut framer, rows_max, &mut found);
        }
        framer.finish();
        drain(&mut framer, rows_max, &mut found);
        found
    }

    /// Appends all that the framer has to give.
    fn drain(framer: &mut LineFramer, rows_max: usize, found: &mut Vec<String>) {
        while let Some(framed) = framer.next(rows_max) {
            match framed {
                Framed::Block(block) => {
                    assert!(block.len() <= rows_max);
                    found.extend(block.iter().enumerate().map(|(i, frame)| {
                        let text = String::from_utf8_lossy(frame);
                        format!("{}@{}:{text}", block.line(i), block.offset(i))
                    }));
                }
                Framed::TooLong(at) => found.push(format!("{}@{}!", at.line, at.offset)),
            }
        }
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_come() {
        let input = b"one\n\ntwo\r\nlonger than ten\n\r\n  \nthree\nfour is way too long";
        let expected =
            ["1@0:one", "3@5:two", "4@10!", "6@28:  ", "7@31:three", "8@37!"].map(String::from).to_vec();
        for size in 1..=input.len() {
            for rows_max in [1, 2, 100] {
                let pushes: Vec<&[u8]> = input.chunks(size).collect();
                assert_eq!(frames(10, rows_max, LinePosition::START, &pushes), expected, "chunks of {size}");
            }
        }
    }

    #[test]
    fn chunks_exchanged_are_as_good_as_pushed() {
        let input = b"one\n\ntwo\r\nlonger than ten\n\r\n  \nthree\nfour is way too long\nend";
        let expected = frames(10, 2, LinePosition::START, &[input]);
        for size in 1..=input.len() {
            for room in 0..15 {
                let mut framer = LineFramer::new(10, LinePosition::START);
                let mut found = Vec::new();
                let mut chunk = Vec::new();
                for (index, bytes) in input.chunks(size).enumerate() {
                    if index % 3 == 2 {
                        framer.push(bytes);
                    } else {
                        chunk.clear();
                        chunk.resize(room, b'\n');
                        chunk.extend_from_slice(bytes);
                        framer.exchange(&mut chunk, room);
                    }
                    drain(&mut framer, 2, &mut found);
                }
                framer.finish();
                drain(&mut framer, 2, &mut found);
                assert_eq!(found, expected, "chunks of {size} behind {room}");
            }
        }
    }

    #[test]
    fn reading_goes_on_from_every_position() {
        let input = b"a\n\nbb\nthis is too long\nc\r\nlast";
        let all = frames(5, 1, LinePosition::START, &[input]);
        let mut framer = LineFramer::new(5, LinePosition::START);
        framer.push(input);
        framer.finish();
        let mut given = 0;
        while framer.next(1).is_some() {
            given += 1;
            let from = framer.position();
            let rest = frames(5, 1, from, &[&input[from.offset as usize..]]);
            assert_eq!(rest, all[given..], "from {from:?}");
        }
        assert_eq!(given, all.len());
    }

    #[test]
    fn a_line_without_end_is_refused_at_once_and_takes_no_memory() {
        let mut framer = LineFramer::new(1000, LinePosition::START);
        framer.push(b"ok\n");
        assert!(matches!(framer.next(10), Some(Framed::Block(_))));
        let chunk = [b'x'; 4096];
        framer.push(&chunk);
        assert!(matches!(framer.next(10), Some(Framed::TooLong(LinePosition { offset: 3, line: 2 }))));
        for _ in 0..10_000 {
            framer.push(&chunk);
            assert!(framer.next(10).is_none());
        }
        assert_eq!(framer.position(), LinePosition { offset: 3, line: 2 });
        assert!(framer.capacity() < 20_000, "{}", framer.capacity());
        framer.push(b"\nfine\n");
        let Some(Framed::Block(block)) = framer.next(10) else { panic!("a line") };
        assert_eq!((block.line(0), block.offset(0)), (3, 3 + 4096 * 10_001 + 1));
    }

    #[test]
    fn nothing_in_nothing_out() {
        assert!(frames(10, 10, LinePosition::START, &[]).is_empty());
        assert!(frames(10, 10, LinePosition::START, &[b"\n\n\r\n"]).is_empty());
    }
}
