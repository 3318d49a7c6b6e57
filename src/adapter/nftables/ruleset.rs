//! The suite's table: its sets, its chains and its rules, which are the same for everybody. What
//! differs from container to container is in the sets.

use super::attribute::{Attributes, text, value};
use super::expression::{Base, Connection, Meta, Register, Rule, Verdict};
use super::message::{Batch, Kind, flags};

/// The table's name, and what it says of itself: whose it is, and the number of this form of it.
pub const TABLE: &str = "leasepipe";
pub const MARK: &str = "leasepipe: made by unionize, form 1";

/// Bytes of an interface's name in a key.
pub const NAME: usize = 16;

/// The numbers by which nft(8) knows the types of a set's key; it shows elements by them.
mod types {
    pub const IPV4: u32 = 7;
    pub const IPV6: u32 = 8;
    pub const PROTOCOL: u32 = 12;
    pub const SERVICE: u32 = 13;
    pub const ICMPV6: u32 = 29;
    pub const IFNAME: u32 = 41;
}

/// `NFT_SET_INTERVAL` and `NFT_SET_CONCAT`: elements may be ranges, field by field.
const RANGES: u32 = 0x04 | 0x80;

/// What nft(8) needs to know besides to show a name: that it is in the host's order, as text is.
/// It is the only field of which that is not clear, so saying so of every set does no harm.
const BYTE_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// A set: its name, the types of its key's fields and their bytes.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    pub name: &'static str,
    fields: &'static [(u32, u32)],
    flags: u32,
}

const INTERFACE: (u32, u32) = (types::IFNAME, NAME as u32);

/// The interfaces that are shut.
pub const SHUT: Set = Set { name: "shut", fields: &[INTERFACE], flags: 0 };
/// Those of them at which a client may use every port.
pub const OPEN: Set = Set { name: "every_port", fields: &[INTERFACE], flags: 0 };
/// The ports that a client may use at the others.
pub const PORTS: Set = Set {
    name: "ports",
    fields: &[INTERFACE, (types::PROTOCOL, 4), (types::SERVICE, 4)],
    flags: 0,
};
/// Who may come in where, by address.
pub const CLIENTS_6: Set =
    Set { name: "clients6", fields: &[INTERFACE, (types::IPV6, 16)], flags: 0 };
/// The same.
pub const CLIENTS_4: Set =
    Set { name: "clients4", fields: &[INTERFACE, (types::IPV4, 4)], flags: 0 };
/// Who may come in where, by prefix.
pub const NETWORKS_6: Set =
    Set { name: "networks6", fields: &[INTERFACE, (types::IPV6, 16)], flags: RANGES };
/// The same.
pub const NETWORKS_4: Set =
    Set { name: "networks4", fields: &[INTERFACE, (types::IPV4, 4)], flags: RANGES };

/// The sets whose elements say what is wanted.
pub const WANTED: [Set; 7] = [SHUT, OPEN, PORTS, CLIENTS_6, CLIENTS_4, NETWORKS_6, NETWORKS_4];

/// The ICMPv6 messages without which a link does not work: queries for listeners (a bridge that
/// looks into them passes on no solicitations otherwise), router advertisements, neighbour
/// solicitations and advertisements (RFC 4890 section 4.4.1).
pub const NEEDED: Set = Set { name: "needed", fields: &[(types::ICMPV6, 1)], flags: 0 };
pub const NEEDED_TYPES: [u8; 4] = [130, 134, 135, 136];

/// Numbers of protocols, and of families of the filter.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const FAMILY_4: u8 = 2;
const FAMILY_6: u8 = 10;

/// Bits of a connection's state, and its direction, in the host's order.
const RELATED: [u8; 4] = 4u32.to_ne_bytes();
const NEW: [u8; 4] = 8u32.to_ne_bytes();
const REPLY: u8 = 1;

/// A rule and what it says of itself; the rules of a chain are known again by this.
pub struct Named {
    pub chain: &'static str,
    pub comment: &'static str,
    rule: Rule,
}

const INWARD: &str = "inward";
const CLIENT: &str = "client";
const OUTWARD: &str = "outward";

