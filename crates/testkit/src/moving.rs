//! One operator as two instances, between which half of the key groups goes back and forth.
//!
//! ```text
//!            ┌─► instance 0 ─┐  at each barrier: snapshot of the giver, its moving half
//! text ─► by key group       ├─► sorted output           │ behind what complete epochs hold of it
//!            └─► instance 1 ─┘                           ▼
//!                                  taker: put, put, … ; giver: forget; the epoch is settled before or after
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use thalweg_dataflow::text::{self, Event};
use thalweg_dataflow::{Age, OperatorSpec, Output, Result};
use thalweg_state::{Epoch, KeyGroups, KeySpace, Restored, Snapshot, Subtask, hash_keys};

use crate::driver::{Driver, OnBarrier};
use crate::past::Past;

/// What becomes of the epoch at which key groups move, and when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    CompleteBehind,
    AbortedBehind,
    CompleteBefore,
    AbortedBefore,
    /// Nobody knows until the next barrier.
    CompleteLate,
}

const FATES: [Fate; 5] = [
    Fate::CompleteBehind,
    Fate::AbortedBehind,
    Fate::CompleteBefore,
    Fate::AbortedBefore,
    Fate::CompleteLate,
];

/// What is done at a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Half of the key groups move.
    Move,
    /// They move; then a further epoch becomes complete, and all is restored from it: to one instance, or two.
    MoveAndRestore,
}

/// The sizes of batches.
const SIZES: [usize; 2] = [3, 8192];

/// How many lines a difference shows.
const LINES_SHOWN: usize = 10;

struct Pair<'a> {
    instances: [Driver<'a>; 2],
    /// The columns of each input by which rows are shuffled.
    keys: Vec<Vec<usize>>,
    space: KeySpace,
    moving: KeyGroups,
    /// The instance where the moving half lives.
    home: usize,
    /// Whether there is an instance 1.
    born: bool,
    past: Past,
    /// Aborted, or not yet settled: what complete epochs do not hold.
    late: Option<(Epoch, Vec<(Snapshot, KeyGroups)>)>,
    moves: usize,
    turn: usize,
    plan: Plan,
}

/// Runs a stream over one instance, and over two between which key groups move
/// at every barrier; `keys` are the columns of the shuffle, for each input.
///
/// # Panics
/// If what comes out of both together is not what comes out of the one, or counts differ.
pub fn where_key_groups_move(spec: &dyn OperatorSpec, keys: &[Vec<usize>], stream: &str) -> Result<()> {
    for (number, size) in SIZES.into_iter().enumerate() {
        let mut alone = Driver::new(spec, size, OnBarrier::GoOn)?;
        alone.run(stream)?;
        let expected = (rows_of(alone.output()), counted(&[&alone]));
        for turn in (number..FATES.len()).step_by(SIZES.len()) {
            for plan in [Plan::Move, Plan::MoveAndRestore] {
                let mut pair = Pair::new(spec, keys, size, turn, plan)?;
                pair.run(stream)?;
                let output = pair.instances.iter().flat_map(|instance| rows_of(instance.output()));
                let mut output: Vec<String> = output.collect();
                output.sort_unstable();
                let how = format!("{size} rows a batch, {plan:?}, {turn}");
                assert!(pair.moves > 0, "nothing moved");
                let only = |one: &[String], other: &[String]| {
                    one.iter()
                        .filter(|line| !other.contains(line))
                        .take(LINES_SHOWN)
                        .cloned()
                        .collect::<Vec<_>>()
                };
                let (wrong, missing) = (only(&output, &expected.0), only(&expected.0, &output));
                assert!(
                    output == expected.0,
                    "{how}: came, but should not {wrong:#?}, and the other way {missing:#?}"
                );
                assert_eq!(counted(&[&pair.instances[0], &pair.instances[1]]), expected.1, "{how}");
            }
        }
    }
    Ok(())
}

/// All rows on all ports, sorted.
fn rows_of(output: &[Output]) -> Vec<String> {
    let rows = |output: &Output| match output {
        Output::Batch(port, records) => {
            text::write_rows(records).lines().map(|line| format!("{port:?} {line}")).collect()
        }
        Output::Watermark(_) | Output::Idle => Vec::new(),
    };
    let mut rows: Vec<String> = output.iter().flat_map(rows).collect();
    rows.sort_unstable();
    rows
}

/// Rows taken, filtered, late and refused.
fn counted(drivers: &[&Driver<'_>]) -> [u64; 4] {
    let of = |driver: &Driver<'_>| {
        let c = driver.counters();
        [&c.taken, &c.filtered, &c.late, &c.refused].map(|counter| counter.get())
    };
    drivers.iter().map(|driver| of(driver)).fold([0; 4], |sum, own| std::array::from_fn(|i| sum[i] + own[i]))
}

impl<'a> Pair<'a> {
    fn new(
        spec: &'a dyn OperatorSpec,
        keys: &[Vec<usize>],
        size: usize,
        turn: usize,
        plan: Plan,
    ) -> Result<Self> {
        let space = KeySpace::default();
        let one = Driver::one_of(spec, size, OnBarrier::GoOn, (Subtask(0), 1))?;
        // The second instance is born when the first groups move.
        let other = Driver::one_of(spec, size, OnBarrier::GoOn, (Subtask(1), 2))?;
        Ok(Self {
            instances: [one, other],
            keys: keys.to_vec(),
            space,
            moving: space.share(1, 2),
            home: 0,
            born: false,
            past: Past::default(),
            late: None,
            moves: 0,
            turn,
            plan,
        })
    }

