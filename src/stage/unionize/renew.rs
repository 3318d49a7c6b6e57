//! `unionize renew`: more time for the leases that need it, once; [`follow`] does so for ever.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::detach::{Keeper, is_there};
use super::dns;
use super::keep::{Engines, follow};
use super::lease4::{is_made, own_index};
use super::leasing::{HOST_PREFIX, held, keep_prefixes, remaining, remember, speak};
use super::plan::{in_use, is_alive, is_over};
use super::scene::Inside;
use super::verdict::duplicates;
use super::wish::{Wish, interface};
use super::{Upkeep, lock};
use crate::adapter::attachments::{Attachment, Leased};
use crate::adapter::dhcp6::Lease;
use crate::adapter::netlink::Dad;
use crate::error::{Error, Kind, Result};
use crate::pipe::{Output, Report};
use crate::record::{Action, Address, Change, Interface, Origin, Prefix, Status};

/// Which leases are renewed, and for how long that goes on.
#[derive(clap::Args, Clone, Debug)]
pub struct Renewal {
    /// Keep all leases until told to end, and attach again what is restarted
    #[arg(long, conflicts_with_all = ["all", "dry_run"])]
    follow: bool,
    /// Also renew leases whose time has not come
    #[arg(long)]
    all: bool,
    /// Ask the engine of this machine at URL which containers there are; may be given several times
    #[arg(long, value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    host: Vec<String>,
}

/// Renews what is due, or keeps all leases.
pub fn renew(
    upkeep: &Upkeep,
    renewal: Renewal,
    jobs: NonZeroUsize,
    output: Output,
    report: &Report,
) -> Result<()> {
    match renewal.follow {
        true => follow(upkeep, renewal.host, jobs, output, report),
        false => once(upkeep, renewal, jobs, output, report),
    }
}

/// Renews what is due, or everything, and clears what is left of containers that are gone. Every
/// lease that was touched is written out, as a change that keeps its container.
fn once(
    upkeep: &Upkeep,
    renewal: Renewal,
    jobs: NonZeroUsize,
    output: Output,
    report: &Report,
) -> Result<()> {
    let engines = Engines::new(renewal.host)?;
    let keeper = Keeper::new(upkeep, report)?;
    let (found, wrong) = keeper.attachments.list()?;
    wrong.iter().for_each(|why| report.note(why));
    let due = Mutex::new(VecDeque::from(found));
    let output = Mutex::new(output);
    let stop = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some(known) = next(&due) {
                    report.used();
                    for change in keeper.renewed(&known, renewal.all, &engines) {
                        let mut output = lock(&output);
                        if let Err(why) = output.write(&change.into()).and_then(|()| output.flush())
                        {
                            lock(&stop).get_or_insert(why);
                            lock(&due).clear();
                        }
                    }
                }
            });
        }
    });
    match lock(&stop).take() {
        Some(why) => Err(why),
        None => lock(&output).settle(),
    }
}

fn next(due: &Mutex<VecDeque<Attachment>>) -> Option<Attachment> {
    lock(due).pop_front()
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// The same server for more time.
    Renew,
    /// Any server for more time.
    Rebind,
    /// Any server for an address.
    Lease,
}

/// What a lease needs (RFC 8415 sections 18.2.4, 18.2.5 and 18.2.1).
fn ask(leased: &Leased, all: bool, now: Timestamp) -> Option<Ask> {
    let past = |time: Option<Timestamp>| time.is_some_and(|time| time <= now);
    if !is_alive(leased, now) {
        Some(Ask::Lease)
    } else if past(leased.rebind_at) {
        Some(Ask::Rebind)
    } else if past(leased.renew_at) || all {
        Some(Ask::Renew)
    } else {
        None
    }
}

