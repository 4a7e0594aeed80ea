//! Watermarks on their way through a job.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use thalweg_dataflow::{
    Batch, Context, Distribution, Functions, Operator, OperatorSpec, Port, Result, Step, Watermark,
};

use thalweg_testkit::toys::*;

use super::*;
use crate::RuntimeSettings;

/// Remembers the watermarks that each subtask heard.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(u32, Watermark)>>>);

impl Heard {
    fn by(&self, subtask: u32) -> Vec<i64> {
        let heard = self.0.lock().expect("unbroken");
        heard.iter().filter(|(s, _)| *s == subtask).map(|(_, w)| w.nanos()).collect()
    }
}

impl Operator for Heard {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        assert!(batch.split.is_none(), "no split is known behind an exchange");
        cx.emit(Port::MAIN, batch.records);
        Ok(Step::Done)
    }
    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.0.lock().expect("unbroken").push((cx.subtask().0, watermark));
        Ok(Step::Done)
    }
}

/// source → pass → watermarks → shuffle → heard → sink.
fn timed(numbers: Numbers) -> (Net, Heard, Collect) {
    let (mut net, heard, sink) = (Net::default(), Heard::default(), Collect::new());
    let source = net.source("numbers", Numbers { times: true, ..numbers });
    let pass = net.operator("pass", made(Pass::default()), &[(source, Distribution::Forward)]);
    let marks = net.operator("marks", made(Watermarks::default()), &[(pass, Distribution::Forward)]);
    let hear = net.operator("hear", made(heard.clone()), &[(marks, shuffle())]);
    net.sink("out", &sink, &[(hear, Distribution::Forward)]);
    (net, heard, sink)
}

