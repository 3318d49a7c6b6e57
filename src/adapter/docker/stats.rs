//! What containers use.

use std::collections::HashMap;

use bollard::models::{ContainerBlkioStatEntry, ContainerNetworkStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use jiff::Timestamp;

use super::Engine;
use super::error::{failure, is_missing};
use crate::error::Result;
use crate::record::{Sample, Usage};

/// How many containers are asked after at a time. Engine 20.10 answers each of them only with the
/// next of its own samples, of which it takes one a second of all that somebody waits for.
const AT_ONCE: usize = 128;

impl Engine {
    /// What these containers use now. One that does not run, or goes meanwhile, is left out.
    ///
    /// # Errors
    /// When one of them cannot be asked for another reason; nothing is known of the others then.
    pub fn samples(&self, docker_ids: &[String]) -> Result<Vec<Sample>> {
        self.carrier.block_on(async {
            let mut asked = futures_util::stream::iter(docker_ids)
                .map(|id| self.sample(id))
                .buffer_unordered(AT_ONCE);
            let mut samples = Vec::with_capacity(docker_ids.len());
            while let Some(sample) = asked.next().await {
                samples.extend(sample?);
            }
            Ok(samples)
        })
    }

    async fn sample(&self, docker_id: &str) -> Result<Option<Sample>> {
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let mut answers = std::pin::pin!(self.docker.stats(docker_id, Some(options)));
        match answers.next().await {
            Some(Ok(answer)) => Ok(sample(docker_id, &answer)),
            // Docker has an empty answer for one that does not run, Podman a refusal.
            None => Ok(None),
            Some(Err(why)) if is_missing(&why) || super::error::status(&why) == Some(409) => {
                Ok(None)
            }
            Some(Err(why)) => Err(failure(format_args!("ask what {docker_id} uses"), &why)),
        }
    }
}

/// Nothing for a container that does not run: then the time is that of no sample.
fn sample(docker_id: &str, answer: &ContainerStatsResponse) -> Option<Sample> {
    let at: Timestamp = answer.read.as_ref()?.to_string().parse().ok()?;
    if at <= Timestamp::UNIX_EPOCH {
        return None;
    }
    let cpu = answer.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage);
    let network =
        |of: fn(&ContainerNetworkStats) -> Option<u64>| total(answer.networks.as_ref(), of);
    let block = answer.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    let memory = answer.memory_stats.as_ref();
    let usage = Usage {
        cpus: None,
        cpu_ns: cpu,
        memory_bytes: memory
            .and_then(|memory| Some(working_set(memory.usage?, memory.stats.as_ref()))),
        memory_limit_bytes: memory.and_then(|memory| memory.limit).filter(|limit| *limit > 0),
        network_rx_bytes: network(|of| of.rx_bytes),
        network_tx_bytes: network(|of| of.tx_bytes),
        block_read_bytes: block.map(|entries| bytes(entries, "read")),
        block_write_bytes: block.map(|entries| bytes(entries, "write")),
        pids: answer.pids_stats.as_ref().and_then(|pids| pids.current),
        rest: Default::default(),
    };
    Some(Sample { docker_id: docker_id.to_owned(), at, usage })
}

/// Memory without the pages of files that the kernel would drop first: those count as free. The first
/// name is that of cgroup v1.
fn working_set(usage: u64, stats: Option<&HashMap<String, u64>>) -> u64 {
    let droppable = |name| stats.and_then(|stats| stats.get(name)).filter(|bytes| **bytes < usage);
    let droppable = droppable("total_inactive_file").or_else(|| droppable("inactive_file"));
    usage - droppable.copied().unwrap_or_default()
}

/// Over all interfaces; nothing for a container that has none of Docker's.
fn total(
    networks: Option<&HashMap<String, ContainerNetworkStats>>,
    of: impl Fn(&ContainerNetworkStats) -> Option<u64>,
) -> Option<u64> {
    let networks = networks.filter(|networks| !networks.is_empty())?;
    Some(networks.values().filter_map(of).fold(0, u64::saturating_add))
}

/// Over all devices. cgroup v1 writes the words large, v2 small.
fn bytes(entries: &[ContainerBlkioStatEntry], what: &str) -> u64 {
    let is = |op: &Option<String>| op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(what));
    let entries = entries.iter().filter(|entry| is(&entry.op));
    entries.filter_map(|entry| entry.value).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(answer: Value) -> Option<Sample> {
        sample("c0", &serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn memory_is_what_docker_stats_shows() {
        for (stats, used) in [
            (json!({"total_inactive_file": 300, "inactive_file": 100}), 700),
            (json!({"inactive_file": 100, "file": 500}), 900),
            (json!({"total_inactive_file": 2000}), 1000),
            (json!({}), 1000),
        ] {
            let sample = of(json!({"read": "2026-11-21T18:00:00.5Z",
                                   "memory_stats": {"usage": 1000, "limit": 4096, "stats": stats}}));
            let usage = sample.unwrap().usage;
            assert_eq!((usage.memory_bytes, usage.memory_limit_bytes), (Some(used), Some(4096)));
        }
    }

    #[test]
    fn interfaces_and_devices_are_added_up() {
        let sample = of(json!({
            "read": "2026-11-21T18:00:00Z",
            "networks": {"eth0": {"rx_bytes": 3, "tx_bytes": 1}, "eth1": {"rx_bytes": 4}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"major": 8, "op": "Read", "value": 5}, {"major": 9, "op": "read", "value": 6},
                {"major": 8, "op": "Write", "value": 7}, {"major": 8, "op": "Total", "value": 99}]},
            "pids_stats": {"current": 2}, "cpu_stats": {"cpu_usage": {"total_usage": 123}}
        }));
        let usage = sample.unwrap().usage;
        assert_eq!((usage.network_rx_bytes, usage.network_tx_bytes), (Some(7), Some(1)));
        assert_eq!((usage.block_read_bytes, usage.block_write_bytes), (Some(11), Some(7)));
        assert_eq!((usage.pids, usage.cpu_ns), (Some(2), Some(123)));
    }

    #[test]
    fn of_one_that_does_not_run_there_is_no_sample() {
        assert_eq!(of(json!({"read": "0001-01-01T00:00:00Z", "pids_stats": {}})), None);
        assert_eq!(of(json!({})), None);
        let bare = of(json!({"read": "2026-11-21T18:00:00Z"})).unwrap().usage;
        assert_eq!((bare.network_rx_bytes, bare.block_read_bytes, bare.pids), (None, None, None));
    }
}
