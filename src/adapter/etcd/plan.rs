//! What is to be written, given what has been read: one transaction that holds only if nothing of
//! what was read has changed since.

use jiff::Timestamp;

use super::keys::{Holder, Keys, holder_text};
use super::value;
use crate::error::{Error, Kind, Result};
use crate::record::{Binding, Bound, Entry};

/// What stands under a key and the revision that put it there; revision 0 when nothing does.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen<T> {
    pub value: Option<T>,
    pub revision: i64,
}

/// What must be known before a container is bound.
#[derive(Debug)]
pub(super) struct Scene {
    /// What the container is bound to so far.
    pub own: Seen<Entry>,
    /// Who has the address.
    pub claim: Seen<Holder>,
    /// What that one is bound to, if it is another container.
    pub other: Seen<Entry>,
}

/// One step of a transaction.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Put(String, String),
    Delete(String),
    /// Deletes the key if this is what stands under it.
    DeleteIf(String, String),
}

/// A transaction.
#[derive(Debug)]
pub(super) struct Change {
    /// Keys, and the revision that each must still be of.
    pub given: Vec<(String, i64)>,
    /// What keys begin with of which none may be newer than that revision.
    pub unchanged: Option<(String, i64)>,
    pub steps: Vec<Step>,
    /// A key and its value, by which the transaction can be told to have been carried out.
    pub proof: (String, String),
}

/// What is to be done to bind a container, and what it then is.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing.
    Stands(Bound),
    Make(Change, Bound),
}

/// Binds the entry's container: since when it says, or since what it takes the place of began, if that
/// is later by another machine's clock.
///
/// # Errors
/// `Refused` when another container has the address. One of the same owner that has it under the
/// same DUID is another name of the same client's: it gives way, for the server gives the address to
/// whoever shows that DUID.
pub(super) fn bind(keys: &Keys, entry: &Entry, scene: &Scene) -> Result<Plan> {
    let me = holder_of(entry);
    let own = scene.own.value.as_ref();
    let stands = own.filter(|own| own.says_the_same(entry));
    let other = scene.claim.value.as_ref().filter(|other| **other != me);
    if let (Some(own), None, true) = (stands, other, scene.claim.value.is_some()) {
        return Ok(Plan::Stands(Bound { since: own.binding.since, instead_of: None }));
    }
    // A claim whose binding is gone, or has another address, was left by other hands than these.
    let had = scene.other.value.as_ref().filter(|had| same_address(had, entry));
    had.map_or(Ok(()), |had| gives_way(had, entry))?;

    let mut entry = entry.clone();
    for before in own.into_iter().chain(had) {
        entry.binding.since = entry.binding.since.max(before.binding.since);
    }
    let mut change = Change::given(keys, &entry, scene);
    let mut closed = None;
    if let Some(had) = had {
        change.steps.push(Step::Delete(keys.binding(&holder_of(had))));
        closed = Some(change.close(keys, had, scene.other.revision, &entry));
    }
    if let Some(own) = stands {
        entry.binding.since = own.binding.since;
    } else {
        let last = own.map(|own| change.close(keys, own, scene.own.revision, &entry));
        closed = last.or(closed);
        change.proof = (keys.binding(&me), value::text(&entry));
        change.put(change.proof.clone());
    }
    keys.marks(&entry).into_iter().for_each(|mark| change.put((mark, String::new())));
    Ok(Plan::Make(change, Bound { since: entry.binding.since, instead_of: closed }))
}

/// Ends the binding `own`, which was made by `revision`.
pub(super) fn unbind(
    keys: &Keys,
    own: &Entry,
    revision: i64,
    until: Timestamp,
) -> (Change, Binding) {
    let name = keys.binding(&holder_of(own));
    let mut change = Change {
        given: vec![(name.clone(), revision)],
        unchanged: None,
        steps: vec![Step::Delete(name)],
        proof: Default::default(),
    };
    let (history, closed) = ended(keys, own, revision, until);
    change.steps.extend(leftovers(keys, own, None));
    change.steps.push(Step::Put(history.0.clone(), history.1.clone()));
    change.proof = history;
    (change, closed)
}

impl Change {
    /// Claims the entry's address, given what was seen of the container and of the address.
    fn given(keys: &Keys, entry: &Entry, scene: &Scene) -> Change {
        let me = holder_of(entry);
        let claim = (keys.claim(entry.binding.address), holder_text(&me));
        let mut given =
            vec![(keys.binding(&me), scene.own.revision), (claim.0.clone(), scene.claim.revision)];
        let other = scene.claim.value.as_ref().filter(|other| **other != me);
        given.extend(other.map(|other| (keys.binding(other), scene.other.revision)));
        let steps = vec![Step::Put(claim.0.clone(), claim.1.clone())];
        Change { given, unchanged: None, steps, proof: claim }
    }

    fn put(&mut self, (key, value): (String, String)) {
        self.steps.push(Step::Put(key, value));
    }

    /// Moves an entry into history to make room for `next`; the closed binding.
    fn close(&mut self, keys: &Keys, entry: &Entry, revision: i64, next: &Entry) -> Binding {
        let ((name, text), closed) = ended(keys, entry, revision, next.binding.since);
        self.steps.extend(leftovers(keys, entry, Some(next)));
        self.steps.push(Step::Put(name, text));
        closed
    }
}

/// Key and value of an entry that has ended, never before it began, and its binding.
fn ended(
    keys: &Keys,
    entry: &Entry,
    revision: i64,
    until: Timestamp,
) -> ((String, String), Binding) {
    let until = until.max(entry.binding.since);
    let mut closed = entry.clone();
    closed.binding.until = Some(until);
    let name = keys.ended(until, &holder_of(entry), revision);
    ((name, value::text(&closed)), closed.binding)
}

/// Takes away what else says that the entry holds, apart from what says so of `next`.
fn leftovers(keys: &Keys, entry: &Entry, next: Option<&Entry>) -> Vec<Step> {
    let me = holder_of(entry);
    let mut steps = Vec::new();
    if !next.is_some_and(|next| same_address(entry, next)) {
        let claim = keys.claim(entry.binding.address);
        steps.push(Step::DeleteIf(claim, holder_text(&me)));
    }
    let kept = next.map_or(Vec::new(), |next| keys.marks(next));
    let marks = keys.marks(entry).into_iter().filter(|mark| !kept.contains(mark));
    steps.extend(marks.map(Step::Delete));
    steps
}

fn holder_of(entry: &Entry) -> Holder {
    (entry.owner.clone(), entry.binding.container.clone())
}

fn same_address(one: &Entry, other: &Entry) -> bool {
    one.binding.address == other.binding.address
}

fn gives_way(its: &Entry, to: &Entry) -> Result<()> {
    if its.owner == to.owner && its.binding.duid.is_some() && its.binding.duid == to.binding.duid {
        return Ok(());
    }
    let Binding { container, address, since, host, .. } = &its.binding;
    let on = host.as_ref().map_or(String::new(), |host| format!(" on {}", host.id));
    Err(Error::new(Kind::Refused, format_args!("bind {address}")).why(format_args!(
        "it is bound to container {container} of {}{on} since {since:.3}",
        its.owner
    )))
}

#[cfg(test)]
mod tests;
