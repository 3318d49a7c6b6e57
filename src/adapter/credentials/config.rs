//! `config.json`, as far as it speaks of registries.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::{Doing, Error, Kind, Result};
use crate::record::Login;

/// More than this is no configuration.
const LONGEST: u64 = 1 << 20;

/// What the file says.
#[derive(Default)]
pub(super) struct Config {
    path: PathBuf,
    said: Said,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    auths: HashMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Where the login of a registry is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// None is kept.
    Nowhere,
    /// In the file.
    Here(Login),
    /// With the helper of that name.
    Helper(String),
}

impl Config {
    /// What the file at `path` says; nothing at all when it is not there.
    pub(super) fn read(path: &Path) -> Result<Config> {
        let doing = || format!("read {}", path.display());
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(LONGEST + 1).read_to_string(&mut text).doing(doing())?,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(Config::default()),
            Err(why) => return Err(Error::io(doing(), &why)),
        };
        if text.len() as u64 > LONGEST {
            return Err(Error::new(Kind::BadInput, doing()).why("it is longer than 1 MiB"));
        }
        Config::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Config> {
        // What the parser says itself may repeat a part of a secret.
        let said = serde_json::from_str(text).map_err(|why| {
            Error::new(Kind::BadInput, format_args!("read {}", path.display())).why(format_args!(
                "line {} column {} is not what it should be",
                why.line(),
                why.column()
            ))
        })?;
        Ok(Config { path: path.to_owned(), said })
    }

    /// Where the login of that server is. A helper that is named for the server goes before the
    /// store for all of them, and that before the file itself.
    pub(super) fn place(&self, server: &str) -> Result<Place> {
        let Said { auths, creds_store, cred_helpers } = &self.said;
        let helper = cred_helpers.get(server).or(creds_store.as_ref());
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return Ok(Place::Helper(helper.clone()));
        }
        // Old files name a server by a URL.
        let older = || auths.iter().find(|(name, _)| host(name) == server).map(|(_, entry)| entry);
        let Some(entry) = auths.get(server).or_else(older) else { return Ok(Place::Nowhere) };
        let login = entry.login().map_err(|why| {
            let what = format!("read {}", self.path.display());
            Error::new(Kind::BadInput, what).why(format_args!("auths for \"{server}\": {why}"))
        })?;
        Ok(login.map_or(Place::Nowhere, Place::Here))
    }
}

/// The host that a URL names.
fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    rest.split('/').next().unwrap_or(rest)
}

impl Entry {
    /// The login that the entry holds; nothing when it is empty, which it is where a store has it.
    fn login(&self) -> Result<Option<Login>, &'static str> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = some(&self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(token) = some(&self.registrytoken) {
            return Ok(Some(Login::Bearer(token)));
        }
        if let Some(auth) = some(&self.auth) {
            let bytes = STANDARD.decode(auth).map_err(|_| "\"auth\" is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "\"auth\" is not text")?;
            let (user, password) = text.split_once(':').ok_or("\"auth\" has no colon in it")?;
            let password = password.trim_matches('\0');
            return Ok(Some(Login::Password { user: user.into(), password: password.into() }));
        }
        Ok(match (some(&self.username), some(&self.password)) {
            (Some(user), Some(password)) => Some(Login::Password { user, password }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, server: &str) -> Result<Place> {
        Config::parse(Path::new("/c/config.json"), text)?.place(server)
    }

    fn password(user: &str, password: &str) -> Place {
        Place::Here(Login::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn a_login_is_found_by_its_server() {
        let text = r#"{"HttpHeaders": {"a": "b"}, "auths": {
            "r:5000": {"auth": "dTpwOnc="},
            "https://old.example/v1/": {"username": "a", "password": "b"},
            "https://index.docker.io/v1/": {"auth": "aDppAAA=", "email": "x"},
            "t": {"auth": "dTo=", "identitytoken": "T"},
            "b": {"registrytoken": "B"},
            "empty": {}}}"#;
        let found = |server| place(text, server).unwrap();
        assert_eq!(found("r:5000"), password("u", "p:w"));
        assert_eq!(found("old.example"), password("a", "b"));
        assert_eq!(found("https://index.docker.io/v1/"), password("h", "i"));
        assert_eq!(found("t"), Place::Here(Login::Identity("T".into())));
        assert_eq!(found("b"), Place::Here(Login::Bearer("B".into())));
        for nowhere in ["empty", "r", "r:5001", "index.docker.example"] {
            assert_eq!(found(nowhere), Place::Nowhere, "{nowhere}");
        }
        assert_eq!(place("{}", "r").unwrap(), Place::Nowhere);
    }

    #[test]
    fn a_helper_goes_before_the_store_and_the_store_before_the_file() {
        let text = r#"{"auths": {"a": {"auth": "dTpw"}, "b": {}, "c": {"auth": "dTpw"}},
            "credsStore": "desktop", "credHelpers": {"a": "ecr-login", "c": ""}}"#;
        assert_eq!(place(text, "a").unwrap(), Place::Helper("ecr-login".into()));
        assert_eq!(place(text, "b").unwrap(), Place::Helper("desktop".into()));
        assert_eq!(place(text, "c").unwrap(), password("u", "p"));
    }

    #[test]
    fn what_is_wrong_is_told_without_what_it_is() {
        for (text, word) in [
            (r#"{"auths": {"r": {"auth": "c2VjcmV0"}}}"#, "no colon"),
            (r#"{"auths": {"r": {"auth": "secret!"}}}"#, "base64"),
            (r#"{"auths": {"r": "secret"}}"#, "line 1 column"),
            (r#"{"auths": {"r": {"auth": "secret"#, "line 1 column"),
        ] {
            let told = place(text, "r").unwrap_err();
            assert_eq!(told.kind(), Kind::BadInput);
            let told = told.to_string();
            assert!(told.contains(word) && told.contains("/c/config.json"), "{told}");
            assert!(!told.contains("secret") && !told.contains("c2Vj"), "{told}");
        }
    }

    #[test]
    fn no_file_is_an_empty_one() {
        let config = Config::read(Path::new("/nonexistent/config.json")).unwrap();
        assert_eq!(config.place("r").unwrap(), Place::Nowhere);
    }
}
