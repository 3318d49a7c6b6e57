//! The messages that this client sends and reads, in types of its own over dhcproto's wire format.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{self, DhcpOption, DhcpOptions, MessageType, OptionCode};
use dhcproto::{Decodable, Encodable};

use ipnet::Ipv6Net;

use super::Wants;
use super::lease::{Held, HeldAddress, HeldPrefix, Ia, Lifetime};
use super::sieve::sift;
use crate::record::{Duid, Hostname};

/// How many name servers, and how many search domains, are taken from one message.
const MOST_NAMES: usize = 32;

/// How many addresses, and how many prefixes, are taken from one association.
const MOST_LEASES: usize = 32;

/// The number that ties answers to a question (RFC 8415 section 8).
pub(super) type Xid = [u8; 3];

/// What a message of the client's is about.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The associations that stand in the message, with or without addresses or prefixes.
    pub wants: Wants,
    pub addresses: Vec<HeldAddress>,
    pub prefixes: Vec<HeldPrefix>,
}

impl Asked {
    /// These associations, with nothing in them but the length of prefix that is wanted.
    pub fn anew(wants: Wants) -> Asked {
        Asked { wants, addresses: Vec::new(), prefixes: Vec::new() }
    }

    /// What is held, and these associations as well where nothing is held of them.
    pub fn held(held: Held, wants: Wants) -> Asked {
        let Held { addresses, prefixes, .. } = held;
        let holds = |ia| addresses.iter().any(|held: &HeldAddress| held.ia == ia);
        let delegate = wants.delegate.or_else(|| prefixes.first().map(|_| 0));
        let wants = Wants {
            address: wants.address || holds(Ia::Na),
            temporary: wants.temporary || holds(Ia::Ta),
            delegate,
        };
        Asked { wants, addresses, prefixes }
    }

    /// What is held, even what may not be valid any more.
    pub fn whole(mut held: Held) -> Asked {
        held.addresses.iter_mut().for_each(|held| held.left = Lifetime::INFINITE);
        held.prefixes.iter_mut().for_each(|held| held.left = Lifetime::INFINITE);
        Asked::held(held, Wants::NOTHING)
    }

    /// Without the prefixes, of which some messages must not speak.
    pub fn without_prefixes(self) -> Asked {
        let wants = Wants { delegate: None, ..self.wants };
        Asked { wants, prefixes: Vec::new(), ..self }
    }
}

/// A message from the client to servers.
pub(super) struct Query<'a> {
    pub kind: MessageType,
    pub xid: Xid,
    pub client: &'a Duid,
    /// The one server that is meant; absent when any may answer.
    pub server: Option<&'a Duid>,
    pub iaid: u32,
    pub asked: &'a Asked,
    pub rapid_commit: bool,
    /// Since the call began, which is when the time that is left of each lease was told.
    pub now: Duration,
    /// Since the first message of the exchange.
    pub elapsed: Duration,
}

