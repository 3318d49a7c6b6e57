//! Taking everything of an attachment away, whatever is left of it.
//!
//! When a container goes its end of the link goes with it, and so the place from which its lease
//! could be given back. So a link like it is made for a moment, with its other end in a namespace
//! of its own: the server sees the same client on the same link. The bridge's own address would be
//! nearer, but it may have none, a DHCPv6 client of the host may sit on its port, and the host's
//! packet filter may stand before it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::allow::is_shut;
use super::dns;
use super::lease4::{client4, held4};
use super::leasing::{held, speak};
use super::links::{self, Found, bring_back, connect, inner, make, patiently, remove_port, unmake};
use super::scene::{Host, Inside, wait_ready};
use super::wish::{Wish, is_derived};
use super::{Dad, Upkeep, lock};
use crate::adapter::attachments::{Attachment, Attachments, Leased, Leased4};
use crate::adapter::dhcp4;
use crate::adapter::netlink::{Netlink, Sort};
use crate::adapter::netns::Netns;
use crate::adapter::sysctl::{self, Of};
use crate::error::{Error, Kind, Result, Within};
use crate::pipe::Report;
use crate::record::{ContainerId, Fate, Ifname, LinkKind, Owner, Route, Rule};

/// How long a container that is no longer listed, and its link, may take to go.
const GOING: Duration = Duration::from_secs(2);

/// How long a server may take to take a lease back. Without an answer the lease ends by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// One thing to take away.
#[derive(Clone, Debug, PartialEq)]
pub enum Removal {
    /// The port of Open vSwitch.
    Port,
    /// The veth pair.
    Link,
    /// The link of one end in the container.
    Inner(LinkKind),
    /// The host's device, which goes back to it under this name.
    Lent(Ifname),
    /// The firewall of its other end.
    Firewall,
    /// What was written into the resolv.conf.
    Dns,
    /// Rules, and routes that lead nowhere: they are not the interface's and stay when it goes.
    Routing(Vec<Rule>, Vec<Route>),
    /// The lease.
    Lease(Box<Leased>),
    /// The IPv4 lease.
    Lease4(Box<Leased4>),
    /// A lease of which nothing is known, if there is one.
    Asked,
    /// Where the host believes the container to be.
    Neighbour,
    /// What is remembered.
    State,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Removal::Port => f.write_str("remove the port of Open vSwitch"),
            Removal::Link => f.write_str("delete veth"),
            Removal::Inner(kind) => write!(f, "delete {kind}"),
            Removal::Lent(name) => write!(f, "bring {name} back"),
            Removal::Firewall => f.write_str("take its firewall away"),
            Removal::Lease(leased) => {
                f.write_str("give back")?;
                leased.addresses.iter().try_for_each(|leased| write!(f, " {}", leased.address))
            }
            Removal::Dns => f.write_str("restore resolv.conf"),
            Removal::Routing(rules, routes) => {
                f.write_str("delete")?;
                rules.iter().try_for_each(|rule| write!(f, " rule {rule}"))?;
                routes.iter().try_for_each(|route| write!(f, " route {route}"))
            }
            Removal::Lease4(leased) => write!(f, "give back {}", leased.address.address),
            Removal::Asked => f.write_str("give back what a server may have leased"),
            Removal::Neighbour => f.write_str("forget the neighbour"),
            Removal::State => f.write_str("forget the attachment"),
        }
    }
}

