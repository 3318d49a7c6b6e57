//! Working off a plan, and undoing what was begun when a step fails.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::beside::{Beside, Errand, has_ipv6_default};
use super::bridge::explain_silence;
use super::lease4::keeping;
use super::leasing::remaining;
use super::links::{GOING, add_port, finish_checksums, make, patiently, unmake};
use super::plan::{Step, plan};
use super::scene::{Host, Inside, Place, look, wait_ready};
use super::verdict::settle;
use super::wish::{Wish, interface, is_derived};
use super::{Dad, Unionize, lock};
use crate::adapter::attachments::Attachment;
use crate::adapter::netlink::Lifetimes;
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Interface, Plug};

/// How long a router may take to answer. RFC 4861 section 6.2.6 lets it wait for half a second.
const ROUTER_WAIT: Duration = Duration::from_secs(1);

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
    pub place: Place,
    pub inside: Inside,
    /// What is remembered, or will be.
    pub known: Attachment,
    /// Until when a former link of it may take to go.
    pub going_until: Instant,
    pub dad: Dad,
    /// How many more leases may be asked for when one turns out to be a duplicate.
    pub retries: u32,
    pub begun: Instant,
    /// Addresses that were put on the interface.
    pub fresh: Vec<IpAddr>,
    /// When routers were asked.
    pub solicited: Option<Instant>,
    /// Whether the link has been made.
    pub made: bool,
}

