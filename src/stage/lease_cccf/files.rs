//! What lease-cccf reads before its standard input: templates, rules, and what is there.

use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::Options;
use crate::error::{Doing, Error, Kind, Result, Within};
use crate::logic::caps::{Caps, Seats};
use crate::logic::rules::Rules;
use crate::logic::template::{Manner, Template};
use crate::pipe::{Found, Reader, Report};
use crate::record::{Key, Of, Owner, Record, State};

/// What the command line asks for.
pub struct Wanted {
    /// The rules.
    pub rules: Option<PathBuf>,
    /// The template that is the last rule.
    pub template: Option<PathBuf>,
    /// Whether that template's containers have a network of their own.
    pub private_network: bool,
    /// The owner of containers that name none.
    pub owner: Option<Owner>,
    /// How many clients may have containers.
    pub caps: Caps,
    /// A listing of the containers that are there.
    pub current: Option<PathBuf>,
    /// Whether to tell why, instead of which containers.
    pub explain: bool,
}

impl Wanted {
    /// Reads all the files.
    ///
    /// # Errors
    /// When one of them cannot be read or is not right; what is wrong with it has been told, but
    /// for the last of it.
    pub fn read(&self, report: &Report) -> Result<Options> {
        let owner = self.owner.as_ref();
        let mut rules = match &self.rules {
            Some(path) => rules(path, owner, report)?,
            None => Rules::default(),
        };
        if let Some(path) = &self.template {
            template(&mut rules, path, Manner { owner, private_network: self.private_network })?;
        }
        let mut seats = Seats::new(self.caps);
        if let Some(path) = &self.current {
            current(path, owner)?.into_iter().for_each(|(key, address)| seats.hold(key, address));
        }
        Ok(Options { rules, seats, explain: self.explain })
    }
}

/// Adds a template from a file as the last rule, which matches everyone.
///
/// # Errors
/// When the file cannot be read, or holds no template.
fn template(rules: &mut Rules, path: &Path, manner: Manner) -> Result<()> {
    let name = path.display().to_string();
    let template = Template::parse(&read(path, "read template")?, manner).within(&name)?;
    rules.push(&name, template);
    Ok(())
}

/// Reads rules from a file, and the templates that they name, which are looked for beside it.
///
/// # Errors
/// When a file cannot be read, or the rules are not right: then all that is wrong has been told.
fn rules(path: &Path, owner: Option<&Owner>, report: &Report) -> Result<Rules> {
    let text = read(path, "read rules")?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut load = |template: &str| {
        let path = dir.join(template);
        std::fs::read_to_string(&path).map_err(|why| {
            let what = format!("read {}", path.display());
            match Error::io(&what, &why) {
                // The rules are wrong that name it.
                e if e.kind() == Kind::NotFound => Error::new(Kind::BadInput, what).why(why.kind()),
                e => e,
            }
        })
    };
    Rules::parse(&text, owner, &mut load).map_err(|mut wrong| {
        let last = wrong.pop();
        wrong.into_iter().for_each(|why| report.note(&why.at(path.display())));
        last.unwrap_or_else(|| Error::new(Kind::Bug, "no rules")).at(path.display())
    })
}

fn read(path: &Path, what: &str) -> Result<String> {
    std::fs::read_to_string(path)
        .doing(what)
        .within(path.display())
        .map_err(|e| if e.kind() == Kind::NotFound { e.into_usage() } else { e })
}

/// Reads which clients have a container, and with which address, from a listing of containers.
/// Those of other owners do not count.
///
/// # Errors
/// When it cannot be read, is no listing, or ends before its checkpoint: then it is not known who
/// has one.
fn current(path: &Path, owner: Option<&Owner>) -> Result<Vec<(Key, IpAddr)>> {
    let at = |e: Error| e.at(format_args!("--current {}", path.display()));
    if path == Path::new("-") {
        let what = "the leases come from standard input";
        return Err(at(Error::new(Kind::Usage, what).remedy("name a file or a pipe")));
    }
    let mut reader = Reader::open(path).map_err(at)?;
    let mut whole = !std::fs::metadata(path)
        .is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket());
    let mut clients = Vec::new();
    loop {
        match reader.read(&mut || Ok(())).map_err(at)? {
            Found::End => break,
            Found::Bad(why) => return Err(at(why)),
            Found::Record(_, Record::Container(container)) => {
                let ours = owner.is_none() || container.owner.as_ref() == owner;
                if let (true, Some(lease)) = (ours, &container.lease)
                    && container.state != Some(State::Absent)
                {
                    clients.push((lease.key, lease.address));
                }
            }
            Found::Record(_, Record::Checkpoint(checkpoint)) => {
                whole |= checkpoint.of == Of::Container && !checkpoint.partial;
            }
            Found::Record(..) => (),
        }
    }
    if whole || reader.is_closed_array() {
        Ok(clients)
    } else {
        let what = "the listing of what is there ended before its checkpoint";
        Err(at(Error::new(Kind::Unavailable, what).remedy("nothing is told")))
    }
}
