//! lease-cccf: leases → the containers that their clients should have.

mod explain;
mod few;
mod files;
mod told;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use few::Few;
pub use files::Wanted;
use told::{Memory, Print, Told};

use crate::error::{Error, Kind, Result};
use crate::logic::caps::{Cap, Seats};
use crate::logic::clients::{Client, Clients};
use crate::logic::rules::Rules;
use crate::pipe::{Found, Output, Report, Stdio, input_within};
use crate::record::{Checkpoint, Container, Family, Key, Lease, LeaseType, Of, Record};

/// How long a client that is new and has a prefix alone is waited for to get an address, which
/// makes another client of it.
const ALONE: Duration = Duration::from_secs(2);

/// What is made of the leases.
pub struct Options {
    /// Which client gets which containers.
    pub rules: Rules,
    /// How many may have any. Those that have one already have their seats.
    pub seats: Seats,
    /// Whether to tell why, instead of which containers.
    pub explain: bool,
}

/// Serves standard input to its end.
pub fn run(stdio: Stdio, options: Options) -> Result<()> {
    let Stdio { mut reader, output, report } = stdio;
    let mut stage = Stage {
        rules: options.rules,
        explain: options.explain,
        seats: options.seats,
        clients: Clients::default(),
        memory: Memory::default(),
        explained: HashMap::new(),
        news: BTreeSet::new(),
        alone: BTreeMap::new(),
        lonely: VecDeque::new(),
        listed: false,
        over: Few::new("clients are over a cap"),
        unfilled: Few::new("clients go without"),
        draw: RandomState::new(),
        output,
        report,
    };
    loop {
        let record = match reader.read(&mut || stage.idle())? {
            Found::End => break,
            Found::Bad(why) => {
                stage.report.failed(&why);
                stage.clients.doubt();
                continue;
            }
            Found::Record(_, record) => record,
        };
        stage.report.used();
        stage.record(record)?;
    }
    stage.end()
}

/// A container stands for a client that leased an address or a prefix by DHCPv6.
fn concerns(lease: &Lease) -> bool {
    lease.family == Family::Ipv6 && lease.r#type != LeaseType::V4
}

struct Stage {
    rules: Rules,
    explain: bool,
    seats: Seats,
    clients: Clients,
    /// What was last told of each client.
    memory: Memory,
    /// What was last explained of each client, when that is what is asked for.
    explained: HashMap<Key, Print>,
    /// Who was told as news since the last checkpoint: for a reader, part of the next listing.
    news: BTreeSet<Key>,
    /// New clients with a prefix alone, and until when they are waited for.
    alone: BTreeMap<Key, Instant>,
    /// The same in the order in which their time comes. Some may be waited for no more.
    lonely: VecDeque<(Instant, Key)>,
    /// Whether the first listing is complete. Until then a client may have leases yet to come.
    listed: bool,
    over: Few,
    unfilled: Few,
    /// By which those that came at once are put in an order that nobody can choose.
    draw: RandomState,
    output: Output,
    report: Report,
}

/// What a client is to have.
struct Outcome {
    client: Option<Client>,
    containers: Vec<Container>,
    cap: Option<Cap>,
    error: Option<Error>,
}

impl Stage {
    fn record(&mut self, record: Record) -> Result<()> {
        match record {
            Record::Lease(lease) if concerns(&lease) => self.lease(&lease)?,
            Record::Checkpoint(checkpoint) if checkpoint.of == Of::Lease => {
                self.checkpoint(&checkpoint)?;
            }
            other => self.output.write(&other)?,
        }
        if self.lonely.is_empty() { Ok(()) } else { self.tell_the_lonely() }
    }

    fn lease(&mut self, lease: &Lease) -> Result<()> {
        match self.clients.update(lease) {
            Ok(touched) if self.listed => {
                touched.into_iter().try_for_each(|key| self.tell(key, false).map(drop))?;
                self.call()
            }
            Ok(_) => Ok(()),
            Err(why) => {
                let error = Error::new(Kind::BadInput, format_args!("lease of {}", lease.key));
                self.report.failed(&error.why(why).remedy("record skipped"));
                Ok(())
            }
        }
    }

