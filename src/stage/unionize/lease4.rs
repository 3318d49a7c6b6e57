//! What is leased by DHCPv4 for an interface: asking for it, extending it, giving it up, remembering it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use jiff::{SignedDuration, Timestamp};

use super::attach::Job;
use super::detach::Keeper;
use super::dns;
use super::leasing::remaining;
use super::plan::is_over;
use super::scene::Inside;
use super::wish::{Wish, interface};
use crate::adapter::attachments::{Attachment, Leased4};
use crate::adapter::dhcp4::{Client, FOREVER, Held, Lease, Link};
use crate::adapter::netlink::Dad;
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Addressing, Interface, Origin, Plug, Route};

/// The metric of routes that a DHCPv4 server told of: those that are given come before them, and so
/// does a default route that the container has otherwise.
const METRIC: u32 = 1024;

/// `attachment`, with what is remembered beside its DHCPv6 lease as it was `before`.
pub fn keeping(attachment: Attachment, before: Option<&Attachment>) -> Attachment {
    let lease4 = before.and_then(|before| before.lease4.clone());
    Attachment { lease4, ..attachment }
}

impl Job<'_> {
    /// Leases an IPv4 address, writes that down and puts it on the interface, with the server's routes.
    pub(super) fn lease4(&mut self) -> Result<()> {
        let index = self.prepare()?;
        let patience = self.deadline().saturating_duration_since(Instant::now());
        let had = self.known.lease4.as_ref().and_then(|lease| ipv4(&lease.address));
        let lease = speak4(&self.inside, self.wish, index, patience, |client, link| {
            client.lease(link, had)
        })?;
        let leased = remember4(&lease, Timestamp::now());
        self.known = keeping(self.wish.attachment(self.known.lease.clone()), Some(&self.known));
        self.known.lease4 = Some(leased.clone());
        self.unionize.keeper.attachments.put(&self.known)?;
        self.assign_leased(index, &leased.address)?;
        add_routes(&self.inside, index, &leased)
    }
}

/// Has a DHCPv4 exchange on the container's interface.
pub fn speak4<T: Send>(
    inside: &Inside,
    wish: &Wish,
    index: u32,
    patience: Duration,
    exchange: impl FnOnce(&Client, Link<'_>) -> Result<T> + Send,
) -> Result<T> {
    let client = client4(wish, patience);
    let link = Link { index, name: &wish.interface };
    inside.netns.run(|| exchange(&client, link))
}

/// Who asks DHCPv4 servers for an interface.
pub fn client4(wish: &Wish, patience: Duration) -> Client {
    Client {
        give_up_after: patience,
        // It shares its parent's hardware address, by which it does not hear what it is sent.
        broadcast: matches!(wish.plug, Plug::Ipvlan { .. }),
        ..Client::new(wish.identifier(), wish.mac)
    }
}

/// A lease as it is remembered.
pub fn remember4(lease: &Lease, now: Timestamp) -> Leased4 {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let until = |seconds: u32| match seconds {
        FOREVER => None,
        seconds => now.checked_add(SignedDuration::from_secs(seconds.into())).ok(),
    };
    let address = Address {
        address: lease.address.into(),
        prefix_len: lease.prefix_len,
        origin: Origin::Dhcp4,
        preferred_until: until(lease.valid),
        valid_until: until(lease.valid),
        rest: Default::default(),
    };
    Leased4 {
        server: lease.server,
        address,
        routes: routes(lease),
        dns_servers: lease.dns_servers.iter().copied().map(IpAddr::from).collect(),
        search: lease.search.clone(),
        obtained_at: now,
        renew_at: until(lease.t1),
        rebind_at: until(lease.t2),
        rest: Default::default(),
    }
}

/// The routes of a lease.
fn routes(lease: &Lease) -> Vec<Route> {
    let own = Ipv4Net::new(lease.address, lease.prefix_len).ok();
    let is_near = |router: &Ipv4Addr| own.is_some_and(|own| own.contains(router));
    let route = |net: Ipv4Net, router: Ipv4Addr| {
        let via = Some(router).filter(|router| !router.is_unspecified());
        let onlink = via.is_some_and(|router| !is_near(&router));
        let to = Route::to(IpNet::V4(net));
        Route { via: via.map(IpAddr::from), metric: Some(METRIC), onlink, ..to }
    };
    let default = lease.router.map(|router| (Ipv4Net::default(), router));
    let all = default.into_iter().chain(lease.routes.iter().copied());
    all.map(|(net, router)| route(net, router)).collect()
}

/// Adds the routes of a lease that are not there.
fn add_routes(inside: &Inside, index: u32, leased: &Leased4) -> Result<()> {
    let there = inside.netlink.routes_over(index, true)?;
    let missing = leased.routes.iter().filter(|route| !there.iter().any(|found| found.is(route)));
    missing.into_iter().try_for_each(|route| inside.netlink.add_route(index, route))
}

/// What the client needs to know of a lease that is remembered.
pub fn held4(leased: &Leased4) -> Option<Held> {
    Some(Held { server: leased.server, address: ipv4(&leased.address)? })
}

fn ipv4(address: &Address) -> Option<Ipv4Addr> {
    match address.address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Brings the interface with the number `index` from the lease that it had to the one that it has:
/// the address with its lifetimes, and the routes. What the former one had beyond that goes.
pub fn apply4(
    inside: &Inside,
    index: u32,
    before: Option<&Leased4>,
    after: &Leased4,
) -> Result<()> {
    let lifetimes = remaining(&after.address, Timestamp::now());
    let Address { address, prefix_len, .. } = after.address;
    inside.netlink.assign(index, address, prefix_len, lifetimes, Dad::Off)?;
    add_routes(inside, index, after)?;
    let Some(before) = before else { return Ok(()) };
    for route in before.routes.iter().filter(|route| !after.routes.contains(route)) {
        inside.netlink.remove_route(index, route)?;
    }
    let former = &before.address;
    if (former.address, former.prefix_len) != (address, prefix_len) {
        inside.netlink.unassign(index, former.address, former.prefix_len)?;
    }
    Ok(())
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask4 {
    /// The same server for more time.
    Renew,
    /// Any server for more time.
    Rebind,
    /// Any server for an address, the former one if it can be.
    Lease,
}

impl fmt::Display for Ask4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ask4::Renew => "renew the IPv4 lease",
            Ask4::Rebind => "rebind the IPv4 lease",
            Ask4::Lease => "lease an IPv4 address anew",
        })
    }
}

