//! A server before 7.0, simulated as 6.2: a script cannot ask for its permissions before it
//! writes, and what it raises is told within another error.

use std::time::Duration;

use haechi_store_redis::{
    AppendError, Builder, Corrupt, NotApplied,
    audit::{Evidence, Examination, Repair},
    clock::SystemClock,
    entropy::SystemEntropy,
    vault::{MutateError, View},
};
use redis_sim::{Config, ServerKind, tcp::TcpServer};

use crate::{
    support::{ask, event, verified},
    vault::token,
};

fn server() -> TcpServer {
    let mut config = Config::wall_clock();
    config.kind = ServerKind::Redis62;
    TcpServer::start(config).unwrap()
}

fn client(server: &TcpServer) -> redis::Client {
    redis::Client::open(server.url()).unwrap()
}

fn builder() -> Builder {
    Builder::new().deadline(Duration::from_secs(2))
}

/// Would catch a refusal that is told as unknown, and a connection to a replica that is
/// kept.
#[tokio::test]
async fn a_refusal_before_the_first_write_is_definite() {
    let server = server();
    let sink = builder().open_audit(client(&server)).await.unwrap();
    let tokens = builder().token_store(builder().vault_store(client(&server)));
    let set = |view: &mut View| view.set(&token("a"), "1");
    sink.record(event("before")).await.unwrap();
    tokens.transaction([], set).await.unwrap();
    for refuse in [
        |server: &TcpServer, is_on| server.redis().modes().readonly = is_on,
        |server: &TcpServer, is_on| server.redis().modes().oom = is_on,
    ] {
        refuse(&server, true);
        let refused = sink.record(event("refused")).await;
        let is_definite = matches!(
            refused,
            Err(AppendError::NotApplied(NotApplied::Deadline(_)))
        );
        assert!(is_definite, "{refused:?}");
        let refused = tokens.transaction([], set).await;
        let is_definite = matches!(
            refused,
            Err(MutateError::NotApplied(NotApplied::Deadline(_)))
        );
        assert!(is_definite, "{refused:?}");
        refuse(&server, false);
        sink.record(event("after")).await.unwrap();
        tokens.transaction([], set).await.unwrap();
    }
    verified(&builder().audit_store(client(&server))).await;
}

/// Would catch "not applied" for a script that a missing permission stopped half-way, and a
/// chain that goes on, or cannot be repaired, after that.
#[tokio::test]
async fn a_missing_permission_can_leave_a_record_without_a_head() {
    let server = server();
    let store = builder().audit_store(client(&server));
    let sink = builder().open_audit(client(&server)).await.unwrap();
    sink.record(event("before")).await.unwrap();
    let deny = |command: &str| server.redis().modes().denied.insert(command.to_owned());
    deny("set");
    let stopped = sink.record(event("stopped")).await;
    let Err(AppendError::Unknown { .. } | AppendError::Corrupt(Corrupt::Diverged { .. })) = stopped
    else {
        panic!("{stopped:?}");
    };
    server.redis().modes().denied.clear();
    let refused = sink.record(event("refused")).await;
    assert!(
        matches!(refused, Err(AppendError::Corrupt(Corrupt::Diverged { .. }))),
        "{refused:?}"
    );
    let examined = Repair::examine(&store, &Evidence::default()).await;
    let Ok(Examination::Diverged(repair)) = examined else {
        panic!("{examined:?}");
    };
    let (clock, deadline) = (SystemClock::new(), Duration::from_secs(10));
    let repaired = repair.carry_out(&store, &clock, &SystemEntropy, deadline);
    repaired.await.unwrap();
    sink.record(event("after")).await.unwrap();
    // Before, stopped, the repair, after.
    assert_eq!(verified(&store).await.len(), 4);
}

/// What docs/deployment.md warns of: permissions that are missing one by one leave half of
/// a mutation, whatever is told of it.
#[tokio::test]
async fn a_missing_permission_can_leave_half_of_a_mutation() {
    let server = server();
    let tokens = builder().token_store(builder().vault_store(client(&server)));
    let set = |view: &mut View| view.set(&token("a"), "1");
    server.redis().modes().denied.insert("incr".to_owned());
    let stopped = tokens.transaction([], set).await;
    assert!(stopped.is_err(), "{stopped:?}");
    let mut commands = client(&server)
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let left: Vec<String> = ask(&mut commands, "KEYS *").await;
    assert_eq!(
        left,
        ["haechi:tv:receipts", "haechi:tv:tokens"],
        "no version"
    );
}
