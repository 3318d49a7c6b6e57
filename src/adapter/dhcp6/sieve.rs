//! Lets through only what the decoder can be trusted with.
//!
//! dhcproto takes lengths on trust (a status code of one byte makes it subtract below zero), follows
//! options as deep as they nest, and stops at the first one that it cannot read without saying so.
//! A datagram comes from anybody on the link. So it is copied, option by option, and only
//! options that this client reads, of the length that they must have, at the level where they belong,
//! get through. What can be read of a message is then read whole or not at all.

use std::ops::RangeInclusive;

/// Longest message that is looked at, in bytes; servers keep well within one packet of the link.
pub(super) const LONGEST: usize = 4096;

/// Bytes of message type and transaction id before the options (RFC 8415 section 8).
const HEADER: usize = 4;

/// Lengths of a DUID (RFC 8415 section 11.1).
const DUID: RangeInclusive<usize> = 3..=130;

/// What an option stands in.
#[derive(Clone, Copy)]
enum Level {
    Message,
    /// In an IA_NA or IA_TA.
    Addresses,
    /// In an IA_PD.
    Prefixes,
    /// In an address or prefix.
    Lease,
}

/// What becomes of an option.
enum Fate<'a> {
    Keep(&'a [u8]),
    /// Keep these fixed fields, and sift the options behind them.
    Open(usize, Level),
    /// Nothing is lost without it.
    Skip,
    /// The message means nothing without it.
    Spoil,
}

/// The datagram with only the options that this client reads; nothing when it is not a sound message.
pub(super) fn sift(datagram: &[u8]) -> Option<Vec<u8>> {
    if datagram.len() > LONGEST {
        return None;
    }
    let (header, options) = datagram.split_at_checked(HEADER)?;
    let mut sound = Vec::with_capacity(datagram.len());
    sound.extend(header);
    sift_options(options, Level::Message, &mut sound)?;
    Some(sound)
}

/// Copies the options that are fit for `level`; nothing when one spoils the message.
fn sift_options(mut rest: &[u8], level: Level, sound: &mut Vec<u8>) -> Option<()> {
    while !rest.is_empty() {
        let (&[c0, c1, l0, l1], behind) = rest.split_first_chunk()?;
        let (data, behind) = behind.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
        rest = behind;
        match fate(level, u16::from_be_bytes([c0, c1]), data) {
            Fate::Keep(data) => {
                sound.extend([c0, c1]);
                sound.extend(length(data.len())?);
                sound.extend(data);
            }
            Fate::Open(fixed, inner) => {
                let (fields, options) = data.split_at_checked(fixed)?;
                sound.extend([c0, c1, 0, 0]);
                let start = sound.len();
                sound.extend(fields);
                sift_options(options, inner, sound)?;
                let length = length(sound.len() - start)?;
                sound[start - 2..start].copy_from_slice(&length);
            }
            Fate::Skip => {}
            Fate::Spoil => return None,
        }
    }
    Some(())
}

fn length(bytes: usize) -> Option<[u8; 2]> {
    u16::try_from(bytes).ok().map(u16::to_be_bytes)
}

