//! What an answer says of the client's identity associations: the rules for lifetimes, T1 and T2.

use std::net::Ipv6Addr;

use dhcproto::v6::Status as Code;
use ipnet::Ipv6Net;

use super::lease::{Ia, LeasedAddress, LeasedPrefix, Lifetime, Refusal};
use super::message::{Answer, Asked, Association, Offered, Status};

/// What an answer says of one identity association.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has addresses or prefixes, or has lost some.
    Leased(Terms),
    /// The server gives nothing, and why.
    Refused(Status),
    /// Nothing that could be used, and no reason.
    Nothing,
}

/// On what terms the addresses and prefixes are leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub t1: Lifetime,
    pub t2: Lifetime,
    pub addresses: Vec<LeasedAddress>,
    pub prefixes: Vec<LeasedPrefix>,
    /// Addresses with a valid lifetime of zero.
    pub withdrawn: Vec<Ipv6Addr>,
    pub withdrawn_prefixes: Vec<Ipv6Net>,
}

impl Terms {
    fn none() -> Terms {
        Terms {
            t1: Lifetime::INFINITE,
            t2: Lifetime::INFINITE,
            addresses: Vec::new(),
            prefixes: Vec::new(),
            withdrawn: Vec::new(),
            withdrawn_prefixes: Vec::new(),
        }
    }

    /// Whether there is an address or a prefix to use.
    pub fn gives(&self) -> bool {
        !self.addresses.is_empty() || !self.prefixes.is_empty()
    }

    /// A server takes back what the client has, and nothing else that may be on the link.
    fn keep_what_is_held(&mut self, asked: &Asked) {
        self.withdrawn.retain(|gone| {
            asked.addresses.iter().any(|held| held.address == *gone)
                && !self.addresses.iter().any(|leased| leased.address == *gone)
        });
        self.withdrawn_prefixes.retain(|gone| {
            asked.prefixes.iter().any(|held| held.prefix.trunc() == *gone)
                && !self.prefixes.iter().any(|leased| leased.prefix == *gone)
        });
    }

    fn says_something(&self) -> bool {
        self.gives() || !self.withdrawn.is_empty() || !self.withdrawn_prefixes.is_empty()
    }

    /// Adds those of another association. Section 18.2.4: the earliest T1 and T2 of all associations
    /// are kept. What is there already is not taken twice, nor a prefix that overlaps another.
    fn add(&mut self, more: Terms) {
        self.t1 = self.t1.min(more.t1);
        self.t2 = self.t2.min(more.t2);
        for leased in more.addresses {
            if !self.addresses.iter().any(|other| other.address == leased.address) {
                self.addresses.push(leased);
            }
        }
        for leased in more.prefixes {
            if !self.prefixes.iter().any(|other| overlap(other.prefix, leased.prefix)) {
                self.prefixes.push(leased);
            }
        }
        self.withdrawn.extend(more.withdrawn);
        self.withdrawn_prefixes.extend(more.withdrawn_prefixes);
    }
}

/// What an answer says of all that was asked for.
#[derive(Debug)]
pub(super) struct Judgement {
    pub terms: Terms,
    /// Of how many associations there is something in `terms`.
    pub grants: usize,
    /// The others.
    pub refused: Vec<Denied>,
}

/// An association of which an answer gives nothing, and why not, if it says so.
#[derive(Clone, Debug)]
pub(super) struct Denied {
    pub ia: Ia,
    pub status: Option<Status>,
}

impl Judgement {
    /// Whether some association was refused with this code.
    pub fn has(&self, code: Code) -> bool {
        self.refused.iter().flat_map(|denied| &denied.status).any(|status| status.code == code)
    }
}

impl Denied {
    /// The same for a caller.
    pub fn told(&self) -> Refusal {
        let code = self.status.as_ref().map(|status| u16::from(status.code));
        let why = match &self.status {
            Some(status) => status.to_string(),
            None => "nothing is said of it".to_owned(),
        };
        Refusal { ia: self.ia, code, why }
    }
}