impl Keeper<'_> {
    /// The changes that tell of what became of the leases of an attachment; none when none was due.
    fn renewed(&self, known: &Attachment, all: bool, engines: &Engines) -> Vec<Change> {
        let told = |outcome: Result<Interface>| {
            let mut change = Change::new(Action::Keep, known.container.clone());
            match outcome {
                Ok(interface) => {
                    change.container.interfaces = vec![interface];
                    change.status = Some(Status::Done);
                    change
                }
                Err(why) => {
                    self.report.failed(&why.clone().at(&known.container.id));
                    change.failed(&why)
                }
            }
        };
        let outcomes = self.renew(known, all, engines).unwrap_or_else(|why| vec![Err(why)]);
        outcomes.into_iter().map(told).collect()
    }

    /// What became of each lease that was due; of both once, where both went well.
    fn renew(
        &self,
        listed: &Attachment,
        all: bool,
        engines: &Engines,
    ) -> Result<Vec<Result<Interface>>> {
        let _held = self.attachments.lock(&listed.link)?;
        let Some(mut known) = self.attachments.get(&listed.link)? else { return Ok(Vec::new()) };
        let id = known.container.id.clone();
        if !is_there(&known)? {
            // One that was stopped may be started again.
            engines.connect();
            if !engines.may_come_back(&known.container) {
                self.detach(&id, &known.link)?;
            }
            return Ok(Vec::new());
        }
        let now = Timestamp::now();
        // A server of the one protocol that is away takes no lease of the other along.
        let four = self.renew4(&mut known, all, now).transpose();
        let six = self.renew6(&mut known, all, now).transpose();
        Ok(match (four, six) {
            (Some(Ok(_)), Some(Ok(both))) => vec![Ok(both)],
            (four, six) => four.into_iter().chain(six).collect(),
        })
    }

    /// Extends the DHCPv6 lease of an attachment, if it is time or `all` are to be; its interface, if
    /// that was done.
    fn renew6(
        &self,
        known: &mut Attachment,
        all: bool,
        now: Timestamp,
    ) -> Result<Option<Interface>> {
        let ask = match &known.lease {
            Some(leased) => ask(leased, all, now),
            None if !known.asking => None,
            None => is_made(known)?.then_some(Ask::Lease),
        };
        let Some(ask) = ask else { return Ok(None) };
        if self.dry_run {
            self.would(&known.container.id, format_args!("{} on {}", words(ask), known.link));
            return Ok(None);
        }
        let inside = Inside::open(&known.container)?;
        let index = own_index(&inside, known)?;
        let wish = Wish::of(known, super::Dad::Off)?;
        let held = known.lease.as_ref().map(held);
        let lease =
            speak(&inside, &wish, index, self.timeout, |client, link| match (ask, &held) {
                (Ask::Renew, Some(held)) => client.renew(link, held),
                (Ask::Rebind, Some(held)) => client.rebind(link, held),
                _ => client.lease(link),
            })?;
        self.use_lease(known, ask == Ask::Lease, &lease, index).map(Some)
    }

    /// Writes a lease down, which was leased `anew` or is an extended one, and puts it on the interface
    /// with the number `index`; that interface.
    pub(super) fn use_lease(
        &self,
        known: &mut Attachment,
        anew: bool,
        lease: &Lease,
        index: u32,
    ) -> Result<Interface> {
        let wish = Wish::of(known, super::Dad::Off)?;
        let (duid, iaid) = wish.client.clone().ok_or_else(|| {
            Error::new(Kind::Bug, "use a lease").why("no DHCPv6 server was to be asked")
        })?;
        let now = Timestamp::now();
        let former = known.lease.iter().flat_map(|lease| lease.addresses.clone());
        let mut former: Vec<Address> = former.collect();
        known.lease = Some(match &known.lease {
            // What is leased anew is leased instead of what was.
            Some(before) if !anew => merge(before, lease, now),
            _ => remember(lease, duid, iaid, now),
        });
        known.asking = false;
        self.attachments.put(known)?;
        let inside = Inside::open(&known.container)?;
        let router = self.apply(&inside, &wish, index, known, lease)?;
        let kept = known.lease.iter().flat_map(|lease| &lease.addresses).map(|kept| kept.address);
        let kept: Vec<IpAddr> = kept.collect();
        former.retain(|former| !kept.contains(&former.address));
        for former in former {
            inside.netlink.unassign(index, former.address, former.prefix_len)?;
        }
        if known.dns {
            dns::write(known, &inside)?;
        }
        Ok(interface(known, wish.client.as_ref(), router))
    }

    /// Brings the interface to what was leased.
    fn apply(
        &self,
        inside: &Inside,
        wish: &Wish,
        index: u32,
        known: &mut Attachment,
        lease: &Lease,
    ) -> Result<Option<std::net::Ipv6Addr>> {
        for address in &lease.withdrawn {
            inside.netlink.unassign(index, (*address).into(), HOST_PREFIX)?;
        }
        let there = inside.netlink.addresses(index)?;
        let now = Timestamp::now();
        let mut fresh = Vec::new();
        for leased in known.lease.iter().flat_map(|lease| &lease.addresses) {
            let is_there = there.iter().any(|found| found.address == leased.address);
            let dad = if is_there { Dad::Wait } else { Dad::Optimistic };
            let lifetimes = remaining(leased, now);
            inside.netlink.assign(index, leased.address, leased.prefix_len, lifetimes, dad)?;
            if !is_there {
                fresh.push(leased.address);
            }
        }
        let taken =
            if fresh.is_empty() { Vec::new() } else { duplicates(inside, wish, index, &fresh)? };
        let router = inside.netlink.router(index)?;
        if let Some(first) = taken.first() {
            self.refuse(inside, wish, index, known, &taken)?;
            return Err(in_use(first).remedy("declined; another is asked for later"));
        }
        Ok(router)
    }

    /// Declines the addresses that belong to others.
    fn refuse(
        &self,
        inside: &Inside,
        wish: &Wish,
        index: u32,
        known: &mut Attachment,
        taken: &[IpAddr],
    ) -> Result<()> {
        let Some(mut leased) = known.lease.take() else { return Ok(()) };
        let held = held(&leased);
        for address in taken {
            inside.netlink.unassign(index, *address, HOST_PREFIX)?;
        }
        leased.addresses.retain(|leased| !taken.contains(&leased.address));
        let declined: Vec<_> = held
            .all_addresses()
            .into_iter()
            .filter(|address| taken.contains(&(*address).into()))
            .collect();
        known.lease = Some(leased)
            .filter(|leased| !leased.addresses.is_empty() || !leased.prefixes.is_empty());
        // Somebody has to ask for another.
        known.asking = known.lease.is_none();
        // Whatever the server says to it, nobody is to put them to use again.
        self.attachments.put(known)?;
        let told = speak(inside, wish, index, self.timeout, |client, link| {
            client.decline(link, &held, &declined)
        });
        if let Err(why) = told {
            self.report.note(&why.at(&known.container.id));
        }
        Ok(())
    }
}

