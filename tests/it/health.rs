//! What a sink and a vault say of their health.

use std::time::Duration;

use haechi_store_redis::{
    Builder, Health,
    redis::NotReady,
    vault::{Stored, TokenId, View},
};

use crate::support::{ask, client, event, raw, run, server};

fn builder() -> Builder {
    Builder::new().deadline(Duration::from_secs(3))
}

/// Would catch a health that stays "serving" while every call fails, "waiting" after
/// Redis is back, or a rollback that is taken for an outage.
#[tokio::test]
async fn health_follows_what_the_calls_meet() {
    let mut server = server();
    let sink = builder().open_audit(client(&server)).await.unwrap();
    let tokens = builder().token_store(builder().vault_store(client(&server)));
    let token = TokenId::new(&format!("tok_email_{:032x}", 1)).unwrap();
    let set = async || {
        let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
        let done = tokens.transaction([token.clone()], write).await;
        done.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(sink.health(), Health::Serving);
    sink.record(event("1")).await.unwrap();
    set().await.unwrap();
    assert_eq!(
        (sink.health(), tokens.health()),
        (Health::Serving, Health::Serving)
    );

    server.kill().unwrap();
    sink.record(event("2")).await.unwrap_err();
    set().await.unwrap_err();
    for health in [sink.health(), tokens.health()] {
        let Health::Waiting { cause, .. } = &health else {
            panic!("{health:?}");
        };
        assert!(cause.to_string().contains("Redis"), "{cause}");
    }

    // It comes up empty.
    server.restart().unwrap();
    let refuses = |health: &Health| match health {
        Health::Refusing { reason, .. } => {
            assert!(reason.contains("rolled back"), "{reason}");
            true
        }
        _ => false,
    };
    // On a busy machine the first may end at its deadline.
    let mut left = 10;
    while !refuses(&sink.health()) || !refuses(&tokens.health()) {
        assert!(left > 0, "{:?} {:?}", sink.health(), tokens.health());
        left -= 1;
        sink.record(event("3")).await.unwrap_err();
        set().await.unwrap_err();
    }

    sink.close(Duration::from_secs(1)).await;
    assert_eq!(sink.health(), Health::Closed);
}

/// Would catch a probe that says ready although the next call would be refused, and one
/// that stays refused, since without calls nobody looks again.
#[tokio::test]
async fn a_probe_finds_a_rollback_and_its_end() {
    let server = server();
    let store = builder().audit_store(client(&server));
    let sink = builder().open_audit(client(&server)).await.unwrap();
    let tokens = builder().token_store(builder().vault_store(client(&server)));
    let token = TokenId::new(&format!("tok_email_{:032x}", 1)).unwrap();
    let probes = async || {
        let (chain, vault) = tokio::join!(store.ready_with(&sink), tokens.ready());
        (chain.faults, vault.faults)
    };
    sink.record(event("1")).await.unwrap();
    let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
    tokens.transaction([token.clone()], write).await.unwrap();
    assert_eq!(probes().await, (vec![], vec![]));

    let mut commands = raw(&server).await;
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    for key in ask::<Vec<String>>(&mut commands, "KEYS *").await {
        let dump = ask(&mut commands, &format!("DUMP {key}")).await;
        kept.push((key, dump));
    }
    run(&mut commands, "FLUSHALL").await;
    let (chain, vault) = probes().await;
    for faults in [chain, vault] {
        let [(NotReady::Refusing, cause)] = &faults[..] else {
            panic!("{faults:?}");
        };
        assert!(cause.to_string().contains("rolled back"), "{cause}");
    }
    // An operator restores what was lost.
    for (key, dump) in kept {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(key).arg(0).arg(dump);
        restore.exec_async(&mut commands).await.unwrap();
    }
    assert_eq!(probes().await, (vec![], vec![]));

    sink.close(Duration::from_secs(1)).await;
    let closed = store.ready_with(&sink).await.faults;
    assert!(
        matches!(closed[..], [(NotReady::Refusing, _)]),
        "{closed:?}"
    );
}

/// Would catch a refusal of Redis that is told as an outage, which passes by itself.
#[tokio::test]
async fn a_missing_permission_is_a_refusal() {
    let server = server();
    let sink = builder().open_audit(client(&server)).await.unwrap();
    sink.record(event("1")).await.unwrap();
    let mut commands = raw(&server).await;
    run(&mut commands, "ACL SETUSER default -evalsha").await;
    sink.record(event("2")).await.unwrap_err();
    let Health::Refusing { reason, .. } = sink.health() else {
        panic!("{:?}", sink.health());
    };
    assert!(reason.contains("NOPERM"), "{reason}");
    run(&mut commands, "ACL SETUSER default +evalsha").await;
    sink.record(event("3")).await.unwrap();
    assert!(sink.health().is_serving());
}
