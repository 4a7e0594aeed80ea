//! `CREATE TABLE`: what the text says, checked against what the connector answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, cast};
use datafusion::sql::sqlparser::ast;
use thalweg_dataflow::connector::{
    Connector, ConnectorTable, Declaration, SinkDescription, SourceDescription,
};
use thalweg_dataflow::options::{OptionValue, Options};
use thalweg_dataflow::{Code, Error, Result};
use thalweg_operators::expression::sql_type;

use crate::catalog::{Column, EventTime, Table, Watermark, check_name};
use crate::errors::{suggest, unknown_column};
use crate::logical::Logical;
use crate::markers::event_time_type;
use crate::parser::{
    ColumnKind, CreateTable, Name, OptionDeclaration, Script, Statement, WatermarkDeclaration, arrow_type,
    parse,
};

/// The older options that name the event time, and the column that is its watermark.
const EVENT_TIME_FIELD: &str = "event_time_field";
const WATERMARK_FIELD: &str = "watermark_field";

/// How far the watermark stays behind the event time where a table says nothing.
pub(crate) const DEFAULT_DELAY: Duration = Duration::from_secs(1);
const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// What a `CREATE TABLE` declares.
pub(crate) enum Declared {
    Table(Box<Table>),
    Memory(SchemaRef),
}

/// Reads a declaration.
pub(crate) fn declare(
    create: &CreateTable,
    connectors: &[Arc<dyn Connector>],
    logical: &Logical<'_>,
) -> Result<Declared> {
    if let Some(columns) = &create.columns {
        check_columns(columns)?;
    }
    check_primary_key(create)?;
    match &create.options {
        Some(options) => Declarer { create, logical }
            .table(options, connectors)
            .map(|table| Declared::Table(Box::new(table))),
        None => memory(create).map(Declared::Memory),
    }
}

/// A column as `CREATE TABLE` declares it: `declared` is its type, and `NOT NULL` if it holds no nulls.
///
/// ```
/// let column = thalweg_sql::column("amount", "DOUBLE NOT NULL")?;
/// assert!(!column.is_nullable());
/// # Ok::<(), thalweg_dataflow::Error>(())
/// ```
pub fn column(name: &str, declared: &str) -> Result<Field> {
    let unread = || Error::new(Code::InvalidType, format!("there is no type '{declared}'"));
    check_name(name)?;
    let text = format!("CREATE TABLE declared (declared {declared}\n)");
    let script = Script::new(&text)?;
    let statements = parse(&script).map_err(|errors| errors.into_iter().next().unwrap_or_else(unread))?;
    let [Statement::CreateTable(create)] = &statements[..] else { return Err(unread()) };
    let schema = memory(create)?;
    match schema.fields().as_ref() {
        [one] if create.primary_key.is_empty() && create.options.is_none() => {
            Ok(one.as_ref().clone().with_name(name))
        }
        _ => Err(unread()),
    }
}

fn check_columns(columns: &[crate::parser::ColumnDeclaration]) -> Result<()> {
    let mut seen = HashSet::new();
    for column in columns {
        let name = column.name.text.as_str();
        check_name(name).map_err(|e| e.at(column.name.span))?;
        if !seen.insert(name) {
            return Err(Error::new(Code::DuplicateName, format!("two columns have the name '{name}'"))
                .at(column.name.span)
                .with_help("rename one of them"));
        }
    }
    Ok(())
}

fn check_primary_key(create: &CreateTable) -> Result<()> {
    let known: Vec<&str> = create.columns.iter().flatten().map(|column| column.name.text.as_str()).collect();
    match create.primary_key.iter().find(|key| !known.contains(&key.text.as_str())) {
        Some(key) => Err(unknown_column(&key.text, &known).at(key.span)),
        None => Ok(()),
    }
}