impl Query<'_> {
    /// The message as it goes on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut options = DhcpOptions::new();
        options.insert(DhcpOption::ClientId(self.client.as_bytes().to_vec()));
        if let Some(server) = self.server {
            options.insert(DhcpOption::ServerId(server.as_bytes().to_vec()));
        }
        for ia in self.asked.wants.associations() {
            options.insert(self.association(ia));
        }
        options.insert(DhcpOption::ElapsedTime(self.hundredths()));
        if self.rapid_commit {
            options.insert(DhcpOption::RapidCommit);
        }
        if self.asks_for_options() {
            // Section 21.24: a client must ask for SOL_MAX_RT in any Option Request that it sends.
            let opts = vec![
                OptionCode::DomainNameServers,
                OptionCode::DomainSearchList,
                OptionCode::SolMaxRt,
            ];
            options.insert(DhcpOption::ORO(v6::ORO { opts }));
        }
        let mut message = v6::Message::new_with_id(self.kind, self.xid);
        message.set_opts(options);
        message.to_vec().expect("a vector takes all that is written to it")
    }

    /// Sections 21.4, 21.6, 21.21 and 21.22: a client leaves T1, T2 and the lifetimes at 0, for the
    /// server to set.
    fn association(&self, ia: Ia) -> DhcpOption {
        let id = self.iaid;
        match ia {
            Ia::Na => DhcpOption::IANA(v6::IANA { id, t1: 0, t2: 0, opts: self.addresses(ia) }),
            Ia::Ta => DhcpOption::IATA(v6::IATA { id, opts: self.addresses(ia) }),
            Ia::Pd => DhcpOption::IAPD(v6::IAPD { id, t1: 0, t2: 0, opts: self.prefixes() }),
        }
    }

    fn addresses(&self, ia: Ia) -> DhcpOptions {
        let held = self.asked.addresses.iter().filter(|held| held.ia == ia);
        let address = |addr| {
            let opts = DhcpOptions::new();
            DhcpOption::IAAddr(v6::IAAddr { addr, preferred_life: 0, valid_life: 0, opts })
        };
        // Sections 15 and 18.2.4: what is not valid any more must not be asked for.
        let valid = held.filter(|held| !held.left.is_over(self.now));
        valid.map(|held| address(held.address)).collect()
    }

    /// The prefixes that are held, or else the length that is wanted, which is a hint to the server
    /// (section 18.2.4, RFC 8168).
    fn prefixes(&self) -> DhcpOptions {
        let prefix = |prefix_ip, prefix_len| {
            let (preferred_lifetime, valid_lifetime, opts) = (0, 0, DhcpOptions::new());
            DhcpOption::IAPrefix(v6::IAPrefix {
                preferred_lifetime,
                valid_lifetime,
                prefix_len,
                prefix_ip,
                opts,
            })
        };
        let valid = self.asked.prefixes.iter().filter(|held| !held.left.is_over(self.now));
        let held: Vec<_> = valid.map(|held| held.prefix).collect();
        let hint = self.asked.wants.delegate.filter(|len| held.is_empty() && *len > 0);
        let held = held.iter().map(|held| prefix(held.network(), held.prefix_len()));
        held.chain(hint.map(|len| prefix(Ipv6Addr::UNSPECIFIED, len))).collect()
    }

    /// Section 21.9: hundredths of a second, 0xffff for all that is longer.
    fn hundredths(&self) -> u16 {
        u16::try_from(self.elapsed.as_millis() / 10).unwrap_or(u16::MAX)
    }

    /// Sections 18.2.1, 18.2.2, 18.2.4 and 18.2.5 want an Option Request; the others have no use for it.
    fn asks_for_options(&self) -> bool {
        use MessageType::{Rebind, Renew, Request, Solicit};
        matches!(self.kind, Solicit | Request | Renew | Rebind)
    }
}

/// A message from a server to the client.
#[derive(Debug)]
pub(super) struct Answer {
    pub kind: MessageType,
    pub xid: Xid,
    pub client: Option<Duid>,
    pub server: Option<Duid>,
    /// Section 18.2.1: without a Preference option it is 0.
    pub preference: u8,
    pub rapid_commit: bool,
    pub status: Status,
    pub associations: Vec<Association>,
    pub dns_servers: Vec<Ipv6Addr>,
    pub search: Vec<Hostname>,
    /// The server's limit for the time between two Solicits, where it sets one that is allowed.
    pub sol_max_rt: Option<Duration>,
}

/// What an answer says of one identity association.
#[derive(Debug)]
pub(super) struct Association {
    pub ia: Ia,
    pub iaid: u32,
    /// Zero for an IA_TA, which has none.
    pub t1: u32,
    pub t2: u32,
    pub status: Status,
    pub addresses: Vec<Offered<Ipv6Addr>>,
    pub prefixes: Vec<Offered<Ipv6Net>>,
}

/// What an answer says of one address or prefix.
#[derive(Debug)]
pub(super) struct Offered<T> {
    pub what: T,
    pub preferred: Lifetime,
    pub valid: Lifetime,
    pub status: Status,
}

/// A status code and the server's words for it (section 21.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub code: v6::Status,
    text: String,
}

impl Answer {
    /// The message in a datagram; nothing when it is none that could be relied on.
    pub fn decode(datagram: &[u8]) -> Option<Answer> {
        let message = v6::Message::from_bytes(&sift(datagram)?).ok()?;
        let mut answer = Answer::empty(message.msg_type(), message.xid());
        for option in message.opts().iter() {
            answer.take(option);
        }
        answer.status = Status::among(message.opts());
        Some(answer)
    }

    fn empty(kind: MessageType, xid: Xid) -> Answer {
        Answer {
            kind,
            xid,
            client: None,
            server: None,
            preference: 0,
            rapid_commit: false,
            status: Status::success(),
            associations: Vec::new(),
            dns_servers: Vec::new(),
            search: Vec::new(),
            sol_max_rt: None,
        }
    }

