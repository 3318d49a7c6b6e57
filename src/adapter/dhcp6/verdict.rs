//! What an answer says of the client's identity association: the rules for lifetimes, T1 and T2.

use std::net::Ipv6Addr;

use super::lease::{LeasedAddress, Lifetime};
use super::message::{Answer, Association, Offered, Status};

/// What an answer says of one identity association.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has addresses, or has lost some.
    Leased(Terms),
    /// The server gives nothing, and why.
    Refused(Status),
    /// Nothing that could be used, and no reason.
    Nothing,
}

/// On what terms the addresses are leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub t1: Lifetime,
    pub t2: Lifetime,
    pub addresses: Vec<LeasedAddress>,
    /// Addresses with a valid lifetime of zero.
    pub withdrawn: Vec<Ipv6Addr>,
}

/// What `answer` says of the IA_NA `iaid`.
pub(super) fn verdict(answer: &Answer, iaid: u32) -> Verdict {
    let mine = |ia: &&Association| ia.iaid == iaid && has_sound_times(ia);
    let ia = answer.associations.iter().find(mine);
    // Section 21.13: a code may stand in the message or in the option that it is about.
    let refusal = [Some(&answer.status), ia.map(|ia| &ia.status)];
    if let Some(status) = refusal.into_iter().flatten().find(|status| !status.is_success()) {
        return Verdict::Refused(status.clone());
    }
    let Some(ia) = ia else { return Verdict::Nothing };
    let terms = terms(ia);
    if !terms.addresses.is_empty() || !terms.withdrawn.is_empty() {
        return Verdict::Leased(terms);
    }
    match ia.addresses.iter().find(|offered| !offered.status.is_success()) {
        Some(offered) => Verdict::Refused(offered.status.clone()),
        None => Verdict::Nothing,
    }
}

/// Section 21.4: an IA_NA with T1 greater than T2, and both greater than 0, must be discarded.
fn has_sound_times(ia: &Association) -> bool {
    ia.t1 == 0 || ia.t2 == 0 || ia.t1 <= ia.t2
}

fn terms(ia: &Association) -> Terms {
    let sound = || ia.addresses.iter().filter(|offered| is_sound(offered));
    let leased = |offered: &Offered| LeasedAddress {
        address: offered.address,
        preferred: offered.preferred,
        valid: offered.valid,
    };
    let is_over = |offered: &&Offered| offered.valid == Lifetime::from_secs(0);
    let addresses: Vec<_> = sound().filter(|offered| !is_over(offered)).map(leased).collect();
    let withdrawn = sound().filter(is_over).map(|offered| offered.address).collect();
    let shortest = addresses.iter().map(|leased| leased.preferred).min();
    let (t1, t2) = renewal_times(ia, shortest.unwrap_or(Lifetime::INFINITE));
    Terms { t1, t2, addresses, withdrawn }
}

/// Section 21.6: a client must discard addresses whose preferred lifetime is greater than the valid one.
///
/// No honest server leases an address that is not for one host beyond the link.
fn is_sound(offered: &Offered) -> bool {
    let address = offered.address;
    let unfit = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some();
    offered.status.is_success() && offered.preferred <= offered.valid && !unfit
}

