//! One request to the kernel and its answers, over a socket that a thread waits on.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::refusal::Refusal;

/// The kernel answers at once, but for a machine that is very busy; an answer that has not come
/// after so many seconds was lost.
const PATIENCE: i64 = 30;

/// Length of the header of every message.
pub(super) const HEADER_LEN: usize = 16;

/// As much as the kernel puts into one datagram of a listing.
const LONGEST: usize = 32 << 10;

/// A socket to the kernel's routing family, for one thread at a time.
pub struct Conversation {
    socket: Socket,
    /// The number of the request before.
    number: Cell<u32>,
    buffer: RefCell<Vec<u8>>,
}

impl Conversation {
    /// Opens one in the network namespace of the calling thread.
    pub fn open() -> io::Result<Conversation> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        // The kernel is to say in words why it refuses something. One that is too old for that says
        // nothing, and does the rest all the same.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        Ok(Conversation { socket, number: Cell::new(0), buffer: RefCell::new(vec![0; LONGEST]) })
    }

    /// Sends a request with `flags` and gathers the answers to it, until the kernel has done it.
    ///
    /// # Errors
    /// The kernel's refusal; that the answer did not come or cannot be read. Of a listing what
    /// cannot be read is left out.
    pub fn ask(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        let number = self.number.get().wrapping_add(1);
        self.number.set(number);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = number;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Answers { number, acknowledged: flags & NLM_F_ACK != 0, found: vec![] };
        let mut buffer = self.buffer.borrow_mut();
        loop {
            let length = self.receive(&mut buffer)?;
            if answers.take(&buffer[..length])? {
                return Ok(answers.found);
            }
        }
    }

    /// Waits for a datagram; its length.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length <= buffer.len() => return Ok(length),
                Ok(_) => return Err(unreadable()),
                Err(Errno::EINTR) => (),
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(why) => return Err(why.into()),
            }
        }
    }
}

/// What has been answered to one request.
struct Answers {
    number: u32,
    /// Whether it ends with an acknowledgement.
    acknowledged: bool,
    found: Vec<RouteNetlinkMessage>,
}

impl Answers {
    /// Takes a datagram; whether the last answer was in it.
    fn take(&mut self, datagram: &[u8]) -> Result<bool, Refusal> {
        for message in messages(datagram) {
            let header = NetlinkBuffer::new(message);
            // An answer to a question that nobody waits for any more.
            if header.sequence_number() != self.number {
                continue;
            }
            let is_one_of_many = header.flags() & NLM_F_MULTIPART != 0;
            match NetlinkMessage::deserialize(message).map(|message| message.payload) {
                Ok(NetlinkPayload::Error(error)) if error.code.is_some() => {
                    return Err(Refusal::read(&error));
                }
                Ok(NetlinkPayload::Error(_) | NetlinkPayload::Done(_)) => return Ok(true),
                Ok(NetlinkPayload::InnerMessage(message)) => self.found.push(message),
                Ok(_) => (),
                Err(_) if is_one_of_many => (),
                Err(_) => return Err(unreadable().into()),
            }
            if !is_one_of_many && !self.acknowledged {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The messages in a datagram, as far as they are whole.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        let message = datagram.get(..length).filter(|_| length >= HEADER_LEN)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer cannot be read")
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkMessage;

    use super::*;

    /// A link of this number, as the kernel tells of it in answer to the request `number`.
    fn link(number: u32, flags: u16, index: u32) -> Vec<u8> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link));
        message.header.flags = flags;
        message.header.sequence_number = number;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// An answer of the given sort that holds one number: an acknowledgement (2), or the end of a
    /// listing (3).
    fn end(sort: u16, number: u32, code: i32) -> Vec<u8> {
        let mut bytes = 36u32.to_ne_bytes().to_vec();
        bytes.extend(sort.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(number.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(code.to_ne_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    fn answers(acknowledged: bool) -> Answers {
        Answers { number: 7, acknowledged, found: Vec::new() }
    }

    #[test]
    fn a_request_ends_where_its_last_answer_is() {
        assert!(answers(false).take(&link(7, 0, 1)).unwrap());
        let mut acknowledged = answers(true);
        assert!(!acknowledged.take(&link(7, 0, 1)).unwrap());
        assert!(acknowledged.take(&end(2, 7, 0)).unwrap());
        let mut listing = answers(false);
        let (one, two) = (link(7, NLM_F_MULTIPART, 1), link(7, NLM_F_MULTIPART, 2));
        assert!(!listing.take(&[one, two].concat()).unwrap());
        assert!(listing.take(&end(3, 7, 0)).unwrap());
        assert_eq!(listing.found.len(), 2);
    }

    #[test]
    fn what_belongs_to_another_request_is_left_out() {
        let mut late = answers(false);
        assert!(!late.take(&[link(6, 0, 1), end(2, 6, -1)].concat()).unwrap());
        assert!(late.take(&[end(2, 6, -1), link(7, 0, 1)].concat()).unwrap());
        assert_eq!(late.found.len(), 1);
    }

    #[test]
    fn a_refusal_and_what_cannot_be_read_are_errors() {
        let no_device = -(Errno::ENODEV as i32);
        let refusal = answers(true).take(&end(2, 7, no_device)).unwrap_err();
        assert_eq!(refusal.errno(), Some(Errno::ENODEV));
        let mut torn = link(7, 0, 1);
        torn.truncate(20);
        torn[0] = 20;
        assert!(answers(false).take(&torn).is_err());
        // Of a listing the rest is taken, and what is no message at all ends the datagram.
        let mut listing = answers(false);
        torn[6] = NLM_F_MULTIPART as u8;
        torn.extend(link(7, NLM_F_MULTIPART, 2));
        torn.extend([3, 0, 0, 0, 1]);
        assert!(!listing.take(&torn).unwrap());
        assert_eq!(listing.found.len(), 1);
        for odd in [&[][..], &[1], &[0; 16], &[255; 40]] {
            assert!(!answers(false).take(odd).unwrap());
        }
    }
}
