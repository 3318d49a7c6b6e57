//! The patterns of what is written as text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{
    Addressing, Affinity, Alias, Constraint, ContainerId, Device, DomainName, Duid, EnvVar, Expose,
    ExtraHost, FileMode, Fixed, Hostname, Ifname, Image, IpcMode, Key, Link, Mac, NetworkName,
    Owner, Parent, PidMode, Platform, Port, Rate, Restart, Route, Rule, Signal, Span, SwarmName,
    Volume, VolumesFrom,
};
use super::{Defs, Shape};

/// What Docker takes as a name, and how much longer than a letter it may be.
const NAME: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";
const ID: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}";
/// The length of an IPv6 prefix.
const BITS: &str = "12[0-8]|1[01][0-9]|[1-9]?[0-9]";
/// The name of an interface.
const INTERFACE: &str = "[!-$&-.0-9;-~]{1,15}";
const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
/// An absolute path in a text whose parts are joined by colons.
const PATH: &str = r"/[^:\u0000]*";
/// Port numbers may have zeros before them; that of a container is not 0.
const PORT: &str =
    "0*(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
const INSIDE: &str =
    "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
const PROTOCOL: &str = "(?:/(?:tcp|udp|sctp))?";
/// What stands for a name in hosts(5).
const CALLED: &str = "[a-zA-Z0-9_.][a-zA-Z0-9_.-]{0,252}";
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
const DIGITS: &str = "[0-9a-fA-F]{2}";
/// Each of r, w and m once at most.
const RWM: &str = "(?:r(?:wm?|mw?)?|w(?:rm?|mr?)?|m(?:rw?|wr?)?)";

fn ipv4() -> String {
    let byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    format!(r"(?:{byte}\.){{3}}{byte}")
}

/// The text forms of RFC 4291 section 2.2, without a zone.
fn ipv6() -> String {
    let group = "[0-9a-fA-F]{1,4}";
    let last = format!("(?:{group}:{group}|{})", ipv4());
    let mut forms = vec![format!("(?:{group}:){{6}}{last}")];
    // So many groups at most before `::`, and what may stand behind it.
    for before in 0..=7 {
        let behind = match 5_usize.checked_sub(before) {
            Some(groups) => format!("(?:{group}:){{{groups}}}{last}"),
            None if before == 6 => group.to_owned(),
            None => String::new(),
        };
        let before = match before {
            0 => String::new(),
            1 => format!("(?:{group})?"),
            more => format!("(?:(?:{group}:){{0,{}}}{group})?", more - 1),
        };
        forms.push(format!("{before}::{behind}"));
    }
    format!("(?:{})", forms.join("|"))
}

fn prefix() -> String {
    let of = |address: &str, length: &str| format!("{address}/0*(?:{length})(?:@{address})?");
    let v6 = of(&ipv6(), BITS);
    format!("(?:{v6}|{})", of(&ipv4(), "3[0-2]|[12]?[0-9]"))
}

/// A prefix, or an address for one of its own.
fn net() -> String {
    let of = |address: &str, length: &str| format!("{address}(?:/0*(?:{length}))?");
    let v6 = of(&ipv6(), "12[0-8]|1[01][0-9]|[1-9]?[0-9]");
    format!("(?:{v6}|{})", of(&ipv4(), "3[0-2]|[12]?[0-9]"))
}

/// What separates the words of a route or rule.
const GAP: &str = r"[ \t\n\f\r]";
const TABLE: &str = "(?:main|default|[0-9]+)";

/// That all is of one family, that no word stands twice, and what goes with what, is not said.
fn route() -> String {
    let address = format!("(?:{}|{})", ipv6(), ipv4());
    let words = [
        format!("(?:via|src){GAP}+{address}"),
        format!("from{GAP}+{}", net()),
        format!("(?:metric|priority|preference){GAP}+[0-9]+"),
        format!("table{GAP}+{TABLE}"),
        "onlink".to_owned(),
    ];
    let fate = format!("(?:(?:unreachable|blackhole|prohibit){GAP}+)?");
    let to = format!("(?:default|{})", net());
    format!("{GAP}*{fate}{to}(?:{GAP}+(?:{}))*{GAP}*", words.join("|"))
}

fn rule() -> String {
    let words = [
        format!("(?:from|to){GAP}+(?:all|{})", net()),
        format!("(?:table|lookup){GAP}+{TABLE}"),
        format!("(?:priority|pref){GAP}+[0-9]+"),
    ]
    .join("|");
    format!("{GAP}*(?:{words})(?:{GAP}+(?:{words}))*{GAP}*")
}

