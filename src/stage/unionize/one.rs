//! One container that the command line names, in the order of words that pipework has: where, which,
//! what address, and after that perhaps the hardware address and the VLAN.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use super::entries::names_links;
use super::{Options, Unionize, Upkeep, Wanted};
use crate::adapter::attachments::{Attachment, Attachments};
use crate::adapter::docker::here;
use crate::adapter::netlink::{Group, Netlink, Notices, Sort};
use crate::adapter::netns::Netns;
use crate::adapter::ovs::Ovs;
use crate::error::{Error, Kind, Result, Within};
use crate::pipe::{Output, Reader, Report, Stdio};
use crate::record::{
    self, Action, Addressing, Container, ContainerId, Ifname, Joins, LinkKind, Mac, NotA, Parent,
    VlanId, stands_alone,
};
use crate::stage::changes::{serve, serve_from};
use crate::stage::engines::Reach;

/// One container instead of those on standard input, and which it is.
#[derive(clap::Args, Clone, Debug)]
pub struct Named {
    /// A bridge or another interface of the host (its name, or mac: and its address), or dummy: work on one container, and read no records
    #[arg(value_name = "PLACE", requires = "container", conflicts_with_all = ["bridge", "parent"])]
    place: Option<Parent>,
    /// The container: its name for the engine, or any name with --netns or --pid
    #[arg(value_name = "CONTAINER")]
    container: Option<ContainerId>,
    /// Where its addresses come from, as in --address; then MAC, @VLAN or MAC@VLAN
    #[arg(value_name = "ADDRESS")]
    words: Vec<String>,
    /// The network namespace at PATH, of whatever it is
    #[arg(long, value_name = "PATH", hide_short_help = true, conflicts_with = "pid")]
    netns: Option<String>,
    /// The network namespace of this process
    #[arg(long, value_name = "PID", hide_short_help = true)]
    pid: Option<u32>,
    /// Ask the engine of this machine at URL for CONTAINER: Docker, or Podman's socket
    #[arg(
        long,
        value_name = "URL",
        hide_short_help = true,
        default_value = "unix:///var/run/docker.sock"
    )]
    host: String,
    /// Wait until --interface can be used, in this network namespace or that of --netns or --pid, and do nothing else
    #[arg(long, hide_short_help = true, conflicts_with_all = ["place", "dry_run", "table"])]
    wait: bool,
}

impl Named {
    /// Whether it is one container.
    fn is_one(&self) -> bool {
        self.place.is_some()
    }

    /// Whether an interface is to be waited for.
    fn waits(&self) -> bool {
        self.wait
    }

    /// # Errors
    /// `Usage` for a namespace without a container to be called by.
    fn check(&self) -> Result<()> {
        if !self.is_one() && !self.wait && (self.netns.is_some() || self.pid.is_some()) {
            return Err(Error::new(Kind::Usage, "--netns and --pid go with PLACE and CONTAINER")
                .remedy("see EXAMPLES in unionize(1)"));
        }
        Ok(())
    }

    /// The file that stands for the namespace, if it is given.
    fn namespace(&self) -> Option<String> {
        self.netns.clone().or_else(|| self.pid.map(|pid| format!("/proc/{pid}/ns/net")))
    }
}

/// Does what the command line asks for: waits, works on one container, or on the records that come.
pub fn run(
    named: &Named,
    wanted: Wanted,
    upkeep: &Upkeep,
    jobs: NonZeroUsize,
    table: bool,
    report: &Report,
) -> Result<()> {
    if named.waits() {
        return wait(named, wanted, upkeep);
    }
    if named.is_one() {
        return one(named, wanted, upkeep, Output::stdout(table)?, report);
    }
    named.check()?;
    let unionize = Unionize::new(Options::try_from(wanted)?, upkeep, report)?;
    serve(Stdio::open(report, table)?, jobs, &unionize)
}

