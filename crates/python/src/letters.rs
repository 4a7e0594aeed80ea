//! Dead letters that wait for the end of their window, within its accumulator.

use pyo3::prelude::*;

use crate::object::{length, read, take_length, take_sized, write};

/// So much is kept, or one letter if it is larger: whoever is refused again and again fills no memory.
const BYTES_MAX: usize = 1 << 20;

/// The first letters, as they are written down, and how many came behind them.
#[derive(Default)]
pub(crate) struct Letters {
    /// Each letter behind its length.
    kept: Vec<u8>,
    more: u64,
}

impl Letters {
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn push(&mut self, letter: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut bytes = Vec::new();
        write(letter, &mut bytes)?;
        self.push_written(&bytes)
    }

    /// Those of another part of the window, behind these.
    pub(crate) fn append(&mut self, other: &Letters) -> PyResult<()> {
        let mut rest = &other.kept[..];
        while !rest.is_empty() {
            self.push_written(take_sized(&mut rest)?)?;
        }
        self.more += other.more;
        Ok(())
    }

    fn push_written(&mut self, letter: &[u8]) -> PyResult<()> {
        if self.more > 0 || !self.kept.is_empty() && self.kept.len() + letter.len() > BYTES_MAX {
            self.more += 1;
            return Ok(());
        }
        self.kept.extend_from_slice(&length(letter.len())?);
        self.kept.extend_from_slice(letter);
        Ok(())
    }

    /// The letters, and how many there were beyond them.
    pub(crate) fn open<'py>(&self, py: Python<'py>) -> PyResult<(Vec<Bound<'py, PyAny>>, u64)> {
        let (mut rest, mut letters) = (&self.kept[..], Vec::new());
        while !rest.is_empty() {
            letters.push(read(py, take_sized(&mut rest)?)?);
        }
        Ok((letters, self.more))
    }

    /// Appends `more  size  kept`.
    pub(crate) fn write(&self, to: &mut Vec<u8>) -> PyResult<()> {
        to.extend_from_slice(&self.more.to_le_bytes());
        to.extend_from_slice(&length(self.kept.len())?);
        to.extend_from_slice(&self.kept);
        Ok(())
    }

    /// Takes off what [`write`](Self::write) has written.
    pub(crate) fn take(from: &mut &[u8]) -> PyResult<Self> {
        let more = take_length(from)? as u64;
        Ok(Self { kept: take_sized(from)?.to_vec(), more })
    }
}
