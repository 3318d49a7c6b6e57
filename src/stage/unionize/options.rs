//! What the command line asks for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::one::mac_of;
use crate::adapter::netlink;
use crate::error::{Error, Kind, Result};
use crate::record::{
    Action, Addressing, AllowFrom, Fixed, Ifname, LinkKind, LinkMode, LinkNetwork, Mac, Object,
    Parent, Rate, Route, Rule, VlanId, Vni,
};

/// The interface of containers whose documents name none, and what documents leave out.
#[derive(clap::Args, Clone, Debug)]
pub struct Wanted {
    /// Plug containers into this bridge, unless their documents say where in networks
    #[arg(long, value_name = "NAME")]
    bridge: Option<Ifname>,
    /// What the interface is [default: veth]
    #[arg(long, value_name = "KIND", value_parser = words::<LinkKind>(&KINDS))]
    kind: Option<LinkKind>,
    /// The host's interface that it stands on, or that is moved in itself: its name, or mac: and its address
    #[arg(long, value_name = "NAME")]
    parent: Option<Parent>,
    /// How several on one parent see each other [default: bridge for macvlan, l2 for ipvlan]
    #[arg(long, value_name = "MODE", hide_short_help = true, value_parser = words::<LinkMode>(&MODES))]
    mode: Option<LinkMode>,
    /// The VLAN that it is in
    #[arg(long, hide_short_help = true, value_name = "ID")]
    vlan: Option<VlanId>,
    /// The number of the VXLAN segment
    #[arg(long, hide_short_help = true, value_name = "VNI")]
    vni: Option<Vni>,
    /// Where a VXLAN sends frames for stations that it does not know
    #[arg(long, hide_short_help = true, value_name = "ADDRESS")]
    remote: Option<IpAddr>,
    /// The UDP port of a VXLAN [default: 4789]
    #[arg(long, hide_short_help = true, value_name = "PORT")]
    port: Option<u16>,
    /// Name of the first interface inside the container [default: eth0, or the next that is not Docker's]
    #[arg(long, short, value_name = "NAME")]
    interface: Option<Ifname>,
    /// Name of the first interface's other end on the host [default: lp and 13 characters]
    #[arg(long, hide_short_help = true, short, value_name = "NAME")]
    link: Option<Ifname>,
    /// Hardware address of the first interface, or U: and a text from which it follows [default: from the container's identity]
    #[arg(long, hide_short_help = true, value_name = "MAC", value_parser = mac_of)]
    mac: Option<Mac>,
    /// Largest packet on the interface [default: that of what it is plugged into]
    #[arg(long, hide_short_help = true, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1280..=65535))]
    mtu: Option<u32>,
    /// Where an address comes from: dhcp6, dhcp6-temporary, dhcp4, slaac, none, or ADDRESS/LENGTH, with @ROUTER behind it for a default route
    #[arg(long, value_name = "SOURCE", default_value = "dhcp6")]
    address: Vec<Addressing>,
    /// Also ask for a prefix of this length (DHCPv6 prefix delegation)
    #[arg(long, hide_short_help = true, value_name = "LENGTH", value_parser = clap::value_parser!(u8).range(1..=64))]
    delegate: Option<u8>,
    /// Add a route over it, in the words of ip-route(8)
    #[arg(long, hide_short_help = true, value_name = "ROUTE")]
    route: Vec<Route>,
    /// Add a rule, in the words of ip-rule(8)
    #[arg(long, hide_short_help = true, value_name = "RULE")]
    rule: Vec<Rule>,
    /// Let it send and receive no faster than this, in bits per second (10mbit)
    #[arg(long, hide_short_help = true, value_name = "RATE")]
    rate: Option<Rate>,
    /// Write the name servers that DHCP servers tell of into the container's resolv.conf
    #[arg(long, hide_short_help = true)]
    dns: bool,
    /// Ask DHCPv6 servers for offers first, where several of them serve the link
    #[arg(long, hide_short_help = true)]
    no_rapid_commit: bool,
    /// How to find out whether another station has the address
    #[arg(
        long,
        hide_short_help = true,
        value_name = "MODE",
        value_enum,
        default_value = "optimistic"
    )]
    dad: Dad,
    /// What to do with every container, whatever its record asks for
    #[arg(long, value_name = "ACTION", hide_short_help = true, value_parser = words::<Action>(&ACTIONS))]
    action: Option<Action>,
    /// Who may reach the container through the interface: any, or lease, the client whose lease it is for
    #[arg(long, value_name = "WHO", default_value = "any", value_parser = words::<AllowFrom>(&ALLOW_FROM))]
    allow_from: AllowFrom,
}

