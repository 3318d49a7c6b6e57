//! One command, one answer, each on a connection of its own.
//!
//! Kea closes a Unix socket behind its answer, so the end of the stream is the end of the answer.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;

use super::place::{Http, Place, Way};
use crate::error::{Error, Kind, Result};

/// No answer is longer than this: the configuration of a server with tens of thousands of
/// reservations is the longest one.
const LARGEST: usize = 64 * 1024 * 1024;

/// A way to one server. Calls block.
pub struct Channel {
    place: Place,
    runtime: Runtime,
    patience: Duration,
}

/// What the server said to a command.
#[derive(Debug, Deserialize)]
pub struct Answer {
    result: i64,
    #[serde(default)]
    text: String,
    arguments: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Command<'a, A> {
    command: &'a str,
    /// Which server the control agent is to ask; a server that is asked itself takes it, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<A>,
}

/// Why there is no answer.
enum Lost {
    System(io::Error),
    Status(StatusCode),
    Protocol(String),
    TooLong,
}

impl Channel {
    /// A way to the server at that place, which need not be there yet. It may take up to `patience`
    /// for each answer.
    pub fn new(place: Place, patience: Duration) -> Result<Channel> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|why| Error::io("start a runtime", &why).at(&place))?;
        Ok(Channel { place, runtime, patience })
    }

    /// Where the server listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Sends a command, and waits for the answer, whatever it is.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers, `NotPermitted` when the channel is closed to this user,
    /// `TimedOut` when the answer does not come in time, `BadInput` when it cannot be read.
    pub fn ask<A: Serialize>(&self, command: &str, arguments: Option<A>) -> Result<Answer> {
        let at_place = |error: Error| error.at(&self.place);
        let service = matches!(self.place.way, Way::Http(_)).then_some(["dhcp6"]);
        let text = serde_json::to_vec(&Command { command, service, arguments })
            .map_err(|why| at_place(Error::new(Kind::Bug, command).why(why)))?;
        let exchange = async {
            match &self.place.way {
                Way::Unix(path) => over_socket(UnixStream::connect(path).await?, text).await,
                Way::Http(http) => over_http(http, text).await,
            }
        };
        let answer =
            self.runtime.block_on(async { tokio::time::timeout(self.patience, exchange).await });
        match answer {
            Ok(Ok(body)) => Answer::parse(&body)
                .map_err(|why| at_place(Error::new(Kind::BadInput, command).why(why))),
            Ok(Err(why)) => Err(at_place(failure(command, &why))),
            Err(_) => {
                let why = format!("no answer within {} s", self.patience.as_secs_f32());
                Err(at_place(Error::new(Kind::TimedOut, command).why(why)))
            }
        }
    }

    /// What the answer to a command carries; nothing when the server has found nothing.
    ///
    /// # Errors
    /// As those of [`Channel::ask`]; `Refused` in the server's own words; `Unavailable` when the
    /// server does not know the command, or is not there behind the agent.
    pub fn get<A: Serialize, T: DeserializeOwned>(
        &self,
        command: &str,
        arguments: Option<A>,
    ) -> Result<Option<T>> {
        let answer = self.ask(command, arguments)?;
        self.carried(command, answer)
    }

    /// What this answer to a command carries, as [`Channel::get`].
    pub(super) fn carried<T: DeserializeOwned>(
        &self,
        command: &str,
        answer: Answer,
    ) -> Result<Option<T>> {
        answer.carried(command).map_err(|error| error.at(&self.place))
    }
}

impl Answer {
    /// The answer in this text; `kea-ctrl-agent` puts it into a list of one.
    pub(super) fn parse(text: &[u8]) -> Result<Answer, String> {
        // Whatever one client has as its name must not cost the others theirs.
        let text = String::from_utf8_lossy(text);
        let no_answer = |why| format!("the answer cannot be read: {why}");
        if !text.trim_start().starts_with('[') {
            return serde_json::from_str(&text).map_err(no_answer);
        }
        let [answer] = serde_json::from_str::<[Answer; 1]>(&text).map_err(no_answer)?;
        Ok(answer)
    }

    /// Whether the server does not know the command.
    pub fn is_unsupported(&self) -> bool {
        self.result == 2
    }

    /// What the answer carries; nothing when the server has found nothing.
    pub(super) fn carried<T: DeserializeOwned>(self, command: &str) -> Result<Option<T>> {
        let error = |kind| {
            let said = if self.text.is_empty() { "no reason is given" } else { &self.text };
            Error::new(kind, command).why(said)
        };
        match self.result {
            0 => (),
            3 => return Ok(None),
            2 => return Err(error(Kind::Unavailable)),
            1 if self.is_of_agent() => return Err(error(Kind::Unavailable)),
            401 | 403 => return Err(error(Kind::NotPermitted)),
            _ => return Err(error(Kind::Refused)),
        }
        let arguments = self.arguments.as_deref().map_or("null", RawValue::get);
        serde_json::from_str(arguments).map(Some).map_err(|why| {
            // The text of a configuration holds passwords, and is not shown.
            let why =
                format!("the answer does not have the form of {command}'s ({:?})", why.classify());
            Error::new(Kind::BadInput, command).why(why)
        })
    }