/// Works on one container and writes it out.
fn one(
    named: &Named,
    wanted: Wanted,
    upkeep: &Upkeep,
    output: Output,
    report: &Report,
) -> Result<()> {
    let mut options = Options::try_from(wanted)?;
    let id = named.container.clone().ok_or_else(|| Error::new(Kind::Usage, "no CONTAINER"))?;
    if let Some(place) = &named.place {
        options.plug_into(place, &upkeep.ovs)?;
    }
    options.add(&named.words)?;
    let goes = options.action == Some(Action::Remove);
    let container = find(named, &id, goes).within(&id)?;
    if options.network.interface.is_none() && !names_links(&container) {
        options.network.interface = beside_engine_s(&container);
        if goes {
            let (known, _) = Attachments::at(&upkeep.state).list()?;
            options.take(&id, &known).within(&id)?;
        }
    }
    let doing = || Error::new(Kind::Bug, "write the container as a record");
    let record = serde_json::to_vec(&container).map_err(|why| doing().why(why))?;
    let unionize = Unionize::new(options, upkeep, report)?;
    let reader = Reader::new(record.as_slice(), "command line");
    serve_from(reader, output, report, NonZeroUsize::MIN, &unionize)
}

/// Waits for an interface that others make.
fn wait(named: &Named, wanted: Wanted, upkeep: &Upkeep) -> Result<()> {
    let options = Options::try_from(wanted)?;
    let name = options.network.interface.unwrap_or_else(|| "eth1".parse().expect("a name"));
    // Entering a namespace takes rights, even the own one; looking around does not.
    let watch = || Ok((Netlink::open()?, Notices::open(&[Group::Link, Group::Ipv6Address])?));
    let (netlink, notices) = match named.namespace() {
        Some(path) => Netns::open(path.as_ref())?.run(watch)?,
        None => watch()?,
    };
    let until = Instant::now() + upkeep.timeout;
    let found = notices.wait_for(&netlink, until, |netlink| {
        let link = netlink.find_link(&name)?.filter(|link| link.up && link.ready);
        let Some(link) = link else { return Ok(None) };
        let addresses = netlink.addresses(link.index)?;
        Ok(addresses.iter().all(|found| found.is_usable()).then_some(()))
    })?;
    found.ok_or_else(|| {
        Error::new(Kind::TimedOut, format_args!("wait for interface {name}"))
            .why("it is not there, not up, or has an address that cannot be used yet")
    })
}

/// The container as its engine knows it, or what stands for it. One that is to go may have gone.
fn find(named: &Named, id: &ContainerId, goes: bool) -> Result<Container> {
    if let Some(netns) = named.namespace() {
        return Ok(Container { netns: Some(netns), ..stand_in(id) });
    }
    let engine = Reach::new(false).connect(&here(&named.host)?)?;
    match engine.find(id)? {
        Some(found) => Ok(*found.container),
        None if goes => Ok(stand_in(id)),
        None => Err(Error::new(Kind::NotFound, "find the container")
            .why(format_args!("{} has no container of that name", named.host))),
    }
}

/// A container of which only the name is known.
fn stand_in(id: &ContainerId) -> Container {
    Container::new(id.clone(), "scratch".parse().expect("the image that is none"))
}

impl Options {
    /// Takes PLACE for what it is: a bridge, or the parent of the interface.
    fn plug_into(&mut self, place: &Parent, ovs: &Path) -> Result<()> {
        let network = &mut self.network;
        let kind = match (network.kind, place) {
            (Some(kind), _) => kind,
            (None, Parent::Name(name)) if name.as_str() == "dummy" => LinkKind::Dummy,
            (None, Parent::Name(name)) => kind_of(name, ovs)?,
            (None, Parent::Mac(_)) => LinkKind::Macvlan,
        };
        match (kind, place) {
            (LinkKind::Dummy, _) => (),
            (LinkKind::Veth | LinkKind::Ovs, Parent::Name(bridge)) => {
                network.bridge = Some(bridge.clone());
            }
            _ => network.parent = Some(place.clone()),
        }
        network.kind = Some(kind).filter(|kind| *kind != LinkKind::Veth);
        Ok(())
    }

