//! What duplicate address detection says, a second or two after an address was put to use.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::attach::Job;
use super::plan::{Step, in_use};
use super::scene::Inside;
use super::wish::Wish;
use super::{Dad, Unionize, lock};
use crate::adapter::netlink::Found;
use crate::error::Result;
use crate::record::Container;

/// By then it has ended: one probe takes at most two seconds (RFC 4862 section 5.4.2).
const LONGEST: Duration = Duration::from_secs(5);

impl Unionize<'_> {
    /// Waits for the verdict on the addresses of a container. A lease that turns out to be a
    /// duplicate is declined and another asked for; whether that was so.
    pub(super) fn judge(&self, container: &mut Container) -> Result<bool> {
        let made = lock(&self.provisional).remove(&container.id).unwrap_or_default();
        let mut outcome = Ok(false);
        for wish in Wish::all(container, &self.options)? {
            match (self.judge_one(&wish, container), &mut outcome) {
                (Ok(became_another), Ok(changed)) => *changed |= became_another,
                (Ok(_), Err(_)) => (),
                (Err(why), Ok(_)) => outcome = Err(why),
                (Err(why), Err(_)) => self.keeper.report.failed(&why.at(&container.id)),
            }
        }
        if outcome.is_err() {
            self.take_back_later(container, &made)?;
        }
        outcome
    }

    fn judge_one(&self, wish: &Wish, container: &mut Container) -> Result<bool> {
        // A container that has gone meanwhile has no address that could be a duplicate.
        let Ok(inside) = Inside::open(&wish.container) else {
            return Ok(false);
        };
        let Some(known) = self.keeper.attachments.get(&wish.link)? else { return Ok(false) };
        let Ok(link) = inside.link(&wish.interface) else { return Ok(false) };
        let wish = &wish.as_made(&known);
        let leased: Vec<IpAddr> =
            known.lease.iter().flat_map(|l| &l.addresses).map(|a| a.address).collect();
        let all: Vec<IpAddr> =
            leased.iter().copied().chain(known.fixed().map(|fixed| fixed.address)).collect();
        let taken = duplicates(&inside, wish, link.index, &all)?;
        let Some(first) = taken.first() else { return Ok(false) };

        let _held = self.keeper.attachments.lock(&wish.link)?;
        if self.keeper.attachments.get(&wish.link)?.as_ref() != Some(&known) {
            return Ok(false);
        }
        // Whatever comes of it, the addresses are not as the record says. The interface itself stays
        // in it: so a reader can tell one that has lost them from one that is not known yet.
        let mut interfaces = container.interfaces.iter_mut();
        if let Some(interface) = interfaces.find(|known| known.name == wish.interface) {
            interface.addresses.clear();
        }
        if !taken.iter().all(|taken| leased.contains(taken)) {
            self.keeper.detach(&container.id, &wish.link)?;
            return Err(in_use(first));
        }
        self.keeper
            .report
            .note(&in_use(first).remedy("declined; asking for another").at(&container.id));
        let host = self.keeper.host()?;
        let job = Job {
            unionize: self,
            place: host.place(&wish.plug, Some(&known))?,
            wish,
            host,
            inside,
            known,
            going_until: Instant::now(),
            dad: Dad::Wait,
            retries: 0,
            begun: Instant::now(),
            fresh: Vec::new(),
            solicited: None,
            made: true,
        };
        let done = job.work(&[Step::Decline, Step::Lease], None)?;
        if let Some(known) = container.interfaces.iter_mut().find(|k| k.name == wish.interface) {
            *known = done.interface;
        }
        Ok(true)
    }
}

/// Waits until duplicate address detection has ended for `addresses`; which of them belong to
/// others. None when it takes too long.
pub fn duplicates(
    inside: &Inside,
    wish: &Wish,
    index: u32,
    addresses: &[IpAddr],
) -> Result<Vec<IpAddr>> {
    let taken = settle(inside, wish, index, addresses, true, Instant::now() + LONGEST)?;
    Ok(taken.unwrap_or_default())
}

/// Waits until `addresses` can be used, or, to be `sure`, until duplicate address detection has
/// ended for them; which of them belong to others. The link-local address is among these when
/// another station has the same MAC address. Nothing when `until` comes first.
pub fn settle(
    inside: &Inside,
    wish: &Wish,
    index: u32,
    addresses: &[IpAddr],
    sure: bool,
    until: Instant,
) -> Result<Option<Vec<IpAddr>>> {
    let local = IpAddr::from(wish.local);
    inside.wait_for(until, |netlink| {
        let found = netlink.addresses(index)?;
        let of = |address: &IpAddr| found.iter().find(|found| found.address == *address);
        // The kernel deletes a duplicate that has a lifetime, and marks one that has none.
        let is_taken = |address: &IpAddr| of(address).is_none_or(|found| found.duplicate);
        let mut taken: Vec<IpAddr> = addresses.iter().copied().filter(is_taken).collect();
        taken.extend(of(&local).filter(|found| found.duplicate).map(|_| local));
        if !taken.is_empty() {
            let gone = netlink.find_link(&wish.interface)?.is_none_or(|link| link.index != index);
            return Ok(Some(if gone { Vec::new() } else { taken }));
        }
        let open = |found: &Found| if sure { found.tentative } else { !found.is_usable() };
        let local = [local].into_iter().filter(|_| wish.speaks_ipv6());
        for address in addresses.iter().copied().chain(local) {
            if of(&address).is_some_and(open) {
                return Ok(None);
            }
            if let IpAddr::V6(address) = address
                && !netlink.takes(index, address)?
            {
                return Ok(None);
            }
        }
        Ok(Some(Vec::new()))
    })
}
