//! The threads that carry the bytes of engines.
//!
//! One for each engine would be a thousand for a thousand hosts. They hold nothing of any engine:
//! each engine has one of them from its connection on.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How many there are at most; fewer where there are fewer processors.
const CARRIERS: usize = 4;

/// What of a name is looked up at a time through each; the resolver blocks a thread for each.
const LOOKUPS: usize = 32;

/// The stack of each of these threads.
const STACK: usize = 1024 * 1024;

/// The threads that carry the bytes of engines: a few, for however many engines. Clones share them.
///
/// Who connects to engines has one of these for all of them. There are no threads until an engine is
/// connected to, and none any more once all clones and all of the engines are gone; no end of a
/// program waits for them.
#[derive(Clone, Debug, Default)]
pub struct Carriers(Arc<Mutex<Crew>>);

/// The threads that are there, and how often one was asked for.
#[derive(Debug, Default)]
struct Crew {
    carriers: Vec<Carrier>,
    asked: usize,
}

/// One of these threads. It goes with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Carrier {
    handle: Handle,
    /// Nothing is ever said; the thread hears that nobody could any more.
    _wanted: Arc<oneshot::Sender<Infallible>>,
}

impl Carriers {
    /// Each time the next one.
    pub(super) fn next(&self) -> io::Result<Carrier> {
        let mut crew = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Crew { carriers, asked } = &mut *crew;
        if carriers.len() < most() {
            carriers.push(Carrier::start()?);
        }
        *asked += 1;
        Ok(carriers[*asked % carriers.len()].clone())
    }
}

fn most() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(CARRIERS)
}

impl Carrier {
    fn start() -> io::Result<Carrier> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS)
            .thread_stack_size(STACK)
            .build()?;
        let handle = runtime.handle().clone();
        let (wanted, unwanted) = oneshot::channel();
        let carrier = thread::Builder::new().name("engines".to_owned()).stack_size(STACK);
        carrier.spawn(move || {
            let _ = runtime.block_on(unwanted);
            // A resolver may take minutes to give a name up.
            runtime.shutdown_background();
        })?;
        Ok(Carrier { handle, _wanted: Arc::new(wanted) })
    }

    /// Works here, with the bytes carried over there.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    /// Has the work done over there and waits for it. To speak to an engine takes a deep stack, and a
    /// thousand threads may be waiting for one each: so they need next to none.
    pub(super) fn carry<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        // It is begun over there as well: here it would be on the stack before it is off it.
        let work = self.handle.spawn(async move { Box::pin(work()).await });
        // It is never cancelled.
        self.handle.block_on(work).unwrap_or_else(|why| resume_unwind(why.into_panic()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn many_engines_share_a_few_threads_evenly() {
        const EACH: usize = 50;
        let carriers = Carriers::default();
        assert!(carriers.0.lock().unwrap().carriers.is_empty(), "a thread that nobody needs");
        let mut engines = HashMap::new();
        for _ in 0..EACH * most() {
            let carrier = carriers.clone().next().unwrap();
            let thread = carrier.carry(|| async { thread::current().id() });
            *engines.entry(thread).or_insert(0) += 1;
        }
        assert_eq!(engines.len(), most());
        assert!(!engines.contains_key(&thread::current().id()));
        let uneven = |count: &&usize| count.abs_diff(EACH) > most();
        assert_eq!(engines.values().find(uneven), None, "{engines:?}");
    }

    #[test]
    fn a_thread_ends_with_the_last_who_may_need_it() {
        let carriers = Carriers::default();
        let engine = carriers.next().unwrap();
        let thread = engine.carry(|| async { nix::unistd::gettid() });
        let thread = PathBuf::from(format!("/proc/self/task/{thread}"));
        // A name that nobody resolves holds up nothing.
        let (resolve, resolved) = mpsc::channel::<()>();
        engine.handle.spawn_blocking(move || resolved.recv());
        drop(carriers);
        engine.carry(|| async { sleep(Duration::from_millis(20)).await });
        engine.block_on(async { sleep(Duration::from_millis(20)).await });
        assert!(thread.exists(), "an engine was left alone");
        drop(engine);
        let until = Instant::now() + Duration::from_secs(20);
        while thread.exists() {
            assert!(Instant::now() < until, "it goes on");
            thread::sleep(Duration::from_millis(1));
        }
        drop(resolve);
    }
}