    /// Takes the words behind the container: addresses, and at the end who and where it is.
    fn add(&mut self, words: &[String]) -> Result<()> {
        let mut addresses = Vec::new();
        for (at, word) in words.iter().enumerate() {
            match word.parse::<Addressing>() {
                Ok(address) => addresses.push(address),
                Err(why) if at + 1 == words.len() => self.station(word, &why)?,
                Err(why) => return Err(Error::new(Kind::Usage, "read ADDRESS").why(why)),
            }
        }
        if !addresses.is_empty() {
            super::Sources::of(&addresses).map_err(Error::into_usage)?;
            self.network.addresses = addresses;
        }
        // Of an interface that is no bridge, a VLAN is a kind of interface.
        if self.network.vlan.is_some() && self.network.kind == Some(LinkKind::Macvlan) {
            self.network.kind = Some(LinkKind::Vlan);
        }
        self.network.plug().map(drop).map_err(|misfit| {
            Error::new(Kind::Usage, format_args!("--{}", misfit.field)).why(misfit.why)
        })
    }

    /// Means the interface that the container is remembered to have in this place, whatever it is
    /// called.
    ///
    /// # Errors
    /// `Usage` when there are several.
    fn take(&mut self, id: &ContainerId, known: &[Attachment]) -> Result<()> {
        let here = |known: &&Attachment| {
            let (network, asked) = (&known.network, &self.network);
            known.container.id == *id
                && (&network.bridge, &network.parent) == (&asked.bridge, &asked.parent)
        };
        let known: Vec<&Attachment> = known.iter().filter(here).collect();
        match known[..] {
            [] => Ok(()),
            [one] => {
                self.network.interface = Some(one.interface.clone());
                self.network.link.get_or_insert_with(|| one.link.clone());
                Ok(())
            }
            [..] => {
                let names: Vec<&str> = known.iter().map(|known| known.interface.as_str()).collect();
                Err(Error::new(Kind::Usage, "take it away")
                    .why(format_args!("it has {} there", names.join(" and ")))
                    .remedy("say which with --interface"))
            }
        }
    }

    /// Takes the last word for who and where it is, as it is no address.
    fn station(&mut self, word: &str, no_address: &NotA) -> Result<()> {
        let wrong = |why: NotA| Error::new(Kind::Usage, "read the last word").why(why);
        let neither = |_| {
            Error::new(Kind::Usage, "read the last word")
                .why(format_args!("{no_address}, nor MAC, @VLAN or MAC@VLAN"))
        };
        let (mac, vlan) = word.split_once('@').map_or((word, None), |(mac, id)| (mac, Some(id)));
        if !mac.is_empty() {
            self.network.mac = Some(mac_of(mac).map_err(neither)?);
        }
        if let Some(vlan) = vlan {
            self.network.vlan = Some(vlan.parse::<VlanId>().map_err(wrong)?);
        }
        Ok(())
    }
}

/// The name behind those of the interfaces that the engine gave to a container: nothing where it gave
/// none, or is not known to have made it.
fn beside_engine_s(container: &Container) -> Option<Ifname> {
    container.docker.as_ref()?;
    let joins = Joins::of(container).ok().filter(|joins| !joins.mode.is_some_and(stands_alone))?;
    format!("eth{}", 1 + joins.further.len()).parse().ok()
}

/// What an interface plugged in there is, where nobody says; the database of Open vSwitch is behind
/// `ovs`, if there is any.
fn kind_of(place: &Ifname, ovs: &Path) -> Result<LinkKind> {
    let link = Netlink::open()?.find_link(place)?;
    if let Some(Sort::Bridge(_)) = link.as_ref().map(|link| &link.sort) {
        return Ok(LinkKind::Veth);
    }
    let switched = Ovs::connect(ovs).and_then(|mut ovs| ovs.bridge(place));
    match (switched, link) {
        (Ok(Some(_)), _) => Ok(LinkKind::Ovs),
        (_, Some(_)) => Ok(LinkKind::Macvlan),
        (_, None) => Err(Error::new(Kind::NotFound, format_args!("find interface {place}"))
            .why("the host has none of that name")
            .remedy("make it, or say what it is with --kind")),
    }
}

