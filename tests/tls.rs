//! Engines at `tcp://`: whom TLS lets in, on both sides.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// Authorities `site` and `other`, what they signed, and the directories of clients.
///
/// The times are `faketime`'s: what has expired was made in the past.
const MAKE: &str = r#"
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=$1" -keyout "$1-ca.key" -out "$1-ca.pem"
}
certificate() { # AUTHORITY NAME EXTENSIONS [WORDS...]
    local by=$1 name=$2 extensions=$3
    shift 3
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$name.key" -out "$name.request"
    printf '%b\n' "$extensions" >extensions
    "$@" openssl x509 -req -in "$name.request" -CA "$by-ca.pem" -CAkey "$by-ca.key" \
        -CAcreateserial -days 30 -extfile extensions -out "$name.pem"
}
client() { # DIRECTORY AUTHORITY NAME
    mkdir "$1"
    cp "$2-ca.pem" "$1/ca.pem"
    cp "$3.pem" "$1/cert.pem"
    cp "$3.key" "$1/key.pem"
}
authority site
authority other
here='subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth'
certificate site engine "$here"
certificate other foreign "$here"
certificate site elsewhere 'subjectAltName=DNS:elsewhere.example\nextendedKeyUsage=serverAuth'
certificate site expired "$here" faketime '2020-01-01'
certificate site early "$here" faketime '2099-01-01'
certificate site client extendedKeyUsage=clientAuth
certificate other stranger extendedKeyUsage=clientAuth
certificate site late extendedKeyUsage=clientAuth faketime '2020-01-01'
client right site client
client unknown site stranger
client late site late
client mixed site client
cp stranger.key mixed/key.pem
client empty site client
printf '%s\n' '-----BEGIN CERTIFICATE-----' AAAA '-----END CERTIFICATE-----' >empty/ca.pem
"#;

/// A directory of keys and certificates, gone when this is.
struct Keys(PathBuf);

impl Keys {
    /// None without the programs that make them.
    fn or_skip(test: &str) -> Option<Keys> {
        let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if let Some(missing) = ["openssl", "faketime"].into_iter().find(|name| !is_there(name)) {
            let line = format!("skipped: {test}: needs {missing}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        }
        let dir = std::env::temp_dir().join(format!("lpt-tls-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let keys = Keys(dir);
        let made = Command::new("bash").args(["-euc", MAKE]).current_dir(&keys.0).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(keys)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// An engine that shows the certificate of that name, and lets in whom `site` vouches for; where
    /// it listens.
    fn engine(&self, name: &str) -> String {
        let mut site = RootCertStore::empty();
        site.add(CertificateDer::from_pem_file(self.path("site-ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(site), provider.clone());
        let chain = vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = config.clone();
                std::thread::spawn(move || answer(stream, config));
            }
        });
        url
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers one request after another, as an engine without containers does.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Option<()> {
    let tls = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    loop {
        let mut request = String::new();
        stream.read_line(&mut request).ok().filter(|read| *read > 0)?;
        let mut header = String::new();
        while stream.read_line(&mut header).ok()? > 2 {
            header.clear();
        }
        let path = request.split([' ', '?']).nth(1)?;
        let body = match path {
            "/version" => json!({"Version": "20.10.24", "ApiVersion": "1.41"}),
            "/containers/json" => json!([]),
            _ => json!({}),
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

/// What is said of the host, and its exit status: nothing is said when it is as it should be.
fn listed(url: &str, tls: &Path, trusted: &Path) -> (Value, String, Option<i32>) {
    let file = tls.with_extension("hosts");
    fs::write(&file, json!({"kind": "host", "id": "h", "url": url, "tls": tls}).to_string())
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_docker-cccf"))
        .arg("--hosts")
        .arg(&file)
        .env("SSL_CERT_FILE", trusted)
        .output()
        .unwrap();
    let record = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (record, String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn the_site_s_own_authority_and_no_other_vouches_for_an_engine() {
    let name = "the_site_s_own_authority_and_no_other_vouches_for_an_engine";
    let Some(keys) = Keys::or_skip(name) else { return };
    // This machine trusts the other authority for everything else.
    let trusted = keys.path("other-ca.pem");
    let ask = |engine: &str, client: &str| {
        let url = if engine.contains("://") { engine.to_owned() } else { keys.engine(engine) };
        listed(&url, &keys.path(client), &trusted)
    };
    let (record, told, status) = ask("engine", "right");
    assert_eq!((&record["kind"], status), (&json!("checkpoint"), Some(0)), "{told}");
    assert_eq!(told, "");

    let named = keys.engine("engine").replace("127.0.0.1", "localhost");
    let theirs = "the engine's certificate cannot be trusted";
    let ours = "the engine does not accept our certificate";
    for (engine, client, said, code) in [
        ("foreign", "right", format!("{theirs}: it is of no authority in ca.pem"), 1),
        ("elsewhere", "right", format!("{theirs}: it is for another host"), 1),
        (&*named, "right", format!("{theirs}: it is for another host"), 1),
        ("expired", "right", format!("{theirs}: it has expired"), 1),
        ("early", "right", format!("{theirs}: it is not valid yet"), 1),
        ("engine", "unknown", ours.to_owned(), 77),
        ("engine", "late", ours.to_owned(), 77),
        ("engine", "mixed", "key.pem: it does not fit cert.pem".to_owned(), 65),
        ("engine", "empty", "ca.pem: its certificate cannot be read".to_owned(), 65),
        ("engine", "nowhere", "no certificates for TLS".to_owned(), 1),
    ] {
        let (record, told, status) = ask(engine, client);
        assert!(told.contains(&said), "{engine} {client}: {told}");
        assert_eq!((record, status), (Value::Null, Some(code)), "{engine} {client}: {told}");
    }
    fs::remove_file(keys.path("right/cert.pem")).unwrap();
    let (_, told, _) = ask("engine", "right");
    assert!(told.contains("cert.pem: no such file"), "{told}");
}
