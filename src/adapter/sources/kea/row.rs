//! One row of a lease file: what a server says of one address or prefix.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jiff::Timestamp;

use super::columns::{Columns, Family, MOST};
use crate::adapter::sources::appended::print;
use crate::adapter::sources::{Weight, chosen, quoted};
use crate::record::{
    Classes, ClientIdentifier, Held, Holder, LeaseEvent, LeaseType, Mac, Place, Said,
};

/// Kea's number for a lease without an end.
const INFINITE: u32 = u32::MAX;

/// The numbers of Kea's lease types.
const NA: u8 = 0;
const TA: u8 = 1;
const PD: u8 = 2;

/// Which lengths of prefixes have been seen.
///
/// Kea has one lease for an address, whether that is leased alone or begins a prefix, and however
/// long the prefix is: a later row ends what an earlier one said. Lengths change only with the
/// server's configuration, so to know which ones there are is enough to know what may have been said.
#[derive(Debug, Default)]
pub struct Prefixes {
    /// Bit N: there was a prefix of N bits.
    lengths: u128,
    /// Bit N: there was an address that ends in N zero bits.
    addresses: u128,
}

type Wrong = (String, Weight);

/// Says what follows from a row, and returns what there is to tell people of it.
pub fn read(
    line: &[u8],
    columns: &Columns,
    prefixes: &mut Prefixes,
    said: &mut Vec<Said>,
) -> Option<Wrong> {
    if line.is_empty() {
        return None;
    }
    let mut fields = Fields { all: [b""; MOST + 1], count: 0 };
    fields.split(line);
    let wrong = |what: String| Some((format!("{what} in {}", quoted(line)), Weight::Refused));
    let place = match place(&fields, columns) {
        Ok(place) => place,
        Err(what) => {
            said.push(Said::Unreadable(print(line)));
            return wrong(what);
        }
    };
    if fields.count < columns.count {
        said.push(Said::Doubtful(place));
        return wrong(miscounted(&fields, columns));
    }
    let became = match what_became(&fields, columns, place) {
        Ok(became) => became,
        Err(what) => {
            said.push(Said::Doubtful(place));
            return wrong(what);
        }
    };
    prefixes.end_others(place, said);
    match became {
        Became::Ended(event) => {
            said.push(Said::Ended(place, event));
            None
        }
        Became::Refused(what) => {
            said.push(Said::Gone(place));
            Some((what, Weight::Refused))
        }
        Became::Held(held, note) => {
            said.push(Said::Held(held));
            note.map(|note| (note, Weight::Note))
        }
    }
}

/// What a row says of its place.
enum Became {
    Held(Held, Option<String>),
    Ended(LeaseEvent),
    /// It is held by somebody who cannot be served.
    Refused(String),
}

fn what_became(fields: &Fields, columns: &Columns, place: Place) -> Result<Became, String> {
    let lifetime = fields.number("valid_lifetime", columns.valid_lifetime)?;
    let state = match columns.state {
        Some(state) if !fields.all[state].is_empty() => fields.number("state", state)?,
        _ => 0u32,
    };
    let ended = match state {
        0 if lifetime == 0 => Some(LeaseEvent::Release),
        0 => None,
        1 => Some(LeaseEvent::Decline),
        2 => Some(LeaseEvent::Expire),
        // Released, and kept for a while so that the client gets it again; or an address that its
        // user chose itself and only made known (RFC 9686).
        3 | 4 => Some(LeaseEvent::Release),
        _ => return Err(format!("unknown state {state}")),
    };
    if let Some(event) = ended {
        return Ok(Became::Ended(event));
    }
    let expires_at = match lifetime {
        INFINITE => None,
        _ => {
            let second = Timestamp::from_second(fields.number("expire", columns.expire)?);
            Some(second.map_err(|_| fields.bad("expire", columns.expire))?)
        }
    };
    let (r#type, holder) = match holder(fields, columns)? {
        Ok(client) => client,
        Err(what) => return Ok(Became::Refused(what)),
    };
    let (hostname, note) = chosen::hostname(&unescaped(fields.get(columns.hostname)));
    let held = Held {
        r#type,
        holder,
        address: place.address,
        prefix_len: place.prefix_len,
        mac: mac(fields, columns),
        hostname,
        classes: classes(fields.get(columns.user_context)),
        expires_at,
    };
    Ok(Became::Held(held, note))
}