/// What a lease needs (RFC 2131 section 4.4.5); nothing before its time, unless `all` are renewed.
pub fn ask4(leased: &Leased4, all: bool, now: Timestamp) -> Option<Ask4> {
    let past = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if is_over(&leased.address, now) {
        Some(Ask4::Lease)
    } else if past(leased.rebind_at) {
        Some(Ask4::Rebind)
    } else if past(leased.renew_at) || all {
        Some(Ask4::Renew)
    } else {
        None
    }
}

impl Keeper<'_> {
    /// Extends the DHCPv4 lease of an attachment, if it is time or `all` are to be; its interface, if
    /// that was done.
    ///
    /// # Errors
    /// `Refused` when the server has taken the lease back and none gives another: then the address is
    /// gone from the interface, and from `known`.
    pub(super) fn renew4(
        &self,
        known: &mut Attachment,
        all: bool,
        now: Timestamp,
    ) -> Result<Option<Interface>> {
        let ask = match &known.lease4 {
            Some(leased) => ask4(leased, all, now),
            None if !known.network.addresses.contains(&Addressing::Dhcp4) => None,
            None => is_made(known)?.then_some(Ask4::Lease),
        };
        let Some(ask) = ask else { return Ok(None) };
        if self.dry_run {
            self.would(&known.container.id, format_args!("{ask} on {}", known.link));
            return Ok(None);
        }
        let (inside, index) = self.extend4(known, ask, self.timeout)?;
        Ok(Some(interface(known, None, inside.netlink.router(index)?)))
    }

    /// Asks for more time for the DHCPv4 lease of an attachment, or for another, and brings the interface
    /// to it; where that is, and its number.
    ///
    /// # Errors
    /// As [`Keeper::renew4`].
    pub(super) fn extend4(
        &self,
        known: &mut Attachment,
        ask: Ask4,
        patience: Duration,
    ) -> Result<(Inside, u32)> {
        let before = known.lease4.clone();
        let inside = Inside::open(&known.container)?;
        let index = own_index(&inside, known)?;
        let wish = Wish::of(known, super::Dad::Off)?;
        let holds = |before: &&Leased4| !is_over(&before.address, Timestamp::now());
        if let Some(before) = before.as_ref().filter(holds).filter(|_| ask != Ask4::Lease) {
            // Somebody may have taken it away, and servers send their answer to it.
            apply4(&inside, index, None, before)?;
        }
        match (extend(&inside, &wish, index, patience, before.as_ref(), ask), before) {
            (Ok(lease), before) => {
                let after = remember4(&lease, Timestamp::now());
                known.lease4 = Some(after.clone());
                self.attachments.put(known)?;
                apply4(&inside, index, before.as_ref(), &after)?;
            }
            (Err(why), Some(before)) if why.kind() == Kind::Refused => {
                let Address { address, prefix_len, .. } = before.address;
                inside.netlink.unassign(index, address, prefix_len)?;
                known.lease4 = None;
                self.attachments.put(known)?;
                return Err(why);
            }
            (Err(why), _) => return Err(why),
        }
        if known.dns {
            dns::write(known, &inside)?;
        }
        Ok((inside, index))
    }
}

