//! The work on one attachment: what a thread does that may block.
//!
//! Nobody else works on the attachment meanwhile, from before its file is read until after it is
//! written; for an exchange that is until the answer has been put to use.

use std::time::{Duration, Instant};

use super::super::detach::{Keeper, is_there};
use super::super::lease4::Ask4;
use super::super::leasing::{held, wants};
use super::super::scene::Inside;
use super::super::wish::{Wish, interface};
use super::super::{Dad, Unionize};
use super::engines::{Engines, Standing};
use super::roster::{Family, Which};
use super::{Done, Order};
use crate::adapter::attachments::{Attachment, Held};
use crate::adapter::dhcp6::{self, Client, Exchange, Lifetime, Link, Outcome, Task};
use crate::error::{Error, Kind, Result};
use crate::logic::renewal::{Ask, Attempt};
use crate::record::{Action, Change, Ifname, Interface, Status};

/// How long a link may take until messages can be sent from it, and how often it is tried.
const SOON: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_millis(10);

/// What is to be known of an exchange when it ends.
pub struct Aboard {
    attempt: Attempt,
    known: Attachment,
    /// The number of the interface that it was begun on.
    index: u32,
    _held: Held,
}

impl Aboard {
    /// What is asked for.
    pub fn which(&self) -> Which {
        Which::of(&self.known.link, Family::Six)
    }
}

/// What came of the wish to ask.
pub enum TakeOff {
    /// The sockets are open.
    Aloft(Box<Exchange>, Box<Aboard>),
    /// It has been asked, and this came of it.
    Landed(Landed),
    /// Somebody else works on the attachment.
    Held,
    /// It has another lease than it was thought to have.
    Other(Box<Attachment>),
    /// There is no such attachment any more.
    Forgotten,
    /// The container is not where it was.
    Astray,
}

/// What came of an exchange.
pub struct Landed {
    /// The attachment as it is now.
    pub known: Box<Attachment>,
    /// How it went.
    pub how: How,
    /// What is told of it.
    pub change: Option<Box<Change>>,
    /// What is wrong with it.
    pub failure: Option<Error>,
}

/// How an exchange went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A lease was given, or more time for it.
    Extended,
    /// It was said whether the addresses fit the link.
    Confirmed(bool),
    /// A server said no.
    Refused,
    /// No server said anything.
    Silence,
    /// Something else went wrong.
    Failed,
}

/// What came of a look.
pub enum Looked {
    /// It is as it should be; `change` tells when it was made so.
    Fine {
        /// The attachment as it is now.
        known: Box<Attachment>,
        /// What is told of it.
        change: Option<Box<Change>>,
    },
    /// Its container does not run, or nobody can say whether it is there.
    Stopped,
    /// Its container is gone.
    Gone,
    /// It is there no more, and nothing is left of it.
    Forgotten,
    /// Somebody else works on it.
    Held,
}

/// Does what is ordered.
pub fn work(unionize: &Unionize<'_>, engines: &Engines, order: Order) -> Done {
    let keeper = &unionize.keeper;
    match order {
        Order::Ask(which, attempt) => {
            let taken = match which.family {
                Family::Six => take_off(keeper, &which.link, attempt),
                Family::Four => ask_four(keeper, &which.link, attempt),
            };
            Done::Asked(which, taken)
        }
        Order::Land(aboard, outcome) => {
            let which = aboard.which();
            Done::Landed(which, land(keeper, *aboard, outcome))
        }
        Order::Look { link, may_go } => {
            let looked = look(unionize, engines, &link, may_go);
            Done::Looked(link, looked)
        }
    }
}

