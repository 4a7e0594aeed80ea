//! What happens to a record between head and tail.

use std::marker::PhantomData;
use std::sync::Arc;

use thalweg_dataflow::{EventTime, Result, Step};

use super::{Flow, Give, Next};

type BoxNext<T> = Box<dyn Next<T>>;

/// One record for one.
pub(crate) struct Map<U, F> {
    pub(crate) function: Arc<F>,
    pub(crate) next: BoxNext<U>,
}

impl<T, U, F: Fn(T) -> Result<U> + Send + Sync> Next<T> for Map<U, F> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        self.next.push((self.function)(record)?, flow)
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.next.settle(flow)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}

/// A record or none for one, and a look at a record: whatever never gives two.
pub(crate) struct FilterMap<U, F> {
    pub(crate) function: Arc<F>,
    pub(crate) next: BoxNext<U>,
}

impl<T, U, F: Fn(T) -> Result<Option<U>> + Send + Sync> Next<T> for FilterMap<U, F> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        match (self.function)(record)? {
            Some(record) => self.next.push(record, flow),
            None => Ok(()),
        }
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.next.settle(flow)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}

/// Any number of records for one. Keeps the rest of them while the output is full.
pub(crate) struct FlatMap<T, U, I: IntoIterator, F> {
    function: Arc<F>,
    next: BoxNext<U>,
    rest: Option<I::IntoIter>,
    takes: PhantomData<fn(T)>,
}

impl<T, U, I: IntoIterator, F> FlatMap<T, U, I, F> {
    pub(crate) fn new(function: Arc<F>, next: BoxNext<U>) -> Self {
        Self { function, next, rest: None, takes: PhantomData }
    }
}

impl<T, U, I, F> Next<T> for FlatMap<T, U, I, F>
where
    I: IntoIterator<Item = Result<U>, IntoIter: Send>,
    F: Fn(T) -> Result<I> + Send + Sync,
{
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        let records = (self.function)(record)?.into_iter();
        self.rest = push_all(records, &mut *self.next, flow)?;
        Ok(())
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)?;
        if let Some(rest) = self.rest.take() {
            self.rest = push_all(rest, &mut *self.next, flow)?;
        }
        Ok(())
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.next.settle(flow)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}

/// Pushes records until the output is full. Gives back what is left, if so.
pub(crate) fn push_all<U, I: Iterator<Item = Result<U>>>(
    mut records: I,
    next: &mut dyn Next<U>,
    flow: &mut Flow,
) -> Result<Option<I>> {
    while !flow.is_full() {
        match records.next() {
            Some(record) => next.push(record?, flow)?,
            None => return Ok(None),
        }
    }
    Ok(Some(records))
}

/// Gives each record its event time, and its split a watermark.
pub(crate) struct Timed<T, F> {
    pub(crate) function: Arc<F>,
    pub(crate) delay: i64,
    pub(crate) next: BoxNext<T>,
}

impl<T, F: Fn(&T) -> Result<EventTime> + Send + Sync> Next<T> for Timed<T, F> {
    fn push(&mut self, record: T, flow: &mut Flow) -> Result<()> {
        let EventTime(time) = (self.function)(&record)?;
        flow.at(time, time.saturating_sub(self.delay));
        self.next.push(record, flow)
    }

    fn resume(&mut self, flow: &mut Flow) -> Result<()> {
        self.next.resume(flow)
    }

    fn settle(&mut self, flow: &mut Flow) -> Result<Step> {
        self.next.settle(flow)
    }

    fn take(&mut self, give: Give<'_>) -> Result<()> {
        self.next.take(give)
    }
}
