//! What containers are called in the DNS.
//!
//! A container goes by its client's name where it can have that, and else by its own, so that a
//! client's further containers, and those of a client whose name is another's, have one too.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use crate::adapter::dnsmasq::names::{Claim, Claimed, Names};
use crate::adapter::hostname;
use crate::error::{Doing, Error, Kind, Result, Within};
use crate::logic::names::{Pattern, Protected};
use crate::pipe::Report;
use crate::record::{Binding, ContainerId, Hostname, NotA, Owner};

/// A name of 253 characters less one label with its dot.
const LONGEST_DOMAIN: usize = 189;

/// What is remembered to have been said of one container: its client may take ever new names.
const MOST_TOLD: usize = 16;

/// Where names are written, and which.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The directory that dnsmasq reads as its `hostsdir`.
    pub directory: PathBuf,
    /// The domain in which names are known as well.
    pub domain: Option<Hostname>,
    /// Names that no container is given.
    pub protect: Vec<Protect>,
}

/// Names that are protected, as the command line says it.
#[derive(Clone, Debug)]
pub enum Protect {
    /// These.
    Names(Vec<Pattern>),
    /// Those in a file, one on a line.
    File(PathBuf),
}

impl FromStr for Protect {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Protect, NotA> {
        if text.contains('/') {
            return Ok(Protect::File(text.into()));
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Protect::Names)
    }
}

/// The names of containers, written and given back.
pub struct Namer {
    names: Names,
    domain: Option<Hostname>,
    protected: Protected,
    /// What was said of each container that did not get a name, so that it is not said at each
    /// listing anew.
    told: HashMap<(Owner, ContainerId), BTreeSet<String>>,
}

impl Namer {
    /// One that writes as it is told.
    ///
    /// # Errors
    /// When the directory or a file of names cannot be read, or a name in it is none; `Usage` for a
    /// domain that leaves no room for a name.
    pub fn open(naming: &Naming) -> Result<Namer> {
        if naming.domain.as_ref().is_some_and(|domain| domain.as_str().len() > LONGEST_DOMAIN) {
            let error = Error::new(Kind::Usage, "the domain leaves no room for names in it");
            return Err(error.remedy(format_args!("it may have {LONGEST_DOMAIN} characters")));
        }
        let mut protected = Vec::new();
        for protect in &naming.protect {
            match protect {
                Protect::Names(names) => protected.extend(names.iter().cloned()),
                Protect::File(path) => protected.extend(read(path)?),
            }
        }
        // This machine's own name, with and without its domain.
        let own = hostname::of_this_machine()?;
        let label = own.split('.').next().unwrap_or_default();
        protected.extend([own.as_str(), label].iter().filter_map(|name| name.parse().ok()));
        Ok(Namer {
            names: Names::open(&naming.directory)?,
            domain: naming.domain.clone(),
            protected: Protected::with(protected),
            told: HashMap::new(),
        })
    }

    /// Names the container of a binding, and tells dnsmasq of it once more if `again`. That it cannot
    /// have its client's name is told, once; it is no failure.
    pub fn put(
        &mut self,
        owner: &Owner,
        binding: &Binding,
        again: bool,
        report: &Report,
    ) -> Result<()> {
        let client = binding.lease.hostname.as_ref().map(Hostname::as_str);
        // What a client says behind its name is of no account; a container's name is whole or none.
        let own = Some(binding.container.as_str()).filter(|name| !name.contains('.'));
        for name in [client, own].into_iter().flatten() {
            let Some(label) = label(name) else { continue };
            let refused = match self.protected.by(name, self.domain.as_ref()) {
                Some(pattern) => format!("it is protected by \"{pattern}\""),
                None => match self.names.put(&self.claim(owner, binding, label), again)? {
                    Claimed::Ours => return Ok(()),
                    Claimed::SameClient => continue,
                    Claimed::OtherClient => "another client has it".to_owned(),
                    Claimed::NotOurs => "a file of that name is another's".to_owned(),
                },
            };
            self.tell(owner, &binding.container, name, refused, report);
        }
        self.names.give_back(owner, &binding.container).map(drop)
    }

    /// Takes its name from a container.
    pub fn remove(&mut self, owner: &Owner, container: &ContainerId) -> Result<()> {
        self.told.remove(&(owner.clone(), container.clone()));
        self.names.give_back(owner, container).map(drop)
    }

    /// The containers that have a name; of one owner, or of all.
    pub fn list(&mut self, owner: Option<&Owner>) -> Result<Vec<(Owner, ContainerId)>> {
        self.names.list(owner)
    }

    /// Takes away what a program left unfinished that was killed.
    pub fn sweep(&mut self, now: SystemTime) -> Result<()> {
        self.names.sweep(now)
    }

    fn claim(&self, owner: &Owner, binding: &Binding, label: Hostname) -> Claim {
        Claim {
            label,
            domain: self.domain.clone(),
            owner: owner.clone(),
            container: binding.container.clone(),
            client: binding.lease.key,
            address: binding.address,
        }
    }

    fn tell(
        &mut self,
        owner: &Owner,
        container: &ContainerId,
        name: &str,
        why: String,
        report: &Report,
    ) {
        let told = self.told.entry((owner.clone(), container.clone())).or_default();
        let what = format!("name \"{name}\" is not given: {why}");
        if told.len() == MOST_TOLD {
            told.clear();
        }
        if told.insert(what.clone()) {
            report.note(&Error::new(Kind::Refused, what).at(container));
        }
    }
}

/// The first label of a name, in lower case, if it is fit to be a name alone: no number, which would
/// be taken for an address.
fn label(name: &str) -> Option<Hostname> {
    let name: Hostname = name.parse().ok()?;
    let label = name.label(63);
    let is_number = label.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { None } else { label.parse().ok() }
}

/// The names in a file: one on a line, and nothing of what is behind a `#`.
fn read(path: &Path) -> Result<Vec<Pattern>> {
    let text = std::fs::read_to_string(path).doing("read names").within(path.display())?;
    let mut names = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let name = line.parse().map_err(|why: NotA| {
            Error::new(Kind::BadInput, why).at(format_args!("{}:{}", path.display(), number + 1))
        })?;
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_first_of_a_name_in_lower_case() {
        let is = |name: &str| label(name).map(|label| label.to_string());
        assert_eq!(is("Alpha.Example.org").unwrap(), "alpha");
        for none in ["", "web_1", "-a", "127", "0", "a b", "12.example"] {
            assert_eq!(is(none), None, "{none:?}");
        }
        assert_eq!(is(&"x".repeat(63)).unwrap().len(), 63);
    }

    #[test]
    fn what_is_protected_is_a_list_or_a_file() {
        let list: Protect = "printer,*.example".parse().unwrap();
        let Protect::Names(names) = list else { panic!("{list:?}") };
        assert_eq!(names.len(), 2);
        let file: Protect = "./names".parse().unwrap();
        assert!(matches!(&file, Protect::File(path) if path == Path::new("./names")), "{file:?}");
        for bad in ["", "a,,b", "a b"] {
            assert!(bad.parse::<Protect>().is_err(), "{bad:?}");
        }
    }
}
