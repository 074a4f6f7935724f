//! An address that leads to a replica of Redis that lags, and back: a service
//! name, or a proxy. Nothing that the replica says is believed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, Builder, NotApplied, audit::AuditConfig, vault::TokenId, vault::VaultConfig,
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::support::{ask, client, event, raw, replicate, run, server, store, verified};

/// Forwards connections to a port that can be changed, which cuts them.
pub(crate) struct Forwarder {
    url: String,
    port: Arc<AtomicU16>,
    cut: watch::Sender<()>,
}

impl Forwarder {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (cut, cuts) = watch::channel(());
        let port = Arc::new(AtomicU16::new(port));
        let to = port.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = ("127.0.0.1", to.load(Ordering::SeqCst));
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { url, port, cut }
    }

    pub(crate) fn lead_to(&self, server: &RedisServer) {
        self.lead_to_port(server.port());
    }

    /// Leads to another port, and cuts the connections.
    pub(crate) fn lead_to_port(&self, port: u16) {
        self.port.store(port, Ordering::SeqCst);
        self.cut.send(()).unwrap();
    }

    pub(crate) fn client(&self) -> redis::Client {
        redis::Client::open(self.url.as_str()).unwrap()
    }
}

/// A replica of `primary`, with all its data.
pub(crate) async fn replica_of(primary: &RedisServer) -> (RedisServer, MultiplexedConnection) {
    let mut of_primary = raw(primary).await;
    run(&mut of_primary, "CONFIG SET repl-diskless-sync-delay 0").await;
    let replica = primary.start_alike().unwrap();
    let mut commands = raw(&replica).await;
    run(
        &mut commands,
        &format!("REPLICAOF 127.0.0.1 {}", primary.port()),
    )
    .await;
    while !ask::<String>(&mut commands, "INFO replication")
        .await
        .contains("master_link_status:up")
    {
        tokio::task::yield_now().await;
    }
    replicate(&mut of_primary, "replicated").await;
    (replica, commands)
}

/// Lets the replica get nothing more: its primary is nowhere.
async fn cut_off(replica: &mut MultiplexedConnection) {
    run(replica, "REPLICAOF 127.0.0.1 1").await;
}

/// Would catch a conflict or a tail that a replica answers, and that is taken
/// for a rollback: every later append would be refused on the intact primary.
#[tokio::test]
async fn a_lagging_replica_makes_no_rollback_of_the_chain() {
    let primary = server();
    let forwarder = Forwarder::start(primary.port()).await;
    let mut config = AuditConfig::default();
    // Three quarters are longer than the longest wait between two attempts: the
    // next event may have to wait for its end.
    config.deadline = Duration::from_secs(1);
    let builder = Builder::new().audit_config(config);
    let sink = builder.open_audit(forwarder.client()).await.unwrap();
    sink.record(event("replicated")).await.unwrap();
    let (replica, mut commands) = replica_of(&primary).await;
    cut_off(&mut commands).await;
    let last = sink.record(event("not replicated")).await.unwrap();

    forwarder.lead_to(&replica);
    for id in ["on the connection that was cut", "to the replica"] {
        match sink.record(event(id)).await {
            Err(AppendError::NotApplied(NotApplied::Deadline(_)) | AppendError::Unknown { .. }) => {
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    forwarder.lead_to(&primary);
    let next = sink.record(event("back")).await.unwrap();
    assert!(next.position.sequence > last.position.sequence);
    verified(&store(&primary)).await;
}

/// The same for the vault; and a reader that is new shows nothing old.
#[tokio::test]
async fn a_lagging_replica_makes_no_rollback_of_the_vault() {
    let primary = server();
    let forwarder = Forwarder::start(primary.port()).await;
    let mut config = VaultConfig::default();
    config.deadline = Duration::from_millis(400);
    let open = || {
        let builder = Builder::new().vault_config(config.clone());
        builder.token_store(builder.vault_store(forwarder.client()))
    };
    let token = TokenId::new("t1").unwrap();
    let tokens = open();
    let set = |value: &str| {
        let (token, value) = (token.clone(), value.to_owned());
        move |view: &mut haechi_store_redis::vault::View| view.set(&token, value.as_str())
    };
    tokens.transaction([token.clone()], set("1")).await.unwrap();
    let (replica, mut commands) = replica_of(&primary).await;
    cut_off(&mut commands).await;
    tokens.transaction([token.clone()], set("2")).await.unwrap();

    forwarder.lead_to(&replica);
    let error = tokens
        .transaction([token.clone()], set("3"))
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let fresh = open();
    let read = fresh.read_tokens(std::slice::from_ref(&token)).await;
    assert!(read.unwrap_err().is_retryable());
    forwarder.lead_to(&primary);
    tokens.transaction([token.clone()], set("4")).await.unwrap();
}

/// Would catch a check that refuses what a primary without room answers: how an
/// append ended could no longer be read there.
#[tokio::test]
async fn a_full_primary_is_no_replica() {
    let primary = server();
    let sink = Builder::new().open_audit(client(&primary)).await.unwrap();
    sink.record(event("before")).await.unwrap();
    let mut commands = raw(&primary).await;
    run(&mut commands, "CONFIG SET maxmemory 1").await;
    let records = verified(&store(&primary)).await;
    assert_eq!(records.len(), 1);
}
