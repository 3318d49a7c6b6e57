//! A lease in little room: there may be a million of them.

use std::time::Duration;

use jiff::Timestamp;

use super::Now;
use crate::record::{
    Classes, ClientIdentifier, Duid, Held, Holder, Hostname, LeaseType, Mac, Place,
};

/// An end that never comes, in seconds since 1970.
const NEVER: i64 = i64::MAX;

/// What is remembered of a lease, without its place. The variable parts share one allocation: the
/// holder's bytes, the host name, the MAC address if there is one, the classes if there are any.
#[derive(Clone, Debug)]
pub struct Kept {
    text: Box<[u8]>,
    /// Its end in seconds since 1970; what is a fraction of one is cut off.
    expires_at: i64,
    /// Its end in seconds of the boot clock, as it was when the end was read.
    deadline: u32,
    iaid: u32,
    /// The reading that said it last.
    pub reading: u32,
    /// Lengths of the holder's bytes and of the host name.
    holder: u8,
    name: u8,
    is_v4: bool,
    has_mac: bool,
    r#type: LeaseType,
    /// Whether it is active as far as anybody was told.
    pub told: bool,
}

impl Kept {
    /// What is to be remembered of a lease. That it is read now is still to be said.
    pub fn new(held: &Held) -> Kept {
        let (holder, iaid, is_v4) = match &held.holder {
            Holder::V6 { duid, iaid } => (duid.as_bytes(), *iaid, false),
            Holder::V4 { identifier } => (identifier.as_bytes(), 0, true),
        };
        let name = held.hostname.as_ref().map_or("", Hostname::as_str).as_bytes();
        let mac = held.mac.map(|mac| mac.as_bytes());
        let mac = mac.as_ref().map_or(&[][..], |mac| mac);
        let classes = held.classes.as_ref().map(|classes| pack(classes)).unwrap_or_default();
        let expires_at = held.expires_at.map_or(NEVER, Timestamp::as_second);
        Kept {
            text: [holder, name, mac, classes.as_bytes()].concat().into(),
            expires_at,
            deadline: 0,
            iaid,
            reading: 0,
            holder: holder.len() as u8,
            name: name.len() as u8,
            is_v4,
            has_mac: held.mac.is_some(),
            r#type: held.r#type,
            told: false,
        }
    }

    /// Notes that it is read now, in the reading of that number.
    pub fn is_read(&mut self, now: Now, reading: u32) {
        let deadline = now.boot_time_of(self.expires_at).as_secs();
        self.deadline = u32::try_from(deadline).unwrap_or(u32::MAX);
        self.reading = reading;
    }

    /// The lease of this place.
    pub fn held(&self, place: Place) -> Held {
        let holder = match self.is_v4 {
            true => {
                Holder::V4 { identifier: ClientIdentifier::new(self.holder()).expect("it was one") }
            }
            false => {
                Holder::V6 { duid: Duid::new(self.holder()).expect("it was one"), iaid: self.iaid }
            }
        };
        Held {
            r#type: self.r#type,
            holder,
            address: place.address,
            prefix_len: place.prefix_len,
            mac: self.mac(),
            hostname: self.hostname(),
            classes: unpack(self.classes()).map(Box::new),
            expires_at: self.expires_at(),
        }
    }

    /// Its end; absent means never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.expires_at).ok().filter(|_| self.expires_at != NEVER)
    }

    /// Whether it is the same client's lease of the same thing.
    pub fn is_of(&self, other: &Kept) -> bool {
        self.r#type == other.r#type
            && self.is_v4 == other.is_v4
            && self.iaid == other.iaid
            && self.holder() == other.holder()
    }

    /// Whether it says the same, its end apart.
    pub fn is_like(&self, other: &Kept) -> bool {
        self.is_of(other)
            && (self.holder, self.name, self.has_mac) == (other.holder, other.name, other.has_mac)
            && self.text == other.text
    }

    /// Whether its end is the same.
    pub fn ends_with(&self, other: &Kept) -> bool {
        self.expires_at == other.expires_at
    }

    /// Whether it is to be preferred to another lease of the same place in the same reading.
    pub fn outlasts(&self, other: &Kept) -> bool {
        self.expires_at > other.expires_at
    }

    /// Takes over when its end comes by the boot clock from what was known of the same end before.
    pub fn keep_deadline(&mut self, before: &Kept) {
        if self.ends_with(before) {
            self.deadline = before.deadline;
        }
    }

    /// Whether its time is up by both clocks, so that setting one of them ends nothing. The end
    /// itself is no part of the lease.
    pub fn has_ended(&self, now: Now) -> bool {
        self.expires_at <= now.wall.as_second() && u64::from(self.deadline) <= now.boot.as_secs()
    }

    /// When it will have ended by both clocks if neither is set, by the boot clock; absent for never.
    pub fn end(&self, now: Now) -> Option<Duration> {
        let deadline = Duration::from_secs(self.deadline.into());
        (self.expires_at != NEVER).then(|| now.boot_time_of(self.expires_at).max(deadline))
    }

    fn holder(&self) -> &[u8] {
        &self.text[..self.holder.into()]
    }

    fn hostname(&self) -> Option<Hostname> {
        let name = &self.text[self.holder.into()..][..self.name.into()];
        std::str::from_utf8(name).ok()?.parse().ok()
    }

    fn mac(&self) -> Option<Mac> {
        let bytes = self.text[usize::from(self.holder) + usize::from(self.name)..].first_chunk()?;
        self.has_mac.then(|| Mac::new(*bytes))
    }

    fn classes(&self) -> &[u8] {
        let mac = if self.has_mac { 6 } else { 0 };
        &self.text[usize::from(self.holder) + usize::from(self.name) + mac..]
    }
}

/// Vendor classes, a separator, user classes; each class ends with a newline, which none holds.
fn pack(classes: &Classes) -> String {
    let lines = |classes: &[String]| -> String {
        classes.iter().map(|class| class.replace(['\n', '\x1d'], " ") + "\n").collect()
    };
    format!("{}\x1d{}", lines(&classes.vendor), lines(&classes.user))
}

fn unpack(bytes: &[u8]) -> Option<Classes> {
    let (vendor, user) = std::str::from_utf8(bytes).ok()?.split_once('\x1d')?;
    let list = |text: &str| text.lines().map(str::to_owned).collect();
    Some(Classes { vendor: list(vendor), user: list(user) })
}
