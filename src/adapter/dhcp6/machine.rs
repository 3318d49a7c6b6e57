//! The client's part in an exchange (RFC 8415 section 18.2), without a socket and without a clock.
//!
//! [`Machine::poll`] says what to do now, [`Machine::receive`] takes what came in. Times are counted from
//! the start of the call. A datagram that is not an answer to the message in the air is counted and
//! changes nothing else: only time, or a server's word to this client, ends an exchange.

use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{MessageType, Status as Code};

use super::Client;
use super::lease::{Held, Lease};
use super::message::{Answer, Query, Status, Xid};
use super::offers::{Offer, Offers};
use super::timing::{Random, Schedule, Step};
use super::verdict::{Terms, Verdict, verdict};
use crate::error::{Error, Kind, Result};
use crate::record::Duid;

/// What a call is for.
#[derive(Debug)]
pub(super) enum Task {
    Lease,
    Renew(Held),
    Rebind(Held),
    Release(Held),
    Decline(Held),
    Confirm(Vec<Ipv6Addr>),
}

/// How a call ended well.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Leased(Lease),
    /// A server has taken note of a Release or Decline.
    Noted,
    /// Whether the addresses fit the link.
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

pub(super) struct Machine {
    client: Client,
    random: Random,
    exchange: Exchange,
    offers: Offers,
    /// The last reason that a server gave, in this exchange, for giving nothing.
    refusal: Option<Status>,
    /// Whether server discovery may still be started anew.
    may_restart: bool,
    ignored: u32,
    end: Option<Result<Outcome>>,
}

/// One message, its transmissions and the answers to it.
struct Exchange {
    kind: MessageType,
    xid: Xid,
    /// The only server that may answer.
    server: Option<Duid>,
    addresses: Vec<Ipv6Addr>,
    schedule: Schedule,
}

impl Machine {
    pub fn new(client: Client, task: Task, seed: u64) -> Machine {
        let mut random = Random::new(seed);
        let may_restart = matches!(task, Task::Lease);
        let exchange = Exchange::for_task(task, &mut random);
        Machine {
            client,
            random,
            exchange,
            offers: Offers::default(),
            refusal: None,
            may_restart,
            ignored: 0,
            end: None,
        }
    }

