//! Working off a plan, and undoing what was begun when a step fails.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::bridge::explain_silence;
use super::plan::{Step, in_use, plan};
use super::scene::{Host, Inside, Plugboard, look, wait_ready};
use super::verdict::settle;
use super::wish::{Wish, interface};
use super::{Dad, Unionize};
use crate::adapter::attachments::{Attachment, Leased};
use crate::adapter::dhcp6::{self, Client, Held, Lease, Lifetime};
use crate::adapter::netlink::{End, Lifetimes};
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Interface, Origin};

/// How long a router may take to answer. RFC 4861 section 6.2.6 lets it wait for half a second.
const ROUTER_WAIT: Duration = Duration::from_secs(1);

/// Length of a prefix that holds one address: a lease says nothing of a prefix on the link.
pub const HOST_PREFIX: u8 = 128;

/// What became of an interface.
pub struct Done {
    /// The interface.
    pub interface: Interface,
    /// Whether duplicate address detection goes on for one of its addresses.
    pub provisional: bool,
    /// Whether it was not there before.
    pub made: bool,
}

/// The work on one interface.
pub struct Job<'a> {
    pub unionize: &'a Unionize<'a>,
    pub wish: &'a Wish,
    pub host: Host,
    pub bridge: Plugboard,
    pub inside: Inside,
    /// What is remembered, or will be.
    pub known: Attachment,
    pub dad: Dad,
    /// How many more leases may be asked for when one turns out to be a duplicate.
    pub retries: u32,
    pub begun: Instant,
    /// Addresses that were put on the interface.
    pub fresh: Vec<IpAddr>,
    /// When routers were asked.
    pub solicited: Option<Instant>,
}

impl Unionize<'_> {
    /// Makes `wish` so. When that cannot be done nothing is left of it.
    pub(super) fn attach(&self, wish: &Wish, begun: Instant) -> Result<Done> {
        let host = Host::open()?;
        let bridge = host.bridge(&wish.bridge)?;
        self.tell_of_bridge(&wish.bridge, &bridge);
        let inside = Inside::open(wish.container.docker.as_ref())?;
        let known = self.keeper.attachments.get(&wish.link)?;
        let seen = look(wish, &host, &bridge, &inside, known)?;
        let steps = plan(wish, &seen, Timestamp::now())?;
        let lease = seen.known.as_ref().and_then(|known| known.lease.clone());
        let known = wish.attachment(lease);
        if steps.is_empty() {
            if seen.known.as_ref() != Some(&known) {
                self.keeper.attachments.put(&known)?;
            }
            let tentative = seen.addresses.iter().any(|found| found.tentative);
            let interface = interface(&known, wish.client.as_ref(), seen.router);
            let provisional = tentative && self.options.dad != Dad::Off;
            return Ok(Done { interface, provisional, made: false });
        }
        let job = Job {
            unionize: self,
            wish,
            host,
            bridge,
            inside,
            known: seen.known.clone().unwrap_or(known),
            dad: self.options.dad,
            retries: 1,
            begun,
            fresh: Vec::new(),
            solicited: None,
        };
        job.work(&steps, seen.router)
    }
}

