//! What the one thread makes of what it is told.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::engines::News;
use super::roster::{Family, Known, Print, Which};
use super::tend::{How, Landed, Looked, TakeOff};
use super::wires::Follows;
use super::{
    AGAIN, ASKING, CONFIRMED_EACH, CONFIRMED_WITHIN, CORRECTED_WITHIN, Done, GONE, Next, SETTLED,
    Service, VERDICT, now,
};
use crate::adapter::attachments::Attachment;
use crate::adapter::netlink::Netlink;
use crate::error::{Error, Kind, Result};
use crate::logic::renewal::{Course, Now, Outcome, Terms, share};
use crate::record::{Action, Addressing, Change, Ifname, Plug};

impl Service<'_> {
    /// Takes in what a thread has done, or what has happened.
    pub(super) fn take_in(&mut self, done: Done) -> Result<Next> {
        match done {
            Done::Asked(link, taken) => self.asked(link, taken)?,
            Done::Landed(link, landed) => self.landed(link, landed)?,
            Done::Looked(link, looked) => self.looked(link, looked)?,
            Done::Engine(news) => self.heed_engine(news),
            Done::ReaderLeft => return Ok(Next::End),
        }
        Ok(Next::GoOn)
    }

    fn asked(&mut self, which: Which, taken: Result<TakeOff>) -> Result<()> {
        let taken = match taken {
            Ok(TakeOff::Aloft(exchange, aboard)) => {
                self.air.add(*exchange, aboard);
                return Ok(());
            }
            Ok(TakeOff::Landed(landed)) => return self.landed(which, landed),
            taken => taken,
        };
        let link = &which.link;
        self.busy.remove(link);
        self.agenda.done(&which, Outcome::Failed);
        match taken {
            Ok(TakeOff::Aloft(..) | TakeOff::Landed(_) | TakeOff::Held) => (),
            Ok(TakeOff::Other(known)) => self.know(&known, now()),
            Ok(TakeOff::Forgotten) => self.forget(link),
            Ok(TakeOff::Astray) => drop(self.looks.insert(which.link)),
            Err(why) => self.trouble(link, None, why)?,
        }
        Ok(())
    }

    fn landed(&mut self, which: Which, landed: Landed) -> Result<()> {
        let link = which.link.clone();
        self.busy.remove(&link);
        let now = now();
        let Landed { known, how, change, failure } = landed;
        let outcome = match (how, print(&known, which.family)) {
            (How::Extended, Some(print)) => Outcome::Extended(terms(&print, now)),
            (How::Extended | How::Failed, _) => Outcome::Failed,
            (How::Confirmed(on_link), _) => Outcome::Confirmed(on_link),
            (How::Refused, _) => Outcome::Refused,
            (How::Silence, _) => Outcome::Silence,
        };
        // Its course goes on with these terms, so they are known before it is looked at what is new.
        self.agenda.done(&which, outcome);
        if let Outcome::Extended(_) = outcome {
            self.note(&known);
        } else {
            self.know(&known, now);
        }
        if let Some(change) = change {
            self.troubles.remove(&link);
            self.tell(*change)?;
        }
        if let Some(why) = failure {
            self.trouble(&link, Some(&known), why)?;
        }
        self.tell_of_silence(&known);
        Ok(())
    }

    fn looked(&mut self, link: Ifname, looked: Result<Looked>) -> Result<()> {
        self.busy.remove(&link);
        let was_unclear = self.unclear.remove(&link);
        match looked {
            Ok(Looked::Fine { known, change }) => {
                let is_new = self.seen.insert(link.clone());
                self.stopped.remove(&link);
                self.gone.remove(&link);
                self.troubles.remove(&link);
                let now = now();
                self.know(&known, now);
                for family in Family::BOTH {
                    let which = Which::of(&link, family);
                    if asks(&known, family) && print(&known, family).is_none() {
                        // It is not held, so nobody asks any more.
                        let course = Course::new(Terms::none(), 0.0, is_rebound(&known, family));
                        self.agenda.put(&which, &segment(&known), course);
                    } else if is_new || change.is_some() {
                        let spread = self.spread(self.roster.len());
                        self.agenda.change(&which, |course| course.doubted(now.boot, spread));
                    }
                }
                if let Some(change) = change {
                    // Whether an address is another station's is known in a second or two.
                    self.look_later(&link, VERDICT);
                    self.tell(*change)?;
                }
            }
            Ok(Looked::Stopped) => {
                self.gone.remove(&link);
                self.drop_courses(&link);
                self.stopped.insert(link);
            }
            Ok(Looked::Gone) => {
                self.gone.entry(link.clone()).or_insert(now().boot);
                self.drop_courses(&link);
                self.stopped.insert(link.clone());
                self.look_later(&link, GONE);
            }
            Ok(Looked::Forgotten) => self.forget(&link),
            Ok(Looked::Held) => self.look_later(&link, SETTLED),
            // Of a container that ends some parts are left for a moment.
            Err(_) if !was_unclear => {
                self.unclear.insert(link.clone());
                self.look_later(&link, SETTLED);
            }
            Err(why) => {
                self.unclear.insert(link.clone());
                self.look_later(&link, AGAIN);
                self.trouble(&link, None, why)?;
            }
        }
        Ok(())
    }

    /// Writes a change.
    fn tell(&mut self, change: Change) -> Result<()> {
        self.keeper.report.used();
        self.output.write(&change.into())
    }

    /// Tells what is wrong with an attachment, once for as long as it is the same.
    fn trouble(&mut self, link: &Ifname, known: Option<&Attachment>, why: Error) -> Result<()> {
        let text = why.to_string();
        if self.troubles.get(link) == Some(&text) {
            return Ok(());
        }
        self.troubles.insert(link.clone(), text);
        let Some(known) = known else {
            self.keeper.report.failed(&why.at(link));
            return Ok(());
        };
        self.keeper.report.failed(&why.clone().at(&known.container.id));
        let change = Change::new(Action::Keep, known.container.clone()).failed(&why);
        self.tell(change)
    }

    /// Tells when nobody answers on a segment, and when somebody does again.
    fn tell_of_silence(&mut self, known: &Attachment) {
        let segment = segment(known);
        let silent = self.agenda.silence(&segment).is_some();
        let note = Error::new(Kind::TimedOut, "ask DHCP servers").at(&segment);
        if silent && self.silent.insert(segment.clone()) {
            let note = note.why("none answers").remedy("leases stay as they are; asking goes on");
            self.keeper.report.note(&note);
        } else if !silent && self.silent.remove(&segment) {
            self.keeper.report.note(&note.why("one answers again"));
        }
    }

    /// Takes an attachment in as it is now. A lease that is known goes on as before: its times are
    /// those of the boot clock when it was first read, whatever was done to the other since.
    fn know(&mut self, attachment: &Attachment, now: Now) {
        let link = &attachment.link;
        let before = self.note(attachment);
        if self.stopped.contains(link) {
            return self.drop_courses(link);
        }
        let segment = segment(attachment);
        let moved = before.as_ref().is_none_or(|before| before.segment != segment);
        for (at, family) in Family::BOTH.into_iter().enumerate() {
            let which = Which::of(link, family);
            let print = print(attachment, family);
            let same = !moved && before.as_ref().is_some_and(|before| before.leases[at] == print);
            if same && self.agenda.course(&which).is_some() {
                continue;
            }
            let terms = match print {
                Some(print) => terms(&print, now),
                // Somebody asks for it now, or was killed while he did.
                None if asks(attachment, family) => Terms::ending(now.boot + ASKING),
                None => {
                    self.agenda.remove(&which);
                    continue;
                }
            };
            let rebound = is_rebound(attachment, family);
            let share = share(&format!("{link}{}", ["", "/4"][at]));
            self.agenda.put(&which, &segment, Course::new(terms, share, rebound));
        }
    }

    fn drop_courses(&mut self, link: &Ifname) {
        Family::BOTH.into_iter().for_each(|family| self.agenda.remove(&Which::of(link, family)));
    }

    /// Lets both leases of an attachment be in doubt.
    fn doubt(&mut self, link: &Ifname, now: Now, spread: Duration) {
        for family in Family::BOTH {
            let which = Which::of(link, family);
            self.agenda.change(&which, |course| course.doubted(now.boot, spread));
        }
    }

    /// Writes down what is to be known of an attachment; what was known before.
    fn note(&mut self, attachment: &Attachment) -> Option<Known> {
        let known = Known {
            segment: segment(attachment),
            docker: attachment.container.docker.as_ref().map(|docker| docker.id.clone()),
            leases: Family::BOTH.map(|family| print(attachment, family)),
        };
        self.roster.put(&attachment.link, known)
    }

    fn forget(&mut self, link: &Ifname) {
        self.roster.remove(link);
        self.drop_courses(link);
        self.seen.remove(link);
        self.stopped.remove(link);
        self.gone.remove(link);
        self.unclear.remove(link);
        self.troubles.remove(link);
        self.looks.remove(link);
        self.later.remove(link);
    }

    fn look_later(&mut self, link: &Ifname, after: Duration) {
        if self.roster.get(link).is_some() {
            self.later.insert(link.clone(), now().boot + after);
        }
    }

    /// Has all attachments looked at.
    pub(super) fn look_at_all(&mut self) {
        self.looks.extend(self.roster.links().cloned());
    }

    fn spread(&self, count: usize) -> Duration {
        CONFIRMED_WITHIN + CONFIRMED_EACH * u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What it means that clocks have jumped.
    pub(super) fn heed_clocks(&mut self, now: Now) {
        let jumps = self.clocks.look(now);
        if jumps.set {
            let note = Error::new(Kind::Io, "the clock was set");
            self.keeper
                .report
                .note(&note.remedy("renewing all leases, so that their times are right"));
            self.agenda.change_all(|_, course| course.hurried(now.boot, CORRECTED_WITHIN));
        }
        if jumps.slept {
            let note = Error::new(Kind::Io, "the machine has slept");
            self.keeper.report.note(&note.remedy("confirming all leases"));
            let spread = self.spread(self.roster.len());
            self.agenda.change_all(|_, course| course.doubted(now.boot, spread));
        }
    }

    /// Reads all attachments.
    pub(super) fn list(&mut self) -> Result<()> {
        let (found, wrong) = self.keeper.attachments.list()?;
        wrong.iter().for_each(|why| self.keeper.report.note(why));
        let now = now();
        let there: HashSet<&Ifname> = found.iter().map(|known| &known.link).collect();
        let gone = self.roster.links().filter(|link| !there.contains(link));
        let gone: Vec<Ifname> = gone.cloned().collect();
        gone.iter().for_each(|link| self.forget(link));
        found.iter().for_each(|known| self.know(known, now));
        Ok(())
    }

    /// Reads again what has changed in the directory. What is worked on here is read by who does it.
    pub(super) fn heed_directory(&mut self) -> Result<()> {
        let seen = self.directory.read()?;
        if seen.all {
            return self.list();
        }
        let now = now();
        for name in seen.names {
            let name =
                name.as_bytes().strip_suffix(b".json").and_then(|n| std::str::from_utf8(n).ok());
            let Some(link) = name.and_then(|name| name.parse::<Ifname>().ok()) else { continue };
            if self.busy.contains(&link) {
                continue;
            }
            match self.keeper.attachments.get(&link) {
                Ok(Some(known)) if self.stopped.contains(&link) => {
                    self.roster.remove(&known.link);
                    self.know(&known, now);
                    self.looks.insert(link);
                }
                Ok(Some(known)) => {
                    self.know(&known, now);
                    self.seen.insert(link);
                }
                Ok(None) => self.forget(&link),
                Err(why) => self.keeper.report.note(&why),
            }
        }
        Ok(())
    }

    /// Reads all links of the host.
    pub(super) fn list_wires(&mut self) -> Result<()> {
        let wires = Netlink::open()?.wires()?;
        let (roster, known) = (&self.roster, &mut self.wires);
        let follows =
            known.listed(&wires, |name| roster.get(name).is_some(), |name| roster.is_segment(name));
        follows.into_iter().for_each(|follows| self.follow(follows));
        Ok(())
    }

    /// Takes in what has become of the host's links.
    pub(super) fn heed_links(&mut self) -> Result<()> {
        let seen = self.changes.read()?;
        let roster = &self.roster;
        let mut all = Vec::new();
        for wire in &seen.wires {
            let (is_link, is_segment) = (
                |name: &Ifname| roster.get(name).is_some(),
                |name: &Ifname| roster.is_segment(name),
            );
            all.extend(self.wires.heard(wire, is_link, is_segment));
        }
        all.into_iter().for_each(|follows| self.follow(follows));
        if seen.all { self.list_wires() } else { Ok(()) }
    }

    fn follow(&mut self, follows: Follows) {
        let now = now();
        match follows {
            Follows::Doubt(link) => {
                self.doubt(&link, now, CONFIRMED_WITHIN);
                // If it was switched off inside, its IPv6 addresses and routes are gone.
                self.look_later(&link, SETTLED);
            }
            Follows::DoubtAll(segment) => {
                let links: Vec<Ifname> = self.roster.on_segment(&segment).cloned().collect();
                let spread = self.spread(links.len());
                for link in links {
                    self.doubt(&link, now, spread);
                }
            }
            // A container that ends takes its link along before its engine says so.
            Follows::Look(link) => self.look_later(&link, SETTLED),
            Follows::LookAll(segment) => {
                self.looks.extend(self.roster.on_segment(&segment).cloned());
            }
        }
    }

    fn heed_engine(&mut self, news: News) {
        match news {
            News::Changed(id) => self.looks.extend(self.roster.of_docker(&id).cloned()),
            News::Up(at) => {
                if self.away.remove(&at) {
                    let what = format!("{} answers again", self.engines.url(at));
                    self.keeper.report.note(&Error::new(Kind::Unavailable, what));
                }
                self.decided(at);
                if self.undecided.is_empty() {
                    self.look_at_all();
                }
            }
            News::Down(at, why) => {
                if self.away.insert(at) {
                    self.keeper.report.note(&why);
                }
                if self.decided(at) && self.undecided.is_empty() {
                    self.look_at_all();
                }
            }
        }
    }

    /// Notes that it is known whether an engine is there; whether it was not before.
    fn decided(&mut self, at: usize) -> bool {
        self.undecided.remove(&at)
    }
}