/// A table without a connector: a name for rows on their way.
fn memory(create: &CreateTable) -> Result<SchemaRef> {
    let Some(columns) = &create.columns else {
        let what = format!("table '{}' has neither columns nor options", create.name.text);
        return Err(Error::new(Code::Syntax, what).at(create.span).with_help(
            "add WITH (connector = '…') for a table of the outside world, or columns for one in memory",
        ));
    };
    if let Some(watermark) = &create.watermark {
        return Err(Error::new(Code::InvalidWatermark, "a table in memory has no watermark of its own")
            .at(watermark.span)
            .with_help("its rows keep the event time of the rows that they were made from"));
    }
    let field = |column: &crate::parser::ColumnDeclaration| match &column.kind {
        ColumnKind::Physical => Ok(Field::new(
            &column.name.text,
            arrow_type(&column.data_type, column.type_span)?,
            column.nullable,
        )),
        ColumnKind::Generated { span, .. } | ColumnKind::Metadata { span, .. } => {
            Err(Error::new(Code::InvalidColumn, "a table in memory has no generated or metadata columns")
                .at(*span)
                .with_help("compute the column in the query that fills the table"))
        }
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

struct Declarer<'a> {
    create: &'a CreateTable,
    logical: &'a Logical<'a>,
}

/// The options that name the event time.
struct TimeOptions {
    event_time: Option<OptionValue>,
    watermark: Option<OptionValue>,
}

impl Declarer<'_> {
    fn table(&self, options: &[OptionDeclaration], connectors: &[Arc<dyn Connector>]) -> Result<Table> {
        let connector = self.connector(options, connectors)?;
        let value = |o: &OptionDeclaration| OptionValue { value: o.value.clone(), span: Some(o.span) };
        let others = options.iter().filter(|option| option.name != "connector");
        let mut options = Options::new(others.map(|option| (option.name.clone(), value(option))));
        let time = TimeOptions {
            event_time: options.take(EVENT_TIME_FIELD),
            watermark: options.take(WATERMARK_FIELD),
        };
        let adapter = self.describe(connector, &mut options)?;
        let (source, sink) = (adapter.as_source(), adapter.as_sink());
        let (schema, columns) = self.columns(source.as_ref(), sink.as_ref())?;
        let event_time = self.event_time(&schema, time)?;
        Ok(Table {
            name: self.create.name.text.clone(),
            connector: connector.name(),
            adapter,
            source,
            sink,
            schema,
            columns,
            primary_key: self.primary_key(),
            event_time,
        })
    }

    fn primary_key(&self) -> Vec<String> {
        self.create.primary_key.iter().map(|key| key.text.clone()).collect()
    }

    fn connector<'c>(
        &self,
        options: &[OptionDeclaration],
        connectors: &'c [Arc<dyn Connector>],
    ) -> Result<&'c dyn Connector> {
        let mut known: Vec<&str> = connectors.iter().map(|connector| connector.name()).collect();
        known.sort_unstable();
        let Some(wanted) = options.iter().find(|option| option.name == "connector") else {
            return Err(Error::new(Code::InvalidOption, "option 'connector' is missing")
                .at(self.create.name.span)
                .with_help(format!("add connector = '…' to WITH: {}", known.join(", "))));
        };
        let found = connectors.iter().find(|connector| connector.name().eq_ignore_ascii_case(&wanted.value));
        found.map(|connector| &**connector).ok_or_else(|| {
            let error =
                Error::new(Code::UnknownConnector, format!("there is no connector '{}'", wanted.value));
            suggest(error.at(wanted.span), &wanted.value, &known, "the connectors are")
        })
    }

    fn describe(&self, connector: &dyn Connector, options: &mut Options) -> Result<Arc<dyn ConnectorTable>> {
        let columns = match &self.create.columns {
            Some(_) => Some(Arc::new(Schema::new(self.physical_fields()?))),
            None => None,
        };
        let primary_key = self.primary_key();
        let table = &self.create.name.text;
        let declaration = Declaration { table, options, columns, primary_key: &primary_key };
        connector.describe(declaration).map_err(|e| e.at(self.create.name.span))
    }

    fn physical_fields(&self) -> Result<Vec<Field>> {
        let declared = self.create.columns.iter().flatten();
        declared
            .filter(|column| matches!(column.kind, ColumnKind::Physical))
            .map(|column| {
                let data_type = arrow_type(&column.data_type, column.type_span)?;
                Ok(Field::new(&column.name.text, data_type, column.nullable))
            })
            .collect()
    }

    /// All columns with how they come about. Generated ones see the physical and metadata columns.
    fn columns(
        &self,
        source: Option<&SourceDescription>,
        sink: Option<&SinkDescription>,
    ) -> Result<(SchemaRef, Vec<Column>)> {
        let Some(declared) = &self.create.columns else {
            let own = source.map(|source| &source.columns).or(sink.and_then(|sink| sink.columns.as_ref()));
            let schema = own.map_or_else(|| Arc::new(Schema::empty()), Arc::clone);
            let columns = (0..schema.fields().len()).map(Column::Physical).collect();
            return Ok((schema, columns));
        };
        let physical = match (source, sink) {
            (Some(source), _) => Arc::clone(&source.columns),
            (None, _) => Arc::new(Schema::new(self.physical_fields()?)),
        };
        let mut next_physical = physical.fields().iter().enumerate();
        let mut columns: Vec<Option<(Field, Column)>> = Vec::with_capacity(declared.len());
        for column in declared {
            columns.push(match &column.kind {
                ColumnKind::Physical => next_physical.next().map(|(index, field)| {
                    (field.as_ref().clone().with_name(&column.name.text), Column::Physical(index))
                }),
                ColumnKind::Metadata { .. } => Some(self.metadata(column, source)?),
                ColumnKind::Generated { .. } => None,
            });
        }
        let visible =
            Schema::new(columns.iter().flatten().map(|(field, _)| field.clone()).collect::<Vec<_>>());
        let mut fields = Vec::with_capacity(declared.len());
        let mut kinds = Vec::with_capacity(declared.len());
        for (column, known) in declared.iter().zip(columns) {
            let (field, kind) = match known {
                Some(known) => known,
                None => self.generated(column, &visible)?,
            };
            fields.push(field);
            kinds.push(kind);
        }
        Ok((Arc::new(Schema::new(fields)), kinds))
    }

    fn metadata(
        &self,
        column: &crate::parser::ColumnDeclaration,
        source: Option<&SourceDescription>,
    ) -> Result<(Field, Column)> {
        let ColumnKind::Metadata { key, span } = &column.kind else {
            return Err(Error::internal("not a metadata column"));
        };
        let known = source.map_or(&[][..], |source| &source.metadata);
        let Some(found) = known.iter().find(|known| known.key == key) else {
            let error = Error::new(Code::InvalidColumn, format!("there is no metadata '{key}'")).at(*span);
            let keys: Vec<&str> = known.iter().map(|known| known.key).collect();
            return Err(match keys.is_empty() {
                true => error.with_help("this table has no metadata to read"),
                false => suggest(error, key, &keys, "the source has"),
            });
        };
        let declared = arrow_type(&column.data_type, column.type_span)?;
        if declared != found.data_type {
            let what =
                format!("metadata '{key}' is {}, not {}", sql_type(&found.data_type), sql_type(&declared));
            return Err(Error::new(Code::TypeMismatch, what)
                .at(column.type_span)
                .with_help("declare the column with the metadata's type, and cast it in the query"));
        }
        Ok((Field::new(&column.name.text, declared, column.nullable), Column::Metadata(found.key)))
    }

    fn generated(
        &self,
        column: &crate::parser::ColumnDeclaration,
        visible: &Schema,
    ) -> Result<(Field, Column)> {
        let ColumnKind::Generated { expression, span } = &column.kind else {
            return Err(Error::internal("a column is declared and not described"));
        };
        let declared = arrow_type(&column.data_type, column.type_span)?;
        let typed = self.logical.expression(expression, *span, visible)?;
        let expr = if typed.data_type == declared { typed.expr } else { cast(typed.expr, declared.clone()) };
        let field = Field::new(&column.name.text, declared, typed.nullable);
        Ok((field, Column::Generated(Box::new(expr))))
    }

    fn event_time(&self, schema: &Schema, options: TimeOptions) -> Result<Option<EventTime>> {
        match (&self.create.watermark, options) {
            (None, TimeOptions { event_time: None, watermark: None }) => Ok(None),
            (Some(declared), TimeOptions { event_time: None, watermark: None }) => {
                self.declared_watermark(schema, declared).map(Some)
            }
            (Some(declared), _) => {
                let what = format!("the table has a watermark and the older options {EVENT_TIME_FIELD}");
                Err(Error::new(Code::InvalidWatermark, what)
                    .at(declared.span)
                    .with_help("keep WATERMARK FOR and take the options away"))
            }
            (None, TimeOptions { event_time: None, watermark: Some(option) }) => {
                let what = format!("option '{WATERMARK_FIELD}' needs '{EVENT_TIME_FIELD}'");
                let error = Error::new(Code::InvalidWatermark, what)
                    .with_help("or write WATERMARK FOR column AS expression among the columns");
                Err(at_option(error, &option))
            }
            (None, TimeOptions { event_time: Some(option), watermark }) => {
                let column = self.time_option(schema, &option)?;
                let watermark = match watermark {
                    None => Watermark::Delay(DEFAULT_DELAY),
                    Some(option) => {
                        let index = self.time_option(schema, &option)?;
                        let name = schema.field(index).name();
                        Watermark::Expression(Box::new(nanoseconds(
                            Expr::Column(datafusion::common::Column::new_unqualified(name)),
                            schema.field(index).data_type(),
                        )))
                    }
                };
                Ok(Some(EventTime { column, watermark }))
            }
        }
    }

    fn time_option(&self, schema: &Schema, option: &OptionValue) -> Result<usize> {
        time_column(schema, &option.value.to_lowercase()).map_err(|e| at_option(e, option))
    }

    fn declared_watermark(&self, schema: &Schema, declared: &WatermarkDeclaration) -> Result<EventTime> {
        let Name { text, span } = &declared.column;
        let column = time_column(schema, text).map_err(|e| e.at(*span))?;
        let watermark = match &declared.expression {
            None => Watermark::Delay(Duration::ZERO),
            Some((expression, span)) => match completeness(expression) {
                Some((name, share)) => {
                    let is_share = share > 0.0 && share < 1.0;
                    if !name.eq_ignore_ascii_case(text) || !is_share {
                        return Err(Error::new(
                            Code::InvalidWatermark,
                            "completeness does not fit the watermark",
                        )
                        .at(*span)
                        .with_help(format!("write completeness({text}, 0.999): a share between 0 and 1")));
                    }
                    Watermark::Completeness(share)
                }
                None => {
                    let typed = self.logical.expression(expression, *span, schema)?;
                    if !matches!(typed.data_type, DataType::Timestamp(..)) {
                        let what = format!(
                            "the watermark's expression is {}, not TIMESTAMP",
                            sql_type(&typed.data_type)
                        );
                        return Err(Error::new(Code::InvalidWatermark, what).at(*span).with_help(format!(
                            "write how far behind the event time rows may come, as in {text} - INTERVAL '5 seconds'"
                        )));
                    }
                    match fixed_delay(&typed.expr, text) {
                        Some(delay) => Watermark::Delay(delay),
                        None => Watermark::Expression(Box::new(nanoseconds(typed.expr, &typed.data_type))),
                    }
                }
            },
        };
        Ok(EventTime { column, watermark })
    }
}

