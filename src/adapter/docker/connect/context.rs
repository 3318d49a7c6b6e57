//! Docker's contexts: engines that `docker context create` has given a name.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::record::Endpoint;

/// The engine that is there without any context being made.
const DEFAULT: (&str, &str) = ("default", "unix:///var/run/docker.sock");

/// What is used of a context's `meta.json`.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Engine>,
}

#[derive(Deserialize)]
struct Engine {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    unverified: bool,
}

/// The engine of the context of that name, from `DOCKER_CONFIG` or else `~/.docker`.
pub(super) fn read(name: &str) -> Result<Endpoint> {
    if name == DEFAULT.0 {
        return Ok(Endpoint::at(DEFAULT.1));
    }
    let by_env = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty());
    let own = || std::env::home_dir().map(|home| home.join(".docker"));
    match by_env.map(PathBuf::from).or_else(own) {
        Some(config) => read_in(&config.join("contexts"), name),
        None => Err(missing(name).why("there is no home directory")),
    }
}

/// A context stands under the SHA-256 of its name.
fn read_in(contexts: &Path, name: &str) -> Result<Endpoint> {
    let mut id = String::new();
    for byte in Sha256::digest(name.as_bytes()) {
        let _ = write!(id, "{byte:02x}");
    }
    let path = contexts.join("meta").join(&id).join("meta.json");
    let wrong = || Error::new(Kind::BadInput, format_args!("context \"{name}\""));
    let text = std::fs::read_to_string(&path).map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound => missing(name)
            .why(format_args!("{} has none of that name", contexts.display()))
            .remedy("make it with docker context create"),
        _ => Error::io(format_args!("read {}", path.display()), &why),
    })?;
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|why| wrong().why(format_args!("{} cannot be read: {why}", path.display())))?;
    let engine = meta.endpoints.docker.filter(|engine| !engine.host.is_empty());
    let engine = engine.ok_or_else(|| wrong().why("it names no Docker engine"))?;
    if engine.unverified {
        return Err(Error::new(Kind::Refused, format_args!("context \"{name}\""))
            .why("it says that the engine's certificate is not to be verified")
            .remedy("make it anew with ca=FILE"));
    }
    let tls = contexts.join("tls").join(&id).join("docker");
    let tls = tls.is_dir().then(|| tls.display().to_string());
    if tls.is_none() && engine.host.starts_with("tcp://") {
        return Err(Error::new(Kind::Refused, format_args!("context \"{name}\""))
            .why(format_args!("it has no certificates for {}", engine.host))
            .remedy("make it anew with ca=, cert= and key=, or name that URL and say --insecure"));
    }
    Ok(Endpoint { tls, ..Endpoint::at(&engine.host) })
}

fn missing(name: &str) -> Error {
    Error::new(Kind::NotFound, format_args!("context \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of `far`.
    const FAR: &str = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";

    #[test]
    fn a_context_names_an_engine_and_its_certificates() {
        let contexts = std::env::temp_dir().join(format!("lp-contexts-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&contexts);
        let far = contexts.join("meta").join(FAR);
        std::fs::create_dir_all(&far).unwrap();
        let put = |text: &str| std::fs::write(far.join("meta.json"), text).unwrap();
        let kind = || read_in(&contexts, "far").unwrap_err().kind();
        assert_eq!(kind(), Kind::NotFound);
        put("{");
        assert_eq!(kind(), Kind::BadInput);
        put(r#"{"Name":"far","Endpoints":{}}"#);
        assert_eq!(kind(), Kind::BadInput);
        put(r#"{"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":true}}}"#);
        assert_eq!(kind(), Kind::Refused);
        put(r#"{"Endpoints":{"docker":{"Host":"ssh://ops@far"}}}"#);
        assert_eq!(read_in(&contexts, "far").unwrap(), Endpoint::at("ssh://ops@far"));
        put(r#"{"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#);
        let open = read_in(&contexts, "far").unwrap_err();
        assert_eq!(open.kind(), Kind::Refused);
        assert!(open.to_string().contains("no certificates for tcp://far:2376"), "{open}");
        let tls = contexts.join("tls").join(FAR).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        assert_eq!(read_in(&contexts, "far").unwrap().tls, Some(tls.display().to_string()));
        std::fs::remove_dir_all(&contexts).unwrap();
        assert_eq!(read("default").unwrap().url, "unix:///var/run/docker.sock");
    }
}
