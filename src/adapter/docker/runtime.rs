//! The thread that carries the bytes of all engines of this process.
//!
//! One for each engine would be a thousand for a thousand hosts. It holds nothing of any engine:
//! what a call is, and what its answer means, is worked out on the thread that calls.

use std::future::pending;
use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};

/// What of a name is looked up at a time; the resolver blocks a thread for each.
const LOOKUPS: usize = 64;

/// The stack of each of these threads.
const STACK: usize = 256 * 1024;

/// Where futures can wait for input and output. The thread behind it is there from the first call
/// on, and goes with the process.
pub(super) fn shared() -> io::Result<Handle> {
    static SHARED: Mutex<Option<Handle>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*shared {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(LOOKUPS)
        .thread_stack_size(STACK)
        .build()?;
    let handle = runtime.handle().clone();
    let carrier = std::thread::Builder::new().name("engines".to_owned()).stack_size(STACK);
    carrier.spawn(move || runtime.block_on(pending::<()>()))?;
    *shared = Some(handle.clone());
    Ok(handle)
}