/// All rules, in their order.
pub fn rules() -> Vec<Named> {
    let named = |chain, comment, rule| Named { chain, comment, rule };
    let inward = |comment, rule| named(INWARD, comment, rule);
    vec![
        named(CLIENT, "every port", input().within(OPEN.name).verdict(Verdict::Accept)),
        named(CLIENT, "its ports", ports()),
        named(CLIENT, "ping", of(FAMILY_6, ICMPV6).first_byte_is(128).verdict(Verdict::Accept)),
        named(CLIENT, "ping", of(FAMILY_4, ICMP).first_byte_is(8).verdict(Verdict::Accept)),
        named(CLIENT, "no other port", Rule::default().count().verdict(Verdict::Drop)),
        inward("other interfaces", input().outside(SHUT.name).verdict(Verdict::Accept)),
        inward("answers", answers()),
        inward("errors about what goes on", errors()),
        inward("neighbours and routers", neighbours()),
        inward("DHCPv6 servers", dhcp6()),
        inward("DHCPv4 servers", dhcp4()),
        inward("clients", from_6(CLIENTS_6)),
        inward("clients", from_4(CLIENTS_4)),
        inward("clients", from_6(NETWORKS_6)),
        inward("clients", from_4(NETWORKS_4)),
        inward("everybody else", Rule::default().count().verdict(Verdict::Drop)),
        named(OUTWARD, "connections from before", from_before()),
    ]
}

/// Loads the name of the interface that the packet came by.
fn input() -> Rule {
    Rule::default().meta(Meta::InputName, Register::FIRST)
}

/// Holds for packets of one family.
fn family(number: u8) -> Rule {
    Rule::default().meta(Meta::Family, Register::FIRST).equals(&[number])
}

/// Holds for packets of one family and protocol.
fn of(family_number: u8, protocol: u8) -> Rule {
    family(family_number).meta(Meta::Transport, Register::FIRST).equals(&[protocol])
}

impl Rule {
    /// Holds if the first byte behind the IP header is this: the type of an ICMP message.
    fn first_byte_is(self, byte: u8) -> Rule {
        self.payload(Base::Transport, 0, 1, Register::FIRST).equals(&[byte])
    }
}

/// Holds for a port that the client may use. The third field lies behind the protocol, which
/// takes four bytes.
fn ports() -> Rule {
    input()
        .meta(Meta::Transport, Register::behind(NAME))
        .payload(Base::Transport, 2, 2, Register::behind(NAME + 4))
        .within(PORTS.name)
        .verdict(Verdict::Accept)
}

/// What answers something that the container began. It is the direction that counts and not that
/// there is a connection, so that who may not come in any more does not stay in.
fn answers() -> Rule {
    Rule::default().connection(Connection::Direction).equals(&[REPLY]).verdict(Verdict::Accept)
}

/// ICMP errors, packet too big among them: they come from whatever router has to tell them.
fn errors() -> Rule {
    let state = Rule::default().connection(Connection::State).mask(&RELATED);
    state.differs_from(&[0; 4]).verdict(Verdict::Accept)
}

fn neighbours() -> Rule {
    let kind = of(FAMILY_6, ICMPV6).payload(Base::Transport, 0, 1, Register::FIRST);
    kind.within(NEEDED.name).verdict(Verdict::Accept)
}

/// To the clients' port and from the link (RFC 8415 sections 7.2 and 16): it is unionize that asks,
/// all servers at once, so that an answer is not known as one.
fn dhcp6() -> Rule {
    let (mut mask, mut local) = ([0; 16], [0; 16]);
    mask[..2].copy_from_slice(&[0xff, 0xc0]);
    local[..2].copy_from_slice(&[0xfe, 0x80]);
    family(FAMILY_6)
        .payload(Base::Network, 8, 16, Register::FIRST)
        .mask(&mask)
        .equals(&local)
        .meta(Meta::Transport, Register::FIRST)
        .equals(&[UDP])
        .payload(Base::Transport, 2, 2, Register::FIRST)
        .equals(&546u16.to_be_bytes())
        .verdict(Verdict::Accept)
}

/// From the servers' port to the clients' (RFC 2131 section 4.1).
fn dhcp4() -> Rule {
    let ports = of(FAMILY_4, UDP).payload(Base::Transport, 0, 4, Register::FIRST);
    ports.equals(&[0, 67, 0, 68]).verdict(Verdict::Accept)
}