/// What to take away, given what is remembered and whether the link is there.
pub fn removals(known: Option<&Attachment>, linked: bool) -> Vec<Removal> {
    let mut removals = Vec::new();
    let kind = known.and_then(|known| known.network.kind).unwrap_or_default();
    let lent = known.and_then(|known| known.lent.as_ref());
    if let Some(known) = known {
        removals.extend(known.dns.then_some(Removal::Dns));
        let leads_nowhere = |route: &&Route| route.fate != Fate::Sent;
        let routes: Vec<Route> =
            known.network.routes.iter().filter(leads_nowhere).copied().collect();
        let rules = known.network.rules.clone();
        if !rules.is_empty() || !routes.is_empty() {
            removals.push(Removal::Routing(rules, routes));
        }
    }
    match kind {
        LinkKind::Ovs => removals.push(Removal::Port),
        LinkKind::Direct => removals.extend(lent.map(|lent| Removal::Lent(lent.name.clone()))),
        _ => (),
    }
    match kind {
        _ if !linked => (),
        LinkKind::Veth | LinkKind::Ovs => removals.push(Removal::Link),
        kind => removals.push(Removal::Inner(kind)),
    }
    if let Some(known) = known {
        removals.extend(is_shut(known).then_some(Removal::Firewall));
        let lease = known.lease.clone().map(Box::new);
        removals.extend(lease.map(Removal::Lease));
        removals.extend(known.lease4.clone().map(Box::new).map(Removal::Lease4));
        if known.asking {
            removals.push(Removal::Asked);
        }
        removals.extend([Removal::Neighbour, Removal::State]);
    }
    removals
}

/// Who looks after what was attached: all that needs no wish.
pub struct Keeper<'a> {
    /// What is remembered.
    pub attachments: Attachments,
    /// Where people are told.
    pub report: &'a Report,
    /// How long one container may take.
    pub timeout: Duration,
    /// Whether to tell what would be done instead of doing it.
    pub dry_run: bool,
    /// The socket of Open vSwitch's database.
    pub ovs: PathBuf,
    /// Held by who makes a link. The kernel makes one at a time anyway, and who writes one of its
    /// settings meanwhile has it try again and again.
    pub(super) making: Mutex<()>,
    /// Where links are made to give leases back.
    scratch: Mutex<Option<Netns>>,
    /// Connections to the host's network that nobody uses now.
    connections: Mutex<Vec<Netlink>>,
}

