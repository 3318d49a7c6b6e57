//! The two sides as they have been told, beside each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::super::diff::{Ignored, Print, compare};
use super::eye::{Said, Seen};
use crate::record::{Container, ContainerId, Owner, State};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Wanted,
    Current,
}

/// What is known of a container of a side, in little room: sides are large, and most containers are
/// only compared.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// What it says, to be compared.
    pub(super) print: Print,
    /// The whole of it, as JSON on one line. Both sides have it together when it is the same.
    pub(super) text: Arc<str>,
    /// Whose it is.
    pub(super) owner: Option<Arc<Owner>>,
    /// The host that it is on, or is to be on.
    pub(super) host: Option<Arc<str>>,
    /// Where it is in its life.
    pub(super) state: Option<State>,
    /// Whether the text says where it is and what became of it.
    pub(super) is_placed: bool,
    /// The listing that told of it.
    listing: u32,
    /// Its place in that listing.
    pub(super) place: u32,
}

impl Member {
    /// What a side tells of, which the other side may tell of in the same words.
    fn new(seen: Seen, (listing, place): (u32, u32), other: Option<&Member>) -> Member {
        let Seen { text, said: Said { print, owner, host, state, is_placed }, .. } = seen;
        let same = other.filter(|other| other.print == print && *other.text == *text);
        let text = same.map_or_else(|| text.into(), |other| other.text.clone());
        Member { print, text, owner, host, state, is_placed, listing, place }
    }

    /// The container itself.
    pub(super) fn container(&self) -> Container {
        serde_json::from_str(&self.text).expect("what was read once can be read again")
    }

    /// Whether that document, as JSON, tells of the same container of an engine, as far as is known.
    pub(super) fn is_one_with(&self, other: &str) -> bool {
        *self.text == *other || same_id(&self.text, other).unwrap_or(true)
    }

    /// Whether the other one is the same container of an engine for certain: one engine may be told of
    /// under two names, and each manager of a swarm tells of all that it has.
    fn is_known_as(&self, other: &Member) -> bool {
        same_id(&self.text, &other.text).unwrap_or(false)
    }

    /// Says no more which container of an engine it is: it is made anew, or was meant for another one.
    pub(super) fn forget_id(&mut self) {
        if self.is_placed {
            let container = Container { docker: None, ..self.container() };
            let text = serde_json::to_string(&container).expect("the suite's types are JSON");
            self.text = text.into();
        }
    }

    /// When it was last started.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.container().docker?.started_at
    }
}

/// Whether two documents, as JSON, have the same id of an engine; nothing when one has none.
fn same_id(a: &str, b: &str) -> Option<bool> {
    let id = |text: &str| serde_json::from_str::<Container>(text).ok()?.docker.map(|it| it.id);
    Some(id(a)? == id(b)?)
}

/// What a closed listing says of what it leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// That it is not there.
    Whole,
    /// Nothing.
    Partial,
}

/// What is known of the containers of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Both {
    pub(super) wanted: Option<Member>,
    pub(super) current: Option<Member>,
}

impl Both {
    /// What the one side says, and what the other.
    pub(super) fn seen_from(&mut self, which: Which) -> (&mut Option<Member>, Option<&Member>) {
        match which {
            Which::Wanted => (&mut self.wanted, self.current.as_ref()),
            Which::Current => (&mut self.current, self.wanted.as_ref()),
        }
    }

    /// Gives what is wanted the print of what is there, if it is that in other words. What is there
    /// keeps its own: a tag that is wanted is there under any digest, and those are not the same.
    pub(super) fn match_words(&mut self, ignored: &Ignored) {
        if let (Some(wanted), Some(there)) = (&mut self.wanted, &self.current)
            && wanted.print != there.print
            && compare(&wanted.container(), &there.container(), ignored).is_empty()
        {
            wanted.print = there.print;
        }
    }

    fn is_empty(&self) -> bool {
        self.wanted.is_none() && self.current.is_none()
    }
}

/// How far one side has told what there is.
#[derive(Clone, Copy, Debug, Default)]
struct Telling {
    /// The number of the listing that the next checkpoint closes.
    listing: u32,
    /// How many this listing has told of.
    told: u32,
}

impl Telling {
    /// The listing and the place in it of what is told next.
    fn stamp(&mut self) -> (u32, u32) {
        self.told += 1;
        (self.listing, self.told)
    }

    /// What a member was of which that is known.
    fn before(self, before: Option<Member>) -> Before {
        match before {
            None => Before::New,
            Some(before) if before.listing == self.listing => Before::Twice(before),
            Some(before) => Before::Known(before),
        }
    }
}

/// The two sides.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// What is known of each name, on one side at least.
    members: IndexMap<ContainerId, Both, RandomState>,
    /// Containers that are there, have the name of a member and are on another host.
    pub(super) doubles: BTreeMap<(ContainerId, Arc<str>), Member>,
    wanted: Telling,
    current: Telling,
}

/// What a member was before.
#[derive(Debug)]
pub(super) enum Before {
    /// There was none.
    New,
    /// It was this, and was told in an earlier listing.
    Known(Member),
    /// The listing at hand has told of it before.
    Twice(Member),
}

impl Sides {
    /// Whether both have closed a listing.
    pub(super) fn are_complete(&self) -> bool {
        self.wanted.listing > 0 && self.is_current_complete()
    }

