//! What an interface has beside its link and what DHCPv6 leases: other addresses, routes, rules, and
//! a limit of its rate.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::attach::Job;
use super::lease4::keeping;
use super::plan::{Seen, Step, is_over};
use super::scene::{Host, Inside};
use super::wish::Wish;
use crate::adapter::attachments::Attachment;
use crate::adapter::netlink::{Advertised, FoundRoute, Limit, Link, best_router, is_rule};
use crate::error::{Error, Kind, Result};
use crate::record::{
    Address, Addressing, Fixed, Interface, LinkNetwork, Origin, Rate, Route, Rule,
};

/// How long to wait before routers are asked once more (RFC 4861 section 6.3.7 has 4 s; what they
/// answer has been on the link since long ago).
const AGAIN: Duration = Duration::from_millis(500);

/// How things are.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The routes over the interface, and those of its namespace that drop packets.
    pub routes: Vec<FoundRoute>,
    /// The rules of its namespace.
    pub rules: Vec<Rule>,
    /// What limits how fast the interface sends, where it is there.
    pub inner: Option<Limit>,
    /// What limits how fast its other end sends, where there is one.
    pub outer: Option<Limit>,
    /// The addresses that the kernel has made of what routers advertise.
    pub advertised: Vec<Advertised>,
}

impl Beside {
    /// How things are for `wish`, as far as it has to do with them or what is `known` had.
    pub fn look(
        wish: &Wish,
        known: Option<&Attachment>,
        host: &Host,
        inside: &Inside,
        inner: Option<&Link>,
        outer: Option<&Link>,
    ) -> Result<Beside> {
        let mut seen = Beside::default();
        let networks = || [&wish.network].into_iter().chain(known.map(|known| &known.network));
        if networks().any(|network| !network.rules.is_empty()) {
            seen.rules = inside.netlink.rules()?;
        }
        let Some(inner) = inner else { return Ok(seen) };
        for ipv4 in [true, false] {
            let leased = ipv4 && wish.sources.dhcp4;
            if leased || networks().any(|network| is_routed(network, ipv4)) {
                seen.routes.extend(inside.netlink.routes_over(inner.index, ipv4)?);
            }
        }
        if wish.sources.slaac {
            seen.advertised = inside.netlink.advertised(inner.index)?;
        }
        if networks().any(|network| network.rate.is_some()) {
            seen.inner = Some(inside.netlink.rate_limit(inner.index)?);
            let limit = |outer: &Link| host.netlink.rate_limit(outer.index);
            seen.outer = outer.map(limit).transpose()?;
        }
        Ok(seen)
    }

    /// Whether there is something of it in the record of `wish`.
    pub fn is_told(wish: &Wish) -> bool {
        let routed = || [true, false].iter().any(|ipv4| is_routed(&wish.network, *ipv4));
        wish.sources.dhcp4 || wish.sources.slaac || routed()
    }

    /// Puts what is known of this into a record.
    pub fn tell(&self, interface: &mut Interface) {
        let now = Timestamp::now();
        interface.addresses.extend(self.advertised.iter().map(|made| record(made, now)));
        let router = |ipv4| best_router(&self.routes, ipv4);
        if let Some(IpAddr::V4(router)) = router(true) {
            interface.ipv4_router = Some(router);
        }
        if let Some(IpAddr::V6(router)) = router(false) {
            interface.router = Some(router);
        }
    }

    fn has_route(&self, route: &Route) -> bool {
        self.routes.iter().any(|found| found.is(route))
    }

    fn has_rule(&self, rule: &Rule) -> bool {
        self.rules.iter().any(|found| is_rule(found, rule))
    }
}

/// Whether a document says of routes of this family.
fn is_routed(network: &LinkNetwork, ipv4: bool) -> bool {
    let mut routes = routes(network, None).into_iter();
    routes.any(|route| route.to.addr().is_ipv4() == ipv4)
}

