//! The images that an engine has, and how it fetches from a registry those that it has not.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bollard::Docker;
use bollard::errors::Error as Failure;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::error::{failure, is_missing, no_image};
use super::origin::Brought;
use super::{Engine, SHORT_ID, soon};
use crate::error::{Error, Kind, Result};
use crate::record::{Image, Login, Platform};

/// How long the engine may take to begin fetching an image, which it does only once a registry has
/// answered, and how long it may then say nothing.
const PATIENCE: Duration = Duration::from_secs(600);

/// An image as an engine has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its own id, which names its content.
    pub id: String,
    /// The digests by which registries know it, each `REPOSITORY@DIGEST`.
    pub digests: Vec<String>,
    /// What its layers hold, from the bottom up: the digest of each one's files.
    pub layers: Vec<String>,
    /// How large it is there, in bytes.
    pub size: u64,
}

impl Held {
    pub(super) fn of(image: ImageInspect) -> Held {
        Held {
            id: image.id.unwrap_or_default(),
            digests: image.repo_digests.unwrap_or_default(),
            layers: image.root_fs.and_then(|root| root.layers).unwrap_or_default(),
            size: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        }
    }

    /// Whether it is what the reference pins, if that pins anything.
    fn is_pinned(&self, image: &Image) -> bool {
        let same = |digest: &str| {
            self.digests.iter().any(|held| held.rsplit_once('@').is_some_and(|(_, d)| d == digest))
        };
        image.digest().is_none_or(same)
    }
}

/// What an engine is told that it knows an image by. A name without a tag that could be the beginning of
/// an id gets the tag that is meant: it would stand for whichever image has such an id.
pub(super) fn called(image: &Image) -> Cow<'_, str> {
    let name = image.as_str();
    let is_hex = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && name.len() < SHORT_ID { format!("{name}:latest").into() } else { name.into() }
}

impl Engine {
    /// The image, if the engine has it, for that platform and with the digest that it names.
    pub fn held(&self, image: &Image, platform: Option<&Platform>) -> Result<Option<Held>> {
        let found = match self.carrier.block_on(soon(self.docker.inspect_image(&called(image)))) {
            Ok(found) => found,
            Err(why) if is_missing(&why) => return Ok(None),
            Err(why) => return Err(failure(format_args!("inspect image {image}"), &why)),
        };
        let held = Held::of(found.clone());
        let fits = platform.is_none_or(|platform| Brought::of(found).is_for(platform));
        Ok(Some(held).filter(|held| fits && held.is_pinned(image)))
    }

    /// Whether the image is here, for that platform.
    pub fn has_image(&self, image: &Image, platform: Option<&Platform>) -> Result<bool> {
        self.held(image, platform).map(|held| held.is_some())
    }

    /// Fetches an image from its registry, the one for that platform where there are several, and
    /// makes sure that it is the one that a digest in its name pins. `told` hears how many bytes
    /// have come, and of how many.
    ///
    /// # Errors
    /// `NotFound` when the registry has no such image, `NotPermitted` when it does not let the
    /// engine have it, `Unavailable` when it does not answer, `Refused` when the engine has another
    /// image than it was asked for.
    pub fn pull(
        &self,
        image: &Image,
        platform: Option<&Platform>,
        login: Option<&Login>,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let version = image.digest().or(image.tag()).unwrap_or("latest");
        let mut options =
            CreateImageOptionsBuilder::default().from_image(image.repository()).tag(version);
        if let Some(platform) = platform {
            options = options.platform(platform.as_str());
        }
        let docker = entering(self.docker.clone().with_timeout(PATIENCE), image, login);
        let pulled = self.carrier.block_on(async {
            let mut layers = Layers::default();
            let mut steps = docker.create_image(Some(options.build()), None, None);
            while let Some(step) = in_time(steps.next()).await? {
                let (done, all) = layers.after(step?);
                told(done, all);
            }
            Ok(())
        });
        let what = || format!("fetch image \"{image}\"");
        pulled.map_err(|why| no_image(what(), image.registry(), &why))?;
        match image.digest() {
            Some(_) if !self.has_image(image, platform)? => Err(Error::new(Kind::Refused, what())
                .why("what the engine has by that name is not what the digest stands for")),
            _ => Ok(()),
        }
    }