fn words(ask: Ask) -> &'static str {
    match ask {
        Ask::Renew => "renew the lease",
        Ask::Rebind => "rebind the lease",
        Ask::Lease => "lease an address anew",
    }
}

/// The lease as it is now. An address that the answer does not name stays as it was (RFC 8415
/// section 18.2.10.1), unless its time is over; and where the answer has one of the same sort that was
/// not there before, no new connection begins from those that it does not name. Those that go on are
/// asked for before they end, even when what it names lasts longer.
pub fn merge(before: &Leased, answer: &Lease, now: Timestamp) -> Leased {
    let mut after = remember(answer, before.duid.clone(), before.iaid, now);
    let is_new = |new: &&Address| before.addresses.iter().all(|old| old.address != new.address);
    let new: Vec<Origin> = after.addresses.iter().filter(is_new).map(|new| new.origin).collect();
    let kept = before.addresses.iter().filter(|old| {
        !is_over(old, now)
            && !answer.withdrawn.iter().any(|gone| old.address == IpAddr::from(*gone))
            && !answer.addresses.iter().any(|new| old.address == IpAddr::from(new.address))
    });
    let kept: Vec<Address> = kept.cloned().collect();
    let (since, leased) = (after.obtained_at, after.addresses.len());
    after.addresses.extend(kept.into_iter().map(|old| match old.preferred_until {
        Some(until) if until <= since => old,
        _ if new.contains(&old.origin) => Address { preferred_until: Some(since), ..old },
        _ => old,
    }));
    let there = after.prefixes.len();
    let is_new = |new: &Prefix| before.prefixes.iter().all(|old| old.prefix != new.prefix);
    let replaces = after.prefixes.iter().any(is_new);
    keep_prefixes(&mut after, before, answer, now);
    if replaces {
        for old in &mut after.prefixes[there..] {
            old.preferred_until = Some(old.preferred_until.map_or(since, |until| until.min(since)));
        }
    }
    let addresses = after.addresses[leased..].iter().map(|old| old.preferred_until);
    let prefixes = after.prefixes[there..].iter().map(|old| old.preferred_until);
    // What has no end comes with no hurry, and what has been replaced with none either.
    let ends = addresses.chain(prefixes).flatten().filter(|end| *end > since);
    if let Some(end) = ends.min() {
        let sooner = |time: Option<Timestamp>, tenths| {
            let left =
                SignedDuration::from_secs((end.as_second() - since.as_second()) / 10 * tenths);
            since.checked_add(left.max(SOONEST)).ok().into_iter().chain(time).min()
        };
        (after.renew_at, after.rebind_at) = (sooner(after.renew_at, 5), sooner(after.rebind_at, 8));
    }
    after
}

