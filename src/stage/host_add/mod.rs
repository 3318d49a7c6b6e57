//! host-add: an engine that answers becomes a host in a list.

mod lacks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use super::host_probe::Prober;
use super::hosts;
use crate::error::{Error, Kind, Result};
use crate::logic::probe::answering;
use crate::pipe::{Output, Report};
use crate::record::{Host, HostsAt, NotA, Record};

/// A label of a host, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled(String, String);

impl FromStr for Labelled {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Labelled, NotA> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Labelled(name.into(), value.into())),
            _ => Err(NotA::new(text, "a label (name=value)")),
        }
    }
}

/// What is added, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the engine listens.
    pub url: String,
    /// The list.
    pub hosts: HostsAt,
    /// What the host is to be called.
    pub id: Option<String>,
    /// Its labels.
    pub labels: Vec<Labelled>,
    /// The directory of its certificates.
    pub tls: Option<PathBuf>,
    /// Whether the host of that name may be changed.
    pub replace: bool,
    /// How the engine is asked.
    pub prober: Prober,
}

/// Asks the engine, enters the host, and writes it with what the engine says.
///
/// # Errors
/// When the engine does not answer, or is none that could be used: nothing is entered then. When
/// the list cannot be read as one of hosts, has that host already, or cannot be written.
pub fn run(mut output: Output, report: &Report, options: Options) -> Result<()> {
    report.used();
    let host = wanted(&options)?;
    if let Some(caution) = options.prober.endpoint(&host).caution() {
        report.note(&caution);
    }
    let (sight, survey) = options.prober.ask(&host, &mut None).map_err(|why| why.at(&host.id))?;
    lacks::refusal(&survey.ability).map_or(Ok(()), Err).map_err(|why| why.at(&host.id))?;
    let made = |known| entered(known, host.clone(), options.replace);
    let host = &hosts::enter(&options.hosts, &host.id, made)?;
    for lack in lacks::of(&survey.ability, host.url.starts_with("unix:")) {
        report.note(&lack.at(&host.id));
    }
    output.write(&Record::Host(answering(host, &sight)))?;
    output.settle()
}

/// The host as it is asked for.
fn wanted(options: &Options) -> Result<Host> {
    let id = options.id.clone().unwrap_or_else(|| name_of(&options.url).to_owned());
    if id.is_empty() || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::new(Kind::Usage, format_args!("\"{id}\" is no name for a host"))
            .remedy("name it with --id"));
    }
    if options.tls.is_some() && !options.url.starts_with("tcp://") {
        return Err(Error::new(Kind::Usage, "--tls")
            .why(format_args!("{} is not at tcp://", options.url))
            .remedy("leave it out"));
    }
    let tls = options.tls.as_deref().map(|tls| std::path::absolute(tls).unwrap_or(tls.into()));
    let tls = tls.map(|path| match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(_) => Err(Error::new(Kind::Usage, "the directory of --tls").why("it is not UTF-8")),
    });
    let pair = |Labelled(name, value): &Labelled| (name.clone(), value.clone());
    let labels: BTreeMap<_, _> = options.labels.iter().map(pair).collect();
    Ok(Host { tls: tls.transpose()?, labels, ..Host::new(&id, &options.url) })
}

/// What a host is called of which only the URL is known.
fn name_of(url: &str) -> &str {
    if let Some(name) = url.strip_prefix("context:") {
        return name;
    }
    match url.split_once("://") {
        Some(("tcp" | "ssh", rest)) => {
            let place = rest.split('/').next().unwrap_or(rest);
            let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
            match place.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
                Some((address, _)) => address,
                None => place.split(':').next().unwrap_or(place),
            }
        }
        _ => "local",
    }
}

/// The list with the host in it, and where. One that is changed keeps what is not said anew.
fn entered(mut hosts: Vec<Host>, host: Host, replace: bool) -> Result<(Vec<Host>, usize)> {
    let refused = |what: String| Error::new(Kind::Refused, what);
    if let Some(other) = hosts.iter().find(|other| other.url == host.url && other.id != host.id) {
        return Err(refused(format!("{} is there as host \"{}\"", host.url, other.id)));
    }
    let Some(at) = hosts.iter().position(|other| other.id == host.id) else {
        hosts.push(host);
        let at = hosts.len() - 1;
        return Ok((hosts, at));
    };
    if !replace {
        return Err(refused(format!("host \"{}\" is there", host.id))
            .remedy("say --replace to change it, or give another --id"));
    }
    let old = &mut hosts[at];
    old.url = host.url;
    old.tls = host.tls;
    old.labels.extend(host.labels);
    Ok((hosts, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_called_as_its_url_calls_it() {
        for (url, name) in [
            ("ssh://ops@north.example:2222/run/d.sock", "north.example"),
            ("tcp://[fd00::1]:2376", "fd00::1"),
            ("tcp://192.0.2.1:2376", "192.0.2.1"),
            ("context:far", "far"),
            ("unix:///run/docker.sock", "local"),
        ] {
            assert_eq!(name_of(url), name, "{url}");
        }
    }

    #[test]
    fn a_host_that_is_there_is_changed_only_if_that_is_asked_for() {
        let old: Host = serde_json::from_str(
            r#"{"kind":"host","id":"a","url":"unix:///a","labels":{"zone":"eu"},
                "capacity":{"gpus":2},"note":1}"#,
        )
        .unwrap();
        let labels = [("disk".to_owned(), "ssd".to_owned())].into();
        let new = Host { labels, ..Host::new("a", "ssh://a") };
        let refused = entered(vec![old.clone()], new.clone(), false).unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
        let (hosts, at) = entered(vec![Host::new("b", "unix:///b"), old], new, true).unwrap();
        let found = serde_json::to_string(&hosts[at]).unwrap();
        let wanted = r#"{"kind":"host","id":"a","url":"ssh://a","labels":{"disk":"ssd","zone":"eu"},"capacity":{"gpus":2},"note":1}"#;
        assert_eq!((found.as_str(), hosts.len(), at), (wanted, 2, 1));
    }

    #[test]
    fn one_engine_is_one_host() {
        let hosts = vec![Host::new("a", "unix:///a")];
        let twice = entered(hosts, Host::new("b", "unix:///a"), true).unwrap_err();
        assert!(twice.to_string().contains("as host \"a\""), "{twice}");
    }
}
