//! The conversation with the kernel, in the network namespace that the socket was opened in.

use std::io;

use netlink_sys::{self as sys, protocols::NETLINK_NETFILTER};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::attribute::{Attributes, number, value};
use super::message::{self, Batch, FAMILY, HEADER, Kind, flags};

/// Kinds and flags of the kernel's own answers (linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const INTERRUPTED: u16 = 0x10;
const HAS_DETAILS: u16 = 0x200;

/// The attribute of an error's details that says where in the message it is
/// (`NLMSGERR_ATTR_OFFS`).
const OFFSET: u16 = 2;

/// The kernel answers before it takes the next question; an answer that has not come after so many
/// seconds was lost.
const PATIENCE: i64 = 30;

/// Why the kernel did not do what it was asked.
#[derive(Debug)]
pub struct Refusal {
    /// Its error.
    pub why: Errno,
    /// What was being done.
    pub doing: String,
    /// The expression of a rule that it is about.
    pub expression: Option<String>,
}

/// A socket to the kernel's packet filter.
pub struct Socket {
    socket: sys::Socket,
    /// The number that the next message gets.
    next: u32,
}

impl Socket {
    /// Opens one in the network namespace of the calling thread.
    pub fn open() -> io::Result<Socket> {
        let mut socket = sys::Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        // With it an answer does not bring back the question, and says where in it the fault is.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        Ok(Socket { socket, next: 1 })
    }

    /// Does all of a batch at one moment, or nothing of it.
    ///
    /// # Errors
    /// `ERESTART` when the kernel's tables are not of `generation` any more.
    pub fn commit(&mut self, batch: &Batch, generation: u32) -> Result<(), Refusal> {
        let first = self.next;
        let last = batch.last(first);
        self.next = last.wrapping_add(2);
        let refused = |why: io::Error, about: u32, offset| {
            let (doing, expression) = batch.about(first, about, offset);
            let why = Errno::from_raw(why.raw_os_error().unwrap_or(Errno::EIO as i32));
            Refusal { why, doing: doing.to_owned(), expression: expression.map(str::to_owned) }
        };
        let bytes = batch.bytes(first, generation);
        self.socket.send(&bytes, 0).map_err(|why| refused(why, first, None))?;
        loop {
            let (answers, _) = self.socket.recv_from_full().map_err(|w| refused(w, first, None))?;
            for answer in Answer::all(&answers) {
                let is_ours = answer.number.wrapping_sub(first) <= last.wrapping_sub(first);
                match answer.error() {
                    Some(error) if is_ours && error != 0 => {
                        let why = io::Error::from_raw_os_error(error);
                        return Err(refused(why, answer.number, answer.offset()));
                    }
                    Some(_) if answer.number == last => return Ok(()),
                    _ => (),
                }
            }
        }
    }

    /// Asks for one thing; the attributes of the answer.
    pub fn get(&mut self, kind: Kind, asked: &Attributes) -> io::Result<Vec<u8>> {
        let mut found = self.ask(kind, flags::ACK, asked)?;
        found.pop().ok_or_else(|| Errno::ENOENT.into())
    }

    /// Asks for everything of a sort; the attributes of each.
    pub fn dump(&mut self, kind: Kind, asked: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        loop {
            match self.ask(kind, flags::DUMP, asked) {
                // Something was changed meanwhile: what came may be neither the old nor the new.
                Err(why) if why.raw_os_error() == Some(Errno::EINTR as i32) => (),
                outcome => return outcome,
            }
        }
    }

    fn ask(&mut self, kind: Kind, flags: u16, asked: &Attributes) -> io::Result<Vec<Vec<u8>>> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.socket.send(&message::message(kind, flags, number, asked), 0)?;
        let (mut found, mut interrupted) = (Vec::new(), false);
        loop {
            let (answers, _) = self.socket.recv_from_full()?;
            for answer in Answer::all(&answers).filter(|answer| answer.number == number) {
                interrupted |= answer.flags & INTERRUPTED != 0;
                match answer.error() {
                    Some(0) if interrupted => return Err(Errno::EINTR.into()),
                    Some(0) => return Ok(found),
                    Some(error) => return Err(io::Error::from_raw_os_error(error)),
                    None => found.push(answer.body.get(FAMILY..).unwrap_or_default().to_vec()),
                }
            }
        }
    }
}

/// One message of the kernel's.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    number: u32,
    body: &'a [u8],
}

impl Answer<'_> {
    /// The messages in one datagram.
    fn all(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
        std::iter::from_fn(move || {
            let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
            let header = bytes.first_chunk::<HEADER>()?;
            let [.., k0, k1, f0, f1, n0, n1, n2, n3, _, _, _, _] = *header;
            let body = bytes.get(HEADER..length)?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            let kind = u16::from_ne_bytes([k0, k1]);
            let flags = u16::from_ne_bytes([f0, f1]);
            Some(Answer { kind, flags, number: u32::from_ne_bytes([n0, n1, n2, n3]), body })
        })
    }

    /// Of a message that ends a conversation, its error: 0 when all is well.
    fn error(&self) -> Option<i32> {
        let ends = matches!(self.kind, ERROR | DONE);
        ends.then(|| self.body.first_chunk().map_or(0, |code| -i32::from_ne_bytes(*code)))
    }

    /// Where in the message that was sent the fault is.
    fn offset(&self) -> Option<usize> {
        let details = self.body.get(4 + HEADER..).filter(|_| self.flags & HAS_DETAILS != 0)?;
        let bytes: [u8; 4] = value(details, OFFSET)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes) as usize)
    }
}

/// The number of the state that all tables of the namespace are in.
pub fn generation(socket: &mut Socket) -> io::Result<u32> {
    let about = socket.get(Kind::GetGeneration, &Attributes::default())?;
    value(&about, 1).and_then(number).ok_or_else(|| Errno::EBADMSG.into())
}
