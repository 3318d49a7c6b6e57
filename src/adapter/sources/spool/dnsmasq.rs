//! What dnsmasq tells its dhcp-script, and what it wants back under leasefile-ro (dnsmasq(8)).
//!
//! The words are the action, the DUID or hardware address, the address and, if it has one, the host
//! name; the rest is in variables `DNSMASQ_…`. `old` is said of a lease that is renewed, or of every
//! lease when the server starts; `DNSMASQ_DATA_MISSING` says that nothing of what the client had sent
//! is at hand then. A lease is told to be gone, `del`, for any reason; that its time is up says which.

use std::ffi::{OsStr, OsString};
use std::net::IpAddr;

use jiff::{Timestamp, ToSpan};

use super::entry::Entry;
use super::event::{Environment, Event, Server, Telling, What, classes, numbered, shown, text};
use crate::record::{
    ClientIdentifier, Duid, Held, Holder, Hostname, LeaseEvent, LeaseType, Mac, Place,
};

/// The words of one call, without the program's name.
pub struct Words<'a> {
    /// `add`, `old` or `del`.
    pub action: &'a str,
    /// The client's DUID, or its hardware address.
    pub who: &'a OsStr,
    /// The address.
    pub address: &'a OsStr,
    /// The client's name, if the server has one for it.
    pub name: Option<&'a OsStr>,
}

