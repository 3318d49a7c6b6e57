//! Containers are looked at, with all that has to be known to read what the engine says of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::Docker;
use tokio::sync::OnceCell;

use super::error::{failure, is_missing};
use super::origin::{Brought, Defaults};
use super::read::{Around, Found, Inspected};
use super::soon;
use crate::error::{Kind, Result};

/// Looks at the containers of one engine, and remembers what does not change.
pub(super) struct Inspector {
    pub(super) docker: Docker,
    url: String,
    /// What images say, by their own id, which names their content.
    images: Mutex<HashMap<String, Arc<Brought>>>,
    /// What the engine does where nothing is said; it does not change while it runs.
    defaults: OnceCell<Defaults>,
}

impl Inspector {
    pub(super) fn new(docker: Docker, url: &str) -> Inspector {
        Inspector {
            docker,
            url: url.to_owned(),
            images: Mutex::default(),
            defaults: OnceCell::new(),
        }
    }

    /// One container; nothing when it is not there.
    pub(super) async fn inspect(&self, name: &str) -> Result<Option<Found>> {
        let doing = || format!("inspect container {name}");
        let inspected = match self.inspected(name).await {
            Ok(answer) => Inspected::of(answer)?,
            Err(why) if is_missing(&why) => return Ok(None),
            Err(why) => return Err(failure(doing(), &why)),
        };
        let document = match inspected.declared() {
            Some(document) => document,
            None => inspected.derived(&self.around(&inspected).await?)?,
        };
        Ok(Some(inspected.found(document)))
    }

    /// What else is to be known to read a container that the suite did not make.
    async fn around(&self, inspected: &Inspected) -> Result<Around<'_>> {
        let mut names = HashMap::new();
        for id in inspected.others() {
            match self.inspected(id).await {
                Ok(other) => names.extend(other.name.map(|name| {
                    (id.to_owned(), name.strip_prefix('/').unwrap_or(&name).to_owned())
                })),
                Err(why) if is_missing(&why) => (),
                Err(why) => return Err(failure(format_args!("inspect container {id}"), &why)),
            }
        }
        let image = self.image(&inspected.image_id).await?;
        Ok(Around { image, defaults: self.defaults().await?, names })
    }

    /// What an image says, if that is known.
    pub(super) fn known(&self, id: &str) -> Option<Arc<Brought>> {
        self.images().get(id).cloned()
    }

    /// What an image says; nothing at all when it was taken away under its containers.
    pub(super) async fn image(&self, id: &str) -> Result<Arc<Brought>> {
        if let Some(brought) = self.known(id) {
            return Ok(brought);
        }
        let brought = match soon(self.docker.inspect_image(id)).await {
            Ok(image) => Arc::new(Brought::of(image)),
            Err(why) if is_missing(&why) => return Ok(Arc::default()),
            Err(why) => return Err(failure(format_args!("inspect image {id}"), &why)),
        };
        self.images().insert(id.to_owned(), brought.clone());
        Ok(brought)
    }

    fn images(&self) -> MutexGuard<'_, HashMap<String, Arc<Brought>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine does where nothing is said; nothing is known of one whose answer cannot be
    /// read.
    async fn defaults(&self) -> Result<&Defaults> {
        let doing = || format!("ask {} for its defaults", self.url);
        self.defaults
            .get_or_try_init(|| async {
                match soon(self.docker.info()).await.map_err(|why| failure(doing(), &why)) {
                    Ok(info) => Ok(Defaults::of(info)),
                    Err(why) if matches!(why.kind(), Kind::BadInput | Kind::NotFound) => {
                        Ok(Defaults::default())
                    }
                    Err(why) => Err(why),
                }
            })
            .await
    }
}