impl Unionize<'_> {
    /// Makes `wish` so. When that cannot be done nothing is left of it.
    pub(super) fn attach(&self, wish: &Wish, begun: Instant) -> Result<Done> {
        // Nobody but unionize gives such a name, and whether it and the other are free the kernel says
        // when the link is made: to ask for each beforehand is to wait for two answers more.
        let plain = matches!(wish.plug, Plug::Bridge { .. }) && wish.guard.is_none();
        let mut unseen = plain && is_derived(&wish.link);
        loop {
            if let Some(done) = self.attempt(wish, begun, unseen)? {
                return Ok(done);
            }
            unseen = false;
        }
    }

    /// The same; what is `unseen` and not remembered is made without a look at what is there. Nothing when
    /// one of its names then turns out to be a link's that is there: nothing was changed.
    fn attempt(&self, wish: &Wish, begun: Instant, unseen: bool) -> Result<Option<Done>> {
        let host = self.keeper.host()?;
        let known = self.keeper.attachments.get(&wish.link)?;
        let unseen = unseen && known.is_none();
        let place = host.place(&wish.plug, known.as_ref())?;
        self.tell_of_bridge(&wish.plug, &place);
        let inside = Inside::open(&wish.container)?;
        let wish = &wish.at(&place, known.as_ref());
        let seen = look(wish, &host, &place, &inside, known, unseen)?;
        let mut steps = plan(wish, &seen, Timestamp::now())?;
        if self.keeps {
            let waits = |errand: &Errand| matches!(errand, Errand::Lease4 | Errand::Slaac);
            steps.retain(|step| match step {
                Step::Lease | Step::Extend | Step::GiveBack => false,
                Step::Beside(errand) => !waits(errand),
                _ => true,
            });
        }
        let lease = seen.known.as_ref().and_then(|known| known.lease.clone());
        let known = keeping(wish.attachment(lease), seen.known.as_ref());
        if steps.is_empty() {
            if seen.known.as_ref() != Some(&known) {
                self.keeper.attachments.put(&known)?;
            }
            let tentative = seen.addresses.iter().any(|found| found.tentative);
            let mut interface = interface(&known, wish.client.as_ref(), seen.router);
            seen.beside.tell(&mut interface);
            let provisional = tentative && self.options.dad != Dad::Off;
            self.keeper.leave(host);
            return Ok(Some(Done { interface, provisional, made: false }));
        }
        let mut job = Job {
            unionize: self,
            wish,
            host,
            place,
            inside,
            going_until: begun + if seen.known.is_some() { GOING } else { Duration::ZERO },
            known: seen.known.clone().unwrap_or(known),
            dad: self.options.dad,
            retries: 1,
            begun,
            fresh: Vec::new(),
            solicited: None,
            made: false,
        };
        if unseen && steps.first() == Some(&Step::Make) {
            match job.make() {
                Err(why) if why.kind() == Kind::Refused => {
                    self.keeper.attachments.remove(&wish.link)?;
                    return Ok(None);
                }
                Err(why) => return Err(job.give_up(why)),
                Ok(()) => job.made = true,
            }
        }
        job.work(&steps, seen.router).map(Some)
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
            Ok(router) => self.done(router, steps.contains(&Step::Make)),
            Err(why) => Err(self.give_up(why)),
        }
    }

    /// Undoes what was begun; why it failed.
    fn give_up(mut self, why: Error) -> Error {
        let why = explain_silence(why, &self.place);
        if let Err(undone) = self.undo() {
            let undone = undone.at("undo").at(&self.wish.container.id);
            self.unionize.keeper.report.failed(&undone);
        }
        why
    }

    fn undo(&mut self) -> Result<()> {
        let keeper = &self.unionize.keeper;
        if self.unionize.keeps {
            return Ok(());
        }
        if self.known.asking {
            // It is known that nothing was leased, so no server need be asked for it.
            self.known.asking = false;
            keeper.attachments.put(&self.known)?;
        }
        keeper.detach(&self.wish.container.id, &self.wish.link)
    }

    fn done(self, router: Option<Ipv6Addr>, made: bool) -> Result<Done> {
        let mut interface = interface(&self.known, self.wish.client.as_ref(), router);
        if Beside::is_told(self.wish) {
            let inner = self.inside.link(&self.wish.interface)?;
            let inner = Some(&inner);
            Beside::look(self.wish, None, &self.host, &self.inside, inner, None)?
                .tell(&mut interface);
        }
        interface.ready_ms = Some((self.begun.elapsed().as_secs_f64() * 1e4).round() / 10.0);
        let provisional = !self.fresh.is_empty() && self.dad == Dad::Optimistic;
        self.unionize.keeper.leave(self.host);
        Ok(Done { interface, provisional, made })
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
                self.place = self.host.place(&self.wish.plug, None)?;
                Ok(())
            }
            Step::Drop => unmake(&self.host, &self.inside, self.wish, &self.known),
            Step::Shut(guard) => self.shut(guard),
            Step::OpenUp => self.open_up(),
            Step::Make if self.made => Ok(()),
            Step::Make => self.make(),
            Step::Plug => netlink.plug(outer()?.index, self.place.index()),
            Step::Vlan(vlan) => netlink.put_into_vlan(outer()?.index, vlan.get() as u16),
            Step::Port => add_port(&self.host, self.wish, self.deadline()),
            Step::Finish => finish_checksums(&self.inside, self.wish),
            Step::SwitchOnOuter => netlink.switch_on(&self.wish.link),
            Step::Set(setting) => self.inside.set(name, *setting),
            Step::LinkLocal => self.inside.give_link_local(self.wish),
            Step::SwitchOnInner => {
                patiently(self.going_until, || self.inside.netlink.switch_on(name))
            }
            Step::Give(fixed) => {
                let index = self.prepare()?;
                let address = fixed.address;
                self.assign(index, address, fixed.prefix_len, Lifetimes::FOREVER)
            }
            Step::Restore(address) => {
                let index = self.prepare()?;
                self.assign_leased(index, address)
            }
            Step::Decline => self.decline(),
            Step::Lease => self.lease(),
            Step::Extend => self.extend(),
            Step::GiveBack => self.give_back(),
            Step::Beside(errand) => self.errand(errand),
        }
    }

    /// Makes the link, after writing down that it will be.
    fn make(&mut self) -> Result<()> {
        self.known = keeping(self.wish.attachment(self.known.lease.take()), Some(&self.known));
        self.unionize.keeper.attachments.put(&self.known)?;
        patiently(self.going_until, || {
            let _alone = lock(&self.unionize.keeper.making);
            make(&self.host, &self.place, &self.inside, self.wish)
        })
    }

    /// Waits until the interface can speak and asks for routers, once; its number.
    pub(super) fn prepare(&mut self) -> Result<u32> {
        if self.solicited.is_some() {
            return Ok(self.inside.link(&self.wish.interface)?.index);
        }
        let until = self.deadline();
        let index = wait_ready(self.wish, &self.host, &self.inside, until)?;
        if !self.wish.speaks_ipv6() || !self.wish.hears_multicast() {
            return Ok(index);
        }
        self.inside.solicit_router(index)?;
        self.solicited = Some(Instant::now());
        Ok(index)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.begun + self.unionize.keeper.timeout
    }

    pub(super) fn assign(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix_len: u8,
        lifetimes: Lifetimes,
    ) -> Result<()> {
        if let (IpAddr::V6(address), Some(bridge)) = (address, self.place.bridge_index()) {
            // The host may remember who had the address last. Not knowing is better.
            let _ = self.host.netlink.forget_neighbour(bridge, address);
        }
        let dad = self.dad.into();
        self.inside.netlink.assign(index, address, prefix_len, lifetimes, dad)?;
        self.fresh.push(address);
        Ok(())
    }

    pub(super) fn assign_leased(&mut self, index: u32, leased: &Address) -> Result<()> {
        let lifetimes = remaining(leased, Timestamp::now());
        self.assign(index, leased.address, leased.prefix_len, lifetimes)
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

    /// The router of the default route: `before`, or the one that answers. That is waited for where the
    /// route is none of the document's, and not by who keeps leases: the kernel takes it when it comes.
    fn router(&mut self, before: Option<Ipv6Addr>) -> Result<Option<Ipv6Addr>> {
        let Some(solicited) = self.solicited else { return Ok(before) };
        let index = self.inside.link(&self.wish.interface)?.index;
        if self.unionize.keeps || has_ipv6_default(&self.wish.network) {
            return self.inside.netlink.router(index);
        }
        for tries in [2, 1] {
            let until = (solicited + ROUTER_WAIT / tries).min(self.deadline());
            let found = self.inside.wait_for(until, |netlink| netlink.router(index))?;
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