/// What `answer` says of the associations of the number `iaid` that were asked for.
pub(super) fn judge(answer: &Answer, asked: &Asked, iaid: u32) -> Judgement {
    let (mut terms, mut grants, mut refused) = (Terms::none(), 0, Vec::new());
    for ia in asked.wants.associations() {
        match verdict(answer, asked, ia, iaid) {
            Verdict::Leased(more) => {
                terms.add(more);
                grants += 1;
            }
            Verdict::Refused(status) => refused.push(Denied { ia, status: Some(status) }),
            Verdict::Nothing => refused.push(Denied { ia, status: None }),
        }
    }
    terms.t1 = terms.t1.max(SOONEST);
    terms.t2 = terms.t2.max(terms.t1);
    Judgement { terms, grants, refused }
}

/// Section 14.2: a client must not ask again at once, whatever the lifetimes are.
const SOONEST: Lifetime = Lifetime::from_secs(1);

/// What `answer` says of one association.
fn verdict(answer: &Answer, asked: &Asked, kind: Ia, iaid: u32) -> Verdict {
    let mine = |ia: &&Association| ia.ia == kind && ia.iaid == iaid && has_sound_times(ia);
    let ia = answer.associations.iter().find(mine);
    // Section 21.13: a code may stand in the message or in the option that it is about.
    let whole = Some(&answer.status).filter(|status| concerns(status, kind));
    let refusal = [whole, ia.map(|ia| &ia.status)];
    if let Some(status) = refusal.into_iter().flatten().find(|status| !status.is_success()) {
        return Verdict::Refused(status.clone());
    }
    let Some(ia) = ia else { return Verdict::Nothing };
    let terms = terms(ia, asked);
    if terms.says_something() {
        return Verdict::Leased(terms);
    }
    let of_addresses = ia.addresses.iter().map(|offered| &offered.status);
    let of_prefixes = ia.prefixes.iter().map(|offered| &offered.status);
    match of_addresses.chain(of_prefixes).find(|status| !status.is_success()) {
        Some(status) => Verdict::Refused(status.clone()),
        None => Verdict::Nothing,
    }
}

/// Whether the status of a message is about associations of this sort. A server of RFC 3315 says of
/// the whole message that there are no addresses, though it may have prefixes in it, and the other
/// way round.
fn concerns(status: &Status, ia: Ia) -> bool {
    match status.code {
        Code::NoAddrsAvail => ia != Ia::Pd,
        Code::NoPrefixAvail => ia == Ia::Pd,
        _ => true,
    }
}

/// Sections 21.4 and 21.21: an IA_NA or IA_PD with T1 greater than T2, and both greater than 0, must be
/// discarded.
fn has_sound_times(ia: &Association) -> bool {
    ia.t1 == 0 || ia.t2 == 0 || ia.t1 <= ia.t2
}

fn terms(ia: &Association, asked: &Asked) -> Terms {
    let mut terms = Terms::none();
    let is_pd = ia.ia == Ia::Pd;
    for offered in ia.addresses.iter().filter(|offered| !is_pd && is_sound(offered)) {
        let Offered { what: address, preferred, valid, .. } = *offered;
        match is_over(offered) {
            true => terms.withdrawn.push(address),
            false => {
                terms.addresses.push(LeasedAddress { address, ia: ia.ia, preferred, valid });
            }
        }
    }
    for offered in ia.prefixes.iter().filter(|offered| is_pd && is_sound_prefix(offered)) {
        let Offered { what: prefix, preferred, valid, .. } = *offered;
        match is_over(offered) {
            true => terms.withdrawn_prefixes.push(prefix),
            false => terms.prefixes.push(LeasedPrefix { prefix, preferred, valid }),
        }
    }
    (terms.t1, terms.t2) = renewal_times(ia, &terms);
    terms.keep_what_is_held(asked);
    terms
}

fn is_over<T>(offered: &Offered<T>) -> bool {
    offered.valid == Lifetime::from_secs(0)
}

/// Sections 21.6 and 21.22: a client must discard addresses and prefixes whose preferred lifetime is
/// greater than the valid one.
fn has_sound_lifetimes<T>(offered: &Offered<T>) -> bool {
    offered.status.is_success() && offered.preferred <= offered.valid
}

