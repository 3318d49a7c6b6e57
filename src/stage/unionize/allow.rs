//! Who may reach a container: `--allow-from`, and what it means for one interface.
//!
//! An interface is shut before it is there and opened after it has gone, so at no moment can anybody
//! reach a container who may not.

use ipnet::IpNet;

use super::Unionize;
use super::attach::Job;
use super::detach::Keeper;
use super::plan::Step;
use super::scene::Inside;
use super::wish::Wish;
use crate::adapter::attachments::Attachment;
use crate::adapter::nftables::{Firewall, Guard};
use crate::error::{Error, Kind, Result};
use crate::record::{AllowFrom, Container, Expose, Ifname, LinkMode, Plug};

/// How the interface's firewall is before anything is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// There is nothing about it.
    #[default]
    Open,
    /// It is shut for others than are wanted, or not whole.
    Otherwise,
    /// It is shut as it is wanted.
    Shut,
}

/// Whom the interface of a container is to be shut for; nothing when it is open.
///
/// # Errors
/// `BadInput` when the container is for no lease, `Refused` where shutting it would not hold.
pub fn guard(
    container: &Container,
    interface: &Ifname,
    plug: &Plug,
    allow_from: AllowFrom,
) -> Result<Option<Guard>> {
    if allow_from == AllowFrom::Any {
        return Ok(None);
    }
    let wrong = |kind| Error::new(kind, format_args!("shut {interface} for all but a client"));
    let Some(lease) = &container.lease else {
        return Err(wrong(Kind::BadInput)
            .why("its document has no \"lease\" that it would be for")
            .remedy("use --allow-from any for it, or lease-cccf before"));
    };
    if matches!(plug, Plug::Ipvlan { mode: LinkMode::L3s, .. }) {
        return Err(wrong(Kind::Refused)
            .why("ipvlan in mode l3s delivers packets past the container's packet filter")
            .remedy("use the mode l2 or l3"));
    }
    let one = IpNet::from(lease.address);
    let length = lease.prefix_len.unwrap_or(one.max_prefix_len());
    let client = IpNet::new(lease.address, length).map_err(|_| {
        let why = format!("{length} is no length of a prefix of {}", lease.address);
        wrong(Kind::BadInput).why(why)
    })?;
    let ports: Vec<Expose> = container.allow.clone();
    Ok(Some(Guard {
        interface: interface.clone(),
        client: client.trunc(),
        ports: (!ports.is_empty()).then_some(ports),
        container: container.id.clone(),
    }))
}

/// What has to be done about the firewall, and comes before the link. One that is made anew is shut
/// anew: leaving what was there opens it.
pub fn step(wish: &Wish, door: Door, anew: bool) -> Option<Step> {
    match (&wish.guard, door) {
        (Some(_), Door::Shut) if !anew => None,
        (Some(guard), _) => Some(Step::Shut(guard.clone())),
        (None, Door::Open) => None,
        (None, _) => Some(Step::OpenUp),
    }
}

/// How the firewall is for a wish. Nobody looks where it was never asked for.
///
/// # Errors
/// When it cannot be seen. An interface that is there already is then found open: shutting it will
/// fail for the same reason, and so it is taken away.
pub fn look(wish: &Wish, inside: &Inside, known: Option<&Attachment>, there: bool) -> Result<Door> {
    if wish.guard.is_none() && !known.is_some_and(is_shut) {
        return Ok(Door::Open);
    }
    let seen = match inside.netns.run(|| Firewall::open()?.look()) {
        Err(_) if there && wish.guard.is_some() => return Ok(Door::Open),
        seen => seen?,
    };
    Ok(match &wish.guard {
        Some(guard) if seen.is_so(guard) => Door::Shut,
        _ if seen.knows(&wish.interface) => Door::Otherwise,
        _ => Door::Open,
    })
}

/// Whether what is remembered was shut.
pub fn is_shut(known: &Attachment) -> bool {
    known.allow_from == Some(AllowFrom::Lease)
}

