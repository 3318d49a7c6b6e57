//! Looking whether a list of hosts is another one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;
#[cfg(feature = "etcd")]
use std::time::Instant;

#[cfg(feature = "etcd")]
use crate::adapter::etcd::{Etcd, HostsMark};
use crate::error::{Error, Kind, Result};
use crate::pipe::Report;
use crate::record::{Host, HostsAt};

/// How often who follows looks.
pub const EVERY: Duration = Duration::from_secs(1);

/// An etcd that did not answer is left alone for so long: who asks waits for it.
#[cfg(feature = "etcd")]
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Looks whether a list of hosts is another one than it was.
pub struct Lookout {
    at: HostsAt,
    place: Place,
    /// Why it could not be looked, as it was told.
    told: Option<String>,
}

/// What is looked at, and how it was when the list was read.
enum Place {
    File(PathBuf, Option<Mark>),
    #[cfg(feature = "etcd")]
    Etcd {
        etcd: Box<Etcd>,
        mark: HostsMark,
        not_before: Instant,
    },
}

/// A file that is replaced or written to has another one.
type Mark = (u64, u64, i64, i64, u64);

impl Lookout {
    /// The list of hosts, and who looks at it from then on; nobody where it can only be read once,
    /// such as from a pipe.
    ///
    /// # Errors
    /// When the list cannot be read, names a host twice or has none.
    pub fn open(at: &HostsAt) -> Result<(Vec<Host>, Option<Lookout>)> {
        // What comes between is seen as a change.
        let place = Place::open(at)?;
        let hosts = taken(at)?;
        let lookout = place.map(|place| Lookout { at: at.clone(), place, told: None });
        Ok((hosts, lookout))
    }

    /// The list, if it is another one than before. One that cannot be read, or is none, is told of,
    /// once, and the list before it holds.
    pub fn look(&mut self, report: &Report) -> Option<Vec<Host>> {
        let looked = self.place.has_changed().and_then(|changed| match changed {
            true => taken(&self.at).map(Some),
            false => Ok(None),
        });
        match looked {
            Ok(Some(hosts)) => {
                self.told = None;
                return Some(hosts);
            }
            Ok(None) => (),
            Err(why) => {
                let why = why.remedy("going on with the hosts as they were");
                let text = Some(why.to_string());
                if self.told != text {
                    report.note(&why);
                    self.told = text;
                }
            }
        }
        None
    }

    /// Looks every second, and sends what `news` makes of each new list, for as long as anybody takes
    /// it.
    pub fn follow<T: Send + 'static>(
        mut self,
        report: &Report,
        to: Sender<T>,
        news: impl Fn(Vec<Host>) -> T + Send + 'static,
    ) {
        let report = report.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(EVERY);
                if let Some(hosts) = self.look(&report)
                    && to.send(news(hosts)).is_err()
                {
                    return;
                }
            }
        });
    }
}

impl Place {
    fn open(at: &HostsAt) -> Result<Option<Place>> {
        match at {
            HostsAt::File(path) if path.as_os_str() != "-" && path.is_file() => {
                Ok(Some(Place::File(path.clone(), mark(path))))
            }
            HostsAt::File(_) | HostsAt::One(_) => Ok(None),
            #[cfg(feature = "etcd")]
            HostsAt::Etcd(url) => {
                let mut etcd = Box::new(Etcd::open(&url.as_str().parse()?)?);
                let mark = etcd.hosts_mark()?;
                Ok(Some(Place::Etcd { etcd, mark, not_before: Instant::now() }))
            }
            #[cfg(not(feature = "etcd"))]
            HostsAt::Etcd(_) => Ok(None),
        }
    }

    fn has_changed(&mut self) -> Result<bool> {
        match self {
            Place::File(path, before) => {
                // One that is not there is about to be replaced, or has gone: nothing is known.
                let Some(now) = mark(path) else { return Ok(false) };
                Ok(before.replace(now) != Some(now))
            }
            #[cfg(feature = "etcd")]
            Place::Etcd { etcd, mark, not_before } => {
                if Instant::now() < *not_before {
                    return Ok(false);
                }
                match etcd.hosts_mark() {
                    Ok(now) => Ok(std::mem::replace(mark, now.clone()) != now),
                    Err(why) => {
                        *not_before = Instant::now() + LEFT_ALONE;
                        Err(why)
                    }
                }
            }
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let about = path.metadata().ok()?;
    Some((about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.len()))
}

/// The list, which must be one.
fn taken(at: &HostsAt) -> Result<Vec<Host>> {
    let hosts = super::read(at)?;
    super::no_host_twice(&hosts)?;
    if !hosts.is_empty() {
        return Ok(hosts);
    }
    let why = Error::new(Kind::BadInput, "there is no host").remedy("enter one with host-add");
    Err(match at {
        HostsAt::File(path) => why.at(path.display()),
        HostsAt::Etcd(_) | HostsAt::One(_) => why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_read_again_and_one_that_is_wrong_is_not_taken() {
        let path = std::env::temp_dir().join(format!("lp-lookout-{}", std::process::id()));
        let put = |text: &str| {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        let host =
            |id: &str| format!("{{\"kind\":\"host\",\"id\":\"{id}\",\"url\":\"unix:///x\"}}\n");
        put(&host("a"));
        let report = Report::new("test");
        let (hosts, lookout) = Lookout::open(&HostsAt::File(path.clone())).unwrap();
        let mut lookout = lookout.unwrap();
        assert_eq!(hosts[0].id, "a");
        assert_eq!(lookout.look(&report), None);
        put(&(host("a") + &host("b")));
        assert_eq!(lookout.look(&report).unwrap().len(), 2);
        assert_eq!(lookout.look(&report), None);
        for wrong in ["", "{\"id\":\"a\",\"image\":\"b\"}", &host("a").repeat(2)] {
            put(wrong);
            assert_eq!(lookout.look(&report), None, "{wrong}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lookout.look(&report), None);
        put(&host("c"));
        assert_eq!(lookout.look(&report).unwrap()[0].id, "c");
        std::fs::remove_file(&path).unwrap();
        // What can be read only once is not looked at again.
        assert!(Lookout::open(&HostsAt::local()).unwrap().1.is_none());
    }
}
