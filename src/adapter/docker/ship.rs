//! Images from engine to engine: what one hands out goes to several that load it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::models::BuildInfo;
use bollard::query_parameters::{ImportImageOptionsBuilder, ListImagesOptionsBuilder};
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep, timeout};

use super::archive::{Archive, Part};
use super::error::{failure, is_missing};
use super::pull::{Held, called};
use super::{AT_A_TIME, Engine};
use crate::error::{Error, Kind, Result};
use crate::record::Image;

/// How long an engine may take to put an image together, before it hands out its first byte.
const PREPARING: Duration = Duration::from_secs(600);

/// For how long a load may go on, as long as it does go on.
const A_DAY: Duration = Duration::from_secs(86_400);

/// How often it is told how far a load is.
const TICK: Duration = Duration::from_millis(250);

/// Pieces that wait for an engine to take them.
const WAITING: usize = 8;

/// What goes from a source to an engine that loads.
enum Piece {
    Bytes(Bytes),
    End,
    Lost(Error),
}

/// The source's end of a way to an engine.
pub struct Feed {
    to: Sender<Piece>,
    has: usize,
}

/// The loading engine's end of it.
pub struct Cargo(Receiver<Piece>);

/// Why an image was not loaded.
#[derive(Debug)]
pub enum Unloaded {
    /// Its source failed.
    Source(Error),
    /// The engine that was to load it did.
    Here(Error),
}

/// A way to an engine that has so many of the image's layers already, from the bottom up.
pub fn way(has: usize) -> (Feed, Cargo) {
    let (to, from) = channel(WAITING);
    (Feed { to, has }, Cargo(from))
}

impl Feed {
    /// Hands over a piece; whether it was taken in time.
    async fn give(&self, piece: Piece, patience: Duration) -> bool {
        matches!(timeout(patience, self.to.send(piece)).await, Ok(Ok(())))
    }

    fn needs(&self, part: &Part) -> bool {
        part.layer.is_none_or(|layer| layer >= self.has)
    }
}

impl Engine {
    /// How many of these layers, which are those of one image from the bottom up, the engine has.
    pub fn layers_held(&self, layers: &[String]) -> Result<usize> {
        let doing = || format!("list images of {}", self.url);
        let options = ListImagesOptionsBuilder::default().all(true).build();
        self.carrier.block_on(async {
            let images = self.docker.list_images(Some(options)).await;
            let images = images.map_err(|why| failure(doing(), &why))?;
            let common = |held: Held| {
                held.layers.iter().zip(layers).take_while(|(held, wanted)| held == wanted).count()
            };
            let mut most = 0;
            let mut inspected = futures_util::stream::iter(&images)
                .map(|image| self.docker.inspect_image(&image.id))
                .buffered(AT_A_TIME);
            while let Some(image) = inspected.next().await {
                match image {
                    Ok(image) => most = most.max(common(Held::of(image))),
                    Err(why) if is_missing(&why) => (),
                    Err(why) => return Err(failure(doing(), &why)),
                }
            }
            Ok(most)
        })
    }

    /// Hands an image with these layers out to the engines that `takers` gives once the first byte
    /// is there, to each what it lacks. Who takes nothing for `patience` is left behind. `pace`
    /// hears how many bytes are about to go, and says how long they have to wait.
    ///
    /// # Errors
    /// Those of this engine alone, which all takers hear as well.
    pub fn hand_out(
        &self,
        image: &Image,
        layers: &[String],
        patience: Duration,
        takers: &mut dyn FnMut() -> Vec<Feed>,
        pace: &mut dyn FnMut(u64) -> Duration,
    ) -> Result<()> {
        let what = format!("read image \"{image}\" out of {}", self.url);
        let mut feeds = Vec::new();
        let outcome = self.carrier.block_on(async {
            let docker = self.docker.clone().with_timeout(PREPARING);
            let mut chunks = std::pin::pin!(docker.export_image(&called(image)));
            let mut archive = Archive::new(layers);
            let mut parts = Vec::new();
            let mut wait = None;
            loop {
                let chunk = match timeout(wait.unwrap_or(PREPARING), chunks.next()).await {
                    Ok(Some(chunk)) => chunk.map_err(|why| failure(&what, &why))?,
                    Ok(None) => return Ok(()),
                    Err(_) => {
                        let why = "the Docker engine stopped in the middle";
                        return Err(Error::new(Kind::TimedOut, &what).why(why));
                    }
                };
                if wait.replace(patience).is_none() {
                    feeds = takers();
                }
                archive.read(chunk, &mut parts);
                for part in parts.drain(..) {
                    distribute(&part, &mut feeds, patience, pace).await;
                }
                if feeds.is_empty() {
                    return Ok(());
                }
            }
        });
        if outcome.is_err() {
            feeds.extend(takers());
        }
        self.carrier.block_on(async {
            for feed in feeds {
                let last = match &outcome {
                    Ok(()) => Piece::End,
                    Err(why) => Piece::Lost(why.clone()),
                };
                feed.give(last, patience).await;
            }
        });
        outcome
    }