impl Job<'_> {
    /// Shuts the interface, after writing down that it will be.
    pub(super) fn shut(&mut self, guard: &Guard) -> Result<()> {
        self.known.container = self.wish.container.clone();
        self.known.allow_from = Some(AllowFrom::Lease);
        self.unionize.keeper.attachments.put(&self.known)?;
        self.inside.netns.run(|| Firewall::open()?.shut(guard))
    }

    /// Opens it, and writes that down.
    pub(super) fn open_up(&mut self) -> Result<()> {
        self.inside.netns.run(|| Firewall::open()?.open_up(&self.wish.interface))?;
        self.known.allow_from = None;
        self.unionize.keeper.attachments.put(&self.known)
    }
}

impl Keeper<'_> {
    /// Opens what was remembered as shut. Most often the namespace has gone, and all with it.
    pub(super) fn open_up(&self, known: &Attachment) -> Result<()> {
        let netns = match Inside::netns(&known.container) {
            Err(why) if matches!(why.kind(), Kind::NotFound | Kind::BadInput) => return Ok(()),
            netns => netns?,
        };
        match netns.run(|| Firewall::open()?.open_up(&known.interface)) {
            // What is there is another's, or there can be nothing at all.
            Err(why) if why.kind() == Kind::Refused => Ok(()),
            outcome => outcome,
        }
    }
}

impl Unionize<'_> {
    /// Tells that a container which was just shut can open itself.
    pub(super) fn tell_of_powers(&self, container: &Container) {
        if let Some(power) = power(container) {
            let told = Error::new(Kind::Refused, "it can open its own firewall")
                .why(format_args!("its document has {power}"))
                .remedy("leave that out where it is not to")
                .at(&container.id);
            self.keeper.report.note(&told);
        }
    }
}

/// What in its document lets a container change its own network.
fn power(container: &Container) -> Option<&'static str> {
    let named = |wanted: &str| {
        let same = |name: &String| name.trim_start_matches("CAP_").eq_ignore_ascii_case(wanted);
        container.cap_add.iter().any(same)
    };
    if container.privileged {
        Some("privileged")
    } else if named("NET_ADMIN") || named("ALL") {
        Some("NET_ADMIN in cap_add")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(fields: &str) -> Container {
        serde_json::from_str(&format!(r#"{{"id":"web","image":"b"{fields}}}"#)).unwrap()
    }

    fn of(fields: &str, plug: &Plug) -> Result<Option<Guard>> {
        guard(&container(fields), &"eth0".parse().unwrap(), plug, AllowFrom::Lease)
    }

    #[test]
    fn the_lease_says_who_and_the_document_where_to() {
        let plain = of(r#","lease":{"key":"om2pqvn3u6qa2","address":"fd00::a"}"#, &Plug::Dummy);
        let plain = plain.unwrap().unwrap();
        assert_eq!((plain.client.to_string().as_str(), plain.ports), ("fd00::a/128", None));
        let lease = r#","lease":{"key":"om2pqvn3u6qa2","address":"fd00::1:0","prefix_len":64}"#;
        let prefix = of(&format!(r#"{lease},"allow":["443","53/udp"]"#), &Plug::Dummy);
        let prefix = prefix.unwrap().unwrap();
        assert_eq!(prefix.client.to_string(), "fd00::/64");
        let ports: Vec<String> = prefix.ports.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["443", "53/udp"]);
    }

    #[test]
    fn what_cannot_be_shut_is_refused() {
        let why = of("", &Plug::Dummy).unwrap_err();
        assert_eq!(why.kind(), Kind::BadInput);
        let lease = r#","lease":{"key":"om2pqvn3u6qa2","address":"192.0.2.1","prefix_len":64}"#;
        assert_eq!(of(lease, &Plug::Dummy).unwrap_err().kind(), Kind::BadInput);
        let lease = r#","lease":{"key":"om2pqvn3u6qa2","address":"192.0.2.1"}"#;
        let parent = "eth0".parse().unwrap();
        let past = Plug::Ipvlan { parent, mode: LinkMode::L3s };
        assert_eq!(of(lease, &past).unwrap_err().kind(), Kind::Refused);
    }

    #[test]
    fn who_can_open_itself_is_known() {
        assert_eq!(power(&container("")), None);
        assert_eq!(power(&container(r#","cap_add":["NET_RAW","SYS_ADMIN"]"#)), None);
        for fields in
            [r#","privileged":true"#, r#","cap_add":["CAP_NET_ADMIN"]"#, r#","cap_add":["all"]"#]
        {
            assert!(power(&container(fields)).is_some(), "{fields}");
        }
    }
}
