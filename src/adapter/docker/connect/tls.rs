//! The certificates that an engine at `tcp://` is known by, and those that it knows us by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Kind, Result};

/// The files for TLS, as Docker names them.
#[derive(Debug)]
pub(super) struct Pem {
    /// The authorities that vouch for the engine; no other does.
    ca: PemFile,
    /// Who we are.
    cert: PemFile,
    /// The proof of it.
    key: PemFile,
}

#[derive(Debug)]
struct PemFile {
    path: PathBuf,
    bytes: Vec<u8>,
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
        Ok(Pem {
            ca: PemFile::read(ca, "CERTIFICATE")?,
            cert: PemFile::read(cert, "CERTIFICATE")?,
            key: PemFile::read(key, "PRIVATE KEY")?,
        })
    }

    /// What speaks TLS to an engine that one of the authorities in `ca.pem` vouches for, whomever
    /// this machine trusts otherwise.
    ///
    /// # Errors
    /// `BadInput` when a file does not hold what it should.
    pub(super) fn connector(&self) -> Result<TlsConnector> {
        let mut authorities = RootCertStore::empty();
        let (added, _) = authorities.add_parsable_certificates(self.ca.certificates()?);
        if added == 0 {
            return Err(self.ca.wrong("its certificate cannot be read"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key.bytes)
            .map_err(|why| self.key.wrong(&why.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| Error::new(Kind::Bug, "set up TLS").why(why))?
            .with_root_certificates(authorities)
            .with_client_auth_cert(self.cert.certificates()?, key)
            .map_err(|why| self.key.wrong(&format!("it does not fit cert.pem: {why}")))?;
        // One engine is spoken to with it.
        config.resumption = Resumption::in_memory_sessions(1);
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

impl PemFile {
    fn read(path: PathBuf, what: &str) -> Result<PemFile> {
        let bytes = std::fs::read(&path)
            .map_err(|why| Error::io(format_args!("read {}", path.display()), &why))?;
        let text = String::from_utf8_lossy(&bytes);
        let is_begun = |line: &str| line.starts_with("-----BEGIN ") && line.contains(what);
        let (is_there, is_closed) = (text.lines().any(is_begun), text.contains("ENCRYPTED"));
        drop(text);
        let file = PemFile { path, bytes };
        match (is_there, is_closed) {
            (false, _) => {
                Err(file.wrong(&format!("it holds no {} in PEM form", what.to_lowercase())))
            }
            (_, true) => {
                Err(file.wrong("the key is encrypted, and nobody is asked for a passphrase"))
            }
            _ => Ok(file),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<std::result::Result<_, _>>()
            .map_err(|why| self.wrong(&why.to_string()))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::new(Kind::BadInput, format_args!("read {}", self.path.display())).why(why)
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
        let pem = Pem::of(&path).unwrap();
        assert_eq!(pem.key.path, path.join("key.pem"));
        let told = pem.connector().err().unwrap();
        assert!(told.kind() == Kind::BadInput && told.to_string().contains("ca.pem"), "{told}");
        std::fs::remove_dir_all(&path).unwrap();
    }
}
