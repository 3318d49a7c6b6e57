//! Reading on a thread of its own, while what was read before is placed.
//!
//! What crosses from one thread to the other are portions of text and where the records are in them:
//! pieces that one thread makes and the other gives back would cost more than is gained.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use crate::error::{Error, Kind, Result};
use crate::logic::diff::Looker;
use crate::pipe::{Found, Reader};
use crate::record::{Bytes, Cpus, Record};

/// The most bytes of text, and the most records, that are handed over at a time.
const TEXT: usize = 64 * 1024;
const RECORDS: usize = 512;

/// Portions that the thread may be ahead.
const AHEAD: usize = 8;

/// What was read before the thread had to wait, or enough of it.
pub(super) struct Portion {
    /// The text of the plain ones, and behind each the document of what else it asks for.
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

/// Where a new container is in the text, and what it asks for.
pub(super) struct Plain {
    /// The record.
    pub(super) at: Range<usize>,
    /// Its name.
    pub(super) id: Range<usize>,
    /// The limits that are needs as well.
    pub(super) cpus: Option<Cpus>,
    pub(super) memory: Option<Bytes>,
    /// A document of the other fields that decide where it goes: the same for containers that differ
    /// in nothing but their names and limits.
    pub(super) else_asked: Range<usize>,
}

/// What an `add` of which no more is said has before its container.
const ADD: &str = r#"{"kind":"change","action":"add","container":"#;

/// The fields that decide where a container goes, apart from its name and limits.
const DECIDING: [&str; 6] =
    ["gpus", "ports", "labels", "requires", "scaled_from", "private_network"];

/// A document that says nothing, without its end.
const NOTHING: &str = r#"{"id":"a","image":"a""#;

impl Plain {
    /// How much further than its name begins the record has a place where a host can be put.
    pub(super) fn gap(&self) -> usize {
        self.id.end + 1 - self.at.start
    }
}

impl Portion {
    /// Takes in a record of which all can be seen at a glance; nothing when that is not all.
    fn take(&mut self, text: &str, looker: &mut Looker) -> Option<Plain> {
        let added = text.strip_prefix(ADD).and_then(|rest| rest.strip_suffix('}'));
        let (mut cpus, mut memory, mut decide) = (None, None, [None; DECIDING.len()]);
        let seen = looker.glance_over(added.unwrap_or(text), |name, value| match name {
            "cpus" => cpus = Some(value),
            "memory" => memory = Some(value),
            _ => {
                if let Some(at) = DECIDING.iter().position(|deciding| *deciding == name) {
                    decide[at] = Some(value);
                }
            }
        })?;
        if seen.is_placed || seen.has_failed {
            return None;
        }
        let (cpus, memory) = (limit(cpus)?, limit(memory)?);
        let start = self.text.len();
        let id = start + (seen.id.as_ptr() as usize - text.as_ptr() as usize);
        self.text.push_str(text);
        let end = self.text.len();
        self.text.push_str(NOTHING);
        for (name, value) in DECIDING.into_iter().zip(decide) {
            self.text.extend(value.into_iter().flat_map(|value| [",\"", name, "\":", value]));
        }
        self.text.push('}');
        let id = id..id + seen.id.len();
        Some(Plain { at: start..end, id, cpus, memory, else_asked: end..self.text.len() })
    }
}

/// A limit, if there is one; nothing when it is no limit.
fn limit<T: serde::de::DeserializeOwned>(value: Option<&str>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| serde_json::from_str(value).ok())
}

/// Starts reading; `glances` says whether plain records are told as such. The thread ends with its
/// input or with the program. Portions that were used can be given back to it.
pub(super) fn read(reader: Reader, glances: bool) -> (Receiver<Portion>, Sender<Portion>) {
    let (sender, portions) = sync_channel(AHEAD);
    let (back, used) = channel();
    std::thread::spawn(move || run(reader, glances, &sender, &used));
    (portions, back)
}

fn run(mut reader: Reader, glances: bool, to: &SyncSender<Portion>, used: &Receiver<Portion>) {
    let mut looker = Looker::default();
    let gathered = RefCell::new(Portion::new());
    let mut parse = |text: &str| {
        let plain = glances.then(|| gathered.borrow_mut().take(text, &mut looker)).flatten();
        match plain {
            Some(plain) => Ok(Ahead::Plain(plain)),
            None => Record::parse(text).map(|record| Ahead::Record(Box::new(record))),
        }
    };
    // Before more is waited for, all that was found is handed over.
    let mut hand_over = || gathered.borrow_mut().hand_over(to, used);
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
    fn hand_over(&mut self, to: &SyncSender<Portion>, used: &Receiver<Portion>) -> Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut empty = used.try_recv().unwrap_or_else(|_| Portion::new());
        empty.text.clear();
        empty.found.clear();
        let full = std::mem::replace(self, empty);
        to.send(full).map_err(|_| Error::new(Kind::Bug, "nobody takes what is read"))
    }
}
