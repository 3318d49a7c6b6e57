//! What stands in odhcpd's state file.
//!
//! A line is one identity association: `#`, the interface, the DUID in hexadecimal, the number of the
//! association in hexadecimal, the host name or `-`, when it ends (seconds since 1970, -1 for never,
//! 0 when it has), the part of the address that was assigned, the length (128 for addresses), and
//! each address or prefix with its length. DHCPv4 has the hardware address, `ipv4` and one address;
//! the hardware address has colons since the end of 2025. Until then a line for the hosts file could
//! stand before each: an address, a tab and names.
//!
//! The host name is what a client sends. One that odhcpd takes for none has `broken\x20` before it.
//! Since the middle of 2026 what is no letter, digit, hyphen, underscore or dot in it is escaped;
//! before, it could hold a space. So a line is read from both its ends, and the name is what is left.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::adapter::sources::appended::print;
use crate::adapter::sources::{Weight, quoted};
use crate::record::LeaseEvent;
use crate::record::{ClientIdentifier, Duid, Held, Holder, Hostname, LeaseType, Mac, Place, Said};

/// What a line says, and what there is to tell people about it.
#[derive(Debug, Default)]
pub struct Line {
    /// What it says, of each of its addresses.
    pub said: Vec<Said>,
    /// What is wrong with it.
    pub remark: Option<(String, Weight)>,
}

/// Reads one line, without its newline.
pub fn read(line: &[u8]) -> Line {
    match words(line) {
        None => Line::default(),
        Some(words) => {
            association(&words, line).unwrap_or_else(|wrong| refused(&words, line, wrong))
        }
    }
}

type Wrong = (String, Weight);

/// The words of a line; nothing for one that is none of a lease.
fn words(line: &[u8]) -> Option<Vec<&[u8]>> {
    let first = line.split(|byte| matches!(byte, b'\t' | b' ')).next().unwrap_or_default();
    let is_of_hosts = parse::<IpAddr>(first).is_some();
    (!line.is_empty() && !is_of_hosts).then(|| line.split(|byte| *byte == b' ').collect())
}

/// What cannot be understood may be said of the addresses at its end, or of any.
fn refused(words: &[&[u8]], line: &[u8], (what, weight): Wrong) -> Line {
    let places = trailing(words);
    let said = match weight {
        _ if !places.is_empty() => {
            places.into_iter().map(|(place, _)| Said::Doubtful(place)).collect()
        }
        _ => vec![Said::Unreadable(print(line))],
    };
    Line { said, remark: Some((what, Weight::Refused)) }
}

/// The addresses at a line's end, with their lengths.
fn trailing(words: &[&[u8]]) -> Vec<(Place, u8)> {
    let mut found: Vec<_> = words.iter().rev().map_while(|word| place(word)).collect();
    found.reverse();
    found
}

fn place(word: &[u8]) -> Option<(Place, u8)> {
    let at = memchr::memrchr(b'/', word)?;
    let (address, len) = (parse(&word[..at])?, number(&word[at + 1..])?);
    let whole = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let prefix_len = Some(len).filter(|len| *len < whole);
    (len <= whole).then_some((Place { address, prefix_len }, len))
}

fn association(words: &[&[u8]], line: &[u8]) -> Result<Line, Wrong> {
    let wrong = |what: &str| (format!("{what} in {}", quoted(line)), Weight::Refused);
    let places = trailing(words);
    let [b"#", _, who, association, rest @ ..] = &words[..words.len() - places.len()] else {
        return Err(wrong("not the words of a lease"));
    };
    let [name @ .., end, _, len] = rest else { return Err(wrong("not the words of a lease")) };
    if name.is_empty() {
        return Err(wrong("not the words of a lease"));
    }
    let len: u8 = number(len).ok_or_else(|| wrong("no length"))?;
    let (r#type, holder, mac) = match *association {
        b"ipv4" => v4_client(who).ok_or_else(|| wrong("no hardware address"))?,
        iaid => {
            let iaid = hex_number(iaid).ok_or_else(|| wrong("no number of an association"))?;
            let bytes = hex(who).ok_or_else(|| wrong("no DUID"))?;
            let what = || format!("the DUID has {} of 3 to 130 bytes; lease left out", bytes.len());
            let Some(duid) = Duid::new(&bytes) else {
                // Clearly said, and of nobody who was ever known.
                return Ok(Line { said: vec![], remark: Some((what(), Weight::Refused)) });
            };
            let r#type = if len == 128 { LeaseType::Na } else { LeaseType::Pd };
            (r#type, Holder::V6 { duid, iaid }, None)
        }
    };
    let fits = |(place, _): &(Place, u8)| {
        place.address.is_ipv4() == (r#type == LeaseType::V4)
            && place.prefix_len.is_some() == (r#type == LeaseType::Pd)
    };
    if !places.iter().all(fits) {
        return Err(wrong("no address of its kind"));
    }
    let end = end_of(end).ok_or_else(|| wrong("no time of its end"))?;
    let (hostname, remark) = hostname(&name.join(&b' '));
    let said = places.into_iter().map(|(place, _)| match end {
        End::Past => Said::Ended(place, LeaseEvent::Expire),
        End::At(expires_at) => Said::Held(Held {
            r#type,
            holder: holder.clone(),
            address: place.address,
            prefix_len: place.prefix_len,
            mac,
            hostname: hostname.clone(),
            classes: None,
            expires_at,
        }),
    });
    Ok(Line { said: said.collect(), remark })
}

/// When a lease ends.
#[derive(Clone, Copy)]
enum End {
    Past,
    /// Absent is never.
    At(Option<Timestamp>),
}

fn end_of(word: &[u8]) -> Option<End> {
    match word {
        b"-1" => Some(End::At(None)),
        b"0" => Some(End::Past),
        word => Timestamp::from_second(number(word)?).ok().map(|end| End::At(Some(end))),
    }
}

fn v4_client(word: &[u8]) -> Option<(LeaseType, Holder, Option<Mac>)> {
    let bytes = match word.contains(&b':') {
        true => word.split(|byte| *byte == b':').map(octet).collect(),
        false => hex(word),
    };
    let bytes = <[u8; 6]>::try_from(bytes?).ok()?;
    let identifier = ClientIdentifier::new(&bytes)?;
    Some((LeaseType::V4, Holder::V4 { identifier }, Some(Mac::new(bytes))))
}

/// A name that is none costs the lease only the name.
fn hostname(name: &[u8]) -> (Option<Hostname>, Option<Wrong>) {
    // For some weeks of 2025 no name was marked as a broken one.
    if matches!(name, b"-" | br"broken\x20-") {
        return (None, None);
    }
    let hostname = parse(name);
    let what = || format!("host name {} is none; lease served without it", quoted(name));
    let remark = hostname.is_none().then(|| (what(), Weight::Note));
    (hostname, remark)
}

/// The bytes of `001f…`.
fn hex(word: &[u8]) -> Option<Vec<u8>> {
    let pairs = word.chunks(2);
    pairs.map(|pair| if pair.len() == 2 { octet(pair) } else { None }).collect()
}

/// One or two hexadecimal digits.
fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    match digits {
        [low] => digit(low),
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

fn hex_number(word: &[u8]) -> Option<u32> {
    let digits = word.iter().all(u8::is_ascii_hexdigit);
    digits.then(|| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()).flatten()
}

/// A number of digits alone.
fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    if word.iter().all(u8::is_ascii_digit) { parse(word) } else { None }
}

fn parse<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
