//! The tables and views of a script, by name.
//!
//! Names have no case. A relation's id is its place in the order of
//! definition: a relation reads only relations with lower ids, so that one
//! walk down the ids meets every reader before what it reads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use thalweg_dataflow::connector::{ConnectorTable, SinkDescription, SourceDescription};
use thalweg_dataflow::{Code, Error, Outlet, Result, Span};

use crate::context::RelationSource;
use crate::errors::unknown_table;

/// The place of a relation in the order of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RelationId(pub(crate) usize);

/// Something that can be read by name.
#[derive(Debug)]
pub(crate) enum Relation {
    /// A connector's table.
    Table(Arc<Table>),
    /// A stream of a program.
    Stream(Arc<Inlet>),
    /// A view's query, or what was inserted into a memory table.
    Query { name: String, plan: Box<LogicalPlan>, at: Span },
}

/// A stream of a program, that SQL reads under a name.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) name: String,
    pub(crate) outlet: Outlet,
    /// Its columns without the engine's own, which stand behind them.
    pub(crate) schema: SchemaRef,
}

impl Inlet {
    pub(crate) fn new(name: &str, outlet: Outlet) -> Result<Self> {
        let fields = outlet.schema.fields();
        let width = fields.iter().take_while(|field| !is_own(field.name())).count();
        if fields.iter().skip(width).any(|field| !is_own(field.name())) {
            return Err(Error::internal(format!(
                "the engine's columns do not stand last in stream '{name}'"
            )));
        }
        let schema = Schema::new(fields.iter().take(width).cloned().collect::<Vec<_>>());
        Ok(Self { name: name.to_owned(), schema: Arc::new(schema), outlet })
    }
}

/// A connector's table as declared.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) connector: &'static str,
    pub(crate) adapter: Arc<dyn ConnectorTable>,
    pub(crate) source: Option<SourceDescription>,
    pub(crate) sink: Option<SinkDescription>,
    /// All columns, in the order of declaration; without a declaration the source's own.
    pub(crate) schema: SchemaRef,
    /// How each column comes about.
    pub(crate) columns: Vec<Column>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) event_time: Option<EventTime>,
}

/// How a column comes about.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    /// The index among the physical columns.
    Physical(usize),
    /// An expression over the table's physical and metadata columns, of the declared type.
    Generated(Box<Expr>),
    /// The source's metadata of this key.
    Metadata(&'static str),
}

/// Which column is the event time, and how far it has come.
#[derive(Clone, Debug)]
pub(crate) struct EventTime {
    /// The index of the column.
    pub(crate) column: usize,
    pub(crate) watermark: Watermark,
}

/// How far the event time has come, as a row says it.
#[derive(Clone, Debug)]
pub(crate) enum Watermark {
    /// A fixed delay behind the event time.
    Delay(Duration),
    /// An expression over all columns.
    Expression(Box<Expr>),
    /// So that this share of the rows is on time.
    Completeness(f64),
}

#[derive(Debug)]
enum Entry {
    Relation(RelationId),
    /// Declared without a connector; filled by one insert.
    Memory {
        schema: SchemaRef,
        filled: Option<RelationId>,
    },
    /// Its declaration failed: what refers to it has no further error.
    Broken,
}

/// All that is declared.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: HashMap<String, Entry>,
    relations: Vec<Relation>,
    order: Vec<String>,
}

/// Where an insert goes.
pub(crate) enum Target {
    Table(RelationId, Arc<Table>),
    Memory(SchemaRef),
}

/// The name by which errors of a broken declaration are told apart from the user's own.
pub(crate) const BROKEN: &str = "its declaration has an error";

impl Catalog {
    /// Whether the name is free.
    pub(crate) fn is_free(&self, name: &str) -> bool {
        !self.entries.contains_key(name)
    }

    /// Declares something that can be read.
    pub(crate) fn add(&mut self, name: &str, relation: Relation) -> RelationId {
        let id = RelationId(self.relations.len());
        self.relations.push(relation);
        self.enter(name, Entry::Relation(id));
        id
    }

    /// Declares a memory table.
    pub(crate) fn add_memory(&mut self, name: &str, schema: SchemaRef) {
        self.enter(name, Entry::Memory { schema, filled: None });
    }

    /// Notes that a declaration failed.
    pub(crate) fn add_broken(&mut self, name: &str) {
        if self.is_free(name) {
            self.enter(name, Entry::Broken);
        }
    }

    /// Notes that the insert into a memory table failed.
    pub(crate) fn break_memory(&mut self, name: &str) {
        if let Some(entry @ Entry::Memory { filled: None, .. }) = self.entries.get_mut(name) {
            *entry = Entry::Broken;
        }
    }

