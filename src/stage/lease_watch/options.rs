//! What the command line asks for.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::adapter::sources::Source;
use crate::adapter::sources::dnsmasq::Dnsmasq;
use crate::error::Result;
use crate::logic::leases::{KeyBy, Manner};
use crate::record::NotA;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    text: String,
    kind: Kind,
}

/// Each form of database, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Dnsmasq(PathBuf),
}

impl FromStr for SourceName {
    type Err = NotA;

    fn from_str(text: &str) -> Result<SourceName, NotA> {
        let kind = match text.split_once(':') {
            Some(("dnsmasq", path)) if !path.is_empty() => Kind::Dnsmasq(path.into()),
            _ => return Err(NotA::new(text, "a source of leases (dnsmasq:FILE)")),
        };
        Ok(SourceName { text: text.to_owned(), kind })
    }
}

impl SourceName {
    /// The name as it was given.
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
        Ok(match &self.kind {
            Kind::Dnsmasq(path) => Box::new(Dnsmasq::new(path, patience)?),
        })
    }

    /// How its leases are to be understood.
    pub fn manner(&self, options: &Options) -> Manner {
        Manner {
            source: self.text.clone(),
            key_by: options.key_by,
            is_table: matches!(self.kind, Kind::Dnsmasq(_)),
            time_ends: true,
            grace: options.grace,
        }
    }

    /// Whether it can never tell everything, so that its listings are partial without a fault.
    pub fn is_partial(&self) -> bool {
        false
    }

    /// What heals a database with a line that cannot be read.
    pub fn cure(&self) -> &'static str {
        match self.kind {
            Kind::Dnsmasq(_) => {
                "dnsmasq writes the file anew at the next lease, or when it is restarted"
            }
        }
    }
}

/// A file in the same directory that is to take another's place.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
