//! What stands in one file of the spool.
//!
//! It is a lease record, with what orders it among events and what its server will want back. The
//! file's name is made of the parsed address alone, never of anything that a client sends.

use jiff::Timestamp;

use super::event::{Event, Server, Telling, What};
use super::order::Order;
use crate::record::{
    Classes, ClientIdentifier, Duid, Family, Held, Holder, Hostname, Key, LeaseEvent, LeaseState,
    LeaseType, Mac, Place, Said,
};
use crate::wire;

/// No file of the spool is larger, in bytes.
pub const LARGEST: u64 = 64 * 1024;

wire! {
    /// What is known of one address or prefix. The fields that lease records have mean the same.
    pub struct Entry "lease" {
        /// `add` while it is leased; then `expire`, `release` or `decline`.
        req event: LeaseEvent,
        /// Whether it is leased.
        req state: LeaseState,
        /// The protocol.
        req family: Family,
        /// What is leased.
        req r#type: LeaseType,
        /// Who the client is; absent if that was not told.
        opt key: Key,
        /// The client's DUID; absent for DHCPv4.
        opt duid: Duid,
        /// The number of the identity association; absent for DHCPv4.
        opt iaid: u32,
        /// A DHCPv4 client's identifier, or its hardware address when it sends none.
        opt client_id: ClientIdentifier,
        /// The client's Ethernet address.
        opt mac: Mac,
        /// A DHCPv4 client's hardware address in dnsmasq's form, if it is no Ethernet address.
        opt hardware: String,
        /// The address, or the first of a delegated prefix.
        req address: std::net::IpAddr,
        /// Length of a delegated prefix in bits; absent otherwise.
        opt prefix_len: u8,
        /// The client's name.
        opt hostname: Hostname,
        /// The name as the server has it, if it is no host name.
        opt name: String,
        /// What the client says of its make.
        many vendor_class: Vec<String>,
        /// What the client says of its user.
        many user_class: Vec<String>,
        /// When the lease ends, as far as the server has told; absent means never.
        opt expires_at: Timestamp,
        /// Who told it.
        req source: Server,
        /// When.
        req order: Order,
    }
}

impl Entry {
    /// What is known after `event`, when `before` was known.
    pub fn new(event: &Event, order: &Order, before: Option<&Entry>) -> Entry {
        let order = Order { cltt: event.cltt, ..order.clone() };
        match &event.what {
            What::Held(telling) => Entry::held(event, telling, order, before),
            What::Ended { place, holder, why } => {
                let entry = Entry::bare(event, *place, *why, LeaseState::Ended, order);
                match holder {
                    Some(holder) => entry.of(holder),
                    None => entry,
                }
            }
        }
    }

    fn bare(
        event: &Event,
        place: Place,
        why: LeaseEvent,
        state: LeaseState,
        order: Order,
    ) -> Entry {
        Entry {
            event: why,
            state,
            family: if place.address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
            r#type: event.r#type,
            key: None,
            duid: None,
            iaid: None,
            client_id: None,
            mac: None,
            hardware: None,
            address: place.address,
            prefix_len: place.prefix_len,
            hostname: None,
            name: None,
            vendor_class: Vec::new(),
            user_class: Vec::new(),
            expires_at: None,
            source: event.server,
            order,
            rest: Default::default(),
        }
    }

    fn held(event: &Event, telling: &Telling, order: Order, before: Option<&Entry>) -> Entry {
        let held = &telling.held;
        let mut entry =
            Entry::bare(event, held.place(), LeaseEvent::Add, LeaseState::Active, order)
                .of(&held.holder);
        entry.mac = held.mac;
        entry.hardware = telling.hardware.clone();
        entry.hostname = held.hostname.clone();
        entry.name = telling.name.clone();
        entry.expires_at = held.expires_at;
        if let Some(classes) = &held.classes {
            entry.vendor_class = classes.vendor.clone();
            entry.user_class = classes.user.clone();
        }
        let same = |before: &&Entry| before.is_active() && before.key == entry.key;
        if telling.lacks_packet
            && let Some(before) = before.filter(same)
        {
            entry.mac = entry.mac.or(before.mac);
            entry.vendor_class = before.vendor_class.clone();
            entry.user_class = before.user_class.clone();
        }
        entry
    }

