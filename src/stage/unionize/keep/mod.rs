//! `unionize renew --follow`: one process that keeps all leases of the host.
//!
//! One thread has the agenda, all exchanges in the air and everything that tells of changes: the
//! directory of attachments, the host's links, the engines, the clock, signals. What blocks is done by
//! a few others ([`Hands`]): opening sockets in a container's namespace, putting an answer to use,
//! making an attachment again.
//!
//! What happened is never believed, only that something did: then the attachment is looked at, and made
//! as it should be. So nothing depends on having heard of everything, or on having run all the time.

mod air;
mod engines;
mod hands;
mod heed;
mod roster;
mod tend;
mod wires;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::detach::Keeper;
use super::{Unionize, Upkeep};
use crate::adapter::clock::{self, Alarm, Steps};
use crate::adapter::directory::Directory;
use crate::adapter::netlink::Changes;
use crate::adapter::signals::Ending;
use crate::error::{Doing, Result};
use crate::logic::renewal::{Agenda, Attempt, Now, Outcome, Watch};
use crate::pipe::{Output, Report};
use crate::random::Random;
use crate::record::Ifname;
use air::{Air, Ended};
pub use engines::Engines;
use engines::News;
use hands::Hands;
use roster::{Roster, Which};
use tend::{Aboard, Looked, TakeOff};
use wires::Wires;

/// How many exchanges may be in the air for each thread that works, and in all: each has three open
/// files.
const IN_THE_AIR: usize = 16;
const MOST_IN_THE_AIR: usize = 200;

/// For how long a run that asks for a lease at this moment is left alone.
const ASKING: Duration = Duration::from_secs(30);

/// Within what time the leases of one segment are confirmed after its link was away, and how much
/// longer for each of them.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);
const CONFIRMED_EACH: Duration = Duration::from_millis(10);

/// Within what time all leases are extended when somebody has set the clock.
const CORRECTED_WITHIN: Duration = Duration::from_secs(60);

/// How long a change may take to be over, before it is looked at what it came to.
const SETTLED: Duration = Duration::from_secs(1);

/// When duplicate address detection has ended for what was put on an interface.
const VERDICT: Duration = Duration::from_secs(4);

/// How long a container has to be gone before its lease is given back: one that is being replaced has
/// its address again.
const GONE: Duration = Duration::from_secs(10);

/// How soon to look again at what could not be looked at.
const AGAIN: Duration = Duration::from_secs(10);

/// What a thread is to do.
enum Order {
    /// Ask a server.
    Ask(Which, Attempt),
    /// Put to use what a server said.
    Land(Box<Aboard>, Result<crate::adapter::dhcp6::Outcome>),
    /// Look at an attachment, and make it as it should be; if its container is gone and it `may_go`,
    /// take it away.
    Look { link: Ifname, may_go: bool },
}

/// What has been done, or has happened.
enum Done {
    Asked(Which, Result<TakeOff>),
    Landed(Which, tend::Landed),
    Looked(Ifname, Result<Looked>),
    Engine(News),
    ReaderLeft,
}

/// Keeps all leases until it is told to end, or nobody reads what it tells.
pub fn follow(
    upkeep: &Upkeep,
    hosts: Vec<String>,
    jobs: NonZeroUsize,
    output: Output,
    report: &Report,
) -> Result<()> {
    let engines = Arc::new(Engines::new(hosts)?);
    // Before there is any other thread.
    let ending = Ending::listen()?;
    let unionize = Unionize::keeping(upkeep, report)?;
    let hands = Arc::new(Hands::new()?);
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| hands.work(|order| tend::work(&unionize, &engines, order)));
        }
        let outcome = Service::new(&unionize.keeper, engines.clone(), &hands, upkeep, jobs, output)
            .and_then(|service| service.run(&ending));
        hands.close();
        outcome
    })
}

