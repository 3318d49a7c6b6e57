//! What is odd about a bridge, for people: it is theirs, so nothing of it is changed.

use super::Unionize;
use super::lock;
use super::scene::Place;
use crate::adapter::netlink::{Bridge, Link};
use crate::adapter::{sysctl, sysfs};
use crate::error::{Error, Kind};
use crate::record::{Ifname, Plug};

impl Unionize<'_> {
    /// Tells once of each bridge what may make trouble.
    pub(super) fn tell_of_bridge(&self, plug: &Plug, place: &Place) {
        let Plug::Bridge { bridge: name, .. } = plug else { return };
        let (Some(link), Some(settings)) = (&place.link, &place.bridge) else { return };
        if lock(&self.told).insert(name.clone()) {
            for odd in oddities(name, link, settings) {
                self.keeper.report.note(&odd);
            }
        }
    }
}

fn oddities(name: &Ifname, link: &Link, settings: &Bridge) -> Vec<Error> {
    let odd = |what: &str| Error::new(Kind::Refused, format_args!("bridge {name} {what}"));
    let mut odds = Vec::new();
    if sysfs::mac_is_set(name) == Some(false) {
        let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        odds.push(
            odd("has no fixed MAC address")
                .why("it changes as ports come and go, and packets are lost")
                .remedy(format_args!("ip link set {name} address {mac}")),
        );
    }
    if !link.up {
        odds.push(odd("is switched off").remedy(format_args!("ip link set {name} up")));
    } else if !link.carrier {
        odds.push(
            odd("has no carrier")
                .why("without a port its own address is late, and the first container waits")
                .remedy("plug a permanent port into it"),
        );
    }
    if settings.silence_cs > 0 {
        let seconds = f64::from(settings.silence_cs) * 2.0 / 100.0;
        odds.push(
            odd("runs a spanning tree")
                .why(format_args!("a new port is silent for {seconds} s"))
                .remedy(format_args!("ip link set {name} type bridge forward_delay 0")),
        );
    }
    odds
}

/// The error of a silent server, with what on this host may have made it so.
pub fn explain_silence(error: Error, place: &Place) -> Error {
    let Some(settings) = place.bridge.as_ref().filter(|_| error.kind() == Kind::TimedOut) else {
        return error;
    };
    if settings.silence_cs > 0 {
        return error.remedy("the bridge keeps new ports silent for long: set forward_delay 0");
    }
    if settings.filtered || sysctl::bridges_are_filtered() {
        return error.remedy(
            "bridged packets go through ip6tables FORWARD (bridge-nf-call-ip6tables): does it drop?",
        );
    }
    error
}
