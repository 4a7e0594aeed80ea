//! Every registered kind survives spec → bytes → spec with the same output.

use std::sync::Arc;
use std::time::Duration;

use thalweg_dataflow::{OperatorSpec, Registry};
use thalweg_testkit::{Driver, OnBarrier};

use crate::aggregate::planned::grouping;
use crate::expression::Expression;
use crate::filter::Filter;
use crate::join::{JoinKind, JoinSide, WindowJoin};
use crate::over::tests::over;
use crate::project::Project;
use crate::row_policy::RowPolicy;
use crate::row_windows::RowWindows;
use crate::testing::{expression, schema};
use crate::union::Union;
use crate::unnest::{EmptyLists, ListColumn, Unnest};
use crate::updating_aggregate::UpdatingAggregate;
use crate::upsert::Upsert;
use crate::watermark::{EventTimeFrom, Generator, Watermark};
use crate::window::{
    Assigner, CountAggregate, Incomplete, Panes, SessionAggregate, WindowAggregate, WindowAssign,
    WindowPartial,
};

/// A spec of each kind, with a stream that makes it give something.
fn cases() -> Vec<(Arc<dyn OperatorSpec>, &'static str)> {
    let columns = schema("a:int b:text?");
    let rows = "columns a:int b:text?\n1 x\n2 null\n3 y\n";
    let condition = expression(&columns, "a > 1 AND b LIKE 'y%'");
    let computed =
        vec![(expression(&columns, "a * 2"), "double".into()), (Expression::column(&columns, 1), "b".into())];
    let list = vec![ListColumn { column: 0, depth: 1 }];
    let delay = Generator::Delay(Duration::from_secs(1));
    let watermark =
        Watermark::new(&schema("t:time"), EventTimeFrom::Column(0), delay, RowPolicy::Drop).unwrap();
    let timed = schema("k:text a:int _timestamp:time");
    let timed_rows = "columns k:text a:int _timestamp:time\nx 1 1\ny 2 2\nx 3 4\nwm 20\n";
    let by_key = || grouping(&timed, "k", "sum(a), count(*)");
    let tumble = Assigner::tumble(10_000_000_000).unwrap();
    let panes = Panes::Instants { width_nanos: 10 };
    let partial = WindowPartial::new(panes, by_key(), Arc::clone(&timed), RowPolicy::Drop).unwrap();
    let windows =
        WindowAggregate::of_rows(panes, by_key(), Arc::clone(&timed), Some("window"), RowPolicy::Drop)
            .unwrap();
    let side = || JoinSide { schema: Arc::clone(&timed), width: 2, keys: vec![0] };
    let pairs = schema("k:text a:int l:text b:int _timestamp:time");
    let join = WindowJoin::new(JoinKind::Inner, side(), side(), false)
        .and_then(|join| join.with_condition(&expression(&pairs, "a <= b"), RowPolicy::Drop))
        .unwrap();
    let joined = "columns k:text a:int _timestamp:time\nx 1 1\nin 1\ncolumns k:text a:int _timestamp:time\nx 2 1\nwm 20\n";
    let updating = UpdatingAggregate::new(by_key(), Arc::clone(&timed), RowPolicy::Drop).unwrap();
    let frame = "OVER (PARTITION BY _timestamp ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let calls = format!("lag(a) {frame}, sum(a) {frame}");
    let sessions = SessionAggregate::new(5, by_key(), Arc::clone(&timed), "window", RowPolicy::Drop).unwrap();
    let counts =
        CountAggregate::new(2, Incomplete::Emit, by_key(), Arc::clone(&timed), RowPolicy::Drop).unwrap();
    let row_windows = RowWindows::new(tumble, Arc::clone(&timed), 2, "window").unwrap();
    vec![
        (Arc::new(over(&timed, &calls, vec![])), timed_rows),
        (Arc::new(row_windows), timed_rows),
        (Arc::new(sessions), timed_rows),
        (Arc::new(counts), timed_rows),
        (Arc::new(WindowAssign::new(tumble, Arc::clone(&timed))), timed_rows),
        (Arc::new(partial), timed_rows),
        (Arc::new(windows), timed_rows),
        (Arc::new(updating), timed_rows),
        (Arc::new(join), joined),
        (Arc::new(Filter::new(Arc::clone(&columns), condition, RowPolicy::Drop).unwrap()), rows),
        (Arc::new(Project::new(computed, RowPolicy::Fail)), rows),
        (Arc::new(Union::new(Arc::clone(&columns), 2)), rows),
        (
            Arc::new(Unnest::new(list, vec![], EmptyLists::KeepNull, schema("l:int?"))),
            "columns l:[int]?\n[1,2]\nnull\n",
        ),
        (Arc::new(Upsert::new(Arc::clone(&columns), vec![0]).unwrap()), rows),
        (Arc::new(watermark.with_row_watermark()), "columns t:time\nsplit a\n5\n7\n"),
    ]
}

#[test]
fn every_kind_travels() {
    let mut registry = Registry::default();
    crate::register(&mut registry);
    let cases = cases();
    for kind in registry.operator_kinds() {
        let of_kind: Vec<_> = cases.iter().filter(|(spec, _)| spec.kind() == kind).collect();
        assert!(!of_kind.is_empty(), "the kind '{kind}' has no case here");
        for (spec, stream) in of_kind {
            let back = registry.operator(kind, &spec.encode().unwrap()).unwrap();
            let run =
                |spec: &dyn OperatorSpec| Driver::new(spec, 2, OnBarrier::GoOn).unwrap().run(stream).unwrap();
            let answer = run(spec.as_ref());
            assert!(!answer.is_empty(), "{kind}");
            assert_eq!(run(back.as_ref()), answer, "{kind}");
            assert_eq!(back.label(), spec.label());
            assert_eq!(back.output_schema(), spec.output_schema());
        }
    }
}
