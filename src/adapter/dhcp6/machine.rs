//! The client's part in an exchange (RFC 8415 section 18.2), without a socket and without a clock.
//!
//! [`Machine::poll`] says what to do now, [`Machine::receive`] takes what came in. Times are counted from
//! the start of the call. A datagram that is not an answer to the message in the air is counted and
//! changes nothing else: only time, or a server's word to this client, ends an exchange.

mod asking;
mod replies;

use std::time::{Duration, Instant};

use dhcproto::v6::MessageType;

use super::Client;
use super::lease::{Held, Lease};
use super::message::{Answer, Asked, Query};
use super::offers::{Offer, Offers};
use super::pace::Pace;
use super::timing::{Random, SOL_MAX_RT, Step};
use crate::error::{Error, Kind, Result};
use crate::record::Duid;
use asking::{Asking, is_past};
use replies::Partial;

/// What an exchange is for.
#[derive(Clone, Debug)]
pub enum Task {
    /// To lease what the client wants, from any server.
    Lease,
    /// To get more time from the server that gave the lease.
    Renew(Held),
    /// To get more time from any server.
    Rebind(Held),
    /// To give back what is held.
    Release(Held),
    /// To tell the server that these addresses are somebody else's; prefixes are left out.
    Decline(Held),
    /// To learn whether what is held still fits the link: by a Confirm, or where there are prefixes by
    /// a Rebind (RFC 8415 section 18.2.12).
    Confirm(Held),
}

/// How an exchange ended well.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each exchange")]
pub enum Outcome {
    /// What the server has given, after `Lease`, `Renew`, `Rebind`, and a `Confirm` with prefixes.
    Leased(Lease),
    /// A server has taken note of a Release or Decline.
    Noted,
    /// Whether the addresses fit the link, after a `Confirm` without prefixes.
    OnLink(bool),
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this to the servers and ask again.
    Send(Vec<u8>),
    /// Wait for a datagram, at most until then.
    Wait(Duration),
    /// It is over.
    End(Result<Outcome>),
}

/// What the servers have said of SOL_MAX_RT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Unsaid,
    Said(Duration),
    Disputed,
}

pub(super) struct Machine {
    client: Client,
    random: Random,
    /// The clock's zero, for `pace`.
    start: Instant,
    pace: Pace,
    asking: Asking,
    offers: Offers,
    sol_max_rt: Limit,
    /// When it is decided that the addresses do not fit, if nobody says that they do.
    off_link: Option<Duration>,
    partial: Option<Partial>,
    /// The last reason that a server gave, in this exchange, for giving nothing.
    refusal: Option<String>,
    /// Whether server discovery may still be started anew.
    may_restart: bool,
    ignored: u32,
    end: Option<Result<Outcome>>,
}

impl Machine {
    pub fn new(client: Client, task: Task, seed: u64, start: Instant) -> Machine {
        let mut random = Random::new(seed);
        let may_restart = matches!(task, Task::Lease);
        let asking = Asking::for_task(task, client.wants, &mut random);
        let mut machine = Machine {
            client,
            random,
            start,
            pace: Pace::rested(start),
            asking,
            offers: Offers::default(),
            sol_max_rt: Limit::Unsaid,
            off_link: None,
            partial: None,
            refusal: None,
            may_restart,
            ignored: 0,
            end: None,
        };
        if machine.asking.is_soliciting() {
            machine.asking.schedule.set_longest(machine.longest());
        }
        if machine.asking.is_idle() {
            machine.end = Some(Ok(Outcome::Noted));
        }
        machine
    }

    /// Goes on with the pace of the exchange before on this link.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// The limit for the time between two Solicits that the servers have set, if they agree.
    pub fn sol_max_rt(&self) -> Option<Duration> {
        match self.sol_max_rt {
            Limit::Said(limit) => Some(limit),
            Limit::Unsaid | Limit::Disputed => None,
        }
    }

    /// What to do at `now`.
    pub fn poll(&mut self, now: Duration) -> Action {
        if self.end.is_none() && now >= self.client.give_up_after {
            self.fail(now);
        }
        if self.end.is_none() && self.asking.is_soliciting() {
            self.weigh_offers(now);
        }
        if self.end.is_none() && is_past(now, self.off_link) {
            self.end = Some(Ok(Outcome::OnLink(false)));
        }
        if let Some(end) = &self.end {
            return Action::End(end.clone());
        }
        match self.asking.schedule.step(now, self.free_at(now), &mut self.random) {
            Step::Send => {
                self.pace.take(self.start + now);
                Action::Send(self.query(now))
            }
            Step::Wait(until) => Action::Wait(until.min(self.next_decision())),
            Step::Stop => {
                self.after_silence(now);
                self.poll(now)
            }
        }
    }

    /// Takes a datagram that came in at `now`.
    pub fn receive(&mut self, now: Duration, datagram: &[u8]) {
        let answer = Answer::decode(datagram).filter(|answer| self.is_for_this(answer));
        match answer {
            Some(answer) if self.end.is_none() => self.answered(now, answer),
            _ => self.ignored = self.ignored.saturating_add(1),
        }
    }

