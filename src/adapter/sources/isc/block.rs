//! What one statement of a lease file says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::tokens::{Token, Tokens, unescaped, value};
use crate::adapter::sources::{chosen, quoted};
use crate::record::{Classes, ClientIdentifier, Held, Holder, LeaseEvent, LeaseType, Mac, Place};

/// What one statement says.
#[derive(Debug)]
pub enum Block<'a> {
    /// How numbers are written in this file.
    ByteOrder {
        /// Whether the highest byte comes first.
        big_endian: bool,
    },
    /// All that an identity association of a DHCPv6 client has.
    Association(Association<'a>),
    /// What became of an address of DHCPv4; or why that cannot be read.
    Lease(Place, Result<Became, String>),
    /// Nothing that concerns leases.
    Other,
}

/// All that an identity association has.
#[derive(Debug)]
pub struct Association<'a> {
    /// Which one it is.
    pub id: Id<'a>,
    /// What became of each of its addresses or prefixes; or why that cannot be read.
    pub places: Vec<(Place, Result<Became, String>)>,
}

/// What names an association throughout a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id<'a> {
    /// `ia-na`, `ia-ta` or `ia-pd`.
    pub word: &'a [u8],
    /// Its number and its client's DUID, as they stand in the file.
    pub text: &'a [u8],
}

/// What became of an address or prefix.
#[derive(Debug)]
pub enum Became {
    /// It is leased; and what there is to tell people.
    Held(Held, Option<String>),
    /// It is leased no more.
    Ended(LeaseEvent),
    /// It is leased to somebody who cannot be served, for the reason given.
    Refused(String),
}

/// What a broken statement names.
#[derive(Debug, Default)]
pub struct Named<'a> {
    /// The association that it was about.
    pub id: Option<Id<'a>>,
    /// Addresses and prefixes.
    pub places: Vec<Place>,
}

/// Reads a whole statement without comments; or says what is wrong with it.
pub fn read(text: &[u8], big_endian: bool) -> Result<Block<'_>, String> {
    let mut tokens = Tokens::new(text);
    let Some(Token::Word(word)) = tokens.next() else { return Ok(Block::Other) };
    match word {
        b"authoring-byte-order" => match tokens.word() {
            Some(b"big-endian") => Ok(Block::ByteOrder { big_endian: true }),
            Some(b"little-endian") => Ok(Block::ByteOrder { big_endian: false }),
            _ => Err("no byte order".to_owned()),
        },
        b"ia-na" | b"ia-ta" | b"ia-pd" => association(word, tokens, big_endian),
        b"lease" => lease(tokens),
        b"iaaddr" | b"iaprefix" => Err("no association".to_owned()),
        _ => Ok(Block::Other),
    }
}

/// Looks in a broken statement for what it is about.
pub fn named(text: &[u8]) -> Named<'_> {
    let mut named = Named::default();
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        let mut behind = tokens.clone();
        match (token, behind.next()) {
            (Token::Word(word @ (b"ia-na" | b"ia-ta" | b"ia-pd")), Some(Token::Text(text)))
                if named.id.is_none() && behind.mark(b'{') =>
            {
                named.id = Some(Id { word, text });
            }
            // A word that nothing follows may have been cut short.
            (
                Token::Word(word @ (b"iaaddr" | b"iaprefix" | b"lease")),
                Some(Token::Word(place)),
            ) if behind.mark(b'{') => {
                named.places.extend(place_of(word, place));
            }
            _ => (),
        }
    }
    named
}

