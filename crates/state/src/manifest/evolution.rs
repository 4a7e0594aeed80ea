//! What an epoch's manifest says, given the one before it and what the epoch wrote.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::{Expired, FORMAT, Manifest, ObjectEntry, OperatorRecord, SplitPosition, TableRecord};
use crate::compaction::Compacted;
use crate::{Change, Epoch, Expiry, Incarnation, JobId, OperatorId};

/// What a manifest says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// See [`Manifest`].
    pub job: JobId,
    /// See [`Manifest`].
    pub epoch: Epoch,
    /// See [`Manifest`].
    pub incarnation: Incarnation,
    /// See [`Manifest`].
    pub writer: String,
    /// See [`Manifest`].
    pub created_ms: u64,
    /// See [`Manifest`].
    pub key_groups: u16,
    /// See [`Manifest`].
    pub parallelism: u32,
    /// See [`Manifest`].
    pub finished: bool,
    /// See [`Manifest`].
    pub script: String,
}

/// What one subtask of one operator gives to an epoch, once it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorPart {
    /// See [`OperatorRecord`].
    pub kind: String,
    /// See [`OperatorRecord`].
    pub fingerprint: String,
    /// See [`OperatorRecord`].
    pub label: String,
    /// Its tables, changed or not.
    pub tables: Vec<TablePart>,
    /// The positions of the splits that it reads.
    pub splits: Vec<SplitPosition>,
    /// What it has prepared.
    pub committables: Vec<Bytes>,
}

/// What one subtask wrote of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePart {
    /// The table.
    pub name: String,
    /// How these rows relate to earlier epochs.
    pub change: Change,
    /// Which rows are over.
    pub expiry: Option<Expiry>,
    /// The objects; none if there were no rows.
    pub objects: Vec<ObjectEntry>,
}

impl Manifest {
    /// The manifest of an epoch: what `previous` holds, changed by the parts of all subtasks.
    ///
    /// Operators without a part are gone, and tables of another fingerprint too.
    /// A table that no part names stays as it was. Objects whose rows are all over are left out, and the results of
    /// compactions replace their inputs where these are still as they were.
    pub fn next(
        previous: Option<&Manifest>,
        head: Head,
        parts: impl IntoIterator<Item = (OperatorId, OperatorPart)>,
        compacted: &[Compacted],
    ) -> Manifest {
        let epoch = head.epoch;
        let mut gathered: BTreeMap<OperatorId, Vec<OperatorPart>> = BTreeMap::new();
        for (id, part) in parts {
            gathered.entry(id).or_default().push(part);
        }
        let operators = gathered
            .into_iter()
            .map(|(id, parts)| {
                let fingerprint = parts.first().map(|part| &part.fingerprint);
                let before = previous.and_then(|p| p.operators.get(&id));
                let before = before.filter(|operator| Some(&operator.fingerprint) == fingerprint);
                let mut tables = before.map(|operator| operator.tables.clone()).unwrap_or_default();
                for done in compacted.iter().filter(|done| done.compaction().operator == id) {
                    if let Some(table) = tables.get_mut(&done.compaction().table) {
                        done.replace_in(table);
                    }
                }
                (id, operator(tables, parts, epoch))
            })
            .collect();
        Manifest {
            format: FORMAT,
            job: head.job,
            epoch,
            incarnation: head.incarnation,
            writer: head.writer,
            created_ms: head.created_ms,
            key_groups: head.key_groups,
            parallelism: head.parallelism,
            finished: head.finished,
            script: head.script,
            operators,
        }
    }
}

fn operator(
    mut tables: BTreeMap<String, TableRecord>,
    parts: Vec<OperatorPart>,
    epoch: Epoch,
) -> OperatorRecord {
    let subtasks = parts.len();
    let mut record = OperatorRecord::default();
    let mut written: BTreeMap<String, Vec<TablePart>> = BTreeMap::new();
    for part in parts {
        (record.kind, record.fingerprint, record.label) = (part.kind, part.fingerprint, part.label);
        record.splits.extend(part.splits);
        record.committables.extend(part.committables);
        for table in part.tables {
            written.entry(table.name.clone()).or_default().push(table);
        }
    }
    record.splits.sort_by(|a, b| a.split.cmp(&b.split));
    for (name, parts) in written {
        let expired = expired(&parts, subtasks, epoch);
        add(tables.entry(name), parts, expired);
    }
    for table in tables.values_mut() {
        if let Some(expired) = table.expired {
            table.objects.retain(|object| !expired.covers(object));
        }
    }
    record.tables = tables;
    record
}

fn add(entry: Entry<'_, String, TableRecord>, parts: Vec<TablePart>, expired: Option<Expired>) {
    let change = parts.last().map_or(Change::Merge, |part| part.change);
    let table = entry.or_insert_with(|| TableRecord { change, expired: None, objects: Vec::new() });
    if change == Change::Full {
        table.objects.clear();
    }
    table.change = change;
    table.expired = expired.or(table.expired);
    table.objects.extend(parts.into_iter().flat_map(|part| part.objects));
}

/// What is over for every subtask is over for the table; a subtask that does not say keeps everything.
fn expired(parts: &[TablePart], subtasks: usize, epoch: Epoch) -> Option<Expired> {
    let said: Vec<Expiry> = parts.iter().filter_map(|part| part.expiry).collect();
    let column = said.first()?.column;
    if said.len() < subtasks || said.iter().any(|expiry| expiry.column != column) {
        return None;
    }
    let through = said.iter().map(|expiry| expiry.through).min()?;
    Some(Expired { column, through, epoch })
}
