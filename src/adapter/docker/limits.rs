//! What of its host a container may use: memory, processor time, processes, devices.

use std::collections::BTreeMap;

use bollard::models::{DeviceMapping, DeviceRequest, HostConfig, ResourcesUlimits};

use super::list::{filled, parsed};
use super::origin::Defaults;
use crate::record::{Bytes, Container, Cpus, Device, Gpus, Swap, Ulimit};

/// The size of /dev/shm that Docker gives to a container that asks for none.
const SHM_SIZE: i64 = 64 << 20;

/// Docker's period of processor time in microseconds where none is set.
const PERIOD: i64 = 100_000;

/// What graphics processors can do, in Docker's words.
const GPU: &str = "gpu";

/// What Docker is to be asked for.
pub(super) fn asked(container: &Container) -> HostConfig {
    HostConfig {
        memory: container.memory.map(number),
        memory_swap: container.memory_swap.map(|swap| match swap {
            Swap::Limited(bytes) => number(bytes),
            Swap::Unlimited => -1,
        }),
        nano_cpus: container.cpus.map(|cpus| i64::try_from(cpus.nano()).unwrap_or(i64::MAX)),
        cpu_shares: container.cpu_shares.map(i64::from),
        pids_limit: container.pids_limit,
        shm_size: container.shm_size.map(number),
        ulimits: filled(container.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
            name: Some(name.clone()),
            soft: Some(limit.soft),
            hard: Some(limit.hard),
        })),
        devices: filled(container.devices.iter().map(|device| {
            let (host, inside, may) = device.parts();
            DeviceMapping {
                path_on_host: Some(host.to_owned()),
                path_in_container: Some(inside.to_owned()),
                cgroup_permissions: Some(may.to_owned()),
            }
        })),
        device_requests: container.gpus.as_ref().and_then(|gpus| filled(request(gpus))),
        ..Default::default()
    }
}

/// A document's bytes are fewer than 8 EiB.
fn number(bytes: Bytes) -> i64 {
    i64::try_from(bytes.0).unwrap_or(i64::MAX)
}

/// No request where none of them are wanted: Docker takes a count of 0 for nothing said.
fn request(gpus: &Gpus) -> Option<DeviceRequest> {
    let (count, ids) = match gpus {
        Gpus::All => (-1, None),
        Gpus::Count(0) => return None,
        Gpus::Count(count) => (i64::from(*count), None),
        Gpus::Ids(ids) if ids.is_empty() => return None,
        Gpus::Ids(ids) => (0, Some(ids.clone())),
    };
    Some(DeviceRequest {
        count: Some(count),
        device_ids: ids,
        capabilities: Some(vec![vec![GPU.to_owned()]]),
        ..Default::default()
    })
}

/// The document with what was asked for: Docker's own defaults are not told.
pub(super) fn told(host: &HostConfig, engine: &Defaults, document: Container) -> Container {
    let memory = positive(host.memory);
    let swap = host.memory_swap.and_then(|both| swap(both, memory));
    Container {
        memory: memory.map(Bytes),
        memory_swap: swap.filter(|swap| !(engine.swaps_freely && *swap == Swap::Unlimited)),
        cpus: cpus(host),
        cpu_shares: positive(host.cpu_shares).and_then(|shares| u32::try_from(shares).ok()),
        pids_limit: host.pids_limit.filter(|limit| *limit > 0),
        shm_size: positive(host.shm_size.filter(|size| *size != SHM_SIZE)).map(Bytes),
        ulimits: ulimits(host),
        devices: devices(host),
        gpus: host.device_requests.iter().flatten().find_map(gpus),
        ..document
    }
}