impl Job<'_> {
    /// Works off `steps`; `router` is known from before. When one fails, all is undone.
    pub fn work(mut self, steps: &[Step], router: Option<Ipv6Addr>) -> Result<Done> {
        let outcome = steps
            .iter()
            .try_for_each(|step| self.step(step))
            .and_then(|()| self.check())
            .and_then(|()| self.router(router));
        match outcome {
            Ok(router) => Ok(self.done(router, steps.contains(&Step::Make))),
            Err(why) => {
                let why = explain_silence(why, &self.bridge);
                if let Err(undone) = self.undo() {
                    let undone = undone.at("undo").at(&self.wish.container.id);
                    self.unionize.keeper.report.failed(&undone);
                }
                Err(why)
            }
        }
    }

    fn undo(&mut self) -> Result<()> {
        let keeper = &self.unionize.keeper;
        if self.known.asking {
            // It is known that nothing was leased, so no server need be asked for it.
            self.known.asking = false;
            keeper.attachments.put(&self.known)?;
        }
        keeper.detach(&self.wish.container.id, &self.wish.link)
    }

    fn done(self, router: Option<Ipv6Addr>, made: bool) -> Done {
        let mut interface = interface(&self.known, self.wish.client.as_ref(), router);
        interface.ready_ms = Some((self.begun.elapsed().as_secs_f64() * 1e4).round() / 10.0);
        let provisional = !self.fresh.is_empty() && self.dad == Dad::Optimistic;
        Done { interface, provisional, made }
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let netlink = &self.host.netlink;
        let name = &self.wish.interface;
        let outer = || {
            netlink.find_link(&self.wish.link)?.ok_or_else(|| {
                Error::new(Kind::NotFound, format_args!("find interface {}", self.wish.link))
            })
        };
        match step {
            Step::Leave(_) => {
                self.unionize.keeper.detach(&self.wish.container.id, &self.wish.link)?;
                self.known = self.wish.attachment(None);
                Ok(())
            }
            Step::Drop => match netlink.find_link(&self.wish.link)? {
                Some(outer) => netlink.delete_link(outer.index).map(drop),
                None => Ok(()),
            },
            Step::Make => self.make(),
            Step::Plug => netlink.plug(outer()?.index, self.bridge.link.index),
            Step::SwitchOnOuter => netlink.switch_on(outer()?.index),
            Step::Set(setting) => self.inside.set(name, *setting),
            Step::LinkLocal => self.inside.give_link_local(self.wish),
            Step::SwitchOnInner => self.inside.netlink.switch_on(self.inside.link(name)?.index),
            Step::Give(fixed) => {
                let index = self.prepare()?;
                let address = fixed.address.into();
                self.assign(index, address, fixed.prefix_len, Lifetimes::FOREVER)
            }
            Step::Restore(address) => {
                let index = self.prepare()?;
                self.assign_leased(index, address)
            }
            Step::Decline => self.decline(),
            Step::Lease => self.lease(),
            Step::Route(router) => {
                let index = self.prepare()?;
                self.inside.netlink.add_router(index, (*router).into())
            }
        }
    }

    /// Makes the pair, after writing down that it will be.
    fn make(&mut self) -> Result<()> {
        let wish = self.wish;
        self.known = wish.attachment(self.known.lease.take());
        self.unionize.keeper.attachments.put(&self.known)?;
        let bridge = self.bridge.link.index;
        // The DHCPv6 server on this host need not look for the container before it answers. That
        // is worth having and no more, so a kernel that refuses is not an error.
        let _ = self.host.netlink.seed_neighbour(bridge, wish.mac.link_local(), wish.mac);
        let mtu = self.unionize.options.mtu.unwrap_or(self.bridge.link.mtu);
        let here = End { name: &wish.link, mac: Wish::outer_mac(wish.mac) };
        let there = End { name: &wish.interface, mac: wish.mac };
        self.host.netlink.make_veth(&here, &there, self.inside.netns.as_fd(), bridge, mtu)
    }

    /// Waits until the interface can speak and asks for routers, once; its number.
    fn prepare(&mut self) -> Result<u32> {
        if self.solicited.is_some() {
            return Ok(self.inside.link(&self.wish.interface)?.index);
        }
        let until = self.deadline();
        let index = wait_ready(self.wish, &self.host, &self.inside, until)?;
        self.inside.solicit_router(index)?;
        self.solicited = Some(Instant::now());
        Ok(index)
    }

    fn deadline(&self) -> Instant {
        self.begun + self.unionize.keeper.timeout
    }

    fn assign(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix_len: u8,
        lifetimes: Lifetimes,
    ) -> Result<()> {
        if let IpAddr::V6(address) = address {
            // The host may remember who had the address last. Not knowing is better.
            let _ = self.host.netlink.forget_neighbour(self.bridge.link.index, address);
        }
        let dad = self.dad.into();
        self.inside.netlink.assign(index, address, prefix_len, lifetimes, dad)?;
        self.fresh.push(address);
        Ok(())
    }

    fn assign_leased(&mut self, index: u32, leased: &Address) -> Result<()> {
        let lifetimes = remaining(leased, Timestamp::now());
        self.assign(index, leased.address, leased.prefix_len, lifetimes)
    }

    /// Leases an address, writes that down and puts it on the interface.
    fn lease(&mut self) -> Result<()> {
        let (duid, iaid) = self.wish.client.clone().ok_or_else(|| {
            Error::new(Kind::Bug, "lease an address").why("no DHCPv6 server is to be asked")
        })?;
        let index = self.prepare()?;
        let patience = self.deadline().saturating_duration_since(Instant::now());
        let lease =
            speak(&self.inside, self.wish, index, patience, |client, link| client.lease(link))?;
        let leased = remember(&lease, duid, iaid, Timestamp::now());
        self.known = self.wish.attachment(Some(leased.clone()));
        self.unionize.keeper.attachments.put(&self.known)?;
        leased.addresses.iter().try_for_each(|address| self.assign_leased(index, address))
    }

    /// Tells the server that what it leased belongs to others, and forgets it.
    fn decline(&mut self) -> Result<()> {
        let Some(leased) = self.known.lease.take() else { return Ok(()) };
        self.known.asking = true;
        let index = self.inside.link(&self.wish.interface)?.index;
        let held = held(&leased);
        for address in &leased.addresses {
            self.inside.netlink.unassign(index, address.address, address.prefix_len)?;
            self.fresh.retain(|fresh| *fresh != address.address);
        }
        let patience = self.deadline().saturating_duration_since(Instant::now());
        speak(&self.inside, self.wish, index, patience, |client, link| {
            client.decline(link, &held, &held.addresses)
        })?;
        self.unionize.keeper.attachments.put(&self.known)
    }

    /// Waits until the new addresses are of use: at once where that is allowed, otherwise when it is
    /// clear that they are unique.
    fn check(&mut self) -> Result<()> {
        while !self.fresh.is_empty() {
            let index = self.inside.link(&self.wish.interface)?.index;
            let sure = self.dad == Dad::Wait;
            let until = self.deadline();
            let taken = settle(&self.inside, self.wish, index, &self.fresh, sure, until)?;
            let taken = taken.ok_or_else(|| {
                Error::new(Kind::TimedOut, "wait for the address")
                    .why("the kernel has not made it usable")
            })?;
            if taken.is_empty() {
                return Ok(());
            }
            self.exchange(&taken)?;
        }
        Ok(())
    }

    /// Exchanges a lease for another, because others have what was leased.
    fn exchange(&mut self, taken: &[IpAddr]) -> Result<()> {
        let leased = self.known.lease.iter().flat_map(|lease| &lease.addresses);
        let leased: Vec<IpAddr> = leased.map(|leased| leased.address).collect();
        let error = in_use(taken[0]);
        if !taken.iter().all(|taken| leased.contains(taken)) {
            return Err(error);
        }
        self.decline()?;
        if self.retries == 0 {
            return Err(error);
        }
        self.retries -= 1;
        let note = error.remedy("declined; asking for another").at(&self.wish.container.id);
        self.unionize.keeper.report.note(&note);
        self.lease()
    }

    /// The router of the default route: `before`, or the one that answers.
    fn router(&mut self, before: Option<Ipv6Addr>) -> Result<Option<Ipv6Addr>> {
        let Some(solicited) = self.solicited else { return Ok(before) };
        let index = self.inside.link(&self.wish.interface)?.index;
        for tries in [2, 1] {
            let until = (solicited + ROUTER_WAIT / tries).min(self.deadline());
            let found = self.inside.netlink.wait_for(until, |netlink| netlink.router(index))?;
            if found.is_some() {
                return Ok(found);
            }
            if tries == 2 {
                self.inside.solicit_router(index)?;
            }
        }
        let missing = Error::new(Kind::NotFound, "find a router")
            .why("none has answered")
            .remedy("there is no default route until one does")
            .at(&self.wish.container.id);
        self.unionize.keeper.report.note(&missing);
        Ok(None)
    }
}