    /// The digest by which the registry knows the image at this moment. The engine asks it; nothing
    /// is fetched.
    ///
    /// # Errors
    /// As [`Engine::pull`].
    pub fn registry_digest(&self, image: &Image, login: Option<&Login>) -> Result<String> {
        let what = || format!("ask the registry for image \"{image}\"");
        let docker = entering(self.docker.clone(), image, login);
        let asked = docker.inspect_registry_image(image.as_str(), None);
        let answer = self.carrier.block_on(asked);
        let answer = answer.map_err(|why| no_image(what(), image.registry(), &why))?;
        let digest = answer.descriptor.digest.filter(|digest| !digest.is_empty());
        digest.ok_or_else(|| Error::new(Kind::BadInput, what()).why("it tells no digest"))
    }
}

/// The next step of a fetch, unless nothing is heard for too long.
async fn in_time<T>(step: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(PATIENCE, step).await.map_err(|_| Failure::RequestTimeoutError)
}

/// The connection that shows the engine what opens the image's registry.
pub(super) fn entering(docker: Docker, image: &Image, login: Option<&Login>) -> Docker {
    match login {
        None => docker,
        Some(Login::Password { user, password }) => showing(
            docker,
            &json!({"username": user, "password": password, "serveraddress": image.registry()}),
        ),
        Some(Login::Identity(token)) => {
            showing(docker, &json!({"identitytoken": token, "serveraddress": image.registry()}))
        }
        Some(Login::Bearer(token)) => showing(docker, &json!({"registrytoken": token})),
    }
}

/// The connection that shows the engine that nothing opens a registry, whatever it has been shown.
pub(super) fn without_login(docker: Docker) -> Docker {
    showing(docker, &json!({}))
}

/// The engine reads base64 for URLs alone (RFC 4648 section 5), and takes what it cannot read for
/// no login at all.
fn showing(docker: Docker, login: &Value) -> Docker {
    let Ok(mut value) = HeaderValue::from_str(&URL_SAFE.encode(login.to_string())) else {
        return docker;
    };
    value.set_sensitive(true);
    docker.with_request_modifier(move |mut request| {
        request.headers_mut().insert("X-Registry-Auth", value.clone());
        request
    })
}

/// How far the layers of one image are.
#[derive(Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    /// The bytes that have come, and all that are known of, after one more step.
    fn after(&mut self, step: CreateImageInfo) -> (u64, u64) {
        let number = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok());
        let detail = step.progress_detail.unwrap_or_default();
        match (step.id, step.status.as_deref()) {
            (Some(id), Some("Downloading")) => {
                let done = number(detail.current).unwrap_or_default();
                let all = number(detail.total).unwrap_or_default();
                self.0.insert(id, (done, all.max(done)));
            }
            (Some(id), Some("Download complete" | "Verifying Checksum" | "Pull complete")) => {
                self.0.entry(id).and_modify(|(done, all)| *done = *all);
            }
            _ => (),
        }
        self.0.values().fold((0, 0), |(done, all), layer| (done + layer.0, all + layer.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_several_layers_are_added_up() {
        let mut layers = Layers::default();
        let mut after = |step: Value| layers.after(serde_json::from_value(step).unwrap());
        let coming = |id: &str, current: i64| {
            json!({"id": id, "status": "Downloading",
                "progressDetail": {"current": current, "total": 100}})
        };
        assert_eq!(after(json!({"id": "latest", "status": "Pulling from a"})), (0, 0));
        assert_eq!(after(coming("a", 10)), (10, 100));
        assert_eq!(after(coming("b", 50)), (60, 200));
        assert_eq!(after(json!({"id": "a", "status": "Download complete"})), (150, 200));
        assert_eq!(after(json!({"id": "c", "status": "Already exists"})), (150, 200));
    }

    #[test]
    fn a_name_that_could_begin_an_id_is_said_with_its_tag() {
        let called = |text: &str| called(&text.parse().unwrap()).into_owned();
        assert_eq!((called("db"), called("c0ffee")), ("db:latest".into(), "c0ffee:latest".into()));
        for whole in
            ["busybox", "db:1", "r:5000/db", "site/db", "c21007557 5b1".replace(' ', "").as_str()]
        {
            assert_eq!(called(whole), whole);
        }
    }

    #[test]
    fn a_digest_is_what_is_behind_the_repository() {
        let (one, other) =
            (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
        let held = Held { digests: vec![format!("r:5000/a@{one}")], ..Held::default() };
        let image = |text: String| text.parse::<Image>().unwrap();
        assert!(held.is_pinned(&image("a:1".into())));
        assert!(held.is_pinned(&image(format!("r:5000/a:1@{one}"))));
        assert!(!held.is_pinned(&image(format!("r:5000/a@{other}"))));
        assert!(!Held::default().is_pinned(&image(format!("a@{one}"))));
    }
}