/// No honest server leases an address that is not for one host beyond the link.
fn is_sound(offered: &Offered<Ipv6Addr>) -> bool {
    let address = offered.what;
    let unfit = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some();
    has_sound_lifetimes(offered) && !unfit
}

/// The ranges of which no prefix can be delegated: what is set apart at the beginning (RFC 4291
/// section 2.4: unspecified, loopback, mapped), link-local, multicast.
const NEVER_DELEGATED: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::UNSPECIFIED, 8),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// The longest prefix of which a network can be made (RFC 4291 section 2.5.4).
const LONGEST_PREFIX: u8 = 64;

/// No honest server delegates a prefix that no network fits in, or one that is not for routing.
fn is_sound_prefix(offered: &Offered<Ipv6Net>) -> bool {
    let prefix = offered.what;
    let never =
        |&(address, len): &(Ipv6Addr, u8)| overlap(Ipv6Net::new_assert(address, len), prefix);
    has_sound_lifetimes(offered)
        && prefix.prefix_len() <= LONGEST_PREFIX
        && !NEVER_DELEGATED.iter().any(never)
}

fn overlap(one: Ipv6Net, other: Ipv6Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// Sections 14.2, 21.4 and 21.21: where the server leaves T1 or T2 to the client (0), they are half and
/// four fifths of the shortest preferred lifetime, so far as that keeps T1 before T2. An IA_TA has
/// neither, so its times are the client's to choose too.
///
/// A lease that is not preferred any more counts with its valid lifetime: it would be asked for without
/// pause otherwise. A T1 that comes when a lease is already over is left to the client as well.
fn renewal_times(ia: &Association, terms: &Terms) -> (Lifetime, Lifetime) {
    let addresses = terms.addresses.iter().map(|leased| (leased.preferred, leased.valid));
    let prefixes = terms.prefixes.iter().map(|leased| (leased.preferred, leased.valid));
    let times: Vec<_> = addresses.chain(prefixes).collect();
    let Some(shortest_valid) = times.iter().map(|(_, valid)| *valid).min() else {
        return (Lifetime::INFINITE, Lifetime::INFINITE);
    };
    let lasting = |(preferred, valid): &(Lifetime, Lifetime)| {
        if *preferred == Lifetime::from_secs(0) { *valid } else { *preferred }
    };
    let shortest = times.iter().map(lasting).min().unwrap_or(Lifetime::INFINITE);
    let given = |secs| (secs != 0).then(|| Lifetime::from_secs(secs));
    let too_late = |t1: &Lifetime| *t1 >= shortest_valid && *t1 != Lifetime::INFINITE;
    match (given(ia.t1), given(ia.t2)) {
        (Some(t1), _) if too_late(&t1) => (shortest.tenths(5), shortest.tenths(8)),
        (Some(t1), Some(t2)) => (t1, t2),
        (Some(t1), None) => (t1, shortest.tenths(8).max(t1)),
        (None, Some(t2)) => (shortest.tenths(5).min(t2), t2),
        (None, None) => (shortest.tenths(5), shortest.tenths(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wants;
    use super::super::lease::Held;
    use super::*;
    use crate::record::Duid;

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
        let server = Duid::new(&[0, 4, 1]).unwrap();
        let held = Held::lasting(server, ["fd01::1".parse().unwrap()]);
        verdict(&Answer::decode(&datagram).unwrap(), &Asked::held(held, Wants::ADDRESS), Ia::Na, 7)
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

    fn prefix(prefix: &str, preferred: u32, valid: u32) -> Vec<u8> {
        let (address, len) = prefix.split_once('/').unwrap();
        let address: Ipv6Addr = address.parse().unwrap();
        let times = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
        option(26, &[&times[..], &[len.parse().unwrap()], &address.octets()].concat())
    }

    fn pd(t1: u32, t2: u32, options: &[Vec<u8>]) -> Vec<u8> {
        let fields = [7, t1, t2].map(u32::to_be_bytes).concat();
        option(25, &[fields, options.concat()].concat())
    }

    fn delegated(options: &[Vec<u8>]) -> Vec<String> {
        let datagram = [&[7, 1, 2, 3][..], &options.concat()].concat();
        let asked = Asked::anew(Wants { delegate: Some(56), ..Wants::NOTHING });
        match verdict(&Answer::decode(&datagram).unwrap(), &asked, Ia::Pd, 7) {
            Verdict::Leased(terms) => {
                terms.prefixes.iter().map(|leased| leased.prefix.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn prefixes_that_cannot_be_meant_are_discarded() {
        let good = prefix("2001:db8::/56", 100, 100);
        for bad in [
            prefix("2001:db8:1::/65", 100, 200),
            prefix("2001:db8:1::1/128", 100, 200),
            prefix("2001:db8:1::/129", 100, 200),
            prefix("2001:db8:1::/255", 100, 200),
            prefix("2001:db8:1::/48", 101, 100),
            prefix("::/0", 100, 200),
            prefix("::/48", 100, 200),
            prefix("::ffff:0:0/64", 100, 200),
            prefix("8000::/1", 100, 200),
            prefix("fe80::/64", 100, 200),
            prefix("fe00::/7", 100, 200),
            prefix("ff00::/64", 100, 200),
            prefix("fd00::/7", 100, 200)[..20].to_vec(),
        ] {
            let datagram = pd(0, 0, &[bad.clone(), good.clone()]);
            if Answer::decode(&[&[7, 1, 2, 3][..], &datagram].concat()).is_some() {
                assert_eq!(delegated(&[datagram]), ["2001:db8::/56"], "{bad:?}");
            }
        }
        assert_eq!(delegated(&[pd(0, 0, &[prefix("2000::/3", 1, 2)])]), ["2000::/3"]);
        let after_the_length = pd(0, 0, &[prefix("2001:db8::1:2/56", 1, 2)]);
        assert_eq!(delegated(&[after_the_length]), ["2001:db8::/56"]);
        assert_eq!(delegated(&[pd(50, 49, &[good])]), [""; 0], "T1 after T2");
    }

    #[test]
    fn of_prefixes_that_overlap_the_first_is_taken() {
        let three = [("fd01::/56", 9), ("fd01::/48", 9), ("fd01:0:0:80::/60", 9), ("fd02::/48", 9)];
        let options = three.map(|(text, time)| prefix(text, time, time)).to_vec();
        let datagram = [&[7, 1, 2, 3][..], &pd(0, 0, &options)].concat();
        let asked = Asked::anew(Wants { delegate: Some(56), ..Wants::NOTHING });
        let judgement = judge(&Answer::decode(&datagram).unwrap(), &asked, 7);
        let taken: Vec<_> =
            judgement.terms.prefixes.iter().map(|leased| leased.prefix.to_string()).collect();
        assert_eq!(taken, ["fd01::/56", "fd02::/48"]);
    }

    #[test]
    fn an_address_is_no_prefix_and_the_other_way_round() {
        assert_eq!(delegated(&[pd(0, 0, &[address(1, 9, 9, &[])])]), [""; 0]);
        assert_eq!(of(&[ia(0, 0, &[prefix("fd01::/56", 9, 9)])]), Verdict::Nothing);
    }

    /// Section 14.2: "it MUST NOT transmit immediately".
    #[test]
    fn no_lifetimes_make_the_client_ask_without_pause() {
        assert_eq!(leased(&[ia(0, 0, &[address(1, 0, 200, &[])])]).0, 100, "no longer preferred");
        assert_eq!(leased(&[ia(0, 0, &[address(1, 0, 200, &[]), address(2, 80, 300, &[])])]).0, 40);
        let datagram = [&[7, 1, 2, 3][..], &ia(0, 0, &[address(1, 1, 1, &[])])].concat();
        let asked = Asked::anew(Wants::ADDRESS);
        let terms = judge(&Answer::decode(&datagram).unwrap(), &asked, 7).terms;
        assert_eq!((terms.t1.as_secs(), terms.t2.as_secs()), (1, 1));
    }

    #[test]
    fn a_t1_after_the_end_of_the_lease_is_left_to_the_client() {
        assert_eq!(leased(&[ia(900, 950, &[address(1, 100, 200, &[])])]).0, 50);
        assert_eq!(leased(&[ia(FOR_EVER, 0, &[address(1, 100, 200, &[])])]).0, FOR_EVER, "never");
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
