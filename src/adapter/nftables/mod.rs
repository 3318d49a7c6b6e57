//! A firewall for the interfaces of containers: shut for all but the client whose lease it is.
//!
//! # Where it stands
//! In the container's own network namespace, right behind the interface: one table `inet
//! leasepipe` for all interfaces that are shut there, hooked before routing. Every packet to the
//! container comes by there, whatever way it took: routed by the host or sent by it, bridged from a
//! neighbour on the same link, or past the host's network altogether, as those of macvlan, ipvlan
//! and moved interfaces are. On the host it would take three filters that are each other's exceptions:
//! `inet forward` does not see bridged packets without br_netfilter, `bridge forward` knows
//! connections only where the kernel has nf_conntrack_bridge, and neither sees a macvlan.
//!
//! It goes by interface and not by the container's address. So the link-local address is shut, and
//! whatever else the kernel makes up; nothing has to follow when a lease is renewed; and it can be
//! shut before the interface is there at all. It goes with the namespace: there is nothing to sweep.
//! A packet looks its interface and source up in a set, and the table of one container has nothing
//! of the others': what a packet costs does not depend on how many clients there are.
//!
//! # What it does not do
//! A process with CAP_NET_ADMIN in the container can take the table away: for itself, which it
//! could as well do by calling out. A station on the client's own link that takes the client's address
//! is taken for the client. Of ipvlan's modes, `l3s` delivers packets past the namespace's hooks.
//!
//! # How it is changed
//! In one batch each time, which the kernel makes true at one moment and only if the tables are
//! still those that were looked at. No program is executed. A table of this name that does not say
//! that it is ours is left alone, and an error.

mod attribute;
mod expression;
mod guard;
mod message;
mod ruleset;
mod socket;

use std::collections::BTreeSet;
use std::io;

use nix::errno::Errno;

use attribute::{Attributes, attributes, number, text, value};
use guard::{Entry, name};
use message::{Batch, Kind as Message};
use ruleset::{
    Element, MARK, NEEDED, NEEDED_TYPES, SHUT, TABLE, WANTED, change_elements, commented,
};
use socket::{Refusal, Socket};

pub use guard::Guard;

use crate::error::{Error, Kind, Result};
use crate::record::Ifname;

const REMEDY: &str = "run as root or grant CAP_NET_ADMIN and CAP_SYS_ADMIN";

/// How often to look again when somebody else changes tables at the same time.
const TRIES: usize = 20;

/// The packet filter of one network namespace.
pub struct Firewall {
    socket: Socket,
}

/// What there is of the suite's table.
#[derive(Debug)]
pub struct Seen {
    generation: u32,
    /// Absent when there is no table.
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    /// Whether its rules are as they were made.
    whole: bool,
    entries: BTreeSet<Entry>,
}

impl Seen {
    /// Whether the interface is shut in just this way.
    pub fn is_so(&self, guard: &Guard) -> bool {
        let Some(table) = self.table.as_ref().filter(|table| table.whole) else { return false };
        of(&table.entries, &guard.interface).eq(&guard.entries())
    }

    /// Whether there is anything about the interface.
    pub fn knows(&self, interface: &Ifname) -> bool {
        self.table.as_ref().is_some_and(|table| of(&table.entries, interface).next().is_some())
    }
}

/// The entries about one interface.
fn of<'a>(entries: &'a BTreeSet<Entry>, interface: &Ifname) -> impl Iterator<Item = &'a Entry> {
    let name = name(interface);
    entries.iter().filter(move |(_, element)| element.key.starts_with(&name))
}

