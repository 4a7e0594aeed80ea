//! Reads a file one chunk ahead, on a thread that may block.
//!
//! While a chunk is decoded the next one is read. A pipe or terminal that has
//! nothing to say blocks that thread and nobody else; it stays blocked when the
//! reader is dropped, so a runtime must not wait for it when it shuts down.

use std::fs::File;
use std::io::{self, Read};

use thalweg_dataflow::{Error, Result};
use thalweg_formats::framing::LineFramer;
use tokio::task::{JoinHandle, spawn_blocking};

use super::place::{self, Head, Place};

/// Bytes that are asked for at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Room before them for the line that the chunk before left unfinished.
const ROOM_BYTES: usize = 16 << 10;

/// A file, what is being read, and the buffer that is free.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// None once the file was read to its end.
    running: Option<JoinHandle<Chunk>>,
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Chunk {
    file: File,
    buffer: Vec<u8>,
    /// How many bytes were read, behind the room.
    read: io::Result<usize>,
}

impl ReadAhead {
    /// Opens `path` and begins to read at `place`, or at the start. Gives the file's beginning, too.
    pub(super) async fn open(path: String, place: Option<Place>) -> Result<(Self, Option<Head>)> {
        let opened = spawn_blocking(move || place::open(&path, place)).await;
        let (file, head) = opened.map_err(|e| Error::internal("opening a file panicked").because(e))??;
        Ok((Self { running: Some(start(file, Vec::new())), spare: Vec::new() }, head))
    }

    /// Hands the next bytes to `framer`; gives false at the end. May be dropped while it waits.
    pub(super) async fn next(&mut self, framer: &mut LineFramer) -> io::Result<bool> {
        let Some(running) = &mut self.running else { return Ok(false) };
        // From here on nothing waits: a chunk that has come is taken.
        let mut chunk = running.await.map_err(io::Error::other)?;
        self.running = None;
        let length = chunk.read?;
        if length == 0 {
            return Ok(false);
        }
        self.running = Some(start(chunk.file, std::mem::take(&mut self.spare)));
        let end = ROOM_BYTES + length;
        if length < CHUNK_BYTES / 2 {
            // Little, as from a pipe, costs less to copy than memory does to change hands.
            framer.push(&chunk.buffer[ROOM_BYTES..end]);
        } else {
            chunk.buffer.truncate(end);
            framer.exchange(&mut chunk.buffer, ROOM_BYTES);
        }
        self.spare = chunk.buffer;
        Ok(true)
    }
}

fn start(mut file: File, mut buffer: Vec<u8>) -> JoinHandle<Chunk> {
    spawn_blocking(move || {
        // The framer may have let it grow for a long line.
        buffer.resize(ROOM_BYTES + CHUNK_BYTES, 0);
        buffer.shrink_to(ROOM_BYTES + CHUNK_BYTES);
        let read = loop {
            match file.read(&mut buffer[ROOM_BYTES..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        Chunk { file, buffer, read }
    })
}