/// What becomes of the option `code` at `level`.
///
/// RFC 8415 section 16: of a message with known options that are invalid, a client may take what
/// is of use or discard it whole. What decides on the lease has to be sound; the rest may go.
fn fate(level: Level, code: u16, data: &[u8]) -> Fate<'_> {
    let needed = |sound| if sound { Fate::Keep(data) } else { Fate::Spoil };
    let useful = |sound| if sound { Fate::Keep(data) } else { Fate::Skip };
    match (level, code) {
        // Client Identifier, Server Identifier: sections 21.2, 21.3.
        (Level::Message, 1 | 2) => needed(DUID.contains(&data.len())),
        // IA_NA: section 21.4; IAID, T1, T2, options.
        (Level::Message, 3) => Fate::Open(12, Level::Addresses),
        // IA_TA: section 21.5; IAID, options.
        (Level::Message, 4) => Fate::Open(4, Level::Addresses),
        // IA_PD: section 21.21; IAID, T1, T2, options.
        (Level::Message, 25) => Fate::Open(12, Level::Prefixes),
        // IA Address: section 21.6; address, two lifetimes, options.
        (Level::Addresses, 5) => Fate::Open(24, Level::Lease),
        // IA Prefix: section 21.22; two lifetimes, length, prefix, options.
        (Level::Prefixes, 26) => Fate::Open(25, Level::Lease),
        // Preference: section 21.8.
        (Level::Message, 7) => useful(data.len() == 1),
        // Status Code: section 21.13; a text that is not UTF-8 is not worth the message.
        (_, 13) => match data.split_at_checked(2) {
            Some((code, text)) if std::str::from_utf8(text).is_err() => Fate::Keep(code),
            sound => needed(sound.is_some()),
        },
        // Rapid Commit: section 21.14.
        (Level::Message, 14) => useful(data.is_empty()),
        // DNS servers and search list: RFC 3646 sections 3 and 4.
        (Level::Message, 23) => useful(data.len().is_multiple_of(16)),
        (Level::Message, 24) => Fate::Keep(data),
        // SOL_MAX_RT: section 21.24.
        (Level::Message, 82) => useful(data.len() == 4),
        _ => Fate::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(code: u8, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        [&[0, code][..], &length, data].concat()
    }

    fn message(options: &[Vec<u8>]) -> Vec<u8> {
        [&[7, 1, 2, 3][..], &options.concat()].concat()
    }

    #[test]
    fn keeps_what_is_read_and_drops_what_is_not() {
        let status = option(13, b"\0\x02none left");
        let address =
            option(5, &[&[0x20; 24][..], &option(13, &[0, 0]), &option(99, b"x")].concat());
        let ia = option(3, &[&[1; 12][..], &address, &option(3, &[0; 12]), &status].concat());
        let kept_address = option(5, &[&[0x20; 24][..], &option(13, &[0, 0])].concat());
        let kept_ia = option(3, &[&[1; 12][..], &kept_address, &status].concat());
        let duid = option(1, &[0, 4, 9]);
        assert_eq!(
            sift(&message(&[duid.clone(), ia, option(17, &[0; 9]), option(7, &[1, 2])])),
            Some(message(&[duid, kept_ia]))
        );
    }

    #[test]
    fn each_association_keeps_what_belongs_in_it() {
        let (address, prefix) = (option(5, &[0x20; 24]), option(26, &[0x20; 25]));
        let status = option(13, b"\0\x06none left");
        let both = [address.clone(), prefix.clone(), status.clone()].concat();
        let with = |fixed: usize, options: &[u8]| [&vec![1; fixed][..], options].concat();
        let datagram = message(&[option(4, &with(4, &both)), option(25, &with(12, &both))]);
        let temporary = [address.clone(), status.clone()].concat();
        let delegated = [prefix.clone(), status].concat();
        let kept = [option(4, &with(4, &temporary)), option(25, &with(12, &delegated))];
        assert_eq!(sift(&datagram), Some(message(&kept)));
        for spoilt in [option(4, &[1; 3]), option(25, &[1; 11])] {
            assert_eq!(sift(&message(&[spoilt])), None);
        }
        for short in [option(26, &[0; 24]), option(26, &[])] {
            assert_eq!(sift(&message(&[option(25, &with(12, &short))])), None);
        }
    }

    #[test]
    fn a_message_whose_lease_cannot_be_read_is_no_message() {
        let address = |data: &[u8]| option(3, &[&[0; 12][..], &option(5, data)].concat());
        let spoilt = [
            option(1, &[0, 4]),
            option(2, &[0; 131]),
            option(3, &[0; 11]),
            option(13, &[0]),
            option(13, &[]),
            address(&[0; 23]),
            vec![0, 1, 0, 9, 0],
            vec![0],
        ];
        for options in spoilt {
            assert_eq!(sift(&message(std::slice::from_ref(&options))), None, "{options:?}");
        }
        assert_eq!(sift(&[7, 1, 2]), None);
        assert_eq!(sift(&message(&[option(99, &[0; LONGEST])])), None);
    }

    #[test]
    fn a_status_text_that_is_not_utf8_costs_itself_alone() {
        let told = message(&[option(13, b"\0\x05\xff\xfe")]);
        assert_eq!(sift(&told), Some(message(&[option(13, b"\0\x05")])));
    }

    #[test]
    fn nesting_ends_where_this_client_stops_reading() {
        let mut deep = option(3, &[0; 12]);
        while deep.len() < LONGEST - 100 {
            deep = option(3, &[&[0; 12][..], &deep].concat());
        }
        assert_eq!(sift(&message(&[deep])), Some(message(&[option(3, &[0; 12])])));
    }
}