impl Firewall {
    /// The filter of the calling thread's network namespace, and of that one alone, whichever
    /// thread uses it later.
    pub fn open() -> Result<Firewall> {
        let socket =
            Socket::open().map_err(|why| match why.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EPROTONOSUPPORT) => lacking("netfilter over netlink (nfnetlink)"),
                _ => failed("open the firewall", &why),
            })?;
        Ok(Firewall { socket })
    }

    /// What there is now.
    ///
    /// # Errors
    /// `Refused` when the table is not the suite's, or the kernel has no such filter.
    pub fn look(&mut self) -> Result<Seen> {
        let doing = "look at the firewall";
        let generation = socket::generation(&mut self.socket).map_err(|why| {
            match why.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EINVAL | Errno::EOPNOTSUPP) => lacking("nf_tables"),
                _ => failed(doing, &why),
            }
        })?;
        let asked = Attributes::of(|all| all.text(1, TABLE));
        let table = match self.socket.get(Message::GetTable, &asked) {
            Ok(about) => Some(self.look_into(&about)?),
            Err(why) if why.raw_os_error() == Some(Errno::ENOENT as i32) => None,
            Err(why) => return Err(failed(doing, &why)),
        };
        Ok(Seen { generation, table })
    }

    fn look_into(&mut self, about: &[u8]) -> Result<Table> {
        let failed = |why| failed("look at the firewall's table", &why);
        if value(about, 6).and_then(commented) != Some(MARK) {
            return Err(Error::new(
                Kind::Refused,
                format!("use the firewall's table inet {TABLE}"),
            )
            .why("the container has one that unionize did not make, or not this version")
            .remedy(format!("nft delete table inet {TABLE}, in its network namespace")));
        }
        // A flag can switch a table off (NFT_TABLE_F_DORMANT).
        let awake = value(about, 2).and_then(number).unwrap_or(0) == 0;
        let needed = self.elements(NEEDED.name).map_err(failed)?;
        let mut needed: Vec<u8> = needed.into_iter().flat_map(|element| element.key).collect();
        needed.sort_unstable();
        let whole = awake && needed == NEEDED_TYPES && self.has_its_rules().map_err(failed)?;
        let mut entries = BTreeSet::new();
        for set in WANTED {
            let elements = self.elements(set.name).map_err(failed)?;
            entries.extend(elements.into_iter().map(|element| (set.name, element)));
        }
        Ok(Table { whole, entries })
    }

    /// Whether every chain has its rules, in their order, and no others.
    fn has_its_rules(&mut self) -> io::Result<bool> {
        let asked = Attributes::of(|all| all.text(1, TABLE));
        let mut found = self.socket.dump(Message::GetRules, &asked)?.into_iter().map(|rule| {
            let chain = value(&rule, 2).and_then(text).map(str::to_owned);
            (chain, value(&rule, 7).and_then(commented).map(str::to_owned))
        });
        let mut wanted = ruleset::rules().into_iter();
        Ok(loop {
            match (found.next(), wanted.next()) {
                (None, None) => break true,
                (Some((chain, comment)), Some(rule))
                    if chain.as_deref() == Some(rule.chain)
                        && comment.as_deref() == Some(rule.comment) => {}
                _ => break false,
            }
        })
    }

    /// The elements of a set; none when the set is not there.
    fn elements(&mut self, set: &str) -> io::Result<Vec<Element>> {
        let asked = Attributes::of(|all| {
            all.text(1, TABLE);
            all.text(2, set);
        });
        let found = match self.socket.dump(Message::GetElements, &asked) {
            Err(why) if why.raw_os_error() == Some(Errno::ENOENT as i32) => Vec::new(),
            found => found?,
        };
        let list = |about: &Vec<u8>| -> Vec<Element> {
            attributes(value(about, 3).unwrap_or_default())
                .filter_map(|(_, one)| Element::read(one))
                .collect()
        };
        Ok(found.iter().flat_map(list).collect())
    }

    /// Shuts an interface for all but the client that `guard` names, in place of what was so for
    /// it before, and from one moment on. Interfaces of that name that come later are shut as they
    /// come.
    ///
    /// # Errors
    /// `Refused` when the kernel lacks something that is needed for it, or the table is not the
    /// suite's; then nothing is changed.
    pub fn shut(&mut self, guard: &Guard) -> Result<()> {
        let wanted: BTreeSet<Entry> = guard.entries().into_iter().collect();
        self.change(|seen| {
            let mut batch = Batch::default();
            let empty = BTreeSet::new();
            let there = seen.table.as_ref().map_or(&empty, |table| &table.entries);
            let before: BTreeSet<Entry> = of(there, &guard.interface).cloned().collect();
            if seen.table.as_ref().is_some_and(|table| table.whole) {
                put(&mut batch, Message::DeleteElements, before.difference(&wanted));
                put(&mut batch, Message::NewElements, wanted.difference(&before));
            } else {
                ruleset::build(&mut batch);
                let others = there.difference(&before);
                put(&mut batch, Message::NewElements, others.chain(&wanted));
            }
            batch
        })
    }

    /// Takes away what there is about an interface, and the table with the last one.
    pub fn open_up(&mut self, interface: &Ifname) -> Result<()> {
        self.change(|seen| {
            let mut batch = Batch::default();
            let Some(table) = &seen.table else { return batch };
            let gone: Vec<&Entry> = of(&table.entries, interface).collect();
            let left =
                table.entries.iter().any(|entry| entry.0 == SHUT.name && !gone.contains(&entry));
            if left {
                put(&mut batch, Message::DeleteElements, gone);
            } else {
                ruleset::remove(&mut batch);
            }
            batch
        })
    }

    /// Works out a batch from what there is and commits it, again if somebody was faster.
    fn change(&mut self, work_out: impl Fn(&Seen) -> Batch) -> Result<()> {
        for _ in 0..TRIES {
            let seen = self.look()?;
            let batch = work_out(&seen);
            if batch.is_empty() {
                return Ok(());
            }
            match self.socket.commit(&batch, seen.generation) {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.why == Errno::ERESTART => (),
                Err(refusal) => return Err(explain(refusal)),
            }
        }
        Err(Error::new(Kind::TimedOut, "change the firewall")
            .why("something else changes the container's tables all the time"))
    }
}

