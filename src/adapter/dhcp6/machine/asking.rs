//! One message of the client's and its transmissions.

use std::time::Duration;

use dhcproto::v6::MessageType;

use super::Task;
use crate::adapter::dhcp6::Wants;
use crate::adapter::dhcp6::lease::{Held, Lifetime};
use crate::adapter::dhcp6::message::{Asked, Xid};
use crate::adapter::dhcp6::timing::{Random, Schedule};
use crate::record::Duid;

pub(super) struct Asking {
    pub kind: MessageType,
    pub xid: Xid,
    /// The only server that may answer.
    pub server: Option<Duid>,
    pub asked: Asked,
    pub schedule: Schedule,
}

impl Asking {
    /// The first message for this task.
    pub fn for_task(task: Task, wants: Wants, random: &mut Random) -> Asking {
        use MessageType::{Confirm, Decline, Release, Renew, Solicit};
        match task {
            Task::Lease => Asking::new(Solicit, None, Asked::anew(wants), random),
            Task::Renew(held) => {
                let server = Some(held.server.clone());
                Asking::new(Renew, server, Asked::held(held, wants), random)
            }
            Task::Rebind(held) => Asking::rebind(held, wants, random),
            Task::Release(held) => {
                let server = Some(held.server.clone());
                Asking::new(Release, server, Asked::whole(held), random)
            }
            // Section 18.2.8: a Decline must not speak of prefixes.
            Task::Decline(held) => {
                let server = Some(held.server.clone());
                Asking::new(Decline, server, Asked::whole(held).without_prefixes(), random)
            }
            // Section 18.2.12: where there are prefixes, it is a Rebind, sent when a Confirm would be.
            Task::Confirm(held) if !held.prefixes.is_empty() => {
                Asking { schedule: Schedule::new(Confirm), ..Asking::rebind(held, wants, random) }
            }
            Task::Confirm(held) => {
                Asking::new(Confirm, None, Asked::held(held, Wants::NOTHING), random)
            }
        }
    }

    /// Section 18.2.5: it ends when all that is held has.
    fn rebind(held: Held, wants: Wants, random: &mut Random) -> Asking {
        let addresses = held.addresses.iter().map(|held| held.left);
        let last = addresses.chain(held.prefixes.iter().map(|held| held.left)).max();
        let asking = Asking::new(MessageType::Rebind, None, Asked::held(held, wants), random);
        let schedule = asking.schedule.within(last.and_then(Lifetime::finite));
        Asking { schedule, ..asking }
    }

    /// Section 16.1: each exchange has a transaction id of its own, and keeps it when it sends again.
    pub fn new(
        kind: MessageType,
        server: Option<Duid>,
        asked: Asked,
        random: &mut Random,
    ) -> Asking {
        let [a, b, c, ..] = random.next().to_be_bytes();
        Asking { kind, xid: [a, b, c], server, asked, schedule: Schedule::new(kind) }
    }

    pub fn is_soliciting(&self) -> bool {
        self.kind == MessageType::Solicit
    }

    /// Whether there is nothing to give back.
    pub fn is_idle(&self) -> bool {
        let gives_back = matches!(self.kind, MessageType::Release | MessageType::Decline);
        gives_back && self.asked.wants == Wants::NOTHING
    }

    pub fn is_extending(&self) -> bool {
        matches!(self.kind, MessageType::Renew | MessageType::Rebind)
    }

    /// What could not be done when the exchange of this message fails.
    pub fn what(&self) -> &'static str {
        let Wants { address, temporary, delegate } = self.asked.wants;
        let is_prefix_alone = delegate.is_some() && !address && !temporary;
        match self.kind {
            MessageType::Renew | MessageType::Rebind => "renew DHCPv6 lease",
            MessageType::Release => "release DHCPv6 lease",
            MessageType::Decline => "decline DHCPv6 address",
            MessageType::Confirm => "confirm DHCPv6 address",
            _ if is_prefix_alone => "lease DHCPv6 prefix",
            _ => "lease DHCPv6 address",
        }
    }
}

/// Whether this time has come; what is not set never comes.
pub(super) fn is_past(now: Duration, due: Option<Duration>) -> bool {
    due.is_some_and(|due| now >= due)
}