    /// Sections 16.3 and 16.10: an answer must carry the transaction id, the client's DUID and a server's.
    ///
    /// A message to one server is answered by that server alone. Of the messages that servers send
    /// unasked there is one, Reconfigure, which must be discarded without an authentication that this
    /// client, which does not offer to accept any, has no key for (section 16.11).
    fn is_for_this(&self, answer: &Answer) -> bool {
        let from_right_server = match (&answer.server, &self.asking.server) {
            (Some(server), Some(asked)) => server == asked,
            (server, None) => server.is_some(),
            (None, Some(_)) => false,
        };
        let expected = match (self.asking.kind, answer.kind) {
            (MessageType::Solicit, MessageType::Advertise) => true,
            // Section 18.2.1: "The client will discard any Reply messages that do not contain the
            // Rapid Commit option."
            (MessageType::Solicit, MessageType::Reply) => {
                self.client.rapid_commit && answer.rapid_commit
            }
            (_, MessageType::Reply) => true,
            _ => false,
        };
        expected
            && from_right_server
            && answer.xid == self.asking.xid
            && answer.client.as_ref() == Some(&self.client.duid)
    }

    /// Requests from the next best server, if the last one was asked for its offer and others wait.
    fn try_next_offer(&mut self) -> bool {
        let requested = self.asking.kind == MessageType::Request;
        match requested.then(|| self.offers.take_best()).flatten() {
            Some(offer) => self.request(offer),
            None => return false,
        }
        true
    }

    /// The exchange has failed for want of an answer. Section 18.2.2 leaves it to the client whom to
    /// ask after a Request: the next best server.
    fn after_silence(&mut self, now: Duration) {
        if !self.try_next_offer() {
            self.fail(now);
        }
    }

    /// Requests from the best server when the time for offers is over.
    ///
    /// Where all that answered within the first RT have refused, the client stops: section 18.2.1 leaves
    /// it to the client how long to go on, and whoever wants this lease will ask again.
    fn weigh_offers(&mut self, now: Duration) {
        let first_rt_is_over = self.asking.schedule.sent() > 0 && now >= self.asking.schedule.due();
        if self.offers.are_due(now) {
            if let Some(offer) = self.offers.take_best() {
                self.request(offer);
            }
        } else if first_rt_is_over && self.refusal.is_some() && self.offers.is_empty() {
            self.fail(now);
        }
    }

    fn request(&mut self, offer: Offer) {
        self.ask(MessageType::Request, Some(offer.server), offer.asked);
    }

    fn solicit(&mut self) {
        self.ask(MessageType::Solicit, None, Asked::anew(self.client.wants));
        self.asking.schedule.set_longest(self.longest());
    }

    fn ask(&mut self, kind: MessageType, server: Option<Duid>, asked: Asked) {
        self.refusal = None;
        self.asking = Asking::new(kind, server, asked, &mut self.random);
    }

    fn query(&self, now: Duration) -> Vec<u8> {
        let asking = &self.asking;
        Query {
            kind: asking.kind,
            xid: asking.xid,
            client: &self.client.duid,
            server: asking.server.as_ref(),
            iaid: self.client.iaid,
            asked: &asking.asked,
            rapid_commit: asking.is_soliciting() && self.client.rapid_commit,
            now,
            elapsed: asking.schedule.elapsed(now),
        }
        .encode()
    }

    /// MRT of a Solicit: what the servers say now, or have said before, or the default.
    fn longest(&self) -> Duration {
        match self.sol_max_rt {
            Limit::Said(limit) => limit,
            Limit::Unsaid => self.client.sol_max_rt.unwrap_or(SOL_MAX_RT),
            Limit::Disputed => SOL_MAX_RT,
        }
    }

    /// Section 14.1: when the next message may go out.
    fn free_at(&self, now: Duration) -> Duration {
        let free = self.pace.free_at(self.start + now);
        free.saturating_duration_since(self.start)
    }

    fn next_decision(&self) -> Duration {
        let offers = if self.asking.is_soliciting() { self.offers.due() } else { Duration::MAX };
        let off_link = self.off_link.unwrap_or(Duration::MAX);
        offers.min(off_link).min(self.client.give_up_after)
    }

    /// Ends with what there is, or else because of what a server said, or because none said anything.
    fn fail(&mut self, now: Duration) {
        if let Some(lease) = self.partly(now) {
            self.end = Some(Ok(Outcome::Leased(lease)));
            return;
        }
        let what = self.asking.what();
        self.end = Some(Err(match &self.refusal {
            Some(why) => Error::new(Kind::Refused, what).why(why),
            None => Error::new(Kind::TimedOut, what).why(self.silence()),
        }));
    }

    /// How long nobody answered, and whether something else came in.
    fn silence(&self) -> String {
        let waited = self.client.give_up_after.min(self.asking.schedule.due());
        let ignored = match self.ignored {
            0 => String::new(),
            count => format!(" (datagrams that were no answer: {count})"),
        };
        format!("no DHCPv6 server answered within {:.1} s{ignored}", waited.as_secs_f64())
    }
}

#[cfg(test)]
mod tests;
