//! Reading on a thread of its own, while what was read before is placed.
//!
//! What crosses from one thread to the other are portions of text and where the records are in them:
//! pieces that one thread makes and the other gives back would cost more than is gained.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Error, Kind, Result};
use crate::logic::diff::Looker;
use crate::pipe::{Found, Reader};
use crate::record::{Container, Record, Split};

/// The most bytes of text, and the most records, that are handed over at a time.
const TEXT: usize = 64 * 1024;
const RECORDS: usize = 512;

/// Portions that the thread may be ahead.
const AHEAD: usize = 8;

/// What was read before the thread had to wait, or enough of it.
pub(super) struct Portion {
    /// The text of the plain ones.
    pub(super) text: String,
    pub(super) found: Vec<Ahead>,
}

/// One thing that was read.
pub(super) enum Ahead {
    /// A new container that has no host and that could be seen at a glance.
    Plain(Plain),
    /// Any other record.
    Record(Box<Record>),
    /// Something that is no record.
    Bad(Error),
    /// The input cannot be read.
    Failed(Error),
    /// The end of the input.
    End,
}

/// Where a new container is in the text.
pub(super) struct Plain {
    /// The record.
    pub(super) at: Range<usize>,
    /// Where in it a host can be put.
    pub(super) gap: usize,
    /// Whether it is an `add`, and not the container alone.
    pub(super) is_change: bool,
}

/// What an `add` of which no more is said has before its container.
const ADD: &str = r#"{"kind":"change","action":"add","container":"#;

/// The fields that decide where a container goes.
const DECIDING: [&str; 9] =
    ["id", "image", "cpus", "memory", "gpus", "ports", "labels", "requires", "scaled_from"];

impl Plain {
    /// Of a record's text, what of it can be seen at a glance; nothing when that is not all.
    fn glance(text: &str, looker: &mut Looker, start: usize) -> Option<Plain> {
        let added = text.strip_prefix(ADD).and_then(|rest| rest.strip_suffix('}'));
        let seen = looker.glance(added.unwrap_or(text))?;
        if seen.is_placed || seen.has_failed {
            return None;
        }
        let gap = seen.id.as_ptr() as usize - text.as_ptr() as usize + seen.id.len() + 1;
        Some(Plain { at: start..start + text.len(), gap, is_change: added.is_some() })
    }

    /// The container, without what does not decide where it goes.
    pub(super) fn container(&self, text: &str) -> Result<Container> {
        let bug = |why: String| Error::new(Kind::Bug, "read container again").why(why);
        let document = match self.is_change {
            true => &text[ADD.len()..text.len() - 1],
            false => text,
        };
        let mut fields = Split::parse(document).map_err(|why| bug(why.to_string()))?;
        fields.keep(&DECIDING);
        Container::try_from(fields).map_err(bug)
    }
}

/// Starts reading; `glances` says whether plain records are told as such. The thread ends with its
/// input or with the program.
pub(super) fn read(reader: Reader, glances: bool) -> Receiver<Portion> {
    let (sender, portions) = sync_channel(AHEAD);
    std::thread::spawn(move || run(reader, glances, &sender));
    portions
}

fn run(mut reader: Reader, glances: bool, to: &SyncSender<Portion>) {
    let mut looker = Looker::default();
    let gathered = RefCell::new(Portion::new());
    let mut parse = |text: &str| {
        let gathered = &mut gathered.borrow_mut().text;
        let plain = glances.then(|| Plain::glance(text, &mut looker, gathered.len())).flatten();
        match plain {
            Some(plain) => {
                gathered.push_str(text);
                Ok(Ahead::Plain(plain))
            }
            None => Record::parse(text).map(|record| Ahead::Record(Box::new(record))),
        }
    };
    // Before more is waited for, all that was found is handed over.
    let mut hand_over = || gathered.borrow_mut().hand_over(to);
    loop {
        let found = match reader.read_as(&mut hand_over, &mut parse) {
            Ok(Found::Record(_, found)) => found,
            Ok(Found::Bad(why)) => Ahead::Bad(why),
            Ok(Found::End) => Ahead::End,
            Err(why) => Ahead::Failed(why),
        };
        let is_last = matches!(found, Ahead::End | Ahead::Failed(_));
        gathered.borrow_mut().found.push(found);
        if is_last || gathered.borrow().is_full() {
            let nobody_listens = hand_over().is_err();
            if nobody_listens || is_last {
                return;
            }
        }
    }
}

impl Portion {
    fn new() -> Portion {
        Portion { text: String::with_capacity(TEXT + 4096), found: Vec::with_capacity(RECORDS) }
    }

    fn is_full(&self) -> bool {
        self.text.len() >= TEXT || self.found.len() >= RECORDS
    }

    /// # Errors
    /// When nobody listens any more: the program ends.
    fn hand_over(&mut self, to: &SyncSender<Portion>) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(self, Portion::new());
        to.send(full).map_err(|_| Error::new(Kind::Bug, "nobody takes what is read"))
    }
}
