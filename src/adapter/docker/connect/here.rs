//! Engines of this machine, whose containers' processes are among those that are here.

use super::context;
use super::url::Way;
use crate::error::{Error, Kind, Result};
use crate::record::Endpoint;

/// The engine at a URL, which is a socket of this machine or a context that leads to one.
///
/// # Errors
/// `Usage` for one that is reached over a network: nobody can tell whether its containers are here.
/// Otherwise what is wrong with the context.
pub fn here(url: &str) -> Result<Endpoint> {
    let far = |what: String| {
        Error::new(Kind::Usage, what)
            .why("its containers may be on another machine, and only those that are here can be reached")
            .remedy("name the engine's socket, unix:///PATH, or a context that does")
    };
    match Way::of(url)? {
        Way::Unix(_) => Ok(Endpoint::at(url)),
        Way::Tcp(_) | Way::Ssh(_) => Err(far(format!("host \"{url}\""))),
        Way::Context(name) => {
            let endpoint = context::read(&name)?;
            match Way::of(&endpoint.url)? {
                Way::Unix(_) => Ok(endpoint),
                _ => Err(far(format!("context \"{name}\", which is {}", endpoint.url))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_is_surely_of_this_machine() {
        let socket = Endpoint::at("unix:///run/docker.sock");
        assert_eq!(here("unix:///run/docker.sock").unwrap(), socket);
        assert_eq!(here("context:default").unwrap().url, "unix:///var/run/docker.sock");
        for far in ["tcp://127.0.0.1:2376", "tcp://h:2375", "ssh://root@h", "ssh://localhost"] {
            let why = here(far).unwrap_err();
            assert_eq!(why.kind(), Kind::Usage);
            assert!(why.to_string().contains(far), "{why}");
        }
        assert_eq!(here("docker.sock").unwrap_err().kind(), Kind::Usage);
    }
}
