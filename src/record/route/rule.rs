//! Rules: which table is looked into for which packets.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use super::super::text::as_json_string;
use super::said::{BadWords, Family, Net, Said};

/// A rule that sends packets to a routing table: `[from PREFIX] [to PREFIX] table TABLE [priority
/// NUMBER]`, with `from` or `to` or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Where the packets come from; absent means anywhere.
    pub from: Option<IpNet>,
    /// Where they go to; absent means anywhere.
    pub to: Option<IpNet>,
    /// The table that is looked into.
    pub table: u32,
    /// Rules are looked at in the order of this number; absent leaves it to the kernel, which puts
    /// the newest before the others.
    pub priority: Option<u32>,
}

impl Rule {
    /// Whether it is about IPv4 packets.
    pub fn is_ipv4(&self) -> bool {
        self.from.or(self.to).is_some_and(|net| net.addr().is_ipv4())
    }
}

/// A prefix, or nothing for `all` and for a prefix that all are in.
fn some(said: &mut Said<'_>, word: &str) -> Result<Option<IpNet>, BadWords> {
    let mut ahead = said.clone();
    if ahead.next() == Some("all") {
        *said = ahead;
        return Ok(None);
    }
    said.prefix(word).map(Some)
}

impl FromStr for Rule {
    type Err = BadWords;

    fn from_str(text: &str) -> Result<Rule, BadWords> {
        let mut said = Said::new(text, "rule");
        let (mut from, mut to, mut table, mut priority) = (None, None, None, None);
        while let Some(word) = said.next() {
            match word {
                "from" => said.once(word, &mut from, some)?,
                "to" => said.once(word, &mut to, some)?,
                "table" | "lookup" => said.once(word, &mut table, Said::table)?,
                "priority" | "pref" => said.once(word, &mut priority, Said::number)?,
                other => return Err(said.wrong(other, "none of from, to, table and priority")),
            }
        }
        let (from, to) = (from.flatten(), to.flatten());
        if let (Some(from), Some(to)) = (from, to)
            && Family::of_net(&from) != Family::of_net(&to)
        {
            return Err(said.wrong(to, "of another family than where the packets come from"));
        }
        if from.is_none() && to.is_none() {
            return Err(said.wants("from or to, and a prefix behind it"));
        }
        let table = table.ok_or_else(|| said.wants("a table"))?;
        Ok(Rule { from, to, table, priority })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.from {
            write!(f, "from {} ", Net(from))?;
        }
        if let Some(to) = self.to {
            write!(f, "to {} ", Net(to))?;
        }
        write!(f, "table {}", self.table)?;
        match self.priority {
            Some(priority) => write!(f, " priority {priority}"),
            None => Ok(()),
        }
    }
}

as_json_string!(Rule);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_in_one_way() {
        for (said, is) in [
            ("from 2001:db8::/64 table 5 priority 100", None),
            ("from 192.0.2.0/24 to 198.51.100.0/24 table 5", None),
            ("to 192.0.2.7 table 5 priority 0", None),
            ("pref 7 lookup main to ::/0 from all", Some("to ::/0 table 254 priority 7")),
        ] {
            let rule: Rule = said.parse().unwrap();
            assert_eq!(rule.to_string(), is.unwrap_or(said));
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
    }

    #[test]
    fn the_word_that_is_wrong_is_named() {
        for (text, why) in [
            ("", "it wants from or to"),
            ("from all table 5", "it wants from or to"),
            ("from fd00::/64", "it wants a table"),
            ("from fd00::/64 to 192.0.2.0/24 table 5", "\"192.0.2.0/24\" is of another family"),
            ("from fd00::1/64 table 5", "\"fd00::1/64\" is not a prefix"),
            ("from fd00::/64 table local", "\"local\" is not a table"),
            ("from fd00::/64 fwmark 1 table 5", "\"fwmark\" is none of from"),
            ("from fd00::/64 table 5 table 6", "\"table\" stands twice"),
        ] {
            let told = text.parse::<Rule>().unwrap_err().to_string();
            assert!(told.contains(why), "{text}: {told}");
            assert!(told.starts_with("rule "), "{told}");
        }
    }
}
