//! What answers do to an exchange (RFC 8415 sections 18.2.9 and 18.2.10).

use std::time::Duration;

use dhcproto::v6::{MessageType, Status as Code};

use super::{Limit, Machine, Outcome};
use crate::adapter::dhcp6::lease::{Held, HeldAddress, HeldPrefix, Lease, Lifetime};
use crate::adapter::dhcp6::message::{Answer, Asked};
use crate::adapter::dhcp6::offers::{Offer, Offers};
use crate::adapter::dhcp6::verdict::{Denied, Judgement, judge};
use crate::record::Duid;

/// What a Reply gave of some associations, kept while the others are asked for again.
pub(super) struct Partial {
    lease: Lease,
    at: Duration,
}

impl Machine {
    /// Takes an answer that is for this client.
    pub(super) fn answered(&mut self, now: Duration, answer: Answer) {
        // Sections 18.2.9 and 18.2.10: SOL_MAX_RT must be processed, whatever else the message says.
        self.limit(&answer);
        match (self.asking.kind, answer.kind) {
            (_, MessageType::Advertise) => self.advertised(now, &answer),
            // Section 18.2.10.2: completed, "regardless of the Status Code option".
            (MessageType::Release | MessageType::Decline, _) => self.end = Some(Ok(Outcome::Noted)),
            (MessageType::Confirm, _) => self.confirmed(now, &answer),
            _ => self.replied(now, &answer),
        }
    }

    /// Section 18.2.9: of Advertises, a value is only taken when all that set one agree.
    fn limit(&mut self, answer: &Answer) {
        let Some(told) = answer.sol_max_rt else { return };
        let is_offer = answer.kind == MessageType::Advertise;
        self.sol_max_rt = match self.sol_max_rt {
            Limit::Said(said) if is_offer && said != told => Limit::Disputed,
            Limit::Disputed if is_offer => Limit::Disputed,
            _ => Limit::Said(told),
        };
        if self.asking.is_soliciting() {
            self.asking.schedule.set_longest(self.longest());
        }
    }

    /// Section 18.2.9: an Advertise without addresses and prefixes must be ignored, and must not
    /// restart the timer.
    fn advertised(&mut self, now: Duration, answer: &Answer) {
        let judgement = judge(answer, &self.asking.asked, self.client.iaid);
        if !judgement.terms.gives() {
            return self.remember(judgement.refused);
        }
        let server = answer.server.clone().expect("checked on arrival");
        let (preference, grants) = (answer.preference, judgement.grants);
        let asked = Asked::held(offered(&judgement, server.clone()), self.client.wants);
        let offer = Offer { server, preference, grants, asked };
        // Section 18.2.1: preference 255 ends the collecting, and after the first RT any offer does.
        if offer.preference == u8::MAX || self.asking.schedule.sent() > 1 {
            return self.request(offer);
        }
        let first_rt = self.asking.schedule.due();
        self.offers.add(offer, now.saturating_add(self.client.collect).min(first_rt));
    }

    /// Section 18.2.10.3: one server that says yes is enough, but several that say no are waited for.
    fn confirmed(&mut self, now: Duration, answer: &Answer) {
        match answer.status.code {
            Code::Success => self.end = Some(Ok(Outcome::OnLink(true))),
            Code::NotOnLink => {
                let due = now.saturating_add(self.client.collect).min(self.asking.schedule.due());
                self.off_link.get_or_insert(due);
            }
            _ => self.refusal = Some(format!("server says {}", answer.status)),
        }
    }

