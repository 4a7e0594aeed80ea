//! Each fault does what it says.

use super::*;

const NAME: &str = "job/object";

/// A store in this weather, and what it was seen to do.
fn store(weather: Weather) -> (FaultyStore, Arc<Mutex<Vec<String>>>) {
    of_seed(7, weather)
}

fn of_seed(seed: u64, weather: Weather) -> (FaultyStore, Arc<Mutex<Vec<String>>>) {
    let (began, seen) = (tokio::time::Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let watcher = {
        let seen = Arc::clone(&seen);
        Arc::new(move |deed: Deed<'_>| seen.lock().unwrap().push(format!("{deed:?}")))
    };
    let store = FaultyStore::new(seed, Arc::new(move || began.elapsed()), watcher);
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

    store.objects().create(NAME, Bytes::from_static(b"whole")).await.unwrap();
    assert!(store.delete(NAME).await.is_err());
    assert_eq!(landed(&store).await, whole());
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_requests_fails_and_the_seed_says_which() {
    let failed = async |seed: u64| {
        let (store, _) = of_seed(seed, Weather { refuse: 0.25, ..Weather::fair() });
        let mut failed = Vec::new();
        for number in 0..1000 {
            failed.extend(store.read(NAME).await.is_err().then_some(number));
        }
        failed
    };
    let (once, again, other) = (failed(7).await, failed(7).await, failed(8).await);
    assert!((200..300).contains(&once.len()), "{} of 1000 failed", once.len());
    assert_eq!(once, again);
    assert_ne!(once, other);
}

#[tokio::test(start_paused = true)]
async fn whose_answer_is_lost_has_happened() {
    let (store, _) = store(Weather { lose_answer: 1.0, ..Weather::fair() });
    assert!(create(&store).await.unwrap_err().may_pass());
    assert_eq!(landed(&store).await, whole());
    assert!(store.read(NAME).await.is_err(), "what was read is lost too");
    assert!(store.delete(NAME).await.is_err());
    assert_eq!(landed(&store).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_lands_late_is_not_there_before() {
    let (store, seen) = store(Weather { land_late: 1.0, ..Weather::fair() });
    assert!(create(&store).await.unwrap_err().may_pass());
    assert_eq!(store.read(NAME).await.unwrap(), None);
    tokio::time::sleep(Weather::fair().stalled.end).await;
    // It lands before the next request is answered.
    assert_eq!(store.read(NAME).await.unwrap(), whole());
    assert_eq!(store.counts()["landed late"], 1);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_does_not_wait_for_what_is_due_later() {
    let seconds = Duration::from_secs;
    let late = |stalled| Weather { land_late: 1.0, stalled, ..Weather::fair() };
    let (store, _) = store(late(seconds(60)..seconds(61)));
    assert!(store.create("job/later", Bytes::new()).await.is_err());
    store.set_weather(late(seconds(1)..seconds(2)));
    assert!(create(&store).await.is_err());
    tokio::time::sleep(seconds(2)).await;
    assert_eq!(store.read(NAME).await.unwrap(), whole());
    assert_eq!(store.read("job/later").await.unwrap(), None);
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(store.read("job/later").await.unwrap(), Some(Bytes::new()));
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
    // It is over when the longer one is.
    store.go_away(Duration::from_secs(1));
    assert!(create(&store).await.unwrap_err().may_pass());
    assert!(store.list("job").await.is_err());
    assert_eq!(landed(&store).await, None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(create(&store).await.unwrap(), Creation::Created);
}

/// How many of the objects landed that callers sent who died meanwhile, and of how many.
async fn landed_of_the_dead(weather: Weather) -> (usize, usize) {
    let ((store, _), sent) = (store(weather), 64);
    for number in 0..sent {
        let name = format!("job/{number}");
        let bytes = Bytes::from_static(b"whole");
        // The caller dies while its request is on its way.
        assert!(store.create(&name, bytes).now_or_never().is_none());
    }
    tokio::time::sleep(Weather::fair().stalled.end).await;
    let mut landed = 0;
    for number in 0..sent {
        if let Some(bytes) = store.read(&format!("job/{number}")).await.unwrap() {
            assert_eq!(Some(bytes), whole());
            landed += 1;
        }
    }
    (landed, sent)
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_caller_sent_is_whole_or_not_there() {
    let (landed, sent) = landed_of_the_dead(Weather { land_late: 1e-9, ..Weather::fair() }).await;
    assert!(landed > 0 && landed < sent, "{landed} of {sent} landed");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_lands_late_what_a_dead_caller_sent_is_not_there() {
    assert_eq!(landed_of_the_dead(Weather::fair()).await.0, 0);
}
