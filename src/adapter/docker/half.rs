//! The two containers of one that is being replaced.
//!
//! The new one is made under a name of its own, so that the old one keeps its name until the new one
//! is as it should be. Then the old one steps aside under a name of that kind, and goes when the new
//! one has its name. What has such a name and the suite's labels is one of the two, and somebody is at
//! work on it, or was killed over it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveVolumeOptions};

use super::error::{failure, is_missing, status};
use super::label::{DECLARED, OWNER, REPLACES, VOLUMES};
use super::podman::once_clear;
use super::pull::called;
use super::{Engine, Found, soon};
use crate::error::Result;
use crate::record::{Container, ContainerId, Image, Key, Owner};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The one that is to be.
    New,
    /// The one that was.
    Old,
}

/// A half of a replacement that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfDone {
    /// Which of the two.
    pub half: Half,
    /// Whose it is.
    pub owner: Owner,
    /// The container that it stands for.
    pub id: ContainerId,
}

/// The longest name that a suffix fits behind.
const LONGEST: usize = 128 - ".leasepipe-new".len();

impl Half {
    /// The name that it has meanwhile.
    pub fn name(self, id: &ContainerId) -> ContainerId {
        let suffix = match self {
            Half::New => "leasepipe-new",
            Half::Old => "leasepipe-old",
        };
        let id = id.as_str();
        let name = match id.len() {
            0..=LONGEST => format!("{id}.{suffix}"),
            _ => {
                let key = Key::derive("half", &[id.as_bytes()]);
                format!("{}.{key}.{suffix}", &id[..LONGEST - 1 - key.as_str().len()])
            }
        };
        name.parse().expect("a container's name, and letters")
    }
}

/// Which half a container of this name is, by its labels.
pub(super) fn read(labels: &HashMap<String, String>, name: &ContainerId) -> Option<HalfDone> {
    let owner = labels.get(OWNER)?.parse().ok()?;
    if !name.as_str().contains(".leasepipe-") {
        return None;
    }
    let document: Container = serde_json::from_str(labels.get(DECLARED)?).ok()?;
    let half = [Half::New, Half::Old].into_iter().find(|half| half.name(&document.id) == *name)?;
    Some(HalfDone { half, owner, id: document.id })
}

/// The volumes without a name that a container has from the one before it.
pub fn kept(labels: &HashMap<String, String>) -> BTreeSet<String> {
    let read = |text: &String| serde_json::from_str(text).ok();
    labels.get(VOLUMES).and_then(read).unwrap_or_default()
}

/// The body of a container that is made to take the place of `old` and takes over these volumes, told
/// by mount point, for its own without a name.
pub fn heir(
    mut body: Box<ContainerCreateBody>,
    old: &Found,
    volumes: &BTreeMap<String, String>,
) -> Box<ContainerCreateBody> {
    let labels = body.labels.get_or_insert_default();
    labels.insert(REPLACES.to_owned(), old.docker_id.clone());
    if volumes.is_empty() {
        return body;
    }
    let names: BTreeSet<&String> = volumes.values().collect();
    let names = serde_json::to_string(&names).expect("names can be written as JSON");
    labels.insert(VOLUMES.to_owned(), names);
    if let Some(own) = &mut body.volumes {
        own.retain(|target| !volumes.contains_key(target));
    }
    let binds = body.host_config.get_or_insert_default().binds.get_or_insert_default();
    binds.extend(volumes.iter().map(|(target, name)| format!("{name}:{target}")));
    body
}

impl Found {
    /// What stands for another container while that is replaced, as that container: with its name, its
    /// owner and what was declared. Any other as it is.
    pub fn stood_for(self) -> Found {
        let document = self.labels.get(DECLARED).map(|text| serde_json::from_str(text));
        let (Some(half), Some(Ok(document))) = (&self.half, document) else { return self };
        let Container { state, docker, .. } = *self.container;
        let owner = Some(half.owner.clone());
        Found { container: Box::new(Container { owner, state, docker, ..document }), ..self }
    }
}

