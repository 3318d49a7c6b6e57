//! Staying connected to an engine that may come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::adapter::docker::Engine;
use crate::error::{Error, Kind};
use crate::record::Endpoint;
use crate::stage::engines::Reach;

/// The first wait before an engine is tried again; it doubles up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A stream that lasted so long was no failure to begin one.
const LASTED: Duration = Duration::from_secs(10);

/// Connects to an engine and has `hear` listen to it, and does so again, a little later each
/// time, when that ends or there is no connection. `down` is told why; it returns whether anybody
/// wants to know. Ends when nobody does, which `hear` says with `ReaderLeft`.
///
/// `hear` is given the time of this machine before the connection was made: what it asks for from that
/// time on, and a listing that is begun when it is called, miss nothing between them.
pub fn stay(
    reach: &Reach,
    endpoint: &Endpoint,
    mut hear: impl FnMut(&Arc<Engine>, Timestamp) -> Error,
    mut down: impl FnMut(Error) -> bool,
) {
    let mut pause = BACK_OFF.0;
    loop {
        let (since, begun) = (Timestamp::now(), Instant::now());
        let why = match reach.connect(endpoint).map(Arc::new) {
            Ok(engine) => hear(&engine, since),
            Err(why) => why,
        };
        if why.kind() == Kind::ReaderLeft || !down(why) {
            return;
        }
        if begun.elapsed() > LASTED {
            pause = BACK_OFF.0;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// Whether waiting may help.
pub fn may_pass(why: &Error) -> bool {
    matches!(why.kind(), Kind::Unavailable | Kind::TimedOut | Kind::Io)
}