/// Who may reach a container, as the help tells it.
const ALLOW_FROM: [(&str, &str); 2] = [
    ("any", "Everybody who can"),
    (
        "lease",
        "The client whose lease it is for, at the ports that its document allows, and nobody else",
    ),
];

/// The kinds, as the help tells them.
const KINDS: [(&str, &str); 8] = [
    ("veth", "One end of a pair, whose other end is a port of the bridge"),
    ("ovs", "The same, the bridge being one of Open vSwitch"),
    ("macvlan", "A MAC address of its own on the parent"),
    ("ipvlan", "IP addresses of its own on the parent, whose MAC address it shares"),
    ("vlan", "One VLAN of the parent"),
    ("direct", "The parent itself, moved into the container"),
    ("dummy", "An interface that leads nowhere"),
    ("vxlan", "A segment that goes over UDP"),
];

/// The modes, as the help tells them.
const MODES: [(&str, &str); 7] = [
    ("bridge", "macvlan: they reach each other, and not the host"),
    ("private", "macvlan: they do not"),
    ("vepa", "macvlan: by way of a switch that sends their frames back"),
    ("passthru", "macvlan: there is one, which has the parent to itself"),
    ("l2", "ipvlan: they share a link"),
    ("l3", "ipvlan: the host routes between them"),
    ("l3s", "ipvlan: the same, and the host's packet filter sees them"),
];

/// The actions, as the help tells them.
const ACTIONS: [(&str, &str); 2] = [
    ("add", "Make sure that it is plugged in"),
    ("remove", "Take its interfaces away and give back its leases"),
];

/// One of a few words, which the help and the shell know.
fn words<T>(words: &'static [(&'static str, &'static str)]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    let value =
        |(word, about): &(&'static str, &'static str)| PossibleValue::new(*word).help(*about);
    PossibleValuesParser::new(words.iter().map(value)).try_map(|word| word.parse::<T>())
}

/// How containers are attached.
#[derive(Clone, Debug)]
pub struct Options {
    /// What documents leave out, and the one interface of those that name none.
    pub network: LinkNetwork,
    /// Whether the name servers that are learnt go into the container's resolv.conf.
    pub dns: bool,
    /// Whether a DHCPv6 server may commit a lease in answer to the first message.
    pub rapid_commit: bool,
    /// How leased and given addresses are checked for duplicates.
    pub dad: Dad,
    /// What is done with every container, whatever its record asks for.
    pub action: Option<Action>,
    /// Who may reach a container.
    pub allow_from: AllowFrom,
}

impl TryFrom<Wanted> for Options {
    type Error = Error;

    /// # Errors
    /// `Usage` for what makes no sense together.
    fn try_from(wanted: Wanted) -> Result<Options> {
        Sources::of(&wanted.address).map_err(Error::into_usage)?;
        let network = LinkNetwork {
            kind: wanted.kind,
            bridge: wanted.bridge,
            parent: wanted.parent,
            mode: wanted.mode,
            vlan: wanted.vlan,
            vni: wanted.vni,
            remote: wanted.remote,
            port: wanted.port,
            interface: wanted.interface,
            link: wanted.link,
            mac: wanted.mac,
            mtu: wanted.mtu,
            addresses: wanted.address,
            delegate: wanted.delegate,
            routes: wanted.route,
            rules: wanted.rule,
            rate: wanted.rate,
            rest: Object::default(),
        };
        if let Some(misfit) = network.plug().err().filter(|_| network.says_where()) {
            let what = format_args!("--{}: {}", misfit.field, misfit.why);
            return Err(Error::new(Kind::Usage, what));
        }
        let Wanted { dad, dns, no_rapid_commit, action, allow_from, .. } = wanted;
        let rapid_commit = !no_rapid_commit;
        Ok(Options { network, dns, rapid_commit, dad, action, allow_from })
    }
}

/// What attaching and renewing have in common.
#[derive(Clone, Debug)]
pub struct Upkeep {
    /// How long one container may take.
    pub timeout: Duration,
    /// Where attachments are remembered.
    pub state: PathBuf,
    /// The socket of Open vSwitch's database.
    pub ovs: PathBuf,
    /// Whether to tell what would be done instead of doing it.
    pub dry_run: bool,
}