/// Has a DHCPv6 exchange on the container's interface.
pub fn speak<T: Send>(
    inside: &Inside,
    wish: &Wish,
    index: u32,
    patience: Duration,
    exchange: impl FnOnce(&Client, dhcp6::Link<'_>) -> Result<T> + Send,
) -> Result<T> {
    let (duid, iaid) = wish
        .client
        .clone()
        .ok_or_else(|| Error::new(Kind::Bug, "speak DHCPv6").why("there is no client"))?;
    let client = Client { give_up_after: patience, ..Client::new(duid, iaid) };
    let source = Some(wish.mac.link_local());
    let link = dhcp6::Link { index, name: &wish.interface, source };
    inside.netns.run(|| exchange(&client, link))
}

/// A lease as it is remembered.
pub fn remember(lease: &Lease, duid: crate::record::Duid, iaid: u32, now: Timestamp) -> Leased {
    let until = |lifetime: Lifetime| {
        lifetime.finite().and_then(|lasting| now.checked_add(lasting).ok()).map(whole_seconds)
    };
    let addresses = lease.addresses.iter().map(|leased| Address {
        address: leased.address.into(),
        prefix_len: HOST_PREFIX,
        origin: Origin::Dhcp6,
        preferred_until: until(leased.preferred),
        valid_until: until(leased.valid),
        rest: Default::default(),
    });
    Leased {
        duid,
        iaid,
        server: lease.server.clone(),
        addresses: addresses.collect(),
        obtained_at: whole_seconds(now),
        renew_at: until(lease.t1),
        rebind_at: until(lease.t2),
        rest: Default::default(),
    }
}

/// What the client needs to know of a lease that is remembered.
pub fn held(leased: &Leased) -> Held {
    let addresses = leased.addresses.iter().filter_map(|leased| match leased.address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    });
    Held { server: leased.server.clone(), addresses: addresses.collect() }
}

/// For how long an address may be used from now on.
pub fn remaining(leased: &Address, now: Timestamp) -> Lifetimes {
    let seconds = |until: Option<Timestamp>| match until {
        Some(until) => (until.as_second() - now.as_second()).clamp(0, u32::MAX.into()) as u32,
        None => u32::MAX,
    };
    let valid = seconds(leased.valid_until).max(1);
    Lifetimes { preferred: seconds(leased.preferred_until).min(valid), valid }
}

/// The time without its fraction, which no lease has.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