impl Engine {
    /// The half of the replacement of the container of that name; nothing when there is none.
    pub fn find_half(&self, id: &ContainerId, half: Half) -> Result<Option<Found>> {
        let found = self.look(&[half.name(id).to_string()]).pop().unwrap_or(Ok(None))?;
        let is_it = |done: &HalfDone| done.half == half && done.id == *id;
        Ok(found.filter(|found| found.half.as_ref().is_some_and(is_it)))
    }

    /// All halves of replacements.
    pub fn halves(&self) -> Result<Vec<HalfDone>> {
        let filters = HashMap::from([
            ("label", vec![DECLARED.to_owned()]),
            ("name", vec!["leasepipe-(new|old)$".to_owned()]),
        ]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let docker = self.docker.clone();
        let listed =
            async move || once_clear(|| docker.list_containers(Some(options.clone()))).await;
        let listed = self
            .carrier
            .carry(listed)
            .map_err(|why| failure(format_args!("list containers of {}", self.url), &why))?;
        let halves = listed.into_iter().filter_map(|summary| {
            let names = summary.names.unwrap_or_default();
            let labels = summary.labels.unwrap_or_default();
            names.iter().find_map(|name| read(&labels, &name.trim_start_matches('/').parse().ok()?))
        });
        Ok(halves.collect())
    }

    /// The mount points for which an image declares volumes.
    pub fn volumes_of(&self, image: &Image) -> Result<Vec<String>> {
        match self.carrier.block_on(soon(self.docker.inspect_image(&called(image)))) {
            Ok(found) => Ok(found.config.and_then(|config| config.volumes).unwrap_or_default()),
            Err(why) if is_missing(&why) => Ok(Vec::new()),
            Err(why) => Err(failure(format_args!("inspect image {image}"), &why)),
        }
    }

    /// Takes a volume away, unless it is in use or gone.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let options = None::<RemoveVolumeOptions>;
        match self.carrier.block_on(self.docker.remove_volume(name, options)) {
            Err(why) if !matches!(status(&why), Some(404 | 409)) => {
                Err(failure(format_args!("remove volume {name}"), &why))
            }
            _ => Ok(()),
        }
    }

    /// What a container is made from, by content: the name and digest that its image has in a
    /// registry, the one of `image` before others, or the engine's own id of it.
    pub fn digest(&self, image_id: &str, image: &Image) -> Result<String> {
        let brought = match self.inspector.known(image_id) {
            Some(brought) => brought,
            None => {
                let (inspector, id) = (self.inspector.clone(), image_id.to_owned());
                self.carrier.carry(|| async move { inspector.image(&id).await })?
            }
        };
        let of = |digest: &&String| digest.split('@').next() == Some(image.repository());
        let digests = &brought.digests;
        let digest = digests.iter().find(of).or(digests.first());
        Ok(digest.map_or(image_id, String::as_str).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(id: &str) -> HashMap<String, String> {
        let document = json!({"id": id, "image": "busybox"}).to_string();
        HashMap::from([(OWNER.to_owned(), "edge".to_owned()), (DECLARED.to_owned(), document)])
    }

    #[test]
    fn a_half_is_known_by_its_name_and_its_labels() {
        let long = "x".repeat(128);
        for id in ["web", "web.leasepipe-new", &long[1..], &long] {
            let id: ContainerId = id.parse().unwrap();
            for half in [Half::New, Half::Old] {
                let name = half.name(&id);
                let found = read(&labels(id.as_str()), &name).unwrap();
                let owner = "edge".parse().unwrap();
                assert_eq!(found, HalfDone { half, owner, id: id.clone() }, "{name}");
            }
            assert_eq!(read(&labels(id.as_str()), &id), None);
            assert_eq!(read(&labels("other"), &Half::New.name(&id)), None);
            assert_eq!(read(&HashMap::new(), &Half::New.name(&id)), None);
        }
        let other: ContainerId = format!("{}y", &long[1..]).parse().unwrap();
        assert_ne!(Half::New.name(&other), Half::New.name(&long.parse().unwrap()));
    }
}
