//! Sources and sinks by the names that programs and scripts give them.
//!
//! ```text
//!  application.source("orders", …)          orders/source
//!  CREATE TABLE orders (…) in SQL           sql/orders/source, sql-2/orders/source, …
//!  the same in SQL that is named 'totals'   sql-totals/orders/source
//! ```
//!
//! A name means what the program calls so, else the tables of its scripts that are called so: each script reads
//! its tables for itself. What a node is called in the graph means that node alone.

use arrow::array::RecordBatch;
use thalweg_dataflow::Result;

use super::node::{Driven, Node};
use super::{Driver, wrong};
use crate::sql::SQL;

/// The most names that a help lists.
const NAMES_MAX: usize = 12;

impl Driver {
    /// The sources that a name means; at least one.
    pub(super) fn sources(&self, name: &str) -> Result<Vec<usize>> {
        self.named(name, "source", |driven| matches!(driven, Driven::Source(_)))
    }

    /// What came to the sinks that a name means.
    pub(super) fn kept(&self, name: &str) -> Result<Vec<&RecordBatch>> {
        let sinks = self.named(name, "sink", |driven| matches!(driven, Driven::Sink(_)))?;
        let kept = sinks.into_iter().flat_map(|node| match &self.nodes[node].driven {
            Driven::Sink(batches) => batches.iter(),
            Driven::Source(_) | Driven::Operator(_) => [].iter(),
        });
        Ok(kept.collect())
    }

    fn named(&self, name: &str, role: &str, is: impl Fn(&Driven) -> bool) -> Result<Vec<usize>> {
        let end = format!("/{role}");
        // Of a node in another role nothing is meant.
        let known = |node: &Node| match is(&node.driven) {
            true => Some(node.name.strip_suffix(&end).unwrap_or(&node.name).to_owned()),
            false => None,
        };
        let known: Vec<(usize, String)> =
            self.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, known(node)?))).collect();
        let own = known.iter().find(|(index, known)| known == name || self.nodes[*index].name == name);
        if let Some((own, _)) = own {
            return Ok(vec![*own]);
        }
        let table = name.to_lowercase();
        let tables: Vec<usize> = known
            .iter()
            .filter(|(_, known)| table_of(known) == Some(table.as_str()))
            .map(|(index, _)| *index)
            .collect();
        if !tables.is_empty() {
            return Ok(tables);
        }
        let names = known.iter().map(|(_, known)| format!("'{}'", table_of(known).unwrap_or(known)));
        let names: Vec<String> = names.take(NAMES_MAX).collect();
        let error = wrong(format!("there is no {role} '{name}'"));
        Err(match names.is_empty() {
            true => error,
            false => error.with_help(format!("there is {}", names.join(", "))),
        })
    }
}

/// The table's own name, if a node is a script's.
fn table_of(node: &str) -> Option<&str> {
    let (script, table) = node.split_once('/')?;
    let own = script.strip_prefix(SQL)?;
    (own.is_empty() || own.starts_with('-')).then_some(table)
}