/// An address that the kernel has made, as records show it.
fn record(made: &Advertised, now: Timestamp) -> Address {
    let until = |seconds: u32| match seconds {
        u32::MAX => None,
        seconds => {
            let until = now.checked_add(SignedDuration::from_secs(seconds.into())).ok();
            until.and_then(|until| Timestamp::from_second(until.as_second()).ok())
        }
    };
    Address {
        address: made.address.into(),
        prefix_len: made.prefix_len,
        origin: Origin::Slaac,
        preferred_until: until(made.lifetimes.preferred),
        valid_until: until(made.lifetimes.valid),
        rest: Default::default(),
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Errand {
    /// Take away an address that was given and is not wanted any more.
    Withdraw(IpAddr, u8),
    /// Take away a route.
    RemoveRoute(Route),
    /// Take away a rule.
    RemoveRule(Rule),
    /// Take away the limit of the rate.
    Unlimit,
    /// Take what was learnt of names out of the resolv.conf.
    RestoreDns,
    /// Write down what is wanted now.
    Remember,
    /// Lease an IPv4 address, and put it and the server's routes on the interface.
    Lease4,
    /// Wait until the kernel has made an address of what a router advertises.
    Slaac,
    /// Add a route.
    AddRoute(Route),
    /// Add a rule.
    AddRule(Rule),
    /// Limit the rate.
    Limit(Rate),
    /// Put what was learnt of names into the resolv.conf.
    WriteDns,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Errand::Withdraw(address, len) => write!(f, "delete address {address}/{len}"),
            Errand::RemoveRoute(route) => write!(f, "delete route {route}"),
            Errand::RemoveRule(rule) => write!(f, "delete rule {rule}"),
            Errand::Unlimit => f.write_str("lift the limit of the rate"),
            Errand::RestoreDns => f.write_str("restore resolv.conf"),
            Errand::Remember => f.write_str("write down what is wanted"),
            Errand::Lease4 => f.write_str("lease an address by DHCPv4"),
            Errand::Slaac => f.write_str("wait for an address from a router's prefix"),
            Errand::AddRoute(route) => write!(f, "add route {route}"),
            Errand::AddRule(rule) => write!(f, "add rule {rule}"),
            Errand::Limit(rate) => write!(f, "limit the rate to {rate}"),
            Errand::WriteDns => f.write_str("write what is learnt of names into resolv.conf"),
        }
    }
}

/// The routes that an interface is to have: to the routers of given addresses, those that a DHCPv4
/// server told of, and those that are given.
pub fn routes(network: &LinkNetwork, known: Option<&Attachment>) -> Vec<Route> {
    let fixed = network.addresses.iter().filter_map(|source| match source {
        Addressing::Fixed(fixed) => default_route(fixed),
        _ => None,
    });
    let leased = known.and_then(|known| known.lease4.as_ref());
    let leased = leased.into_iter().flat_map(|lease| lease.routes.iter().copied());
    let mut all: Vec<Route> = Vec::new();
    for route in fixed.chain(leased).chain(network.routes.iter().copied()) {
        if !all.contains(&route) {
            all.push(route);
        }
    }
    all
}

/// Whether a document gives the default route for all of IPv6.
pub fn has_ipv6_default(network: &LinkNetwork) -> bool {
    routes(network, None).iter().any(|route| route.router().is_some_and(|via| via.is_ipv6()))
}

/// The default route of a given address.
fn default_route(fixed: &Fixed) -> Option<Route> {
    let router = fixed.router?;
    let net = ipnet::IpNet::new(fixed.address, fixed.prefix_len).ok()?;
    let of_link = matches!(router, IpAddr::V6(router) if router.is_unicast_link_local());
    Some(Route::default_via(router, !of_link && !net.contains(&router)))
}

/// What a plan is made from.
pub struct Scene<'a> {
    /// What is wanted.
    pub wish: &'a Wish,
    /// How things are.
    pub seen: &'a Seen,
    /// What is remembered and still holds.
    pub known: Option<&'a Attachment>,
    /// Whether the interface is there already.
    pub is_there: bool,
    /// The time.
    pub now: Timestamp,
}

