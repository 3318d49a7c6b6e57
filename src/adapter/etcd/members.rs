//! The members of one etcd as one: a request goes to the next when one cannot serve it.

use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, Error as Failure};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::address::Address;
use super::error::{Verdict, verdict};
use crate::error::{Error, Kind, Result};

/// How long one member may take for one request. Without a leader etcd itself waits for seven
/// seconds; the other members may have one.
const ANSWER: Duration = Duration::from_secs(3);

/// How long one member may take to be connected to.
const CONNECT: Duration = Duration::from_secs(1);

/// For how long members are tried in turn: longer than the election of a new leader takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same before any has answered: the address may be wrong.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);

/// How long a connection may be idle before the kernel looks after it: less than firewalls forget in.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The pauses between two rounds: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// An etcd of one member or several.
pub(super) struct Members {
    address: Address,
    runtime: Runtime,
    /// The member that is spoken to, and the connection if there is one.
    at: usize,
    client: Option<Client>,
    /// How long the next request may wait. Nothing once etcd has been gone for that long: what
    /// comes next is tried once.
    patience: Duration,
    /// Why nothing is tried at all until then: the last try was in vain, and took as long as this.
    gone: Option<(Instant, String)>,
}

/// An answer of etcd.
pub(super) struct Answer<T> {
    /// What it says.
    pub says: T,
    /// Whether the request was sent before, to a member from which no answer came: it may have been
    /// carried out then.
    pub repeated: bool,
}

impl Members {
    /// Nobody is spoken to yet.
    pub(super) fn new(address: Address) -> Result<Members> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| Error::io("connect", &why))?;
        Ok(Members { address, runtime, at: 0, client: None, patience: FIRST_PATIENCE, gone: None })
    }

    /// Asks the members in turn, until one answers or time is up. So a request that writes must be
    /// one that can be sent twice.
    ///
    /// # Errors
    /// `Unavailable` when none answers in time, or what etcd says.
    pub(super) fn ask<T>(
        &mut self,
        what: &str,
        request: impl AsyncFn(&mut Client) -> Result<T, Failure>,
    ) -> Result<Answer<T>> {
        let nobody = |why: &str| {
            let error = Error::new(Kind::Unavailable, what);
            Err(error.why(format_args!("no member of etcd serves it ({why})")))
        };
        let began = Instant::now();
        if let Some((_, why)) = self.gone.as_ref().filter(|(until, _)| began < *until) {
            return nobody(why);
        }
        let end = began + self.patience;
        let (mut tried, mut pause) = (0, PAUSE.0);
        loop {
            let why = match self.once(&request) {
                Ok(says) => {
                    (self.patience, self.gone) = (PATIENCE, None);
                    return Ok(Answer { says, repeated: tried > 0 });
                }
                Err(why) => why,
            };
            let why = match why.map(|failure| verdict(what, &failure)) {
                Some(Verdict::Final(error)) => return Err(error),
                Some(Verdict::Again(why)) => why,
                None => format!("no answer within {} s", ANSWER.as_secs()),
            };
            let member = self.move_on();
            tried += 1;
            if tried % self.address.members().len() != 0 {
                continue;
            }
            if Instant::now() >= end {
                let why = format!("{member}: {why}");
                // Members that refuse do it at once; where they are silent, half of the time is
                // spent on asking, however many records there are.
                self.gone = Some((Instant::now() + began.elapsed() - self.patience, why.clone()));
                self.patience = Duration::ZERO;
                return nobody(&why);
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSE.1);
        }
    }

    /// One request to the member that is spoken to; no failure in the error when no answer came.
    fn once<T>(
        &mut self,
        request: impl AsyncFn(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, Option<Failure>> {
        let Members { address, runtime, at, client, .. } = self;
        let member = &address.members()[*at];
        let asked = async {
            let client = match client {
                Some(client) => client,
                none => none.insert(Client::connect([member], Some(options(address))).await?),
            };
            request(client).await
        };
        // The time is the runtime's, so it is asked for inside.
        let answer = runtime.block_on(async { timeout(ANSWER, asked).await });
        answer.map_or(Err(None), |answer| answer.map_err(Some))
    }

    /// Leaves the member that is spoken to, which is returned, for the next.
    fn move_on(&mut self) -> String {
        self.client = None;
        let left = self.address.members()[self.at].clone();
        self.at = (self.at + 1) % self.address.members().len();
        left
    }
}

fn options(address: &Address) -> ConnectOptions {
    let options = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_tcp_keepalive(KEEP_ALIVE)
        // A member that is cut off from the others says so instead of waiting for them.
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    match address.user() {
        Some((user, password)) => options.with_user(user, password),
        None => options,
    }
}
