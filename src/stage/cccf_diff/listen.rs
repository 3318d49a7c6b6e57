//! Reading a side on a thread of its own.
//!
//! What is told crosses to the loop in portions of text and where the containers are in it: of most
//! the loop keeps nothing, and pieces that one thread makes and the other gives back cost more.

use std::cell::RefCell;
use std::ops::Range;

use super::{Channel, Side};
use crate::error::Error;
use crate::logic::reconcile::{Eye, Said, Seen};
use crate::pipe::{Found, Reader};
use crate::record::Record;

/// What a reading thread tells the loop.
pub(super) enum Told {
    /// A container, of which no more is needed than what was seen of it.
    Seen(Place, Said),
    /// Any other record.
    Record(Box<Record>),
    /// Something that is no record.
    Bad(Error),
    /// The input has ended; whether its end says that it is whole.
    Ended(bool),
    /// The input cannot be read.
    Failed(Error),
}

/// Where in the text of its portion a container is, and where its name.
pub(super) struct Place {
    document: Range<usize>,
    id: Range<usize>,
}

/// What was told before the thread had to wait, or enough of it.
pub(super) struct Portion {
    pub(super) side: Side,
    /// The text of the containers that were seen.
    pub(super) text: String,
    pub(super) told: Vec<Told>,
}

/// The most bytes of text, and the most records, that are told at a time.
const TEXT: usize = 64 * 1024;
const RECORDS: usize = 256;

impl Place {
    /// What was seen there.
    pub(super) fn seen(self, text: &str, said: Said) -> Seen<'_> {
        Seen { id: &text[self.id], text: &text[self.document], said }
    }
}

impl Portion {
    fn new(side: Side) -> Portion {
        let text = String::with_capacity(TEXT + 4096);
        Portion { side, text, told: Vec::with_capacity(RECORDS) }
    }

    fn is_full(&self) -> bool {
        self.text.len() >= TEXT || self.told.len() >= RECORDS
    }

    /// Takes in the text of a container that was seen.
    fn take(&mut self, seen: Seen) -> Told {
        let start = self.text.len();
        let id = start + (seen.id.as_ptr() as usize - seen.text.as_ptr() as usize);
        self.text.push_str(seen.text);
        let place = Place { document: start..self.text.len(), id: id..id + seen.id.len() };
        Told::Seen(place, seen.said)
    }

    /// # Errors
    /// When nobody listens any more: the program ends.
    fn hand_over(&mut self, to: &Channel) -> Result<(), Error> {
        if self.told.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(self, Portion::new(self.side));
        to.send(full).map_err(|_| super::hung_up())
    }
}

/// Reads one side on a thread of its own, which ends with the program.
pub(super) fn listen(side: Side, reader: Reader, whole: bool, eye: Eye, to: Channel) {
    std::thread::spawn(move || run(side, reader, whole, eye, &to));
}

fn run(side: Side, mut reader: Reader, whole: bool, mut eye: Eye, to: &Channel) {
    let portion = RefCell::new(Portion::new(side));
    let mut parse = |text: &str| match eye.glance(text) {
        Some(seen) => Ok(portion.borrow_mut().take(seen)),
        None => Record::parse(text).map(|record| Told::Record(Box::new(record))),
    };
    // Whoever waits for more has told all that there is.
    let mut hand_over = || portion.borrow_mut().hand_over(to);
    loop {
        let told = match reader.read_as(&mut hand_over, &mut parse) {
            Ok(Found::Record(_, told)) => told,
            Ok(Found::Bad(why)) => Told::Bad(why),
            Ok(Found::End) => Told::Ended(whole || reader.is_closed_array()),
            Err(why) => Told::Failed(why),
        };
        let over = matches!(told, Told::Ended(_) | Told::Failed(_));
        portion.borrow_mut().told.push(told);
        if over || portion.borrow().is_full() {
            let nobody_listens = hand_over().is_err();
            if nobody_listens || over {
                return;
            }
        }
    }
}
