//! The certificates that an engine at `tcp://` is known by, and those that it knows us by.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// The files for TLS, as Docker names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pem {
    /// The authority that vouches for the engine.
    pub(super) ca: PathBuf,
    /// Who we are.
    pub(super) cert: PathBuf,
    /// The proof of it.
    pub(super) key: PathBuf,
}

impl Pem {
    /// Those of the directory that is given, or else of `DOCKER_CERT_PATH`, or else of `~/.docker`.
    /// All three must be there and look like what they should be.
    ///
    /// # Errors
    /// `Refused` when there is none of them: nothing is said without TLS. Otherwise what is wrong
    /// with the file.
    pub(super) fn find(given: Option<&str>) -> Result<Pem> {
        let by_env = || std::env::var_os("DOCKER_CERT_PATH").filter(|path| !path.is_empty());
        let own = || std::env::home_dir().map(|home| home.join(".docker"));
        let path = given.map(PathBuf::from).or_else(|| by_env().map(PathBuf::from)).or_else(own);
        let path = path.ok_or_else(|| no_certificates("there is no home directory"))?;
        Pem::of(&path)
    }

    fn of(path: &Path) -> Result<Pem> {
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| path.join(name));
        if ![&ca, &cert, &key].into_iter().any(|path| path.exists()) {
            let why = format!("{} has no ca.pem, cert.pem and key.pem", path.display());
            return Err(no_certificates(&why));
        }
        for (path, what) in [(&ca, "CERTIFICATE"), (&cert, "CERTIFICATE"), (&key, "PRIVATE KEY")] {
            let reading = || format!("read {}", path.display());
            let bytes = std::fs::read(path).map_err(|why| Error::io(reading(), &why))?;
            let text = String::from_utf8_lossy(&bytes);
            let is_begun = |line: &str| line.starts_with("-----BEGIN ") && line.contains(what);
            if !text.lines().any(is_begun) {
                return Err(Error::new(Kind::BadInput, reading())
                    .why(format_args!("it holds no {} in PEM form", what.to_lowercase())));
            }
            if text.contains("ENCRYPTED") {
                return Err(Error::new(Kind::BadInput, reading())
                    .why("the key is encrypted, and nobody is asked for a passphrase"));
            }
        }
        Ok(Pem { ca, cert, key })
    }
}

fn no_certificates(why: &str) -> Error {
    Error::new(Kind::Refused, "no certificates for TLS").why(why).remedy(
        "name their directory in the host's \"tls\", or say --insecure to do without encryption",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_must_be_there_and_be_what_they_should_be() {
        let path = std::env::temp_dir().join(format!("lp-pem-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let put = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        let kind = || Pem::of(&path).unwrap_err().kind();
        assert_eq!(kind(), Kind::Refused);
        put("ca.pem", "-----BEGIN CERTIFICATE-----\n");
        assert_eq!(kind(), Kind::NotFound);
        put("cert.pem", "subject=x\n-----BEGIN CERTIFICATE-----\n");
        put("key.pem", "-----BEGIN CERTIFICATE-----\n");
        assert_eq!(kind(), Kind::BadInput);
        put("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
        assert!(Pem::of(&path).unwrap_err().to_string().contains("encrypted"));
        put("key.pem", "-----BEGIN EC PRIVATE KEY-----\n");
        assert_eq!(Pem::of(&path).unwrap().key, path.join("key.pem"));
        std::fs::remove_dir_all(&path).unwrap();
    }
}