    /// Whether the agent, and not the server, said no.
    fn is_of_agent(&self) -> bool {
        self.text.contains("unable to forward command")
            || self.text.contains("forwarding socket is not configured")
    }
}

async fn over_socket(mut stream: UnixStream, command: Vec<u8>) -> Result<Vec<u8>, Lost> {
    stream.write_all(&command).await?;
    let mut answer = Vec::new();
    stream.take(LARGEST as u64 + 1).read_to_end(&mut answer).await?;
    match answer.len() {
        0 => Err(Lost::Protocol("the connection was closed without an answer".to_owned())),
        length if length > LARGEST => Err(Lost::TooLong),
        _ => Ok(answer),
    }
}

async fn over_http(http: &Http, command: Vec<u8>) -> Result<Vec<u8>, Lost> {
    let stream = TcpStream::connect((&*http.host, http.port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(&*http.path)
        .header(HOST, &*http.authority)
        .header(CONTENT_TYPE, "application/json");
    if let Some(secret) = &http.authorization {
        request = request.header(AUTHORIZATION, secret);
    }
    let request = request
        .body(Full::new(Bytes::from(command)))
        .map_err(|why| Lost::Protocol(why.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(Lost::Status(response.status()));
        }
        match Limited::new(response.into_body(), LARGEST).collect().await {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(why) if why.is::<LengthLimitError>() => Err(Lost::TooLong),
            Err(why) => Err(Lost::Protocol(why.to_string())),
        }
    };
    let (mut exchange, connection) = (std::pin::pin!(exchange), std::pin::pin!(connection));
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // It carries the exchange; whatever becomes of it shows there.
        _ = connection => exchange.await,
    }
}

impl From<io::Error> for Lost {
    fn from(why: io::Error) -> Lost {
        Lost::System(why)
    }
}

impl From<hyper::Error> for Lost {
    fn from(why: hyper::Error) -> Lost {
        Lost::Protocol(why.to_string())
    }
}

fn failure(command: &str, why: &Lost) -> Error {
    match why {
        Lost::System(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            Error::io(command, why)
                .remedy("run as root, or as a member of the group that Kea runs as")
        }
        Lost::System(why) => match Error::io(command, why) {
            error if error.kind() == Kind::TimedOut => error,
            _ => Error::new(Kind::Unavailable, command)
                .why(reason(why))
                .remedy("see that kea-dhcp6 runs, and that its control socket is this one"),
        },
        Lost::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Error::new(Kind::NotPermitted, command)
                .why("the user or the password is refused")
                .remedy("name them as http://USER:PASSWORD@HOST:PORT/")
        }
        Lost::Status(status) => {
            Error::new(Kind::Unavailable, command).why(format_args!("HTTP status {status}"))
        }
        Lost::Protocol(why) => Error::new(Kind::Unavailable, command).why(why),
        Lost::TooLong => Error::new(Kind::BadInput, command)
            .why(format_args!("the answer is longer than {} MiB", LARGEST >> 20)),
    }
}

/// The operating system's words.
fn reason(why: &io::Error) -> String {
    let text = why.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(text: &str) -> Result<Option<serde_json::Value>> {
        Answer::parse(text.as_bytes()).unwrap().carried("lease6-get-page")
    }

    #[test]
    fn an_answer_is_found_something_found_nothing_or_a_refusal() {
        let found = carried(r#"{"result":0,"text":"ok","arguments":{"count":1}}"#).unwrap();
        assert_eq!(found.unwrap()["count"], 1);
        let by_agent = carried(r#" [ {"arguments":{"count":1},"result":0} ]"#).unwrap();
        assert_eq!(by_agent.unwrap()["count"], 1);
        assert_eq!(carried(r#"{"result":3,"text":"0 found","arguments":{}}"#).unwrap(), None);
        for (text, kind) in [
            (r#"{"result":1,"text":"no"}"#, Kind::Refused),
            (r#"{"result":1,"text":"unable to forward command to x"}"#, Kind::Unavailable),
            (r#"{"result":2,"text":"'x' command not supported."}"#, Kind::Unavailable),
            (r#"{"result":4}"#, Kind::Refused),
            (r#"{"result":401,"text":"Unauthorized"}"#, Kind::NotPermitted),
        ] {
            let error = carried(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().starts_with("lease6-get-page: "), "{error}");
        }
    }

    #[test]
    fn what_is_no_answer_is_no_answer() {
        for text in ["", "garbage", "[]", "[{},{}]", "{}", r#"{"result":"0"}"#, r#"{"result":0"#] {
            assert!(Answer::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_of_a_configuration_are_not_told() {
        let text = r#"{"result":0,"arguments":["s3cret"]}"#;
        let answer = Answer::parse(text.as_bytes()).unwrap();
        let error = answer.carried::<std::collections::BTreeMap<String, u8>>("config-get");
        assert!(!error.unwrap_err().to_string().contains("s3cret"));
    }
}