/// The thread that has it all.
struct Service<'a> {
    keeper: &'a Keeper<'a>,
    hands: &'a Arc<Hands<Order, Done>>,
    /// How many orders are given out at a time, and how many exchanges may be in the air.
    jobs: usize,
    in_the_air: usize,
    output: Output,
    roster: Roster,
    agenda: Agenda<Which>,
    air: Air<Box<Aboard>>,
    /// Attachments that somebody works on: one thread at a time.
    busy: HashSet<Ifname>,
    /// Attachments to be looked at.
    looks: BTreeSet<Ifname>,
    /// Attachments to be looked at once more, and when, by the boot clock.
    later: BTreeMap<Ifname, Duration>,
    /// Attachments of which it was seen that they are as they should be.
    seen: HashSet<Ifname>,
    /// Attachments of containers that do not run.
    stopped: HashSet<Ifname>,
    /// Attachments of containers that are gone, and since when, by the boot clock.
    gone: HashMap<Ifname, Duration>,
    /// Attachments that could not be looked at the last time.
    unclear: HashSet<Ifname>,
    /// What was told last of what is wrong with them.
    troubles: HashMap<Ifname, String>,
    /// Segments of which it was told that nobody answers there.
    silent: BTreeSet<Ifname>,
    /// Engines of which it is not known yet whether they are there.
    undecided: BTreeSet<usize>,
    /// Engines of which it was told that they do not answer.
    away: HashSet<usize>,
    engines: Arc<Engines>,
    alarm: Alarm,
    steps: Steps,
    clocks: Watch,
    directory: Directory,
    changes: Changes,
    wires: Wires,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl<'a> Service<'a> {
    fn new(
        keeper: &'a Keeper<'a>,
        engines: Arc<Engines>,
        hands: &'a Arc<Hands<Order, Done>>,
        upkeep: &Upkeep,
        jobs: NonZeroUsize,
        output: Output,
    ) -> Result<Service<'a>> {
        let mut service = Service {
            keeper,
            hands,
            jobs: jobs.get(),
            in_the_air: jobs.get().saturating_mul(IN_THE_AIR).min(MOST_IN_THE_AIR),
            output,
            roster: Roster::default(),
            agenda: Agenda::new(Random::seeded(clock::read().wall.as_nanosecond() as u64)),
            air: Air::new(),
            busy: HashSet::new(),
            looks: BTreeSet::new(),
            later: BTreeMap::new(),
            seen: HashSet::new(),
            stopped: HashSet::new(),
            gone: HashMap::new(),
            unclear: HashSet::new(),
            troubles: HashMap::new(),
            silent: BTreeSet::new(),
            undecided: (0..engines.count()).collect(),
            away: HashSet::new(),
            engines,
            alarm: Alarm::new()?,
            steps: Steps::new()?,
            clocks: Watch::new(now()),
            directory: Directory::watch(&upkeep.state)?,
            changes: Changes::watch()?,
            wires: Wires::default(),
        };
        // In this order: what changes meanwhile is told by who watches already.
        service.list()?;
        service.list_wires()?;
        service.listen();
        if service.undecided.is_empty() {
            service.look_at_all();
        }
        Ok(service)
    }

    /// Has the engines tell, and whoever reads the output when he leaves.
    fn listen(&self) {
        for at in 0..self.engines.count() {
            let (engines, hands) = (self.engines.clone(), self.hands.clone());
            std::thread::spawn(move || {
                engines.listen(at, |news| {
                    hands.tell(Done::Engine(news));
                    true
                });
            });
        }
        let hands = self.hands.clone();
        std::thread::spawn(move || {
            crate::pipe::reader_leaves();
            hands.tell(Done::ReaderLeft);
        });
    }

    fn run(mut self, ending: &Ending) -> Result<()> {
        loop {
            let now = now();
            self.heed_clocks(now);
            for Ended { aboard, outcome, sol_max_rt } in self.air.pass(Instant::now()) {
                if let Some(longest) = sol_max_rt {
                    self.agenda.change(&aboard.which(), |course| course.limited(longest));
                }
                self.hands.order(Order::Land(aboard, outcome), true);
            }
            self.hand_out(now);
            self.output.flush()?;
            if self.wait(ending)? == Next::End {
                return self.output.settle();
            }
        }
    }

    /// Gives out what is due, as long as there are hands for it: exchanges first.
    fn hand_out(&mut self, now: Now) {
        let due = self.later.iter().filter(|(_, at)| **at <= now.boot);
        let due: Vec<Ifname> = due.map(|(link, _)| link.clone()).collect();
        for link in due {
            self.later.remove(&link);
            self.looks.insert(link);
        }
        while self.hands.open() < self.jobs {
            let may_ask = self.air.len() < self.in_the_air;
            if let Some((which, attempt)) = may_ask.then(|| self.agenda.take(now.boot)).flatten() {
                match self.busy.insert(which.link.clone()) {
                    true => self.hands.order(Order::Ask(which, attempt), false),
                    // It is worked on, and its turn comes again.
                    false => self.agenda.done(&which, Outcome::Failed),
                }
                continue;
            }
            let free = self.looks.iter().find(|link| !self.busy.contains(*link)).cloned();
            let Some(link) = free else { return };
            self.looks.remove(&link);
            self.busy.insert(link.clone());
            let gone = self.gone.get(&link);
            let may_go = gone.is_some_and(|since| *since + GONE <= now.boot);
            self.hands.order(Order::Look { link, may_go }, false);
        }
    }

    /// Waits until there is something to do, and takes in what it is.
    fn wait(&mut self, ending: &Ending) -> Result<Next> {
        let may_ask = self.hands.open() < self.jobs && self.air.len() < self.in_the_air;
        let due = if may_ask { self.agenda.next() } else { Duration::MAX };
        let look = self.later.values().min().copied().unwrap_or(Duration::MAX);
        self.alarm.set(due.min(look))?;
        let ready = {
            let mut fds = vec![
                ending.as_fd(),
                self.hands.as_fd(),
                self.directory.as_fd(),
                self.changes.as_fd(),
                self.steps.as_fd(),
                self.alarm.as_fd(),
            ];
            fds.extend(self.air.fds());
            ready(&fds, self.air.until())?
        };
        let now = Instant::now();
        for at in (OWN..ready.len()).filter(|at| ready[*at]) {
            self.air.readable(at - OWN, now);
        }
        if ready[0] {
            return Ok(Next::End);
        }
        if ready[1] {
            for done in self.hands.collect() {
                if self.take_in(done)? == Next::End {
                    return Ok(Next::End);
                }
            }
        }
        if ready[2] || !self.directory.is_watched() {
            self.heed_directory()?;
        }
        if ready[3] {
            self.heed_links()?;
        }
        if ready[4] {
            self.steps.clear()?;
        }
        Ok(Next::GoOn)
    }
}

/// How many of the descriptors that are waited for are not of exchanges.
const OWN: usize = 6;

/// Waits until one of these is readable, or for the time; which are.
fn ready(fds: &[BorrowedFd<'_>], until: Option<Instant>) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = match until {
        None => PollTimeout::NONE,
        Some(until) => {
            let left = until.saturating_duration_since(Instant::now());
            PollTimeout::from(left.as_micros().div_ceil(1000).min(60_000) as u16)
        }
    };
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => (),
        Err(why) => return Err(why).doing("wait for something to do"),
    }
    Ok(polled.iter().map(|one| one.any().unwrap_or(true)).collect())
}

/// The clocks, as the agenda takes them.
fn now() -> Now {
    let clock::Reading { wall, boot, awake } = clock::read();
    Now { wall, boot, awake }
}
