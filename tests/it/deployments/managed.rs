//! Redis as a service: commands that are denied, renamed or absent, a proxy that drops
//! connections which nobody uses, and Sentinels with users.

use std::time::Duration;

use haechi_store_redis::{
    Builder,
    audit::{
        Follow, Pages,
        store::{AuditStore, RepairStore},
    },
    clock::{Clock, SystemClock},
    redis::{Credentials, Endpoint, Eviction, Timeouts},
    vault::{Stored, TokenId, View},
};
use redis_sim::server_process::RedisServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    refusals::{rules, user},
    support::{event, server, verified},
};

fn set(token: &TokenId) -> impl Fn(&mut View) + Clone + Send + Sync + 'static {
    let token = token.clone();
    move |view| view.set(&token, Stored::from(b"{}".to_vec()))
}

/// Chain and vault are ready and take a write; what the server evicts is not known.
async fn serves(url: &str) {
    let endpoint = || url.parse::<Endpoint>().unwrap();
    let builder = Builder::new().deadline(Duration::from_secs(5));
    let (chain, vault) = (
        builder.audit_store(endpoint()),
        builder.vault_store(endpoint()),
    );
    for readiness in [chain.ready().await, vault.ready().await] {
        assert!(readiness.is_ready(), "{readiness:?}");
        assert_eq!(readiness.eviction, Eviction::Unknown);
    }
    let tokens = builder.token_store(vault);
    let token = TokenId::new("t").unwrap();
    tokens
        .transaction([token.clone()], set(&token))
        .await
        .unwrap();
    let sink = builder.open_audit(endpoint()).await.unwrap();
    sink.record(event("e")).await.unwrap();
}

/// Would catch a store that does not start, or is not ready, because it cannot ask what
/// services do not answer.
#[tokio::test]
async fn info_and_config_may_be_denied() {
    let server = server();
    let [chain, vault, _] = rules();
    let rule = format!("{chain} {vault} -info -config");
    serves(&user(&server, &rule).await).await;
}

/// The same, where the commands do not exist.
#[tokio::test]
async fn info_and_config_may_be_renamed() {
    let mut args = Vec::new();
    for command in ["CONFIG", "INFO", "FLUSHALL", "FLUSHDB", "KEYS", "DEBUG"] {
        args.extend(["--rename-command", command, ""]);
    }
    let server = RedisServer::start_with(&args).unwrap();
    serves(&server.url()).await;
}

/// Would catch a command that the store cannot do without, and whose absence is told as
/// an outage, or as an unknown outcome.
#[tokio::test]
async fn a_renamed_command_that_is_needed_is_named() {
    for command in ["SCRIPT", "EVALSHA"] {
        let renamed = ["--rename-command", command, "other"];
        let server = RedisServer::start_with(&renamed).unwrap();
        let endpoint: Endpoint = server.url().parse().unwrap();
        let builder = Builder::new().deadline(Duration::from_secs(5));
        let sink = builder.open_audit(endpoint).await.unwrap();
        let error = sink.record(event("e")).await.unwrap_err().to_string();
        let named = format!("not applied: ERR unknown command '{command}'");
        assert!(error.starts_with(&named), "{error}");
    }
}

/// What a proxy does with a connection that nobody has used for a while.
#[derive(Clone, Copy, Debug)]
enum Idle {
    Close,
    /// As a firewall that has forgotten it: nothing arrives, and nobody is told.
    Forget,
}

/// After which time without a byte.
const IDLE: Duration = Duration::from_millis(200);

/// A proxy before `server`; its address.
async fn proxy(server: &RedisServer, idle: Idle) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let port = server.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                forward(client, server, idle).await;
            });
        }
    });
    url
}

async fn forward(mut client: TcpStream, mut server: TcpStream, idle: Idle) {
    let clock = SystemClock::new();
    let (mut of_client, mut of_server) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let sent = tokio::select! {
            Ok(length @ 1..) = client.read(&mut of_client) => {
                server.write_all(&of_client[..length]).await
            }
            Ok(length @ 1..) = server.read(&mut of_server) => {
                client.write_all(&of_server[..length]).await
            }
            () = clock.sleep(IDLE) => break,
            else => return,
        };
        if sent.is_err() {
            return;
        }
    }
    if let Idle::Forget = idle {
        while let Ok(1..) = client.read(&mut of_client).await {}
    }
}

