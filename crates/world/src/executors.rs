//! Where futures run: data apart from control.
//!
//! A pipeline runs fastest when each of its subtasks stays on one thread, so
//! data executors are single-threaded and a future is given to one by index.
//! Control runs on another, so that a slow operator starves no heartbeat.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs futures.
pub trait Executors: Send + Sync {
    /// The number of data executors, at least 1.
    fn data_threads(&self) -> usize;

    /// Starts a future on data executor `index`, taken modulo their number.
    fn spawn_data(&self, index: usize, future: BoxFuture<'static, ()>) -> Task;

    /// Starts a future on the control executor.
    fn spawn_control(&self, future: BoxFuture<'static, ()>) -> Task;

    /// Starts a future where it may compute and block for long: snapshots are written there.
    fn spawn_background(&self, future: BoxFuture<'static, ()>) -> Task;
}

/// A future that runs elsewhere. Awaiting it waits until it is gone: finished, dropped or panicked.
/// Dropping the task leaves the future running.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Wraps a future that tokio runs.
    pub fn new(handle: JoinHandle<()>) -> Self {
        Self(handle)
    }

    /// Drops the future at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the future is gone.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

/// One operating system thread with its own runtime per core for data, one more for the
/// background; the runtime that made it for control.
#[derive(Debug)]
pub struct ThreadPerCore {
    data: Vec<OwnThread>,
    background: OwnThread,
    control: Handle,
}

/// As much as a main thread has on Linux. An interpreter takes that for granted when it lets functions call
/// each other, and a thread pays only for what it has used.
const STACK_BYTES: usize = 8 << 20;

/// One in so many times, a thread first looks for whom other threads have woken: a sink whose write is done, say.
/// By tokio's own measure it would be each 31st time as long as any task is ready, and a slow function may
/// have a tenth of a second each time.
const AWAY_ONE_IN: u32 = 2;

#[derive(Debug)]
struct OwnThread {
    handle: Handle,
    // Dropped with the executors: the thread sees it and ends.
    _stop: oneshot::Sender<()>,
}

impl ThreadPerCore {
    /// Starts `threads` data threads, or one per core.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(threads: Option<usize>) -> io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.unwrap_or_else(cores).max(1);
        let data = (0..threads).map(|index| OwnThread::start(format!("data-{index}")));
        let data = data.collect::<io::Result<_>>()?;
        let background = OwnThread::start("background".to_owned())?;
        Ok(Self { data, background, control: Handle::current() })
    }
}

impl OwnThread {
    fn start(name: String) -> io::Result<Self> {
        let runtime =
            Builder::new_current_thread().enable_all().global_queue_interval(AWAY_ONE_IN).build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
            // The sender is only ever dropped; both outcomes mean the same.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _stop: stop })
    }
}

impl Executors for ThreadPerCore {
    fn data_threads(&self) -> usize {
        self.data.len()
    }

    fn spawn_data(&self, index: usize, future: BoxFuture<'static, ()>) -> Task {
        Task(self.data[index % self.data.len()].handle.spawn(future))
    }

    fn spawn_control(&self, future: BoxFuture<'static, ()>) -> Task {
        Task(self.control.spawn(future))
    }

    fn spawn_background(&self, future: BoxFuture<'static, ()>) -> Task {
        Task(self.background.handle.spawn(future))
    }
}

/// The runtime that made it, for data and control alike.
#[derive(Debug)]
pub struct OneThread(Handle);

impl OneThread {
    /// Everything runs on the calling runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }
}

impl Executors for OneThread {
    fn data_threads(&self) -> usize {
        1
    }

    fn spawn_data(&self, _: usize, future: BoxFuture<'static, ()>) -> Task {
        Task(self.0.spawn(future))
    }

    fn spawn_control(&self, future: BoxFuture<'static, ()>) -> Task {
        Task(self.0.spawn(future))
    }

    fn spawn_background(&self, future: BoxFuture<'static, ()>) -> Task {
        Task(self.0.spawn(future))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};
    use std::thread::ThreadId;
    use std::time::Duration;

    async fn thread_of(spawn: impl FnOnce(BoxFuture<'static, ()>) -> Task) -> ThreadId {
        let (send, receive) = mpsc::channel();
        spawn(Box::pin(async move { send.send(thread::current().id()).expect("the test waits") })).await;
        receive.recv().expect("the task has run")
    }

    #[tokio::test]
    async fn each_data_executor_is_a_thread_of_its_own_apart_from_control() {
        let executors = ThreadPerCore::start(Some(2)).expect("threads can be started");
        let control = thread_of(|f| executors.spawn_control(f)).await;
        let first = thread_of(|f| executors.spawn_data(0, f)).await;
        let second = thread_of(|f| executors.spawn_data(1, f)).await;
        let third = thread_of(|f| executors.spawn_data(2, f)).await;
        assert_eq!(control, thread::current().id());
        assert_eq!(first, third);
        assert!(first != second && first != control && second != control);
    }

    #[tokio::test]
    async fn who_is_woken_from_elsewhere_waits_for_few_turns_of_a_busy_task() {
        let executors = ThreadPerCore::start(Some(1)).expect("threads can be started");
        let turns = Arc::new(AtomicUsize::new(0));
        let busy = Arc::clone(&turns);
        let always_ready = std::future::poll_fn(move |cx| {
            busy.fetch_add(1, Relaxed);
            thread::sleep(Duration::from_millis(1));
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let always_ready = executors.spawn_data(0, Box::pin(always_ready));
        let (send, waits) = mpsc::channel();
        let wakes = async move {
            for _ in 0..10 {
                let before = turns.load(Relaxed);
                tokio::task::spawn_blocking(|| ()).await.expect("nothing panics");
                send.send(turns.load(Relaxed) - before).expect("the test waits");
            }
        };
        executors.spawn_data(0, Box::pin(wakes)).await;
        always_ready.abort();
        // However late others are woken on a busy machine, one of ten is not.
        let least = waits.iter().min().expect("ten waits");
        assert!(least < 10, "{least} turns");
    }

    #[tokio::test]
    async fn an_aborted_task_drops_its_future() {
        let executors = ThreadPerCore::start(Some(1)).expect("threads can be started");
        let (send, receive) = mpsc::channel::<()>();
        let task = executors.spawn_data(
            0,
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(send);
            }),
        );
        task.abort();
        task.await;
        assert!(receive.recv().is_err(), "the sender lives in the future");
    }

    #[tokio::test]
    async fn one_thread_runs_everything_here() {
        let executors = OneThread::current();
        assert_eq!(thread_of(|f| executors.spawn_data(3, f)).await, thread::current().id());
    }
}