/// Who has a lease, and of which type; the inner error is why it cannot be served.
fn holder(
    fields: &Fields,
    columns: &Columns,
) -> Result<Result<(LeaseType, Holder), String>, String> {
    let mut bytes = [0; 256];
    match columns.family {
        Family::V6 { duid, lease_type, iaid, .. } => {
            let r#type = match fields.number("lease_type", lease_type)? {
                NA => LeaseType::Na,
                TA => LeaseType::Ta,
                PD => LeaseType::Pd,
                _ => return Err(fields.bad("lease_type", lease_type)),
            };
            let iaid = fields.number("iaid", iaid)?;
            let bytes =
                hex(fields.all[duid], &mut bytes).ok_or_else(|| fields.bad("duid", duid))?;
            Ok(chosen::duid(bytes).map(|duid| (r#type, Holder::V6 { duid, iaid })))
        }
        Family::V4 { client_id, hwaddr } => {
            let (name, column) = match fields.all[client_id] {
                b"" => ("hwaddr", hwaddr),
                _ => ("client_id", client_id),
            };
            let bytes = hex(fields.all[column], &mut bytes);
            let identifier = ClientIdentifier::new(bytes.ok_or_else(|| fields.bad(name, column))?);
            let none = "neither client identifier nor hardware address; lease left out";
            let holder = identifier.map(|identifier| (LeaseType::V4, Holder::V4 { identifier }));
            Ok(holder.ok_or_else(|| none.to_owned()))
        }
    }
}

/// What a row is about; or why that cannot be read.
fn place(fields: &Fields, columns: &Columns) -> Result<Place, String> {
    let last = match columns.family {
        Family::V6 { lease_type, prefix_len, .. } => {
            lease_type.max(prefix_len).max(columns.address)
        }
        Family::V4 { .. } => columns.address,
    };
    // Of a row that was cut short the last field may be, and of two rows in one line the second one
    // is about another place.
    let is_cut = fields.count < columns.count && fields.count <= last + 1;
    if is_cut || fields.count > columns.count {
        return Err(miscounted(fields, columns));
    }
    let field = fields.all[columns.address];
    let Family::V6 { lease_type, prefix_len, .. } = columns.family else {
        let address = parse::<Ipv4Addr>(field).ok_or("no IPv4 address")?;
        return Ok(Place { address: IpAddr::V4(address), prefix_len: None });
    };
    let address = IpAddr::V6(parse::<Ipv6Addr>(field).ok_or("no IPv6 address")?);
    let length = number::<u8>(fields.all[prefix_len]).filter(|length| *length <= 128);
    match (number(fields.all[lease_type]), length) {
        (Some(NA | TA), _) => Ok(Place { address, prefix_len: None }),
        (Some(PD), Some(length)) => Ok(Place { address, prefix_len: Some(length) }),
        (_, Some(128)) => Ok(Place { address, prefix_len: None }),
        (_, Some(length)) => Ok(Place { address, prefix_len: Some(length) }),
        (_, None) => Err("no length of a prefix".to_owned()),
    }
}

fn miscounted(fields: &Fields, columns: &Columns) -> String {
    format!("{} instead of {} columns", fields.count, columns.count)
}

impl Prefixes {
    /// Ends whatever else may have been said of the same address.
    fn end_others(&mut self, place: Place, said: &mut Vec<Said>) {
        let IpAddr::V6(address) = place.address else { return };
        let bit = |number: u32| 1u128.checked_shl(number).unwrap_or(0);
        let zeros = bit(u128::from(address).trailing_zeros());
        let mut lengths = self.lengths;
        match place.prefix_len {
            None => self.addresses |= zeros,
            Some(length) => {
                lengths &= !bit(length.into());
                self.lengths |= bit(length.into());
                if self.addresses & zeros != 0 {
                    said.push(gone(place.address, None));
                }
            }
        }
        // An address cannot begin a prefix that its own bits go beyond.
        let shortest = 128 - u128::from(address).trailing_zeros();
        lengths &= u128::MAX.checked_shl(shortest).unwrap_or(0);
        while lengths != 0 {
            let length = lengths.trailing_zeros();
            lengths &= lengths - 1;
            said.push(gone(place.address, Some(length as u8)));
        }
    }
}

fn gone(address: IpAddr, prefix_len: Option<u8>) -> Said {
    Said::Gone(Place { address, prefix_len })
}

/// The Ethernet address. Which kind of hardware it belongs to is noted since Kea 1.0.
fn mac(fields: &Fields, columns: &Columns) -> Option<Mac> {
    if !matches!(fields.get(columns.hwtype), b"" | b"1") {
        return None;
    }
    let mut bytes = [0; 256];
    let bytes = hex(fields.get(columns.hwaddr), &mut bytes)?;
    <[u8; 6]>::try_from(bytes).ok().map(Mac::new)
}

/// What a user context says of the client: the strings, or lists of strings, that are called
/// `vendor-class` and `user-class`. Kea itself notes neither; a hook or an operator may.
fn classes(field: &[u8]) -> Option<Box<Classes>> {
    if !field.starts_with(b"{") || memchr::memmem::find(field, b"-class").is_none() {
        return None;
    }
    let context: serde_json::Value = serde_json::from_slice(&unescaped(field)).ok()?;
    let of = |name: &str| -> Vec<&str> {
        match context.get(name) {
            Some(serde_json::Value::Array(texts)) => {
                texts.iter().filter_map(|text| text.as_str()).collect()
            }
            Some(text) => text.as_str().into_iter().collect(),
            None => Vec::new(),
        }
    };
    let mut classes = Classes::default();
    of("vendor-class").into_iter().for_each(|class| classes.add_vendor(class.as_bytes()));
    of("user-class").into_iter().for_each(|class| classes.add_user(class.as_bytes()));
    classes.if_any()
}

/// The bytes that a field stands for: a comma, and whatever else would not do in a field, is written
/// as `&#x` and two hex digits.
fn unescaped(field: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'&', field).is_none() {
        return Cow::Borrowed(field);
    }
    let escapes = memchr::memmem::Finder::new(b"&#x");
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = escapes.find(rest) {
        let (before, behind) = rest.split_at(at);
        out.extend_from_slice(before);
        let byte = behind.get(3..5).and_then(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        let taken = match byte {
            Some(byte) => {
                out.push(byte);
                5
            }
            None => {
                out.extend_from_slice(b"&#x");
                3
            }
        };
        rest = &behind[taken..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The fields of a row.
struct Fields<'a> {
    all: [&'a [u8]; MOST + 1],
    count: usize,
}

impl<'a> Fields<'a> {
    fn split(&mut self, line: &'a [u8]) {
        let mut begin = 0;
        for comma in memchr::memchr_iter(b',', line).take(MOST) {
            self.all[self.count] = &line[begin..comma];
            self.count += 1;
            begin = comma + 1;
        }
        self.all[self.count] = &line[begin..];
        self.count += 1;
    }

    fn get(&self, column: Option<usize>) -> &'a [u8] {
        column.map_or(b"", |column| self.all[column])
    }

    fn number<T: TryFrom<u64>>(&self, name: &str, column: usize) -> Result<T, String> {
        number(self.all[column]).ok_or_else(|| self.bad(name, column))
    }

    fn bad(&self, name: &str, column: usize) -> String {
        format!("{name} {}", quoted(self.all[column]))
    }
}

/// The bytes of `00:1f:…`, which must be no more than there is room for.
fn hex<'a>(field: &[u8], room: &'a mut [u8; 256]) -> Option<&'a [u8]> {
    if field.is_empty() {
        return Some(&[]);
    }
    if !(field.len() + 1).is_multiple_of(3) || field.len() / 3 >= room.len() {
        return None;
    }
    let mut count = 0;
    for pair in field.chunks(3) {
        if pair.get(2).is_some_and(|colon| *colon != b':') {
            return None;
        }
        room[count] = digit(pair[0])? << 4 | digit(pair[1])?;
        count += 1;
    }
    Some(&room[..count])
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// A number of digits alone.
fn number<T: TryFrom<u64>>(field: &[u8]) -> Option<T> {
    if field.is_empty() || field.len() > 19 || !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = field.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    T::try_from(number).ok()
}

fn parse<T: FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
