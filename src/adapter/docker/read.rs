//! What the engine says of a container, as a document.
//!
//! A container of the suite's own carries its document in a label. Any other is read from what the
//! engine knows, less what its image brings along: what is left is what somebody asked for.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum,
    HostConfig, ImageConfig, PortMap, RestartPolicy, RestartPolicyNameEnum,
};
use jiff::Timestamp;

use super::create::port_name;
use super::label;
use crate::error::{Error, Kind, Result};
use crate::record::{
    Bytes, Container, ContainerId, Cpus, Docker, Expose, Hostname, Image, Object, Port, Restart,
    State, Volume, Words,
};

/// A container that an engine has.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its document, with `state`, `docker`, and `owner` when it is the suite's own.
    pub container: Container,
    /// The engine's own id of it: 64 hex digits.
    pub docker_id: String,
    /// How its command ended, in words, when it has.
    pub ended: Option<String>,
}

/// What the engine said, with the parts that must be there.
pub(super) struct Inspected {
    name: ContainerId,
    docker_id: String,
    /// The image's own id.
    pub(super) image_id: String,
    config: ContainerConfig,
    host: HostConfig,
    state: ContainerState,
    sandbox: Option<String>,
}

impl Inspected {
    /// Takes the parts of an answer.
    ///
    /// # Errors
    /// `BadInput` when the container's name is longer than a document's may be, or a part is not
    /// there.
    pub(super) fn of(answer: ContainerInspectResponse) -> Result<Inspected> {
        let docker_id = answer.id.unwrap_or_default();
        let name = answer.name.unwrap_or_default();
        let name = name.strip_prefix('/').unwrap_or(&name).parse();
        let lacks = |what: &str| {
            Error::new(Kind::BadInput, format_args!("read container {docker_id}"))
                .why(format_args!("the Docker engine's answer has no {what}"))
        };
        Ok(Inspected {
            name: name.map_err(|why| {
                Error::new(Kind::BadInput, format_args!("read container {docker_id}")).why(why)
            })?,
            image_id: answer.image.unwrap_or_default(),
            config: answer.config.ok_or_else(|| lacks("configuration"))?,
            host: answer.host_config.unwrap_or_default(),
            state: answer.state.ok_or_else(|| lacks("state"))?,
            sandbox: answer.network_settings.and_then(|n| n.sandbox_key).filter(|k| !k.is_empty()),
            docker_id,
        })
    }

    /// The document that a container of the suite's own was made from; nothing for any other.
    pub(super) fn declared(&self) -> Option<Container> {
        let (owner, document) = label::read(self.config.labels.as_ref()?, &self.name)?;
        Some(Container { owner: Some(owner), ..document })
    }

    /// The document that would make this container from an image that says `image`.
    ///
    /// What a document has no form for, such as an environment variable without a value, is left
    /// out.
    ///
    /// # Errors
    /// `BadInput` when the image's name is not one that a document may say.
    pub(super) fn derived(&self, image: &ImageConfig) -> Result<Container> {
        let (config, host) = (&self.config, &self.host);
        let (entrypoint, cmd) = command(config, image);
        Ok(Container {
            cmd,
            entrypoint,
            env: beyond(&config.env, &image.env).filter_map(parsed).collect(),
            ports: ports(host.port_bindings.as_ref()),
            expose: expose(config, host, image),
            volumes: volumes(config, host, image),
            user: unlike(&config.user, &image.user),
            workdir: unlike(&config.working_dir, &image.working_dir),
            hostname: self.hostname(),
            labels: labels(config, image),
            restart: host.restart_policy.as_ref().and_then(restart),
            network_mode: network_mode(host),
            dns: host.dns.iter().flatten().filter_map(|text| parsed(text)).collect(),
            sysctls: sorted(&host.sysctls),
            cap_add: capabilities(&host.cap_add),
            cap_drop: capabilities(&host.cap_drop),
            privileged: host.privileged.unwrap_or_default(),
            read_only: host.readonly_rootfs.unwrap_or_default(),
            tmpfs: sorted(&host.tmpfs),
            memory: host.memory.and_then(|m| u64::try_from(m).ok()).filter(|m| *m > 0).map(Bytes),
            cpus: host.nano_cpus.and_then(|n| Cpus::from_nano(u64::try_from(n).ok()?)),
            init: host.init,
            stop_timeout: config.stop_timeout.and_then(|t| u32::try_from(t).ok()),
            ..self.bare()?
        })
    }

