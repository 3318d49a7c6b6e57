//! One document that stands for many containers, and the many for the one.
//!
//! What comes out is at every moment what the records so far mean, scaled. For that it is
//! remembered of each name how many replicas were told of it, and nothing of the documents: a base
//! that comes again tells its replicas again.

mod down;
mod replica;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use crate::error::{Error, Kind, Result};
use crate::record::{Checkpoint, Container, ContainerId, Record, State, Status};

pub use down::Down;
pub use replica::Limits;
use replica::{Replicas, fit, split};

/// What comes out.
#[derive(Debug)]
pub enum Out<'a> {
    /// A record for the next stage.
    Record(&'a Record),
    /// Why the record that follows is marked as failed, and in which container's name.
    Refused(Error),
}

/// Where what comes out goes, piece by piece: one document can stand for very many.
pub type Sink<'a> = &'a mut dyn FnMut(Out) -> Result<()>;

/// Makes one document into as many as its `scale` says.
#[derive(Debug)]
pub struct Up {
    limits: Limits,
    members: HashMap<Box<str>, Member>,
    /// Replicas that were told for themselves, by the base that none was seen of.
    orphans: HashMap<Box<str>, BTreeSet<Box<str>>>,
    /// The base whose end was told last, until something else is.
    ended: Option<Box<str>>,
    /// The number of the listing that the next checkpoint closes.
    listing: u32,
    /// Failed records since the last checkpoint: what they left out is not known to be gone.
    failed: u64,
}

/// What was told of a name.
#[derive(Debug)]
struct Member {
    /// The listing that told of it.
    listing: u32,
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// A container that is no replica.
    Base(Base),
    /// A replica without a base; it names the base.
    Orphan(Box<str>),
}

impl Told {
    /// How many containers it stands for.
    fn count(&self) -> u64 {
        match self {
            Told::Base(base) => base.count(),
            Told::Orphan(_) => 1,
        }
    }
}

#[derive(Debug, Default)]
struct Base {
    /// Whether it was told itself, which one of which there should be none is not.
    shown: bool,
    /// The number of its last replica.
    replicas: u32,
    /// Replicas that were not told, because others have their names.
    refused: BTreeSet<u32>,
}

impl Base {
    fn has(&self, number: u32) -> bool {
        (1..=self.replicas).contains(&number) && !self.refuses(number)
    }

    fn refuses(&self, number: u32) -> bool {
        self.refused.contains(&number)
    }

    /// How many containers it stands for.
    fn count(&self) -> u64 {
        u64::from(self.shown) + u64::from(self.replicas) - self.refused.len() as u64
    }
}

impl Up {
    /// Nothing told yet.
    pub fn new(limits: Limits) -> Up {
        Up {
            limits,
            members: HashMap::new(),
            orphans: HashMap::new(),
            ended: None,
            listing: 0,
            failed: 0,
        }
    }

    /// Takes in one container, or that it is wanted no more.
    ///
    /// # Errors
    /// Only those of `out`.
    pub fn take(&mut self, container: Box<Container>, out: Sink) -> Result<()> {
        let ended = self.ended.take();
        let mut told = false;
        self.sort(container, ended.as_deref(), &mut |what| {
            told = true;
            out(what)
        })?;
        if !told {
            self.ended = ended;
        }
        Ok(())
    }

    fn sort(&mut self, container: Box<Container>, ended: Option<&str>, out: Sink) -> Result<()> {
        let absent = container.state == Some(State::Absent);
        match &container.scaled_from {
            _ if container.status == Some(Status::Failed) => self.failed(container, out),
            Some(base) if self.base(base.as_str()).is_some() => Ok(()),
            // The end of its base was the end of it, too.
            Some(base)
                if absent
                    && ended == Some(base.as_str())
                    && is_of(&container, base)
                    && !self.is_told(container.id.as_str()) =>
            {
                Ok(())
            }
            Some(_) => self.orphan(container, absent, out),
            None if absent => self.end(container, out),
            None => self.scale(container, out),
        }
    }

    /// A listing is closed; gives its checkpoint with the number of containers that it tells now.
    pub fn checkpoint(&mut self, mut checkpoint: Checkpoint) -> Checkpoint {
        let listing = self.listing;
        let now = self.members.values().filter(|member| member.listing == listing);
        let told: u64 = now.map(|member| member.told.count()).sum();
        checkpoint.count = told + self.failed;
        if !checkpoint.partial && self.failed == 0 {
            self.members.retain(|_, member| member.listing == listing);
            self.orphans.retain(|_, ids| {
                ids.retain(|id| self.members.contains_key(id));
                !ids.is_empty()
            });
        }
        self.listing += 1;
        self.failed = 0;
        self.ended = None;
        checkpoint
    }

    fn base(&self, id: &str) -> Option<&Base> {
        match &self.members.get(id)?.told {
            Told::Base(base) => Some(base),
            Told::Orphan(_) => None,
        }
    }

