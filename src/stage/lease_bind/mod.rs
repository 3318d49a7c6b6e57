//! lease-bind: a container's address is reserved for it, and the ledger knows whose it was.
//!
//! The order of the acts makes every stop in between harmless. What begins is first entered in the
//! ledger, then reserved, then named, then told; what ends is first named no more, then reserved no
//! more, then closed in the ledger, then told. So whatever is reserved or named is open in the ledger,
//! and what is open and wanted no more is found and closed at the next checkpoint.

mod ask;
mod binder;
mod names;
mod reserve;
mod store;

pub use ask::ask;
pub use names::{Naming, Protect};
pub use reserve::Reserve;
pub use store::Kept;

use std::time::Duration;

use self::binder::Binder;
use self::names::Namer;
use self::reserve::Reservations;
use self::store::Store;
use crate::error::Result;
use crate::pipe::Stdio;
use crate::record::{Of, Record};

/// What lease-bind works on.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where bindings are kept.
    pub kept: Kept,
    /// Where addresses are reserved.
    pub reserve: Reserve,
    /// What containers are called in the DNS; nothing when absent.
    pub naming: Option<Naming>,
    /// How long bindings are kept that have ended; for ever when absent.
    pub retain: Option<Duration>,
}

/// Serves standard input to its end.
///
/// # Errors
/// When a stream fails, or the ledger or the directory of reservations cannot be opened. What fails
/// for one record is told, and the record goes on as failed.
pub fn run(mut stdio: Stdio, options: &Options) -> Result<()> {
    let reservations = Reservations::open(&options.reserve)?;
    let namer = options.naming.as_ref().map(Namer::open).transpose()?;
    let mut binder = Binder::new(Store::open(&options.kept)?, reservations, namer);
    while let Some(record) = stdio.read()? {
        match record {
            Record::Change(change) => {
                for record in binder.change(*change, &stdio.report) {
                    stdio.write(&record)?;
                }
            }
            Record::Container(container) => {
                for record in binder.container(*container, &stdio.report) {
                    stdio.write(&record)?;
                }
            }
            Record::Checkpoint(checkpoint) if checkpoint.of == Of::Change => {
                for closed in binder.checkpoint(&checkpoint, &stdio.report) {
                    stdio.write(&Record::Binding(closed))?;
                }
                stdio.write(&Record::Checkpoint(checkpoint))?;
                binder.forget(options.retain, &stdio.report);
            }
            other => stdio.write(&other)?,
        }
    }
    stdio.finish()
}
