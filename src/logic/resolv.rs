//! What stands in a resolv.conf(5): lines of ours between two marks, and the others' as they were.
//!
//! Lines of others that ours come instead of are kept behind a mark of their own, and come back when
//! ours go. So the file itself says what has been done to it, and nothing need be remembered: an
//! engine that writes it anew at a restart has just made it as if nothing had been done.

use std::net::IpAddr;

use crate::record::{Hostname, Ifname};

/// What is put before a line that does not count for a while.
const SET_ASIDE: &str = "#unionize# ";

/// What an interface has to say of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// Name servers, the first one first.
    pub servers: &'a [IpAddr],
    /// Domains that short names are looked up in.
    pub search: &'a [Hostname],
    /// The interface's name inside, for servers whose address is of its link alone.
    pub interface: &'a Ifname,
}

/// `before`, with what the interface whose link is `link` has to say, and nothing else that was
/// said for it.
pub fn with(before: &str, link: &Ifname, names: &Names<'_>) -> String {
    let mut file = File::read(before);
    file.blocks.retain(|block| block.link != link.as_str());
    let lines = lines(names);
    if !lines.is_empty() {
        file.blocks.push(Block { link: link.to_string(), lines });
    }
    file.write()
}

/// `before`, with nothing in it for the interface whose link is `link`.
pub fn without(before: &str, link: &Ifname) -> String {
    let mut file = File::read(before);
    file.blocks.retain(|block| block.link != link.as_str());
    file.write()
}

fn lines(names: &Names<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if !names.search.is_empty() {
        let domains: Vec<&str> = names.search.iter().map(Hostname::as_str).collect();
        lines.push(format!("search {}", domains.join(" ")));
    }
    for server in names.servers {
        let of_link = matches!(server, IpAddr::V6(server) if server.is_unicast_link_local());
        lines.push(match of_link {
            true => format!("nameserver {server}%{}", names.interface),
            false => format!("nameserver {server}"),
        });
    }
    lines
}

/// A file, taken apart.
struct File {
    /// The lines of others, as they were.
    others: Vec<String>,
    blocks: Vec<Block>,
}

/// The lines for one interface.
struct Block {
    link: String,
    lines: Vec<String>,
}

impl Block {
    fn begin(link: &str) -> String {
        format!("# unionize {link} begin")
    }

    fn end(link: &str) -> String {
        format!("# unionize {link} end")
    }
}

/// Of what sort a line is, as far as one sort comes instead of another.
fn sort(line: &str) -> Option<&'static str> {
    match line.split_ascii_whitespace().next() {
        Some("nameserver") => Some("nameserver"),
        Some("search" | "domain") => Some("search"),
        _ => None,
    }
}

impl File {
    fn read(text: &str) -> File {
        let (mut others, mut blocks) = (Vec::new(), Vec::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let link =
                line.strip_prefix("# unionize ").and_then(|rest| rest.strip_suffix(" begin"));
            let block = link.and_then(|link| {
                let end = Block::end(link);
                let inside = lines.clone().position(|line| line == end)?;
                Some((link, inside))
            });
            match block {
                Some((link, inside)) => {
                    let inner = lines.by_ref().take(inside).map(str::to_owned).collect();
                    lines.next();
                    blocks.push(Block { link: link.to_owned(), lines: inner });
                }
                None => others.push(line.strip_prefix(SET_ASIDE).unwrap_or(line).to_owned()),
            }
        }
        File { others, blocks }
    }

    fn write(&self) -> String {
        let ours: Vec<&str> = self
            .blocks
            .iter()
            .flat_map(|block| &block.lines)
            .filter_map(|line| sort(line))
            .collect();
        let mut text = String::new();
        for line in &self.others {
            if sort(line).is_some_and(|sort| ours.contains(&sort)) {
                text.push_str(SET_ASIDE);
            }
            text.push_str(line);
            text.push('\n');
        }
        for Block { link, lines } in &self.blocks {
            for line in [&[Block::begin(link)], &lines[..], &[Block::end(link)]].concat() {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# Docker\nnameserver 192.0.2.53\nsearch lan\noptions ndots:0\n";

    fn link(name: &str) -> Ifname {
        name.parse().unwrap()
    }

    fn said(before: &str, name: &str, servers: &[&str], search: &[&str]) -> String {
        let servers: Vec<IpAddr> = servers.iter().map(|text| text.parse().unwrap()).collect();
        let search: Vec<Hostname> = search.iter().map(|text| text.parse().unwrap()).collect();
        let interface = &link("eth1");
        with(before, &link(name), &Names { servers: &servers, search: &search, interface })
    }

    #[test]
    fn ours_come_instead_and_the_others_come_back() {
        let after = said(BEFORE, "lp1", &["2001:db8::53", "fe80::53"], &["a.example", "b"]);
        let wanted = "# Docker\n#unionize# nameserver 192.0.2.53\n#unionize# search lan\n\
                      options ndots:0\n# unionize lp1 begin\nsearch a.example b\n\
                      nameserver 2001:db8::53\nnameserver fe80::53%eth1\n# unionize lp1 end\n";
        assert_eq!(after, wanted);
        assert_eq!(said(&after, "lp1", &["2001:db8::53", "fe80::53"], &["a.example", "b"]), after);
        assert_eq!(without(&after, &link("lp1")), BEFORE);
        assert_eq!(without(BEFORE, &link("lp1")), BEFORE);
    }

    #[test]
    fn what_is_not_learnt_is_not_replaced() {
        let servers = said(BEFORE, "lp1", &["192.0.2.1"], &[]);
        assert!(servers.contains("\nsearch lan\n") && servers.contains("# nameserver 192.0.2.53"));
        assert_eq!(said(&servers, "lp1", &[], &[]), BEFORE);
    }

    #[test]
    fn two_interfaces_go_in_any_order() {
        let both = said(&said(BEFORE, "lp1", &["192.0.2.1"], &[]), "lp2", &[], &["b"]);
        let first_gone = without(&both, &link("lp1"));
        assert_eq!(first_gone, said(BEFORE, "lp2", &[], &["b"]));
        assert_eq!(without(&first_gone, &link("lp2")), BEFORE);
        assert_eq!(without(&without(&both, &link("lp2")), &link("lp1")), BEFORE);
    }

    #[test]
    fn marks_that_others_have_spoilt_cost_no_line() {
        let spoilt = "# unionize lp1 begin\nnameserver 192.0.2.1\n";
        assert_eq!(without(spoilt, &link("lp1")), spoilt);
    }
}
