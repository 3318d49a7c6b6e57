//! What was learnt of names, in the container's resolv.conf.

use std::path::Path;

use super::attach::Job;
use super::detach::inside_of;
use super::plan::Seen;
use super::scene::Inside;
use super::wish::{Wish, interface};
use crate::adapter::attachments::Attachment;
use crate::adapter::resolv::{Resolv, netns_name, process_of};
use crate::error::{Error, Kind, Result};
use crate::logic::resolv::{Names, with, without};
use crate::record::{Container, Ifname, Interface};

/// The text of the container's resolv.conf, if it is to be written or was.
pub fn look(wish: &Wish, known: Option<&Attachment>, inside: &Inside) -> Result<Option<String>> {
    match wish.dns || known.is_some_and(|known| known.dns) {
        true => find(&wish.container, inside)?.read().map(Some),
        false => Ok(None),
    }
}

/// The resolv.conf of a container, or of the namespace that its document names.
fn find(container: &Container, inside: &Inside) -> Result<Resolv> {
    let by_path = container.netns.as_deref().map(Path::new);
    let of_path = by_path.and_then(process_of);
    let of_engine = container.docker.as_ref().and_then(|docker| docker.pid);
    if let Some(name) = by_path.and_then(netns_name) {
        return Resolv::of_netns(name);
    }
    match of_path.or(of_engine) {
        Some(pid) => Resolv::of_process(pid, inside.netns.id()?),
        None => Err(Error::new(Kind::Refused, "find its resolv.conf")
            .why("neither its process nor the name of its network namespace is known")),
    }
}

/// The text, with what an interface has to say in it.
fn said(before: &str, link: &Ifname, interface: &Interface) -> String {
    let names = Names {
        servers: &interface.dns_servers,
        search: &interface.search,
        interface: &interface.name,
    };
    with(before, link, &names)
}

/// What is known of an attachment's names, as records show it.
fn learnt(known: &Attachment) -> Interface {
    interface(known, None, None)
}

impl Seen {
    /// Whether the resolv.conf does not say what is known already.
    pub(super) fn is_dns_stale(&self, wish: &Wish) -> bool {
        let (Some(text), Some(known)) = (&self.resolv, &self.known) else { return true };
        said(text, &wish.link, &learnt(known)) != *text
    }
}

impl Job<'_> {
    pub(super) fn write_dns(&mut self) -> Result<()> {
        write(&self.known, &self.inside)
    }

    pub(super) fn restore_dns(&mut self) -> Result<()> {
        restore(&self.known, &self.inside)
    }
}

/// Writes what is known of an attachment's names into the resolv.conf, unless it stands there.
pub fn write(known: &Attachment, inside: &Inside) -> Result<()> {
    let resolv = find(&known.container, inside)?;
    change(&resolv, |before| said(before, &known.link, &learnt(known)))
}

/// Takes what was written for an attachment out of the resolv.conf.
pub fn restore(known: &Attachment, inside: &Inside) -> Result<()> {
    change(&find(&known.container, inside)?, |before| without(before, &known.link))
}

/// The same for one whose namespace may be gone: a file that has its name may still be there.
pub fn forget(known: &Attachment) -> Result<()> {
    let path = known.container.netns.as_deref().map(Path::new);
    match path.and_then(netns_name) {
        Some(name) => change(&Resolv::of_netns(name)?, |before| without(before, &known.link)),
        None => inside_of(known, |inside| restore(known, inside)),
    }
}

fn change(resolv: &Resolv, edit: impl FnOnce(&str) -> String) -> Result<()> {
    let before = resolv.read()?;
    let after = edit(&before);
    if after == before { Ok(()) } else { resolv.write(&after) }
}
