//! When the leases of a host are to be extended, and by which question (RFC 8415 section 18.2).
//!
//! A [`Course`] is one lease's way through time: T1, T2, its end, the tries in between. An
//! [`Agenda`] holds those of a whole host and says which is next. Times are of the boot clock, which
//! nobody sets and which goes on while the machine sleeps; what is written down in times of day is
//! brought over once, by [`Terms::of`].
//!
//! What the RFC leaves to the client, and what is different here:
//!
//! - A Renew goes out some time after T1, within the first half of what there is until T2, at a place
//!   that follows from the name of the link. Ten thousand leases that began in one second do not end
//!   their terms in one second.
//! - A question is one transmission, or a few where section 18.2 has them seconds apart, and then the
//!   sockets are closed. The next is asked when the time of section 15 has come: the wait doubles from
//!   ten seconds to ten minutes. Terms that are too short for that have shorter waits.
//! - Where nobody answers on a whole segment (a bridge), two questions at a time are enough to find
//!   out when somebody does. Then all that went without an answer are asked again, those that end first
//!   before the others.

mod agenda;
mod clock;
mod course;

pub use agenda::{Agenda, Outcome};
pub use clock::{Jumps, Now, Watch};
pub use course::{Ask, Attempt, Course, Terms, share};

#[cfg(test)]
mod tests;