fn association<'a>(
    word: &'a [u8],
    mut tokens: Tokens<'a>,
    big_endian: bool,
) -> Result<Block<'a>, String> {
    let Some(Token::Text(text)) = tokens.next() else { return Err("no DUID".to_owned()) };
    let r#type = match word {
        b"ia-na" => LeaseType::Na,
        b"ia-ta" => LeaseType::Ta,
        _ => LeaseType::Pd,
    };
    let bytes = unescaped(text).ok_or("no DUID")?;
    let (iaid, duid) = bytes.split_first_chunk().ok_or("no number of an identity association")?;
    let iaid = if big_endian { u32::from_be_bytes(*iaid) } else { u32::from_le_bytes(*iaid) };
    let holder = chosen::duid(duid).map(|duid| Holder::V6 { duid, iaid });
    let mut places = Vec::new();
    open(&mut tokens)?;
    loop {
        match tokens.next() {
            Some(Token::Mark(b'}')) => break,
            Some(Token::Word(word @ (b"iaaddr" | b"iaprefix"))) => {
                let place = tokens.word().and_then(|place| place_of(word, place));
                let place = place.ok_or("no address")?;
                open(&mut tokens)?;
                let facts = facts(&mut tokens)?;
                let fits = place.prefix_len.is_some() == (r#type == LeaseType::Pd);
                let became = match fits {
                    true => facts.became(r#type, place, holder.clone()),
                    false => Err(format!("{} is not what such an association has", place.address)),
                };
                places.push((place, became));
            }
            Some(Token::Word(_)) if tokens.pass_over() => (),
            _ => return Err("no statement".to_owned()),
        }
    }
    Ok(Block::Association(Association { id: Id { word, text }, places }))
}

fn lease(mut tokens: Tokens) -> Result<Block, String> {
    let place = tokens.word().and_then(|place| place_of(b"lease", place)).ok_or("no address")?;
    open(&mut tokens)?;
    let mut facts = facts(&mut tokens)?;
    let identifier = match facts.identifier.take() {
        Some(identifier) => identifier.ok_or("no client identifier")?,
        None => facts.hardware.clone(),
    };
    let holder = match ClientIdentifier::new(&identifier) {
        Some(identifier) => Ok(Holder::V4 { identifier }),
        None => Err("neither client identifier nor hardware address; lease left out".to_owned()),
    };
    Ok(Block::Lease(place, facts.became(LeaseType::V4, place, holder)))
}

/// What stands in the block of one address.
#[derive(Default)]
struct Facts<'a> {
    state: Option<&'a [u8]>,
    /// When it ends, where never is nothing; or nothing at all if what stands there is no time.
    ends: Option<Option<Option<Timestamp>>>,
    /// DHCPv4: the client identifier, if what stands there is one.
    identifier: Option<Option<Vec<u8>>>,
    /// DHCPv4: the hardware address.
    hardware: Vec<u8>,
    is_ethernet: bool,
    hostname: Option<&'a [u8]>,
    vendor: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
}

/// Reads up to the end of a block that was opened. What is not known is passed over.
fn facts<'a>(tokens: &mut Tokens<'a>) -> Result<Facts<'a>, String> {
    let mut facts = Facts::default();
    loop {
        let word = match tokens.next() {
            Some(Token::Mark(b'}')) => return Ok(facts),
            Some(Token::Word(word)) => word,
            _ => return Err("no statement".to_owned()),
        };
        let mut rest = tokens.clone();
        if !tokens.pass_over() {
            return Err("no end of a statement".to_owned());
        }
        match word {
            b"binding" if rest.word() == Some(b"state") => facts.state = rest.word(),
            b"ends" => facts.ends = Some(time(rest)),
            b"set" => facts.set(rest),
            b"uid" => facts.identifier = Some(identifier(rest)),
            b"client-hostname" => facts.hostname = text(&mut rest),
            b"hardware" => {
                facts.is_ethernet = rest.word() == Some(b"ethernet");
                facts.hardware = rest.word().and_then(hex).unwrap_or_default();
            }
            _ => (),
        }
    }
}

impl<'a> Facts<'a> {
    /// A variable of the operator's. dhcpd itself sets `vendor-class-identifier`, for DHCPv4; for
    /// DHCPv6 an operator gives them the names that they have in lease records.
    fn set(&mut self, mut rest: Tokens<'a>) {
        let class = match rest.word() {
            Some(b"vendor-class-identifier" | b"vendor-class" | b"vendor_class") => {
                &mut self.vendor
            }
            Some(b"user-class" | b"user_class") => &mut self.user,
            _ => return,
        };
        if rest.mark(b'=') {
            *class = text(&mut rest);
        }
    }