    fn take(&mut self, option: &DhcpOption) {
        match option {
            DhcpOption::ClientId(bytes) => self.client = Duid::new(bytes),
            DhcpOption::ServerId(bytes) => self.server = Duid::new(bytes),
            DhcpOption::IANA(ia) => {
                self.associations.push(Association::new(Ia::Na, ia.id, (ia.t1, ia.t2), &ia.opts));
            }
            DhcpOption::IATA(ia) => {
                self.associations.push(Association::new(Ia::Ta, ia.id, (0, 0), &ia.opts));
            }
            DhcpOption::IAPD(ia) => {
                self.associations.push(Association::new(Ia::Pd, ia.id, (ia.t1, ia.t2), &ia.opts));
            }
            DhcpOption::Preference(preference) => self.preference = *preference,
            DhcpOption::RapidCommit => self.rapid_commit = true,
            DhcpOption::DomainNameServers(servers) => {
                self.dns_servers = servers.iter().copied().take(MOST_NAMES).collect();
            }
            DhcpOption::DomainSearchList(names) => {
                let hostname = |name: &str| name.trim_end_matches('.').parse().ok();
                let names = names.iter().filter_map(|name| hostname(&name.to_ascii()));
                self.search = names.take(MOST_NAMES).collect();
            }
            DhcpOption::Unknown(other) if other.code() == OptionCode::SolMaxRt => {
                self.sol_max_rt = sol_max_rt(other.data());
            }
            _ => {}
        }
    }
}

/// Section 21.24: a value outside of 60 to 86400 seconds must be ignored.
fn sol_max_rt(data: &[u8]) -> Option<Duration> {
    let secs = u32::from_be_bytes(data.try_into().ok()?);
    (60..=86400).contains(&secs).then(|| Duration::from_secs(secs.into()))
}

impl Association {
    fn new(ia: Ia, iaid: u32, (t1, t2): (u32, u32), options: &DhcpOptions) -> Association {
        let address = |option: &DhcpOption| match option {
            DhcpOption::IAAddr(address) => Some(Offered::from(address)),
            _ => None,
        };
        let prefix = |option: &DhcpOption| match option {
            DhcpOption::IAPrefix(prefix) => Offered::of_prefix(prefix),
            _ => None,
        };
        Association {
            ia,
            iaid,
            t1,
            t2,
            status: Status::among(options),
            addresses: options.iter().filter_map(address).take(MOST_LEASES).collect(),
            prefixes: options.iter().filter_map(prefix).take(MOST_LEASES).collect(),
        }
    }
}

impl From<&v6::IAAddr> for Offered<Ipv6Addr> {
    fn from(address: &v6::IAAddr) -> Offered<Ipv6Addr> {
        Offered {
            what: address.addr,
            preferred: Lifetime::from_secs(address.preferred_life),
            valid: Lifetime::from_secs(address.valid_life),
            status: Status::among(&address.opts),
        }
    }
}

impl Offered<Ipv6Net> {
    /// The prefix, without what may stand behind its length; nothing when the length is none.
    fn of_prefix(prefix: &v6::IAPrefix) -> Option<Offered<Ipv6Net>> {
        Some(Offered {
            what: Ipv6Net::new(prefix.prefix_ip, prefix.prefix_len).ok()?.trunc(),
            preferred: Lifetime::from_secs(prefix.preferred_lifetime),
            valid: Lifetime::from_secs(prefix.valid_lifetime),
            status: Status::among(&prefix.opts),
        })
    }
}

impl Status {
    fn success() -> Status {
        Status { code: v6::Status::Success, text: String::new() }
    }

    /// Section 21.13: where there is no Status Code option, the status is Success.
    fn among(options: &DhcpOptions) -> Status {
        match options.get(OptionCode::StatusCode) {
            Some(DhcpOption::StatusCode(status)) => {
                Status { code: status.status, text: status.msg.clone() }
            }
            _ => Status::success(),
        }
    }

    pub fn is_success(&self) -> bool {
        self.code == v6::Status::Success
    }
}

/// The code's name in the RFC and the server's own words.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if !self.text.is_empty() {
            write!(f, " (\"{}\")", self.text)?;
        }
        Ok(())
    }
}