fn positive(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

/// Where memory alone was limited, Docker allows as much swap again.
fn swap(both: i64, memory: Option<u64>) -> Option<Swap> {
    match u64::try_from(both) {
        Err(_) => Some(Swap::Unlimited),
        Ok(0) => None,
        Ok(both) if memory.is_some_and(|memory| memory.checked_mul(2) == Some(both)) => None,
        Ok(both) => Some(Swap::Limited(Bytes(both))),
    }
}

/// Docker has two ways to say it: cores, or so much of each period.
fn cpus(host: &HostConfig) -> Option<Cpus> {
    if let Some(nano) = positive(host.nano_cpus) {
        return Cpus::from_nano(nano);
    }
    let quota = u128::from(positive(host.cpu_quota)?);
    let period = u128::from(positive(host.cpu_period).unwrap_or(PERIOD as u64));
    Cpus::from_nano(u64::try_from(quota * 1_000_000_000 / period).ok()?)
}

fn ulimits(host: &HostConfig) -> BTreeMap<String, Ulimit> {
    let limit = |limit: &ResourcesUlimits| {
        let (soft, hard) = (limit.soft.unwrap_or_default(), limit.hard.unwrap_or_default());
        Some((limit.name.clone()?, Ulimit { soft, hard }))
    };
    host.ulimits.iter().flatten().filter_map(limit).collect()
}

/// Devices in the shortest words that mean the same.
fn devices(host: &HostConfig) -> Vec<Device> {
    let device = |mapping: &DeviceMapping| {
        let on_host = mapping.path_on_host.as_deref()?;
        let inside = mapping.path_in_container.as_deref().unwrap_or(on_host);
        let may = mapping.cgroup_permissions.as_deref().filter(|may| !may.is_empty());
        parsed(&match (inside == on_host, may.unwrap_or("rwm")) {
            (true, "rwm") => on_host.to_owned(),
            (true, may) => format!("{on_host}:{may}"),
            (false, "rwm") => format!("{on_host}:{inside}"),
            (false, may) => format!("{on_host}:{inside}:{may}"),
        })
    };
    let mut devices: Vec<Device> = host.devices.iter().flatten().filter_map(device).collect();
    devices.sort_unstable();
    devices
}

fn gpus(request: &DeviceRequest) -> Option<Gpus> {
    let can = request.capabilities.iter().flatten().flatten();
    if !can.into_iter().any(|capability| capability == GPU) {
        return None;
    }
    match (request.device_ids.as_deref(), request.count.unwrap_or_default()) {
        (Some(ids), _) if !ids.is_empty() => Some(Gpus::Ids(ids.to_vec())),
        (_, ..=-1) => Some(Gpus::All),
        (_, count) => Some(Gpus::Count(u32::try_from(count).ok().filter(|count| *count > 0)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(host: Value) -> Value {
        read_on(&Defaults::default(), host)
    }

    fn read_on(engine: &Defaults, host: Value) -> Value {
        let host: HostConfig = serde_json::from_value(host).unwrap();
        let bare = serde_json::from_value(json!({"id": "a", "image": "b"})).unwrap();
        let mut document = serde_json::to_value(told(&host, engine, bare)).unwrap();
        document.as_object_mut().unwrap().retain(|name, _| !["id", "image"].contains(&&**name));
        document
    }

    #[test]
    fn limits_are_read_back_as_they_were_asked_for() {
        for document in [
            json!({"memory": 64, "memory_swap": 96, "cpus": 0.5, "cpu_shares": 512}),
            json!({"memory": 64, "memory_swap": -1, "pids_limit": 100, "shm_size": 1024}),
            json!({"ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 3, "core": -1}}),
            json!({"gpus": "all"}),
            json!({"gpus": 2}),
            json!({"gpus": ["0", "GPU-8"]}),
            json!({"devices": ["/dev/a", "/dev/b:/dev/x", "/dev/c:r", "/dev/d:/dev/y:rw"]}),
        ] {
            let mut whole = document.clone();
            whole["id"] = json!("a");
            whole["image"] = json!("b");
            let asked = asked(&serde_json::from_value(whole).unwrap());
            assert_eq!(read(serde_json::to_value(asked).unwrap()), document);
        }
    }

    #[test]
    fn docker_s_defaults_are_not_told() {
        let defaults = json!({
            "Memory": 0, "MemorySwap": 0, "NanoCpus": 0, "CpuShares": 0, "PidsLimit": null,
            "ShmSize": 67108864, "Ulimits": [], "Devices": [], "DeviceRequests": null
        });
        assert_eq!(read(defaults), json!({}));
        assert_eq!(read(json!({"PidsLimit": 0})), json!({}));
        assert_eq!(read(json!({"Memory": 5, "MemorySwap": 10})), json!({"memory": 5}));
        let unlimited = json!({"Memory": 5, "MemorySwap": -1});
        assert_eq!(read(unlimited.clone()), json!({"memory": 5, "memory_swap": -1}));
        let info = serde_json::from_value(json!({"SwapLimit": false})).unwrap();
        let engine = Defaults::of(info);
        assert_eq!(read_on(&engine, unlimited), json!({"memory": 5}));
    }

    #[test]
    fn so_much_of_each_period_is_told_in_cores() {
        assert_eq!(read(json!({"CpuQuota": 50000})), json!({"cpus": 0.5}));
        assert_eq!(read(json!({"CpuQuota": 3000, "CpuPeriod": 2000})), json!({"cpus": 1.5}));
        assert_eq!(read(json!({"CpuQuota": -1, "CpuPeriod": 2000})), json!({}));
    }

    #[test]
    fn graphics_processors_that_nobody_asked_for_are_not_asked_for() {
        for none in [json!(0), json!([])] {
            let document = json!({"id": "a", "image": "b", "gpus": none});
            assert_eq!(asked(&serde_json::from_value(document).unwrap()).device_requests, None);
        }
        let other = json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["tpu"]]}]});
        assert_eq!(read(other), json!({}));
    }
}