/// Whether the interface of an attachment is there. Until it has been made, addresses for it are the
/// business of who makes it.
pub fn is_made(known: &Attachment) -> Result<bool> {
    Ok(Inside::open(&known.container)?.netlink.find_link(&known.interface)?.is_some())
}

/// The number of the interface that unionize made for an attachment.
pub fn own_index(inside: &Inside, known: &Attachment) -> Result<u32> {
    let link = inside.link(&known.interface)?;
    if link.mac == Some(known.mac) {
        return Ok(link.index);
    }
    let what = format_args!("use interface {}", known.interface);
    Err(Error::new(Kind::Refused, what).why("it is not the one that unionize made"))
}

fn extend(
    inside: &Inside,
    wish: &Wish,
    index: u32,
    patience: Duration,
    before: Option<&Leased4>,
    ask: Ask4,
) -> Result<Lease> {
    let held = before.and_then(held4);
    speak4(inside, wish, index, patience, |client, link| match (ask, held) {
        (Ask4::Renew, Some(held)) => client.renew(link, &held),
        (Ask4::Rebind, Some(held)) => client.rebind(link, &held),
        (_, held) => client.lease(link, held.map(|held| held.address)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(routers: &[&str]) -> Lease {
        Lease {
            server: Ipv4Addr::new(192, 0, 2, 1),
            address: Ipv4Addr::new(192, 0, 2, 50),
            prefix_len: 24,
            t1: 50,
            t2: 80,
            valid: 100,
            router: routers.first().map(|router| router.parse().unwrap()),
            routes: vec![
                ("198.51.100.0/24".parse().unwrap(), Ipv4Addr::new(192, 0, 2, 2)),
                ("203.0.113.0/24".parse().unwrap(), Ipv4Addr::UNSPECIFIED),
            ],
            dns_servers: vec![],
            search: vec![],
            mtu: None,
            rapid: false,
            elapsed: Duration::ZERO,
            ignored: 0,
        }
    }

    #[test]
    fn a_lease_tells_its_routes() {
        let routes = |router| -> Vec<String> {
            let leased = remember4(&lease(&[router]), Timestamp::UNIX_EPOCH);
            leased.routes.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            routes("192.0.2.1"),
            [
                "default via 192.0.2.1 metric 1024",
                "198.51.100.0/24 via 192.0.2.2 metric 1024",
                "203.0.113.0/24 metric 1024"
            ]
        );
        assert_eq!(routes("10.0.0.1")[0], "default via 10.0.0.1 metric 1024 onlink");
    }

    #[test]
    fn the_time_decides_what_is_asked() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let leased = remember4(&lease(&[]), Timestamp::UNIX_EPOCH);
        assert_eq!(ask4(&leased, false, at(49)), None);
        assert_eq!(ask4(&leased, true, at(49)), Some(Ask4::Renew));
        assert_eq!(ask4(&leased, false, at(50)), Some(Ask4::Renew));
        assert_eq!(ask4(&leased, false, at(80)), Some(Ask4::Rebind));
        assert_eq!(ask4(&leased, true, at(100)), Some(Ask4::Lease));
        let endless = Lease { t1: FOREVER, t2: FOREVER, valid: FOREVER, ..lease(&[]) };
        assert_eq!(ask4(&remember4(&endless, at(0)), false, at(1 << 33)), None);
    }
}
