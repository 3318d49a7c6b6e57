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