    /// The same entry with the client's identity.
    fn of(self, holder: &Holder) -> Entry {
        match holder {
            Holder::V6 { duid, iaid } => Entry {
                key: Some(Key::of_client(duid, Some(*iaid))),
                duid: Some(duid.clone()),
                iaid: Some(*iaid),
                ..self
            },
            Holder::V4 { identifier } => Entry {
                key: Some(Key::of_v4_client(identifier.as_bytes())),
                client_id: Some(identifier.clone()),
                ..self
            },
        }
    }

    /// Whether it is leased.
    pub fn is_active(&self) -> bool {
        self.state == LeaseState::Active
    }

    /// What is leased, or was.
    pub fn place(&self) -> Place {
        Place { address: self.address, prefix_len: self.prefix_len }
    }

    /// Whether `later` is to replace this.
    ///
    /// An end that names another client than the one that is known to have the lease is believed
    /// only if that other client was heard from later.
    pub fn yields_to(&self, later: &Entry) -> bool {
        let is_other = self.key.is_some() && later.key.is_some() && self.key != later.key;
        if self.is_active()
            && !later.is_active()
            && is_other
            && let (Some(known), Some(own)) = (self.order.cltt, later.order.cltt)
        {
            return own > known;
        }
        later.order.follows(&self.order)
    }

    /// What the file says of its place. `is_time_told` is whether the server tells of every change of
    /// a lease's time; otherwise the time that is known may be past although the lease was renewed,
    /// so it is left out.
    pub fn said(&self, is_time_told: bool) -> Result<Said, String> {
        if !self.is_active() {
            return match self.event {
                LeaseEvent::Expire | LeaseEvent::Release | LeaseEvent::Decline => {
                    Ok(Said::Ended(self.place(), self.event))
                }
                _ => Err("state and event contradict each other".to_owned()),
            };
        }
        let classes = Classes { vendor: self.vendor_class.clone(), user: self.user_class.clone() };
        Ok(Said::Held(Held {
            r#type: self.r#type,
            holder: self.holder().ok_or("nothing says whose lease it is")?,
            address: self.address,
            prefix_len: self.prefix_len,
            mac: self.mac,
            hostname: self.hostname.clone(),
            classes: (classes != Classes::default()).then(|| Box::new(classes)),
            expires_at: self.expires_at.filter(|_| is_time_told || self.source == Server::Kea),
        }))
    }

    fn holder(&self) -> Option<Holder> {
        match (self.address.is_ipv6(), &self.duid, self.iaid, &self.client_id) {
            (true, Some(duid), Some(iaid), _) => Some(Holder::V6 { duid: duid.clone(), iaid }),
            (false, _, _, Some(id)) => Some(Holder::V4 { identifier: id.clone() }),
            _ => None,
        }
    }
}

/// The name of the file for a place: its address, and `_` and its length for a prefix.
pub fn file_name(place: Place) -> String {
    match place.prefix_len {
        Some(len) => format!("{}_{len}", place.address),
        None => place.address.to_string(),
    }
}

/// The place that a file is named after; nothing if the name is none of a place.
pub fn place_of(name: &str) -> Option<Place> {
    let (address, len) = match name.split_once('_') {
        Some((address, len)) => (address, Some(len)),
        None => (name, None),
    };
    let prefix_len = match len {
        Some(len) => Some(len.parse().ok()?),
        None => None,
    };
    let place = Place { address: address.parse().ok()?, prefix_len };
    (file_name(place) == name).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_its_place_in_one_way() {
        for name in ["2001:db8::1", "2001:db8:1::_56", "192.0.2.1"] {
            assert_eq!(file_name(place_of(name).unwrap()), name);
        }
        for name in ["2001:DB8::1", "2001:db8:0::1", "::_056", "::_", "..", ".new", "", "::1/64"] {
            assert_eq!(place_of(name), None, "{name}");
        }
    }
}