/// The event of one call. What is wrong with it but does not keep the lease from being known is
/// added to the remarks.
///
/// # Errors
/// What is wrong, for people, when it is not known what is leased or to whom.
pub fn event(
    words: &Words,
    env: Environment,
    now: Timestamp,
    remarks: &mut Vec<String>,
) -> Result<Event, String> {
    let address: Option<IpAddr> = words.address.to_str().and_then(|text| text.parse().ok());
    let address = address.ok_or_else(|| format!("{} is no address", shown(words.address)))?;
    let client = match address {
        IpAddr::V6(_) => v6_client(words.who, env),
        IpAddr::V4(_) => v4_client(words.who, env),
    };
    let end = expires_at(env, now);
    if words.action == "del" {
        // What is gone is gone, whoever had it.
        let why = match end {
            Ok(Some(end)) if end <= now => LeaseEvent::Expire,
            _ => LeaseEvent::Release,
        };
        let unknown = if address.is_ipv4() { LeaseType::V4 } else { LeaseType::Na };
        let r#type = client.as_ref().map_or(unknown, |client| client.r#type);
        let place = Place { address, prefix_len: None };
        let what = What::Ended { place, holder: client.ok().map(|client| client.holder), why };
        return Ok(Event { server: Server::Dnsmasq, r#type, what, cltt: None });
    }
    let telling = telling(words, address, client?, end?, env, remarks);
    let r#type = telling.held.r#type;
    let what = What::Held(Box::new(telling));
    Ok(Event { server: Server::Dnsmasq, r#type, what, cltt: None })
}

fn telling(
    words: &Words,
    address: IpAddr,
    client: Client,
    expires_at: Option<Timestamp>,
    env: Environment,
    remarks: &mut Vec<String>,
) -> Telling {
    let (hostname, name) = names(words.name, remarks);
    let vendor = env("DNSMASQ_VENDOR_CLASS").into_iter();
    let vendor = vendor.chain(numbered(env, "DNSMASQ_VENDOR_CLASS"));
    Telling {
        held: Held {
            r#type: client.r#type,
            holder: client.holder,
            address,
            prefix_len: None,
            mac: client.mac,
            hostname,
            classes: classes(vendor, numbered(env, "DNSMASQ_USER_CLASS"), remarks),
            expires_at,
        },
        name,
        hardware: client.hardware,
        lacks_packet: env("DNSMASQ_DATA_MISSING").is_some(),
    }
}

/// The server's own DUID, which it tells with what a DHCPv6 client has sent.
pub fn server_duid(env: Environment) -> Option<Duid> {
    text(env, "DNSMASQ_SERVER_DUID")?.parse().ok()
}

struct Client {
    r#type: LeaseType,
    holder: Holder,
    mac: Option<Mac>,
    hardware: Option<String>,
}

fn v6_client(who: &OsStr, env: Environment) -> Result<Client, String> {
    let duid: Option<Duid> = who.to_str().and_then(|text| text.parse().ok());
    let duid = duid.ok_or_else(|| format!("{} is no DUID of 3 to 130 bytes", shown(who)))?;
    let iaid = env("DNSMASQ_IAID").ok_or("there is no DNSMASQ_IAID")?;
    let wrong = || format!("DNSMASQ_IAID {} is no number", shown(&iaid));
    let (r#type, number) = match iaid.to_str().ok_or_else(wrong)? {
        text if text.starts_with('T') => (LeaseType::Ta, &text[1..]),
        text => (LeaseType::Na, text),
    };
    let iaid = number.parse().map_err(|_| wrong())?;
    let mac = text(env, "DNSMASQ_MAC").and_then(|text| text.parse().ok());
    let holder = Holder::V6 { duid, iaid };
    Ok(Client { r#type, holder, mac, hardware: None })
}

fn v4_client(who: &OsStr, env: Environment) -> Result<Client, String> {
    let wrong = || format!("{} is no hardware address", shown(who));
    let word = who.to_str().ok_or_else(wrong)?;
    let hardware = hardware(word).ok_or_else(wrong)?;
    let identifier = match env("DNSMASQ_CLIENT_ID") {
        None => hardware,
        Some(id) => {
            let identifier = id.to_str().and_then(|text| text.parse().ok());
            let wrong = || format!("{} is no client identifier", shown(&id));
            Some(identifier.ok_or_else(wrong)?)
        }
    };
    let wrong = "it has neither client identifier nor hardware address";
    let holder = Holder::V4 { identifier: identifier.ok_or(wrong)? };
    let mac: Option<Mac> = word.parse().ok();
    let hardware = mac.is_none().then(|| word.to_owned());
    Ok(Client { r#type: LeaseType::V4, holder, mac, hardware })
}

/// The bytes of a hardware address in dnsmasq's form: hex pairs, with its type and `-` before them
/// when that is not Ethernet; or nothing behind that when there is none.
fn hardware(word: &str) -> Option<Option<ClientIdentifier>> {
    let is_typed = |kind: &str| kind.len() == 2 && kind.bytes().all(|b| b.is_ascii_hexdigit());
    match word.split_once('-') {
        Some((kind, "")) if is_typed(kind) => Some(None),
        Some((kind, pairs)) if is_typed(kind) => pairs.parse().ok().map(Some),
        _ => word.parse().ok().map(Some),
    }
}

/// When the lease ends. A dnsmasq for machines without a clock tells only what is left of it.
fn expires_at(env: Environment, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let number = |name: &str| -> Result<Option<i64>, String> {
        let Some(value) = env(name) else { return Ok(None) };
        let number = value.to_str().and_then(|text| text.parse().ok());
        number.map(Some).ok_or_else(|| format!("{name} {} is no number", shown(&value)))
    };
    let wrong = |_| "its time is out of range".to_owned();
    match number("DNSMASQ_LEASE_EXPIRES")? {
        Some(0) => Ok(None),
        Some(second) => Timestamp::from_second(second).map(Some).map_err(wrong),
        None => match number("DNSMASQ_TIME_REMAINING")? {
            None => Ok(None),
            Some(left) => {
                let left = left.clamp(0, u32::MAX.into()).seconds();
                now.checked_add(left).map(Some).map_err(wrong)
            }
        },
    }
}

/// The client's name if it is a host name, else the name as dnsmasq has it, if it is safe to keep.
fn names(name: Option<&OsStr>, remarks: &mut Vec<String>) -> (Option<Hostname>, Option<String>) {
    let Some(word) = name.filter(|name| !name.is_empty()) else { return (None, None) };
    let text = word.to_str().unwrap_or_default();
    if let Ok(hostname) = text.parse() {
        return (Some(hostname), None);
    }
    remarks.push(format!("host name {} is none; lease told without it", shown(word)));
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_safe = (1..=255).contains(&text.len()) && text.bytes().all(letter);
    (None, is_safe.then(|| text.to_owned()))
}

/// The lines of a lease file that dnsmasq reads when it starts under leasefile-ro. What is no lease
/// of dnsmasq's, or has ended, has none.
pub fn lease_file(mut entries: Vec<Entry>, server_duid: Option<&Duid>) -> Vec<String> {
    entries.retain(|entry| entry.is_active() && entry.prefix_len.is_none());
    entries.sort_by_key(|entry| entry.place());
    let (v4, v6): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.address.is_ipv4());
    let duid = server_duid.map(|duid| format!("duid {duid}"));
    let lines = |entries: Vec<&Entry>| entries.into_iter().filter_map(line).collect::<Vec<_>>();
    lines(v4).into_iter().chain(duid).chain(lines(v6)).collect()
}

fn line(entry: &Entry) -> Option<String> {
    let end = entry.expires_at.map_or(0, Timestamp::as_second);
    let name = entry.hostname.as_ref().map(Hostname::as_str).or(entry.name.as_deref());
    let name = name.unwrap_or("*");
    let address = entry.address;
    match (address.is_ipv6(), &entry.duid, entry.iaid) {
        (true, Some(duid), Some(iaid)) => {
            let kind = if entry.r#type == LeaseType::Ta { "T" } else { "" };
            Some(format!("{end} {kind}{iaid} {address} {name} {duid}"))
        }
        (true, ..) => None,
        (false, ..) => {
            let mac = entry.mac.map(|mac| mac.to_string());
            let word = entry.hardware.clone().or(mac)?;
            let id = entry.client_id.clone().filter(|id| hardware(&word) != Some(Some(id.clone())));
            let id = id.map_or("*".to_owned(), |id| id.to_string());
            Some(format!("{end} {word} {address} {name} {id}"))
        }
    }
}

/// One call's words, if they are enough of them.
pub fn words<'a>(action: &'a str, rest: &'a [OsString]) -> Option<Words<'a>> {
    match rest {
        [who, address, more @ ..] => {
            Some(Words { action, who, address, name: more.first().map(OsString::as_os_str) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
