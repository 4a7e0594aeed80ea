//! Against DataFusion's own unnest, and as text.

use arrow::compute::concat_batches;
use datafusion::common::NullHandling;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use thalweg_dataflow::text::{read_rows, write_rows};
use thalweg_testkit::{Driver, OnBarrier, at_every_batch_size};

use super::*;
use crate::testing::schema;

const COLUMNS: &str =
    "columns k:int l:[int]? m:[text]? n:[[int]]? o:[[[int]]]? s:{x:int,y:text}? t:[{x:int,y:[int]}]?";
const ROWS: &str = "\
    1 [1,2,3] [a] [[1,2],[],null,[3]] [[[1],[2,3]],[]] {1,p} [{1,[1,2]},{2,null}]\n\
    2 null [b,c] null null null null\n\
    3 [] [] [] [] {null,q} []\n\
    4 [null] null [[],[9]] [[[],[4]],[[5,6]]] {4,null} [{null,[7]},null]\n\
    5 [5,6] [e,f,g] [null] [null,[null,[8]]] {5,z} [{5,[]}]\n";

fn spec_of(plan: &LogicalPlan) -> Unnest {
    let LogicalPlan::Unnest(unnest) = plan else { panic!("{plan}") };
    let lists = unnest
        .list_type_columns
        .iter()
        .map(|(column, list)| ListColumn { column: *column, depth: list.depth })
        .collect();
    let empty = match unnest.options.null_handling {
        NullHandling::Drop => EmptyLists::Drop,
        NullHandling::Preserve => EmptyLists::KeepNull,
        NullHandling::PreserveAndExpandEmpty => EmptyLists::Keep,
    };
    Unnest::new(lists, unnest.struct_type_columns.clone(), empty, Arc::clone(unnest.schema.inner()))
}

/// The first unnest of a plan, from the top.
fn unnest_of(plan: &LogicalPlan) -> LogicalPlan {
    let mut found = None;
    plan.apply(|node| {
        if matches!(node, LogicalPlan::Unnest(_)) {
            found = Some(node.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    found.expect("the plan has an unnest")
}

async fn collected(context: &SessionContext, plan: LogicalPlan) -> RecordBatch {
    let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[tokio::test]
async fn it_gives_what_datafusion_gives() {
    let context = SessionContext::new();
    let rows = read_rows(&schema(COLUMNS), ROWS).unwrap();
    context.register_batch("r", rows).unwrap();
    for select in [
        "k, unnest(l)",
        "unnest(l), k, unnest(m)",
        "k, unnest(s)",
        "unnest(s), unnest(l), k",
        "k, unnest(unnest(n))",
        "k, unnest(unnest(unnest(o)))",
        "k, unnest(unnest(n)), unnest(n), unnest(l)",
        "k, unnest(unnest(n)), unnest(unnest(unnest(o))), unnest(m)",
        "k, unnest(t)",
        "k, unnest(unnest(t))",
    ] {
        let plan = context.sql(&format!("SELECT {select} FROM r")).await.unwrap().into_unoptimized_plan();
        let unnest = unnest_of(&plan);
        let spec = spec_of(&unnest);
        let input = collected(&context, unnest.inputs()[0].clone()).await;
        let expected = write_rows(&collected(&context, unnest).await);
        assert!(!expected.is_empty());
        for rows_max in [1, 2, 3, 8192] {
            assert_eq!(opened(&spec, &input, rows_max), expected, "{select} at {rows_max} rows");
        }
    }
}

fn opened(spec: &Unnest, input: &RecordBatch, rows_max: usize) -> String {
    let mut opening = Opening::new(spec, input.clone()).unwrap();
    let mut text = String::new();
    while !opening.is_done() {
        let piece = opening.next_piece(spec, rows_max).unwrap();
        assert!((1..=rows_max).contains(&piece.num_rows()));
        text.push_str(&write_rows(&piece));
    }
    text
}

#[test]
fn a_long_list_leaves_in_pieces() {
    let items: Vec<String> = (0..20_000).map(|i| i.to_string()).collect();
    let stream = format!("columns k:int l:[int]? _diff\n1 [{}] +\n2 null +\n3 [7] -\nwm 5", items.join(","));
    let lists = vec![ListColumn { column: 1, depth: 1 }];
    let spec = Unnest::new(lists, vec![], EmptyLists::Drop, schema("k:int l:int? _diff"));
    assert!(spec.accepts(RowKind::Changelog));
    let answer = at_every_batch_size(&spec, &stream).unwrap();
    let expected: String = items.iter().map(|item| format!("1 {item} +\n")).collect();
    assert_eq!(answer, expected + "3 7 -\nwm 5\n");
}

#[test]
fn what_is_empty_is_kept_where_that_is_asked() {
    let stream = "columns l:[int]?\n[1]\nnull\n[]\n[2]\n";
    for (empty, expected) in [
        (EmptyLists::Drop, "1\n2\n"),
        (EmptyLists::KeepNull, "1\nnull\n2\n"),
        (EmptyLists::Keep, "1\nnull\nnull\n2\n"),
    ] {
        let spec = Unnest::new(vec![ListColumn { column: 0, depth: 1 }], vec![], empty, schema("l:int?"));
        assert_eq!(at_every_batch_size(&spec, stream).unwrap(), expected);
        let mut driver = Driver::new(&spec, 3, OnBarrier::GoOn).unwrap();
        driver.run(stream).unwrap();
        assert_eq!(driver.counters().taken.get(), 4);
    }
}
