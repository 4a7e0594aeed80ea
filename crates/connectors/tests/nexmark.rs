//! The events of `nexmark`: the same wherever they are made, and shaped as the benchmark says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod driver;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::types::{Int64Type, TimestampNanosecondType};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use driver::{context, declare, open, rows, schema, travelled_source};
use thalweg_dataflow::connector::SourceColumn;
use thalweg_dataflow::source::Position;
use thalweg_dataflow::{Code, Source, SourceEvent, SourceSpec};

const PERSON: usize = 0;
const AUCTION: usize = 1;
const BID: usize = 2;
const ALL_IDS: [&str; 3] = ["person.id", "auction.id", "bid.auction"];
const START: i64 = 1_436_918_400_000_000_000;

fn nexmark(options: &[(&str, &str)]) -> Arc<dyn SourceSpec> {
    let table = declare("nexmark", options, None).unwrap();
    table.source(&[PERSON, AUCTION, BID].map(SourceColumn::whole), &[("ts".into(), "timestamp")]).unwrap()
}

/// So many events at 100,000 a second, with these fields, `bid.price`.
fn events(count: u64, fields: &[&str]) -> RecordBatch {
    let count = count.to_string();
    let options = [("event_rate", "100000"), ("message_count", count.as_str()), ("pace", "max")];
    let table = declare("nexmark", &options, None).unwrap();
    let all = table.as_source().unwrap().columns;
    let columns: Vec<SourceColumn> = (0..3)
        .map(|index| {
            let column = all.field(index);
            let DataType::Struct(of) = column.data_type() else { panic!("a struct") };
            let wanted = |name: &String| fields.contains(&format!("{}.{name}", column.name()).as_str());
            let fields = (0..of.len()).filter(|&f| wanted(of[f].name())).collect();
            SourceColumn { index, fields: Some(fields) }
        })
        .collect();
    let spec = table.source(&columns, &[("ts".into(), "timestamp")]).unwrap();
    futures_util::FutureExt::now_or_never(batch(&spec, 1, 8_192)).expect("nothing is waited for")
}

/// All rows of all splits, in the order of their times.
async fn batch(spec: &Arc<dyn SourceSpec>, parallelism: u32, batch_rows_max: usize) -> RecordBatch {
    let mut batches = Vec::new();
    for splits in spec.splits(parallelism).unwrap() {
        let mut source = open(spec, &context(batch_rows_max), Some(splits)).await.unwrap();
        batches.extend(to_end(&mut *source).await);
    }
    let all = concat_batches(&spec.output_schema(), &batches).unwrap();
    let times = all.column_by_name("ts").unwrap();
    let order = arrow::compute::sort_to_indices(times, None, None).unwrap();
    arrow::compute::take_record_batch(&all, &order).unwrap()
}

