//! Expressions as bytes, however deep they are.
//!
//! A reader of protobuf refuses messages that are nested too deeply, and an
//! expression may be deeper. So a deep one is cut into parts, each within the
//! limit. What is cut out is a column of the part around it: the columns of
//! the row come first, and behind them those of the parts, in their order.
//!
//! ```text
//! ((a + b) * c) - d   ─►   part 0: a + b     part 1: #part0 * c     last: #part1 - d
//! ```

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::ScalarUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;

use crate::functions;

/// The most levels of one part. A level is up to three nested messages, of
/// which a reader takes 100, and a literal or a type needs some too.
const PART_DEPTH_MAX: usize = 20;

/// The parts of an expression over rows of `input`, the outermost last.
pub(super) fn encode(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> Result<Vec<Vec<u8>>> {
    let mut cutter = Cutter { columns: input.fields().len(), parts: Vec::new() };
    let (outermost, _) = cutter.cut(expr)?;
    cutter.parts.push(outermost);
    let bytes = |part| Ok(serialize_physical_expr(part, &Codec)?.encode_to_vec());
    cutter.parts.iter().map(bytes).collect()
}

/// The expression over rows of `input` that [`encode`] gave these parts of.
pub(super) fn decode(parts: &[Vec<u8>], input: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let mut fields: Vec<FieldRef> = input.fields().iter().cloned().collect();
    let mut decoded: Vec<Arc<dyn PhysicalExpr>> = Vec::with_capacity(parts.len());
    for bytes in parts {
        let node =
            PhysicalExprNode::decode(bytes.as_slice()).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let schema = Schema::new(fields.clone());
        let part = parse_physical_expr(&node, functions::context(), &schema, &Codec)?;
        fields.push(part.return_field(&schema)?);
        decoded.push(part.transform_down(|e| Ok(put_back(e, input.fields().len(), &decoded)))?.data);
    }
    decoded.pop().ok_or_else(|| DataFusionError::Internal("an expression has no parts".to_owned()))
}

/// How a program's functions are written; all others are found by their names.
#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        _: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal("an expression holds no plan".to_owned()))
    }

    fn try_encode(
        &self,
        _: Arc<dyn ExecutionPlan>,
        _: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        Err(DataFusionError::Internal("an expression holds no plan".to_owned()))
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.extend(functions::encode(function)?.unwrap_or_default());
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        match bytes {
            [] => Err(DataFusionError::Plan(format!("there is no function '{name}'"))),
            bytes => functions::decode(bytes).map(Arc::new),
        }
    }
}

/// The part that a column stands for. Parts are whole already, so they are not searched again.
fn put_back(
    expr: Arc<dyn PhysicalExpr>,
    columns: usize,
    parts: &[Arc<dyn PhysicalExpr>],
) -> Transformed<Arc<dyn PhysicalExpr>> {
    let part = expr.downcast_ref::<Column>().and_then(|c| parts.get(c.index().checked_sub(columns)?));
    match part {
        Some(part) => {
            Transformed::new(Arc::clone(part), true, datafusion::common::tree_node::TreeNodeRecursion::Jump)
        }
        None => Transformed::no(expr),
    }
}

struct Cutter {
    /// How many columns a row has.
    columns: usize,
    parts: Vec<Arc<dyn PhysicalExpr>>,
}

impl Cutter {
    /// The expression with what lies deeper than a part may be cut out of it, and how deep it then is.
    fn cut(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<(Arc<dyn PhysicalExpr>, usize)> {
        let children = expr.children();
        if children.is_empty() {
            return Ok((Arc::clone(expr), 1));
        }
        let (mut depth, mut changed) = (0, false);
        let mut shallow = Vec::with_capacity(children.len());
        for child in children {
            let (part, part_depth) = self.cut(child)?;
            let full = part_depth >= PART_DEPTH_MAX;
            let part = if full { self.take(part) } else { part };
            depth = depth.max(if full { 1 } else { part_depth });
            changed |= !Arc::ptr_eq(&part, child);
            shallow.push(part);
        }
        let expr = if changed { Arc::clone(expr).with_new_children(shallow)? } else { Arc::clone(expr) };
        Ok((expr, depth + 1))
    }

    /// Makes a part, and gives the column that stands for it.
    fn take(&mut self, part: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        let column = Column::new("_part", self.columns + self.parts.len());
        self.parts.push(part);
        Arc::new(column)
    }
}

#[cfg(test)]
mod tests {
    use crate::expression::Expression;
    use crate::testing::{expression, schema};

    fn travelled(planned: &Expression) -> Expression {
        serde_json::from_slice(&serde_json::to_vec(planned).unwrap()).unwrap()
    }

    /// The depth to which the parser lets expressions grow, and then some.
    #[test]
    fn the_deepest_expressions_survive_the_journey() {
        let columns = schema("a:int? s:text?");
        let nested = |times: usize, open: &str, close: &str| {
            format!("{}{}{}", open.repeat(times), "a", close.repeat(times))
        };
        for sql in [
            format!("a{}", " + a * 2 - a".repeat(150)),
            format!("a = 0{}", " OR a > 7 AND a % 3 = 1".repeat(150)),
            nested(48, "abs(1 + ", ")"),
            nested(48, "CASE WHEN a > 1 THEN ", " ELSE a END"),
            format!("s{}", " || upper(s)".repeat(400)),
        ] {
            // Planning recurses too; a planner's thread has the stack for it.
            let columns = columns.clone();
            let check = move || {
                let planned = expression(&columns, &sql);
                assert!(travelled(&planned).physical().eq(planned.physical()), "{sql}");
            };
            std::thread::Builder::new().stack_size(64 << 20).spawn(check).unwrap().join().unwrap();
        }
    }
}