/// Would catch a connection that was closed while nothing was under way, and fails the
/// next call: of any kind.
#[tokio::test]
async fn an_idle_connection_may_be_cut() {
    for idle in [Idle::Close, Idle::Forget] {
        let server = server();
        let url = proxy(&server, idle).await;
        let endpoint: Endpoint = url.parse().unwrap();
        // A connection that nothing comes back from is found out by this.
        let mut timeouts = Timeouts::default();
        timeouts.reply = Duration::from_millis(500);
        let builder = || Builder::new().timeouts(timeouts);
        let wait = || async { SystemClock::new().sleep(IDLE + IDLE / 2).await };
        let times = match idle {
            Idle::Close => 13,
            Idle::Forget => 3,
        };
        let mut calls = JoinSet::new();
        let sink = builder().open_audit(endpoint.clone()).await.unwrap();
        calls.spawn(async move {
            for number in 0..times {
                sink.record(event(&number.to_string())).await.unwrap();
                wait().await;
            }
        });
        let tokens = builder().token_store(builder().vault_store(endpoint.clone()));
        calls.spawn(async move {
            for number in 0..times {
                let token = TokenId::new(&number.to_string()).unwrap();
                let reads = [token.clone()];
                tokens.transaction(reads, set(&token)).await.unwrap();
                wait().await;
            }
        });
        let tokens = builder().token_store(builder().vault_store(endpoint.clone()));
        calls.spawn(async move {
            for _ in 0..times {
                tokens.read(|view| view.entries().len()).await.unwrap();
                wait().await;
            }
        });
        let (chain, vault) = (
            builder().audit_store(endpoint.clone()),
            builder().vault_store(endpoint.clone()),
        );
        let read_from = endpoint;
        calls.spawn(async move {
            for _ in 0..times {
                for readiness in [chain.ready().await, vault.ready().await] {
                    assert!(readiness.is_ready(), "{idle:?}: {readiness:?}");
                }
                verified(&chain).await;
                wait().await;
                chain.role().await.unwrap();
                wait().await;
                chain.state().await.unwrap();
                wait().await;
            }
        });
        let chain = builder().audit_store(read_from.clone());
        calls.spawn(async move {
            for _ in 0..times {
                let mut follow = Follow::from_head(&chain).await.unwrap();
                wait().await;
                follow.next().await.unwrap();
                let (mut pages, _) = Pages::open(&chain).await.unwrap();
                wait().await;
                pages.next().await.unwrap();
                wait().await;
            }
        });
        let reader = builder().audit_store(read_from).into_reader();
        calls.spawn(async move {
            for _ in 0..times {
                reader.tail(None).await.unwrap();
                wait().await;
                reader.read(0, 1).await.unwrap();
                wait().await;
            }
        });
        while let Some(ended) = calls.join_next().await {
            ended.unwrap();
        }
        let store = builder().audit_store(crate::support::client(&server));
        assert_eq!(verified(&store).await.len(), times);
    }
}

/// Would catch credentials of Sentinels that are not used, and a refusal that does not say
/// what is missing.
#[tokio::test]
async fn a_sentinel_may_need_a_user() {
    let primary = server();
    let configuration = format!(
        "sentinel monitor m 127.0.0.1 {} 1\n\
         user default off\n\
         user app on >pass -@all +sentinel|master +sentinel|get-master-addr-by-name\n\
         user other on >pass -@all +ping\n",
        primary.port()
    );
    let sentinel = RedisServer::start_sentinel(&configuration).unwrap();
    let url = format!("redis+sentinel://127.0.0.1:{}/m", sentinel.port());
    let append = async |username: &'static str, password: &'static str| {
        let endpoint: Endpoint = url.parse().unwrap();
        let endpoint = endpoint.sentinel_credentials(|| Credentials {
            username: Some(username.to_owned()),
            password: Some(password.to_owned()),
        });
        let builder = Builder::new().deadline(Duration::from_secs(1));
        let sink = builder.open_audit(endpoint).await.unwrap();
        let appended = sink.record(event("e")).await;
        appended.map_err(|error| error.to_string())
    };
    append("app", "pass").await.unwrap();
    let wrong = append("app", "wrong-one").await.unwrap_err();
    assert!(
        wrong.contains("password") && !wrong.contains("wrong-one"),
        "{wrong}"
    );
    let denied = append("other", "pass").await.unwrap_err();
    assert!(denied.contains("sentinel|master"), "{denied}");
}
