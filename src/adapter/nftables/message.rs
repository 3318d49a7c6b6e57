//! Messages of the kernel's netfilter families, and batches of them.
//!
//! A message is a netlink header, four bytes of family, version and resource, and attributes. What
//! changes anything goes in a batch: the kernel does all of it at one moment, or nothing.

use super::attribute::{Attributes, attributes, text, value};

/// Bytes of a netlink header, and of what nfnetlink puts behind it.
pub const HEADER: usize = 16;
pub const FAMILY: usize = 4;

/// `NFNL_SUBSYS_NFTABLES`: the upper byte of a message's kind, and a batch's resource.
const NF_TABLES: u16 = 10;

/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
const INET: u8 = 1;

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;

/// The kinds of messages that are used here (`enum nf_tables_msg_types`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    NewTable = 0,
    GetTable = 1,
    DeleteTable = 2,
    NewChain = 3,
    NewRule = 6,
    GetRules = 7,
    NewSet = 9,
    NewElements = 12,
    GetElements = 13,
    DeleteElements = 14,
    GetGeneration = 16,
}

/// Flags of a message (linux/netlink.h).
pub mod flags {
    pub const REQUEST: u16 = 0x001;
    pub const ACK: u16 = 0x004;
    pub const DUMP: u16 = 0x300;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
}

/// One message, with its number in this conversation.
pub fn message(kind: Kind, flags: u16, number: u32, attributes: &Attributes) -> Vec<u8> {
    let kind = NF_TABLES << 8 | kind as u16;
    let family = [INET, 0, 0, 0];
    raw(kind, flags, number, family, attributes.as_bytes())
}

fn raw(kind: u16, flags: u16, number: u32, family: [u8; FAMILY], attributes: &[u8]) -> Vec<u8> {
    let length = HEADER + FAMILY + attributes.len();
    let length = u32::try_from(length).expect("no message here is that long");
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | flags::REQUEST).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(family);
    bytes.extend_from_slice(attributes);
    bytes
}

/// Changes that are made at one moment, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    kind: Kind,
    flags: u16,
    attributes: Attributes,
    doing: String,
}

impl Batch {
    /// Adds a change; `doing` says what it is, for people.
    pub fn push(
        &mut self,
        kind: Kind,
        flags: u16,
        doing: impl Into<String>,
        write: impl FnOnce(&mut Attributes),
    ) {
        let attributes = Attributes::of(write);
        self.changes.push(Change { kind, flags, attributes, doing: doing.into() });
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The number of the last change when the batch itself has the number `first`.
    pub fn last(&self, first: u32) -> u32 {
        first.wrapping_add(self.changes.len() as u32)
    }

    /// The bytes to send. The batch has the number `first` and its changes those that follow; the
    /// last one is acknowledged. The kernel refuses it when its tables are not of `generation` any
    /// more.
    pub fn bytes(&self, first: u32, generation: u32) -> Vec<u8> {
        let frame = [0, 0, (NF_TABLES >> 8) as u8, NF_TABLES as u8];
        let known = Attributes::of(|all| all.number(BATCH_GENERATION, generation));
        let mut bytes = raw(BATCH_BEGIN, 0, first, frame, known.as_bytes());
        for (at, change) in self.changes.iter().enumerate() {
            let is_last = at + 1 == self.changes.len();
            let flags = change.flags | if is_last { flags::ACK } else { 0 };
            let number = first.wrapping_add(1 + at as u32);
            bytes.extend(message(change.kind, flags, number, &change.attributes));
        }
        bytes.extend(raw(BATCH_END, 0, self.last(first).wrapping_add(1), frame, &[]));
        bytes
    }

    /// What the change with this number does, and of a rule the expression at `offset` of its
    /// message, if there is one.
    pub fn about(&self, first: u32, number: u32, offset: Option<usize>) -> (&str, Option<&str>) {
        let at = number.wrapping_sub(first).wrapping_sub(1) as usize;
        let Some(change) = self.changes.get(at) else { return ("change the firewall", None) };
        let bytes = change.attributes.as_bytes();
        let within = |offset: usize| bytes.get(offset.checked_sub(HEADER + FAMILY)?..);
        let element = offset.and_then(within).and_then(|from| attributes(from).next());
        // An element of the list of expressions: its first attribute is the expression's name.
        let name = element.filter(|_| change.kind == Kind::NewRule).and_then(|(_, e)| value(e, 1));
        (&change.doing, name.and_then(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_framed_and_numbered() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.push(Kind::NewTable, flags::CREATE, "make the table", |all| all.text(1, "t"));
        batch.push(Kind::NewRule, 0, "make the rule", |all| {
            all.nest(4, |list| list.nest(1, |one| one.text(1, "ct")));
        });
        let bytes = batch.bytes(7, 42);
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let word = |from: usize| u32::from_ne_bytes(bytes[from..from + 4].try_into().unwrap());
            let kind = u16::from_ne_bytes(bytes[at + 4..at + 6].try_into().unwrap());
            let flags = u16::from_ne_bytes(bytes[at + 6..at + 8].try_into().unwrap());
            found.push((kind, flags, word(at + 8)));
            at += word(at) as usize;
        }
        assert_eq!(at, bytes.len());
        assert_eq!(found, [(0x10, 1, 7), (0xa00, 0x401, 8), (0xa06, 5, 9), (0x11, 1, 10)]);
        assert_eq!(batch.last(7), 9);
        assert_eq!(batch.about(7, 8, None), ("make the table", None));
        assert_eq!(batch.about(7, 9, Some(HEADER + FAMILY + 4)), ("make the rule", Some("ct")));
        assert_eq!(batch.about(7, 9, Some(3)), ("make the rule", None));
        assert_eq!(batch.about(7, 7, None), ("change the firewall", None));
    }
}