    /// The document that says which container and image, and no more.
    fn bare(&self) -> Result<Container> {
        let image = self.config.image.as_deref().unwrap_or_default();
        let image: Image = image.parse().or_else(|_| self.image_id.parse()).map_err(|why| {
            Error::new(Kind::BadInput, format_args!("read container {}", self.name)).why(why)
        })?;
        let mut object = Object::default();
        object.set("id", &self.name);
        object.set("image", &image);
        Container::try_from(object).map_err(|why| Error::new(Kind::Bug, why))
    }

    /// The host name, unless it is Docker's own choice or the host's.
    fn hostname(&self) -> Option<Hostname> {
        let name = self.config.hostname.as_deref().filter(|n| !n.is_empty())?;
        let mode = self.host.network_mode.as_deref().unwrap_or_default();
        if self.docker_id.starts_with(name) || mode == "host" || mode.starts_with("container:") {
            return None;
        }
        match self.config.domainname.as_deref() {
            Some(domain) if !domain.is_empty() => format!("{name}.{domain}").parse().ok(),
            _ => name.parse().ok(),
        }
    }

    /// The container with `document`, and what the engine knows of it now.
    pub(super) fn found(self, document: Container) -> Found {
        let running = self.state.running == Some(true);
        let pid = self.state.pid.and_then(|p| i32::try_from(p).ok()).filter(|p| *p > 0);
        let docker = Docker {
            id: self.docker_id.clone(),
            pid,
            started_at: started_at(&self.state),
            netns: self.sandbox.filter(|_| running && pid.is_some()),
            rest: Object::default(),
        };
        Found {
            ended: ended(&self.state),
            docker_id: self.docker_id,
            container: Container { state: state(&self.state), docker: Some(docker), ..document },
        }
    }
}

fn state(state: &ContainerState) -> Option<State> {
    Some(match state.status? {
        ContainerStateStatusEnum::EMPTY => return None,
        ContainerStateStatusEnum::CREATED => State::Created,
        // Podman's word for one that was asked to end and has not yet.
        ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING => State::Running,
        ContainerStateStatusEnum::PAUSED => State::Paused,
        ContainerStateStatusEnum::RESTARTING => State::Restarting,
        ContainerStateStatusEnum::REMOVING => State::Removing,
        ContainerStateStatusEnum::EXITED => State::Exited,
        ContainerStateStatusEnum::DEAD => State::Dead,
    })
}

