//! What an engine says of its host, and of what is on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::errors::Error as Failure;
use bollard::models::{
    ContainerSummary, ContainerSummaryStateEnum as Doing, PortSummary,
    PortSummaryTypeEnum as Protocol, SystemInfo,
};
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::error::failure;
use super::inspector::Inspector;
use super::podman::once_clear;
use super::{AT_A_TIME, Engine, label};
use crate::error::{Error, Kind, Result};
use crate::record::{Container, Expose, Transport};
use futures_util::StreamExt;

/// A host, as its engine tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Its processors.
    pub cpus: Option<u64>,
    /// Its memory in bytes.
    pub memory: Option<u64>,
    /// What its processor is called, such as `x86_64`.
    pub architecture: Option<String>,
    /// Its operating system, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: Option<String>,
    /// The labels that the engine was started with.
    pub labels: BTreeMap<String, String>,
    /// What is the suite's own, whatever its state, and what else runs.
    pub count: u64,
    /// The documents of these, as far as they can be read.
    pub containers: Vec<Container>,
    /// The ports of the host that are published.
    pub ports: Vec<Expose>,
    /// What it is able to do.
    pub ability: Ability,
}

/// What an engine and the kernel under it are able to do, as far as the engine says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ability {
    /// Such as `linux`.
    pub os_type: Option<String>,
    /// Whether it runs without the rights of root.
    pub rootless: bool,
    /// Whether containers' memory can be limited.
    pub memory_limit: Option<bool>,
    /// Whether their processor time can be.
    pub cpu_limit: Option<bool>,
    /// Whether the number of their processes can be.
    pub pids_limit: Option<bool>,
    /// Whether the host forwards IPv4.
    pub ipv4_forwarding: Option<bool>,
    /// The sorts of networks that can be made, such as `overlay`; none when it does not say.
    pub networks: Vec<String>,
    /// What the engine itself warns of.
    pub warnings: Vec<String>,
}

impl Engine {
    /// How long the engine takes to say that it is there, the making of the connection included.
    pub fn ping(&self, patience: Duration) -> Result<Duration> {
        let begun = Instant::now();
        self.within(patience, format!("ask {}", self.url), async |inspector| {
            inspector.docker.ping().await.map_err(Trouble::Call).map(drop)
        })?;
        Ok(begun.elapsed())
    }

    /// What is known of the host and what is on it, in so much time.
    pub fn survey(&self, patience: Duration) -> Result<Survey> {
        self.within(patience, format!("look around at {}", self.url), async |inspector| {
            let all = ListContainersOptionsBuilder::default().all(true).build();
            let docker = &inspector.docker;
            let info = docker.info().await.map_err(Trouble::Call)?;
            let listed = once_clear(|| docker.list_containers(Some(all.clone())));
            surveyed(&inspector, info, listed.await.map_err(Trouble::Call)?).await
        })
    }

    /// Waits for an answer, but not longer.
    fn within<T, F>(
        &self,
        patience: Duration,
        doing: String,
        work: impl FnOnce(Arc<Inspector>) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send,
    {
        let inspector = self.inspector.clone();
        let outcome = self
            .carrier
            .carry(move || async move { tokio::time::timeout(patience, work(inspector)).await });
        match outcome {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Trouble::Call(why))) => Err(failure(doing, &why)),
            Ok(Err(Trouble::Told(why))) => Err(why),
            Err(_) => Err(Error::new(Kind::TimedOut, doing)
                .why(format_args!("no answer within {} ms", patience.as_millis()))),
        }
    }
}

/// Why there is nothing to tell of a host.
enum Trouble {
    /// A call of its engine failed.
    Call(Failure),
    Told(Error),
}

async fn surveyed(
    inspector: &Inspector,
    info: SystemInfo,
    listed: Vec<ContainerSummary>,
) -> Result<Survey, Trouble> {
    let mut survey = Survey::of(info);
    let mut ports = BTreeSet::new();
    let mut foreign = Vec::new();
    for summary in listed {
        let ours = ours(&summary);
        if ours.is_none() && !runs(&summary) {
            continue;
        }
        survey.count += 1;
        ports.extend(summary.ports.iter().flatten().filter_map(published));
        match (ours, summary.id) {
            (Some(document), _) => survey.containers.push(document),
            (None, Some(id)) => foreign.push(id),
            (None, None) => (),
        }
    }
    let looks =
        futures_util::stream::iter(foreign).map(|id| async move { inspector.inspect(&id).await });
    let looked: Vec<_> = looks.buffer_unordered(AT_A_TIME).collect().await;
    for found in looked {
        match found {
            Ok(Some(found)) => survey.containers.push(*found.container),
            // It has gone meanwhile.
            Ok(None) => survey.count -= 1,
            Err(why) if why.kind() == Kind::BadInput => (),
            Err(why) => return Err(Trouble::Told(why)),
        }
    }
    survey.ports = ports.into_iter().collect();
    Ok(survey)
}

