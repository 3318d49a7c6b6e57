//! Routes and rules of a container, in the words of ip-route(8) and ip-rule(8).

mod rule;
mod said;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::text::as_json_string;
pub use rule::Rule;
pub use said::BadWords;
use said::{Family, Said, all_of, prefix};

/// The routing table that is meant where none is named.
pub const MAIN_TABLE: u32 = 254;

/// A route over one interface: `PREFIX [via ADDRESS] [from PREFIX] [src ADDRESS] [metric NUMBER]
/// [table TABLE] [onlink]`, where PREFIX may be `default`. With `unreachable`, `blackhole` or
/// `prohibit` before it, what goes there is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// What becomes of the packets.
    pub fate: Fate,
    /// Where they go to; a length of 0 for a default route.
    pub to: IpNet,
    /// Where they come from: a source-specific route, which only IPv6 has.
    pub from: Option<IpNet>,
    /// The router that they are given to; absent when their target is on the link.
    pub via: Option<IpAddr>,
    /// The table that the route stands in.
    pub table: u32,
    /// The address that they are sent from, when the program leaves that open.
    pub src: Option<IpAddr>,
    /// Of two routes to the same place the lower one is taken; absent leaves it to the kernel.
    pub metric: Option<u32>,
    /// Whether the router is on the link, whatever the addresses say.
    pub onlink: bool,
}

/// What becomes of packets that a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// They are sent.
    Sent,
    /// They are dropped, and the sender is told that the target is unreachable.
    Unreachable,
    /// They are dropped and nobody is told.
    Blackhole,
    /// They are dropped, and the sender is told that it is forbidden.
    Prohibit,
}

impl Fate {
    const WORDS: [(Fate, &str); 3] = [
        (Fate::Unreachable, "unreachable"),
        (Fate::Blackhole, "blackhole"),
        (Fate::Prohibit, "prohibit"),
    ];

    /// The word before the prefix.
    fn word(self) -> Option<&'static str> {
        Fate::WORDS.iter().find(|(fate, _)| *fate == self).map(|(_, word)| *word)
    }
}

impl Route {
    /// A default route to `router`, on the link whatever the addresses say where that is needed.
    pub fn default_via(router: IpAddr, onlink: bool) -> Route {
        Route { via: Some(router), onlink, ..Route::to(all_of(Family::of(router))) }
    }

    /// A route to what is on the link.
    pub fn to(to: IpNet) -> Route {
        let (from, via, src, metric) = (None, None, None, None);
        Route { fate: Fate::Sent, to, from, via, table: MAIN_TABLE, src, metric, onlink: false }
    }

    /// Whether it is a default route.
    pub fn is_default(&self) -> bool {
        self.to.prefix_len() == 0 && self.fate == Fate::Sent
    }

    /// The router of the default route for everybody; nothing for every other route.
    pub fn router(&self) -> Option<IpAddr> {
        let plain = self.is_default() && self.from.is_none() && self.table == MAIN_TABLE;
        self.via.filter(|_| plain)
    }

    fn check(self, said: &Said<'_>) -> Result<Route, BadWords> {
        let family = Family::of_net(&self.to);
        let v4_source = self.from.filter(|_| family == Family::V4);
        let others = [self.via, self.src, self.from.map(|from| from.addr())];
        if let Some(other) = others.into_iter().flatten().find(|one| Family::of(*one) != family) {
            return Err(said.wrong(other, "of the other family than where the route goes"));
        }
        if let Some(from) = v4_source {
            let why = "a source, and IPv4 has no routes by source; a rule with a table does it";
            return Err(said.wrong(format_args!("from {from}"), why));
        }
        if self.fate != Fate::Sent && (self.via.is_some() || self.onlink || self.src.is_some()) {
            let word = if self.via.is_some() { "via" } else { "src or onlink" };
            return Err(said.wrong(word, "of no use: nothing is sent on such a route"));
        }
        if self.onlink && self.via.is_none() {
            return Err(said.wrong("onlink", "of no use without via"));
        }
        Ok(self)
    }
}

/// The route without its target, as the words are read.
#[derive(Default)]
struct Draft {
    from: Option<IpNet>,
    via: Option<IpAddr>,
    table: Option<u32>,
    src: Option<IpAddr>,
    metric: Option<u32>,
    onlink: bool,
}

impl Draft {
    fn read(said: &mut Said<'_>) -> Result<Draft, BadWords> {
        let mut draft = Draft::default();
        while let Some(word) = said.next() {
            match word {
                "via" => said.once(word, &mut draft.via, Said::address)?,
                "from" => said.once(word, &mut draft.from, Said::prefix)?,
                "src" => said.once(word, &mut draft.src, Said::address)?,
                "table" => said.once(word, &mut draft.table, Said::table)?,
                "metric" | "priority" | "preference" => {
                    said.once(word, &mut draft.metric, Said::number)?;
                }
                "onlink" => draft.onlink = true,
                "dev" => {
                    let why = "not for a route here: it is over the interface that it is given to";
                    return Err(said.wrong(word, why));
                }
                other => {
                    let why = "none of via, from, src, metric, table and onlink";
                    return Err(said.wrong(other, why));
                }
            }
        }
        Ok(draft)
    }

    /// The family that the addresses are of.
    fn family(&self) -> Option<Family> {
        let from = self.from.map(|from| from.addr());
        self.via.or(self.src).or(from).map(Family::of)
    }
}

