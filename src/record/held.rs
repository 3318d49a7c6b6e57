//! A lease as it stands in a server's database, whichever server that is. Lease records are made of
//! it once it is known what became of it.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{ClientIdentifier, Duid, Hostname, LeaseEvent, LeaseType, Mac};

/// One lease as it stands in a server's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What is leased.
    pub r#type: LeaseType,
    /// Who has it.
    pub holder: Holder,
    /// The address, or the first of a delegated prefix.
    pub address: IpAddr,
    /// Length of a delegated prefix in bits; absent otherwise.
    pub prefix_len: Option<u8>,
    /// The client's Ethernet address, where the server notes it.
    pub mac: Option<Mac>,
    /// The client's name, if it is a host name.
    pub hostname: Option<Hostname>,
    /// What the client says that it is, where the server notes it.
    pub classes: Option<Box<Classes>>,
    /// When it ends; absent means never.
    pub expires_at: Option<Timestamp>,
}

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A DHCPv6 client.
    V6 {
        /// Its DUID.
        duid: Duid,
        /// The number of the identity association.
        iaid: u32,
    },
    /// A DHCPv4 client.
    V4 {
        /// Its client identifier, or its hardware address when it sends none.
        identifier: ClientIdentifier,
    },
}

/// What a client says that it is: text that it chose freely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Vendor classes (RFC 8415 section 21.16; option 60 of DHCPv4).
    pub vendor: Vec<String>,
    /// User classes (RFC 8415 section 21.15; option 77 of DHCPv4).
    pub user: Vec<String>,
}

impl Classes {
    /// Most of one kind that a client is taken to have.
    pub const MOST: usize = 16;

    /// The text of a class: what people write rules with, 1 to 255 bytes of UTF-8 without control
    /// characters. Nothing for anything else.
    pub fn text(class: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(class).ok()?;
        let is_text = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
        is_text.then_some(text)
    }

    /// Adds a vendor class, if it is text that can be one.
    pub fn add_vendor(&mut self, class: &[u8]) {
        add(&mut self.vendor, class);
    }

    /// Adds a user class, if it is text that can be one.
    pub fn add_user(&mut self, class: &[u8]) {
        add(&mut self.user, class);
    }

    /// The classes, if there are any.
    pub fn if_any(self) -> Option<Box<Classes>> {
        (self != Classes::default()).then(|| Box::new(self))
    }
}

fn add(classes: &mut Vec<String>, class: &[u8]) {
    if let Some(text) = Classes::text(class).filter(|_| classes.len() < Classes::MOST) {
        classes.push(text.to_owned());
    }
}

/// What is leased, whoever has it: at any time one client has it at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The address, or the first of a prefix.
    pub address: IpAddr,
    /// Length of a delegated prefix in bits; absent for an address.
    pub prefix_len: Option<u8>,
}

/// One thing that a server's database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is leased. What was said of the same place before holds no more.
    Held(Held),
    /// It is leased no more, for the reason given: `Expire`, `Release` or `Decline`.
    Ended(Place, LeaseEvent),
    /// It is leased no more, and the database does not say why.
    Gone(Place),
    /// Something that cannot be understood is said of this place: whatever is known of it stays.
    Doubtful(Place),
    /// Something that may concern any place; the number names its text.
    Unreadable(u64),
}

impl Held {
    /// What is leased, whoever has it.
    pub fn place(&self) -> Place {
        Place { address: self.address, prefix_len: self.prefix_len }
    }
}

impl Place {
    /// IPv4 before IPv6, then by number; as one number, because very many are compared.
    fn rank(&self) -> (bool, u128, Option<u8>) {
        match self.address {
            IpAddr::V4(address) => (false, address.to_bits().into(), self.prefix_len),
            IpAddr::V6(address) => (true, address.to_bits(), self.prefix_len),
        }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_text_is_a_class_and_not_too_much_of_it() {
        let mut classes = Classes::default();
        for class in [&b""[..], b"\xff", b"a\nb", b"\x1b[2J", &[b'x'; 256]] {
            classes.add_vendor(class);
        }
        assert_eq!(classes.clone().if_any(), None);
        for _ in 0..100 {
            classes.add_user("docker ✓".as_bytes());
        }
        assert_eq!((classes.vendor.len(), classes.user.len()), (0, Classes::MOST));
        assert!(classes.if_any().is_some());
    }
}
