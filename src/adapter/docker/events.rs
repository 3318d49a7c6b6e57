//! What happens to an engine's containers, while it happens.

use std::collections::HashMap;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use jiff::Timestamp;

use super::Engine;
use super::error::failure;
use super::label;
use crate::error::{Error, Kind};
use crate::record::Owner;

/// What changes what a listing would say. `exec` and its like, of which a health check makes many
/// a minute, are not among them. `remove` and `died` are Podman's words; the last two are said of
/// networks.
const TELLING: [&str; 12] = [
    "create",
    "start",
    "die",
    "died",
    "destroy",
    "remove",
    "rename",
    "pause",
    "unpause",
    "update",
    "connect",
    "disconnect",
];

impl Engine {
    /// Waits for what happens to containers, from `since` on, and calls `each` with the engine's
    /// own id of a container that should be looked at again; `each` returns whether to go on.
    ///
    /// With an owner, only that owner's containers and networks are heard of. Other labels are no
    /// filter for events: among them an event's own words, such as `image`, take a label's place.
    ///
    /// Blocks until the stream breaks or `each` has enough, and returns why it ended. The engine
    /// repeats the last 256 events of before, so that a listing that is begun after `since` and
    /// these events together miss nothing.
    pub fn watch(
        &self,
        owner: Option<&Owner>,
        since: Timestamp,
        each: &mut dyn FnMut(String) -> bool,
    ) -> Error {
        let mut filters = HashMap::from([
            ("type", vec!["container".to_owned(), "network".to_owned()]),
            ("event", TELLING.map(str::to_owned).to_vec()),
        ]);
        if let Some(owner) = owner {
            filters.insert("label", vec![format!("{}={owner}", label::OWNER)]);
        }
        let since = format!("{}.{:09}", since.as_second(), since.subsec_nanosecond());
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        let doing = || format!("watch {}", self.url);
        self.runtime.block_on(async {
            let mut events = std::pin::pin!(self.docker.events(Some(options)));
            while let Some(event) = events.next().await {
                let id = match event {
                    Ok(event) => container(event),
                    Err(why) => return failure(doing(), &why),
                };
                if id.is_some_and(|id| !each(id)) {
                    return Error::new(Kind::ReaderLeft, doing());
                }
            }
            Error::new(Kind::Unavailable, doing()).why("the Docker engine ended the stream")
        })
    }
}

/// The id of the container that an event is about. One about a network names the container that
/// joins or leaves it, and one about its making names none.
fn container(event: EventMessage) -> Option<String> {
    let mut actor = event.actor?;
    match event.typ {
        Some(EventMessageTypeEnum::NETWORK) => actor.attributes.as_mut()?.remove("container"),
        _ => actor.id,
    }
}
