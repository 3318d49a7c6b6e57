//! What was decided for a container, and how a record says so.

use super::Placer;
use crate::error::Error;
use crate::record::{Action, Change, Container, HostRef, Why};

/// What was decided for a container.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It goes to the host of this number.
    On(u32),
    /// It leaves one host for another.
    Moves {
        /// Where it is.
        from: u32,
        /// Where it will be.
        to: u32,
    },
    /// It was on a host that is lost, and goes to another.
    Returns {
        /// Where it was.
        from: u32,
        /// Where it will be.
        to: u32,
    },
    /// It stays as it is.
    Stays,
    /// It should go elsewhere, and stays because it cannot.
    Stuck(Box<Error>),
    /// It goes nowhere.
    Nowhere(Box<Error>),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It says where its container goes.
    Done,
    /// It will be decided when the listing is complete.
    Waits,
    /// It goes on as it came, and this has to be told.
    Told(Error),
    /// It failed.
    Failed(Error),
}

impl Placer {
    /// The host of that number, as a container refers to it.
    pub fn host(&self, number: u32) -> HostRef {
        self.ground.hosts[number as usize].as_ref()
    }

    /// Makes a change say what was decided.
    pub fn carry_out(&self, verdict: Verdict, change: &mut Change) -> Outcome {
        match verdict {
            Verdict::On(host) => self.name(host, &mut change.container),
            Verdict::Moves { from, to } => {
                self.carry(from, to, change);
                let old = self.host(from);
                let before = change.current.get_or_insert_with(|| change.container.clone());
                before.host.get_or_insert(old);
                change.action = Action::Replace;
                self.renew(to, &mut change.container);
            }
            Verdict::Returns { from, to } => {
                self.carry(from, to, change);
                change.action = Action::Add;
                change.current = None;
                self.renew(to, &mut change.container);
            }
            Verdict::Stays => (),
            Verdict::Stuck(why) => return Outcome::Told(*why),
            Verdict::Nowhere(why) => return Outcome::Failed(*why),
        }
        Outcome::Done
    }

    /// Makes a bare container say what was decided.
    pub fn carry_out_bare(&self, verdict: Verdict, container: &mut Container) -> Outcome {
        match verdict {
            Verdict::On(host) => self.name(host, container),
            Verdict::Moves { to, .. } | Verdict::Returns { to, .. } => self.renew(to, container),
            Verdict::Stays => (),
            Verdict::Stuck(why) => return Outcome::Told(*why),
            Verdict::Nowhere(why) => return Outcome::Failed(*why),
        }
        Outcome::Done
    }

    /// Names the host, unless the container does so already and says more of it.
    fn name(&self, host: u32, container: &mut Container) {
        let known = &self.ground.hosts[host as usize];
        match &container.host {
            Some(named) if named.id == known.id && named.url.is_some() => (),
            _ => container.host = Some(known.as_ref()),
        }
    }

    /// The container as it is to be on another host, where nothing of it is yet.
    fn renew(&self, host: u32, container: &mut Container) {
        container.host = Some(self.host(host));
        container.state = None;
        container.docker = None;
        container.interfaces = Vec::new();
    }

    /// Says in `why` that the host is another one.
    fn carry(&self, from: u32, to: u32, change: &mut Change) {
        let id = |host: u32| Some(self.ground.hosts[host as usize].id.clone().into());
        let why =
            Why { field: "host".to_owned(), from: id(from), to: id(to), rest: Default::default() };
        change.why.retain(|why| why.field != "host");
        change.why.push(why);
    }
}