/// That it is at least 8 bits, and less than 2^64, is not said.
fn rate() -> String {
    let step = "(?:[kKmMgGtT][iI]?)?";
    let unit = "(?:[bB][iI][tT]|[bB][pP][sS])?";
    format!(r"[0-9]+(?:\.[0-9]{{1,15}})?{step}{unit}")
}

/// The grammar of image references. That the name is 255 characters long at most is not said.
fn image() -> String {
    let word = "[a-z0-9]+(?:(?:__|[._]|-+)[a-z0-9]+)*";
    let plain = "[a-z0-9]+(?:(?:__|_|-+)[a-z0-9]+)*";
    let domain = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let port = ":[0-9]+";
    let registry = format!(
        r"(?:{domain}(?:\.{domain})+(?:{port})?|{domain}{port}|localhost|\[[0-9a-fA-F:]*:[0-9a-fA-F:]*\](?:{port})?)"
    );
    let name = format!("(?:{registry}/{word}(?:/{word})*|{plain}(?:/{word})+|{word})");
    let tag = "(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?";
    format!("{name}{tag}(?:@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{{32,}})?")
}

fn volume() -> String {
    format!("{PATH}|(?:{PATH}|{ID}):{PATH}(?::[^:]*)?")
}

/// That the word notin stands in no value of a list behind `in` is not said.
fn constraint() -> String {
    let space = r"[\s\u0085]*";
    let label = "[a-zA-Z0-9_./-]{1,255}";
    // The first of != and = is the operator, so the value behind = has no != in it.
    let equal = format!("(?:[^{CONTROL},()!]|!+[^{CONTROL},()!=])*!*");
    let different = format!("!={space}[^{CONTROL},()]*");
    let seen = format!(r"[^{CONTROL},()=\s]");
    let item = format!("{space}{seen}(?:[^{CONTROL},()=]*{seen})?{space}");
    let list = format!(r"\({item}(?:,{item})*\)");
    let tests = format!("{different}|={space}{equal}|{space} (?:not)?in {space}{list}");
    format!("{space}(?:!{space}{label}|{label}(?:{space}(?:{tests}))?){space}")
}

fn affinity() -> String {
    let some = format!("[^{CONTROL}]+");
    format!("~?(?:(?:host|group|label)={some}|container={ID})")
}

fn described(pattern: &str, description: &str) -> Value {
    json!({"type": "string", "pattern": format!("^(?:{pattern})$"), "description": description})
}

/// Gives types whose form is text a pattern and a few words.
macro_rules! texts {
    ($($type:ident $about:literal $pattern:expr;)*) => {$(
        impl Shape for $type {
            fn schema(defs: &mut Defs) -> Value {
                defs.named(stringify!($type), |_| described(&$pattern, $about))
            }
        }
    )*};
}

texts! {
    ContainerId "Name of a container" ID;
    Owner "Name of a pipe" format!("{NAME}{{0,62}}");
    NetworkName "Name of a network of Docker's" format!("{NAME}{{0,62}}");
    SwarmName "Name of a secret or config of a swarm"
        "[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?";
    FileMode "Mode of a file" "[0-7]{3,4}";
    Key "Identity of a client" "[a-z2-7]{13}";
    Image "[registry/]name[:tag][@digest]" image();
    EnvVar "NAME=value" r"[a-zA-Z_.-][a-zA-Z0-9_.-]*=[^\u0000]*";
    Port "[address:]host:container[/tcp|udp|sctp]" {
        let address = format!("(?:{}|\\[{}\\]):", ipv4(), ipv6());
        format!("(?:{address})?{PORT}:{INSIDE}{PROTOCOL}")
    };
    Expose "container[/tcp|udp|sctp]" format!("{INSIDE}{PROTOCOL}");
    Volume "[/host/path or name:]/container/path[:options]" volume();
    VolumesFrom "container[:ro|rw]" format!("{ID}(?::r[ow])?");
    Device "/dev/on-host[:/dev/inside][:rwm]" format!("{PATH}(?::{PATH})?(?::{RWM})?");
    Restart "no, always, unless-stopped, on-failure[:times]" {
        format!("no|always|unless-stopped|on-failure(?::{PORT})?")
    };
    Platform "os[/architecture[/variant]]" {
        let word = "[a-zA-Z0-9_.-]+";
        format!("{word}(?:/{word}){{0,2}}")
    };
    IpcMode "none, private, shareable, host or container:NAME" {
        format!("none|private|shareable|host|container:{ID}")
    };
    PidMode "host or container:NAME" format!("host|container:{ID}");
    Alias "Name in a network of Docker's" CALLED;
    ExtraHost "name:address, or name:host-gateway" {
        format!("{CALLED}:(?:host-gateway|{}|{})", ipv4(), ipv6())
    };
    Link "container[:alias]" format!("{ID}(?::{CALLED})?");
    Fixed "ADDRESS/LENGTH[@ROUTER]" prefix();
    Addressing "dhcp6, dhcp6-temporary, dhcp4, slaac, none, or ADDRESS/LENGTH[@ROUTER]" {
        format!("dhcp6|dhcp6-temporary|dhcp4|slaac|none|{}", prefix())
    };
    Route "A route in the words of ip-route(8): [unreachable|blackhole|prohibit] PREFIX [from PREFIX] [via ADDRESS] [table TABLE] [src ADDRESS] [metric NUMBER] [onlink]" route();
    Rule "A rule in the words of ip-rule(8): [from PREFIX] [to PREFIX] table TABLE [priority NUMBER]" rule();
    Constraint "label, !label, label=value, label!=value, label in (a, b), label notin (a, b)" constraint();
    Affinity "host=ID, container=ID, group=NAME or label=NAME[=VALUE]; ~ before it for a wish" affinity();
    Span "A length of time: 500ms, 90s, 5m, 1h or 2d" "[0-9]{1,11}(?:ms|s|m|h|d)";
    Mac "Six hex pairs joined by colons" format!("{DIGITS}(?::{DIGITS}){{5}}");
    Duid "3 to 130 hex pairs joined by colons" format!("{DIGITS}(?::{DIGITS}){{2,129}}");
}

