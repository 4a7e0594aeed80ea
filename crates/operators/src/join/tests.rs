use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SessionConfig, SessionContext};
use thalweg_testkit::{BATCH_SIZES, Driver, OnBarrier, where_key_groups_move};

use super::*;
use crate::aggregate::planned::{Instance, hard_floats, lines};
use crate::testing::{expression, schema};

const LEFT_COLUMNS: &str = "k:text? v:int? _timestamp:time";
const RIGHT_COLUMNS: &str = "j:text? w:int? _timestamp:time";
const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

fn side(columns: &str, keys: &[usize]) -> JoinSide {
    let schema = schema(columns);
    JoinSide { width: schema.fields().len() - 1, schema, keys: keys.to_vec() }
}

fn join(kind: JoinKind, keys: &[usize], condition: &str) -> WindowJoin {
    of_sides(kind, side(LEFT_COLUMNS, keys), side(RIGHT_COLUMNS, keys), condition)
}

fn of_sides(kind: JoinKind, left: JoinSide, right: JoinSide, condition: &str) -> WindowJoin {
    let pairs = WindowJoin::pairs(kind, &left, &right);
    let join = WindowJoin::new(kind, left, right, false).unwrap();
    match condition {
        "" => join,
        sql => join.with_condition(&expression(&pairs, sql), RowPolicy::Fail).unwrap(),
    }
}

/// The answer at every size of batches, with and without restores; the rows of a window sorted.
fn run(spec: &WindowJoin, stream: &str) -> String {
    let mut answers = Vec::new();
    for size in BATCH_SIZES {
        for on_barrier in [OnBarrier::GoOn, OnBarrier::Restore] {
            let mut driver = Driver::new(spec, size, on_barrier).unwrap();
            answers.push(sorted(&driver.run(stream).unwrap()));
        }
    }
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
    answers.swap_remove(0)
}

/// Rows between two watermarks sorted by time, then as they read.
fn sorted(output: &str) -> String {
    let is_time = |line: &str| line.starts_with("wm") || line == "end";
    let lines: Vec<&str> = output.lines().collect();
    let mut parts: Vec<Vec<&str>> =
        lines.chunk_by(|one, other| !is_time(one) && !is_time(other)).map(<[&str]>::to_vec).collect();
    let time = |line: &str| line.rsplit(' ').next().and_then(|t| t.parse::<f64>().ok()).map(|t| t as i64);
    parts.iter_mut().for_each(|part| part.sort_by(|a, b| (time(a), a).cmp(&(time(b), b))));
    parts.concat().iter().map(|line| format!("{line}\n")).collect()
}

const STREAM: &str = "columns k:text? v:int? _timestamp:time\n\
    a 1 9.9\n\
    b 2 9.9\n\
    null 3 9.9\n\
    a 4 19.9\n\
    in 1\n\
    columns j:text? w:int? _timestamp:time\n\
    a 10 9.9\n\
    c 30 9.9\n\
    barrier\n\
    a 11 9.9\n\
    null 31 9.9\n\
    d 5 29.9\n\
    wm 9.9\n\
    barrier\n\
    in 0\n\
    columns k:text? v:int? _timestamp:time\n\
    b 6 9.9\n\
    wm 10\n\
    # the window is closed, and stays so after a restore\n\
    a 7 9.9\n\
    barrier\n\
    b 8 9.9\n\
    wm 30\n";

#[test]
fn pairs_of_a_window_come_out_when_it_closes() {
    let spec = join(JoinKind::Inner, &[0], "");
    let answer = run(&spec, STREAM);
    assert_eq!(answer, "wm 9.9\na 1 a 10 9.9\na 1 a 11 9.9\nwm 10\nwm 30\n");
    let mut driver = Driver::new(&spec, 3, OnBarrier::Restore).unwrap();
    driver.run(STREAM).unwrap();
    assert_eq!((driver.counters().late.get(), driver.counters().taken.get()), (2, 10));
    assert_eq!((driver.counters().open_windows.get(), driver.counters().state_bytes.get()), (0, 0));
}