async fn to_end(source: &mut dyn Source) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    loop {
        match source.next().await.unwrap() {
            SourceEvent::Rows { records, .. } => batches.push(records),
            SourceEvent::End => return batches,
            SourceEvent::SplitEnd { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn structs(batch: &RecordBatch, kind: usize) -> &StructArray {
    batch.column(kind).as_struct()
}

/// A field where it is not null.
fn field(batch: &RecordBatch, kind: usize, name: &str) -> ArrayRef {
    let field = structs(batch, kind).column_by_name(name).unwrap();
    arrow::compute::filter(field, &arrow::compute::is_not_null(batch.column(kind)).unwrap()).unwrap()
}

fn numbers(batch: &RecordBatch, kind: usize, name: &str) -> Vec<i64> {
    field(batch, kind, name).as_primitive::<Int64Type>().values().to_vec()
}

fn times(batch: &RecordBatch, kind: usize, name: &str) -> Vec<i64> {
    field(batch, kind, name).as_primitive::<TimestampNanosecondType>().values().to_vec()
}

fn texts(batch: &RecordBatch, kind: usize, name: &str) -> Vec<String> {
    field(batch, kind, name).as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
}

fn counts<T: Ord>(values: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    values.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

/// Whether `count` of `of` is this share, within five standard deviations.
fn near(count: usize, of: usize, share: f64) -> bool {
    let (count, of) = (count as f64, of as f64);
    (count - of * share).abs() <= 5.0 * (of * share * (1.0 - share)).sqrt()
}

#[tokio::test]
async fn the_first_events_stay_what_they_are() {
    let spec = nexmark(&[("event_rate", "3"), ("message_count", "6"), ("pace", "max"), ("seed", "1")]);
    for spec in [&spec, &travelled_source(&spec)] {
        let found = rows(&batch(spec, 1, 100).await).join("\n");
        assert_eq!(found, include_str!("nexmark_first_rows.jsonl").trim_end());
    }
}

#[tokio::test]
async fn an_event_is_the_same_wherever_it_is_made() {
    let options = [("event_rate", "7000"), ("message_count", "1234"), ("pace", "max"), ("seed", "9")];
    let spec = nexmark(&options);
    let expected = batch(&spec, 1, 8_192).await;
    assert_eq!(expected.num_rows(), 1_234);
    for parallelism in [1, 2, 3, 47, 100] {
        for batch_rows_max in [7, 50, 1_000] {
            let found = batch(&spec, parallelism, batch_rows_max).await;
            assert_eq!(found, expected, "{parallelism} splits, {batch_rows_max} rows");
        }
    }
    let other = nexmark(&[options[0], options[1], options[2], ("seed", "10")]);
    assert_ne!(batch(&other, 1, 8_192).await, expected);
}

#[tokio::test]
async fn fields_that_nobody_reads_are_not_made_and_the_others_stay() {
    let options = [("event_rate", "1000"), ("message_count", "500"), ("pace", "max")];
    let whole = batch(&nexmark(&options), 1, 100).await;
    let table = declare("nexmark", &options, None).unwrap();
    let columns = [
        SourceColumn { index: AUCTION, fields: Some(vec![]) },
        SourceColumn { index: BID, fields: Some(vec![0, 2]) },
    ];
    let spec = table.source(&columns, &[("ts".into(), "timestamp")]).unwrap();
    let label = "1000 events/s [bid.auction, bid.price]";
    assert_eq!(spec.label(), label);
    for spec in [&spec, &travelled_source(&spec)] {
        let cx = context(100);
        let batches = to_end(&mut *open(spec, &cx, None).await.unwrap()).await;
        assert_eq!(cx.counters.cells_decoded.get(), 1_500);
        assert_eq!(cx.counters.records_read.get(), 500);
        let found = concat_batches(&spec.output_schema(), &batches).unwrap();
        assert_eq!(found.column(0).logical_nulls(), whole.column(AUCTION).logical_nulls());
        assert!(structs(&found, 0).columns().iter().all(|field| field.null_count() == 500));
        let (bids, expected) = (structs(&found, 1), structs(&whole, BID));
        assert_eq!(bids.nulls(), expected.nulls());
        for (index, field) in bids.columns().iter().enumerate() {
            match index {
                0 | 2 => assert_eq!(field, expected.column(index)),
                _ => assert_eq!(field.null_count(), 500, "field {index}"),
            }
        }
        let shared = |batch: &RecordBatch| structs(batch, 1).column(1).to_data().buffers()[0].as_ptr();
        assert_eq!(shared(&batches[0]), shared(&batches[1]), "nulls are made once");
    }
}

#[test]
fn one_struct_is_there_in_each_row_and_its_fields_are_null_where_it_is() {
    let batch = events(5_000, &ALL_IDS);
    let valid =
        |kind: usize| -> Vec<bool> { (0..5_000).map(|row| structs(&batch, kind).is_valid(row)).collect() };
    let (person, auction, bid) = (valid(PERSON), valid(AUCTION), valid(BID));
    for row in 0..5_000 {
        let expected = match row % 50 {
            0 => (true, false, false),
            1..=3 => (false, true, false),
            _ => (false, false, true),
        };
        assert_eq!((person[row], auction[row], bid[row]), expected, "event {row}");
    }
    for kind in [PERSON, AUCTION, BID] {
        let made = structs(&batch, kind).column(0);
        assert_eq!(made.nulls(), structs(&batch, kind).nulls());
    }
}

#[test]
fn times_are_exact() {
    let batch = events(2_000, &["person.datetime", "auction.datetime", "auction.expires", "bid.datetime"]);
    let ts = batch.column(3).as_primitive::<TimestampNanosecondType>();
    assert!((0..2_000).all(|n| ts.value(n) == START + n as i64 * 10_000));
    assert_eq!(times(&batch, PERSON, "datetime")[7], START + 350 * 10_000);
    assert_eq!(times(&batch, AUCTION, "datetime")[4], START + 52 * 10_000);
    assert_eq!(times(&batch, BID, "datetime")[46], START + 54 * 10_000);
    let horizon = 1_666 * 10_000;
    let open = times(&batch, AUCTION, "expires").into_iter().zip(times(&batch, AUCTION, "datetime"));
    let open: Vec<i64> = open.map(|(to, from)| to - from).collect();
    assert!(open.iter().all(|open| (1..=2 * horizon).contains(open)));
    let mean = open.iter().sum::<i64>() / open.len() as i64;
    assert!((horizon * 8 / 10..horizon * 12 / 10).contains(&mean), "{mean}");
}

#[tokio::test]
async fn times_are_exact_after_a_billion_events() {
    let options = [("event_rate", "300000"), ("pace", "max"), ("start", "1970-01-01T00:00:00Z")];
    let spec = nexmark(&options);
    for parallelism in [1_u64, 4] {
        let mut assignment = spec.splits(parallelism as u32).unwrap()[0].remove(0);
        let given = 1_000_000_000 / parallelism;
        assignment.position = Some(Position(given.to_string().into_bytes()));
        let mut source = open(&spec, &context(10), Some(vec![assignment])).await.unwrap();
        let SourceEvent::Rows { records, .. } = source.next().await.unwrap() else { panic!("rows") };
        let ts = records.column(3).as_primitive::<TimestampNanosecondType>();
        for row in 0..10 {
            let n = 1_000_000_000 + row as i128;
            assert_eq!(i128::from(ts.value(row)), n * 1_000_000_000 / 300_000);
        }
        assert_eq!(numbers(&records, PERSON, "id"), [1_000 + 20_000_000]);
        assert_eq!(numbers(&records, AUCTION, "id")[2], 1_000 + 60_000_002);
        assert!(numbers(&records, BID, "auction").iter().all(|id| (60_000_900..60_001_013).contains(id)));
    }
}

#[test]
fn ids_are_dense_and_bids_go_where_they_should() {
    let batch = events(500_000, &["person.id", "auction.id", "auction.seller", "bid.auction", "bid.bidder"]);
    assert_eq!(numbers(&batch, PERSON, "id"), (1_000..11_000).collect::<Vec<_>>());
    assert_eq!(numbers(&batch, AUCTION, "id"), (1_000..31_000).collect::<Vec<_>>());
    let (auctions, bidders) = (numbers(&batch, BID, "auction"), numbers(&batch, BID, "bidder"));
    assert_eq!(auctions.len(), 460_000);
    let (mut hot_auctions, mut hot_bidders, mut others) = (0, 0, [0; 111]);
    for (n, (auction, bidder)) in auctions.iter().zip(&bidders).enumerate() {
        let round = n as i64 / 46;
        let (newest_auction, newest_person) = (round * 3 + 2, round);
        let oldest = (newest_auction - 100).max(0);
        assert!(
            (1_000 + oldest.min(newest_auction / 100 * 100)..=1_010 + newest_auction).contains(auction),
            "bid {n} for {auction}"
        );
        hot_auctions += usize::from(*auction == 1_000 + newest_auction / 100 * 100);
        hot_bidders += usize::from(*bidder == 1_001 + newest_person / 100 * 100);
        assert!(
            (1_000 + (newest_person - 999).max(0)..=1_010 + newest_person).contains(bidder)
                || *bidder == 1_001 + newest_person / 100 * 100
        );
        if newest_auction >= 100 && *auction != 1_000 + newest_auction / 100 * 100 {
            others[(auction - 1_000 - oldest) as usize] += 1;
        }
    }
    // One in 111 of the cold ones is the hot auction by chance, one in 1,010 the hot bidder.
    assert!(near(hot_auctions, 460_000, 0.5 + 0.5 / 111.0), "{hot_auctions}");
    assert!(near(hot_bidders, 460_000, 0.75 + 0.25 / 1_010.0), "{hot_bidders}");
    let cold: usize = others.iter().sum();
    assert!(others[..2].iter().all(|&count| near(count, cold, 1.0 / 111.0)), "{others:?}");
    assert!(others[101..].iter().all(|&count| near(count, cold, 1.0 / 111.0)), "{others:?}");
    let sellers = numbers(&batch, AUCTION, "seller");
    let hot = sellers.iter().enumerate().filter(|(n, seller)| **seller == 1_000 + *n as i64 / 3 / 100 * 100);
    assert!(near(hot.count(), 30_000, 0.75 + 0.25 / 1_010.0));
}

#[test]
fn prices_are_uniform_by_their_logarithm() {
    let batch = events(500_000, &["auction.initial_bid", "auction.reserve", "bid.price"]);
    let prices = numbers(&batch, BID, "price");
    assert!(prices.iter().all(|price| (100..=100_000_000).contains(price)));
    let bins = counts(prices.iter().map(|&price| (((price as f64).log10() - 2.0) / 6.0 * 60.0) as usize));
    let expected = prices.len() as f64 / 60.0;
    // The first tenth of a decade has whole cents only, so it is left out.
    let chi_square: f64 = (3..60).map(|bin| (bins[&bin] as f64 - expected).powi(2) / expected).sum();
    assert!(chi_square < 110.0, "{chi_square} for 57 bins");
    let (initial, reserve) = (numbers(&batch, AUCTION, "initial_bid"), numbers(&batch, AUCTION, "reserve"));
    assert!(initial.iter().zip(&reserve).all(|(initial, reserve)| reserve - initial >= 100));
    let median = {
        let mut sorted = initial.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    assert!((90_000..110_000).contains(&median), "{median}");
}

#[test]
fn texts_have_their_form() {
    let batch = events(250_000, &["bid.channel", "bid.url"]);
    let (channels, urls) = (texts(&batch, BID, "channel"), texts(&batch, BID, "url"));
    let of = channels.len();
    let mut url_of: HashMap<&str, &str> = HashMap::new();
    let (mut hot, mut unnamed) = (0, 0);
    for (channel, url) in channels.iter().zip(&urls) {
        assert_eq!(*url_of.entry(channel).or_insert(url), url, "a channel has one page");
        assert!(url.starts_with("https://www.nexmark.com/") && url.contains("/item.htm?query=1"), "{url}");
        match channel.strip_prefix("channel-") {
            Some(number) => {
                let id = i64::from((number.parse::<i32>().unwrap()).reverse_bits()).abs();
                match url.split_once("&channel_id=") {
                    Some((_, named)) => assert_eq!(named, id.to_string()),
                    None => unnamed += 1,
                }
            }
            None => {
                assert!(["Google", "Facebook", "Baidu", "Apple"].contains(&channel.as_str()));
                hot += 1;
            }
        }
    }
    assert!(near(hot, of, 0.5));
    assert!((0.08..0.12).contains(&(unnamed as f64 / (of - hot) as f64)), "{unnamed}");
    assert_eq!(url_of.len(), 10_004);
}

#[test]
fn people_and_auctions_have_their_form() {
    let fields =
        ["state", "city", "name", "email_address", "credit_card"].map(|field| format!("person.{field}"));
    let fields = fields.iter().map(String::as_str);
    let fields = fields.chain(["auction.category", "auction.item_name", "auction.description"]);
    let batch = events(250_000, &fields.collect::<Vec<_>>());
    let states = counts(texts(&batch, PERSON, "state"));
    assert_eq!(states.keys().collect::<Vec<_>>(), ["AZ", "CA", "ID", "OR", "WA", "WY"]);
    assert!(states.values().all(|&count| near(count, 5_000, 1.0 / 6.0)), "{states:?}");
    assert_eq!(counts(texts(&batch, PERSON, "city")).len(), 10);
    assert_eq!(counts(texts(&batch, PERSON, "name")).len(), 99);
    let categories = counts(numbers(&batch, AUCTION, "category"));
    assert_eq!(categories.keys().copied().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    assert!(categories.values().all(|&count| near(count, 15_000, 0.2)), "{categories:?}");
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    let email = &texts(&batch, PERSON, "email_address")[0];
    assert!(email.len() == 17 && &email[7..8] == "@" && email.ends_with(".com"), "{email}");
    for card in texts(&batch, PERSON, "credit_card") {
        let groups: Vec<&str> = card.split(' ').collect();
        assert!(
            groups.len() == 4 && groups.iter().all(|g| g.len() == 4 && g.bytes().all(|b| b.is_ascii_digit()))
        );
    }
    assert!(texts(&batch, AUCTION, "item_name").iter().all(|text| text.len() == 20 && lower(text)));
    assert!(texts(&batch, AUCTION, "description").iter().all(|text| text.len() == 100 && lower(text)));
}

#[test]
fn extra_fills_an_event_to_its_size_give_or_take_a_fifth() {
    let person =
        ["name", "email_address", "credit_card", "city", "state", "extra"].map(|f| format!("person.{f}"));
    let fields = person.iter().map(String::as_str).chain(["auction.extra", "bid.extra"]);
    let batch = events(50_000, &fields.collect::<Vec<_>>());
    let sizes =
        |kind: usize| -> Vec<usize> { texts(&batch, kind, "extra").iter().map(String::len).collect() };
    let mean = |sizes: &[usize]| sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    let (bids, auctions, people) = (sizes(BID), sizes(AUCTION), sizes(PERSON));
    assert_eq!((*bids.iter().min().unwrap(), *bids.iter().max().unwrap()), (54, 81));
    assert!((mean(&bids) - 67.5).abs() < 0.2);
    assert_eq!((*auctions.iter().min().unwrap(), *auctions.iter().max().unwrap()), (266, 397));
    let fixed: Vec<usize> = ["name", "email_address", "credit_card", "city", "state"]
        .iter()
        .map(|name| texts(&batch, PERSON, name))
        .fold(vec![8; people.len()], |sizes, texts| {
            sizes.iter().zip(texts).map(|(a, b)| a + b.len()).collect()
        });
    for (extra, fixed) in people.iter().zip(&fixed) {
        let missing = (200 - fixed) as f64;
        assert!((missing * 0.79..=missing * 1.21).contains(&(*extra as f64)), "{extra} for {missing}");
    }
}

#[tokio::test]
async fn a_position_goes_on_with_the_next_event() {
    let spec = nexmark(&[("event_rate", "1000"), ("message_count", "333"), ("pace", "max")]);
    let mut source = open(&spec, &context(40), Some(spec.splits(3).unwrap().concat())).await.unwrap();
    let mut given = Vec::new();
    let mut places = vec![(0, source.positions())];
    while let SourceEvent::Rows { records, .. } = source.next().await.unwrap() {
        given.extend(rows(&records));
        places.push((given.len(), source.positions()));
    }
    for (before, positions) in places {
        let mut again = open(&spec, &context(1_000), Some(positions)).await.unwrap();
        let mut rest: Vec<String> = to_end(&mut *again).await.iter().flat_map(rows).collect();
        let mut all = given[..before].to_vec();
        all.append(&mut rest);
        all.sort_unstable();
        let mut expected = rows(&batch(&spec, 1, 1_000).await);
        expected.sort_unstable();
        assert_eq!(all, expected);
    }
}

#[tokio::test]
async fn splits_move() {
    let spec = nexmark(&[("event_rate", "1000"), ("message_count", "200"), ("pace", "max")]);
    let mut from = open(&spec, &context(10), Some(spec.splits(2).unwrap().concat())).await.unwrap();
    let mut to = open(&spec, &context(10), Some(vec![])).await.unwrap();
    let SourceEvent::Rows { split, .. } = from.next().await.unwrap() else { panic!("rows") };
    let moved = from.revoke(&[split]).await.unwrap();
    to.assign(moved).await.unwrap();
    let count = |batches: Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    assert_eq!(count(to_end(&mut *to).await), 90);
    // Who gave a split away may be given another, and does not end.
    let mut kept = 0;
    while kept < 100 {
        let SourceEvent::Rows { records, .. } = from.next().await.unwrap() else { panic!("rows") };
        kept += records.num_rows();
    }
    assert!(matches!(from.next().await.unwrap(), SourceEvent::SplitEnd { .. }));
    assert!(futures_util::FutureExt::now_or_never(from.next()).is_none());
}

#[tokio::test]
async fn real_pace_gives_no_event_before_its_time() {
    let spec = nexmark(&[("event_rate", "1000"), ("message_count", "201")]);
    let begun = Instant::now();
    let mut source = open(&spec, &context(1_000), Some(spec.splits(2).unwrap().concat())).await.unwrap();
    let (mut given, mut batches) = (0, 0);
    loop {
        match source.next().await.unwrap() {
            SourceEvent::Rows { records, .. } => {
                given += records.num_rows();
                batches += 1;
                let newest =
                    records.column(3).as_primitive::<TimestampNanosecondType>().values().last().copied();
                let newest = Duration::from_nanos((newest.unwrap() - START) as u64);
                assert!(newest <= begun.elapsed(), "{newest:?} after {:?}", begun.elapsed());
            }
            SourceEvent::SplitEnd { .. } => {}
            SourceEvent::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(given, 201);
    assert!(begun.elapsed() >= Duration::from_millis(200) && batches > 2);
}

#[tokio::test]
async fn time_ends_in_2262_with_an_error() {
    let options = [("event_rate", "0.001"), ("pace", "max"), ("start", "2262-01-01")];
    let spec = nexmark(&options);
    let mut source = open(&spec, &context(100_000), None).await.unwrap();
    assert_eq!(source.next().await.unwrap_err().code(), Code::TimeOutOfRange);
}

#[test]
fn options_that_are_wrong_say_how() {
    let rate = ("event_rate", "10");
    for (options, code) in [
        (&[][..], Code::InvalidOption),
        (&[("event_rate", "0")], Code::InvalidOption),
        (&[("event_rate", "2e9")], Code::InvalidOption),
        (&[rate, ("pace", "fast")], Code::InvalidOption),
        (&[rate, ("start", "soon")], Code::InvalidOption),
        (&[rate, ("start", "3000-01-01")], Code::InvalidOption),
        (&[rate, ("seed", "-1")], Code::InvalidOption),
        (&[rate, ("runtime", "soon")], Code::InvalidOption),
        (&[rate, ("runtime", "1s"), ("message_count", "1")], Code::InvalidOption),
        (&[rate, ("message_cuont", "1")], Code::UnknownOption),
        (&[rate, ("type", "sink")], Code::InvalidOption),
    ] {
        assert_eq!(declare("nexmark", options, None).unwrap_err().code(), code, "{options:?}");
    }
    assert!(declare("nexmark", &[rate], None).unwrap().as_sink().is_none());
}

#[tokio::test]
async fn runtime_counts_events_by_their_own_time() {
    for runtime in ["2", "2s", "2000ms"] {
        let spec = nexmark(&[("event_rate", "100"), ("runtime", runtime), ("pace", "max")]);
        assert_eq!(batch(&spec, 3, 1_000).await.num_rows(), 200);
    }
}

#[test]
fn declared_columns_are_some_of_those_there_are() {
    let rate = [("event_rate", "1")];
    let own = declare("nexmark", &rate, None).unwrap().as_source().unwrap().columns;
    let names: Vec<&str> = own.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["person", "auction", "bid"]);
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let DataType::Struct(bid) = own.field(BID).data_type() else { panic!("a struct") };
    assert_eq!(bid.find("datetime").unwrap().1.data_type(), &time);

    let some = Schema::new(vec![own.field(BID).clone()]);
    let table = declare("nexmark", &rate, Some(Arc::new(some))).unwrap();
    assert!(table.source(&[SourceColumn::whole(0)], &[]).unwrap().output_schema().field(0).name() == "bid");
    let not_null = own.field(BID).clone().with_nullable(false);
    for wrong in [
        schema(&[("bid", DataType::Int64)]),
        schema(&[("bids", own.field(BID).data_type().clone())]),
        Arc::new(Schema::new(vec![not_null])),
        Arc::new(Schema::new(vec![Field::new("person", own.field(AUCTION).data_type().clone(), true)])),
    ] {
        assert_eq!(declare("nexmark", &rate, Some(wrong)).unwrap_err().code(), Code::InvalidColumn);
    }
}
