//! What etcd answers, and what it forgets.

use etcd_client::{Client, DeleteOptions, GetOptions, GetResponse};
use jiff::Timestamp;

use super::error::is_compacted;
use super::keys::{Keys, holder};
use super::{Etcd, key, text, value};
use crate::error::{Error, Kind, Result, Within};
use crate::record::{Binding, ContainerId, Duid, Key, Owner, Question};

/// How many keys are read, or deleted, at a time.
const PAGE: i64 = 1000;

/// How many keys are read at a time at the most: with values of some hundred bytes they stay below
/// the 4 MB that an answer may have.
const LARGEST_PAGE: i64 = 4 * PAGE;

/// How often a listing is begun anew because what it has begun with is not kept any more.
const TRIES: u32 = 20;

/// Keys from one to before another.
pub(super) type Range = (String, String);

impl Etcd {
    /// The binding of a container that holds, if it is bound.
    pub fn binding(&mut self, owner: &Owner, container: &ContainerId) -> Result<Option<Binding>> {
        let holder = (owner.clone(), container.clone());
        let found = self.entry("read", &holder).within(&self.name)?;
        Ok(found.value.map(|entry| entry.binding))
    }

    /// The containers that are bound under this DUID.
    pub fn bound_under(&mut self, duid: &Duid) -> Result<Vec<(Owner, ContainerId)>> {
        self.marked(self.keys.of_duid(duid))
    }

    /// The containers that are bound; of one owner, or of all.
    pub fn bound(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        let (keys, range) = (self.keys.clone(), all(self.keys.bindings(owner)));
        self.list(&[range], true, |key, _| Ok(keys.holder_in(key)))
    }

    /// Gives each binding that fits the question to `each`, in the order in which they began: as they
    /// all were at one moment. What holds of one client is found by its key; for all else, all that is
    /// kept is read, apart from what ended too early.
    ///
    /// # Errors
    /// When etcd cannot be read, what stands there is no binding, or `each` fails.
    pub fn ask(
        &mut self,
        question: &Question,
        each: &mut dyn FnMut(Binding) -> Result<()>,
    ) -> Result<()> {
        if let (Some(client), true) = (&question.key, question.open) {
            return self.ask_of_client(client, question, each);
        }
        let mut ranges = vec![all(self.keys.bindings(question.owner.as_ref()))];
        if !question.open {
            let (mut from, to) = all(self.keys.history());
            if let Some(at) = question.at.max(question.since) {
                from = self.keys.ended_at(at);
            }
            ranges.push((from, to));
        }
        let keys = self.keys.clone();
        let mut found = self.list(&ranges, false, |key, text| {
            let binding = value::listed(&keys, key, text)?.binding;
            Ok(question.fits(&binding).then_some(binding))
        })?;
        found.sort_by_key(|binding| binding.since);
        found.into_iter().try_for_each(each)
    }

    fn ask_of_client(
        &mut self,
        client: &Key,
        question: &Question,
        each: &mut dyn FnMut(Binding) -> Result<()>,
    ) -> Result<()> {
        let mut found = Vec::new();
        for (owner, container) in self.marked(self.keys.of_client(client))? {
            found.extend(self.binding(&owner, &container)?.filter(|held| question.fits(held)));
        }
        found.sort_by_key(|binding| binding.since);
        found.into_iter().try_for_each(each)
    }

    /// The containers whose names the keys that begin so end with.
    fn marked(&mut self, prefix: String) -> Result<Vec<(Owner, ContainerId)>> {
        let range = all(prefix.clone());
        self.list(&[range], true, |key, _| Ok(key.strip_prefix(&prefix).and_then(holder)))
    }

    /// Deletes bindings that ended before this moment, some at a time; how many they were.
    pub fn forget(&mut self, before: Timestamp) -> Result<u64> {
        let end = self.keys.ended_at(before);
        let mut forgotten = 0;
        loop {
            let page = self.page("forget", (&self.keys.history(), &end), (PAGE, 0), true);
            let page = page.within(&self.name)?;
            let Some(last) = page.as_ref().and_then(|page| page.kvs().last()) else {
                return Ok(forgotten);
            };
            let to = format!("{}\0", key(last)?);
            let options = DeleteOptions::new().with_range(to);
            let from = self.keys.history();
            let delete = async |client: &mut Client| {
                client.delete(from.as_str(), Some(options.clone())).await
            };
            self.members.ask("forget", delete).within(&self.name)?;
            forgotten += page.map_or(0, |page| page.kvs().len() as u64);
        }
    }

    /// What `pick` makes of all the keys and values in these ranges as they are at one moment, in
    /// the order of the keys.
    fn list<T>(
        &mut self,
        ranges: &[Range],
        keys_only: bool,
        pick: impl Fn(&str, &str) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        let listed = self.list_at("read", ranges, keys_only, pick).within(&self.name)?;
        Ok(listed.0)
    }

    /// The same, with the revision that it is of. A listing that etcd's compaction has overtaken asks
    /// for more at a time when it begins anew, so that it is sooner done.
    pub(super) fn list_at<T>(
        &mut self,
        what: &str,
        ranges: &[Range],
        keys_only: bool,
        pick: impl Fn(&str, &str) -> Result<Option<T>>,
    ) -> Result<(Vec<T>, i64)> {
        let mut at_a_time = PAGE;
        for _ in 0..TRIES {
            let found = self.list_once(what, ranges, at_a_time, keys_only, &pick)?;
            if let Some(found) = found {
                return Ok(found);
            }
            at_a_time = LARGEST_PAGE.min(2 * at_a_time);
        }
        Err(Error::new(Kind::TimedOut, what).why("etcd is compacted all the time"))
    }

    /// Nothing when etcd has forgotten the moment at which it began.
    fn list_once<T>(
        &mut self,
        what: &str,
        ranges: &[Range],
        at_a_time: i64,
        keys_only: bool,
        pick: impl Fn(&str, &str) -> Result<Option<T>>,
    ) -> Result<Option<(Vec<T>, i64)>> {
        let (mut found, mut revision) = (Vec::new(), 0);
        for (from, to) in ranges {
            let mut from = from.clone();
            loop {
                let page = self.page(what, (&from, to), (at_a_time, revision), keys_only)?;
                let Some(page) = page else { return Ok(None) };
                if revision == 0 {
                    revision = page.header().map_or(0, |header| header.revision());
                }
                for pair in page.kvs() {
                    let key = key(pair)?;
                    found.extend(pick(&key, &text(pair)?)?);
                    from = format!("{key}\0");
                }
                if !page.more() {
                    break;
                }
            }
        }
        Ok(Some((found, revision)))
    }

    /// The first keys of a range, so many, at a revision, or now if that is 0. Nothing when etcd has
    /// forgotten that revision.
    fn page(
        &mut self,
        what: &str,
        (from, to): (&str, &str),
        (count, revision): (i64, i64),
        keys_only: bool,
    ) -> Result<Option<GetResponse>> {
        let options = GetOptions::new().with_range(to).with_limit(count);
        let mut options = options.with_revision(revision);
        if keys_only {
            options = options.with_keys_only();
        }
        let page = async |client: &mut Client| match client.get(from, Some(options.clone())).await {
            Err(why) if is_compacted(&why) => Ok(None),
            answer => answer.map(Some),
        };
        self.members.ask(what, page)
    }
}

/// All keys that begin so.
pub(super) fn all(prefix: String) -> Range {
    let end = Keys::behind(&prefix);
    (prefix, end)
}