    /// The base that has told a replica of this name.
    fn holder<'a>(&self, id: &'a str) -> Option<&'a str> {
        let (base, number) = split(id)?;
        self.base(base).filter(|told| told.has(number)).map(|_| base)
    }

    /// Whether there is a container of this name that is no base's replica.
    fn is_told(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|member| member.told.count() > 0)
    }

    /// What failed before is left alone. A base tells by itself which of its replicas it refuses.
    fn failed(&mut self, container: Box<Container>, out: Sink) -> Result<()> {
        if let Some(base) = &container.scaled_from
            && let Some((name, number)) = split(container.id.as_str())
            && is_of(&container, base)
            && self.base(name).is_some_and(|told| told.refuses(number))
        {
            return Ok(());
        }
        self.failed += 1;
        out(Out::Record(&Record::Container(container)))
    }

    /// A replica that comes without its base.
    fn orphan(&mut self, container: Box<Container>, absent: bool, out: Sink) -> Result<()> {
        let id = container.id.as_str();
        if let Some(base) = self.holder(id) {
            let why = taken(id, &format!("a replica of \"{base}\""));
            return if absent { Ok(()) } else { self.refuse(container, why, out) };
        }
        let from = container.scaled_from.as_ref().map_or("", |base| base.as_str());
        let before = match absent {
            true => self.members.remove(id),
            false => {
                let told = Told::Orphan(from.into());
                self.members.insert(id.into(), Member { listing: self.listing, told })
            }
        };
        let old = self.succeed(id, before);
        if !absent {
            self.orphans.entry(from.into()).or_default().insert(id.into());
        }
        self.ended = (old.replicas > 0).then(|| id.into());
        let record = Record::Container(container);
        out(Out::Record(&record))?;
        end_replicas(&record, &old, 0, out)
    }

    /// What a name told as a base until now; as an orphan it is one no more.
    fn succeed(&mut self, id: &str, before: Option<Member>) -> Base {
        match before.map(|member| member.told) {
            Some(Told::Base(base)) => base,
            Some(Told::Orphan(of)) => {
                if let Some(ids) = self.orphans.get_mut(&of) {
                    ids.remove(id);
                    if ids.is_empty() {
                        self.orphans.remove(&of);
                    }
                }
                Base { shown: true, ..Base::default() }
            }
            None => Base::default(),
        }
    }

    /// A container that is wanted no more, and so its replicas.
    fn end(&mut self, container: Box<Container>, out: Sink) -> Result<()> {
        let id = container.id.as_str();
        if self.holder(id).is_some() {
            return Ok(()); // it was refused when it came: the name is another one's
        }
        let before = self.members.remove(id);
        let old = self.succeed(id, before);
        self.ended = Some(id.into());
        let record = Record::Container(container);
        out(Out::Record(&record))?;
        end_replicas(&record, &old, 0, out)
    }

    /// A container that is wanted, as often as it says.
    fn scale(&mut self, container: Box<Container>, out: Sink) -> Result<()> {
        let id = container.id.as_str();
        let scale = container.scale.unwrap_or(1);
        if let (Some(base), 1..) = (self.holder(id), scale) {
            let why = taken(id, &format!("a replica of \"{base}\""));
            return self.refuse(container, why, out);
        }
        if let Err(why) = fit(&container, scale, self.limits) {
            return self.refuse(container, why, out);
        }
        let before = self.members.remove(id);
        let old = self.succeed(id, before);
        for orphan in self.orphans.remove(id).unwrap_or_default() {
            self.members.remove(&orphan);
            let id = orphan.parse().expect("it was a container's name");
            out(Out::Record(Replicas::gone(&container).named(id)))?;
        }
        let (id, mut record) = (Box::from(id), Record::Container(container));
        if scale > 0 {
            out(Out::Record(&record))?;
        } else if old.shown {
            let Record::Container(container) = &mut record else { unreachable!("it is made so") };
            container.state = Some(State::Absent);
            out(Out::Record(&record))?;
            self.ended = Some(Box::clone(&id));
        }
        let replicas = scale.saturating_sub(1);
        let refused = self.replicas(&record, replicas, out)?;
        end_replicas(&record, &old, replicas, out)?;
        let told = Told::Base(Base { shown: scale > 0, replicas, refused });
        self.members.insert(id, Member { listing: self.listing, told });
        Ok(())
    }

    /// Tells so many replicas; gives those whose names others have.
    fn replicas(&mut self, base: &Record, count: u32, out: Sink) -> Result<BTreeSet<u32>> {
        let mut refused = BTreeSet::new();
        let (Record::Container(base), 1..) = (base, count) else { return Ok(refused) };
        let mut replicas = Replicas::of(base);
        for number in 1..=count {
            let Some(record) = replicas.number(number) else { break };
            let Record::Container(replica) = record else { break };
            if self.is_told(replica.id.as_str()) {
                let why = taken(replica.id.as_str(), "another container");
                refused.insert(number);
                self.refuse(replica.clone(), why, out)?;
            } else {
                out(Out::Record(record))?;
            }
        }
        Ok(refused)
    }

    fn refuse(&mut self, mut container: Box<Container>, why: Error, out: Sink) -> Result<()> {
        container.fail(&why);
        self.failed += 1;
        out(Out::Refused(why.at(&container.id)))?;
        out(Out::Record(&Record::Container(container)))
    }
}

/// Tells that the replicas of `base` that are behind the first so many are wanted no more.
fn end_replicas(base: &Record, old: &Base, left: u32, out: Sink) -> Result<()> {
    let Record::Container(base) = base else { return Ok(()) };
    if old.replicas <= left {
        return Ok(());
    }
    let mut gone = Replicas::gone(base);
    for number in (left + 1..=old.replicas).filter(|number| old.has(*number)) {
        if let Some(record) = gone.number(number) {
            out(Out::Record(record))?;
        }
    }
    Ok(())
}

/// Whether a replica is called as `base` would call it.
fn is_of(replica: &Container, base: &ContainerId) -> bool {
    split(replica.id.as_str()).is_some_and(|(name, _)| name == base.as_str())
}

fn taken(id: &str, by: &str) -> Error {
    Error::new(Kind::Refused, format_args!("name \"{id}\" belongs to {by}"))
        .remedy("give one of them another id")
}
