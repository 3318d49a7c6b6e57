//! What the command line asks for.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::kea_socket::KeaSocket;
use crate::adapter::kea;
use crate::adapter::sources::Source;
use crate::adapter::sources::dnsmasq::Dnsmasq;
use crate::adapter::sources::isc::Isc;
use crate::adapter::sources::kea::Kea;
use crate::adapter::sources::odhcpd::Odhcpd;
use crate::adapter::sources::spool::reader::Reader as Spool;
use crate::error::{Error, Kind, Result};
use crate::logic::leases::{KeyBy, Manner};

/// What is asked of the program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where leases are read; no two are the same.
    pub sources: Vec<SourceName>,
    /// What makes two leases one client's.
    pub key_by: KeyBy,
    /// Whether to go on with changes behind the listing.
    pub follow: bool,
    /// How often to list everything again while following.
    pub resync: Option<Duration>,
    /// How often to ask a server that tells of no changes by itself.
    pub poll: Duration,
    /// How long to wait for a source to be whole.
    pub timeout: Duration,
    /// How long to hold back the end of a lease.
    pub grace: Duration,
    /// Where to remember what was told.
    pub state: Option<PathBuf>,
    /// Whether to write a table.
    pub table: bool,
}

/// Where leases are read, as on the command line: `KIND:WHERE`.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceName {
    text: String,
    database: Database,
}

/// Each form of database, and where it is.
#[derive(Clone, PartialEq, Eq)]
enum Database {
    Dnsmasq(PathBuf),
    Isc(PathBuf),
    Kea(PathBuf),
    KeaSocket(kea::Place),
    Odhcpd(PathBuf),
    Script(PathBuf),
}

/// What a source may look like.
const FORMS: &str = "known are dnsmasq:FILE, dnsmasq-script:DIR, isc:FILE, kea:FILE, \
    kea-script:DIR, kea-socket:PATH, kea-socket:http://HOST:PORT/ and odhcpd:FILE";

impl FromStr for SourceName {
    type Err = Error;

    /// # Errors
    /// `Usage` for what names no source.
    fn from_str(text: &str) -> Result<SourceName> {
        let wrong = |why: &str| Error::new(Kind::Usage, why).remedy(FORMS);
        let (kind, place) = text.split_once(':').ok_or_else(|| wrong("no source of leases"))?;
        if place.is_empty() {
            return Err(wrong("a source without a place"));
        }
        let database = match kind {
            "dnsmasq" => Database::Dnsmasq(place.into()),
            "isc" => Database::Isc(place.into()),
            "kea" => Database::Kea(place.into()),
            "odhcpd" => Database::Odhcpd(place.into()),
            "dnsmasq-script" | "kea-script" => Database::Script(place.into()),
            "kea-socket" => Database::KeaSocket(kea::Place::parse(place)?),
            _ => return Err(wrong("unknown kind of source")),
        };
        // A password that is part of the place is not part of the name.
        let text = match &database {
            Database::KeaSocket(place) => format!("{kind}:{place}"),
            _ => text.to_owned(),
        };
        Ok(SourceName { text, database })
    }
}

impl std::fmt::Debug for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl SourceName {
    /// The name as it was given, without secrets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is, without its kind.
    pub fn place(&self) -> &str {
        self.text.split_once(':').map_or(&self.text, |(_, place)| place)
    }

    /// Begins to watch it.
    ///
    /// # Errors
    /// When the kernel has no watch left to give.
    pub fn open(&self, options: &Options) -> Result<Box<dyn Source>> {
        let patience = options.timeout;
        Ok(match &self.database {
            Database::Dnsmasq(path) => Box::new(Dnsmasq::new(path, patience)?),
            Database::Isc(path) => Box::new(Isc::open(path)?),
            Database::Kea(path) => Box::new(Kea::open(path)?),
            Database::KeaSocket(place) => {
                Box::new(KeaSocket::new(place.clone(), options.poll, patience)?)
            }
            Database::Odhcpd(path) => Box::new(Odhcpd::new(path, patience)?),
            Database::Script(path) => Box::new(Spool::new(path)?),
        })
    }

    /// How its leases are to be understood.
    pub fn manner(&self, options: &Options) -> Manner {
        Manner {
            source: self.text.clone(),
            key_by: options.key_by,
            is_table: matches!(self.database, Database::Dnsmasq(_) | Database::Odhcpd(_)),
            grace: options.grace,
        }
    }

    /// Whether it may be unable to tell everything, so that its listings are partial without a fault.
    pub fn is_partial(&self) -> bool {
        matches!(self.database, Database::Script(_))
    }

    /// What heals a database with a line that cannot be read.
    pub fn cure(&self) -> &'static str {
        match self.database {
            Database::Dnsmasq(_) => {
                "dnsmasq writes the file anew at the next lease, or when it is restarted"
            }
            Database::Isc(_) => {
                "dhcpd writes the file anew within the hour, or when it is restarted"
            }
            Database::Kea(_) => "Kea's next cleanup of the file leaves such rows out",
            Database::KeaSocket(_) => "see what the server has there",
            Database::Odhcpd(_) => "odhcpd writes the file anew for every change",
            Database::Script(_) => "remove the file",
        }
    }
}

/// A file in the same directory that is to take another's place.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
