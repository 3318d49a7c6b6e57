//! The threads that carry the bytes of all engines of this process.
//!
//! One for each engine would be a thousand for a thousand hosts. They hold nothing of any engine:
//! each engine has one of them from its connection on.

use std::future::pending;
use std::io;
use std::num::NonZeroUsize;
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
static SHARED: Mutex<(Vec<Handle>, usize)> = Mutex::new((Vec::new(), 0));

/// Where futures of one engine wait for input and output, each time the next one. The thread behind
/// it goes with the process.
pub(super) fn shared() -> io::Result<Handle> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let (carriers, asked) = &mut *shared;
    let most = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(CARRIERS);
    if carriers.len() < most {
        carriers.push(carrier()?);
    }
    *asked += 1;
    Ok(carriers[*asked % carriers.len()].clone())
}

fn carrier() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUPS)
        .thread_stack_size(STACK)
        .build()?;
    let handle = runtime.handle().clone();
    let carrier = thread::Builder::new().name("engines".to_owned()).stack_size(STACK);
    carrier.spawn(move || runtime.block_on(pending::<()>()))?;
    Ok(handle)
}
