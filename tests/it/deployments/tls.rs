//! A server that takes only connections by TLS, with an authority of its own.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use haechi_store_redis::{Builder, redis::Endpoint};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::{ClientTlsConfig, TlsCertificates};
use redis_sim::server_process::RedisServer;

use crate::support::{event, raw, run};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Else it would have the name of the certificates that it issues.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for 127.0.0.1, and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let issued = params.signed_by(&key, &self.0).unwrap();
        (issued.pem(), key.serialize_pem())
    }

    /// What a client of it needs.
    fn certificates(&self) -> TlsCertificates {
        let (cert, key) = self.issue();
        TlsCertificates {
            client_tls: Some(ClientTlsConfig {
                client_cert: cert.into_bytes(),
                client_key: key.into_bytes(),
            }),
            root_cert: Some(self.0.pem().into_bytes()),
        }
    }

    /// Writes what a server of it needs.
    fn write(&self, directory: &Path) {
        let (cert, key) = self.issue();
        for (name, text) in [("ca", self.0.pem()), ("cert", cert), ("key", key)] {
            fs::write(directory.join(name), text).unwrap();
        }
    }
}

fn start(directory: &Path) -> (RedisServer, u16) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let file = |name| directory.join(name).to_string_lossy().into_owned();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let tls_port = port.to_string();
    let args = [
        "--tls-port",
        &tls_port,
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    (RedisServer::start_with(&args).unwrap(), port)
}

/// Would catch a panic of the TLS library for want of a provider of cryptography, an
/// authority that is not checked, and certificates that are read only once.
#[tokio::test]
async fn certificates_are_checked_and_can_change() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    first.write(directory.path());
    let (server, port) = start(directory.path());
    let endpoint: Endpoint = format!("rediss://127.0.0.1:{port}").parse().unwrap();

    // Those of the system do not know this authority.
    let short = Builder::new().deadline(Duration::from_millis(500));
    let sink = short.open_audit(endpoint.clone()).await.unwrap();
    let refused = sink.record(event("refused")).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");

    let current = Arc::new(Mutex::new(first.certificates()));
    let asked = current.clone();
    let endpoint = endpoint.certificates(move || Ok(asked.lock().unwrap().clone()));
    let sink = Builder::new().open_audit(endpoint).await.unwrap();
    sink.record(event("first")).await.unwrap();

    // A new authority for both sides, and a new connection.
    let renewed = tempfile::tempdir().unwrap();
    second.write(renewed.path());
    *current.lock().unwrap() = second.certificates();
    let mut commands = raw(&server).await;
    let file = |name| renewed.path().join(name).to_string_lossy().into_owned();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let set = format!("CONFIG SET tls-ca-cert-file {ca} tls-cert-file {cert} tls-key-file {key}");
    run(&mut commands, &set).await;
    run(&mut commands, "CLIENT KILL TYPE normal").await;
    sink.record(event("second")).await.unwrap();
}

/// Would catch options of the program that are not used, and a file that cannot be read
/// and is told as an outage.
#[cfg(feature = "cli")]
#[test]
fn the_program_reads_certificates_from_files() {
    use crate::cli::{program, run};

    let directory = tempfile::tempdir().unwrap();
    Authority::new().write(directory.path());
    let (_server, port) = start(directory.path());
    let file = |name| directory.path().join(name).to_string_lossy().into_owned();
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let ready = |options: &[&str]| {
        let url = format!("rediss://127.0.0.1:{port}");
        let words = [&["ready", "--deadline", "2", "--redis", &url], options].concat();
        run(program(&words), b"")
    };
    let all = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    ready(&all).exits(0);
    // The server asks for a certificate of the client.
    ready(&all[..2]).exits(1);
    let missing = ready(&["--tls-ca", "/nowhere"]).exits(2);
    assert!(
        missing.stderr.contains("/nowhere cannot be read"),
        "{missing:#?}"
    );
}
