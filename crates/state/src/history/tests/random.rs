//! Random histories: whatever happens, every checkpoint that is kept restores exactly.

use super::*;
use crate::compaction::Compaction;

#[derive(Clone, Debug)]
enum Event {
    Rows(Vec<(i64, i64)>),
    Pass(i64),
    Epoch { complete: bool },
    Savepoint,
    DeleteSavepoint,
    Compact,
    CompactFrom(usize),
    Collect { retain: usize },
    Restart { parallelism: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => prop::collection::vec((0_i64..60, any::<i64>()), 1..20).prop_map(Event::Rows),
        1 => (0_i64..50).prop_map(Event::Pass),
        8 => prop::bool::weighted(0.8).prop_map(|complete| Event::Epoch { complete }),
        1 => Just(Event::Savepoint),
        1 => Just(Event::DeleteSavepoint),
        1 => Just(Event::Compact),
        4 => (0_usize..4).prop_map(Event::CompactFrom),
        4 => (1_usize..4).prop_map(|retain| Event::Collect { retain }),
        1 => (1_u32..4).prop_map(|parallelism| Event::Restart { parallelism }),
    ]
}

async fn happen(job: &mut Job, event: &Event) {
    match event {
        Event::Rows(rows) => {
            for &(key, value) in rows {
                job.put(key, value);
                job.add(key, value);
                job.model.full = vec![value, key];
            }
        }
        Event::Pass(time) => job.pass(*time),
        Event::Epoch { complete } => job.epoch(*complete).await,
        Event::Savepoint => {
            if let Some(manifest) = job.newest.clone() {
                job.history.savepoint(&format!("s{}", manifest.epoch), &manifest).await.unwrap();
            }
        }
        Event::DeleteSavepoint => {
            if let Some(label) = job.history.savepoints().await.unwrap().first() {
                job.history.delete_savepoint(label).await.unwrap();
            }
        }
        Event::Compact => job.compact().await,
        Event::CompactFrom(first) => compact_from(job, *first).await,
        Event::Restart { parallelism } => {
            job.restart().await;
            job.parallelism = *parallelism;
        }
        Event::Collect { retain } => {
            let collected = job.history.collect(job.incarnation, *retain).await.unwrap();
            assert_eq!(collected.failed, 0);
            if job.has_settled {
                check_all(job, *retain).await;
            } else {
                assert_eq!(collected, Collected::default());
            }
        }
    }
}

/// Rewrites more than is due, in small slices.
async fn compact_from(job: &mut Job, first: usize) {
    let Some(manifest) = job.newest.clone() else { return };
    for table in ["upsert", "merge"] {
        let compaction = Compaction::from_object(&manifest, "view/orders", table, first);
        if compaction.objects() > 1 {
            job.compacted.push(job.history.compact(&compaction, job.incarnation).await.unwrap());
        }
    }
}

/// Everything that is kept restores, and hardly anything else is there.
async fn check_all(job: &Job, retain: usize) {
    let mut kept = job.history.newest(usize::MAX).await.unwrap();
    assert!(kept.len() <= retain.max(1));
    for label in job.history.savepoints().await.unwrap() {
        kept.push(job.history.savepoint_at(&label).await.unwrap().unwrap());
    }
    for (manifest, parallelism) in kept.iter().zip([1, 2, 3].into_iter().cycle()) {
        job.check(manifest, parallelism).await;
    }
    let needed: BTreeSet<String> =
        kept.iter().flat_map(|m| m.objects()).map(|o| job.history.place(&o.name)).collect();
    let there = job.history.store().list(&job.history.place("state")).await.unwrap();
    let there: BTreeSet<String> = there.into_iter().map(|o| o.name).collect();
    assert!(there.is_superset(&needed));
    if job.compacted.is_empty() && !kept.is_empty() {
        assert_eq!(there, needed, "garbage is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_checkpoint_that_is_kept_restores_exactly(events in prop::collection::vec(event(), 1..80)) {
        block_on(async {
            let mut job = Job::new(memory(), 2);
            for event in &events {
                happen(&mut job, event).await;
            }
            job.epoch(true).await;
            job.history.collect(job.incarnation, 3).await.unwrap();
            check_all(&job, 3).await;
        });
    }
}
