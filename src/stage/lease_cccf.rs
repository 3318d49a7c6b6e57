//! lease-cccf: leases → the containers that their clients should have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
pub fn template(path: &Path, owner: Option<&Owner>) -> Result<Template> {
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
        news: BTreeSet::new(),
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

/// Ends a listing of so many containers that follows from one of leases.
fn close(lease: &Checkpoint, count: u64, partial: bool, stdio: &mut Stdio) -> Result<()> {
    let mut checkpoint = Checkpoint::new(Of::Container, count);
    checkpoint.follow = lease.follow;
    checkpoint.partial = partial;
    stdio.write(&Record::Checkpoint(checkpoint))
}

/// A container stands for a client that leased an address by DHCPv6.
fn concerns(lease: &Lease) -> bool {
    lease.family == Family::Ipv6 && matches!(lease.r#type, LeaseType::Na | LeaseType::Ta)
}

struct Stage<'a> {
    template: &'a Template,
    clients: Clients,
    /// What was last told of each client.
    told: BTreeMap<Key, Box<[Told]>>,
    /// Whose each name is: a client cannot take a name that is another's.
    names: HashMap<ContainerId, Key>,
    /// Who was told as news since the last checkpoint: for a reader, part of the next listing.
    news: BTreeSet<Key>,
    /// Whether the first listing is complete. Until then a client may have leases yet to come.
    listed: bool,
}

/// A container that was told, in little room: there may be one for each of very many clients.
struct Told {
    id: ContainerId,
    /// The whole of it, as JSON.
    text: Box<str>,
}

impl Told {
    fn new(container: &Container) -> Told {
        let text = serde_json::to_string(container).expect("the suite's types are JSON");
        Told { id: container.id.clone(), text: text.into() }
    }

    fn container(&self) -> Container {
        serde_json::from_str(&self.text).expect("what the suite wrote it reads")
    }
}

impl Stage<'_> {
    fn checkpoint(&mut self, lease: &Checkpoint, stdio: &mut Stdio) -> Result<()> {
        let touched = self.clients.checkpoint(lease);
        if !self.clients.is_complete() {
            return Ok(());
        }
        self.listed = true;
        self.leave_out_the_gone(lease, stdio)?;
        for key in touched {
            self.tell(key, stdio, false)?;
        }
        let count = self.tell_all(stdio)?;
        self.news.clear();
        close(lease, count, lease.partial, stdio)
    }

    /// Forgets the clients that a listing has left out, so that the containers' listing leaves them
    /// out as well: whoever removes by it can weigh them together. If one of them was told as news
    /// since the last checkpoint, that news is closed first, as a listing by which nothing goes.
    fn leave_out_the_gone(&mut self, lease: &Checkpoint, stdio: &mut Stdio) -> Result<()> {
        let told = self.told.keys().copied();
        let gone: Vec<Key> = told.filter(|key| self.clients.get(*key).is_none()).collect();
        if gone.iter().any(|key| self.news.contains(key)) {
            let told = |key| self.told.get(key).map_or(0, |told| told.len()) as u64;
            let count = self.news.iter().map(told).sum();
            close(lease, count, true, stdio)?;
        }
        for container in gone.iter().filter_map(|key| self.told.remove(key)).flatten() {
            self.names.remove(&container.id);
        }
        Ok(())
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
        for old in before.iter() {
            if !now.iter().any(|new| new.id == old.id) {
                self.names.remove(&old.id);
                let gone = Container { state: Some(State::Absent), ..old.container() };
                stdio.write(&Record::Container(gone))?;
            }
        }
        let mut told = Vec::with_capacity(now.len());
        for container in now {
            let new = Told::new(&container);
            self.names.insert(new.id.clone(), key);
            if all || !before.iter().any(|old| old.text == new.text) {
                self.news.insert(key);
                stdio.write(&Record::Container(container))?;
            }
            told.push(new);
        }
        let count = told.len() as u64;
        if count > 0 {
            self.told.insert(key, told.into());
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
