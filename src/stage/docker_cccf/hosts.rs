//! The hosts that a file names.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::pipe::{Found, Reader};
use crate::record::{Host, Record};

/// Reads the hosts in a file; a set with a bad member is refused whole.
pub fn read(path: &Path) -> Result<Vec<Host>> {
    let mut reader = Reader::open(path)?;
    let mut hosts: Vec<Host> = Vec::new();
    loop {
        match reader.read(&mut || Ok(()))? {
            Found::End if hosts.is_empty() => {
                return Err(wrong(reader.name(), "it names no host"));
            }
            Found::End => return Ok(hosts),
            Found::Bad(why) => return Err(why),
            Found::Record(_, Record::Host(host)) => {
                if hosts.iter().any(|other| other.id == host.id) {
                    let text = format!("host \"{}\" stands twice", host.id);
                    return Err(wrong(reader.name(), &text));
                }
                hosts.push(host);
            }
            Found::Record(line, _) => {
                let at = format!("{}:{line}", reader.name());
                return Err(wrong(&at, "the record is no host (\"kind\":\"host\")"));
            }
        }
    }
}

fn wrong(at: &str, what: &str) -> Error {
    Error::new(Kind::BadInput, what).at(at)
}
