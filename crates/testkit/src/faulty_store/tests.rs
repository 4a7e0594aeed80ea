//! Each fault does what it says.

use super::*;

const NAME: &str = "job/object";

/// A store in this weather, and what it was seen to do.
fn store(weather: Weather) -> (FaultyStore, Arc<Mutex<Vec<String>>>) {
    let (began, seen) = (tokio::time::Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let watcher = {
        let seen = Arc::clone(&seen);
        Arc::new(move |deed: Deed<'_>| seen.lock().unwrap().push(format!("{deed:?}")))
    };
    let store = FaultyStore::new(7, Arc::new(move || began.elapsed()), watcher);
    store.set_weather(weather);
    (store, seen)
}

async fn create(store: &FaultyStore) -> Result<Creation, StoreError> {
    store.create(NAME, Bytes::from_static(b"whole")).await
}

/// What lies there, without any fault.
async fn landed(store: &FaultyStore) -> Option<Bytes> {
    store.objects().read(NAME).await.unwrap()
}

fn whole() -> Option<Bytes> {
    Some(Bytes::from_static(b"whole"))
}

#[tokio::test(start_paused = true)]
async fn in_fair_weather_all_is_well() {
    let (store, seen) = store(Weather::fair());
    assert_eq!(create(&store).await.unwrap(), Creation::Created);
    assert_eq!(create(&store).await.unwrap(), Creation::Exists);
    assert_eq!(store.read(NAME).await.unwrap(), whole());
    store.delete(NAME).await.unwrap();
    store.delete(NAME).await.unwrap();
    assert_eq!(store.read(NAME).await.unwrap(), None);
    assert_eq!(seen.lock().unwrap().len(), 2, "only what changes something is seen");
    assert!(store.counts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_has_not_happened() {
    let (store, seen) = store(Weather { refuse: 1.0, ..Weather::fair() });
    assert!(create(&store).await.unwrap_err().may_pass());
    assert!(store.read(NAME).await.is_err());
    assert_eq!(landed(&store).await, None);
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(store.counts()["refused"], 2);
}

#[tokio::test(start_paused = true)]
async fn whose_answer_is_lost_has_happened() {
    let (store, _) = store(Weather { lose_answer: 1.0, ..Weather::fair() });
    assert!(create(&store).await.unwrap_err().may_pass());
    assert_eq!(landed(&store).await, whole());
    assert!(store.delete(NAME).await.is_err());
    assert_eq!(landed(&store).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_lands_late_is_not_there_before() {
    let (store, _) = store(Weather { land_late: 1.0, ..Weather::fair() });
    assert!(create(&store).await.unwrap_err().may_pass());
    assert_eq!(landed(&store).await, None);
    tokio::time::sleep(Weather::fair().stalled.end).await;
    // It lands before the next request is answered.
    assert_eq!(store.read(NAME).await.unwrap(), whole());
    assert_eq!(store.counts()["landed late"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_lands_late_replaces_nothing() {
    let (store, _) = store(Weather { land_late: 1.0, ..Weather::fair() });
    assert!(create(&store).await.is_err());
    store.set_weather(Weather::fair());
    store.create(NAME, Bytes::from_static(b"rival")).await.unwrap();
    tokio::time::sleep(Weather::fair().stalled.end).await;
    assert_eq!(store.read(NAME).await.unwrap(), Some(Bytes::from_static(b"rival")));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_it_exists_may_have_made_it() {
    let (store, seen) = store(Weather { tell_exists: 1.0, ..Weather::fair() });
    assert_eq!(create(&store).await.unwrap(), Creation::Exists);
    assert_eq!(landed(&store).await, whole());
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_stalls_waits_long_and_is_served() {
    let (store, _) = store(Weather { stall: 1.0, ..Weather::fair() });
    let began = tokio::time::Instant::now();
    assert_eq!(create(&store).await.unwrap(), Creation::Created);
    assert!(began.elapsed() >= Weather::fair().stalled.start);
}

#[tokio::test(start_paused = true)]
async fn nobody_reaches_a_store_that_is_away() {
    let (store, _) = store(Weather::fair());
    store.go_away(Duration::from_secs(60));
    assert!(create(&store).await.unwrap_err().may_pass());
    assert!(store.list("job").await.is_err());
    assert_eq!(landed(&store).await, None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(create(&store).await.unwrap(), Creation::Created);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_caller_sent_is_whole_or_not_there() {
    let (mut gone, mut whole_ones) = (0, 0);
    let (store, _) = store(Weather { land_late: 1e-9, ..Weather::fair() });
    for number in 0..64 {
        let name = format!("job/{number}");
        let bytes = Bytes::from_static(b"whole");
        // The caller dies while its request is on its way.
        assert!(store.create(&name, bytes).now_or_never().is_none());
    }
    tokio::time::sleep(Weather::fair().stalled.end).await;
    for number in 0..64 {
        match store.read(&format!("job/{number}")).await.unwrap() {
            None => gone += 1,
            some => {
                assert_eq!(some, whole());
                whole_ones += 1;
            }
        }
    }
    assert!(gone > 0 && whole_ones > 0, "{gone} are gone, {whole_ones} landed");
}