/// Opens the sockets for what is to be asked.
fn take_off(keeper: &Keeper<'_>, link: &Ifname, attempt: Attempt) -> Result<TakeOff> {
    let Some(_held) = keeper.attachments.try_lock(link)? else { return Ok(TakeOff::Held) };
    let Some(known) = keeper.attachments.get(link)? else { return Ok(TakeOff::Forgotten) };
    let id = known.container.id.clone();
    let wish = Wish::of(&known, Dad::Off)?;
    let Some((duid, iaid)) = wish.client.clone() else {
        return Ok(TakeOff::Other(Box::new(known)));
    };
    let task = match (&known.lease, attempt.ask) {
        (_, Ask::Lease) => Task::Lease,
        (Some(leased), Ask::Confirm) => Task::Confirm(alive(held(leased))),
        (Some(leased), Ask::Renew) => Task::Renew(alive(held(leased))),
        (Some(leased), Ask::Rebind) => Task::Rebind(alive(held(leased))),
        (None, _) => return Ok(TakeOff::Other(Box::new(known))),
    };
    let inside = match Inside::netns(&known.container).and_then(Inside::of) {
        Err(why) if matches!(why.kind(), Kind::NotFound | Kind::BadInput) => {
            return Ok(TakeOff::Astray);
        }
        inside => inside.map_err(|why| why.at(&id))?,
    };
    let Some(inner) = inside.netlink.find_link(&known.interface)? else {
        return Ok(TakeOff::Astray);
    };
    if inner.mac != Some(known.mac) {
        let what = format_args!("use interface {}", known.interface);
        let why = Error::new(Kind::Refused, what).why("it is not the one that unionize made");
        return Err(why.at(&id));
    }
    let give_up_after = attempt.patience.min(keeper.timeout);
    let client = Client {
        wants: wants(&wish),
        rapid_commit: wish.rapid_commit,
        give_up_after,
        ..Client::new(duid, iaid)
    };
    let source = Some(wish.local);
    let at = Link { index: inner.index, name: &known.interface, source };
    let opened = inside.netns.run(|| open(&client, at, &task));
    let exchange = opened.map_err(|why| why.at(&id))?;
    let aboard = Aboard { attempt, known, index: inner.index, _held };
    Ok(TakeOff::Aloft(Box::new(exchange), Box::new(aboard)))
}

/// Has a DHCPv4 exchange from its beginning to its end. Few containers lease IPv4 addresses, so these
/// take a thread each.
fn ask_four(keeper: &Keeper<'_>, link: &Ifname, attempt: Attempt) -> Result<TakeOff> {
    let Some(_held) = keeper.attachments.try_lock(link)? else { return Ok(TakeOff::Held) };
    let Some(mut known) = keeper.attachments.get(link)? else { return Ok(TakeOff::Forgotten) };
    if !is_there(&known)? {
        return Ok(TakeOff::Astray);
    }
    let ask = match attempt.ask {
        Ask::Renew => Ask4::Renew,
        Ask::Confirm | Ask::Rebind => Ask4::Rebind,
        Ask::Lease => Ask4::Lease,
    };
    let patience = attempt.patience.min(keeper.timeout);
    let extended = keeper.extend4(&mut known, ask, patience);
    let told = extended.and_then(|(inside, index)| {
        Ok(change(&known, interface(&known, None, inside.netlink.router(index)?)))
    });
    let (how, change, failure) = match told {
        Ok(change) => (How::Extended, Some(Box::new(change)), None),
        Err(why) => {
            let (how, failure) = failed(why, attempt.ask);
            (how, None, failure)
        }
    };
    Ok(TakeOff::Landed(Landed { known: Box::new(known), how, change, failure }))
}

/// What it means that an exchange has failed, and what is wrong if that is to be told: as long as there
/// is a lease, silence is no failure.
fn failed(why: Error, ask: Ask) -> (How, Option<Error>) {
    let how = match why.kind() {
        Kind::TimedOut => How::Silence,
        Kind::Refused => How::Refused,
        _ => How::Failed,
    };
    let is_told = how != How::Silence || ask == Ask::Lease;
    (how, is_told.then_some(why))
}

/// What is held, if it is held at all. It is by the clock that runs since boot; when by the time of day
/// nothing is left of it, that was set.
fn alive(mut held: dhcp6::Held) -> dhcp6::Held {
    let mut left: Vec<&mut Lifetime> =
        held.addresses.iter_mut().map(|held| &mut held.left).collect();
    left.extend(held.prefixes.iter_mut().map(|held| &mut held.left));
    if left.iter().all(|left| left.as_secs() == 0) {
        left.into_iter().for_each(|left| *left = Lifetime::INFINITE);
    }
    held
}

