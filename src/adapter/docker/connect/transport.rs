//! The connections to one engine: each carries one call at a time, and is used again for the next.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error as Failure;
use bollard::{BollardRequest, body_full};
use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::dial::Place;
use super::meter::{Meter, Metered};

/// How long connections are kept that nobody uses, and how many: each is some 28 KiB here, and there
/// may be a thousand engines. What the other side does not close within the time can be relied on; a
/// program that only listens keeps none.
const KEPT: Keep = Keep { most: 2, idle: Duration::from_millis(500) };

/// One with TLS is dear to make.
const KEPT_WITH_TLS: Keep = Keep { most: 8, idle: Duration::from_secs(2) };

#[derive(Clone, Copy)]
struct Keep {
    most: usize,
    idle: Duration,
}

/// What goes to the engine with a call.
type Body = Either<
    Full<Bytes>,
    StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>>,
>;

type Answer = Result<Response<Incoming>, Failure>;

/// One connection.
struct Line {
    calls: SendRequest<Body>,
    meter: Arc<Meter>,
}

/// All connections to one engine.
pub(super) struct Transport {
    place: Place,
    host: HeaderValue,
    keep: Keep,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Connections that were used, and when last. Of some the answer is still on its way.
    lines: Vec<(Line, Instant)>,
    /// Whether somebody closes those that nobody uses.
    is_swept: bool,
}

impl Transport {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// When the place has a name that cannot be told to the other side.
    pub(super) fn new(place: Place) -> Result<Arc<Transport>, Failure> {
        let host = HeaderValue::from_str(&place.name()).map_err(|why| invalid(why.to_string()))?;
        let keep = if let Place::Tls(..) = place { KEPT_WITH_TLS } else { KEPT };
        Ok(Arc::new(Transport { place, host, keep, kept: Mutex::default() }))
    }

    /// Makes one call; the answer's body may still be on its way then.
    pub(super) async fn call(self: Arc<Transport>, mut request: BollardRequest) -> Answer {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|why| invalid(why.to_string()))?;
        request.headers_mut().insert(HOST, self.host.clone());
        while let Some(mut line) = self.idle() {
            let again = again(&request);
            line.meter.begin(request.uri().path());
            match line.calls.try_send_request(request).await {
                Ok(answer) => return Ok(self.keep(line, answer)),
                // The other side may close a connection while a call goes out on it. One that only
                // asks may be made again (RFC 9110 section 9.2.2), and one that never went out.
                Err(mut failed) => match failed.take_message().or(again) {
                    Some(same) => request = same,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        // What it takes to open one is not to lie about while the call is under way.
        let (mut line, ended) = Box::pin(self.open()).await?;
        line.meter.begin(request.uri().path());
        match line.calls.send_request(request).await {
            Ok(answer) => Ok(self.keep(line, answer)),
            // It ended before the call was on it: the other side may refuse us unasked.
            Err(why) if why.is_canceled() => Err(ended.await.unwrap_or(why).into()),
            Err(why) => Err(why.into()),
        }
    }

    /// A new connection, and what tells why it ended.
    async fn open(&self) -> Result<(Line, oneshot::Receiver<hyper::Error>), Failure> {
        let (wire, meter) = (self.place.open().await?, Arc::<Meter>::default());
        let metered = Metered { wire, meter: meter.clone() };
        let (calls, carried) = http1::handshake(TokioIo::new(metered)).await?;
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(why) = carried.await {
                // Who has an answer does not ask.
                let _ = tell.send(why);
            }
        });
        Ok((Line { calls, meter }, ended))
    }

    /// A connection that carries nothing now.
    fn idle(&self) -> Option<Line> {
        let mut kept = self.kept();
        kept.sweep(self.keep.idle);
        let at = kept.lines.iter().rposition(|(line, _)| line.calls.is_ready())?;
        Some(kept.lines.swap_remove(at).0)
    }

    /// Keeps a connection for the next call; what is left of this one's answer comes through it
    /// meanwhile.
    fn keep(self: &Arc<Transport>, line: Line, answer: Response<Incoming>) -> Response<Incoming> {
        let mut kept = self.kept();
        if kept.lines.len() >= self.keep.most {
            kept.lines.remove(0);
        }
        kept.lines.push((line, Instant::now()));
        if !std::mem::replace(&mut kept.is_swept, true) {
            let (transport, idle) = (Arc::downgrade(self), self.keep.idle);
            tokio::spawn(async move {
                loop {
                    sleep(idle).await;
                    let Some(transport) = transport.upgrade() else { return };
                    let mut kept = transport.kept();
                    kept.sweep(idle);
                    if kept.lines.is_empty() {
                        kept.is_swept = false;
                        return;
                    }
                }
            });
        }
        answer
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Lets go of what is closed, and of what nobody has used for some time. A connection that an
    /// answer still comes through ends behind it.
    fn sweep(&mut self, idle: Duration) {
        self.lines.retain(|(line, since)| !line.calls.is_closed() && since.elapsed() < idle);
    }
}

/// The same call once more, if it only asks.
fn again(request: &BollardRequest) -> Option<BollardRequest> {
    if request.method() != Method::GET {
        return None;
    }
    let mut same = Request::new(body_full(Bytes::new()));
    *same.method_mut() = request.method().clone();
    *same.uri_mut() = request.uri().clone();
    *same.headers_mut() = request.headers().clone();
    Some(same)
}

fn invalid(why: String) -> Failure {
    io::Error::new(io::ErrorKind::InvalidInput, why).into()
}