/// Sections 14.2 and 21.4: where the server leaves T1 or T2 to the client (0), they are half and four
/// fifths of the shortest preferred lifetime, so far as that keeps T1 before T2.
fn renewal_times(ia: &Association, shortest: Lifetime) -> (Lifetime, Lifetime) {
    let given = |secs| (secs != 0).then(|| Lifetime::from_secs(secs));
    match (given(ia.t1), given(ia.t2)) {
        (Some(t1), Some(t2)) => (t1, t2),
        (Some(t1), None) => (t1, shortest.tenths(8).max(t1)),
        (None, Some(t2)) => (shortest.tenths(5).min(t2), t2),
        (None, None) => (shortest.tenths(5), shortest.tenths(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_EVER: u32 = u32::MAX;

    fn option(code: u8, data: &[u8]) -> Vec<u8> {
        [&[0, code][..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn address(last: u8, preferred: u32, valid: u32, status: &[u8]) -> Vec<u8> {
        let mut bytes = [0; 16];
        (bytes[0], bytes[1], bytes[15]) = (0xfd, 1, last);
        at(bytes, preferred, valid, status)
    }

    fn at(bytes: [u8; 16], preferred: u32, valid: u32, status: &[u8]) -> Vec<u8> {
        let times = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
        option(5, &[&bytes[..], &times, status].concat())
    }

    fn ia(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let fields = [7, t1, t2].map(u32::to_be_bytes).concat();
        option(3, &[fields, options.concat()].concat())
    }

    fn status(code: u8) -> Vec<u8> {
        option(13, &[0, code])
    }

    fn of(options: &[Vec<u8>]) -> Verdict {
        let datagram = [&[7, 1, 2, 3][..], &options.concat()].concat();
        verdict(&Answer::decode(&datagram).unwrap(), 7)
    }

    /// T1, T2, and the last byte and the lifetimes of each address.
    fn leased(options: &[Vec<u8>]) -> (u32, u32, Vec<(u8, u32, u32)>) {
        let Verdict::Leased(terms) = of(options) else { panic!("not leased") };
        let address = |leased: &LeasedAddress| {
            (leased.address.octets()[15], leased.preferred.as_secs(), leased.valid.as_secs())
        };
        let addresses = terms.addresses.iter().map(address).collect();
        (terms.t1.as_secs(), terms.t2.as_secs(), addresses)
    }

    #[test]
    fn the_client_chooses_the_times_that_the_server_leaves_open() {
        let two = [address(1, 100, 200, &[]), address(2, 60, 300, &[])];
        let both = vec![(1, 100, 200), (2, 60, 300)];
        assert_eq!(leased(&[ia(0, 0, &two)]), (30, 48, both.clone()));
        assert_eq!(leased(&[ia(10, 0, &two)]), (10, 48, both.clone()));
        assert_eq!(leased(&[ia(55, 0, &two)]), (55, 55, both.clone()));
        assert_eq!(leased(&[ia(0, 40, &two)]), (30, 40, both.clone()));
        assert_eq!(leased(&[ia(0, 20, &two)]), (20, 20, both.clone()));
        assert_eq!(leased(&[ia(90, 95, &two)]), (90, 95, both));
    }

    #[test]
    fn for_ever_stays_for_ever() {
        let endless = [address(1, FOR_EVER, FOR_EVER, &[])];
        let addresses = vec![(1, FOR_EVER, FOR_EVER)];
        assert_eq!(leased(&[ia(0, 0, &endless)]), (FOR_EVER, FOR_EVER, addresses));
        assert_eq!(Lifetime::INFINITE.finite(), None);
        assert_eq!(Lifetime::from_secs(FOR_EVER - 1).tenths(8).as_secs(), 3_435_973_835);
    }

    #[test]
    fn an_association_with_t1_after_t2_is_not_there() {
        let one = [address(1, 100, 200, &[])];
        assert_eq!(of(&[ia(50, 49, &one)]), Verdict::Nothing);
        assert_eq!(leased(&[ia(50, 49, &one), ia(50, 50, &one)]), (50, 50, vec![(1, 100, 200)]));
    }

    #[test]
    fn addresses_that_cannot_be_meant_are_discarded() {
        let good = address(9, 100, 100, &[]);
        let bad = [
            address(1, 101, 100, &[]),
            address(2, FOR_EVER, 100, &[]),
            address(3, 100, 200, &status(2)),
            at([0; 16], 100, 200, &[]),
            at([0xff; 16], 100, 200, &[]),
            at(Ipv6Addr::LOCALHOST.octets(), 100, 200, &[]),
            at("fe80::1".parse::<Ipv6Addr>().unwrap().octets(), 100, 200, &[]),
            at("::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets(), 100, 200, &[]),
        ];
        for bad in bad {
            assert!(!matches!(of(&[ia(0, 0, std::slice::from_ref(&bad))]), Verdict::Leased(_)));
            assert_eq!(leased(&[ia(0, 0, &[bad, good.clone()])]).2, [(9, 100, 100)]);
        }
    }

    #[test]
    fn a_valid_lifetime_of_zero_takes_the_address_back() {
        let Verdict::Leased(terms) =
            of(&[ia(0, 0, &[address(1, 0, 0, &[]), address(2, 10, 20, &[])])])
        else {
            panic!("not leased")
        };
        assert_eq!(terms.addresses.len(), 1);
        assert_eq!(terms.withdrawn, ["fd01::1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn a_refusal_may_stand_at_every_level() {
        let code = |verdict| match verdict {
            Verdict::Refused(status) => u16::from(status.code),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(of(&[status(2)])), 2);
        assert_eq!(code(of(&[ia(0, 0, &[status(4)])])), 4);
        assert_eq!(code(of(&[ia(0, 0, &[address(1, 9, 9, &status(1))])])), 1);
        assert_eq!(of(&[status(0), ia(0, 0, &[status(0)])]), Verdict::Nothing);
        assert_eq!(of(&[]), Verdict::Nothing);
    }

    #[test]
    fn another_association_is_no_concern() {
        let mut other = ia(0, 0, &[address(1, 9, 9, &[])]);
        other[7] = 8;
        assert_eq!(of(&[other]), Verdict::Nothing);
    }
}