impl<'a> Keeper<'a> {
    /// One that works as the command line says.
    pub fn new(upkeep: &Upkeep, report: &'a Report) -> Result<Keeper<'a>> {
        Ok(Keeper {
            attachments: if upkeep.dry_run {
                Attachments::at(&upkeep.state)
            } else {
                Attachments::open(&upkeep.state)?
            },
            report,
            timeout: upkeep.timeout,
            dry_run: upkeep.dry_run,
            ovs: upkeep.ovs.clone(),
            making: Mutex::default(),
            scratch: Mutex::default(),
            connections: Mutex::default(),
        })
    }

    /// The host, over a connection that an earlier work has left or a new one.
    pub(super) fn host(&self) -> Result<Host> {
        let left = lock(&self.connections).pop();
        left.map_or_else(|| Host::open(&self.ovs), |left| Ok(Host::over(left, &self.ovs)))
    }

    /// Leaves the connection of a work that went well to the next.
    pub(super) fn leave(&self, host: Host) {
        lock(&self.connections).push(host.netlink);
    }

    /// Takes away what is there of the attachment `link`. Everything is tried; what fails is told,
    /// and remembered for another run.
    pub(super) fn detach(&self, id: &ContainerId, link: &Ifname) -> Result<()> {
        let host = Host::open(&self.ovs)?;
        let known = self.attachments.get(link)?;
        let outer = host.netlink.find_link(link)?.filter(|outer| {
            // A name that was given could be another's by now.
            let mac = known.as_ref().map(|known| Wish::outer_mac(known.mac));
            outer.sort == Sort::Veth && (is_derived(link) || (mac.is_some() && outer.mac == mac))
        });
        let inner = known.as_ref().map(inner).transpose()?.flatten();
        let mut failure = None;
        for removal in removals(known.as_ref(), outer.is_some() || inner.is_some()) {
            if self.dry_run {
                self.would(id, &removal);
                continue;
            }
            let waits = match removal {
                Removal::State => true,
                // The lease is given back from the device, when that is back.
                Removal::Lease(_) | Removal::Asked => known.as_ref().is_some_and(is_lent),
                _ => false,
            };
            if waits && failure.is_some() {
                continue;
            }
            let outcome = match (&removal, &outer, &known) {
                (Removal::Port, _, Some(known)) => remove_port(&host, known),
                (Removal::Link, Some(outer), _) => host.netlink.delete_link(outer.index).map(drop),
                (Removal::Inner(_), ..) => match &inner {
                    Some((inside, index)) => inside.netlink.delete_link(*index).map(drop),
                    None => Ok(()),
                },
                (Removal::Lent(name), _, Some(known)) => self.take_back(&host, known, name),
                (Removal::Firewall, _, Some(known)) => self.open_up(known),
                (Removal::Lease(leased), _, Some(known)) => {
                    self.give_back(&host, known, Some(leased), id)
                }
                (Removal::Dns, _, Some(known)) => dns::forget(known),
                (Removal::Routing(rules, routes), _, Some(known)) => {
                    inside_of(known, |inside| unroute(known, inside, rules, routes))
                }
                (Removal::Lease4(leased), _, Some(known)) => {
                    self.give_back4(&host, known, leased, id)
                }
                (Removal::Asked, _, Some(known)) => self.give_back(&host, known, None, id),
                (Removal::Neighbour, _, Some(known)) => forget(&host, known),
                (Removal::State, ..) => self.attachments.remove(link),
                _ => Ok(()),
            };
            if let Err(why) = outcome
                && let Some(earlier) = failure.replace(why)
            {
                self.report.failed(&earlier.at(id));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes a device back from its container, or from where the kernel has put it.
    fn take_back(&self, host: &Host, known: &Attachment, name: &Ifname) -> Result<()> {
        let inside = match Inside::open(&known.container) {
            Ok(inside) => Some(inside),
            Err(why) if matches!(why.kind(), Kind::NotFound | Kind::BadInput) => None,
            Err(why) => return Err(why),
        };
        let inside = inside.as_ref().map(|inside| &inside.netlink);
        if bring_back(host, inside, known)? == Found::Nowhere {
            let gone = Error::new(Kind::NotFound, format_args!("bring {name} back"))
                .why("it has gone with the container's namespace");
            self.report.note(&gone.at(&known.container.id));
        }
        Ok(())
    }

    /// Gives a lease back. That a server cannot be reached is told and no more: the lease ends by
    /// itself (RFC 8415 section 18.2.7).
    fn give_back(
        &self,
        host: &Host,
        known: &Attachment,
        leased: Option<&Leased>,
        id: &ContainerId,
    ) -> Result<()> {
        match self.release(host, known, leased) {
            Err(why) if leased.is_none() && why.kind() == Kind::Refused => Ok(()),
            Err(why) if matches!(why.kind(), Kind::TimedOut | Kind::NotFound) => {
                let why = why.remedy("the lease ends by itself").at("give the lease back").at(id);
                self.report.note(&why);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Gives an IPv4 lease back. No server answers to that.
    fn give_back4(
        &self,
        host: &Host,
        known: &Attachment,
        leased: &Leased4,
        id: &ContainerId,
    ) -> Result<()> {
        let Some(held) = held4(leased) else { return Ok(()) };
        let patience = PATIENCE.min(self.timeout);
        let released = self.over_scratch(host, known, |inside, wish| {
            // What it has to speak is IPv4 alone.
            let wish = Wish { client: None, sources: Default::default(), ..wish.clone() };
            self.switch_on(inside, &wish)?;
            let index = wait_ready(&wish, host, inside, Instant::now() + patience)?;
            let client = client4(&Wish::of(known, Dad::Off)?, patience);
            let link = dhcp4::Link { index, name: &wish.interface };
            self.write_off(&Attachment { lease4: None, ..known.clone() })?;
            inside.netns.run(|| client.release(link, &held))
        });
        match released {
            Err(why) if matches!(why.kind(), Kind::TimedOut | Kind::NotFound) => {
                let why = why.remedy("the lease ends by itself").at("give the lease back").at(id);
                self.report.note(&why);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Sends the Release from a link like the container's, which is there for a moment.
    fn release(&self, host: &Host, known: &Attachment, leased: Option<&Leased>) -> Result<()> {
        self.over_scratch(host, known, |inside, wish| {
            self.release_inside(host, inside, wish, known, leased)
        })
    }

    /// Writes down that a lease is not to be used any more, before its server is told (RFC 8415 section
    /// 18.2.7): for who is killed before the answer, and whatever the next run is to do. That it may
    /// be leased all the same is remembered of a DHCPv6 lease, so that nothing is lost.
    fn write_off(&self, known: &Attachment) -> Result<()> {
        let asking = known.asking || known.lease.is_some();
        self.attachments.put(&Attachment { lease: None, asking, ..known.clone() })
    }

    /// Does `work` on a link like the container's, which is there for a moment.
    fn over_scratch(
        &self,
        host: &Host,
        known: &Attachment,
        work: impl FnOnce(&Inside, &Wish) -> Result<()>,
    ) -> Result<()> {
        // Several are there at once, so this one is called what no other is.
        let wish = Wish { interface: known.link.clone(), ..Wish::of(known, Dad::Off)? };
        let place = host.place(&wish.plug, Some(known))?;
        let inside = Inside::of(self.scratch()?)?;
        let going_until = Instant::now() + links::GOING.min(self.timeout);
        patiently(going_until, || make(host, &place, &inside, &wish))?;
        let until = Instant::now() + PATIENCE.min(self.timeout);
        let outcome =
            connect(host, &place, &inside, &wish, until).and_then(|()| work(&inside, &wish));
        let gone = unmake(host, &inside, &wish, known);
        outcome.and(gone)
    }

    /// The namespace for links that are there for a moment, the same for all of them.
    fn scratch(&self) -> Result<Netns> {
        let mut scratch = lock(&self.scratch);
        if let Some(netns) = &*scratch {
            return netns.try_clone();
        }
        let netns = Netns::scratch()?;
        netns.run(|| {
            for (setting, value) in [("disable_ipv6", 0), ("addr_gen_mode", 0)] {
                if sysctl::get(Of::Default, setting)?.is_some_and(|is| is != value) {
                    sysctl::set(Of::Default, setting, value)?;
                }
            }
            Ok(())
        })?;
        scratch.insert(netns).try_clone()
    }

    fn release_inside(
        &self,
        host: &Host,
        inside: &Inside,
        wish: &Wish,
        known: &Attachment,
        leased: Option<&Leased>,
    ) -> Result<()> {
        let patience = PATIENCE.min(self.timeout);
        inside.give_link_local(wish)?;
        self.switch_on(inside, wish)?;
        let index = wait_ready(wish, host, inside, Instant::now() + patience)?;
        let held = match leased {
            Some(leased) => held(leased),
            // A server gives a client that asks again what it has already (RFC 8415 section 18.3.1).
            None => {
                let lease = speak(inside, wish, index, patience, |c, link| c.lease(link))?;
                lease.held()
            }
        };
        self.write_off(known)?;
        speak(inside, wish, index, patience, |client, link| client.release(link, &held))
    }

    /// Switches a link on that is there for a moment, as soon as the container's own has gone.
    fn switch_on(&self, inside: &Inside, wish: &Wish) -> Result<()> {
        let until = Instant::now() + links::GOING.min(self.timeout);
        patiently(until, || inside.netlink.switch_on(&wish.interface))
    }

    /// Clears what is left of containers that were not `listed` and are gone, or go within
    /// [`GOING`]: a run that was killed may have asked for a removal that still goes on.
    pub(super) fn sweep(&self, listed: &HashSet<Ifname>, owner: Option<&Owner>) -> Result<()> {
        let (mut left, wrong) = self.attachments.list()?;
        for why in wrong {
            self.report.note(&why);
        }
        left.retain(|known| {
            let ours = owner.is_none() || known.container.owner.as_ref() == owner;
            ours && !listed.contains(&known.link)
        });
        let end = Instant::now() + GOING;
        loop {
            left.retain(|known| match self.sweep_one(known).within(&known.container.id) {
                Ok(gone) => !gone,
                Err(why) => {
                    self.report.failed(&why);
                    false
                }
            });
            if left.is_empty() || Instant::now() > end {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clears an attachment if both its container's namespace and its link are gone.
    pub(super) fn sweep_one(&self, known: &Attachment) -> Result<bool> {
        let _held = self.attachments.lock(&known.link)?;
        if self.attachments.get(&known.link)?.as_ref() != Some(known) {
            return Ok(false);
        }
        let linked = Netlink::open()?.find_link(&known.link)?.is_some();
        if linked || is_there(known)? {
            return Ok(false);
        }
        self.detach(&known.container.id, &known.link)?;
        Ok(true)
    }
}

/// Whether the namespace that the attachment was made in is still there. One that was given by a
/// process may be another's by now, because numbers of processes come again: it is known by the
/// interface in it.
///
/// # Errors
/// When that cannot be seen: what one may not look at is not known to be gone.
pub fn is_there(known: &Attachment) -> Result<bool> {
    if known.container.docker.is_none() && known.container.netns.is_none() {
        return Ok(false);
    }
    let of_process =
        known.container.netns.as_deref().is_some_and(|path| path.starts_with("/proc/"));
    match Inside::netns(&known.container) {
        Ok(netns) if of_process => {
            let link = netns.run(Netlink::open)?.find_link(&known.interface)?;
            Ok(link.is_some_and(|link| link.mac == Some(known.mac)))
        }
        Ok(_) => Ok(true),
        Err(why) if why.kind() == Kind::NotFound => Ok(false),
        // The file stays when its namespace goes, and is also what a mount namespace shows that
        // does not hold the engine's mounts. With the namespace the link would have gone.
        Err(why) if why.kind() == Kind::BadInput => {
            if Netlink::open()?.find_link(&known.link)?.is_some() { Err(why) } else { Ok(false) }
        }
        Err(why) => Err(why),
    }
}

/// Does `work` in the container's namespace, if that is still there.
pub fn inside_of(known: &Attachment, work: impl FnOnce(&Inside) -> Result<()>) -> Result<()> {
    match Inside::open(&known.container) {
        Ok(inside) => work(&inside),
        Err(why) if matches!(why.kind(), Kind::NotFound | Kind::BadInput) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Takes rules and routes away that are not the interface's.
fn unroute(known: &Attachment, inside: &Inside, rules: &[Rule], routes: &[Route]) -> Result<()> {
    let index = inside.netlink.find_link(&known.interface)?.map_or(0, |link| link.index);
    for rule in rules {
        inside.netlink.remove_rule(rule)?;
    }
    routes.iter().try_for_each(|route| inside.netlink.remove_route(index, route).map(drop))
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if let Err(why) = self.attachments.settle() {
            self.report.failed(&why);
        }
    }
}

fn is_lent(known: &Attachment) -> bool {
    known.lent.is_some()
}

/// Makes the host forget where the container was: another may have one of its addresses soon.
fn forget(host: &Host, known: &Attachment) -> Result<()> {
    let network = &known.network;
    let is_kernel_s = network.kind.unwrap_or_default() == LinkKind::Veth;
    let Some(bridge) = network.bridge.as_ref().filter(|_| is_kernel_s) else { return Ok(()) };
    let Some(bridge) = host.netlink.find_link(bridge)? else { return Ok(()) };
    let leased = known.lease.iter().flat_map(|lease| &lease.addresses);
    let given = known.fixed().map(|fixed| fixed.address);
    let addresses = leased.map(|address| address.address).chain(given);
    for address in addresses.chain([known.mac.link_local().into()]) {
        if let IpAddr::V6(address) = address {
            host.netlink.forget_neighbour(bridge.index, address)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_left_goes_and_the_memory_of_it_last() {
        let known: Attachment = serde_json::from_str(
            r#"{"version":2,"container":{"id":"web","image":"busybox"},"interface":"eth0",
            "link":"lpx","network":{"bridge":"br1"},"mac":"02:00:00:00:00:01","lease":{"duid":"00:04:01",
            "iaid":1,"server":"00:04:02","obtained_at":"2026-01-01T00:00:00Z"}}"#,
        )
        .unwrap();
        let lease = Box::new(known.lease.clone().unwrap());
        assert_eq!(
            removals(Some(&known), true),
            [Removal::Link, Removal::Lease(lease), Removal::Neighbour, Removal::State]
        );
        let asking = Attachment { lease: None, asking: true, ..known };
        assert_eq!(
            removals(Some(&asking), false),
            [Removal::Asked, Removal::Neighbour, Removal::State]
        );
        assert_eq!(removals(None, true), [Removal::Link]);
        assert_eq!(removals(None, false), []);
    }
}