impl FromStr for Route {
    type Err = BadWords;

    fn from_str(text: &str) -> Result<Route, BadWords> {
        let mut said = Said::new(text, "route");
        let mut first = said.need("a prefix, or default")?;
        let named = Fate::WORDS.iter().find(|(_, word)| *word == first).map(|(fate, _)| *fate);
        if named.is_some() {
            first = said.need("a prefix, or default")?;
        }
        let fate = named.unwrap_or(Fate::Sent);
        let to = match first {
            "default" => None,
            text => Some(prefix(text).ok_or_else(|| said.not_a_prefix(text))?),
        };
        let draft = Draft::read(&mut said)?;
        let to =
            match to {
                Some(to) => to,
                None => all_of(draft.family().ok_or_else(|| {
                    said.wrong("default", "of no family; write ::/0 or 0.0.0.0/0")
                })?),
            };
        let Draft { from, via, table, src, metric, onlink } = draft;
        let table = table.unwrap_or(MAIN_TABLE);
        let metric = metric.filter(|metric| *metric != 0);
        let from = from.filter(|from| from.prefix_len() != 0 || from.addr().is_ipv4());
        Route { fate, to, from, via, table, src, metric, onlink }.check(&said)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(word) = self.fate.word() {
            write!(f, "{word} ")?;
        }
        let says_its_family = self.via.is_some() || self.src.is_some() || self.from.is_some();
        match self.to.prefix_len() {
            0 if says_its_family => f.write_str("default")?,
            0 => write!(f, "{}", self.to)?,
            _ => write!(f, "{}", said::Net(self.to))?,
        }
        if let Some(from) = self.from {
            write!(f, " from {}", said::Net(from))?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        if let Some(src) = self.src {
            write!(f, " src {src}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if self.onlink {
            f.write_str(" onlink")?;
        }
        Ok(())
    }
}

as_json_string!(Route);

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Route {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn is_written_as_ip_route_shows_it() {
        for text in [
            "2001:db8::/32 from 2001:db8:1::/64 via fe80::1 table 5 src 2001:db8:1::2 metric 10",
            "default via 192.0.2.1",
            "default via fe80::1",
            "default from 2001:db8::/64 via fe80::1",
            "192.0.2.0/24",
            "192.0.2.7",
            "2001:db8::7 via fe80::1 onlink",
            "default src 192.0.2.9",
            "unreachable 2001:db8::/32 metric 7",
            "blackhole 192.0.2.0/24 table 100",
            "prohibit ::/0",
            "0.0.0.0/0",
        ] {
            assert_eq!(route(text).to_string(), text);
        }
    }

    #[test]
    fn the_same_route_is_written_in_one_way() {
        for (said, is) in [
            (
                " 2001:db8::/32  via fe80::1 from 2001:DB8:1::/64 metric 10 table 5\t",
                "2001:db8::/32 from 2001:db8:1::/64 via fe80::1 table 5 metric 10",
            ),
            ("0.0.0.0/0 via 192.0.2.1 table main metric 0", "default via 192.0.2.1"),
            ("::/0 from ::/0 via fe80::1", "default via fe80::1"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("default via 192.0.2.1 table 254 priority 5", "default via 192.0.2.1 metric 5"),
        ] {
            assert_eq!(route(said).to_string(), is);
            assert_eq!(route(is), route(said));
        }
    }

    #[test]
    fn the_word_that_is_wrong_is_named() {
        for (text, why) in [
            ("", "it wants a prefix, or default"),
            ("unreachable", "it wants a prefix, or default"),
            ("default", "\"default\" is of no family; write ::/0 or 0.0.0.0/0"),
            ("2001:db8::/129", "\"2001:db8::/129\" is not a prefix"),
            ("2001:db8::1/64", "\"2001:db8::1/64\" is not a prefix: it has bits beyond its length"),
            ("::/0 via", "\"via\" wants an address"),
            ("::/0 via fe80::1%eth0", "\"fe80::1%eth0\" is not an address"),
            ("::/0 via fe80::1 via fe80::2", "\"via\" stands twice"),
            ("::/0 via 192.0.2.1", "\"192.0.2.1\" is of the other family"),
            ("192.0.2.0/24 from 10.0.0.0/8", "\"from 10.0.0.0/8\" is a source, and IPv4"),
            ("::/0 metric ten", "\"ten\" is not a number"),
            ("::/0 metric -1", "\"-1\" is not a number"),
            ("::/0 table local", "\"local\" is not a table"),
            ("::/0 table 0", "\"0\" is not a table"),
            ("::/0 dev eth0", "\"dev\" is not for a route here"),
            ("::/0 nexthop", "\"nexthop\" is none of via"),
            ("blackhole ::/0 via fe80::1", "\"via\" is of no use"),
            ("::/0 onlink", "\"onlink\" is of no use without via"),
        ] {
            let told = text.parse::<Route>().unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
            assert!(told.starts_with("route "), "{told}");
        }
    }

    #[test]
    fn the_router_is_that_of_the_default_route_for_all() {
        assert_eq!(route("default via 192.0.2.1").router(), "192.0.2.1".parse().ok());
        for other in ["default from fd00::/64 via fe80::1", "default via fe80::1 table 5", "::/0"] {
            assert_eq!(route(other).router(), None);
        }
        let made = Route::default_via("fe80::1".parse().unwrap(), true);
        assert_eq!(made, route("default via fe80::1 onlink"));
    }
}
