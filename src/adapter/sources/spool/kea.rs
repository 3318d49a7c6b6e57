//! What Kea's hooks library run_script tells its script.
//!
//! The one word is the hook point. The leases are in variables: for `leases6_committed` those that
//! are given or renewed in `LEASES6_AT0_…` and further, and those that are taken away in
//! `DELETED_LEASES6_AT0_…`; for the others the one lease in `LEASE6_…`. The same holds for DHCPv4.
//! `leases6_committed` comes beside the hook points for renewal, release and decline, and each alone
//! is enough.

use std::net::IpAddr;

use jiff::{Timestamp, ToSpan};

use super::event::{Environment, Event, Server, Telling, What, shown, text};
use crate::record::{
    ClientIdentifier, Duid, Held, Holder, Hostname, LeaseEvent, LeaseType, Mac, Place,
};

/// Most leases that one message of a client is believed to be about.
const MOST: usize = 1024;

/// Kea's number for a lease without end.
const NEVER: i64 = u32::MAX as i64;

/// The events of one call, in their order; nothing for a hook point that concerns no lease. A lease
/// that is not told as it should be becomes a remark.
pub fn events(point: &str, env: Environment, remarks: &mut Vec<String>) -> Option<Vec<Event>> {
    let (family, does) = match point.split_once('_')? {
        ("lease4" | "leases4", does) => ('4', does),
        ("lease6" | "leases6", does) => ('6', does),
        _ => return None,
    };
    let one = |why| vec![(format!("LEASE{family}_"), why)];
    let tellings: Vec<(String, Option<LeaseEvent>)> = match does {
        "committed" => {
            let deleted = numbered(env, format!("DELETED_LEASES{family}"));
            let leases = numbered(env, format!("LEASES{family}"));
            let deleted = deleted.map(|name| (name, Some(LeaseEvent::Release)));
            deleted.chain(leases.map(|name| (name, None))).collect()
        }
        "renew" | "rebind" => one(None),
        "release" => one(Some(LeaseEvent::Release)),
        "expire" => one(Some(LeaseEvent::Expire)),
        "decline" | "recover" => one(Some(LeaseEvent::Decline)),
        _ => return None,
    };
    let told = tellings.into_iter().filter_map(|(name, end)| {
        let event = Variables { env, name: &name, family }.event(end, remarks);
        event.map_err(|wrong| remarks.push(format!("{name}…: {wrong}"))).ok()
    });
    Some(told.collect())
}

/// The beginnings of the variables' names for each lease of a list.
fn numbered(env: Environment, list: String) -> impl Iterator<Item = String> + use<> {
    let size = text(env, &format!("{list}_SIZE")).and_then(|size| size.parse().ok());
    let size: usize = size.unwrap_or(0);
    (0..size.min(MOST)).map(move |at| format!("{list}_AT{at}_"))
}

/// The variables that tell one lease.
struct Variables<'a> {
    env: Environment<'a>,
    name: &'a str,
    family: char,
}

