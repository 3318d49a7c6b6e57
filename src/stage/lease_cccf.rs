//! lease-cccf: leases → the containers that their clients should have.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::error::{Doing, Error, Kind, Result, Within};
use crate::logic::clients::{Client, Clients};
use crate::logic::template::Template;
use crate::pipe::Stdio;
use crate::record::{
    Checkpoint, Container, ContainerId, Family, Key, Lease, LeaseType, Of, Owner, Record, State,
};

/// Reads a template from a file.
///
/// # Errors
/// When the file cannot be read, or holds no template.
pub fn template(path: &Path, owner: &Owner) -> Result<Template> {
    let text = std::fs::read_to_string(path)
        .doing("read template")
        .within(path.display())
        .map_err(|e| if e.kind() == Kind::NotFound { e.into_usage() } else { e })?;
    Template::parse(&text, owner).within(path.display())
}

/// Serves standard input to its end.
pub fn run(mut stdio: Stdio, template: &Template) -> Result<()> {
    let mut stage = Stage {
        template,
        clients: Clients::default(),
        told: BTreeMap::new(),
        names: HashMap::new(),
        listed: false,
    };
    while let Some(record) = stdio.read()? {
        match record {
            Record::Lease(lease) if concerns(&lease) => {
                let key = stage.clients.update(&lease);
                if stage.listed {
                    stage.tell(key, &mut stdio, false)?;
                }
            }
            Record::Checkpoint(checkpoint) if checkpoint.of == Of::Lease => {
                stage.checkpoint(&checkpoint, &mut stdio)?;
            }
            other => stdio.write(&other)?,
        }
    }
    if !stage.listed {
        stage.tell_all(&mut stdio)?;
    }
    stdio.finish()
}

/// A container stands for a client that leased an address by DHCPv6.
fn concerns(lease: &Lease) -> bool {
    lease.family == Family::Ipv6 && matches!(lease.r#type, LeaseType::Na | LeaseType::Ta)
}

struct Stage<'a> {
    template: &'a Template,
    clients: Clients,
    /// What was last told of each client.
    told: BTreeMap<Key, Vec<Container>>,
    /// Whose each name is: a client cannot take a name that is another's.
    names: HashMap<ContainerId, Key>,
    /// Whether the first listing is complete. Until then a client may have leases yet to come.
    listed: bool,
}

impl Stage<'_> {
    fn checkpoint(&mut self, lease: &Checkpoint, stdio: &mut Stdio) -> Result<()> {
        let gone = self.clients.checkpoint(lease);
        if !self.clients.is_complete() {
            return Ok(());
        }
        self.listed = true;
        for key in gone {
            self.tell(key, stdio, false)?;
        }
        let count = self.tell_all(stdio)?;
        let mut checkpoint = Checkpoint::new(Of::Container, count);
        checkpoint.follow = lease.follow;
        checkpoint.partial = lease.partial;
        stdio.write(&Record::Checkpoint(checkpoint))
    }

    fn tell_all(&mut self, stdio: &mut Stdio) -> Result<u64> {
        let keys: Vec<Key> = self.clients.iter().map(|client| client.key).collect();
        keys.into_iter().try_fold(0, |count, key| Ok(count + self.tell(key, stdio, true)?))
    }

    /// Tells what a client's containers are now, all of them or those that are not as told before;
    /// gives their number.
    fn tell(&mut self, key: Key, stdio: &mut Stdio, all: bool) -> Result<u64> {
        let now = match self.clients.get(key).cloned().map(|client| self.fill(&client)) {
            None => Vec::new(),
            Some(Ok(containers)) => containers,
            Some(Err(why)) => {
                stdio
                    .report
                    .failed(&why.remedy("the client goes without").at(format!("client {key}")));
                Vec::new()
            }
        };
        let before = self.told.remove(&key).unwrap_or_default();
        for old in &before {
            if !now.iter().any(|new| new.id == old.id) {
                self.names.remove(&old.id);
                let gone = Container { state: Some(State::Absent), ..old.clone() };
                stdio.write(&Record::Container(gone))?;
            }
        }
        for new in &now {
            self.names.insert(new.id.clone(), key);
            if all || !before.contains(new) {
                stdio.write(&Record::Container(new.clone()))?;
            }
        }
        let count = now.len() as u64;
        if count > 0 {
            self.told.insert(key, now);
        }
        Ok(count)
    }

    fn fill(&self, client: &Client) -> Result<Vec<Container>> {
        let containers = self.template.fill(client)?;
        let taken = |c: &&Container| self.names.get(&c.id).is_some_and(|key| *key != client.key);
        match containers.iter().find(taken) {
            Some(c) => {
                let what = format!("name \"{}\" belongs to another client's container", c.id);
                Err(Error::new(Kind::Refused, what))
            }
            None => Ok(containers),
        }
    }
}
