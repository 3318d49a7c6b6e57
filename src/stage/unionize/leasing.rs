//! What is leased by DHCPv6 for an interface: asking for it, giving it up, remembering it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::attach::Job;
use super::lease4::keeping;
use super::plan::{in_use, is_prefix_over, is_wanted};
use super::renew::merge;
use super::scene::Inside;
use super::wish::Wish;
use crate::adapter::attachments::Leased;
use crate::adapter::dhcp6::{
    self, Client, Held, HeldAddress, HeldPrefix, Ia, Lease, Lifetime, Refusal, Wants,
};
use crate::adapter::netlink::{self, Lifetimes};
use crate::error::{Error, Kind, Result};
use crate::record::{Address, Duid, Origin, Prefix};

/// Length of a prefix that holds one address: a lease says nothing of a prefix on the link.
pub const HOST_PREFIX: u8 = 128;

/// How long to wait for what can be done without.
const SHORTLY: Duration = Duration::from_secs(2);

impl Job<'_> {
    /// Leases what is wanted, writes that down and puts the addresses on the interface. What is
    /// there already of a lease stays.
    ///
    /// # Errors
    /// `Refused` when there is no address, although one is wanted; a temporary address or a prefix
    /// that is refused is told.
    pub(super) fn lease(&mut self) -> Result<()> {
        let index = self.prepare()?;
        let patience = self.deadline().saturating_duration_since(Instant::now());
        let lease =
            speak(&self.inside, self.wish, index, patience, |client, link| client.lease(link))?;
        self.take(index, &lease)?;
        lease.refused.iter().try_for_each(|refusal| self.told(refusal))
    }

    /// Asks for what a server did not give when it gave the rest. Whatever comes of that, it goes on
    /// without.
    pub(super) fn extend(&mut self) -> Result<()> {
        let Some(leased) = self.known.lease.clone() else { return Ok(()) };
        let index = self.prepare()?;
        let left = self.deadline().saturating_duration_since(Instant::now());
        let held = held(&leased);
        let answer =
            speak(&self.inside, self.wish, index, SHORTLY.min(left / 2), |client, link| {
                client.renew(link, &held)
            });
        match answer {
            Ok(lease) => {
                self.take(index, &lease)?;
                let missing = lease.refused.iter().filter(|refusal| refusal.ia != Ia::Na);
                missing.for_each(|refusal| self.tell(refusal));
            }
            Err(why) => self.unionize.keeper.report.note(&why.at(&self.wish.container.id)),
        }
        Ok(())
    }

    /// Gives back what was leased and is not wanted any more.
    pub(super) fn give_back(&mut self) -> Result<()> {
        let Some(leased) = &mut self.known.lease else { return Ok(()) };
        let mut surplus = leased.clone();
        surplus.addresses.retain(|address| !is_wanted(self.wish, address.origin));
        leased.addresses.retain(|address| is_wanted(self.wish, address.origin));
        match self.wish.network.delegate {
            Some(_) => surplus.prefixes.clear(),
            None => leased.prefixes.clear(),
        }
        let index = self.prepare()?;
        for address in &surplus.addresses {
            self.inside.netlink.unassign(index, address.address, address.prefix_len)?;
        }
        let held = held(&surplus);
        let left = self.deadline().saturating_duration_since(Instant::now());
        let given = speak(&self.inside, self.wish, index, SHORTLY.min(left / 2), |client, link| {
            client.release(link, &held)
        });
        if let Err(why) = given {
            // It ends by itself.
            self.unionize.keeper.report.note(&why.at(&self.wish.container.id));
        }
        self.unionize.keeper.attachments.put(&self.known)
    }

    /// Writes down what a server has given, and puts the addresses on the interface.
    fn take(&mut self, index: u32, lease: &Lease) -> Result<()> {
        let (duid, iaid) = identity(self.wish)?;
        let now = Timestamp::now();
        let before = self.known.lease.take();
        let leased = match &before {
            Some(before) => merge(before, lease, now),
            None => remember(lease, duid, iaid, now),
        };
        self.known = keeping(self.wish.attachment(Some(leased.clone())), Some(&self.known));
        self.unionize.keeper.attachments.put(&self.known)?;
        let there = self.inside.netlink.addresses(index)?;
        for address in &leased.addresses {
            match there.iter().any(|on| on.address == address.address) {
                // It has been through duplicate address detection, and gets more time.
                true => {
                    let lifetimes = remaining(address, now);
                    let (address, prefix_len) = (address.address, address.prefix_len);
                    let dad = netlink::Dad::Wait;
                    self.inside.netlink.assign(index, address, prefix_len, lifetimes, dad)?;
                }
                false => self.assign_leased(index, address)?,
            }
        }
        Ok(())
    }

    /// Tells that something was refused; an error when nothing can be done without it.
    fn told(&self, refusal: &Refusal) -> Result<()> {
        match refusal.ia {
            Ia::Na => Err(refused(refusal)),
            Ia::Ta | Ia::Pd => {
                self.tell(refusal);
                Ok(())
            }
        }
    }

    fn tell(&self, refusal: &Refusal) {
        self.unionize.keeper.report.note(&refused(refusal).at(&self.wish.container.id));
    }

    /// Tells the server that what it leased belongs to others, and forgets it.
    pub(super) fn decline(&mut self) -> Result<()> {
        let Some(leased) = &self.known.lease else { return Ok(()) };
        let index = self.inside.link(&self.wish.interface)?.index;
        let there = self.inside.netlink.addresses(index)?;
        let on = |leased: &Address| there.iter().find(|found| found.address == leased.address);
        let chosen = |which: &dyn Fn(&Address) -> bool| -> Vec<IpAddr> {
            let chosen = leased.addresses.iter().filter(|leased| which(leased));
            chosen.map(|leased| leased.address).collect()
        };
        // The kernel marks a duplicate that it keeps, and else takes it away.
        let mut taken = chosen(&|leased| on(leased).is_some_and(|found| found.duplicate));
        if taken.is_empty() {
            taken = chosen(&|leased| on(leased).is_none());
        }
        self.decline_those(index, &taken)
    }

    fn decline_those(&mut self, index: u32, taken: &[IpAddr]) -> Result<()> {
        let Some(mut leased) = self.known.lease.take() else { return Ok(()) };
        self.known.asking = true;
        let mut held = held(&leased);
        held.addresses.retain(|held| taken.contains(&held.address.into()));
        for address in leased.addresses.iter().filter(|leased| taken.contains(&leased.address)) {
            self.inside.netlink.unassign(index, address.address, address.prefix_len)?;
            self.fresh.retain(|fresh| *fresh != address.address);
        }
        // Section 18.2.8: what is not in conflict is kept.
        leased.addresses.retain(|leased| !taken.contains(&leased.address));
        if !leased.addresses.is_empty() || !leased.prefixes.is_empty() {
            self.known.lease = Some(leased);
        }
        // Whatever the server says to it, nobody is to put them to use again.
        self.unionize.keeper.attachments.put(&self.known)?;
        let left = self.deadline().saturating_duration_since(Instant::now());
        let told = speak(&self.inside, self.wish, index, SHORTLY.min(left / 2), |client, link| {
            client.decline(link, &held, &held.all_addresses())
        });
        if let Err(why) = told {
            self.unionize.keeper.report.note(&why.at(&self.wish.container.id));
        }
        Ok(())
    }

    /// Exchanges a lease for another, because others have what was leased.
    pub(super) fn exchange(&mut self, taken: &[IpAddr]) -> Result<()> {
        let leased = self.known.lease.iter().flat_map(|lease| &lease.addresses);
        let leased: Vec<IpAddr> = leased.map(|leased| leased.address).collect();
        let error = in_use(taken[0]);
        if !taken.iter().all(|taken| leased.contains(taken)) {
            return Err(error);
        }
        let index = self.inside.link(&self.wish.interface)?.index;
        self.decline_those(index, taken)?;
        if self.retries == 0 {
            return Err(error);
        }
        self.retries -= 1;
        let note = error.remedy("declined; asking for another").at(&self.wish.container.id);
        self.unionize.keeper.report.note(&note);
        self.lease()
    }
}

