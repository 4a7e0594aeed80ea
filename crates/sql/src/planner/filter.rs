//! `WHERE` and `HAVING`.

use datafusion::logical_expr::Filter as Plan;
use thalweg_dataflow::Result;
use thalweg_operators::filter::Filter;

use super::expression::compile;
use super::graph::Stream;
use super::top;
use super::write::Lowering;

impl Lowering<'_> {
    pub(super) fn filter(&mut self, filter: &Plan, path: &str) -> Result<Stream> {
        let input = match top::below(filter)? {
            Some(ranked) => self.ranked(&ranked, path)?,
            None => self.lower(&filter.input, path)?,
        };
        let condition = compile(&filter.predicate, filter.input.schema(), &input)?;
        self.check_repeatable(&input, [&condition])?;
        let spec = Filter::new(input.schema.clone(), condition, self.policy())?;
        let node = self.writer.chained(path, &input, spec)?;
        Ok(Stream { node, ..input })
    }
}
