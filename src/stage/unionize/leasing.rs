//! What is leased by DHCPv6 for an interface: asking for it, giving it up, remembering it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::attach::Job;
use super::plan::in_use;
use super::scene::Inside;
use super::wish::Wish;
use crate::adapter::attachments::Leased;
use crate::adapter::dhcp6::{self, Client, Held, Lease, Lifetime};
use crate::adapter::netlink::Lifetimes;
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Duid, Origin};

/// Length of a prefix that holds one address: a lease says nothing of a prefix on the link.
pub const HOST_PREFIX: u8 = 128;

impl Job<'_> {
    /// Leases an address, writes that down and puts it on the interface.
    pub(super) fn lease(&mut self) -> Result<()> {
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
    pub(super) fn decline(&mut self) -> Result<()> {
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
            client.decline(link, &held, &held.all_addresses())
        })?;
        self.unionize.keeper.attachments.put(&self.known)
    }

    /// Exchanges a lease for another, because others have what was leased.
    pub(super) fn exchange(&mut self, taken: &[IpAddr]) -> Result<()> {
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
pub fn remember(lease: &Lease, duid: Duid, iaid: u32, now: Timestamp) -> Leased {
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
    Held::lasting(leased.server.clone(), addresses)
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
