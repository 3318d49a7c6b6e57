//! Bindings and hosts in etcd, for several machines at once.
//!
//! A binding that holds stands under `bindings/OWNER/CONTAINER`, and its address under
//! `addresses/ADDRESS` with the name of its holder; one that has ended stands under `history`. Each
//! change is one transaction, which holds only if what it was made from still stands. So no address
//! is bound twice, and there are no locks: a writer that dies leaves all as it was, or all done.

mod address;
mod error;
mod hosts;
mod keys;
mod members;
mod plan;
mod read;
mod value;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};
use jiff::Timestamp;

pub use address::{Address, SCHEME};
pub use hosts::HostsMark;

use crate::error::{Error, Kind, Result, Within};
use crate::record::{Binding, Bound, ContainerId, Entry, Owner};
use keys::{Holder, Keys, holder};
use members::Members;
use plan::{Change, Plan, Scene, Seen, Step};

/// The form of what is kept, under the key `form`.
const FORM: &str = "1";

/// How often a change is planned anew because others came before it. Each time, one of them has done
/// what it was about to.
const TRIES: u64 = 200;

/// How long it is remembered that a change is not to be made any more.
const FENCED: Duration = Duration::from_hours(24);

/// Bindings and hosts that are kept in an etcd.
pub struct Etcd {
    members: Members,
    keys: Keys,
    name: String,
}

impl Etcd {
    /// Connects to an etcd, and makes sure that it answers and that what it keeps is of a form that
    /// this version knows. Nothing is written.
    ///
    /// # Errors
    /// `Unavailable` when no member answers, `NotPermitted` when the user is not let in, `BadInput`
    /// when a later version of the suite has written there.
    pub fn open(address: &Address) -> Result<Etcd> {
        let name = address.to_string();
        let keys = Keys::under(address.prefix());
        let members = Members::new(address.clone()).within(&name)?;
        let mut etcd = Etcd { members, keys, name };
        etcd.is_of_known_form("open").within(&etcd.name)?;
        Ok(etcd)
    }

    /// Enters that a container is bound from `entry.binding.since` on. A binding of the container that
    /// says the same goes on; one that says something else ends there.
    ///
    /// # Errors
    /// `Refused` when another container has the address; the message names it.
    pub fn bind(&mut self, entry: &Entry) -> Result<Bound> {
        let what = format!("bind {}", entry.binding.container);
        self.repeatedly(&what, |etcd| {
            let scene = etcd.scene(&what, entry)?;
            match plan::bind(&etcd.keys, entry, &scene)? {
                Plan::Stands(bound) => Ok(Some(bound)),
                Plan::Make(change, bound) => Ok(etcd.is_made(&what, &change)?.then_some(bound)),
            }
        })
    }

    /// Enters that a container is bound no more from `until` on; the closed binding, if it was bound.
    pub fn unbind(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        until: Timestamp,
    ) -> Result<Option<Binding>> {
        let what = format!("end the binding of {container}");
        let holder = (owner.clone(), container.clone());
        self.repeatedly(&what, |etcd| {
            let own = etcd.entry(&what, &holder)?;
            let Some(entry) = own.value else { return Ok(Some(None)) };
            let (change, closed) = plan::unbind(&etcd.keys, &entry, own.revision, until);
            Ok(etcd.is_made(&what, &change)?.then_some(Some(closed)))
        })
    }
}

// What follows speaks to etcd.
impl Etcd {
    /// Whether somebody has begun here; not if nothing says so.
    fn is_of_known_form(&mut self, what: &str) -> Result<bool> {
        let [form] = self.look(what, [self.keys.form()])?;
        match form.value.as_deref() {
            None => Ok(false),
            Some(FORM) => Ok(true),
            Some(other) => {
                let why =
                    format!("the form of key {} is {other:?}, known is {FORM}", self.keys.form());
                let error = Error::new(Kind::BadInput, what).why(why);
                Err(error
                    .remedy("use the newer version of leasepipe that wrote it, or another prefix"))
            }
        }
    }

    /// Does it again until it is done, for as long as others change what it works on.
    fn repeatedly<T>(
        &mut self,
        what: &str,
        mut work: impl FnMut(&mut Etcd) -> Result<Option<T>>,
    ) -> Result<T> {
        for attempt in 0..TRIES {
            if let Some(done) = work(self).within(&self.name)? {
                return Ok(done);
            }
            // The process's number keeps those who met once from meeting again.
            let apart = u64::from(std::process::id()) * (attempt + 1) % 7;
            std::thread::sleep(Duration::from_millis((attempt + apart).min(20)));
        }
        let error = Error::new(Kind::TimedOut, what).why("others change it all the time");
        Err(error.at(&self.name))
    }

    fn scene(&mut self, what: &str, entry: &Entry) -> Result<Scene> {
        let me = (entry.owner.clone(), entry.binding.container.clone());
        let names = [self.keys.binding(&me), self.keys.claim(entry.binding.address)];
        let [own, claim] = self.look(what, names.clone())?;
        let own = self.entry_in(&me, own)?;
        let claim = match &claim.value {
            None => Seen { value: None, revision: claim.revision },
            Some(text) => {
                let wrong = || {
                    let error = Error::new(Kind::BadInput, format_args!("key {}", names[1]));
                    error.why(format_args!("{text:?} is no OWNER/CONTAINER"))
                };
                Seen { value: Some(holder(text).ok_or_else(wrong)?), revision: claim.revision }
            }
        };
        let other = match claim.value.as_ref().filter(|holder| **holder != me) {
            Some(holder) => self.entry(what, holder)?,
            None => Seen { value: None, revision: 0 },
        };
        Ok(Scene { own, claim, other })
    }