impl Survey {
    /// What the engine says of itself and the host.
    fn of(info: SystemInfo) -> Survey {
        let number = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok());
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let label = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        let options = info.security_options.unwrap_or_default();
        Survey {
            cpus: number(info.ncpu).filter(|cpus| *cpus > 0),
            memory: number(info.mem_total).filter(|bytes| *bytes > 0),
            architecture: said(info.architecture),
            os: said(info.operating_system),
            labels: info.labels.into_iter().flatten().map(label).collect(),
            ability: Ability {
                os_type: said(info.os_type),
                rootless: options.iter().any(|option| option.contains("rootless")),
                memory_limit: info.memory_limit,
                cpu_limit: info.cpu_cfs_quota,
                pids_limit: info.pids_limit,
                ipv4_forwarding: info.ipv4_forwarding,
                networks: info.plugins.and_then(|plugins| plugins.network).unwrap_or_default(),
                warnings: info.warnings.unwrap_or_default(),
            },
            ..Survey::default()
        }
    }
}

/// The document of a container of the suite's own.
fn ours(summary: &ContainerSummary) -> Option<Container> {
    let labels: &HashMap<String, String> = summary.labels.as_ref()?;
    let names = summary.names.iter().flatten().filter_map(|name| name.strip_prefix('/'));
    let mut documents = names.filter_map(|name| label::read(labels, &name.parse().ok()?));
    documents.next().map(|(_, document)| document)
}

fn runs(summary: &ContainerSummary) -> bool {
    let stands = [Doing::RUNNING, Doing::PAUSED, Doing::RESTARTING];
    summary.state.is_some_and(|state| stands.contains(&state))
}

/// The port of the host that is published.
fn published(port: &PortSummary) -> Option<Expose> {
    let transport = match port.typ {
        Some(Protocol::UDP) => Transport::Udp,
        Some(Protocol::SCTP) => Transport::Sctp,
        _ => Transport::Tcp,
    };
    port.public_port.map(|container| Expose { container, transport })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn summary(fields: Value) -> ContainerSummary {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn what_an_engine_says_of_its_host() {
        let info = json!({
            "NCPU": 8, "MemTotal": 1024, "Architecture": "aarch64", "OperatingSystem": "",
            "Labels": ["zone=eu", "ssd"], "OSType": "linux", "MemoryLimit": false,
            "SecurityOptions": ["name=rootless"], "Plugins": {"Network": ["bridge"]}
        });
        let survey = Survey::of(serde_json::from_value(info).unwrap());
        assert_eq!((survey.cpus, survey.memory, survey.os), (Some(8), Some(1024), None));
        assert_eq!((survey.labels["zone"].as_str(), survey.labels["ssd"].as_str()), ("eu", ""));
        assert!(survey.ability.rootless && survey.ability.memory_limit == Some(false));
        assert_eq!(Survey::of(SystemInfo::default()), Survey::default());
    }

    #[test]
    fn only_a_container_that_the_document_names_is_the_suite_s() {
        let labelled = |name: &str| {
            summary(json!({"Names": [name], "State": "exited", "Labels": {
                "leasepipe.owner": "edge",
                "leasepipe.declared": r#"{"id":"web","image":"b","memory":7}"#
            }}))
        };
        assert_eq!(ours(&labelled("/web")).unwrap().memory.unwrap().0, 7);
        assert_eq!(ours(&labelled("/other")), None);
        assert!(!runs(&labelled("/web")) && runs(&summary(json!({"State": "paused"}))));
    }

    #[test]
    fn only_published_ports_are_the_host_s() {
        let container = summary(json!({"Ports": [
            {"PrivatePort": 53, "PublicPort": 5300, "Type": "udp", "IP": "::"},
            {"PrivatePort": 80, "Type": "tcp"}
        ]}));
        let ports: Vec<String> =
            container.ports.iter().flatten().filter_map(published).map(|p| p.to_string()).collect();
        assert_eq!(ports, ["5300/udp"]);
    }
}