fn from_6(set: Set) -> Rule {
    from(set, FAMILY_6, 8, 16)
}

fn from_4(set: Set) -> Rule {
    from(set, FAMILY_4, 12, 4)
}

/// Goes on with the client's rules where the set has the interface with the packet's source.
fn from(set: Set, number: u8, offset: u32, length: u32) -> Rule {
    family(number)
        .meta(Meta::InputName, Register::FIRST)
        .payload(Base::Network, offset, length, Register::behind(NAME))
        .within(set.name)
        .verdict(Verdict::Goto(CLIENT))
}

/// The kernel takes a TCP connection that it has not seen begin for a new one of whoever speaks
/// first. If that was the container, a station that was connected when the interface was shut would
/// be let in as one that answers.
fn from_before() -> Rule {
    const FLAGS: u32 = 13;
    const SYN: u8 = 0x02;
    Rule::default()
        .meta(Meta::OutputName, Register::FIRST)
        .within(SHUT.name)
        .meta(Meta::Transport, Register::FIRST)
        .equals(&[TCP])
        .payload(Base::Transport, FLAGS, 1, Register::FIRST)
        .mask(&[SYN])
        .equals(&[0])
        .connection(Connection::State)
        .mask(&NEW)
        .differs_from(&[0; 4])
        .verdict(Verdict::Drop)
}

/// The changes that make the table with everything but its elements, in place of one that is
/// there.
pub fn build(batch: &mut Batch) {
    // Deleting what is not there would be an error, and making what is there is none.
    table(batch, Kind::NewTable);
    table(batch, Kind::DeleteTable);
    table(batch, Kind::NewTable);
    for (number, set) in WANTED.iter().chain([&NEEDED]).enumerate() {
        make_set(batch, *set, number as u32 + 1);
    }
    let elements = NEEDED_TYPES.map(|kind| Element { key: vec![kind], end: None, comment: None });
    change_elements(batch, Kind::NewElements, NEEDED.name, &elements);
    // Hooks and priorities of linux/netfilter.h. Connections are known from -200 on, and what
    // follows before the table sees the packet is nothing of importance.
    chain(batch, CLIENT, None);
    chain(batch, INWARD, Some((0, -150)));
    chain(batch, OUTWARD, Some((3, 0)));
    for rule in rules() {
        make_rule(batch, rule);
    }
}

/// The change that takes the table away, with all that is in it.
pub fn remove(batch: &mut Batch) {
    table(batch, Kind::DeleteTable);
}

fn table(batch: &mut Batch, kind: Kind) {
    let (flags, doing) = match kind {
        Kind::NewTable => (flags::CREATE, "make the firewall's table"),
        _ => (0, "delete the firewall's table"),
    };
    batch.push(kind, flags, doing, |all| {
        all.text(1, TABLE);
        if kind == Kind::NewTable {
            all.bytes(6, &comment(MARK));
        }
    });
}

fn chain(batch: &mut Batch, name: &str, hook: Option<(u32, i32)>) {
    let doing = format!("make the firewall's chain {name}");
    batch.push(Kind::NewChain, flags::CREATE, doing, |all| {
        all.text(1, TABLE);
        all.text(3, name);
        if let Some((number, priority)) = hook {
            all.nest(4, |hook| {
                hook.number(1, number);
                hook.number(2, priority.cast_unsigned());
            });
            all.number(5, 1);
            all.text(7, "filter");
        }
    });
}

fn make_set(batch: &mut Batch, set: Set, number: u32) {
    let doing = format!("make the firewall's set {}", set.name);
    batch.push(Kind::NewSet, flags::CREATE, doing, |all| {
        all.text(1, TABLE);
        all.text(2, set.name);
        all.number(3, set.flags);
        all.number(4, set.fields.iter().fold(0, |all, (kind, _)| all << 6 | kind));
        all.number(5, set.fields.iter().map(|(_, length)| length).sum());
        all.number(10, number);
        all.bytes(13, &BYTE_ORDER);
        if set.flags == RANGES {
            all.nest(9, |about| {
                about.nest(2, |list| {
                    for (_, length) in set.fields {
                        list.nest(1, |field| field.number(1, *length));
                    }
                });
            });
        }
    });
}