/// Adds the entries to a batch, those of a set together.
fn put<'a>(batch: &mut Batch, kind: Message, entries: impl IntoIterator<Item = &'a Entry>) {
    let mut entries: Vec<&Entry> = entries.into_iter().collect();
    entries.sort();
    for of_set in entries.chunk_by(|a, b| a.0 == b.0) {
        let elements: Vec<Element> = of_set.iter().map(|(_, element)| element.clone()).collect();
        change_elements(batch, kind, of_set[0].0, &elements);
    }
}

/// The kernel's refusal of a change as an error of the suite.
fn explain(refusal: Refusal) -> Error {
    let Refusal { why, doing, expression } = refusal;
    match (why, expression) {
        (Errno::ENOENT | Errno::EPROTO | Errno::EOPNOTSUPP, Some(expression)) => {
            lacking(&format!("what the expression {expression} of nf_tables needs")).at(doing)
        }
        (Errno::EAFNOSUPPORT, _) => lacking("nf_tables of the family inet").at(doing),
        (Errno::EOPNOTSUPP | Errno::ENOENT | Errno::EPROTO, None) => {
            lacking("what nf_tables needs for it").at(doing)
        }
        (why, _) => failed(doing, &why.into()),
    }
}

/// The error that names what the kernel has not.
fn lacking(what: &str) -> Error {
    Error::new(Kind::Refused, "shut the container")
        .why(format_args!("the kernel has not {what}"))
        .remedy("use one that has it: Linux 5.10 with nf_tables, nft_ct and inet")
}

fn failed(doing: impl std::fmt::Display, why: &io::Error) -> Error {
    let error = Error::io(doing, why);
    match error.kind() {
        Kind::NotPermitted => error.remedy(REMEDY),
        _ => error,
    }
}