    /// Nothing more has been said so far: hands over what there is, and waits no longer for an
    /// address of those with a prefix alone than it has to.
    fn idle(&mut self) -> Result<()> {
        self.output.flush()?;
        while let Some((until, _)) = self.lonely.front() {
            if input_within(until.saturating_duration_since(Instant::now())) {
                return Ok(());
            }
            self.tell_the_lonely()?;
            self.output.flush()?;
        }
        Ok(())
    }

    fn tell_the_lonely(&mut self) -> Result<()> {
        while self.lonely.front().is_some_and(|(until, _)| *until <= Instant::now()) {
            let Some((until, key)) = self.lonely.pop_front() else { break };
            if self.alone.get(&key) == Some(&until) {
                self.tell(key, false)?;
                self.call()?;
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self, lease: &Checkpoint) -> Result<()> {
        let touched = self.clients.checkpoint(lease);
        if !self.clients.is_complete() {
            return Ok(());
        }
        self.leave_out_the_gone(lease)?;
        let whole = !self.clients.is_partial();
        if !self.listed {
            self.seat_the_first(whole);
        } else {
            if whole {
                self.seats.forget_the_unheard();
            }
            touched.into_iter().try_for_each(|key| self.tell(key, false).map(drop))?;
            self.call()?;
        }
        let count = self.tell_all()?;
        self.listed = true;
        self.news.clear();
        self.over.close(&self.report);
        self.unfilled.close(&self.report);
        self.close(lease, count, self.clients.is_partial())
    }

    /// The end of the input, which may have been the end of a listing too.
    fn end(mut self) -> Result<()> {
        if !self.listed {
            self.seat_the_first(false);
            self.tell_all()?;
        }
        for (until, key) in &mut self.lonely {
            *until = Instant::now();
            self.alone.entry(*key).and_modify(|waits| *waits = *until);
        }
        self.tell_the_lonely()?;
        self.over.close(&self.report);
        self.unfilled.close(&self.report);
        self.output.settle()
    }

    /// Ends a listing of so many records that follows from one of leases.
    fn close(&mut self, lease: &Checkpoint, count: u64, partial: bool) -> Result<()> {
        let of = if self.explain { Of::Explanation } else { Of::Container };
        let mut checkpoint = Checkpoint::new(of, count);
        checkpoint.follow = lease.follow;
        checkpoint.partial = partial;
        self.output.write(&Record::Checkpoint(checkpoint))
    }

    /// Forgets the clients that a listing has left out, so that the containers' listing leaves them
    /// out as well: whoever removes by it can weigh them together. If one of them was told as news
    /// since the last checkpoint, that news is closed first, as a listing by which nothing goes.
    fn leave_out_the_gone(&mut self, lease: &Checkpoint) -> Result<()> {
        if self.explain {
            let told = self.explained.keys().copied();
            let mut gone: Vec<Key> = told.filter(|key| !self.clients.has(*key)).collect();
            gone.sort_unstable();
            return gone.into_iter().try_for_each(|key| self.tell(key, false).map(drop));
        }
        let gone: Vec<Key> = self.memory.clients().filter(|key| !self.clients.has(*key)).collect();
        if gone.iter().any(|key| self.news.contains(key)) {
            let count = self.news.iter().map(|key| self.memory.of(*key).len() as u64).sum();
            self.close(lease, count, true)?;
        }
        for key in gone {
            self.memory.forget(key);
            self.seats.leave(key);
        }
        Ok(())
    }

    /// Gives seats to those that were there at the start, in an order that is drawn, behind those
    /// that have a container. Who has one and is not in a `whole` listing is gone.
    fn seat_the_first(&mut self, whole: bool) {
        if self.seats.are_unlimited() {
            return;
        }
        let mut waiting: Vec<(u64, Key, IpAddr)> = Vec::new();
        for key in self.clients.keys() {
            let Some(client) = self.clients.get(key) else { continue };
            match self.rules.choose(&client) {
                Some(rule) if rule.template.is_none() => (),
                None => (),
                Some(_) if self.seats.has(key) => drop(self.seats.ask(key, client.address)),
                Some(_) => {
                    waiting.push((self.draw.hash_one(key.as_str()), key, client.address));
                }
            }
        }
        if whole {
            self.seats.forget_the_unheard();
        }
        waiting.sort_unstable();
        for (_, key, address) in waiting {
            self.seats.ask(key, address);
        }
    }

    /// Tells of those that have got a seat which has come free.
    fn call(&mut self) -> Result<()> {
        while let Some(key) = self.seats.call() {
            self.tell(key, false)?;
        }
        Ok(())
    }

    fn tell_all(&mut self) -> Result<u64> {
        let keys: Vec<Key> = self.clients.keys().collect();
        let mut count = 0;
        for key in keys {
            count += self.tell(key, true)?;
        }
        // A seat comes free when the template cannot be filled for whoever had it.
        while let Some(key) = self.seats.call() {
            count += self.tell(key, true)?;
        }
        Ok(count)
    }

    /// Tells what a client's containers are now, all of them or those that are not as told before,
    /// or why they are; gives the number of records that are so.
    fn tell(&mut self, key: Key, all: bool) -> Result<u64> {
        let client = self.clients.get(key);
        if self.waits(key, client.as_ref(), all) {
            return Ok(0);
        }
        let now = self.outcome(key, client);
        let before = self.memory.put(key, &now.containers);
        if self.explain {
            return self.explain(key, now, all);
        }
        let is_gone = |old: &&Told| !now.containers.iter().any(|new| new.id == old.id);
        let mut gone: Vec<&Told> = before.iter().filter(is_gone).collect();
        gone.sort_by_key(|old| old.goes());
        gone.iter().try_for_each(|old| self.output.write(&old.absent(key).into()))?;
        let count = now.containers.len() as u64;
        for (container, new) in now.containers.into_iter().zip(self.memory.of(key)) {
            if all || !before.iter().any(|old| old.print == new.print) {
                if !all {
                    self.news.insert(key);
                }
                self.output.write(&container.into())?;
            }
        }
        Ok(count)
    }

    /// Whether a client that is new is waited for, because a prefix alone is known of it.
    fn waits(&mut self, key: Key, client: Option<&Client>, all: bool) -> bool {
        let lonely = client.is_some_and(Client::is_of_prefix_alone)
            && self.memory.of(key).is_empty()
            && !self.explained.contains_key(&key);
        let until = self.alone.get(&key).copied();
        let now = Instant::now();
        match until {
            Some(until) if lonely && now < until => true,
            None if lonely && !all => {
                self.alone.insert(key, now + ALONE);
                self.lonely.push_back((now + ALONE, key));
                true
            }
            _ => {
                self.alone.remove(&key);
                false
            }
        }
    }

    /// What a client is to have. Tells why it has nothing, where that is not the rules' will.
    fn outcome(&mut self, key: Key, client: Option<Client>) -> Outcome {
        let mut outcome = Outcome { client, containers: Vec::new(), cap: None, error: None };
        let template = outcome.client.as_ref().and_then(|client| {
            let template = self.rules.choose(client)?.template.as_ref()?;
            Some((client, template))
        });
        let Some((client, template)) = template else {
            self.seats.leave(key);
            return outcome;
        };
        let waited = self.seats.is_waiting(key);
        if let Some(cap) = self.seats.ask(key, client.address) {
            if !waited || !self.listed {
                let error = Error::new(Kind::Refused, format_args!("client {key}"));
                let error = error.why(format_args!("over {cap}"));
                self.over.tell(&self.report, &error.remedy("it waits for a place"));
            }
            outcome.cap = Some(cap);
            return outcome;
        }
        let filled = template.fill(client).and_then(|containers| {
            let theirs =
                |c: &&Container| self.memory.owner_of(&c.id).is_some_and(|owner| owner != key);
            match containers.iter().find(theirs) {
                Some(c) => {
                    let what = format!("name \"{}\" belongs to another client's container", c.id);
                    Err(Error::new(Kind::Refused, what))
                }
                None => Ok(containers),
            }
        });
        match filled {
            Ok(containers) => outcome.containers = containers,
            Err(why) => {
                self.seats.leave(key);
                let told = why.clone().remedy("the client goes without");
                self.unfilled.tell(&self.report, &told.at(format_args!("client {key}")));
                outcome.error = Some(why);
            }
        }
        outcome
    }
}