/// How soon what an answer has left out is asked for again (REN_TIMEOUT, RFC 8415 section 7.6).
const SOONEST: SignedDuration = SignedDuration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::dhcp6::{Ia, LeasedAddress, Lifetime};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn leased(addresses: &[(&str, i64)]) -> Leased {
        let address = |(address, until): &(&str, i64)| Address {
            address: address.parse().unwrap(),
            prefix_len: 128,
            origin: Origin::Dhcp6,
            preferred_until: Some(at(*until)),
            valid_until: Some(at(*until)),
            rest: Default::default(),
        };
        Leased {
            duid: "00:04:01".parse().unwrap(),
            iaid: 7,
            server: "00:04:02".parse().unwrap(),
            addresses: addresses.iter().map(address).collect(),
            prefixes: vec![],
            dns_servers: vec![],
            search: vec![],
            obtained_at: at(0),
            renew_at: Some(at(50)),
            rebind_at: Some(at(80)),
            rest: Default::default(),
        }
    }

    /// What a server gives, without times.
    fn given(before: &Leased, addresses: Vec<LeasedAddress>) -> Lease {
        Lease {
            server: before.server.clone(),
            iaid: 7,
            t1: Lifetime::INFINITE,
            t2: Lifetime::INFINITE,
            addresses,
            prefixes: vec![],
            withdrawn: vec![],
            withdrawn_prefixes: vec![],
            refused: vec![],
            dns_servers: vec![],
            search: vec![],
            rapid: false,
            elapsed: std::time::Duration::ZERO,
            ignored: 0,
        }
    }

    #[test]
    fn the_time_decides_what_is_asked() {
        let leased = leased(&[("2001:db8::1", 100)]);
        assert_eq!(ask(&leased, false, at(49)), None);
        assert_eq!(ask(&leased, true, at(49)), Some(Ask::Renew));
        assert_eq!(ask(&leased, false, at(50)), Some(Ask::Renew));
        assert_eq!(ask(&leased, false, at(80)), Some(Ask::Rebind));
        assert_eq!(ask(&leased, false, at(100)), Some(Ask::Lease));
    }

    #[test]
    fn an_address_that_the_answer_leaves_out_stays_until_its_end() {
        let before = leased(&[("2001:db8::1", 100), ("2001:db8::2", 100), ("2001:db8::3", 40)]);
        let fourth = LeasedAddress {
            address: "2001:db8::4".parse().unwrap(),
            ia: Ia::Na,
            preferred: Lifetime::from_secs(100),
            valid: Lifetime::INFINITE,
        };
        let answer = Lease {
            t1: Lifetime::from_secs(50),
            withdrawn: vec!["2001:db8::1".parse().unwrap()],
            ..given(&before, vec![fourth])
        };
        let after = merge(&before, &answer, at(60));
        let addresses: Vec<_> = after.addresses.iter().map(|a| a.address.to_string()).collect();
        assert_eq!(addresses, ["2001:db8::4", "2001:db8::2"]);
        assert_eq!(after.addresses[0].valid_until, None);
        let kept = &after.addresses[1];
        assert_eq!((kept.preferred_until, kept.valid_until), (Some(at(60)), Some(at(100))));
        let same = Lease { addresses: vec![], withdrawn: vec![], ..answer };
        assert_eq!(merge(&before, &same, at(60)).addresses[0], before.addresses[0]);
        assert_eq!((after.renew_at, after.rebind_at), (Some(at(110)), None));
    }

    #[test]
    fn what_an_answer_leaves_out_is_asked_for_before_its_end() {
        let before = leased(&[("2001:db8::1", 1000), ("2001:db8::2", 1000)]);
        let one = LeasedAddress {
            address: "2001:db8::1".parse().unwrap(),
            ia: Ia::Na,
            preferred: Lifetime::from_secs(9000),
            valid: Lifetime::from_secs(9000),
        };
        let answer = Lease {
            t1: Lifetime::from_secs(4500),
            t2: Lifetime::from_secs(7200),
            ..given(&before, vec![one])
        };
        let times = |after: &Leased| (after.renew_at, after.rebind_at);
        let after = merge(&before, &answer, at(500));
        assert_eq!(times(&after), (Some(at(750)), Some(at(900))));
        // Each time sooner, and not at once.
        let after = merge(&after, &answer, at(990));
        assert_eq!(times(&after), (Some(at(1000)), Some(at(1000))));
        let all = merge(&after, &answer, at(1000));
        assert_eq!(times(&all), (Some(at(5500)), Some(at(8200))));
        // An answer that takes one of them back and says nothing of the other has no times.
        let less =
            Lease { withdrawn: vec!["2001:db8::1".parse().unwrap()], ..given(&before, vec![]) };
        let after = merge(&before, &less, at(500));
        assert_eq!(after.addresses.len(), 1);
        assert_eq!(times(&after), (Some(at(750)), Some(at(900))));
    }
}