/// A hardware address as the command line gives it: itself, or `U:` and a text from which it
/// follows, the same one every time.
pub fn mac_of(text: &str) -> Result<Mac, NotA> {
    match text.strip_prefix("U:") {
        Some(from) if !from.is_empty() => Ok(record::Key::derive("mac", &[from.as_bytes()]).mac()),
        _ => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(line: &[&str], words: &[&str]) -> Result<String, String> {
        let mut options = Options::given(line);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        options.add(&words).map_err(|why| why.to_string())?;
        Ok(serde_json::to_string(&options.network).unwrap())
    }

    #[test]
    fn the_words_of_pipework_are_those_of_a_document() {
        let bridge = ["--bridge", "br1"];
        let said = network(&bridge, &["192.0.2.5/24@192.0.2.1"]).unwrap();
        assert_eq!(said, r#"{"bridge":"br1","addresses":["192.0.2.5/24@192.0.2.1"]}"#);
        let said = network(&bridge, &["dhcp6", "dhcp4", "02:00:00:00:00:09@7"]).unwrap();
        let wanted =
            r#"{"bridge":"br1","vlan":7,"mac":"02:00:00:00:00:09","addresses":["dhcp6","dhcp4"]}"#;
        assert_eq!(said, wanted);
        let parent = ["--kind", "macvlan", "--parent", "eth0"];
        let said = network(&parent, &["none", "@7"]).unwrap();
        assert_eq!(said, r#"{"kind":"vlan","parent":"eth0","vlan":7,"addresses":["none"]}"#);
    }

    #[test]
    fn a_word_that_is_nothing_is_told() {
        for words in [&["dhcp"][..], &["x", "dhcp6"], &["dhcp6", "@0"], &["none", "dhcp6"]] {
            assert!(network(&["--bridge", "br1"], words).is_err(), "{words:?}");
        }
        let told = network(&["--bridge", "br1"], &["192.0.2.5"]).unwrap_err();
        assert!(told.contains("ADDRESS/LENGTH") && told.contains("MAC@VLAN"), "{told}");
    }

    #[test]
    fn beside_the_engine_s_interfaces_it_is_the_next() {
        let name = |fields: &str| {
            let text = format!(r#"{{"id":"web","image":"b"{fields}}}"#);
            beside_engine_s(&serde_json::from_str(&text).unwrap()).map(|name| name.to_string())
        };
        let known = r#","docker":{"id":"1f0e"}"#;
        assert_eq!(name(known).as_deref(), Some("eth1"), "Docker's bridge");
        let two = format!(r#"{known},"networks":["back","front"]"#);
        assert_eq!(name(&two).as_deref(), Some("eth2"));
        for alone in ["none", "host", "container:db"] {
            assert_eq!(name(&format!(r#"{known},"network_mode":"{alone}""#)), None, "{alone}");
        }
        let leased = format!(r#"{known},"addresses":["fd00::1/64"]"#);
        assert_eq!(name(&leased), None, "made without a network");
        assert_eq!(name(""), None, "no engine's");
    }

    #[test]
    fn a_text_gives_one_hardware_address() {
        let mac = |text| mac_of(text).ok();
        assert!(mac("U:web").is_some() && mac("U:web") == mac("U:web"));
        assert_ne!(mac("U:web"), mac("U:db"));
        assert_eq!(mac("02:00:00:00:00:09"), "02:00:00:00:00:09".parse().ok());
        assert!(mac("U:").is_none() && mac("web").is_none());
    }
}
