//! What happens to an engine's containers, while it happens.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error as Failure;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;

use super::error::failure;
use super::list::parsed;
use super::{AT_A_TIME, Engine, label, sight};
use crate::error::{Error, Kind};
use crate::record::{Docker, Happening, Health, Owner, Signal, Subject, What};

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

/// What happens to containers that is worth being told, by the engines' words for it. The last two are
/// Podman's.
const HAPPENS: [(&str, What); 15] = [
    ("create", What::Create),
    ("start", What::Start),
    ("restart", What::Restart),
    ("kill", What::Kill),
    ("oom", What::Oom),
    ("die", What::Die),
    ("stop", What::Stop),
    ("pause", What::Pause),
    ("unpause", What::Unpause),
    ("health_status", What::Health),
    ("rename", What::Rename),
    ("update", What::Update),
    ("destroy", What::Destroy),
    ("died", What::Die),
    ("remove", What::Destroy),
];

/// What an event says of a container beside its labels; a label of such a name is not seen.
const ATTRIBUTES: [&str; 9] = [
    "name",
    "image",
    "exitCode",
    "containerExitCode",
    "signal",
    "oldName",
    "execID",
    "execDuration",
    "health_status",
];

/// After so long without an event the engine is asked whether it is there, and has as long to answer:
/// a connection to a host that was cut off does not break by itself.
const PULSE: Duration = Duration::from_secs(10);

impl Engine {
    /// Waits for what happens to containers, from `since` on, and calls `each` with the engine's
    /// own id of a container that should be looked at again; `each` returns whether to go on.
    ///
    /// With an owner, only that owner's containers and networks are heard of. Other labels are no
    /// filter for events: among them an event's own words, such as `image`, take a label's place.
    ///
    /// Blocks until the stream breaks or `each` has enough, and returns why it ended. An engine that
    /// falls silent is asked now and then whether it is still there. The engine
    /// repeats the last 256 events of before, so that a listing that is begun after `since` and
    /// these events together miss nothing.
    pub fn watch(
        &self,
        owner: Option<&Owner>,
        since: Timestamp,
        each: &mut dyn FnMut(String) -> bool,
    ) -> Error {
        self.carrier.block_on(async {
            let kinds = &["container", "network"];
            let mut events = std::pin::pin!(self.stream(kinds, &TELLING, owner, since));
            loop {
                let id = match self.next(&mut events).await {
                    Ok(event) => container(event),
                    Err(why) => return why,
                };
                if id.is_some_and(|id| !each(id)) {
                    return Error::new(Kind::ReaderLeft, self.watching());
                }
            }
        })
    }

    /// The same, and calls `each` with what happens. `since` is a time of the engine's clock.
    ///
    /// A container that is made, started or ends, and one whose health changes, is looked at right
    /// behind that.
    pub fn happenings(
        &self,
        owner: Option<&Owner>,
        since: Timestamp,
        each: &mut dyn FnMut(Happening) -> bool,
    ) -> Error {
        let words = HAPPENS.map(|(word, _)| word);
        self.carrier.block_on(async {
            let events = self
                .stream(&["container"], &words, owner, since)
                .map(|event| async {
                    match event {
                        Ok(event) => Ok(self.looked_at(happening(event)).await),
                        Err(why) => Err(why),
                    }
                })
                .buffered(AT_A_TIME);
            let mut events = std::pin::pin!(events);
            loop {
                let happening = match self.next(&mut events).await {
                    Ok(happening) => happening,
                    Err(why) => return why,
                };
                if happening.is_some_and(|happening| !each(happening)) {
                    return Error::new(Kind::ReaderLeft, self.watching());
                }
            }
        })
    }

    /// The next of a stream, or why it ended. An engine that falls silent is asked now and then
    /// whether it is still there.
    async fn next<T>(
        &self,
        events: &mut (impl Stream<Item = Result<T, Failure>> + Unpin),
    ) -> Result<T, Error> {
        loop {
            let silent = match tokio::time::timeout(PULSE, events.next()).await {
                Ok(Some(event)) => return event.map_err(|why| failure(self.watching(), &why)),
                Ok(None) => return Err(self.ended()),
                Err(_) => tokio::time::timeout(PULSE, self.docker.ping()).await,
            };
            match silent {
                Ok(Ok(_)) => (),
                Ok(Err(why)) => return Err(failure(self.watching(), &why)),
                Err(_) => {
                    let why = "the Docker engine does not answer any more";
                    return Err(Error::new(Kind::TimedOut, self.watching()).why(why));
                }
            }
        }
    }

    /// The events of these kinds and words, from `since` on.
    fn stream(
        &self,
        kinds: &[&str],
        words: &[&str],
        owner: Option<&Owner>,
        since: Timestamp,
    ) -> impl Stream<Item = Result<EventMessage, Failure>> {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut filters: HashMap<&str, Vec<String>> =
            HashMap::from([("type", list(kinds)), ("event", list(words))]);
        if let Some(owner) = owner {
            filters.insert("label", vec![format!("{}={owner}", label::OWNER)]);
        }
        let since = format!("{}.{:09}", since.as_second(), since.subsec_nanosecond());
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        self.docker.events(Some(options))
    }

