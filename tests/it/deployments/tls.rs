//! A server that takes only connections by TLS, with an authority of its own.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use haechi_store_redis::{
    Builder,
    redis::{Credentials, Endpoint},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use redis::{ClientTlsConfig, TlsCertificates, aio::MultiplexedConnection};
use redis_sim::server_process::RedisServer;

use super::{sentinel::fail_over, writers::pause};
use crate::{
    refusals::rules,
    support::{ask, event, raw, replicate, run},
};

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

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What a server that listens on this port with these certificates is configured with.
fn configuration(directory: &Path, port: u16) -> [(&'static str, String); 4] {
    let file = |name| directory.join(name).to_string_lossy().into_owned();
    [
        ("tls-port", port.to_string()),
        ("tls-ca-cert-file", file("ca")),
        ("tls-cert-file", file("cert")),
        ("tls-key-file", file("key")),
    ]
}

fn start(directory: &Path, more: &[&str]) -> (RedisServer, u16) {
    let port = free_port();
    let configuration =
        configuration(directory, port).map(|(name, value)| [format!("--{name}"), value]);
    let args = configuration.as_flattened().iter().map(String::as_str);
    let args: Vec<&str> = args.chain(more.iter().copied()).collect();
    (RedisServer::start_with(&args).unwrap(), port)
}

/// Would catch a panic of the TLS library for want of a provider of cryptography, an
/// authority that is not checked, and certificates that are read only once.
#[tokio::test]
async fn certificates_are_checked_and_can_change() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (Authority::new(), Authority::new());
    first.write(directory.path());
    let (server, port) = start(directory.path(), &[]);
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

/// A connection of the user whom a server gives all rights.
async fn admin(server: &RedisServer, user: &str) -> MultiplexedConnection {
    let url = format!("redis://{user}@127.0.0.1:{}", server.port());
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Would catch a Sentinel that is asked without TLS or as the user of the data nodes, and a
/// new primary to which either is missing.
#[tokio::test]
async fn sentinels_and_data_nodes_may_have_users_and_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.write(directory.path());
    let of_data = [
        "--tls-replication",
        "yes",
        "--requirepass",
        "all",
        "--masterauth",
        "all",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let (primary, port) = start(directory.path(), &of_data);
    let to_port = port.to_string();
    let to_primary = ["--replicaof", "127.0.0.1", &to_port];
    let of_replica = [&of_data[..], &to_primary].concat();
    let (replica, replica_port) = start(directory.path(), &of_replica);
    let [chain, vault, _] = rules();
    for server in [&primary, &replica] {
        let user = format!("ACL SETUSER app reset on >pass {chain} {vault}");
        run(&mut admin(server, ":all").await, &user).await;
    }
    let sentinel_port = free_port();
    let tls = configuration(directory.path(), sentinel_port);
    let tls = tls
        .map(|(name, value)| format!("{name} {value}\n"))
        .concat();
    let configuration = format!(
        "{tls}tls-replication yes\n\
         sentinel monitor m 127.0.0.1 {port} 1\n\
         sentinel auth-pass m all\n\
         user default off\n\
         user all on >all ~* &* +@all\n\
         user asks on >other -@all +sentinel|master +sentinel|get-master-addr-by-name\n"
    );
    let sentinel = RedisServer::start_sentinel(&configuration).unwrap();
    let url = format!("rediss+sentinel://app:pass@127.0.0.1:{sentinel_port}/m");
    let certificates = authority.certificates();
    let endpoint: Endpoint = url.parse().unwrap();
    let endpoint = endpoint
        .certificates(move || Ok(certificates.clone()))
        .sentinel_credentials(|| Credentials {
            username: Some("asks".to_owned()),
            password: Some("other".to_owned()),
        });
    let append = async |name| {
        let sink = Builder::new().open_audit(endpoint.clone()).await.unwrap();
        sink.record(event(name)).await.unwrap();
    };
    append("before").await;
    replicate(&mut admin(&primary, ":all").await, "replicated").await;
    let mut commands = admin(&sentinel, "all:all").await;
    let knows = async |commands: &mut _| -> String { ask(commands, "INFO sentinel").await };
    while !knows(&mut commands).await.contains("slaves=1") {
        pause().await;
    }
    fail_over(&mut commands).await;
    let named = async |commands: &mut _| -> (String, u16) {
        ask(commands, "SENTINEL GET-MASTER-ADDR-BY-NAME m").await
    };
    while named(&mut commands).await.1 != replica_port {
        pause().await;
    }
    append("after").await;
    let mut promoted = admin(&replica, ":all").await;
    assert_eq!(
        ask::<usize>(&mut promoted, "LLEN haechi:audit:chain").await,
        2
    );
}

/// Would catch options of the program that are not used, and a file that cannot be read
/// and is told as an outage.
#[cfg(feature = "cli")]
#[test]
fn the_program_reads_certificates_from_files() {
    use crate::cli::{program, run};

    let directory = tempfile::tempdir().unwrap();
    Authority::new().write(directory.path());
    let (_server, port) = start(directory.path(), &[]);
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
