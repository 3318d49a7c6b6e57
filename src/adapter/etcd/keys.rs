//! The names under which bindings and hosts stand in etcd, and back.
//!
//! Owners and names of containers have no slash in them and do not begin with a dot; times, addresses
//! and DUIDs come from their types; a host's name is all that is behind `hosts/`. So no name can mean
//! another key than its own.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::record::{Binding, ContainerId, Duid, Entry, Key, Owner};

/// Who holds something: the container of this name that belongs to this owner.
pub(super) type Holder = (Owner, ContainerId);

/// Names of keys under one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn under(prefix: &str) -> Keys {
        Keys { prefix: prefix.to_owned() }
    }

    /// Tells the form of everything else.
    pub(super) fn form(&self) -> String {
        format!("{}/form", self.prefix)
    }

    /// What a container is bound to now.
    pub(super) fn binding(&self, (owner, container): &Holder) -> String {
        format!("{}/bindings/{owner}/{container}", self.prefix)
    }

    /// What the keys of all bindings begin with, or those of one owner's.
    pub(super) fn bindings(&self, owner: Option<&Owner>) -> String {
        match owner {
            Some(owner) => format!("{}/bindings/{owner}/", self.prefix),
            None => format!("{}/bindings/", self.prefix),
        }
    }

    /// Says which container has the address.
    pub(super) fn claim(&self, address: IpAddr) -> String {
        format!("{}/addresses/{address}", self.prefix)
    }

    /// What says that a binding is one of its client's, and one under its DUID.
    pub(super) fn marks(&self, entry: &Entry) -> Vec<String> {
        let Binding { lease, container, duid, .. } = &entry.binding;
        let under =
            [Some(self.of_client(&lease.key)), duid.as_ref().map(|duid| self.of_duid(duid))];
        let owner = &entry.owner;
        under.into_iter().flatten().map(|prefix| format!("{prefix}{owner}/{container}")).collect()
    }

    /// What the keys of all that is bound for the client begin with.
    pub(super) fn of_client(&self, client: &Key) -> String {
        format!("{}/clients/{client}/", self.prefix)
    }

    /// What the keys of all that is bound under the DUID begin with.
    pub(super) fn of_duid(&self, duid: &Duid) -> String {
        format!("{}/duids/{duid}/", self.prefix)
    }

    /// Says that the change of this number, which no other has, is not to be made any more.
    pub(super) fn fence(&self, number: u64) -> String {
        format!("{}/fences/{number:016x}", self.prefix)
    }

    /// A binding that has ended. Such keys sort by the time of the end. The revision that made the
    /// binding, which no other has, tells those of one container apart that ended at the same moment.
    pub(super) fn ended(&self, until: Timestamp, holder: &Holder, revision: i64) -> String {
        let (owner, container) = holder;
        format!("{}{owner}/{container}/{revision}", self.ended_at(until))
    }

    /// What the keys of all that ended at this moment begin with; those of later moments sort behind.
    pub(super) fn ended_at(&self, until: Timestamp) -> String {
        format!("{}{until:.3}/", self.history())
    }

    /// The record of a host.
    pub(super) fn host(&self, id: &str) -> String {
        format!("{}{id}", self.hosts())
    }

    /// What the keys of all hosts begin with.
    pub(super) fn hosts(&self) -> String {
        format!("{}/hosts/", self.prefix)
    }

    /// What the keys of all that has ended begin with.
    pub(super) fn history(&self) -> String {
        format!("{}/history/", self.prefix)
    }

    /// The first name behind all that begin with `prefix`, which ends with a slash.
    pub(super) fn behind(prefix: &str) -> String {
        let (before, _) = prefix.rsplit_once('/').unwrap_or((prefix, ""));
        format!("{before}0") // the character that follows the slash
    }

    /// The holder that such a key of a binding or of an ended one names.
    pub(super) fn holder_in(&self, key: &str) -> Option<Holder> {
        match key.strip_prefix(&self.bindings(None)) {
            Some(rest) => holder(rest),
            None => {
                let (_until, rest) = key.strip_prefix(&self.history())?.split_once('/')?;
                holder(rest.rsplit_once('/')?.0)
            }
        }
    }
}

/// The text that names a holder in a claim, and at the end of a key.
pub(super) fn holder_text((owner, container): &Holder) -> String {
    format!("{owner}/{container}")
}

/// The holder of that text; nothing when it is none.
pub(super) fn holder(text: &str) -> Option<Holder> {
    let (owner, container) = text.split_once('/')?;
    Some((owner.parse().ok()?, container.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_manual_tells() {
        let keys = Keys::under("/leasepipe");
        let web = ("edge".parse().unwrap(), "web-1".parse().unwrap());
        assert_eq!(keys.binding(&web), "/leasepipe/bindings/edge/web-1");
        assert_eq!(
            keys.claim("2001:DB8:0::A".parse().unwrap()),
            "/leasepipe/addresses/2001:db8::a"
        );
        assert_eq!(keys.of_duid(&"00:04:01".parse().unwrap()), "/leasepipe/duids/00:04:01/");
        let client = keys.of_client(&"om2pqvn3u6qa2".parse().unwrap());
        assert_eq!(client, "/leasepipe/clients/om2pqvn3u6qa2/");
        let at = Timestamp::from_millisecond(10).unwrap();
        let ended = keys.ended(at, &web, 7);
        assert_eq!(ended, "/leasepipe/history/1970-01-01T00:00:00.010Z/edge/web-1/7");
    }

    #[test]
    fn ranges_hold_what_they_are_to_and_no_more() {
        let keys = Keys::under("/x");
        let edge: Owner = "edge".parse().unwrap();
        let range = keys.bindings(Some(&edge));
        let end = Keys::behind(&range);
        let within = |name: &str| (range.as_str()..end.as_str()).contains(&name);
        assert!(within("/x/bindings/edge/a") && within("/x/bindings/edge/zz"));
        for other in ["edge-2", "edge.", "edge0", "edg", "edgf"] {
            assert!(!within(&format!("/x/bindings/{other}/a")), "{other}");
        }
        let at = |ms| keys.ended_at(Timestamp::from_millisecond(ms).unwrap());
        assert!(at(999) < at(1000) && at(1000) < at(1001));
    }

    #[test]
    fn only_two_names_are_a_holder() {
        assert_eq!(holder("edge/web").as_ref().map(holder_text).as_deref(), Some("edge/web"));
        for bad in ["", "edge", "edge/", "/web", "edge/web/x", "../web", "edge/$x"] {
            assert_eq!(holder(bad), None, "{bad}");
        }
    }
}