    fn enter(&mut self, name: &str, entry: Entry) {
        self.order.push(name.to_owned());
        self.entries.insert(name.to_owned(), entry);
    }

    /// Fills a memory table; from here on it can be read.
    pub(crate) fn fill(&mut self, name: &str, plan: LogicalPlan, at: Span) {
        let id = RelationId(self.relations.len());
        self.relations.push(Relation::Query { name: name.to_owned(), plan: Box::new(plan), at });
        if let Some(Entry::Memory { filled, .. }) = self.entries.get_mut(name) {
            *filled = Some(id);
        }
    }

    /// All relations, by id.
    pub(crate) fn relations(&self) -> &[Relation] {
        &self.relations
    }

    /// What a query reads under this name, whatever its case.
    pub(crate) fn readable(&self, name: &str) -> Result<Arc<dyn TableSource>> {
        let (id, schema) = match self.entry(name)? {
            Entry::Relation(id) => match &self.relations[id.0] {
                Relation::Table(table) if table.source.is_none() => {
                    let what = format!("table '{}' cannot be read: it is a sink", table.name);
                    return Err(Error::new(Code::WrongRole, what)
                        .with_help("declare another table with the same options and type = 'source'"));
                }
                Relation::Table(table) => (*id, Arc::clone(&table.schema)),
                Relation::Stream(inlet) => (*id, Arc::clone(&inlet.schema)),
                Relation::Query { plan, .. } => (*id, plan_schema(plan)),
            },
            Entry::Memory { filled: Some(id), schema } => (*id, Arc::clone(schema)),
            Entry::Memory { filled: None, .. } => {
                let what =
                    format!("table '{name}' has no rows: nothing is inserted into it before it is read");
                return Err(Error::new(Code::WrongRole, what)
                    .with_help(format!("write INSERT INTO {name} SELECT … before this query")));
            }
            Entry::Broken => return Err(broken(name)),
        };
        Ok(Arc::new(RelationSource { id, schema }))
    }

    /// What an insert fills under this name.
    pub(crate) fn writable(&self, name: &str) -> Result<Target> {
        match self.entry(name)? {
            Entry::Relation(id) => match &self.relations[id.0] {
                Relation::Table(table) if table.sink.is_some() => Ok(Target::Table(*id, Arc::clone(table))),
                Relation::Table(table) => {
                    let what = format!("table '{}' cannot be inserted into: it is a source", table.name);
                    Err(Error::new(Code::WrongRole, what)
                        .with_help("declare another table with the same options and type = 'sink'"))
                }
                Relation::Stream(inlet) => {
                    let what = format!("stream '{}' cannot be inserted into", inlet.name);
                    Err(Error::new(Code::WrongRole, what).with_help("insert into a table"))
                }
                Relation::Query { name, .. } => {
                    let what = format!("view '{name}' cannot be inserted into");
                    Err(Error::new(Code::WrongRole, what).with_help("insert into a table"))
                }
            },
            Entry::Memory { filled: None, schema } => Ok(Target::Memory(Arc::clone(schema))),
            Entry::Memory { filled: Some(_), .. } => {
                let what = format!("table '{name}' is in memory and is filled already");
                Err(Error::new(Code::WrongRole, what)
                    .with_help("a memory table takes one insert: bring the queries together with UNION ALL"))
            }
            Entry::Broken => Err(broken(name)),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let key = name.to_lowercase();
        self.entries.get(&key).ok_or_else(|| {
            let known: Vec<&str> = self.order.iter().map(String::as_str).collect();
            unknown_table(name, &known)
        })
    }
}

fn broken(name: &str) -> Error {
    Error::new(Code::UnknownTable, format!("table '{name}' cannot be used")).because(BROKEN)
}

/// The columns of a query, without the names of tables.
pub(crate) fn plan_schema(plan: &LogicalPlan) -> SchemaRef {
    Arc::new(Schema::new(plan.schema().fields().clone()))
}

/// Refuses a second column of the same name, and the engine's own names.
pub(crate) fn check_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::new(Code::DuplicateName, format!("two columns have the name '{name}'"))
                .with_help("name one of them with AS"));
        }
        check_name(name)?;
    }
    Ok(())
}

/// Refuses the engine's own names.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if is_own(name) || name == thalweg_operators::expression::NOW_COLUMN {
        return Err(Error::new(Code::InvalidColumn, format!("the column name '{name}' is the engine's own"))
            .with_help("choose another name; row_time() gives the event time of a row"));
    }
    Ok(())
}

/// Whether a column on an edge is the engine's own.
fn is_own(name: &str) -> bool {
    use thalweg_dataflow::columns::{DIFF, ROW_WATERMARK, TIMESTAMP};
    [TIMESTAMP, ROW_WATERMARK, DIFF].contains(&name)
}
