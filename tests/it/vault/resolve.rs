//! What became of mutations, found out by a process that did not make them.

use std::time::{Duration, UNIX_EPOCH};

use haechi_store_redis::{
    Builder, NotApplied,
    audit::{IfOpen, Resolution, ResolveError},
    redis::RedisVaultStore,
    test_util::{AutoClock, Fault, Faults, Hooked, MemoryVault, VaultModel},
    vault::{
        MutateError, MutationId, ReceiptHandle, TokenStore, VaultConfig, Version, View, resolve,
        store::{Applied, Fate, Observed, ReceiptPosition, ReceiptSeq, ServerTime},
    },
};
use redis_sim::server_process::RedisServer;

use super::{add, token, tokens};
use crate::support::{client, raw, run, server};

/// Finds out, over a connection of its own.
async fn ask_for(
    server: &RedisServer,
    handle: &ReceiptHandle,
    if_open: IfOpen,
) -> Result<Resolution<Version>, ResolveError> {
    let handle: ReceiptHandle = handle.to_string().parse().unwrap();
    Builder::new()
        .resolve_mutation(client(server), &handle, if_open)
        .await
}

async fn look(server: &RedisServer, handle: &ReceiptHandle) -> Resolution<Version> {
    ask_for(server, handle, IfOpen::Leave).await.unwrap()
}

async fn settle(server: &RedisServer, handle: &ReceiptHandle) -> Resolution<Version> {
    ask_for(server, handle, IfOpen::Settle).await.unwrap()
}

/// Counts one by another process.
async fn count(server: &RedisServer) {
    let add = |view: &mut View| add(view, 1);
    let counted = tokens(server).transaction([token("counter")], add).await;
    counted.unwrap();
}

fn hasty(server: &RedisServer, faults: &Faults) -> TokenStore<Hooked<RedisVaultStore, Faults>> {
    let mut config = VaultConfig::default();
    // On a busy machine the attempt is to be sent before three quarters of it.
    config.deadline = Duration::from_secs(1);
    let builder = Builder::new().vault_config(config);
    builder.token_store(Hooked::new(
        builder.vault_store(client(server)),
        faults.clone(),
    ))
}

/// A process whose one attempt has this fault, and which then loses its connection.
async fn lost(server: &RedisServer, faults: &Faults, whole_vault: bool) -> ReceiptHandle {
    let store = hasty(server, faults);
    let add = |view: &mut View| {
        if whole_vault {
            let _ = view.entries().len();
        }
        add(view, 10);
    };
    let ended = match whole_vault {
        true => store.mutate(add).await,
        false => store.transaction([token("counter")], add).await,
    };
    match ended {
        Err(MutateError::Unknown { handle, .. }) => *handle,
        other => panic!("unknown was expected: {other:?}"),
    }
}

