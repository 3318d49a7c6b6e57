//! Why the kernel refused, in its own words where it gives any (extended acknowledgements).

use std::fmt;
use std::io;

use netlink_packet_core::{ErrorMessage, NlasIterator};
use nix::errno::Errno;

use super::failed;
use crate::error::{Error, OneLine};

/// The kernel's refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub io: io::Error,
    told: Option<String>,
}

/// The attribute of a refusal that is the message for people (NLMSGERR_ATTR_MSG in
/// linux/netlink.h).
const MESSAGE: u16 = 1;

/// Length of the request's header, which the kernel repeats before the attributes when it has been
/// asked to leave out the rest (NETLINK_CAP_ACK).
const HEADER_LEN: usize = 16;

impl Refusal {
    /// Out of the kernel's message.
    pub fn read(error: &ErrorMessage) -> Refusal {
        let attributes = error.header.get(HEADER_LEN..).unwrap_or_default();
        let told = NlasIterator::new(attributes).map_while(|nla| nla.ok()).find_map(|nla| {
            let text = nla.value().split(|byte| *byte == 0).next()?;
            let is_message = nla.kind() == MESSAGE && !text.is_empty();
            is_message.then(|| String::from_utf8_lossy(text).into_owned())
        });
        Refusal { io: error.to_io(), told }
    }

    /// The number of the error.
    pub fn errno(&self) -> Option<Errno> {
        self.io.raw_os_error().map(Errno::from_raw)
    }

    /// What the kernel says besides.
    pub fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// The refusal as an error of the suite.
    pub fn error(&self, doing: impl fmt::Display) -> Error {
        let error = failed(doing, &self.io);
        match &self.told {
            Some(told) => error.remedy(format_args!("the kernel says: {}", OneLine(told))),
            None => error,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(io: io::Error) -> Refusal {
        Refusal { io, told: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(attributes: &[u8]) -> Refusal {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(-(Errno::EOPNOTSUPP as i32));
        error.header = [&[0; HEADER_LEN], attributes].concat();
        Refusal::read(&error)
    }

    #[test]
    fn the_kernel_s_words_are_found_behind_the_header() {
        let text = *b"\x08\x00\x02\x00\x05\x00\x00\x00\x0c\x00\x01\x00Unknown\x00";
        let refusal = refusal(&text);
        assert_eq!(refusal.told(), Some("Unknown"));
        assert_eq!(refusal.errno(), Some(Errno::EOPNOTSUPP));
        let told = refusal.error("create x").to_string();
        assert!(told.ends_with("the kernel says: Unknown"), "{told}");
    }

    #[test]
    fn a_refusal_without_words_is_one_all_the_same() {
        for bytes in [&b""[..], b"\x00", b"\xff\xff\x01\x00x", b"\x05\x00\x01\x00\x00\0\0\0"] {
            assert_eq!(refusal(bytes).told(), None, "{bytes:?}");
        }
        let mut short = ErrorMessage::default();
        short.header = vec![0; 3];
        assert_eq!(Refusal::read(&short).told(), None);
    }
}