#[test]
fn rows_without_a_pair_come_out_as_the_kind_says() {
    let left = "b 2 null null 9.9\nb 6 null null 9.9\nnull 3 null null 9.9\n";
    let right = "null null c 30 9.9\nnull null null 31 9.9\n";
    let pairs = "a 1 a 10 9.9\na 1 a 11 9.9\n";
    for (kind, first, then) in [
        (JoinKind::Left, format!("{pairs}{left}"), "a 4 null null 19.9\n"),
        (JoinKind::Right, format!("{pairs}{right}"), "null null d 5 29.9\n"),
        (JoinKind::Full, format!("{pairs}{left}{right}"), "a 4 null null 19.9\nnull null d 5 29.9\n"),
        (JoinKind::Semi, "a 1 9.9\n".into(), ""),
        (JoinKind::Anti, "b 2 9.9\nb 6 9.9\nnull 3 9.9\n".into(), "a 4 19.9\n"),
    ] {
        let answer = run(&join(kind, &[0], ""), STREAM);
        assert_eq!(answer, sorted(&format!("wm 9.9\n{first}wm 10\n{then}wm 30\n")), "{kind:?}");
    }
}

#[test]
fn a_pair_that_does_not_meet_the_condition_is_none() {
    let answer = run(&join(JoinKind::Full, &[0], "v + 9 < w"), STREAM);
    assert!(answer.contains("a 1 a 11 9.9\n") && answer.contains("null null a 10 9.9\n"), "{answer}");
    let answer = run(&join(JoinKind::Left, &[0], "w > 11"), STREAM);
    assert!(answer.contains("a 1 null null 9.9\n") && !answer.contains("a 1 a"), "{answer}");
    let answer = run(&join(JoinKind::Anti, &[0], "w > 10"), STREAM);
    assert!(!answer.contains("a 1"), "{answer}");
}

#[test]
fn without_keys_all_rows_of_a_window_meet() {
    let answer = run(&join(JoinKind::Inner, &[], "v * 10 = w"), STREAM);
    assert_eq!(answer, "wm 9.9\na 1 a 10 9.9\nnull 3 c 30 9.9\nwm 10\nwm 30\n");
    assert_eq!(side(LEFT_COLUMNS, &[]).shuffle_key().unwrap(), [2]);
}

#[test]
fn nulls_are_equal_only_where_that_is_asked() {
    let spec =
        WindowJoin::new(JoinKind::Inner, side(LEFT_COLUMNS, &[0]), side(RIGHT_COLUMNS, &[0]), true).unwrap();
    assert!(run(&spec, STREAM).contains("null 3 null 31 9.9\n"));
}

#[test]
fn a_condition_that_cannot_be_computed_fails_or_is_none() {
    let stream = "columns k:text? v:int? _timestamp:time\na 0 9\nb 1 9\nin 1\n\
                  columns j:text? w:int? _timestamp:time\na 1 9\nb 1 9\nend\n";
    let spec = join(JoinKind::Left, &[0], "w / v = 1");
    let error = Driver::new(&spec, 3, OnBarrier::GoOn).unwrap().run(stream).unwrap_err();
    assert_eq!(error.code(), thalweg_dataflow::Code::RowFailed);
    let spec = WindowJoin { policy: RowPolicy::Drop, ..spec };
    assert_eq!(run(&spec, stream), "a 0 null null 9\nb 1 b 1 9\nend\n");
}

#[test]
fn labels_read_as_the_query() {
    assert_eq!(join(JoinKind::Inner, &[0], "v > 5").label(), "inner join on window, k = j; filter v > 5");
    assert_eq!(join(JoinKind::Anti, &[], "").label(), "anti join on window");
}