    /// Whether what is there has been listed.
    pub(super) fn is_current_complete(&self) -> bool {
        self.current.listing > 0
    }

    pub(super) fn wanted(&self, id: &str) -> Option<&Member> {
        self.members.get(id)?.wanted.as_ref()
    }

    pub(super) fn current(&self, id: &str) -> Option<&Member> {
        self.members.get(id)?.current.as_ref()
    }

    /// What is known of the name.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Both> {
        self.members.get_mut(id)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The name at this place among all, and what is known of it.
    pub(super) fn at(&self, at: usize) -> Option<(&ContainerId, &Both)> {
        self.members.get_index(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ContainerId, &Both)> {
        self.members.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Both> {
        self.members.values_mut()
    }

    /// What is known of the name, made room for if need be.
    fn both(&mut self, id: &str) -> &mut Both {
        let at = self.members.get_index_of(id).unwrap_or_else(|| {
            let id = id.parse().expect("it was read as a container's name");
            self.members.insert_full(id, Both::default()).0
        });
        &mut self.members[at]
    }

    /// Takes a member from its side.
    pub(super) fn take(&mut self, which: Which, id: &str) -> Option<Member> {
        let (at, _, both) = self.members.get_full_mut(id)?;
        let member = both.seen_from(which).0.take();
        if both.is_empty() {
            self.members.swap_remove_index(at);
        }
        member
    }

    /// Puts a member of the one side on the other as well.
    pub(super) fn put_current(&mut self, id: &str, member: Member) {
        self.both(id).current = Some(member);
    }

    /// Takes in what is wanted of one container; gives what was known of it before.
    pub(super) fn want(&mut self, seen: Seen) -> Before {
        let before = if seen.said.state == Some(State::Absent) {
            self.take(Which::Wanted, seen.id)
        } else {
            let stamp = self.wanted.stamp();
            let (wanted, there) = self.both(seen.id).seen_from(Which::Wanted);
            wanted.replace(Member::new(seen, stamp, there))
        };
        self.wanted.before(before)
    }

    /// Takes in what is there of one container. A name can be there on several hosts: the first that
    /// is told of on a host that was not known to have it takes its place; the others are doubles. One
    /// that several hosts tell of is none.
    pub(super) fn see(&mut self, seen: Seen) -> Before {
        if seen.said.state == Some(State::Absent) {
            return self.leave_host(&seen);
        }
        let id = seen.id;
        let stamp = self.current.stamp();
        let telling = self.current;
        let both = self.both(id);
        let member = Member::new(seen, stamp, both.wanted.as_ref());
        let apart = both.current.as_ref().and_then(|known| {
            let (there, here) = (known.host.as_ref()?, member.host.as_ref()?);
            (there != here).then(|| (there.clone(), here.clone(), member.is_known_as(known)))
        });
        let Some((there, here, false)) = apart else {
            let before = both.current.replace(member);
            return match telling.before(before) {
                Before::Twice(before) if apart.is_some() => Before::Known(before),
                before => before,
            };
        };
        let key = |host| (id.parse::<ContainerId>().expect("it is a member's name"), host);
        if let Some(double) = self.doubles.get_mut(&key(here)) {
            let before = std::mem::replace(double, member);
            return match telling.before(Some(before)) {
                Before::Known(_) => Before::New,
                twice => twice,
            };
        }
        if let Some(before) = self.both(id).current.replace(member) {
            self.doubles.insert(key(there), before);
        }
        Before::New
    }

    /// A container is gone from its host.
    fn leave_host(&mut self, seen: &Seen) -> Before {
        let there = self.current(seen.id).and_then(|member| member.host.as_ref());
        match (there, &seen.said.host) {
            (Some(there), Some(here)) if there != here => {
                let id = seen.id.parse().expect("it is a member's name");
                self.doubles.remove(&(id, here.clone()));
                Before::New
            }
            _ => {
                let before = self.take(Which::Current, seen.id);
                self.promote(seen.id);
                self.current.before(before)
            }
        }
    }

    /// One of the doubles of a member that is gone takes its place.
    fn promote(&mut self, id: &str) {
        let first = self.doubles.keys().find(|(of, _)| of.as_str() == id).cloned();
        if let Some(member) = first.and_then(|key| self.doubles.remove(&key)) {
            self.put_current(id, member);
        }
    }

    /// Closes a listing; gives the names of those that it left out and that are gone for it.
    pub(super) fn checkpoint(&mut self, which: Which, kind: Listing) -> Vec<ContainerId> {
        let telling = match which {
            Which::Wanted => &mut self.wanted,
            Which::Current => &mut self.current,
        };
        let listing = telling.listing;
        *telling = Telling { listing: listing + 1, told: 0 };
        // The first listing can leave out nothing that was known.
        if kind == Listing::Partial || listing == 0 {
            return Vec::new();
        }
        let is_old = |member: &mut Member| member.listing != listing;
        let mut gone = Vec::new();
        for (id, both) in &mut self.members {
            if both.seen_from(which).0.take_if(is_old).is_some() {
                gone.push(id.clone());
            }
        }
        self.members.retain(|_, both| !both.is_empty());
        if which == Which::Current {
            self.doubles.retain(|_, member| member.listing == listing);
            if !self.doubles.is_empty() {
                gone.iter().for_each(|id| self.promote(id.as_str()));
            }
        }
        gone
    }
}