    /// Section 18.2.10.1: a Reply to Solicit with rapid commit, Request, Renew or Rebind.
    fn replied(&mut self, now: Duration, answer: &Answer) {
        // Section 18.2.10: retries after UnspecFail must be limited in rate and time; after
        // UseMulticast (obsolete since RFC 9915) the same message goes out by multicast, as they all
        // do: so the next transmission is waited for.
        if matches!(answer.status.code, Code::UnspecFail | Code::UseMulticast) {
            self.refusal = Some(format!("server says {}", answer.status));
            return;
        }
        let judgement = judge(answer, &self.asking.asked, self.client.iaid);
        // "Sends a Request message to the server that responded if any of the IAs in the Reply
        // message contain the NoBinding status code. The client places IA options in this message
        // for all IAs."
        if self.asking.is_extending() && judgement.has(Code::NoBinding) {
            return self.request_again(now, answer, judgement);
        }
        if judgement.terms.gives() || (self.asking.is_extending() && judgement.grants > 0) {
            return self.leased(now, answer, judgement);
        }
        let will_pass = judgement.has(Code::UnspecFail) || judgement.has(Code::UseMulticast);
        let says_why = judgement.refused.iter().any(|denied| denied.status.is_some());
        let is_not_on_link = judgement.has(Code::NotOnLink);
        self.remember(judgement.refused);
        match says_why && !will_pass {
            true => self.refused(now, is_not_on_link),
            // Nothing usable: another server is asked, or else this one again when it is time.
            false => drop(self.try_next_offer()),
        }
    }

    fn request_again(&mut self, now: Duration, answer: &Answer, judgement: Judgement) {
        if judgement.grants > 0 {
            let lease = self.lease_of(now, answer, judgement);
            self.partial = Some(Partial { lease, at: now });
        }
        let asked = self.asking.asked.clone();
        self.ask(MessageType::Request, answer.server.clone(), asked);
    }

    fn leased(&mut self, now: Duration, answer: &Answer, judgement: Judgement) {
        let mut lease = self.lease_of(now, answer, judgement);
        if let Some(earlier) = self.partly(now) {
            lease.fill(earlier);
        }
        self.end = Some(Ok(Outcome::Leased(lease)));
    }

    /// What there is although the exchange has failed.
    pub(super) fn partly(&mut self, now: Duration) -> Option<Lease> {
        let Partial { lease, at } = self.partial.take()?;
        Some(lease.aged(now.saturating_sub(at)))
    }

    fn lease_of(&self, now: Duration, answer: &Answer, judgement: Judgement) -> Lease {
        let Judgement { terms, refused, .. } = judgement;
        Lease {
            server: answer.server.clone().expect("checked on arrival"),
            iaid: self.client.iaid,
            t1: terms.t1,
            t2: terms.t2,
            addresses: terms.addresses,
            prefixes: terms.prefixes,
            withdrawn: terms.withdrawn,
            withdrawn_prefixes: terms.withdrawn_prefixes,
            refused: refused.iter().map(Denied::told).collect(),
            dns_servers: answer.dns_servers.clone(),
            search: answer.search.clone(),
            rapid: self.asking.is_soliciting(),
            elapsed: now,
            ignored: self.ignored,
        }
    }

    /// A server gives nothing: another that has offered is asked, or this is the end.
    fn refused(&mut self, now: Duration, is_not_on_link: bool) {
        if self.asking.is_soliciting() || self.try_next_offer() {
            return;
        }
        // Section 18.2.10.1: after NotOnLink the client may "restart the DHCP server discovery
        // process"; once, so that no server can keep it busy.
        if is_not_on_link && std::mem::take(&mut self.may_restart) {
            self.offers = Offers::default();
            return self.solicit();
        }
        self.fail(now);
    }

    /// Keeps why nothing was given, for the case that nothing else comes.
    fn remember(&mut self, refused: Vec<Denied>) {
        let several = refused.len() > 1;
        let told = refused.iter().filter_map(|denied| {
            let status = denied.status.as_ref()?;
            Some(if several { format!("{status} for {}", denied.ia) } else { status.to_string() })
        });
        let told: Vec<_> = told.collect();
        if !told.is_empty() {
            self.refusal = Some(format!("server says {}", told.join(", ")));
        }
    }
}

/// What a server offers, to be requested from it.
fn offered(judgement: &Judgement, server: Duid) -> Held {
    let left = Lifetime::INFINITE;
    let addresses = judgement.terms.addresses.iter();
    let prefixes = judgement.terms.prefixes.iter();
    Held {
        server,
        addresses: addresses
            .map(|leased| HeldAddress { address: leased.address, ia: leased.ia, left })
            .collect(),
        prefixes: prefixes.map(|leased| HeldPrefix { prefix: leased.prefix, left }).collect(),
    }
}
