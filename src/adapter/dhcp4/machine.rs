//! The client's part in an exchange (RFC 2131 section 4.4), without a socket and without a clock.
//!
//! [`Machine::poll`] says what to do now, [`Machine::receive`] takes what came in. Times are counted from
//! the start of the call. A datagram that is not an answer to the message in the air is counted and
//! changes nothing else.

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::MessageType;
use ipnet::Ipv4Net;

use super::Client;
use super::lease::{Held, Lease};
use super::message::{Answer, Query, Saying};
use crate::error::{Error, Kind, Result};
use crate::random::Random;

/// What an exchange is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// An address.
    Lease,
    /// The address that the client had when it was last here.
    Reboot(Ipv4Addr),
    /// More time from the server that gave the lease.
    Renew(Held),
    /// More time from any server.
    Rebind(Held),
    /// Gives the lease back.
    Release(Held),
    /// Says that somebody else uses the address.
    Decline(Held),
}

/// How an exchange ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The address may be used.
    Leased(Lease),
    /// The server has taken the lease back, and says why: the address may not be used any more.
    Lost(String),
    /// A Release or Decline has been sent.
    Noted,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this and ask again.
    Send(Outgoing),
    /// Wait for a datagram, at most until then.
    Wait(Duration),
    /// It is over.
    End(Result<Outcome>),
}

/// A message, from which address it goes to which.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub message: Vec<u8>,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
}

/// What the client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For an offer.
    Selecting,
    /// For the server to confirm its offer.
    Requesting(Held),
    /// For any server to confirm what the client had.
    Rebooting(Ipv4Addr),
    /// For its server to give more time.
    Renewing(Held),
    /// For any server to give more time.
    Rebinding(Held),
    /// For nothing: what is said is all.
    Telling(MessageType, Held),
}

/// RFC 2131 section 4.1: the time between transmissions doubles up to 64 s. It begins with one second.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(64);

/// How often an offer is asked for, and a former address, before the client discovers anew. Section
/// 3.1 leaves the number to the client.
const TRIES: u32 = 3;
const REBOOT_TRIES: u32 = 2;

/// How often a server may refuse what it offered.
const REFUSALS: u32 = 2;

pub(super) struct Machine {
    client: Client,
    random: Random,
    state: State,
    xid: u32,
    /// When the client began to ask, of which `secs` counts.
    begun: Duration,
    /// The value of `secs` in the Discover, which the Request repeats (section 4.4.1).
    secs: u16,
    sent: u32,
    rt: Duration,
    due: Duration,
    /// Why a server has refused what it offered, and how often one did.
    refusal: Option<String>,
    refusals: u32,
    /// What a Discover asks for: the address that the client had.
    wish: Option<Ipv4Addr>,
    ignored: u32,
    end: Option<Result<Outcome>>,
}

impl Machine {
    pub fn new(client: Client, task: Task, seed: u64) -> Machine {
        let mut random = Random::seeded(seed);
        let (state, wish) = match task {
            Task::Lease => (State::Selecting, None),
            Task::Reboot(address) => (State::Rebooting(address), Some(address)),
            Task::Renew(held) => (State::Renewing(held), None),
            Task::Rebind(held) => (State::Rebinding(held), None),
            Task::Release(held) => (State::Telling(MessageType::Release, held), None),
            Task::Decline(held) => (State::Telling(MessageType::Decline, held), None),
        };
        let xid = random.bits() as u32;
        Machine {
            client,
            random,
            state,
            xid,
            begun: Duration::ZERO,
            secs: 0,
            sent: 0,
            rt: Duration::ZERO,
            due: Duration::ZERO,
            refusal: None,
            refusals: 0,
            wish,
            ignored: 0,
            end: None,
        }
    }

    /// What to do at `now`.
    pub fn poll(&mut self, now: Duration) -> Action {
        if self.end.is_none() && now >= self.client.give_up_after {
            self.fail();
        }
        if let Some(end) = &self.end {
            return Action::End(end.clone());
        }
        if self.sent > 0 && now < self.due {
            return Action::Wait(self.due.min(self.client.give_up_after));
        }
        let tries = match self.state {
            State::Requesting(_) => TRIES,
            State::Rebooting(_) => REBOOT_TRIES,
            _ => u32::MAX,
        };
        if self.sent >= tries {
            self.discover(now);
        }
        self.send(now)
    }

