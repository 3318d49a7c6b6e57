//! What is seen of one container, and by whom.

use std::sync::Arc;

use super::super::diff::{Looker, Print};
use crate::record::{Container, Owner, State};

/// One container as a side tells of it.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Its name.
    pub id: &'a str,
    /// The whole of it, as JSON on one line.
    pub text: &'a str,
    /// What of it matters to the loop.
    pub said: Said,
}

/// What of a document matters to the loop, apart from its name.
#[derive(Clone, Debug)]
pub struct Said {
    /// What it says, to be compared.
    pub(super) print: Print,
    /// Whose it is.
    pub(super) owner: Option<Arc<Owner>>,
    /// The host that it is on, or is to be on.
    pub(super) host: Option<Arc<str>>,
    /// Where it is in its life.
    pub(super) state: Option<State>,
    /// Whether it says where it is and what became of it.
    pub(super) is_placed: bool,
}

/// Makes what a side tells of out of documents. What recurs from one to the next is held once.
#[derive(Clone, Debug, Default)]
pub struct Eye {
    looker: Looker,
    owner: Option<Arc<Owner>>,
    host: Option<Arc<str>>,
}

impl Eye {
    /// One that looks like this. Only what was seen with clones of one looker can be compared.
    pub fn new(looker: Looker) -> Eye {
        Eye { looker, ..Eye::default() }
    }

    /// What a document says that can be seen at a glance and on which no stage failed; nothing for
    /// any other.
    pub fn glance<'a>(&mut self, text: &'a str) -> Option<Seen<'a>> {
        let glance = self.looker.glance(text)?;
        if glance.has_failed {
            return None;
        }
        let said = Said {
            print: glance.print,
            owner: glance.owner.map(|name| self.owner(name)),
            host: glance.host.map(|name| self.host(name)),
            state: glance.state,
            is_placed: glance.is_placed,
        };
        Some(Seen { id: glance.id, text, said })
    }

    /// What any container says, of which this is the JSON.
    pub(super) fn see<'a>(&mut self, container: &'a Container, text: &'a str) -> Seen<'a> {
        let said = Said {
            print: self.looker.print(text),
            owner: container.owner.as_ref().map(|owner| self.owner(owner.as_str())),
            host: container.host.as_ref().map(|host| self.host(&host.id)),
            state: container.state,
            is_placed: true,
        };
        Seen { id: container.id.as_str(), text, said }
    }

    fn owner(&mut self, name: &str) -> Arc<Owner> {
        let known = self.owner.take().filter(|last| last.as_str() == name);
        let owner = known.unwrap_or_else(|| Arc::new(name.parse().expect("it was read as one")));
        self.owner = Some(owner.clone());
        owner
    }

    fn host(&mut self, name: &str) -> Arc<str> {
        let known = self.host.take().filter(|last| **last == *name);
        let host = known.unwrap_or_else(|| name.into());
        self.host = Some(host.clone());
        host
    }
}