fn make_rule(batch: &mut Batch, named: Named) {
    let doing = format!("make the firewall's rule \"{}\"", named.comment);
    batch.push(Kind::NewRule, flags::CREATE | flags::APPEND, doing, |all| {
        all.text(1, TABLE);
        all.text(2, named.chain);
        all.nest(4, |list| list.append(&named.rule.into_expressions()));
        all.bytes(7, &comment(named.comment));
    });
}

/// One element of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its key, or the first of a range.
    pub key: Vec<u8>,
    /// The last of a range.
    pub end: Option<Vec<u8>>,
    /// What it says of itself.
    pub comment: Option<String>,
}

/// Adds elements to a set, or takes them out of it. Adding one that is there changes nothing.
pub fn change_elements(batch: &mut Batch, kind: Kind, set: &str, elements: &[Element]) {
    /// As many as fit into an attribute, however long their comments are.
    const AT_ONCE: usize = 256;
    let (flags, doing) = match kind {
        Kind::NewElements => (flags::CREATE, format!("add to the firewall's set {set}")),
        _ => (0, format!("take out of the firewall's set {set}")),
    };
    for elements in elements.chunks(AT_ONCE) {
        batch.push(kind, flags, &*doing, |all| {
            all.text(1, TABLE);
            all.text(2, set);
            all.nest(3, |list| elements.iter().for_each(|e| list.nest(1, |one| e.write(one))));
        });
    }
}

impl Element {
    fn write(&self, all: &mut Attributes) {
        all.nest(1, |data| data.bytes(1, &self.key));
        if let Some(end) = &self.end {
            all.nest(10, |data| data.bytes(1, end));
        }
        if let Some(text) = &self.comment {
            all.bytes(6, &comment(text));
        }
    }

    /// One out of the kernel's message.
    pub fn read(bytes: &[u8]) -> Option<Element> {
        let data =
            |number| value(bytes, number).and_then(|data| value(data, 1)).map(<[u8]>::to_vec);
        let comment = value(bytes, 6).and_then(commented).map(str::to_owned);
        Some(Element { key: data(1)?, end: data(10), comment })
    }
}

/// A comment as nft(8) writes it into what the kernel keeps for users: its number, its length, and
/// text that ends with a zero byte.
fn comment(text: &str) -> Vec<u8> {
    const LONGEST: usize = 128;
    let text = &text.as_bytes()[..text.len().min(LONGEST)];
    [&[0, text.len() as u8 + 1], text, &[0]].concat()
}

/// The comment in what the kernel keeps for users.
pub fn commented(mut bytes: &[u8]) -> Option<&str> {
    while let [number, length, rest @ ..] = bytes {
        let said = rest.get(..usize::from(*length))?;
        if *number == 0 {
            return text(said);
        }
        bytes = &rest[said.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        assert_eq!(commented(&comment("web")), Some("web"));
        assert_eq!(commented(&[&[1, 2, 9, 9][..], &comment("web")].concat()), Some("web"));
        for hostile in [&[][..], &[0], &[0, 9], &[1, 0], &[0, 2, 0xff, 0]] {
            assert_eq!(commented(hostile), None, "{hostile:?}");
        }
        assert!(comment(&"x".repeat(1000)).len() < 256);
    }

    #[test]
    fn rules_of_a_chain_stand_together_and_have_a_name() {
        let rules = rules();
        let chains: Vec<_> =
            rules.chunk_by(|a, b| a.chain == b.chain).map(|c| c[0].chain).collect();
        assert_eq!(chains, [CLIENT, INWARD, OUTWARD], "in the order in which they are made");
        assert!(rules.iter().all(|rule| !rule.comment.is_empty()));
    }

    #[test]
    fn any_number_of_elements_fits() {
        let comment = Some("x".repeat(128));
        let element = |n: u16| Element {
            key: vec![0; 24 + usize::from(n % 2)],
            end: None,
            comment: comment.clone(),
        };
        let elements: Vec<Element> = (0..3000).map(element).collect();
        let mut batch = Batch::default();
        change_elements(&mut batch, Kind::NewElements, PORTS.name, &elements);
        assert_eq!(batch.last(0), 12);
    }
}