    fn send(&mut self, now: Duration) -> Action {
        self.rt = match self.sent {
            0 => FIRST,
            _ => (self.rt * 2).min(LONGEST),
        };
        // Section 4.1: "randomized by the value of a uniform random number".
        let spread = 0.9 + 0.2 * (self.random.below(1 << 20) as f64 / f64::from(1 << 20));
        self.due = now + self.rt.mul_f64(spread);
        self.sent += 1;
        if !matches!(self.state, State::Requesting(_)) {
            let secs = now.saturating_sub(self.begun).as_secs();
            self.secs = u16::try_from(secs).unwrap_or(u16::MAX);
        }
        let outgoing = self.outgoing();
        if matches!(self.state, State::Telling(..)) {
            self.end = Some(Ok(Outcome::Noted));
        }
        Action::Send(outgoing)
    }

    /// Takes the payload of a datagram that came in at `now`.
    pub fn receive(&mut self, now: Duration, datagram: &[u8]) {
        let answer = Answer::decode(datagram).filter(|answer| self.is_for_this(answer));
        let taken = match answer {
            Some(answer) if self.end.is_none() => self.take(now, &answer),
            _ => None,
        };
        if taken.is_none() {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    fn is_for_this(&self, answer: &Answer) -> bool {
        // RFC 6842 section 3: an answer with another client's identifier must be discarded.
        let identifier = answer.identifier.as_deref();
        answer.xid == self.xid
            && answer.chaddr == self.client.mac.as_bytes()
            && identifier.is_none_or(|id| id == self.client.identifier.as_bytes())
    }

    /// Does what an answer to the message in the air asks for; nothing when it is none.
    fn take(&mut self, now: Duration, answer: &Answer) -> Option<()> {
        match (answer.saying, self.state) {
            (Saying::Offer, State::Selecting) => {
                self.judge(now, answer)?;
                let held = Held { server: answer.server, address: answer.address };
                self.go(State::Requesting(held));
            }
            (Saying::Ack, State::Selecting) => {
                let rapid = self.client.rapid_commit && answer.options.has(80);
                let lease = self.judge(now, answer).filter(|_| rapid)?;
                self.end = Some(Ok(Outcome::Leased(Lease { rapid: true, ..lease })));
            }
            (Saying::Ack, state) => {
                let lease = self.judge(now, answer)?;
                let is_the_one = match state {
                    State::Requesting(held) | State::Renewing(held) => lease.held() == held,
                    State::Rebinding(held) => lease.address == held.address,
                    State::Rebooting(address) => lease.address == address,
                    State::Selecting | State::Telling(..) => false,
                };
                self.end = is_the_one.then_some(Ok(Outcome::Leased(lease)));
                self.end.as_ref()?;
            }
            (Saying::Nak, State::Requesting(held)) if answer.server == held.server => {
                self.refused(now, answer);
            }
            // Section 4.4.2: the client has been somewhere else meanwhile.
            (Saying::Nak, State::Rebooting(_)) => {
                self.wish = None;
                self.discover(now);
            }
            (Saying::Nak, State::Renewing(held)) if answer.server == held.server => {
                self.lose(answer)
            }
            (Saying::Nak, State::Rebinding(_)) => self.lose(answer),
            _ => return None,
        }
        Some(())
    }

    /// The lease that an answer offers or gives, if an honest server would.
    fn judge(&self, now: Duration, answer: &Answer) -> Option<Lease> {
        let times = answer.times()?;
        let prefix_len = answer.prefix_len()?;
        let own = Ipv4Net::new(answer.address, prefix_len).ok()?;
        // What is sent to one of these comes to no router; but see RFC 3021.
        let special = [own.network(), own.broadcast()];
        let special = if prefix_len <= 30 { &special[..] } else { &[] };
        let is_router = |router: &Ipv4Addr| *router != answer.address && !special.contains(router);
        let options = &answer.options;
        // RFC 3442: with these the router option must be ignored.
        let routes = options.routes(121);
        let router = match &routes {
            Some(routes) => {
                let to_all = routes.iter().find(|(net, _)| net.prefix_len() == 0);
                to_all.map(|(_, router)| *router).filter(|router| !router.is_unspecified())
            }
            None => options.stations(3).into_iter().find(is_router),
        };
        let others = routes.unwrap_or_default().into_iter().filter(|(net, router)| {
            let is_taken = router.is_unspecified() || is_router(router);
            is_taken && net.prefix_len() > 0 && !net.addr().is_loopback()
        });
        let mut search = options.domains(119);
        // A client may search the domain that it is in (RFC 3397 section 2 has the list override it).
        if search.is_empty() {
            search.extend(options.name(15));
        }
        Some(Lease {
            server: answer.server,
            address: answer.address,
            prefix_len,
            t1: times.t1,
            t2: times.t2,
            valid: times.valid,
            router: router.filter(is_router),
            routes: others.collect(),
            dns_servers: options.stations(6),
            search,
            mtu: options.short(26).filter(|mtu| *mtu >= 576),
            rapid: false,
            elapsed: now,
            ignored: self.ignored,
        })
    }

    /// Section 3.1.5: after a NAK the client starts anew.
    fn refused(&mut self, now: Duration, answer: &Answer) {
        self.refusal = Some(words(answer));
        self.refusals += 1;
        if self.refusals > REFUSALS {
            return self.fail();
        }
        self.wish = None;
        self.discover(now);
    }

    fn lose(&mut self, answer: &Answer) {
        self.end = Some(Ok(Outcome::Lost(words(answer))));
    }

    fn discover(&mut self, now: Duration) {
        self.xid = self.random.bits() as u32;
        self.begun = now;
        self.go(State::Selecting);
    }

    fn go(&mut self, state: State) {
        self.state = state;
        self.sent = 0;
        self.due = Duration::ZERO;
    }

    /// RFC 2131 tables 4 and 5: what each message says, and where it goes.
    fn outgoing(&self) -> Outgoing {
        let (nobody, everybody) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        let mut query = Query {
            client: &self.client,
            kind: MessageType::Request,
            xid: self.xid,
            secs: self.secs,
            ciaddr: None,
            requested: None,
            server: None,
        };
        let (from, to) = match self.state {
            State::Selecting => {
                (query.kind, query.requested) = (MessageType::Discover, self.wish);
                (nobody, everybody)
            }
            State::Requesting(held) => {
                (query.requested, query.server) = (Some(held.address), Some(held.server));
                (nobody, everybody)
            }
            State::Rebooting(address) => {
                query.requested = Some(address);
                (nobody, everybody)
            }
            State::Renewing(held) => {
                query.ciaddr = Some(held.address);
                (held.address, held.server)
            }
            State::Rebinding(held) => {
                query.ciaddr = Some(held.address);
                (held.address, everybody)
            }
            State::Telling(kind, held) => {
                (query.kind, query.server) = (kind, Some(held.server));
                match kind {
                    MessageType::Release => {
                        query.ciaddr = Some(held.address);
                        (held.address, held.server)
                    }
                    _ => {
                        query.requested = Some(held.address);
                        (nobody, everybody)
                    }
                }
            }
        };
        Outgoing { message: query.encode(), from, to }
    }

    /// Ends without an outcome: because of what a server said, or else because none said anything.
    fn fail(&mut self) {
        let what = match self.state {
            State::Renewing(_) | State::Rebinding(_) => "renew DHCPv4 lease",
            _ => "lease DHCPv4 address",
        };
        self.end = Some(Err(match &self.refusal {
            Some(why) => Error::new(Kind::Refused, what).why(format!("server says {why}")),
            None => Error::new(Kind::TimedOut, what).why(self.silence()),
        }));
    }

    /// How long nobody answered, and whether something else came in.
    fn silence(&self) -> String {
        let ignored = match self.ignored {
            0 => String::new(),
            count => format!(" (datagrams that were no answer: {count})"),
        };
        let waited = self.client.give_up_after.as_secs_f64();
        format!("no DHCPv4 server answered within {waited:.1} s{ignored}")
    }
}

/// What a server says with its refusal (RFC 2132 section 9.9).
fn words(answer: &Answer) -> String {
    match answer.options.get(56) {
        Some(words) => format!("no: {}", String::from_utf8_lossy(words)),
        None => "no".to_owned(),
    }
}

#[cfg(test)]
mod tests;