/// Where the addresses of an interface come from, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// A DHCPv6 server is asked for an address.
    pub dhcp6: bool,
    /// A DHCPv6 server is asked for a temporary address.
    pub temporary: bool,
    /// A DHCPv4 server is asked.
    pub dhcp4: bool,
    /// The kernel makes addresses of what routers advertise, and they are waited for.
    pub slaac: bool,
    /// Addresses that are given as they are, each once.
    pub fixed: Vec<Fixed>,
}

impl Sources {
    /// What several of them mean together.
    ///
    /// # Errors
    /// `BadInput` when there is to be none and another.
    pub fn of(given: &[Addressing]) -> Result<Sources> {
        if given.contains(&Addressing::None) && given.len() > 1 {
            return Err(Error::new(Kind::BadInput, "address none goes with no other address"));
        }
        let mut all = Sources::default();
        for given in given {
            match given {
                Addressing::None => (),
                Addressing::Dhcp6 => all.dhcp6 = true,
                Addressing::Dhcp6Temporary => all.temporary = true,
                Addressing::Dhcp4 => all.dhcp4 = true,
                Addressing::Slaac => all.slaac = true,
                Addressing::Fixed(fixed) if all.fixed.contains(fixed) => (),
                Addressing::Fixed(fixed) => all.fixed.push(*fixed),
            }
        }
        Ok(all)
    }
}

/// How an address goes through duplicate address detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dad {
    /// Use it at once; a duplicate found later is declined and told (RFC 4429)
    Optimistic,
    /// Use it when it is clear that nobody else does, after one to two seconds
    Wait,
    /// Do not ask
    Off,
}

impl From<Dad> for netlink::Dad {
    fn from(dad: Dad) -> netlink::Dad {
        match dad {
            Dad::Optimistic => netlink::Dad::Optimistic,
            Dad::Wait => netlink::Dad::Wait,
            Dad::Off => netlink::Dad::Off,
        }
    }
}

#[cfg(test)]
impl Options {
    /// Those of a command line, for tests.
    pub fn given(line: &[&str]) -> Options {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            wanted: Wanted,
        }
        let words = ["unionize"].iter().chain(line);
        let line: Line = clap::Parser::try_parse_from(words).unwrap();
        line.wanted.try_into().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> Result<Sources> {
        Sources::of(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_read_whole_or_not_at_all() {
        let fixed = Fixed {
            address: "2001:db8::5".parse().unwrap(),
            prefix_len: 64,
            router: Some("fe80::1".parse().unwrap()),
        };
        let given = |text: &str| text.parse::<Addressing>().ok();
        assert_eq!(given("2001:db8::5/64@fe80::1"), Some(Addressing::Fixed(fixed)));
        assert_eq!(given("dhcp6-temporary"), Some(Addressing::Dhcp6Temporary));
        for bad in ["", "2001:db8::5", "2001:db8::5/129", "2001:db8::5/64@", "ff02::1/64"] {
            assert_eq!(given(bad), None, "{bad}");
        }
    }

    #[test]
    fn none_stands_alone() {
        assert_eq!(sources(&["none"]).unwrap(), Sources::default());
        assert!(sources(&["none", "dhcp6"]).is_err());
        let all = sources(&["dhcp6", "2001:db8::5/64", "slaac", "2001:db8::5/64"]).unwrap();
        assert!(all.dhcp6 && all.slaac && !all.dhcp4 && all.fixed.len() == 1);
    }

    #[test]
    fn the_help_tells_every_word() {
        assert!(KINDS.iter().map(|(word, _)| *word).eq(LinkKind::WORDS.iter().copied()));
        assert!(ALLOW_FROM.iter().map(|(word, _)| *word).eq(AllowFrom::WORDS.iter().copied()));
        assert!(MODES.iter().map(|(word, _)| *word).eq(LinkMode::WORDS.iter().copied()));
    }

    #[test]
    fn a_command_line_says_what_a_document_says() {
        let options = Options::given(&["--kind", "macvlan", "--parent", "eth0", "-i", "lan"]);
        let document =
            r#"{"kind":"macvlan","parent":"eth0","interface":"lan","addresses":["dhcp6"]}"#;
        assert_eq!(serde_json::to_string(&options.network).unwrap(), document);
    }
}