#[tokio::test]
async fn watermarks_only_rise_and_time_ends_once_at_the_end() {
    for parallelism in [1, 3] {
        let (net, heard, _) = timed(Numbers::new(&[500, 100, 300], 10));
        let settings = RuntimeSettings { shuffle_seed: Some(3), ..RuntimeSettings::default() };
        let job = net.start(parallelism, settings, &two_threads()).await;
        within(10, job.wait()).await.expect("the job ends");
        for subtask in 0..parallelism {
            let heard = heard.by(subtask);
            assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
            assert_eq!(heard.last(), Some(&i64::MAX), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_split_holds_nothing_back_for_longer_than_the_timeout() {
    for parallelism in [1, 2] {
        let (net, heard, _) = timed(Numbers { endless: true, ..Numbers::new(&[100, 0], 10) });
        let settings =
            RuntimeSettings { idle_timeout: Duration::from_millis(80), ..RuntimeSettings::default() };
        let job = net.start(parallelism, settings, &two_threads()).await;
        let all_heard = || (0..parallelism).all(|s| heard.by(s).last() == Some(&99));
        until("the silent split is idle", all_heard).await;
        job.abort();
    }
}

#[tokio::test]
async fn a_subtask_without_a_split_is_idle_at_once() {
    let (net, heard, _) = timed(Numbers { endless: true, ..Numbers::new(&[200], 10) });
    let job = net
        .start(4, RuntimeSettings { idle_timeout: Duration::MAX, ..Default::default() }, &two_threads())
        .await;
    until("time goes on", || (0..4).all(|s| heard.by(s).last() == Some(&199))).await;
    job.abort();
}

#[tokio::test]
async fn a_stop_ends_no_time() {
    let (net, heard, sink) = timed(Numbers { endless: true, ..Numbers::new(&[300, 5], 10) });
    let job = net.start(2, RuntimeSettings::default(), &two_threads()).await;
    until("rows arrive", || sink.rows().len() > 100).await;
    job.stop();
    within(10, job.wait()).await.expect("the job stops");
    for subtask in 0..2 {
        assert!(!heard.by(subtask).contains(&i64::MAX), "no window may close");
    }
}

#[tokio::test]
async fn a_stop_ends_no_time_though_some_input_has_ended() {
    let (mut net, heard, sink) = (Net::default(), Heard::default(), Collect::new());
    let ended = net.source("ended", Numbers::new(&[50], 10));
    let endless = net.source("endless", Numbers { endless: true, ..Numbers::new(&[70], 10) });
    let hear = net.operator("hear", made(heard.clone()), &[(ended, shuffle()), (endless, shuffle())]);
    net.sink("out", &sink, &[(hear, Distribution::Forward)]);
    let job = net.start(2, RuntimeSettings::default(), &two_threads()).await;
    until("all rows arrive", || sink.rows().len() == 120).await;
    let ends = || job.channels().iter().filter(|c| c.ended).count() == 6;
    until("all but one subtask of the sources have ended", ends).await;
    job.stop();
    within(10, job.wait()).await.expect("the job stops");
    assert!((0..2).all(|s| heard.by(s).is_empty()), "no window may close");
}

/// Gives rows on by the port that they came in on, and by one more for each, and so their watermarks.
#[derive(Clone, Default)]
struct Ports {
    called: Heard,
}

impl Operator for Ports {
    fn on_batch(&mut self, input: Port, batch: Batch, cx: &mut Context<'_>) -> Result<Step> {
        cx.emit(input, batch.records.clone());
        cx.emit(Port(input.0 + Ports::BESIDE), batch.records);
        Ok(Step::Done)
    }
    fn on_watermark(&mut self, watermark: Watermark, cx: &mut Context<'_>) -> Result<Step> {
        self.called.on_watermark(watermark, cx)
    }
}

impl Ports {
    /// So far behind an output is the other of the same input.
    const BESIDE: u16 = 2;
}

thalweg_testkit::toy_spec!(Ports);

impl OperatorSpec for Ports {
    fn build(&self, _: &Functions) -> Result<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
    fn output_schema(&self) -> SchemaRef {
        schema()
    }
    fn watermarks_per_port(&self) -> bool {
        true
    }
    fn input_of(&self, output: Port) -> Port {
        Port(output.0 % Self::BESIDE)
    }
}

#[tokio::test]
async fn watermarks_per_port_wait_for_no_other_port() {
    let (mut net, ports) = (Net::default(), Ports::default());
    let heard: [Heard; 4] = Default::default();
    let [ended, waiting, ended_beside, waiting_beside] = &heard;
    let numbers = |endless| Numbers { times: true, endless, ..Numbers::new(&[50], 10) };
    let mut marked = Vec::new();
    for (name, endless) in [("first", false), ("second", true)] {
        let source = net.source(name, numbers(endless));
        marked.push((source, format!("{name}-marks")));
    }
    let marked: Vec<_> = marked
        .into_iter()
        .map(|(source, name)| {
            let marks = net.operator(&name, made(Watermarks::default()), &[(source, Distribution::Forward)]);
            (marks, shuffle())
        })
        .collect();
    let node = net.operator("state", Arc::new(ports.clone()), &marked);
    for (port, heard) in (0..).zip(&heard) {
        let hear = net.operator(&format!("hear-{port}"), made(heard.clone()), &[]);
        net.edge((node, Port(port)), (hear, Port::MAIN), shuffle());
        net.sink(&format!("out-{port}"), &Collect::new(), &[(hear, Distribution::Forward)]);
    }
    let job = net.start(1, RuntimeSettings::default(), &two_threads()).await;
    for (ended, waiting) in [(ended, waiting), (ended_beside, waiting_beside)] {
        until("the first pipeline ends", || ended.by(0).last() == Some(&i64::MAX)).await;
        until("the second has heard all it can", || waiting.by(0).last() == Some(&49)).await;
    }
    until("the node itself knows the lowest", || ports.called.by(0).last() == Some(&49)).await;
    job.stop();
    within(10, job.wait()).await.expect("the job stops");
}