/// How far behind the event time `expression` stays, if it is no more than that.
///
/// An interval without months is the same length at any time, so it need not be
/// subtracted by the calendar, row by row.
fn fixed_delay(expression: &Expr, event_time: &str) -> Option<Duration> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) = expression else { return None };
    let (Expr::Column(column), Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _)) =
        (left.as_ref(), right.as_ref())
    else {
        return None;
    };
    if column.name != event_time || interval.months != 0 {
        return None;
    }
    let nanos = i128::from(interval.days) * NANOS_PER_DAY + i128::from(interval.nanoseconds);
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// A column that can carry event time.
fn time_column(schema: &Schema, name: &str) -> Result<usize> {
    let Some((index, field)) = schema.column_with_name(name) else {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let error =
            Error::new(Code::InvalidWatermark, format!("the watermark's column '{name}' does not exist"));
        return Err(suggest(error, name, &known, "the columns are"));
    };
    match field.data_type() {
        DataType::Timestamp(..) => Ok(index),
        other => {
            let what = format!("the watermark's column '{name}' is {}, not TIMESTAMP", sql_type(other));
            Err(Error::new(Code::InvalidWatermark, what)
                .with_help("add a TIMESTAMP column GENERATED ALWAYS AS (…) and put the watermark on it"))
        }
    }
}

fn at_option(error: Error, option: &OptionValue) -> Error {
    match option.span {
        Some(span) => error.at(span),
        None => error,
    }
}

/// A timestamp in the unit of event times.
pub(crate) fn nanoseconds(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => expr,
        _ => cast(expr, event_time_type()),
    }
}

/// `completeness(column, share)`.
fn completeness(expression: &ast::Expr) -> Option<(String, f64)> {
    let ast::Expr::Function(function) = expression else { return None };
    if !function.name.to_string().eq_ignore_ascii_case("completeness") {
        return None;
    }
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let mut arguments = list.args.iter().map(|argument| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.to_string()),
        _ => None,
    });
    let (column, share) = (arguments.next()??, arguments.next()??);
    Some((column.trim_matches('"').to_owned(), share.parse().unwrap_or(f64::NAN)))
}