    fn entry(&mut self, what: &str, holder: &Holder) -> Result<Seen<Entry>> {
        let [seen] = self.look(what, [self.keys.binding(holder)])?;
        self.entry_in(holder, seen)
    }

    fn entry_in(&self, holder: &Holder, seen: Seen<String>) -> Result<Seen<Entry>> {
        let parse = |text: String| value::entry(&self.keys.binding(holder), holder, &text);
        Ok(Seen { value: seen.value.map(parse).transpose()?, revision: seen.revision })
    }

    /// What stands under these keys at one moment.
    fn look<const N: usize>(&mut self, what: &str, keys: [String; N]) -> Result<[Seen<String>; N]> {
        let gets = keys.clone().map(|key| TxnOp::get(key, None));
        let txn = Txn::new().and_then(gets);
        let answer = self.members.ask(what, async |client| client.txn(txn.clone()).await)?;
        let mut seen = keys.clone().map(|_| Seen { value: None, revision: 0 });
        for (at, response) in answer.op_responses().into_iter().enumerate().take(N) {
            if let TxnOpResponse::Get(found) = response
                && let Some(pair) = found.kvs().first()
            {
                seen[at] = Seen { value: Some(text(pair)?), revision: pair.mod_revision() };
            }
        }
        Ok(seen)
    }

    /// Whether the change has been made. If not, something that it was planned by is not so any more.
    fn is_made(&mut self, what: &str, change: &Change) -> Result<bool> {
        let fence = self.keys.fence(RandomState::new().build_hasher().finish());
        let txn = self.transaction(change, &fence);
        match self.members.ask_once(what, async |client| client.txn(txn.clone()).await)? {
            Some(answer) if answer.succeeded() => Ok(true),
            Some(_) => {
                self.begin(what)?;
                Ok(false)
            }
            None => {
                self.fence_off(what, &fence)?;
                let [proof] = self.look(what, [change.proof.0.clone()])?;
                Ok(proof.value.as_ref() == Some(&change.proof.1))
            }
        }
    }

    fn transaction(&self, change: &Change, fence: &str) -> Txn {
        let given = change.given.iter().map(|(key, revision)| (key.as_str(), *revision));
        let given = given.chain([(fence, 0)]);
        let mut given: Vec<Compare> = given
            .map(|(key, revision)| Compare::mod_revision(key, CompareOp::Equal, revision))
            .collect();
        given.push(Compare::value(self.keys.form(), CompareOp::Equal, FORM));
        given.extend(change.unchanged.as_ref().map(|(keys, revision)| {
            let none_newer = Compare::mod_revision(keys.as_str(), CompareOp::Less, revision + 1);
            none_newer.with_range(Keys::behind(keys))
        }));
        let steps: Vec<TxnOp> = change.steps.iter().map(operation).collect();
        Txn::new().when(given).and_then(steps)
    }

    /// Makes sure that a change to which no answer came has been made or never will be. A member that
    /// hung may carry it out long after, when the container has been bound and has ended, and
    /// everything is again as it was when the change was planned.
    fn fence_off(&mut self, what: &str, fence: &str) -> Result<()> {
        let fence_off = async |client: &mut Client| {
            let lease = client.lease_grant(FENCED.as_secs() as i64, None).await?.id();
            client.put(fence, "", Some(PutOptions::new().with_lease(lease))).await
        };
        self.members.ask(what, fence_off).map(drop)
    }

    /// Says of what form all that follows is, unless somebody has.
    fn begin(&mut self, what: &str) -> Result<()> {
        if self.is_of_known_form(what)? {
            return Ok(());
        }
        let form = self.keys.form();
        let txn = Txn::new()
            .when([Compare::mod_revision(form.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(form, FORM, None)]);
        self.members.ask(what, async |client| client.txn(txn.clone()).await).map(drop)
    }
}

fn operation(step: &Step) -> TxnOp {
    match step {
        Step::Put(key, value) => TxnOp::put(key.as_str(), value.as_str(), None),
        Step::Delete(key) => TxnOp::delete(key.as_str(), None),
        Step::DeleteIf(key, value) => TxnOp::txn(
            Txn::new()
                .when([Compare::value(key.as_str(), CompareOp::Equal, value.as_str())])
                .and_then([TxnOp::delete(key.as_str(), None)]),
        ),
    }
}

fn key(pair: &KeyValue) -> Result<String> {
    let wrong =
        |_| Error::new(Kind::BadInput, format_args!("key {:?}", pair.key())).why("it is not UTF-8");
    pair.key_str().map(str::to_owned).map_err(wrong)
}

fn text(pair: &KeyValue) -> Result<String> {
    let key = key(pair)?;
    let wrong =
        |_| Error::new(Kind::BadInput, format_args!("key {key}")).why("its value is not UTF-8");
    pair.value_str().map(str::to_owned).map_err(wrong)
}
