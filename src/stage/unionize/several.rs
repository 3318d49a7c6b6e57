//! All interfaces of one container: it has each of them, or none that was not there before.

use std::time::Instant;

use super::entries::names_links;
use super::wish::Wish;
use super::{Unionize, lock};
use crate::adapter::attachments::Held;
use crate::error::{Error, Result};
use crate::record::{Container, Ifname};

impl Unionize<'_> {
    /// Makes sure that the container has its interfaces, and puts what is known of them in.
    pub(super) fn ensure(&self, container: &mut Container) -> Result<()> {
        let begun = Instant::now();
        let wishes = Wish::all(container, &self.options)?;
        let links: Vec<Ifname> = wishes.iter().map(|wish| wish.link.clone()).collect();
        let former = self.former(container, &links)?;
        if self.keeper.dry_run {
            former.iter().try_for_each(|link| self.keeper.detach(&container.id, link))?;
            return wishes.iter().try_for_each(|wish| self.pretend(wish));
        }
        let _held = self.hold(links.iter().chain(&former))?;
        for link in &former {
            self.leave(container, link)?;
        }
        let (mut done, mut made) = (Vec::new(), Vec::new());
        for wish in &wishes {
            match self.attach(wish, begun) {
                Ok(one) => {
                    if one.made && wish.guard.is_some() {
                        self.tell_of_powers(container);
                    }
                    made.extend(one.made.then(|| wish.link.clone()));
                    done.push(one);
                }
                Err(why) => {
                    self.take_back(container, &made);
                    let alone = wishes.len() == 1;
                    return Err(if alone { why } else { why.at(&wish.interface) });
                }
            }
        }
        if done.iter().any(|done| done.provisional) {
            lock(&self.provisional).insert(container.id.clone(), made);
        }
        for done in done {
            container.interfaces.retain(|known| known.name != done.interface.name);
            container.interfaces.push(done.interface);
        }
        Ok(())
    }

    /// Undoes what was made with an interface that turned out to have another station's address.
    /// The interfaces stay in the record: so a reader can tell them from such as are not known yet.
    pub(super) fn take_back_later(&self, container: &mut Container, made: &[Ifname]) -> Result<()> {
        for interface in &mut container.interfaces {
            if made.contains(&interface.link) {
                interface.addresses.clear();
            }
        }
        let _held = self.hold(made)?;
        self.take_back(container, made);
        Ok(())
    }

    /// Makes sure that nothing is left of the container's interfaces.
    pub(super) fn clear(&self, container: &mut Container) -> Result<()> {
        let mut links = Wish::links_of(container, &self.options);
        links.extend(self.former(container, &links)?);
        let _held = match self.keeper.dry_run {
            true => Vec::new(),
            false => self.hold(&links)?,
        };
        let mut failure = None;
        for link in &links {
            if let Err(why) = self.leave(container, link)
                && let Some(earlier) = failure.replace(why)
            {
                self.keeper.report.failed(&earlier.at(&container.id));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes one interface away, unless it is another container's by now.
    fn leave(&self, container: &mut Container, link: &Ifname) -> Result<()> {
        container.interfaces.retain(|known| known.link != *link);
        self.detach(container, link)
    }

    fn detach(&self, container: &Container, link: &Ifname) -> Result<()> {
        // A client with a new host name has a container of another name and the same key. When that
        // one was quicker than the end of this one, the interface is its own by now.
        let known = self.keeper.attachments.get(link)?;
        if known.is_some_and(|known| known.container.id != container.id) {
            return Ok(());
        }
        self.keeper.detach(&container.id, link)
    }

    /// Interfaces that the container was given beside those with these links, when its document
    /// still named them.
    fn former(&self, container: &Container, links: &[Ifname]) -> Result<Vec<Ifname>> {
        let mut former = Vec::new();
        for link in links {
            let Some(known) = self.keeper.attachments.get(link)? else { continue };
            if known.container.id == container.id && names_links(&known.container) {
                former.extend(Wish::links_of(&known.container, &self.options));
            }
        }
        former.sort_unstable();
        former.dedup();
        former.retain(|link| !links.contains(link));
        Ok(former)
    }

    /// Keeps others off these links. Everybody takes them in the same order.
    fn hold<'a>(&self, links: impl IntoIterator<Item = &'a Ifname>) -> Result<Vec<Held>> {
        let mut links: Vec<&Ifname> = links.into_iter().collect();
        links.sort_unstable();
        links.dedup();
        links.into_iter().map(|link| self.keeper.attachments.lock(link)).collect()
    }

    /// Undoes what was made of a container when another of its interfaces has failed.
    fn take_back(&self, container: &Container, made: &[Ifname]) {
        let told = |why: Error| self.keeper.report.failed(&why.at("undo").at(&container.id));
        for link in made {
            self.detach(container, link).unwrap_or_else(told);
        }
    }
}
