//! What changes in a swarm, found out by looking again and again: no manager tells what becomes of
//! tasks.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::ListServicesOptionsBuilder;

use super::refusal;
use crate::adapter::docker::Engine;
use crate::adapter::docker::label::OWNER;
use crate::error::{Error, Kind, Result};
use crate::record::Owner;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);

/// What of a service and its tasks is another whenever something has become of it.
type Mark = (u64, Vec<(String, String)>);

impl Engine {
    /// Looks at the services every second, and calls `each` with the id of one that should be looked
    /// at again, at first of every one; `each` returns whether to go on. With an owner, only that
    /// owner's services are looked at.
    ///
    /// Blocks until the manager does not answer or `each` has enough, and returns why it ended.
    pub fn watch_services(
        &self,
        owner: Option<&Owner>,
        each: &mut dyn FnMut(String) -> bool,
    ) -> Error {
        let mut seen: HashMap<String, Mark> = HashMap::new();
        loop {
            let now = match self.marks(owner) {
                Ok(now) => now,
                Err(why) => return why,
            };
            let changed = now.iter().filter(|(id, mark)| seen.get(*id) != Some(mark));
            let gone = seen.keys().filter(|id| !now.contains_key(*id));
            for id in changed.map(|(id, _)| id).chain(gone) {
                if !each(id.clone()) {
                    return Error::new(Kind::ReaderLeft, format_args!("watch {}", self.url));
                }
            }
            seen = now;
            std::thread::sleep(EVERY);
        }
    }

    fn marks(&self, owner: Option<&Owner>) -> Result<HashMap<String, Mark>> {
        let filters: HashMap<&str, Vec<String>> =
            owner.map(|owner| ("label", vec![format!("{OWNER}={owner}")])).into_iter().collect();
        let options = ListServicesOptionsBuilder::default().filters(&filters).build();
        let services = self
            .ask(async |swarm| swarm.list_services(Some(options)).await)
            .map_err(|why| refusal(format_args!("watch {}", self.url), &why))?;
        let mut marks = HashMap::new();
        for service in services {
            let version = service.version.and_then(|version| version.index).unwrap_or_default();
            marks.insert(service.id.unwrap_or_default(), (version, Vec::new()));
        }
        for task in self.tasks(None)? {
            let of = task.service_id.unwrap_or_default();
            if let Some((_, tasks)) = marks.get_mut(&of) {
                let state = task.status.and_then(|status| status.state);
                let wanted = task.desired_state;
                tasks.push((task.id.unwrap_or_default(), format!("{state:?} {wanted:?}")));
            }
        }
        marks.values_mut().for_each(|(_, tasks)| tasks.sort_unstable());
        Ok(marks)
    }
}
