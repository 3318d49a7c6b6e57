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
    /// Until when nothing is tried at all.
    silent_until: Option<Instant>,
    /// Which member did not serve the last request that was in vain, and why.
    why: String,
}

impl Members {
    /// Nobody is spoken to yet.
    pub(super) fn new(address: Address) -> Result<Members> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Members {
            address,
            runtime: runtime.map_err(|why| Error::io("connect", &why))?,
            at: 0,
            client: None,
            patience: FIRST_PATIENCE,
            silent_until: None,
            why: String::new(),
        })
    }

    /// Asks the members in turn, until one answers or time is up. So a request that writes must be
    /// one that may be carried out twice, and later than it was sent.
    ///
    /// # Errors
    /// `Unavailable` when none answers in time, or what etcd says.
    pub(super) fn ask<T>(
        &mut self,
        what: &str,
        request: impl AsyncFn(&mut Client) -> Result<T, Failure>,
    ) -> Result<T> {
        let began = Instant::now();
        if self.silent_until.is_some_and(|end| began < end) {
            return Err(self.nobody(what));
        }
        let end = began + self.patience;
        let mut pause = PAUSE.0;
        loop {
            for _ in 0..self.address.members().len() {
                if let Some(says) = self.ask_once(what, &request)? {
                    return Ok(says);
                }
            }
            if Instant::now() >= end {
                // Members that refuse do it at once; where they are silent, half of the time is
                // spent on asking, however many records there are.
                let asking = began.elapsed().saturating_sub(self.patience);
                self.silent_until = Some(Instant::now() + asking);
                self.patience = Duration::ZERO;
                return Err(self.nobody(what));
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSE.1);
        }
    }

    /// Asks one member. Nothing when no answer came: nobody knows whether the request is carried
    /// out, or will be; another member is next.
    ///
    /// # Errors
    /// What etcd says.
    pub(super) fn ask_once<T>(
        &mut self,
        what: &str,
        request: impl AsyncFn(&mut Client) -> Result<T, Failure>,
    ) -> Result<Option<T>> {
        let why = match self.once(request) {
            Ok(says) => {
                (self.patience, self.silent_until) = (PATIENCE, None);
                return Ok(Some(says));
            }
            Err(None) => format!("no answer within {} s", ANSWER.as_secs()),
            Err(Some(failure)) => match verdict(what, &failure) {
                Verdict::Final(error) => return Err(error),
                Verdict::Again(why) => why,
            },
        };
        self.client = None;
        self.why = format!("{}: {why}", self.address.members()[self.at]);
        self.at = (self.at + 1) % self.address.members().len();
        Ok(None)
    }

    /// Asks one member.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer, or what etcd says.
    pub(super) fn ask_now<T>(
        &mut self,
        what: &str,
        request: impl AsyncFn(&mut Client) -> Result<T, Failure>,
    ) -> Result<T> {
        self.ask_once(what, request)?.ok_or_else(|| self.nobody(what))
    }

    fn nobody(&self, what: &str) -> Error {
        let error = Error::new(Kind::Unavailable, what);
        error.why(format_args!("no member of etcd serves it ({})", self.why))
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
