//! Lists of hosts, wherever they are kept: read, added to, and looked at again.

mod lookout;

use std::path::Path;

#[cfg(feature = "etcd")]
use crate::adapter::etcd::Etcd;
use crate::adapter::hosts_file::HostsFile;
use crate::error::{Error, Kind, Result, Within};
use crate::pipe::{Found, Reader};
#[cfg(not(feature = "etcd"))]
use crate::record::EtcdUrl;
use crate::record::{Host, HostState, HostsAt, Record};

pub use lookout::{EVERY, Lookout};

/// The hosts that are kept there.
///
/// # Errors
/// When they cannot be read, or anything among them is no host: a list of hosts is taken whole or
/// not at all.
pub fn read(at: &HostsAt) -> Result<Vec<Host>> {
    match at {
        HostsAt::File(path) => of_file(path),
        #[cfg(feature = "etcd")]
        HostsAt::Etcd(url) => Etcd::open(&url.as_str().parse()?)?.hosts(),
        #[cfg(not(feature = "etcd"))]
        HostsAt::Etcd(url) => Err(not_built_in(url)),
        HostsAt::One(url) => Ok(vec![Host::new("local", url)]),
    }
}

/// Enters the host `id` as `made` makes it of the list that is there, in one step: everybody finds
/// the old list or the new one. `made` gives that list with the host in it, and its place.
///
/// # Errors
/// When the list cannot be read or written, or what `made` says; then it is as it was.
pub fn enter(
    at: &HostsAt,
    id: &str,
    made: impl Fn(Vec<Host>) -> Result<(Vec<Host>, usize)>,
) -> Result<Host> {
    match at {
        HostsAt::File(path) => {
            let file = HostsFile::lock(path)?;
            let known = if file.exists() { of_file(file.path())? } else { Vec::new() };
            let (mut hosts, at) = made(known).within(file.path().display())?;
            file.write(&hosts)?;
            Ok(hosts.swap_remove(at))
        }
        #[cfg(feature = "etcd")]
        HostsAt::Etcd(url) => {
            let mut made = |known| made(known).map(|(mut hosts, at)| hosts.swap_remove(at));
            Etcd::open(&url.as_str().parse()?)?.enter_host(id, &mut made)
        }
        #[cfg(not(feature = "etcd"))]
        HostsAt::Etcd(url) => Err(not_built_in(url)),
        HostsAt::One(_) => Err(Error::new(Kind::Bug, format_args!("enter {id} nowhere"))),
    }
}

fn of_file(path: &Path) -> Result<Vec<Host>> {
    let mut reader = Reader::open(path).map_err(Error::into_usage)?;
    let mut hosts = Vec::new();
    loop {
        match reader.read(&mut || Ok(()))? {
            Found::Record(_, Record::Host(host)) => hosts.push(host),
            Found::Record(_, Record::Checkpoint(_)) => (),
            Found::Record(line, _) => {
                let what = Error::new(Kind::BadInput, "record is no host")
                    .why("its kind is not \"host\"")
                    .remedy("write hosts there with host-add");
                return Err(what.at(format_args!("{}:{line}", reader.name())));
            }
            Found::Bad(why) => return Err(why),
            Found::End => return Ok(hosts),
        }
    }
}

#[cfg(not(feature = "etcd"))]
fn not_built_in(_: &EtcdUrl) -> Error {
    let error = Error::new(Kind::Usage, "hosts in etcd").why("this build is without them");
    error.remedy("build leasepipe with its feature etcd, or keep the hosts in a file")
}

/// # Errors
/// When a host stands twice among the hosts.
pub fn no_host_twice(hosts: &[Host]) -> Result<()> {
    let mut ids = std::collections::HashSet::new();
    match hosts.iter().find(|host| !ids.insert(&host.id)) {
        Some(twice) => {
            Err(Error::new(Kind::BadInput, format_args!("host \"{}\" stands twice", twice.id)))
        }
        None => Ok(()),
    }
}

/// Whether its record says that the host is down.
pub fn is_down(host: &Host) -> bool {
    host.state == Some(HostState::Down)
}