impl Scene<'_> {
    /// What has to go.
    pub fn unwanted(&self) -> Vec<Step> {
        let Some(known) = self.known.filter(|_| self.is_there) else { return Vec::new() };
        let (beside, mut errands) = (&self.seen.beside, Vec::new());
        for fixed in known.fixed().filter(|fixed| !self.gives(fixed)) {
            let is_it = |address: &IpAddr| *address == fixed.address;
            if self.seen.addresses.iter().any(|found| is_it(&found.address)) {
                errands.push(Errand::Withdraw(fixed.address, fixed.prefix_len));
            }
        }
        let wanted = routes(&self.wish.network, Some(known));
        let stale = routes(&known.network, Some(known)).into_iter();
        let stale = stale.filter(|route| !wanted.contains(route) && beside.has_route(route));
        errands.extend(stale.map(Errand::RemoveRoute));
        let stale = known
            .network
            .rules
            .iter()
            .filter(|rule| !self.wish.network.rules.contains(rule) && beside.has_rule(rule));
        errands.extend(stale.copied().map(Errand::RemoveRule));
        let limited = [beside.inner, beside.outer].into_iter().flatten();
        let is_ours = |limit| matches!(limit, Limit::Ours(_));
        if self.wish.network.rate.is_none() && limited.into_iter().any(is_ours) {
            errands.push(Errand::Unlimit);
        }
        if known.dns && !self.wish.dns {
            errands.push(Errand::RestoreDns);
        }
        errands.into_iter().map(Step::Beside).collect()
    }

    fn gives(&self, fixed: &Fixed) -> bool {
        let same =
            |one: &&Fixed| one.address == fixed.address && one.prefix_len == fixed.prefix_len;
        self.wish.sources.fixed.iter().any(|one| same(&one))
    }

    /// Adds what has to come. A change of what is wanted is written down before any of it is done.
    pub fn wanted(&self, steps: &mut Vec<Step>) {
        let mut errands = Vec::new();
        let leases = self.leases4(steps, &mut errands);
        let nothing = Beside::default();
        let beside = if self.is_there { &self.seen.beside } else { &nothing };
        if self.wish.sources.slaac && beside.advertised.is_empty() {
            errands.push(Errand::Slaac);
        }
        let known = self.known.filter(|_| !leases);
        let missing = routes(&self.wish.network, known).into_iter();
        errands.extend(missing.filter(|route| !beside.has_route(route)).map(Errand::AddRoute));
        // A rule is of the namespace and stays when the interface goes.
        let rules = self.wish.network.rules.iter();
        let missing = rules.filter(|rule| !self.seen.beside.has_rule(rule));
        errands.extend(missing.copied().map(Errand::AddRule));
        if let Some(rate) = self.wish.network.rate {
            let has_two = self.wish.plug.has_two_ends();
            let limited = |limit: Option<Limit>| limit.is_some_and(|limit| limit.is(rate));
            if !limited(beside.inner) || (has_two && !limited(beside.outer)) {
                errands.push(Errand::Limit(rate));
            }
        }
        let learns = leases || steps.contains(&Step::Lease) || self.seen.is_dns_stale(self.wish);
        if self.wish.dns && learns {
            errands.push(Errand::WriteDns);
        }
        let changed = self
            .known
            .is_some_and(|known| known.network != self.wish.network || known.dns != self.wish.dns);
        if changed && !(steps.is_empty() && errands.is_empty()) {
            steps.push(Step::Beside(Errand::Remember));
        }
        steps.extend(errands.into_iter().map(Step::Beside));
    }

    /// What DHCPv4 needs; whether an address is to be leased.
    fn leases4(&self, steps: &mut Vec<Step>, errands: &mut Vec<Errand>) -> bool {
        if !self.wish.sources.dhcp4 {
            return false;
        }
        let lease = self.known.and_then(|known| known.lease4.as_ref());
        let Some(lease) = lease.filter(|lease| !is_over(&lease.address, self.now)) else {
            errands.push(Errand::Lease4);
            return true;
        };
        let is_it = |address: IpAddr| address == lease.address.address;
        if !self.is_there || !self.seen.addresses.iter().any(|found| is_it(found.address)) {
            steps.push(Step::Restore(lease.address.clone()));
        }
        false
    }
}

impl Job<'_> {
    pub(super) fn errand(&mut self, errand: &Errand) -> Result<()> {
        let index = || Ok::<_, Error>(self.inside.link(&self.wish.interface)?.index);
        let netlink = &self.inside.netlink;
        match errand {
            Errand::Withdraw(address, len) => netlink.unassign(index()?, *address, *len).map(drop),
            Errand::RemoveRoute(route) => netlink.remove_route(index()?, route).map(drop),
            Errand::RemoveRule(rule) => netlink.remove_rule(rule).map(drop),
            Errand::AddRule(rule) => netlink.add_rule(rule),
            Errand::AddRoute(route) => {
                let index = self.prepare()?;
                self.inside.netlink.add_route(index, route)
            }
            Errand::Remember => {
                let wanted = self.wish.attachment(self.known.lease.clone());
                self.known = keeping(wanted, Some(&self.known));
                self.unionize.keeper.attachments.put(&self.known)
            }
            Errand::Limit(rate) => self.limit(*rate),
            Errand::Unlimit => self.unlimit(),
            Errand::Lease4 => self.lease4(),
            Errand::Slaac => self.slaac(),
            Errand::WriteDns => self.write_dns(),
            Errand::RestoreDns => self.restore_dns(),
        }
    }

    fn limit(&self, rate: Rate) -> Result<()> {
        if self.wish.plug.has_two_ends()
            && let Some(outer) = self.host.netlink.find_link(&self.wish.link)?
        {
            self.host.netlink.limit_rate(outer.index, rate, outer.mtu)?;
        }
        let inner = self.inside.link(&self.wish.interface)?;
        self.inside.netlink.limit_rate(inner.index, rate, inner.mtu)
    }

    fn unlimit(&self) -> Result<()> {
        if self.wish.plug.has_two_ends()
            && let Some(outer) = self.host.netlink.find_link(&self.wish.link)?
        {
            self.host.netlink.lift_rate_limit(outer.index)?;
        }
        let inner = self.inside.link(&self.wish.interface)?;
        self.inside.netlink.lift_rate_limit(inner.index).map(drop)
    }

    /// Waits for the first address that the kernel makes. Its duplicate detection is looked at with
    /// that of the others.
    fn slaac(&mut self) -> Result<()> {
        let index = self.prepare()?;
        let end = self.deadline();
        loop {
            let until = (Instant::now() + AGAIN).min(end);
            let made = self.inside.wait_for(until, |netlink| {
                Ok(Some(netlink.advertised(index)?).filter(|made| !made.is_empty()))
            })?;
            if let Some(made) = made {
                self.fresh.extend(made.iter().map(|made| IpAddr::from(made.address)));
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Error::new(
                    Kind::TimedOut,
                    "wait for an address from a router's prefix",
                )
                .why("no router advertises one to make addresses of"));
            }
            self.inside.solicit_router(index)?;
        }
    }
}