    fn became(
        self,
        r#type: LeaseType,
        place: Place,
        holder: Result<Holder, String>,
    ) -> Result<Became, String> {
        match self.state {
            Some(b"active" | b"reserved" | b"bootp") => (),
            Some(b"expired") => return Ok(Became::Ended(LeaseEvent::Expire)),
            Some(b"released" | b"free" | b"backup" | b"reset") => {
                return Ok(Became::Ended(LeaseEvent::Release));
            }
            Some(b"abandoned") => return Ok(Became::Ended(LeaseEvent::Decline)),
            Some(state) => return Err(format!("{}: binding state {}", at(place), quoted(state))),
            None => return Err(format!("{}: no binding state", at(place))),
        }
        let expires_at = self.ends.flatten().ok_or_else(|| format!("{}: no end", at(place)))?;
        let holder = match holder {
            Ok(holder) => holder,
            Err(why) => return Ok(Became::Refused(why)),
        };
        let mac = <[u8; 6]>::try_from(&*self.hardware).ok().filter(|_| self.is_ethernet);
        let hostname = self.hostname.and_then(unescaped).unwrap_or_default();
        let (hostname, note) = chosen::hostname(&hostname);
        let classes = self.classes(r#type);
        let held = Held {
            r#type,
            holder,
            address: place.address,
            prefix_len: place.prefix_len,
            mac: mac.map(Mac::new),
            hostname,
            classes,
            expires_at,
        };
        Ok(Became::Held(held, note))
    }

    fn classes(&self, r#type: LeaseType) -> Option<Box<Classes>> {
        let is_v4 = r#type == LeaseType::V4;
        let mut classes = Classes::default();
        if let Some(vendor) = self.vendor.and_then(unescaped) {
            // RFC 8415 section 21.16: an enterprise number, then classes.
            match vendor.split_at_checked(4).and_then(|(_, rest)| items(rest, 2)) {
                Some(items) if !is_v4 => items.iter().for_each(|item| classes.add_vendor(item)),
                _ => classes.add_vendor(&vendor),
            }
        }
        if let Some(user) = self.user.and_then(unescaped) {
            // RFC 8415 section 21.15, RFC 3004 section 4.
            match items(&user, if is_v4 { 1 } else { 2 }) {
                Some(items) => items.iter().for_each(|item| classes.add_user(item)),
                None => classes.add_user(&user),
            }
        }
        classes.if_any()
    }
}

/// The parts of an option that is nothing but parts, each after its length. Text is none: its first
/// letters would be a length that goes far beyond it.
fn items(mut rest: &[u8], length: usize) -> Option<Vec<&[u8]>> {
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (size, behind) = rest.split_at_checked(length)?;
        let size = size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let (item, behind) = behind.split_at_checked(size)?;
        items.push(item);
        rest = behind;
    }
    (!items.is_empty()).then_some(items)
}

/// `fd00::1`, `fd00::/64` or `192.0.2.1`, by the word before it.
fn place_of(word: &[u8], place: &[u8]) -> Option<Place> {
    let (address, length) = match word {
        b"iaprefix" => {
            let slash = memchr::memchr(b'/', place)?;
            let length = parse::<u8>(&place[slash + 1..]).filter(|length| *length <= 128)?;
            (&place[..slash], Some(length))
        }
        _ => (place, None),
    };
    let address = match word {
        b"lease" => IpAddr::V4(parse::<Ipv4Addr>(address)?),
        _ => IpAddr::V6(parse::<Ipv6Addr>(address)?),
    };
    Some(Place { address, prefix_len: length })
}

fn at(place: Place) -> String {
    match place.prefix_len {
        Some(length) => format!("{}/{length}", place.address),
        None => place.address.to_string(),
    }
}

fn open(tokens: &mut Tokens) -> Result<(), String> {
    if tokens.mark(b'{') { Ok(()) } else { Err("no brace".to_owned()) }
}

/// A text that is all of a statement's rest.
fn text<'a>(rest: &mut Tokens<'a>) -> Option<&'a [u8]> {
    match rest.next()? {
        Token::Text(text) if rest.mark(b';') => Some(text),
        _ => None,
    }
}

/// `never`, `epoch 1795251537` or `6 2026/11/21 08:58:57`, the latter in UTC. Never is the inner
/// nothing.
fn time(mut rest: Tokens) -> Option<Option<Timestamp>> {
    let time = match rest.word()? {
        b"never" => None,
        b"epoch" => Some(Timestamp::from_second(parse(rest.word()?)?).ok()?),
        _ => Some(date(rest.word()?, rest.word()?)?),
    };
    rest.mark(b';').then_some(time)
}

fn date(date: &[u8], time: &[u8]) -> Option<Timestamp> {
    let [year, month, day] = three(date, b'/')?;
    let [hour, minute, second] = three(time, b':')?;
    let small = |number: i16| i8::try_from(number).ok();
    let date = Date::new(year, small(month)?, small(day)?).ok()?;
    let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    TimeZone::UTC.to_timestamp(DateTime::from_parts(date, time)).ok()
}

/// Three numbers between these marks.
fn three(text: &[u8], mark: u8) -> Option<[i16; 3]> {
    let mut numbers = text.splitn(3, |byte| *byte == mark).map(parse);
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// A client identifier: a text, or hex digits.
fn identifier(mut rest: Tokens) -> Option<Vec<u8>> {
    let identifier = match rest.next()? {
        Token::Text(text) => unescaped(text)?.into_owned(),
        Token::Word(word) => hex(word)?,
        Token::Mark(_) => return None,
    };
    (rest.mark(b';') && identifier.len() <= 255).then_some(identifier)
}

/// The bytes of `0:1f:…`: dhcpd leaves leading zeros out.
fn hex(word: &[u8]) -> Option<Vec<u8>> {
    let byte = |digits: &[u8]| if digits.is_empty() { None } else { value(digits, 16) };
    word.split(|byte| *byte == b':').map(byte).collect()
}

fn parse<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
