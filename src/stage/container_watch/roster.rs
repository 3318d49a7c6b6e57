//! Which hosts are watched, and which were.

use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::Options;
use super::host::Followed;
use super::listen::{News, listen};
use crate::error::{Error, Kind};
use crate::logic::watch::Watch;
use crate::pipe::Report;
use crate::record::Host;

/// All hosts that are in the list or were, by their numbers. Each that is, is listened to by a thread of
/// its own.
pub(super) struct Roster<'a> {
    hosts: Vec<Followed>,
    options: Arc<Options>,
    report: &'a Report,
    to: Sender<News>,
}

impl<'a> Roster<'a> {
    /// Nobody yet; what is heard goes to `to`.
    pub(super) fn new(options: Arc<Options>, report: &'a Report, to: Sender<News>) -> Roster<'a> {
        Roster { hosts: Vec::new(), options, report, to }
    }

    /// Watches the hosts of a list that are new, and those no more that are not in it, which is told.
    /// Whether there are such.
    pub(super) fn take_up(&mut self, list: Vec<Host>) -> bool {
        let mut has_lost = false;
        for known in &mut self.hosts {
            if !known.has_left() && !list.iter().any(|host| known.is(host)) {
                known.leave();
                let error = Error::new(Kind::Unavailable, "it is not watched any more");
                let error = error.why("it is not in the list of hosts");
                self.report.note(&error.at(&known.host.id));
                has_lost = true;
            }
        }
        for host in list {
            if !self.hosts.iter().any(|known| known.is(&host)) {
                self.begin(host);
            }
        }
        has_lost
    }

    fn begin(&mut self, host: Host) {
        let (at, endpoint) = (self.hosts.len(), self.options.reach.endpoint(&host));
        if let Some(caution) = endpoint.caution() {
            self.report.note(&caution);
        }
        let watch = Watch::new(host.as_ref(), self.options.loops);
        let followed = Followed::new(host, watch);
        let (options, left, to) = (self.options.clone(), followed.left.clone(), self.to.clone());
        std::thread::spawn(move || listen(at, &endpoint, &options, &left, &to));
        self.hosts.push(followed);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Followed> {
        self.hosts.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Followed> {
        self.hosts.iter_mut()
    }

    /// Those that are in the list.
    pub(super) fn there(&self) -> impl Iterator<Item = &Followed> {
        self.iter().filter(|host| !host.has_left())
    }
}

impl Index<usize> for Roster<'_> {
    type Output = Followed;

    fn index(&self, number: usize) -> &Followed {
        &self.hosts[number]
    }
}

impl IndexMut<usize> for Roster<'_> {
    fn index_mut(&mut self, number: usize) -> &mut Followed {
        &mut self.hosts[number]
    }
}
