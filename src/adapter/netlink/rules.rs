//! Rules: which routing table is looked into for which packets.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::errno::Errno;

use super::{Netlink, failed};
use crate::error::{Error, Kind, Result};
use crate::record::Rule;

/// Whether the rule that is there is what `wanted` asks for.
pub fn is_rule(there: &Rule, wanted: &Rule) -> bool {
    *there == Rule { priority: wanted.priority.or(there.priority), ..*wanted }
}

impl Netlink {
    /// The rules of this namespace that say no more than a [`Rule`] can.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RuleMessage::default();
            message.header.family = family;
            let rules = self
                .dump(RouteNetlinkMessage::GetRule(message))
                .map_err(|e| without_rules("list rules", &e))?;
            found.extend(rules.into_iter().filter_map(read));
        }
        Ok(found)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// `Refused` when it is there already, or the kernel has no rules.
    pub fn add_rule(&self, rule: &Rule) -> Result<()> {
        let message = RouteNetlinkMessage::NewRule(message(rule));
        self.call(message, NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|e| without_rules(&format!("add rule {rule}"), &e))
    }

    /// Takes a rule away. Whether it was there.
    pub fn remove_rule(&self, rule: &Rule) -> Result<bool> {
        match self.call(RouteNetlinkMessage::DelRule(message(rule)), 0) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(false),
            Err(e) => Err(without_rules(&format!("delete rule {rule}"), &e)),
        }
    }
}

/// The kernel's refusal; one that was built without policy routing does not know the message.
fn without_rules(doing: &str, why: &std::io::Error) -> Error {
    match why.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT) => {
            Error::new(Kind::Refused, doing).why("the kernel has no routing rules")
        }
        Some(Errno::EEXIST) => Error::new(Kind::Refused, doing).why("it is there already"),
        _ => failed(doing, why),
    }
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = if rule.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    header.action = RuleAction::ToTable;
    header.table = u8::try_from(rule.table).unwrap_or(0);
    let mut add = |attribute| message.attributes.push(attribute);
    if let Some(from) = rule.from {
        header.src_len = from.prefix_len();
        add(RuleAttribute::Source(from.addr()));
    }
    if let Some(to) = rule.to {
        header.dst_len = to.prefix_len();
        add(RuleAttribute::Destination(to.addr()));
    }
    if let Some(priority) = rule.priority {
        add(RuleAttribute::Priority(priority));
    }
    add(RuleAttribute::Table(rule.table));
    add(RuleAttribute::Protocol(RouteProtocol::Static));
    message
}

/// A rule out of the kernel's message; nothing when it looks at more than where packets come from
/// and go to.
fn read(message: RouteNetlinkMessage) -> Option<Rule> {
    let RouteNetlinkMessage::NewRule(message) = message else { return None };
    let header = &message.header;
    if header.action != RuleAction::ToTable || header.tos != 0 {
        return None;
    }
    let net = |address: &IpAddr, len| IpNet::new(*address, len).ok();
    let table = u32::from(header.table);
    let mut rule = Rule { from: None, to: None, table, priority: Some(0) };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => rule.from = net(address, header.src_len),
            RuleAttribute::Destination(address) => rule.to = net(address, header.dst_len),
            RuleAttribute::Priority(priority) => rule.priority = Some(*priority),
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::Protocol(_) | RuleAttribute::SuppressPrefixLen(u32::MAX) => (),
            _ => return None,
        }
    }
    (rule.from.is_some() || rule.to.is_some()).then_some(rule)
}