    /// Loads the image that comes. `told` hears how many bytes have gone to the engine.
    ///
    /// # Errors
    /// Of the engine, also when it neither takes nor says anything for `patience`; or of the source.
    pub fn load(
        &self,
        cargo: Cargo,
        patience: Duration,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), Unloaded> {
        let what = || format!("load an image into {}", self.url);
        let taken = Arc::new(Taken::default());
        let body = bollard::body_try_stream(cargo.stream(taken.clone()));
        let options = ImportImageOptionsBuilder::default().quiet(false).build();
        let docker = self.docker.clone().with_timeout(A_DAY);
        let outcome = self.carrier.block_on(async {
            let mut steps = std::pin::pin!(docker.import_image(options, body, None));
            let (mut moved, mut since) = (0, Instant::now());
            loop {
                match timeout(TICK, steps.next()).await {
                    Ok(None) => return Ok(()),
                    Ok(Some(Ok(step))) => {
                        refused(&step, &what)?;
                        since = Instant::now();
                    }
                    Ok(Some(Err(why))) => return Err(failure(what(), &why)),
                    Err(_) => (),
                }
                let now = taken.bytes.load(Ordering::Relaxed);
                told(now);
                // Who waits for the source itself keeps nobody waiting.
                if now != moved || taken.waits.load(Ordering::Relaxed) > 0 {
                    (moved, since) = (now, Instant::now());
                }
                if since.elapsed() > patience {
                    let why = "the Docker engine took nothing and said nothing for too long";
                    return Err(Error::new(Kind::TimedOut, what()).why(why));
                }
            }
        });
        let lost = taken.lost.lock().unwrap_or_else(PoisonError::into_inner).take();
        match lost {
            Some(why) => Err(why),
            None => outcome.map_err(Unloaded::Here),
        }
    }
}

/// Gives one part to all who need it, each at its own speed but for the slowest, and leaves behind
/// who does not take it.
async fn distribute(
    part: &Part,
    feeds: &mut Vec<Feed>,
    patience: Duration,
    pace: &mut dyn FnMut(u64) -> Duration,
) {
    let takers: Vec<Feed>;
    (takers, *feeds) = std::mem::take(feeds).into_iter().partition(|feed| feed.needs(part));
    if takers.is_empty() {
        return;
    }
    let wait = pace(part.bytes.len() as u64 * takers.len() as u64);
    if !wait.is_zero() {
        sleep(wait).await;
    }
    let given = takers.into_iter().map(|feed| async move {
        let taken = feed.give(Piece::Bytes(part.bytes.clone()), patience).await;
        taken.then_some(feed)
    });
    feeds.extend(futures_util::future::join_all(given).await.into_iter().flatten());
}

/// What has become of a cargo so far.
#[derive(Default)]
struct Taken {
    bytes: AtomicU64,
    /// 1 while the engine waits for the source.
    waits: AtomicU64,
    lost: Mutex<Option<Unloaded>>,
}

impl Cargo {
    fn stream(self, taken: Arc<Taken>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        futures_util::stream::unfold(Some((self.0, taken)), |state| async {
            let (mut from, taken) = state?;
            taken.waits.store(1, Ordering::Relaxed);
            let piece = from.recv().await;
            taken.waits.store(0, Ordering::Relaxed);
            let why = match piece {
                Some(Piece::Bytes(bytes)) => {
                    taken.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    return Some((Ok(bytes), Some((from, taken))));
                }
                Some(Piece::End) => return None,
                Some(Piece::Lost(why)) => Unloaded::Source(why),
                None => Unloaded::Here(
                    Error::new(Kind::TimedOut, "load an image")
                        .why("the Docker engine did not take it in time"),
                ),
            };
            *taken.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            Some((Err(io::Error::other("the source has failed")), None))
        })
    }
}

/// What the engine says of a load that it gives up.
fn refused(step: &BuildInfo, what: &impl Fn() -> String) -> Result<()> {
    match step.error_detail.as_ref().and_then(|detail| detail.message.as_deref()) {
        Some(why) => Err(Error::new(Kind::Refused, what()).why(why.trim())),
        None => Ok(()),
    }
}