/// Would catch a tombstone that a resolution writes to a Redis which evicts it: a late
/// attempt would be applied after "not applied". To look is allowed.
#[tokio::test]
async fn an_evicting_redis_settles_nothing() {
    let server = server();
    count(&server).await;
    let faults = Faults::new([Fault::None, Fault::Late], Fault::RequestLost);
    let handle = lost(&server, &faults, false).await;
    let mut commands = raw(&server).await;
    run(&mut commands, "CONFIG SET maxmemory-policy allkeys-lru").await;
    assert_eq!(look(&server, &handle).await, Resolution::Open);
    match ask_for(&server, &handle, IfOpen::Settle).await {
        Err(ResolveError::Unavailable(cause)) => {
            assert!(cause.to_string().contains("allkeys-lru"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(look(&server, &handle).await, Resolution::Open);
    run(&mut commands, "CONFIG SET maxmemory-policy noeviction").await;
    assert_eq!(settle(&server, &handle).await, Resolution::NotApplied);
}

/// Would catch a wrong answer in any of the three cases, for a mutation of some tokens
/// and for one of the whole vault, whose receipt is there before it is applied.
#[tokio::test]
async fn each_case_is_told_by_another_process() {
    for whole_vault in [false, true] {
        for case in ["applied", "open", "settled"] {
            let server = server();
            count(&server).await;
            let fault = match case {
                "applied" => Fault::ReplyLost,
                _ => Fault::Late,
            };
            let faults = Faults::new([Fault::None, fault], Fault::RequestLost);
            let handle = lost(&server, &faults, whole_vault).await;
            let applied = Resolution::Applied(Version::new(2));
            match case {
                "applied" => {
                    count(&server).await;
                    assert_eq!(look(&server, &handle).await, applied);
                    assert_eq!(settle(&server, &handle).await, applied);
                    continue;
                }
                "open" => assert_eq!(look(&server, &handle).await, Resolution::Open),
                _ => assert_eq!(settle(&server, &handle).await, Resolution::NotApplied),
            }
            let late = faults.deliver_attempt(tokens(&server).store()).await;
            let late = late.unwrap().unwrap();
            match (case, late) {
                ("open", Applied::Committed { .. }) => {
                    assert_eq!(look(&server, &handle).await, applied);
                }
                ("settled", Applied::Settled(Fate::Dropped)) => {
                    assert_eq!(look(&server, &handle).await, Resolution::NotApplied);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Would catch a vault that was rolled back, and has grown since, taken for one in
/// which the mutation is still open.
#[tokio::test]
async fn a_vault_that_was_rolled_back_answers_nothing() {
    let server = server();
    count(&server).await;
    let faults = Faults::new([Fault::None, Fault::ReplyLost], Fault::RequestLost);
    let handle = lost(&server, &faults, false).await;
    run(&mut raw(&server).await, "FLUSHALL").await;
    for _ in 0..4 {
        for if_open in [IfOpen::Leave, IfOpen::Settle] {
            let resolved = ask_for(&server, &handle, if_open).await;
            assert!(
                matches!(resolved, Err(ResolveError::VaultRolledBack { .. })),
                "{resolved:?}"
            );
        }
        count(&server).await;
    }
}

/// Would catch a ticket under which nothing can be found, and a mutation that is
/// applied though its ticket was settled.
#[tokio::test]
async fn a_ticket_names_the_mutation() {
    let server = server();
    let store = tokens(&server);
    let [used, unused] = [store.ticket().await.unwrap(), store.ticket().await.unwrap()];
    assert_eq!(look(&server, &used).await, Resolution::Open);
    let add = |view: &mut View| add(view, 1);
    let done = store.transaction_as(&used, [token("counter")], add).await;
    let applied = Resolution::Applied(done.unwrap().version.unwrap());
    assert_eq!(look(&server, &used).await, applied);
    assert_eq!(settle(&server, &unused).await, Resolution::NotApplied);
    let again = store.transaction_as(&used, [token("counter")], add).await;
    assert_eq!(
        Resolution::Applied(again.unwrap().version.unwrap()),
        applied
    );
    let refused = store.transaction_as(&unused, [token("counter")], add).await;
    assert!(
        matches!(
            refused,
            Err(MutateError::NotApplied(NotApplied::Refused(_)))
        ),
        "{refused:?}"
    );
    let version = tokens(&server).read(|view| view.version()).await.unwrap();
    assert_eq!(Resolution::Applied(version), applied);
}

/// Would catch "still open" or "not applied" said of a mutation whose receipt may have gone.
#[test]
fn an_expired_receipt_answers_nothing() {
    let clock = AutoClock::default();
    let memory = MemoryVault::over(VaultModel::keeping(2));
    let handle = ReceiptHandle {
        mutation: MutationId::from_bytes([7; 16]),
        begun: ReceiptSeq::new(0),
        version: Version::default(),
        newest: None,
    };
    let ask = |if_open| {
        let deadline = Duration::from_secs(1);
        let entropy = haechi_store_redis::entropy::SystemEntropy;
        let asking = async { resolve(&memory, &clock, &entropy, deadline, &handle, if_open).await };
        clock.run(asking).unwrap()
    };
    assert_eq!(ask(IfOpen::Leave).unwrap(), Resolution::Open);
    for number in 0..3 {
        let other = MutationId::from_bytes([number; 16]);
        memory.with(|vault| {
            let begun = vault.next_receipt();
            vault.settle(other, begun, &Observed::default()).unwrap();
        });
    }
    for if_open in [IfOpen::Leave, IfOpen::Settle] {
        let resolved = ask(if_open);
        assert!(
            matches!(resolved, Err(ResolveError::ReceiptExpired)),
            "{resolved:?}"
        );
    }
}

/// Would catch a handle that loses a part in its text form.
#[test]
fn only_a_receipts_handle_parses_as_one() {
    for newest in [
        None,
        Some(ReceiptPosition {
            mutation: MutationId::from_bytes([2; 16]),
            seq: ReceiptSeq::new(8),
            written: ServerTime::new(UNIX_EPOCH + Duration::from_micros(1_764_500_000_000_003)),
        }),
    ] {
        let handle = ReceiptHandle {
            mutation: MutationId::from_bytes([1; 16]),
            begun: ReceiptSeq::new(9),
            version: Version::new(7),
            newest,
        };
        let text = handle.to_string();
        assert_eq!(text.parse(), Ok(handle));
        for wrong in [
            format!("{text}."),
            format!(".{text}"),
            text.replace('9', "-9"),
        ] {
            assert!(wrong.parse::<ReceiptHandle>().is_err(), "{wrong}");
        }
    }
}
