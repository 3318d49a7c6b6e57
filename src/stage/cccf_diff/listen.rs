//! Reading a side on a thread of its own.

use super::{Channel, Side};
use crate::error::Error;
use crate::logic::reconcile::{Eye, Seen};
use crate::pipe::{Found, Reader};
use crate::record::Record;

/// What a reading thread tells the loop.
pub(super) enum Told {
    /// A container, of which no more is needed than what was seen of it.
    Seen(Seen),
    /// Any other record.
    Record(Box<Record>),
    /// Something that is no record.
    Bad(Error),
    /// The input has ended; whether its end says that it is whole.
    Ended(bool),
    /// The input cannot be read.
    Failed(Error),
}

/// The most that is told at a time.
const PORTION: usize = 256;

/// Reads one side on a thread of its own, which ends with the program.
pub(super) fn listen(side: Side, mut reader: Reader, whole: bool, mut eye: Eye, to: Channel) {
    let mut parse = move |text: &str| match eye.glance(text) {
        Some(seen) => Ok(Told::Seen(seen)),
        None => Record::parse(text).map(|record| Told::Record(Box::new(record))),
    };
    std::thread::spawn(move || {
        let mut portion = Vec::with_capacity(PORTION);
        loop {
            // Whoever waits for more has told all that there is.
            let mut before_wait = || match portion.is_empty() {
                true => Ok(()),
                false => hand_over(&to, side, &mut portion),
            };
            let told = match reader.read_as(&mut before_wait, &mut parse) {
                Ok(Found::Record(_, told)) => told,
                Ok(Found::Bad(why)) => Told::Bad(why),
                Ok(Found::End) => Told::Ended(whole || reader.is_closed_array()),
                Err(why) => Told::Failed(why),
            };
            let over = matches!(told, Told::Ended(_) | Told::Failed(_));
            portion.push(told);
            if over || portion.len() == PORTION {
                let nobody_listens = hand_over(&to, side, &mut portion).is_err();
                if nobody_listens || over {
                    return;
                }
            }
        }
    });
}

/// # Errors
/// When nobody listens any more: the program ends.
fn hand_over(to: &Channel, side: Side, portion: &mut Vec<Told>) -> Result<(), Error> {
    let portion = std::mem::replace(portion, Vec::with_capacity(PORTION));
    to.send((side, portion)).map_err(|_| super::hung_up())
}