/// The error that says what a server did not give.
fn refused(refusal: &Refusal) -> Error {
    let what = match refusal.ia {
        Ia::Na => "lease DHCPv6 address",
        Ia::Ta => "lease temporary DHCPv6 address",
        Ia::Pd => "lease DHCPv6 prefix",
    };
    let error = Error::new(Kind::Refused, what);
    match refusal.code {
        Some(_) => error.why(format_args!("server says {}", refusal.why)),
        None => error.why("the server's answer says nothing of it"),
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
    let (duid, iaid) = identity(wish)?;
    let client = Client {
        give_up_after: patience,
        wants: wants(wish),
        rapid_commit: wish.rapid_commit,
        ..Client::new(duid, iaid)
    };
    let source = Some(wish.local);
    let link = dhcp6::Link { index, name: &wish.interface, source };
    inside.netns.run(|| exchange(&client, link))
}

fn identity(wish: &Wish) -> Result<(Duid, u32)> {
    wish.client
        .clone()
        .ok_or_else(|| Error::new(Kind::Bug, "speak DHCPv6").why("there is no client"))
}

/// What is asked of a DHCPv6 server.
pub fn wants(wish: &Wish) -> Wants {
    Wants {
        address: wish.sources.dhcp6,
        temporary: wish.sources.temporary,
        delegate: wish.network.delegate,
    }
}

/// A lease as it is remembered.
pub fn remember(lease: &Lease, duid: Duid, iaid: u32, now: Timestamp) -> Leased {
    let until = |lifetime: Lifetime| {
        lifetime.finite().and_then(|lasting| now.checked_add(lasting).ok()).map(whole_seconds)
    };
    let addresses = lease.addresses.iter().map(|leased| Address {
        address: leased.address.into(),
        prefix_len: HOST_PREFIX,
        origin: if leased.ia == Ia::Ta { Origin::Dhcp6Temporary } else { Origin::Dhcp6 },
        preferred_until: until(leased.preferred),
        valid_until: until(leased.valid),
        rest: Default::default(),
    });
    let prefixes = lease.prefixes.iter().map(|leased| Prefix {
        prefix: leased.prefix,
        preferred_until: until(leased.preferred),
        valid_until: until(leased.valid),
        rest: Default::default(),
    });
    Leased {
        duid,
        iaid,
        server: lease.server.clone(),
        addresses: addresses.collect(),
        prefixes: prefixes.collect(),
        dns_servers: lease.dns_servers.iter().copied().map(IpAddr::from).collect(),
        search: lease.search.clone(),
        obtained_at: whole_seconds(now),
        renew_at: until(lease.t1),
        rebind_at: until(lease.t2),
        rest: Default::default(),
    }
}

/// Keeps the prefixes that the answer does not name, unless their time is over (RFC 8415 section
/// 18.2.10.1).
pub fn keep_prefixes(after: &mut Leased, before: &Leased, answer: &Lease, now: Timestamp) {
    let kept = before.prefixes.iter().filter(|old| {
        !is_prefix_over(old, now)
            && !answer.withdrawn_prefixes.contains(&old.prefix)
            && !answer.prefixes.iter().any(|new| new.prefix == old.prefix)
    });
    after.prefixes.extend(kept.cloned());
}

/// What the client needs to know of a lease that is remembered, as of now.
pub fn held(leased: &Leased) -> Held {
    let now = Timestamp::now();
    let addresses = leased.addresses.iter().filter_map(|leased| match leased.address {
        IpAddr::V6(address) => {
            let ia = if leased.origin == Origin::Dhcp6Temporary { Ia::Ta } else { Ia::Na };
            Some(HeldAddress { address, ia, left: left(leased.valid_until, now) })
        }
        IpAddr::V4(_) => None,
    });
    let prefix =
        |leased: &Prefix| HeldPrefix { prefix: leased.prefix, left: left(leased.valid_until, now) };
    Held {
        server: leased.server.clone(),
        addresses: addresses.collect(),
        prefixes: leased.prefixes.iter().map(prefix).collect(),
    }
}

/// How long it is until then; for ever when there is no end.
fn left(until: Option<Timestamp>, now: Timestamp) -> Lifetime {
    Lifetime::from_secs(seconds(until, now))
}

fn seconds(until: Option<Timestamp>, now: Timestamp) -> u32 {
    match until {
        Some(until) => (until.as_second() - now.as_second()).clamp(0, u32::MAX.into()) as u32,
        None => u32::MAX,
    }
}

/// For how long an address may be used from now on.
pub fn remaining(leased: &Address, now: Timestamp) -> Lifetimes {
    let valid = seconds(leased.valid_until, now).max(1);
    Lifetimes { preferred: seconds(leased.preferred_until, now).min(valid), valid }
}

/// The time without its fraction, which no lease has.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