    /// With how it stands with the container now, where that says more than the event. Whatever is in
    /// the way of that, the event is there.
    async fn looked_at(&self, happening: Option<Happening>) -> Option<Happening> {
        let happening = happening?;
        let sight = match happening.what {
            What::Create | What::Start | What::Die | What::Health => {
                self.sight(&happening.docker_id).await.ok().flatten()
            }
            _ => None,
        };
        Some(Happening { sight, ..happening })
    }

    fn watching(&self) -> String {
        format!("watch {}", self.url)
    }

    fn ended(&self) -> Error {
        Error::new(Kind::Unavailable, self.watching()).why("the Docker engine ended the stream")
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

/// What an event says; nothing for one that is not worth being told, or does not say of what.
fn happening(event: EventMessage) -> Option<Happening> {
    let action = event.action?;
    // Of health, the word is followed by what the check says.
    let (word, said) = action.split_once(':').unwrap_or((&action, ""));
    let what = HAPPENS.iter().find(|(known, _)| *known == word)?.1;
    let actor = event.actor?;
    let docker_id = actor.id.filter(|id| !id.is_empty())?;
    let attributes = actor.attributes.unwrap_or_default();
    let get = |name: &str| attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let nano =
        event.time_nano.map(i128::from).or(event.time.map(|s| i128::from(s) * 1_000_000_000));
    Some(Happening {
        at: Timestamp::from_nanosecond(nano?).ok()?,
        what,
        subject: told(&docker_id, &attributes),
        sight: None,
        exit_code: get("exitCode")
            .or(get("containerExitCode"))
            .filter(|_| what == What::Die)
            .and_then(|code| code.parse().ok()),
        signal: get("signal").and_then(signal),
        health: parsed::<Health>(said.trim()).or_else(|| get("health_status").and_then(parsed)),
        was: get("oldName").map(|name| name.strip_prefix('/').unwrap_or(name).to_owned()),
        docker_id,
    })
}

/// The container as the event itself describes it: Docker mixes its labels with what else it says.
fn told(docker_id: &str, attributes: &HashMap<String, String>) -> Subject {
    let name = attributes.get("name").map_or(docker_id, String::as_str);
    let mut subject = sight::subject(name, attributes.get("image").cloned(), attributes);
    subject.labels.retain(|name, _| !ATTRIBUTES.contains(&&**name));
    Subject { docker: Some(Docker::new(docker_id.to_owned())), ..subject }
}

/// Docker says the number, even where the signal was asked for by its name.
fn signal(text: &str) -> Option<Signal> {
    text.parse().ok().and_then(Signal::numbered).or_else(|| parsed(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(event: Value) -> Option<Happening> {
        happening(serde_json::from_value(event).unwrap())
    }

    fn event(action: &str, attributes: Value) -> Value {
        json!({"Type": "container", "Action": action, "time": 1795285834, "timeNano": 1795285834225406500_i64,
               "Actor": {"ID": "c0", "Attributes": attributes}})
    }

    #[test]
    fn an_event_is_told_from_the_labels_that_are_mixed_with_it() {
        let attributes = json!({"image": "b", "name": "web", "exitCode": "137", "app": "shop"});
        let died = of(event("die", attributes)).unwrap();
        assert_eq!((died.what, died.exit_code), (What::Die, Some(137)));
        assert_eq!(died.at.to_string(), "2026-11-21T18:30:34.2254065Z");
        assert_eq!((&*died.subject.id, died.subject.image.as_deref()), ("web", Some("b")));
        assert_eq!(
            died.subject.labels.into_iter().collect::<Vec<_>>(),
            [("app".into(), "shop".into())]
        );
        let killed = of(event("kill", json!({"name": "web", "signal": "15"}))).unwrap();
        assert_eq!(killed.signal.unwrap().as_str(), "SIGTERM");
        let renamed = of(event("rename", json!({"name": "new", "oldName": "/old"}))).unwrap();
        assert_eq!(renamed.was.as_deref(), Some("old"));
    }

    #[test]
    fn health_is_said_in_the_word_and_podman_has_words_of_its_own() {
        let health = of(event("health_status: unhealthy", json!({"name": "web"}))).unwrap();
        assert_eq!((health.what, health.health), (What::Health, Some(Health::Unhealthy)));
        let died = of(event("died", json!({"name": "web", "containerExitCode": "3"}))).unwrap();
        assert_eq!((died.what, died.exit_code), (What::Die, Some(3)));
        assert_eq!(of(event("remove", json!({}))).unwrap().what, What::Destroy);
    }

    #[test]
    fn what_is_not_worth_being_told_is_not() {
        for action in ["exec_start: sh", "attach", "", "resize"] {
            assert_eq!(of(event(action, json!({}))), None, "{action}");
        }
        assert_eq!(of(json!({"Action": "die", "Actor": {"ID": "c0"}})), None, "no time");
        assert_eq!(of(json!({"Action": "die", "time": 1})), None, "no container");
    }
}