/// What the attachment is plugged into on the host: what shares it has the same servers.
fn segment(known: &Attachment) -> Ifname {
    match known.network.plug() {
        Ok(Plug::Bridge { bridge, .. }) => bridge,
        _ => known.link.clone(),
    }
}

/// Whether a lease is asked for.
fn asks(known: &Attachment, family: Family) -> bool {
    match family {
        Family::Six => known.asking,
        Family::Four => known.network.addresses.contains(&Addressing::Dhcp4),
    }
}

/// Whether Rebind takes the place of Confirm: where a prefix is delegated, and in DHCPv4.
fn is_rebound(known: &Attachment, family: Family) -> bool {
    family == Family::Four || known.network.delegate.is_some()
}

/// The terms of a lease, by the clocks as they are now.
fn terms(print: &Print, now: Now) -> Terms {
    Terms::of(print.obtained, print.renew, print.rebind, print.end, now)
}

/// What a lease is known by.
fn print(known: &Attachment, family: Family) -> Option<Print> {
    match family {
        Family::Six => {
            let leased = known.lease.as_ref()?;
            let addresses = leased.addresses.iter().map(|address| address.valid_until);
            let ends = addresses.chain(leased.prefixes.iter().map(|prefix| prefix.valid_until));
            Some(Print {
                obtained: leased.obtained_at,
                renew: leased.renew_at,
                rebind: leased.rebind_at,
                end: last(ends, leased.obtained_at),
            })
        }
        Family::Four => {
            let leased = known.lease4.as_ref()?;
            Some(Print {
                obtained: leased.obtained_at,
                renew: leased.renew_at,
                rebind: leased.rebind_at,
                end: leased.address.valid_until,
            })
        }
    }
}

/// The last of these times, where absent is never; the first argument's alternative when there are none.
fn last(
    ends: impl Iterator<Item = Option<jiff::Timestamp>>,
    otherwise: jiff::Timestamp,
) -> Option<jiff::Timestamp> {
    ends.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(otherwise))
}
