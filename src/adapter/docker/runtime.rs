//! The threads that carry the bytes of all engines of this process.
//!
//! One for each engine would be a thousand for a thousand hosts. They hold nothing of any engine:
//! each engine has one of them from its connection on.

use std::future::pending;
use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{Builder, Handle};

/// How many there are at most; fewer where there are fewer processors.
const CARRIERS: usize = 4;

/// What of a name is looked up at a time through each; the resolver blocks a thread for each.
const LOOKUPS: usize = 32;

/// The stack of each of these threads.
const STACK: usize = 1024 * 1024;

/// The threads that are there, and how often one was asked for.
static SHARED: Mutex<(Vec<Carrier>, usize)> = Mutex::new((Vec::new(), 0));

/// One of these threads. It goes with the process.
#[derive(Clone)]
pub(super) struct Carrier(Handle);

impl Carrier {
    /// Each time the next one.
    pub(super) fn shared() -> io::Result<Carrier> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let (carriers, asked) = &mut *shared;
        let most = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(CARRIERS);
        if carriers.len() < most {
            carriers.push(Carrier::start()?);
        }
        *asked += 1;
        Ok(carriers[*asked % carriers.len()].clone())
    }

    fn start() -> io::Result<Carrier> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS)
            .thread_stack_size(STACK)
            .build()?;
        let handle = runtime.handle().clone();
        let carrier = thread::Builder::new().name("engines".to_owned()).stack_size(STACK);
        carrier.spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(Carrier(handle))
    }

    /// Works here, with the bytes carried over there.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    /// Has the work done over there and waits for it. To speak to an engine takes a deep stack, and a
    /// thousand threads may be waiting for one each: so they need next to none.
    pub(super) fn carry<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send,
    {
        // It is begun over there as well: here it would be on the stack before it is off it.
        let work = self.0.spawn(async move { Box::pin(work()).await });
        // It is never cancelled.
        self.0.block_on(work).unwrap_or_else(|why| resume_unwind(why.into_panic()))
    }
}