    fn run(&mut self, stream: &str) -> Result<()> {
        for event in text::read(stream).unwrap_or_else(|why| panic!("{why}")) {
            match event {
                Event::Rows { port, split, records } => {
                    assert!(split.is_none(), "splits do not move by key group");
                    let size = self.instances[0].rows_max();
                    for start in (0..records.num_rows()).step_by(size) {
                        let batch = records.slice(start, size.min(records.num_rows() - start));
                        for (instance, records) in
                            self.divide(usize::from(port.0), &batch).into_iter().enumerate()
                        {
                            if records.num_rows() > 0 {
                                self.instances[instance].event(Event::Rows { port, split: None, records })?;
                            }
                        }
                    }
                }
                Event::Barrier => self.barrier()?,
                other @ (Event::Watermark(_) | Event::Split(..) | Event::Now(_) | Event::Flush) => {
                    self.living().iter_mut().try_for_each(|instance| instance.event(other.clone()))?;
                }
            }
        }
        self.living().iter_mut().try_for_each(|instance| instance.event(Event::Flush))?;
        self.instances.iter().for_each(Driver::check_counters);
        Ok(())
    }

    fn living(&mut self) -> &mut [Driver<'a>] {
        if self.born { &mut self.instances } else { &mut self.instances[..1] }
    }

    /// The rows for each of the instances.
    fn divide(&self, port: usize, batch: &RecordBatch) -> [RecordBatch; 2] {
        let key: Vec<ArrayRef> =
            self.keys[port].iter().map(|&index| Arc::clone(batch.column(index))).collect();
        let constant: ArrayRef = Arc::new(Int64Array::from_value(0, batch.num_rows()));
        let mut hashes = Vec::new();
        hash_keys(if key.is_empty() { std::slice::from_ref(&constant) } else { &key }, &mut hashes)
            .expect("rows are shuffled by keys");
        [0, 1].map(|instance| {
            let here = |&hash: &u64| {
                let moves = self.moving.contains(self.space.group_of(hash));
                Some(instance == if moves { self.home } else { 0 })
            };
            let own: BooleanArray = hashes.iter().map(here).collect();
            filter_record_batch(batch, &own).expect("a mask of the batch's own length")
        })
    }

    fn owned(&self, instance: usize) -> KeyGroups {
        let staying = self.space.share(0, 1).without(&self.moving);
        match (instance, self.home) {
            (0, 0) => self.space.share(0, 1),
            (0, _) => staying,
            (_, 1) => self.moving.clone(),
            _ => KeyGroups::default(),
        }
    }

    fn freeze(&mut self) -> Result<(Epoch, Vec<(Snapshot, KeyGroups)>)> {
        let mut epoch = Vec::new();
        let mut number = Epoch::FIRST;
        for instance in 0..self.living().len() {
            let owned = self.owned(instance);
            let (frozen, snapshot) = self.instances[instance].freeze()?;
            number = frozen;
            epoch.push((snapshot, owned));
        }
        Ok((number, epoch))
    }

    fn settle(&mut self, epoch: Epoch, given: &[(Snapshot, KeyGroups)], complete: bool) {
        if complete {
            self.past.add(given);
        }
        self.living().iter_mut().for_each(|instance| instance.operator().on_settled(epoch, complete));
    }

    fn barrier(&mut self) -> Result<()> {
        if let Some((epoch, given)) = self.late.take() {
            self.settle(epoch, &given, true);
        }
        let fate = FATES[(self.moves + self.turn) % FATES.len()];
        let (epoch, given) = self.freeze()?;
        let known = self.past.pieces(&self.moving);
        if !self.born {
            self.instances[1].is_one_of((Subtask(1), 2), epoch.next());
            self.instances[1].renew(Restored::nothing())?;
            self.born = true;
        }
        match fate {
            Fate::CompleteBefore => self.settle(epoch, &given, true),
            Fate::AbortedBefore => self.settle(epoch, &given, false),
            Fate::CompleteBehind | Fate::AbortedBehind | Fate::CompleteLate => {}
        }
        let (from, to) = (self.home, 1 - self.home);
        let taker = self.instances[to].operator();
        known.into_iter().try_for_each(|piece| taker.put(&self.moving, piece, Age::Durable))?;
        taker.put(&self.moving, given[from].0.select(&self.moving), Age::Unsettled(epoch))?;
        self.instances[from].operator().forget(&self.moving)?;
        self.home = to;
        self.moves += 1;
        match fate {
            Fate::CompleteBehind => self.settle(epoch, &given, true),
            Fate::AbortedBehind => self.settle(epoch, &given, false),
            Fate::CompleteLate => self.late = Some((epoch, given)),
            Fate::CompleteBefore | Fate::AbortedBefore => {}
        }
        match self.plan {
            Plan::Move => Ok(()),
            Plan::MoveAndRestore => self.restore(),
        }
    }

    /// A further epoch becomes complete, and both instances are lost.
    fn restore(&mut self) -> Result<()> {
        if let Some((epoch, given)) = self.late.take() {
            self.settle(epoch, &given, true);
        }
        let (epoch, given) = self.freeze()?;
        self.settle(epoch, &given, true);
        self.home = self.moves / 2 % 2;
        self.born = self.home == 1;
        for instance in 0..self.living().len() {
            let restored = self.past.restored(&self.owned(instance));
            let parallelism = if self.born { 2 } else { 1 };
            self.instances[instance].is_one_of((Subtask(instance as u32), parallelism), epoch.next());
            self.instances[instance].renew(restored)?;
        }
        Ok(())
    }
}