/// Opens an exchange; a link that was switched on just now is waited for.
fn open(client: &Client, link: Link<'_>, task: &Task) -> Result<Exchange> {
    let until = Instant::now() + SOON;
    loop {
        match Exchange::open(client, link, task.clone()) {
            Err(why) if why.kind() == Kind::TimedOut && Instant::now() < until => {
                std::thread::sleep(MOMENT);
            }
            opened => return opened,
        }
    }
}

/// Puts to use what a server has said.
fn land(keeper: &Keeper<'_>, aboard: Aboard, outcome: Result<Outcome>) -> Landed {
    let Aboard { attempt, mut known, index, _held } = aboard;
    let told = |known: Attachment, how, failure| Landed {
        known: Box::new(known),
        how,
        change: None,
        failure,
    };
    match outcome {
        Ok(Outcome::Leased(lease)) => {
            match keeper.use_lease(&mut known, attempt.ask == Ask::Lease, &lease, index) {
                Ok(interface) => {
                    let change = Some(Box::new(change(&known, interface)));
                    Landed { known: Box::new(known), how: How::Extended, change, failure: None }
                }
                Err(why) => told(known, How::Failed, Some(why)),
            }
        }
        Ok(Outcome::OnLink(on_link)) => told(known, How::Confirmed(on_link), None),
        Ok(Outcome::Noted) => told(known, How::Failed, None),
        Err(why) => {
            let (how, failure) = failed(why, attempt.ask);
            told(known, how, failure)
        }
    }
}

/// Makes an attachment as it should be.
fn look(unionize: &Unionize<'_>, engines: &Engines, link: &Ifname, may_go: bool) -> Result<Looked> {
    let keeper = &unionize.keeper;
    let Some(_held) = keeper.attachments.try_lock(link)? else { return Ok(Looked::Held) };
    let Some(mut known) = keeper.attachments.get(link)? else { return Ok(Looked::Forgotten) };
    let id = known.container.id.clone();
    let is_gone = match engines.standing(&known.container) {
        Standing::Running(docker) => {
            known.container.docker = Some(*docker);
            false
        }
        Standing::Stopped => return Ok(Looked::Stopped),
        Standing::Gone => true,
        Standing::Unknown => match is_there(&known) {
            Ok(true) => false,
            Err(why) if why.kind() != Kind::BadInput => return Err(why.at(&id)),
            // Its engine may be back, and say what has become of it. A kernel that is busy takes seconds
            // to do away with a namespace, and the host's link is there as long.
            _ if engines.may_come_back(&known.container) => return Ok(Looked::Stopped),
            Ok(false) => true,
            Err(why) => return Err(why.at(&id)),
        },
    };
    if is_gone && !may_go {
        return Ok(Looked::Gone);
    }
    if is_gone {
        let gone = Error::new(Kind::NotFound, "its container is gone");
        keeper.report.note(&gone.remedy("taking away what is left").at(&id));
        keeper.detach(&id, link).map_err(|why| why.at(&id))?;
        return Ok(Looked::Forgotten);
    }
    match unionize.mend(&known) {
        Ok((known, made)) => {
            let change = made.map(|interface| Box::new(change(&known, interface)));
            Ok(Looked::Fine { known: Box::new(known), change })
        }
        // It has ended meanwhile, and its engine will say so.
        Err(why) if why.kind() == Kind::NotFound && !is_there(&known)? => Ok(Looked::Stopped),
        Err(why) => Err(why.at(&id)),
    }
}

impl Unionize<'_> {
    /// Makes a remembered attachment again, as far as something is missing; the attachment as it is
    /// then, and its interface if anything was done. Servers are not asked here: what is leased is put
    /// back, and the rest is left to who keeps leases.
    fn mend(&self, known: &Attachment) -> Result<(Attachment, Option<Interface>)> {
        let wish = Wish::of(known, self.options.dad)?;
        let interface = self.attach(&wish, Instant::now())?.interface;
        let known = self.keeper.attachments.get(&known.link)?.unwrap_or_else(|| known.clone());
        // The time that it took is said only if something was done.
        let made = interface.ready_ms.is_some();
        Ok((known, made.then_some(interface)))
    }
}

/// What is told of an attachment that was worked on.
fn change(known: &Attachment, interface: Interface) -> Change {
    let mut change = Change::new(Action::Keep, known.container.clone());
    change.container.interfaces = vec![interface];
    change.status = Some(Status::Done);
    change
}