impl Variables<'_> {
    fn get(&self, field: &str) -> Option<String> {
        text(self.env, &format!("{}{field}", self.name))
    }

    fn number(&self, field: &str) -> Result<i64, String> {
        let value = self.get(field).unwrap_or_default();
        value.parse().map_err(|_| format!("{field} {} is no number", shown(value.as_ref())))
    }

    fn event(&self, end: Option<LeaseEvent>, remarks: &mut Vec<String>) -> Result<Event, String> {
        let address = self.get("ADDRESS").unwrap_or_default();
        let wrong = |_| format!("ADDRESS {} is none", shown(address.as_ref()));
        let address: IpAddr = address.parse().map_err(wrong)?;
        let (r#type, prefix_len) = self.kind(address)?;
        let place = Place { address, prefix_len };
        let cltt = self.number("CLTT")?;
        let cltt = Timestamp::from_second(cltt).map_err(|_| "CLTT is out of range".to_owned())?;
        let what = match self.end(end)? {
            Some(why) => What::Ended { place, holder: self.holder().ok(), why },
            None => What::Held(Box::new(self.telling(r#type, place, cltt, remarks)?)),
        };
        Ok(Event { server: Server::Kea, r#type, what, cltt: Some(cltt) })
    }

    fn kind(&self, address: IpAddr) -> Result<(LeaseType, Option<u8>), String> {
        let r#type = self.get("TYPE").unwrap_or_default();
        match (self.family, address, &*r#type) {
            ('4', IpAddr::V4(_), _) => Ok((LeaseType::V4, None)),
            ('6', IpAddr::V6(_), "IA_NA") => Ok((LeaseType::Na, None)),
            ('6', IpAddr::V6(_), "IA_TA") => Ok((LeaseType::Ta, None)),
            ('6', IpAddr::V6(_), "IA_PD") => match self.number("PREFIX_LEN")? {
                len @ 1..=128 => Ok((LeaseType::Pd, Some(len as u8))),
                len => Err(format!("PREFIX_LEN {len} is none")),
            },
            _ => Err(format!("{address} is no lease of type {}", shown(r#type.as_ref()))),
        }
    }

    /// Why it is leased no more, if that is so.
    fn end(&self, end: Option<LeaseEvent>) -> Result<Option<LeaseEvent>, String> {
        if end.is_some() {
            return Ok(end);
        }
        let state = self.get("STATE").unwrap_or_default();
        match &*state {
            "default" | "" if self.number("VALID_LIFETIME")? > 0 => Ok(None),
            "default" | "" | "released" | "registered" => Ok(Some(LeaseEvent::Release)),
            "declined" => Ok(Some(LeaseEvent::Decline)),
            "expired-reclaimed" => Ok(Some(LeaseEvent::Expire)),
            _ => Err(format!("STATE {} says nothing of leases", shown(state.as_ref()))),
        }
    }

    fn holder(&self) -> Result<Holder, String> {
        if self.family == '6' {
            let duid = self.get("DUID").unwrap_or_default();
            let duid: Duid = duid.parse().map_err(|wrong| format!("DUID: {wrong}"))?;
            let iaid = self.number("IAID")?;
            let iaid = iaid.try_into().map_err(|_| format!("IAID {iaid} is out of range"))?;
            return Ok(Holder::V6 { duid, iaid });
        }
        let mac = || ClientIdentifier::new(&self.mac()?.as_bytes());
        let identifier = match self.get("CLIENT_ID") {
            Some(id) => Some(id.parse().map_err(|wrong| format!("CLIENT_ID: {wrong}"))?),
            None => mac(),
        };
        let identifier = identifier.ok_or("it has neither CLIENT_ID nor HWADDR")?;
        Ok(Holder::V4 { identifier })
    }

    /// The hardware address, if its type is Ethernet.
    fn mac(&self) -> Option<Mac> {
        self.get("HWADDR_TYPE").filter(|kind| kind == "1")?;
        self.get("HWADDR")?.parse().ok()
    }

    fn telling(
        &self,
        r#type: LeaseType,
        place: Place,
        cltt: Timestamp,
        remarks: &mut Vec<String>,
    ) -> Result<Telling, String> {
        let expires_at = match self.number("VALID_LIFETIME")? {
            NEVER => None,
            seconds => {
                let seconds = seconds.clamp(0, NEVER).seconds();
                Some(cltt.checked_add(seconds).map_err(|_| "its time is out of range".to_owned())?)
            }
        };
        let held = Held {
            r#type,
            holder: self.holder()?,
            address: place.address,
            prefix_len: place.prefix_len,
            mac: self.mac(),
            hostname: self.hostname(remarks),
            classes: None,
            expires_at,
        };
        Ok(Telling { held, name: None, hardware: None, lacks_packet: false })
    }

    /// The client's name, which Kea writes with a dot at its end.
    fn hostname(&self, remarks: &mut Vec<String>) -> Option<Hostname> {
        let name = self.get("HOSTNAME")?;
        let parsed = name.strip_suffix('.').unwrap_or(&name).parse().ok();
        if parsed.is_none() && name != "." {
            let name = shown(name.as_ref());
            remarks.push(format!("host name {name} is none; lease told without it"));
        }
        parsed
    }
}

#[cfg(test)]
mod tests;