/// Random rows in windows of forty, with names that begin with `prefix`.
fn windowed(seed: u64, rows: usize, prefix: &str) -> RecordBatch {
    let random = hard_floats(seed, rows).project(&[0, 1, 2, 3, 4, 7]).unwrap();
    let mut columns = random.columns().to_vec();
    let last = |row: usize| (row as i64 / 40 + 1) * 40_000_000_000 - 1;
    columns[5] = Arc::new(TimestampNanosecondArray::from_iter_values((0..rows).map(last)));
    let fields = random.schema_ref().fields().iter().map(|field| match field.name().as_str() {
        "_timestamp" => Arc::clone(field),
        name => Arc::new(Field::clone(field).with_name(format!("{prefix}{name}"))),
    });
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

/// What DataFusion's own join gives.
fn by_datafusion(left: &RecordBatch, right: &RecordBatch, sql: &str) -> Vec<String> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for (name, rows) in [("a", left), ("b", right)] {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
        context.register_table(name, Arc::new(table)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    lines(&runtime.block_on(async { context.sql(sql).await.unwrap().collect().await.unwrap() }))
}

fn expected(kind: JoinKind, left: &RecordBatch, right: &RecordBatch, on: &str) -> Vec<String> {
    let both = "a.ak, a.aj, a.av, a.af, a.\"as\", b.bk, b.bj, b.bv, b.bf, b.bs";
    let word = kind.word();
    let one = "a.ak, a.aj, a.av, a.af, a.\"as\", a._timestamp";
    let on = format!("a._timestamp = b._timestamp{on}");
    let sql = match kind {
        JoinKind::Semi | JoinKind::Anti => format!("SELECT {one} FROM a LEFT {word} JOIN b ON {on}"),
        _ => {
            format!("SELECT {both}, coalesce(a._timestamp, b._timestamp) FROM a {word} JOIN b ON {on}")
        }
    };
    by_datafusion(left, right, &sql)
}

/// Both sides through the join, part by part, the right one ahead; with barriers at which all is restored.
fn through(
    spec: &WindowJoin,
    left: &RecordBatch,
    right: &RecordBatch,
    batch_rows_max: usize,
    restore: bool,
) -> Vec<String> {
    let mut instance = Instance::new(spec, batch_rows_max, Restored::nothing());
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let part = |rows: &RecordBatch, part: usize| {
        let start = rows.num_rows() * part / 4;
        rows.slice(start, rows.num_rows() * (part + 1) / 4 - start)
    };
    for number in 0..4 {
        instance.rows_on(Port(1), &part(right, number));
        if restore {
            snapshots.push(instance.barrier(number as u64 + 1));
            let output = std::mem::take(&mut instance.output);
            instance = Instance::new(spec, batch_rows_max, snapshots.iter().cloned().collect());
            instance.output = output;
        }
        instance.rows(&part(left, number));
        let rows = left.num_rows().min(right.num_rows());
        instance.watermark((rows * (number + 1) / 4 / 40) as i64 * 40_000_000_000);
    }
    instance.watermark(Watermark::END.nanos());
    assert_eq!(instance.counters.late.get(), 0);
    lines(&instance.output)
}

#[test]
fn random_joins_give_what_datafusion_gives() {
    for seed in 0..18 {
        let (left, right) = (windowed(seed, 90, "a"), windowed(seed + 100, 30 + 5 * seed as usize, "b"));
        let (keys, on): (&[usize], &str) = [
            (&[0][..], " AND a.ak = b.bk"),
            (&[1, 2][..], " AND a.aj = b.bj AND a.av = b.bv"),
            (&[3][..], " AND a.af = b.bf"),
            (&[0, 3][..], " AND a.ak = b.bk AND a.af = b.bf"),
            (&[][..], ""),
            (&[4][..], " AND a.\"as\" = b.bs"),
        ][seed as usize % 6];
        for (number, kind) in (0..).zip(KINDS) {
            let condition = ["", "av < bv", "av + bv > 9 AND af <> bf"][(seed as usize + number) % 3];
            let of = |rows: &RecordBatch| JoinSide { schema: rows.schema(), width: 5, keys: keys.into() };
            let spec = of_sides(kind, of(&left), of(&right), condition);
            let on = format!("{on}{}{condition}", if condition.is_empty() { "" } else { " AND " });
            let expected = expected(kind, &left, &right, &on);
            for (batch_rows_max, restore) in [(1, seed % 3 == 0), (3, true), (8192, seed % 2 == 0)] {
                let answer = through(&spec, &left, &right, batch_rows_max, restore);
                assert_eq!(answer, expected, "seed {seed}, {kind:?}, {on}, {batch_rows_max}");
            }
        }
    }
}

#[test]
fn rows_of_both_sides_move_with_their_key_groups_there_and_back() {
    let mut stream = String::new();
    for number in 0..120_u64 {
        let dice = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let time = (number / 4 + dice % 9) / 10;
        let input = if dice % 2 == 0 {
            "in 0\ncolumns k:text? v:int? _timestamp:time"
        } else {
            "in 1\ncolumns j:text? w:int? _timestamp:time"
        };
        stream += &format!("{input}\nk{} {} {time}9.9\n", dice % 17, dice % 7);
        if number % 20 == 19 {
            stream += "barrier\n";
        }
        if number % 30 == 29 {
            stream += &format!("wm {}\n", number / 4);
        }
    }
    stream += "end\n";
    for kind in [JoinKind::Inner, JoinKind::Full, JoinKind::Anti] {
        for keys in [&[0][..], &[]] {
            let spec = join(kind, keys, "");
            let side = |side: &JoinSide| side.shuffle_key().unwrap();
            let shuffles = [side(&spec.left), side(&spec.right)];
            where_key_groups_move(&spec, &shuffles, &stream).unwrap();
        }
    }
}

#[test]
fn what_an_aborted_epoch_held_is_part_of_the_next() {
    let (left, right) = (windowed(3, 100, "a"), windowed(4, 100, "b"));
    let of = |rows: &RecordBatch| JoinSide { schema: rows.schema(), width: 5, keys: vec![1] };
    let spec = of_sides(JoinKind::Inner, of(&left), of(&right), "");
    let mut instance = Instance::new(&spec, 10, Restored::nothing());
    let mut complete = Vec::new();
    for epoch in 1..=5 {
        instance.rows(&left.slice(20 * (epoch as usize - 1), 20));
        instance.rows_on(Port(1), &right.slice(20 * (epoch as usize - 1), 20));
        let snapshot = instance.barrier(epoch);
        instance.operator.on_settled(Epoch(epoch), epoch % 2 == 1);
        complete.extend((epoch % 2 == 1).then_some(snapshot));
    }
    let mut restored = Instance::new(&spec, 10, complete.into_iter().collect());
    restored.watermark(Watermark::END.nanos());
    assert_eq!(lines(&restored.output), expected(JoinKind::Inner, &left, &right, " AND a.aj = b.bj"));
}

/// Ten thousand million pairs, of which the first hundred pieces are taken.
#[test]
fn a_cross_product_streams() {
    const ROWS: i64 = 100_000;
    let spec = join(JoinKind::Inner, &[0], "");
    let mut instance = Instance::new(&spec, 8192, Restored::nothing());
    let of = |spec: &JoinSide| {
        let same: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["same"; ROWS as usize]));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_value(9, ROWS as usize));
        RecordBatch::try_new(Arc::clone(&spec.schema), vec![same, numbers, times]).unwrap()
    };
    instance.rows(&of(&spec.left));
    instance.rows_on(Port(1), &of(&spec.right));
    let mut step = instance.once(|operator, cx| operator.on_watermark(Watermark::END, cx).unwrap());
    let mut rows = 0;
    for _ in 0..100 {
        assert_eq!(step, Step::More);
        rows += instance.output.drain(..).map(|piece| piece.num_rows()).sum::<usize>();
        step = instance.once(|operator, cx| operator.resume(cx).unwrap());
    }
    assert!(rows > 90 * 8192, "{rows}");
}