    /// What to do at `now`.
    pub fn poll(&mut self, now: Duration) -> Action {
        if self.end.is_none() && now >= self.client.give_up_after {
            self.fail();
        }
        if self.end.is_none() && self.is_soliciting() {
            self.weigh_offers(now);
        }
        if let Some(end) = &self.end {
            return Action::End(end.clone());
        }
        match self.exchange.schedule.step(now, &mut self.random) {
            Step::Send => Action::Send(self.query(now)),
            Step::Wait(until) => Action::Wait(until.min(self.next_decision())),
            Step::Stop => {
                self.after_silence();
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
    /// A message to one server is answered by that server alone.
    fn is_for_this(&self, answer: &Answer) -> bool {
        let from_right_server = match (&answer.server, &self.exchange.server) {
            (Some(server), Some(asked)) => server == asked,
            (server, None) => server.is_some(),
            (None, Some(_)) => false,
        };
        let expected = match (self.exchange.kind, answer.kind) {
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
            && answer.xid == self.exchange.xid
            && answer.client.as_ref() == Some(&self.client.duid)
    }

    fn answered(&mut self, now: Duration, answer: Answer) {
        // Sections 18.2.9 and 18.2.10: SOL_MAX_RT must be processed, whatever else the message says.
        if let (true, Some(longest)) = (self.is_soliciting(), answer.sol_max_rt) {
            self.exchange.schedule.set_longest(longest);
        }
        match (self.exchange.kind, answer.kind) {
            (_, MessageType::Advertise) => self.advertised(now, &answer),
            // Section 18.2.10.2: completed, "regardless of the Status Code option".
            (MessageType::Release | MessageType::Decline, _) => self.end = Some(Ok(Outcome::Noted)),
            (MessageType::Confirm, _) => self.confirmed(&answer),
            _ => self.replied(now, &answer),
        }
    }

    /// Section 18.2.9: an Advertise without addresses must be ignored, and must not restart the timer.
    fn advertised(&mut self, now: Duration, answer: &Answer) {
        let terms = match verdict(answer, self.client.iaid) {
            Verdict::Leased(terms) if !terms.addresses.is_empty() => terms,
            Verdict::Refused(status) => return self.refusal = Some(status),
            _ => return,
        };
        let addresses = terms.addresses.iter().map(|leased| leased.address).collect();
        let server = answer.server.clone().expect("checked on arrival");
        let offer = Offer { server, preference: answer.preference, addresses };
        // Section 18.2.1: preference 255 ends the collecting, and after the first RT any offer does.
        if offer.preference == u8::MAX || self.exchange.schedule.sent() > 1 {
            return self.request(offer);
        }
        let first_rt = self.exchange.schedule.due();
        self.offers.add(offer, now.saturating_add(self.client.collect).min(first_rt));
    }

    /// Section 18.2.10.3.
    fn confirmed(&mut self, answer: &Answer) {
        match answer.status.code {
            Code::Success => self.end = Some(Ok(Outcome::OnLink(true))),
            Code::NotOnLink => self.end = Some(Ok(Outcome::OnLink(false))),
            _ => self.refusal = Some(answer.status.clone()),
        }
    }

    /// Section 18.2.10.1: a Reply to Solicit with rapid commit, Request, Renew or Rebind.
    fn replied(&mut self, now: Duration, answer: &Answer) {
        match verdict(answer, self.client.iaid) {
            Verdict::Leased(terms) if self.is_enough(&terms) => self.leased(now, answer, terms),
            // Section 18.2.10: retries after UnspecFail must be limited in rate and time, and the
            // message goes by multicast in any case: so the next transmission is waited for.
            Verdict::Refused(status)
                if matches!(status.code, Code::UnspecFail | Code::UseMulticast) =>
            {
                self.refusal = Some(status);
            }
            // "Sends a Request message to the server that responded if any of the IAs in the Reply
            // message contain the NoBinding status code."
            Verdict::Refused(status) if status.code == Code::NoBinding && self.is_extending() => {
                let addresses = std::mem::take(&mut self.exchange.addresses);
                self.ask(MessageType::Request, answer.server.clone(), addresses);
            }
            Verdict::Refused(status) => self.refused(status),
            // Nothing usable: another server is asked, or else this one again when it is time.
            Verdict::Leased(_) | Verdict::Nothing => {
                self.try_next_offer();
            }
        }
    }

    /// A lease needs an address; one that is extended may also lose some.
    fn is_enough(&self, terms: &Terms) -> bool {
        !terms.addresses.is_empty() || self.is_extending()
    }

    fn leased(&mut self, now: Duration, answer: &Answer, terms: Terms) {
        self.end = Some(Ok(Outcome::Leased(Lease {
            server: answer.server.clone().expect("checked on arrival"),
            iaid: self.client.iaid,
            t1: terms.t1,
            t2: terms.t2,
            addresses: terms.addresses,
            withdrawn: terms.withdrawn,
            dns_servers: answer.dns_servers.clone(),
            search: answer.search.clone(),
            rapid: self.is_soliciting(),
            elapsed: now,
            ignored: self.ignored,
        })));
    }

    /// A server gives nothing: another that has offered is asked, or this is the end.
    fn refused(&mut self, status: Status) {
        let not_on_link = status.code == Code::NotOnLink;
        self.refusal = Some(status);
        if self.is_soliciting() {
            return;
        }
        if self.try_next_offer() {
            return;
        }
        // Section 18.2.10.1: after NotOnLink the client may "restart the DHCP server discovery
        // process"; once, so that no server can keep it busy.
        if not_on_link && std::mem::take(&mut self.may_restart) {
            self.offers = Offers::default();
            return self.ask(MessageType::Solicit, None, Vec::new());
        }
        self.fail();
    }

    /// Requests from the next best server, if the last one was asked for its offer and others wait.
    fn try_next_offer(&mut self) -> bool {
        let requested = self.exchange.kind == MessageType::Request;
        match requested.then(|| self.offers.take_best()).flatten() {
            Some(offer) => self.request(offer),
            None => return false,
        }
        true
    }

    /// The exchange has failed for want of an answer. Section 18.2.2 leaves it to the client whom to
    /// ask after a Request: the next best server.
    fn after_silence(&mut self) {
        if !self.try_next_offer() {
            self.fail();
        }
    }

    /// Requests from the best server when the time for offers is over.
    ///
    /// Where all that answered within the first RT have refused, the client stops: section 18.2.1 leaves
    /// it to the client how long to go on, and whoever wants this lease will ask again.
    fn weigh_offers(&mut self, now: Duration) {
        let first_rt_is_over =
            self.exchange.schedule.sent() > 0 && now >= self.exchange.schedule.due();
        if self.offers.are_due(now) {
            if let Some(offer) = self.offers.take_best() {
                self.request(offer);
            }
        } else if first_rt_is_over && self.refusal.is_some() && self.offers.is_empty() {
            self.fail();
        }
    }

    fn request(&mut self, offer: Offer) {
        self.ask(MessageType::Request, Some(offer.server), offer.addresses);
    }

    fn ask(&mut self, kind: MessageType, server: Option<Duid>, addresses: Vec<Ipv6Addr>) {
        self.refusal = None;
        self.exchange = Exchange::new(kind, server, addresses, &mut self.random);
    }

    fn query(&self, now: Duration) -> Vec<u8> {
        let exchange = &self.exchange;
        Query {
            kind: exchange.kind,
            xid: exchange.xid,
            client: &self.client.duid,
            server: exchange.server.as_ref(),
            iaid: self.client.iaid,
            addresses: &exchange.addresses,
            rapid_commit: self.is_soliciting() && self.client.rapid_commit,
            elapsed: exchange.schedule.elapsed(now),
        }
        .encode()
    }

    fn next_decision(&self) -> Duration {
        let offers = if self.is_soliciting() { self.offers.due() } else { Duration::MAX };
        offers.min(self.client.give_up_after)
    }

    fn is_soliciting(&self) -> bool {
        self.exchange.kind == MessageType::Solicit
    }

    fn is_extending(&self) -> bool {
        matches!(self.exchange.kind, MessageType::Renew | MessageType::Rebind)
    }

    /// Ends without an outcome: because of what a server said, or else because none said anything.
    fn fail(&mut self) {
        let what = what(self.exchange.kind);
        self.end = Some(Err(match &self.refusal {
            Some(status) => Error::new(Kind::Refused, what).why(format!("server says {status}")),
            None => Error::new(Kind::TimedOut, what).why(self.silence()),
        }));
    }

    /// How long nobody answered, and whether something else came in.
    fn silence(&self) -> String {
        let waited = self.client.give_up_after.min(self.exchange.schedule.due());
        let ignored = match self.ignored {
            0 => String::new(),
            count => format!(" (datagrams that were no answer: {count})"),
        };
        format!("no DHCPv6 server answered within {:.1} s{ignored}", waited.as_secs_f64())
    }
}

/// What could not be done when the exchange of this message fails.
fn what(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Renew | MessageType::Rebind => "renew DHCPv6 lease",
        MessageType::Release => "release DHCPv6 lease",
        MessageType::Decline => "decline DHCPv6 address",
        MessageType::Confirm => "confirm DHCPv6 address",
        _ => "lease DHCPv6 address",
    }
}

impl Exchange {
    fn for_task(task: Task, random: &mut Random) -> Exchange {
        let (kind, server, addresses) = match task {
            Task::Lease => (MessageType::Solicit, None, Vec::new()),
            Task::Renew(held) => (MessageType::Renew, Some(held.server), held.addresses),
            Task::Rebind(held) => (MessageType::Rebind, None, held.addresses),
            Task::Release(held) => (MessageType::Release, Some(held.server), held.addresses),
            Task::Decline(held) => (MessageType::Decline, Some(held.server), held.addresses),
            Task::Confirm(addresses) => (MessageType::Confirm, None, addresses),
        };
        Exchange::new(kind, server, addresses, random)
    }

    /// Section 16.1: each exchange has a transaction id of its own, and keeps it when it sends again.
    fn new(
        kind: MessageType,
        server: Option<Duid>,
        addresses: Vec<Ipv6Addr>,
        random: &mut Random,
    ) -> Exchange {
        let [a, b, c, ..] = random.next().to_be_bytes();
        Exchange { kind, xid: [a, b, c], server, addresses, schedule: Schedule::new(kind) }
    }
}

#[cfg(test)]
mod tests;
