//! What comes from outside: what the sources tell, each from its own thread, and that the reader of
//! the output has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

use crate::adapter::sources::{Source, Told};
use crate::error::Result;
use crate::logic::leases::{Now, Word};
use crate::pipe::reader_leaves;

/// How many things may wait to be taken in; a source that is faster has to wait.
const WAITING: usize = 16;

/// How long a source may wait by itself before it is asked whether there is more to do.
const TURN: Duration = Duration::from_millis(250);

/// Something that came from outside.
pub enum Event {
    /// What the source of that number tells, but for what its database says.
    Told(usize, Result<Told>),
    /// What its database says.
    Said(usize, Vec<Word>),
    /// Nobody reads the output any more.
    ReaderLeft,
}

/// A source, and the wish that it tells everything anew.
pub type Asked = (Box<dyn Source>, Arc<AtomicBool>);

/// Reads every source in a thread of its own. The threads end with the program.
pub fn listen(sources: Vec<Asked>) -> Receiver<Event> {
    let (events, heard) = sync_channel(WAITING);
    let reader = events.clone();
    std::thread::spawn(move || {
        reader_leaves();
        // Without a listener the program is ending already.
        let _ = reader.send(Event::ReaderLeft);
    });
    for (at, (source, again)) in sources.into_iter().enumerate() {
        let events = events.clone();
        std::thread::spawn(move || read(at, source, &again, &events));
    }
    heard
}

fn read(at: usize, mut source: Box<dyn Source>, again: &AtomicBool, events: &SyncSender<Event>) {
    loop {
        if again.swap(false, Ordering::Relaxed) {
            source.look_again();
        }
        let told = source.next(Instant::now() + TURN);
        let is_over = told.is_err();
        let sent = match told {
            Ok(Told::Same) => Ok(()),
            Ok(Told::Said(all)) => {
                events.send(Event::Said(at, all.into_iter().map(Word::from).collect()))
            }
            told => events.send(Event::Told(at, told)),
        };
        if sent.is_err() || is_over {
            return;
        }
    }
}

/// Now, by both clocks.
pub fn clocks() -> Now {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
    Now { wall: Timestamp::now(), boot: boot.unwrap_or_default() }
}
