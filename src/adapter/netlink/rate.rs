//! How fast an interface may send: a token bucket filter (tc-tbf(8)) as its root queueing discipline.

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::{Error, Kind, Result};
use crate::record::Rate;

/// The handle of those that the suite makes ("lp").
const OURS: TcHandle = TcHandle { major: 0x6c70, minor: 0 };

const TBF: &str = "tbf";

/// linux/pkt_sched.h: the attributes of a token bucket filter.
const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;

/// `struct tc_tbf_qopt`: two rates of 12 bytes, and then limit, buffer and mtu of 4 bytes each.
const PARAMETERS_LEN: usize = 36;
/// Where in it the rate in bytes per second stands.
const RATE_AT: usize = 8;
/// `TC_LINKLAYER_ETHERNET`: each packet counts as long as it is.
const ETHERNET: u8 = 1;

/// Frames of the usual length that may be sent at once, and that may wait, at least.
const FRAMES: u64 = 10 * 1514;

/// What limits how fast an interface sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing.
    None,
    /// A limit of the suite's; its whole bytes per second.
    Ours(u64),
    /// A queueing discipline that others have set.
    Foreign,
}

impl Limit {
    /// Whether it is this rate.
    pub fn is(self, rate: Rate) -> bool {
        self == Limit::Ours(rate.bytes())
    }
}

impl Netlink {
    /// What limits how fast the interface with the number `index` sends.
    pub fn rate_limit(&self, index: u32) -> Result<Limit> {
        let message = TcMessage::with_index(index as i32);
        let all = self
            .dump(RouteNetlinkMessage::GetQueueDiscipline(message))
            .map_err(|e| failed("list queueing disciplines", &e))?;
        let roots = all.into_iter().filter_map(|message| root(message, index));
        // What the kernel has put there itself has no handle.
        Ok(roots.into_iter().next().unwrap_or(Limit::None))
    }

    /// Lets the interface with the number `index`, whose packets are up to `mtu` bytes long, send no
    /// faster than `rate`.
    ///
    /// # Errors
    /// `Refused` when others have set a queueing discipline there, or the kernel has none of this
    /// sort.
    pub fn limit_rate(&self, index: u32, rate: Rate, mtu: u32) -> Result<()> {
        let doing = || format!("limit the rate to {rate}");
        if self.rate_limit(index)? == Limit::Foreign {
            return Err(Error::new(Kind::Refused, doing())
                .why("the interface has a queueing discipline that is not unionize's"));
        }
        let mut message = message(index);
        message.attributes.push(TcAttribute::Kind(TBF.to_owned()));
        message.attributes.push(TcAttribute::Options(options(rate, mtu)));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.call(RouteNetlinkMessage::NewQueueDiscipline(message), flags).map_err(|e| {
            match e.raw_os_error() {
                Some(code) if code == Errno::ENOENT as i32 => {
                    Error::new(Kind::Refused, doing()).why("the kernel has no tbf")
                }
                _ => failed(doing(), &e),
            }
        })
    }

    /// Takes the suite's limit away again. Whether there was one.
    pub fn lift_rate_limit(&self, index: u32) -> Result<bool> {
        if !matches!(self.rate_limit(index)?, Limit::Ours(_)) {
            return Ok(false);
        }
        self.call(RouteNetlinkMessage::DelQueueDiscipline(message(index)), 0)
            .map(|()| true)
            .map_err(|e| failed("lift the limit of the rate", &e))
    }
}

fn message(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.handle = OURS;
    message.header.parent = TcHandle::ROOT;
    message
}

/// The bucket holds what is sent in 10 ms, for a timer that fires late and a packet of many frames;
/// as much as comes in 50 ms may wait beside it.
fn options(rate: Rate, mtu: u32) -> Vec<TcOption> {
    let bytes = rate.bytes();
    let frames = FRAMES.max(2 * (u64::from(mtu) + 14));
    let short = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    let burst = short((bytes / 100).max(frames));
    let queue = short(u64::from(burst) + (bytes / 20).max(frames));
    let mut parameters = vec![0; PARAMETERS_LEN];
    parameters[1] = ETHERNET;
    parameters[RATE_AT..RATE_AT + 4].copy_from_slice(&short(bytes).to_ne_bytes());
    parameters[24..28].copy_from_slice(&queue.to_ne_bytes());
    let option = |kind, value: Vec<u8>| TcOption::Other(DefaultNla::new(kind, value));
    vec![
        option(PARAMETERS, parameters),
        option(BURST, burst.to_ne_bytes().to_vec()),
        option(RATE64, bytes.to_ne_bytes().to_vec()),
    ]
}

/// What the root queueing discipline of the interface `index` is, out of the kernel's message.
fn root(message: RouteNetlinkMessage, index: u32) -> Option<Limit> {
    let RouteNetlinkMessage::NewQueueDiscipline(message) = message else { return None };
    let header = &message.header;
    if header.index != index as i32 || header.parent != TcHandle::ROOT {
        return None;
    }
    if header.handle == TcHandle::UNSPEC {
        return Some(Limit::None);
    }
    let is_tbf = message.attributes.contains(&TcAttribute::Kind(TBF.to_owned()));
    if header.handle != OURS || !is_tbf {
        return Some(Limit::Foreign);
    }
    let options = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.first(),
        _ => None,
    });
    let Some(TcOption::Other(options)) = options else { return Some(Limit::Foreign) };
    let mut nested = vec![0; options.value_len()];
    options.emit_value(&mut nested);
    Some(rate_of(&nested).map_or(Limit::Foreign, Limit::Ours))
}

/// The rate in the options of a token bucket filter, in bytes per second.
fn rate_of(options: &[u8]) -> Option<u64> {
    let mut rate = None;
    for option in NlasIterator::new(options) {
        let option = option.ok()?;
        let value = option.value();
        match option.kind() {
            PARAMETERS if rate.is_none() => {
                let bytes = value.get(RATE_AT..RATE_AT + 4)?;
                rate = Some(u32::from_ne_bytes(bytes.try_into().ok()?).into());
            }
            // Where the rate is too large for the other field.
            RATE64 => rate = Some(u64::from_ne_bytes(value.try_into().ok()?)),
            _ => (),
        }
    }
    rate
}