/// When it was last started; Docker writes the year 1 for never.
fn started_at(state: &ContainerState) -> Option<Timestamp> {
    let at: Timestamp = state.started_at.as_deref()?.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

fn ended(state: &ContainerState) -> Option<String> {
    if !matches!(
        state.status?,
        ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::RESTARTING
    ) {
        return None;
    }
    let status = state.exit_code.unwrap_or_default();
    Some(match state.error.as_deref() {
        Some(why) if !why.is_empty() => format!("exit status {status}: {why}"),
        _ if state.oom_killed == Some(true) => format!("exit status {status}: out of memory"),
        _ => format!("exit status {status}"),
    })
}

/// The entry point and command that were asked for. An entry point of one's own leaves the image's
/// command out, so one without a command must be told even where it is the image's own.
fn command(config: &ContainerConfig, image: &ImageConfig) -> (Option<Words>, Option<Words>) {
    let same = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| {
        a.as_deref().unwrap_or_default() == b.as_deref().unwrap_or_default()
    };
    let list = |words: &Option<Vec<String>>| words.clone().map(Words::List);
    let no_cmd = config.cmd.as_ref().is_none_or(Vec::is_empty);
    let same_entrypoint = same(&config.entrypoint, &image.entrypoint);
    if same_entrypoint && same(&config.cmd, &image.cmd) {
        (None, None)
    } else if same_entrypoint && !no_cmd {
        (None, list(&config.cmd))
    } else {
        let entrypoint = config.entrypoint.clone().unwrap_or_default();
        (Some(Words::List(entrypoint)), list(&config.cmd).filter(|_| !no_cmd))
    }
}

fn ports(bindings: Option<&PortMap>) -> Vec<Port> {
    let mut ports = Vec::new();
    for (name, bindings) in bindings.into_iter().flatten() {
        let Ok(inside) = name.parse::<Expose>() else {
            continue;
        };
        for binding in bindings.iter().flatten() {
            let host = binding.host_port.as_deref().filter(|p| !p.is_empty()).unwrap_or("0");
            let address = binding.host_ip.as_deref().filter(|a| !a.is_empty());
            let (Ok(host), Ok(address)) = (host.parse(), address.map(str::parse).transpose())
            else {
                continue;
            };
            let Expose { container, transport } = inside;
            ports.push(Port { address, host, container, transport });
        }
    }
    ports.sort_unstable();
    ports
}

/// The exposed ports that neither the image exposes nor publishing them did.
fn expose(config: &ContainerConfig, host: &HostConfig, image: &ImageConfig) -> Vec<Expose> {
    let published = |port: &Expose| {
        let name = port_name(port.container, port.transport);
        host.port_bindings.as_ref().is_some_and(|bindings| bindings.contains_key(&name))
    };
    let mut ports: Vec<Expose> = beyond(&config.exposed_ports, &image.exposed_ports)
        .filter_map(parsed)
        .filter(|port| !published(port))
        .collect();
    ports.sort_unstable();
    ports
}

/// Named volumes and host paths, mounts of either kind, and anonymous volumes beyond the image's.
fn volumes(config: &ContainerConfig, host: &HostConfig, image: &ImageConfig) -> Vec<Volume> {
    let binds = host.binds.iter().flatten().cloned();
    let mounts = host.mounts.iter().flatten().filter_map(|mount| {
        let target = mount.target.as_deref()?;
        let read_only = if mount.read_only == Some(true) { ":ro" } else { "" };
        match mount.source.as_deref() {
            Some(source) if !source.is_empty() => Some(format!("{source}:{target}{read_only}")),
            _ => None,
        }
    });
    let anonymous = beyond(&config.volumes, &image.volumes).map(str::to_owned);
    let mut volumes: Vec<Volume> =
        binds.chain(mounts).chain(anonymous).filter_map(|text| text.parse().ok()).collect();
    volumes.sort_unstable();
    volumes
}

/// Labels beyond the image's, and none that would claim the container for the suite.
fn labels(config: &ContainerConfig, image: &ImageConfig) -> BTreeMap<String, String> {
    let of_image = |name: &String| image.labels.as_ref().and_then(|labels| labels.get(name));
    config
        .labels
        .iter()
        .flatten()
        .filter(|(name, value)| of_image(name) != Some(value) && !name.starts_with(label::PREFIX))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn restart(policy: &RestartPolicy) -> Option<Restart> {
    let times = || u32::try_from(policy.maximum_retry_count.unwrap_or_default());
    match policy.name? {
        RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO => None,
        RestartPolicyNameEnum::ALWAYS => Some(Restart::Always),
        RestartPolicyNameEnum::UNLESS_STOPPED => Some(Restart::UnlessStopped),
        RestartPolicyNameEnum::ON_FAILURE => Some(Restart::OnFailure(times().ok()?)),
    }
}

/// Docker's network mode, unless it is the one that its absence means here too.
fn network_mode(host: &HostConfig) -> Option<String> {
    let mode = host.network_mode.as_deref()?;
    (!matches!(mode, "" | "default" | "bridge")).then(|| mode.to_owned())
}

/// Docker writes capabilities with or without `CAP_`, as it was given them.
fn capabilities(names: &Option<Vec<String>>) -> Vec<String> {
    let short = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    names.iter().flatten().map(short).collect()
}

fn sorted(map: &Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    map.iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What `all` has that `image` has not.
fn beyond<'a>(
    all: &'a Option<Vec<String>>,
    image: &'a Option<Vec<String>>,
) -> impl Iterator<Item = &'a str> {
    let image = image.as_deref().unwrap_or_default();
    all.iter().flatten().filter(|item| !image.contains(item)).map(String::as_str)
}

/// A value that is set and not the image's.
fn unlike(value: &Option<String>, image: &Option<String>) -> Option<String> {
    let value = value.as_deref().filter(|v| !v.is_empty())?;
    (image.as_deref() != Some(value)).then(|| value.to_owned())
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What a real engine (20.10) answered.
    const FULL: &str = include_str!("../../../tests/data/docker/inspect-full.json");
    const PLAIN: &str = include_str!("../../../tests/data/docker/inspect-plain.json");
    const IMAGE: &str = include_str!("../../../tests/data/docker/image.json");

    fn image() -> ImageConfig {
        let image: bollard::models::ImageInspect = serde_json::from_str(IMAGE).unwrap();
        image.config.unwrap()
    }

    fn inspected(answer: Value) -> Inspected {
        Inspected::of(serde_json::from_value(answer).unwrap()).unwrap()
    }

    fn document(answer: Value) -> Value {
        serde_json::to_value(inspected(answer).derived(&image()).unwrap()).unwrap()
    }

    fn answer(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_container_by_hand_is_what_was_asked_for_by_hand() {
        assert_eq!(
            document(answer(FULL)),
            json!({
                "id": "full", "image": "leasepipe/example", "cmd": ["sleep", "1000"],
                "env": ["A=1"], "ports": ["127.0.0.1:18080:80"], "expose": ["99/udp"],
                "volumes": ["/data", "/etc:/e:ro", "/tmp:/host:ro", "named:/named"],
                "user": "0:0", "workdir": "/tmp", "hostname": "web.example.org",
                "labels": {"x": "y"}, "restart": "on-failure:3", "dns": ["9.9.9.9"],
                "sysctls": {"net.ipv4.ip_forward": "1"}, "cap_add": ["NET_ADMIN"],
                "cap_drop": ["MKNOD"], "read_only": true, "tmpfs": {"/run": "size=1m"},
                "memory": 67108864, "cpus": 0.5, "init": true, "stop_timeout": 3
            })
        );
        let plain = json!({"id": "plain", "image": "leasepipe/example"});
        assert_eq!(document(answer(PLAIN)), plain);
    }

    #[test]
    fn what_runs_is_told_beside_the_document() {
        let inspected = inspected(answer(PLAIN));
        let document = inspected.derived(&image()).unwrap();
        let found = inspected.found(document);
        let docker = found.container.docker.unwrap();
        assert_eq!(found.container.state, Some(State::Running));
        assert_eq!((docker.id.len(), found.ended), (64, None));
        assert!(docker.pid.is_some() && docker.started_at.is_some());
        assert!(docker.netns.unwrap().starts_with("/var/run/docker/netns/"));
    }

    #[test]
    fn what_has_ended_has_no_process_and_no_namespace() {
        let mut stopped = answer(PLAIN);
        stopped["State"]["Status"] = json!("exited");
        stopped["State"]["Running"] = json!(false);
        stopped["State"]["Pid"] = json!(0);
        stopped["State"]["ExitCode"] = json!(3);
        let inspected = inspected(stopped);
        let document = inspected.derived(&image()).unwrap();
        let found = inspected.found(document);
        let docker = found.container.docker.unwrap();
        assert_eq!((docker.pid, docker.netns), (None, None));
        assert!(docker.started_at.is_some());
        assert_eq!(found.ended.unwrap(), "exit status 3");
    }

    #[test]
    fn an_entry_point_that_drops_the_image_s_command_is_told() {
        let mut answer = answer(PLAIN);
        answer["Config"]["Cmd"] = Value::Null;
        assert_eq!(document(answer.clone())["entrypoint"], json!([]));
        answer["Config"]["Entrypoint"] = json!(["sh"]);
        assert_eq!(document(answer)["entrypoint"], json!(["sh"]));
    }

    #[test]
    fn a_document_in_a_label_is_the_document() {
        let mut answer = answer(PLAIN);
        let declared = r#"{"id":"plain","image":"leasepipe/example:1","x":[1]}"#;
        answer["Config"]["Labels"] =
            json!({"leasepipe.owner": "edge", "leasepipe.declared": declared});
        let document = inspected(answer.clone()).declared().unwrap();
        assert_eq!(document.owner, Some("edge".parse().unwrap()));
        assert_eq!(document.image.as_str(), "leasepipe/example:1");
        answer["Name"] = json!("/renamed");
        assert_eq!(inspected(answer).declared(), None);
    }

    #[test]
    fn a_name_that_no_document_may_have_is_an_error() {
        let mut answer = answer(PLAIN);
        answer["Name"] = json!(format!("/{}", "x".repeat(200)));
        let error = Inspected::of(serde_json::from_value(answer).unwrap()).err().unwrap();
        assert_eq!(error.kind(), Kind::BadInput);
    }
}
