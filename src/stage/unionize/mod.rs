//! unionize: plugs a container into a bridge and gives it addresses there.
//!
//! What has to be done is planned from what is wanted, what the kernel shows and what is
//! remembered; a plan is a list of steps, empty when all is well. So a first run, a second one and
//! one after a crash are the same thing. Removal is planned likewise.

mod allow;
mod attach;
mod beside;
mod bridge;
mod detach;
mod dns;
mod dry;
mod ends;
mod entries;
mod keep;
mod lease4;
mod leasing;
mod links;
mod list;
mod one;
mod options;
mod plan;
mod renew;
mod scene;
mod several;
mod verdict;
mod wish;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use list::{Listing, list};
pub use one::{Named, run};
pub use options::{Dad, Options, Sources, Upkeep, Wanted};
pub use renew::{Renewal, renew};

use crate::error::{Error, Kind, Result};
use crate::pipe::Report;
use crate::record::{
    Action, Addressing, AllowFrom, Change, Checkpoint, ContainerId, Ifname, LinkKind, LinkNetwork,
    Of, Record,
};
use crate::stage::changes::Work;
use detach::Keeper;
use entries::{is_reserved, names_links};
use wish::Wish;

/// The work of one run.
pub struct Unionize<'a> {
    options: Options,
    keeper: Keeper<'a>,
    /// Whether it looks after what is there already: then an attachment is made again without asking
    /// a server, and what fails is left as far as it came, for another try.
    keeps: bool,
    /// The links of the containers that were listed since the last checkpoint.
    listed: Mutex<HashSet<Ifname>>,
    /// Containers with an address whose duplicate detection goes on, and the links that were made
    /// for them with it.
    provisional: Mutex<HashMap<ContainerId, Vec<Ifname>>>,
    /// The bridges of which it has been told what is odd.
    told: Mutex<HashSet<Ifname>>,
}

impl<'a> Unionize<'a> {
    /// Work with these options, which tells people through `report`.
    pub fn new(options: Options, upkeep: &Upkeep, report: &'a Report) -> Result<Unionize<'a>> {
        if let Some(name) = options.network.interface.as_ref().filter(|name| is_reserved(name)) {
            let what = format!("the kernel takes no IPv6 interface called {name}");
            return Err(Error::new(Kind::Usage, what).remedy("choose another --interface"));
        }
        Ok(Unionize {
            options,
            keeper: Keeper::new(upkeep, report)?,
            keeps: false,
            listed: Mutex::default(),
            provisional: Mutex::default(),
            told: Mutex::default(),
        })
    }
}

impl<'a> Unionize<'a> {
    /// Work that looks after what is there already.
    fn keeping(upkeep: &Upkeep, report: &'a Report) -> Result<Unionize<'a>> {
        let options = Options {
            network: LinkNetwork::unsaid(),
            dad: Dad::Optimistic,
            dns: false,
            rapid_commit: true,
            action: None,
            allow_from: AllowFrom::Any,
        };
        Ok(Unionize { keeps: true, ..Unionize::new(options, upkeep, report)? })
    }
}

impl Work for Unionize<'_> {
    fn change(&self, change: &mut Change) -> Result<()> {
        lock(&self.listed).extend(Wish::links_of(&change.container, &self.options));
        let action = self.options.action.unwrap_or(change.action);
        if action.rests() {
            // Its lease and what is remembered of it stay, for when it runs again.
            return Ok(());
        }
        if let Some(url) = change.container.host.as_ref().and_then(|host| host.url.as_deref())
            && !url.starts_with("unix:")
        {
            return Err(Error::new(Kind::Refused, "reach the container")
                .why(format_args!("its host is {url}"))
                .remedy("run unionize on that host"));
        }
        match action {
            Action::Remove => self.clear(&mut change.container),
            _ => self.ensure(&mut change.container),
        }
    }

    /// Where nobody is asked for an address, and no former link may be in the way, which is waited for.
    fn is_brief(&self, change: &Change) -> bool {
        let Options { action, network, allow_from, .. } = &self.options;
        let container = &change.container;
        let adds = matches!(action.unwrap_or(change.action), Action::Add | Action::Keep);
        let is_pair = network.kind.is_none_or(|kind| kind == LinkKind::Veth);
        adds && is_pair
            && network.addresses == [Addressing::None]
            && network.delegate.is_none()
            && *allow_from == AllowFrom::Any
            && container.addresses.is_empty()
            && !names_links(container)
            && Wish::links_of(container, &self.options)
                .iter()
                .all(|link| !self.keeper.attachments.has(link))
    }

    fn pretends(&self) -> bool {
        self.keeper.dry_run
    }

    fn passed(&self, record: &Record) {
        let container = match record {
            Record::Change(change) => &change.container,
            Record::Container(container) => container,
            _ => return,
        };
        lock(&self.listed).extend(Wish::links_of(container, &self.options));
    }

    fn is_provisional(&self, change: &Change) -> bool {
        lock(&self.provisional).contains_key(&change.container.id)
    }

    fn verdict(&self, change: &mut Change) -> Result<bool> {
        self.judge(&mut change.container)
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<Record>> {
        let listed = std::mem::take(&mut *lock(&self.listed));
        if checkpoint.of == Of::Change {
            self.keeper.sweep(&listed, checkpoint.owner.as_ref())?;
        }
        Ok(Vec::new())
    }
}

/// A lock that a panicking worker cannot take along: what it guards is whole between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