impl Shape for Rate {
    fn schema(defs: &mut Defs) -> Value {
        let text = described(&rate(), "Bits per second: 10mbit, 500kbit");
        let number = json!({"type": "integer", "minimum": 8});
        defs.named("Rate", |_| json!({"anyOf": [text, number]}))
    }
}

impl Shape for Hostname {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Hostname", |_| {
            let mut shape = described(
                &format!(r"{LABEL}(?:\.{LABEL})*"),
                "Labels of letters, digits and hyphens, joined by dots",
            );
            shape["maxLength"] = 253.into();
            shape
        })
    }
}

impl Shape for DomainName {
    fn schema(defs: &mut Defs) -> Value {
        let name = Hostname::schema(defs);
        defs.named("DomainName", |_| json!({"anyOf": [name, {"const": "."}]}))
    }
}

impl Shape for Ifname {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Ifname", |_| {
            let mut shape = described(INTERFACE, "Name of a network interface");
            shape["not"] = json!({"enum": [".", ".."]});
            shape
        })
    }
}

impl Shape for Parent {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Parent", |_| {
            let pattern = format!("{INTERFACE}|mac:{DIGITS}(?::{DIGITS}){{5}}");
            let about = "NAME of an interface of the host, or mac: and its hardware address";
            let mut shape = described(&pattern, about);
            shape["not"] = json!({"enum": [".", ".."]});
            shape
        })
    }
}

impl Shape for Ipv6Net {
    /// That it is one is not said.
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "string", "description": "An IPv6 prefix: ADDRESS/LENGTH"})
    }
}

impl Shape for Signal {
    fn schema(defs: &mut Defs) -> Value {
        defs.named("Signal", |_| {
            let number = "0*(?:[1-9]|[1-5][0-9]|6[0-4])";
            let pattern = format!("{number}|(?:SIG)?[A-Z][A-Z0-9+-]{{0,9}}");
            let mut shape = described(&pattern, "Name or number of a signal");
            shape["not"] = json!({"pattern": "^SIG(?:[^A-Z]|$)"});
            shape
        })
    }
}

impl Shape for Ipv4Addr {
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "string", "format": "ipv4", "pattern": format!("^{}$", ipv4())})
    }
}

impl Shape for Ipv6Addr {
    fn schema(defs: &mut Defs) -> Value {
        defs.named(
            "Ipv6",
            |_| json!({"type": "string", "format": "ipv6", "pattern": format!("^{}$", ipv6())}),
        )
    }
}

impl Shape for IpAddr {
    fn schema(defs: &mut Defs) -> Value {
        let both = [Ipv4Addr::schema(defs), Ipv6Addr::schema(defs)];
        defs.named("IpAddress", |_| json!({"anyOf": both}))
    }
}

impl Shape for Timestamp {
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "string", "format": "date-time"})
    }
}

impl Shape for String {
    fn schema(_: &mut Defs) -> Value {
        json!({"type": "string"})
    }
}
