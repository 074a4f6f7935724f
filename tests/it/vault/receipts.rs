//! Lost replies, late copies and rollbacks, on redis-server.

use std::time::Duration;

use haechi_store_redis::{
    Builder, Corrupt, ReadError,
    vault::{
        MutateError, MutationId, View,
        store::{Applied, Attempt, Fate, Fence, Load, Observed, ReceiptSeq, VaultStore},
    },
};

use super::{add, diff, token, tokens};
use crate::support::{ask, client, cutting_proxy, raw, run, server};

/// Would catch increments that are lost or counted twice when replies are lost:
/// comparing values is not enough, since values recur.
#[tokio::test]
async fn counters_behind_a_proxy_that_loses_replies_count_exactly() {
    let server = server();
    let (url, cut) = cutting_proxy(&server, 3).await;
    let proxied = redis::Client::open(url).unwrap();
    let mut tasks = Vec::new();
    let stores: Vec<_> = (0..4)
        .map(|_| {
            let builder = Builder::new();
            builder.token_store(builder.vault_store(proxied.clone()))
        })
        .collect();
    for store in &stores {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut net = 0_i64;
            for round in 0..25_i64 {
                // Up and down again, so that values recur.
                let step = if round % 3 == 2 { -1 } else { 1 };
                let add = |view: &mut View| add(view, step);
                store.transaction([token("counter")], add).await.unwrap();
                net += step;
            }
            net
        }));
    }
    let mut net = 0;
    for task in tasks {
        net += task.await.unwrap();
    }
    let counted = tokens(&server)
        .read(|view| (view.get(&token("counter")).unwrap(), view.version()))
        .await
        .unwrap();
    assert_eq!(counted.0.bytes(), net.to_string().as_bytes());
    assert_eq!(counted.1.get(), 100);
    let mut stats = haechi_store_redis::vault::VaultStats::default();
    stores.iter().for_each(|store| stats.add(store.stats()));
    println!(
        "100 mutations, replies cut {}, lost replies seen {}, settled by receipt {}, conflicts {}",
        cut.load(std::sync::atomic::Ordering::Relaxed),
        stats.lost_replies,
        stats.settled_by_receipt,
        stats.value_conflicts
    );
    assert!(stats.settled_by_receipt > 0);
}

/// Would catch a late copy that is applied after its receipt was dropped,
/// receipts that grow without limit, and receipts dropped too early.
#[tokio::test]
async fn a_copy_without_its_receipt_is_refused() {
    let server = server();
    // The receipts are kept by their number alone.
    let builder = Builder::new().deadline(Duration::ZERO);
    let store = builder.vault_store(client(&server));
    let nothing_read = std::collections::BTreeMap::new();
    let change = diff(&[("a", Some("1"))]);
    let attempt = |number: u64, begun: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Attempt {
            begun: ReceiptSeq::new(begun),
            ..super::attempt(id, &nothing_read, &change)
        }
    };
    let observed = Observed::default();
    for number in 0..10_001 {
        let applied = store.apply(&attempt(number, number), &observed).await;
        assert!(matches!(applied.unwrap(), Applied::Committed { .. }));
    }
    let oldest_kept = store.apply(&attempt(1, 1), &observed).await.unwrap();
    assert!(
        matches!(oldest_kept, Applied::Settled(_)),
        "{oldest_kept:?}"
    );
    let outlived = store.apply(&attempt(0, 0), &observed).await.unwrap();
    assert_eq!(outlived, Applied::ReceiptExpired);
    let settled = store
        .settle(attempt(0, 0).mutation, ReceiptSeq::new(0), &observed)
        .await;
    assert_eq!(settled.unwrap(), None);
    let kept: u64 = ask(&mut raw(&server).await, "HLEN haechi:tv:receipts").await;
    assert_eq!(
        kept,
        10_000 + 10_000 + 5,
        "receipts, their mutations, #next, #last, #own, #kept and #span"
    );
}

/// Would catch receipts of a mutation that still runs and are gone, since others are
/// many in little time, those of replicas with shorter deadlines among them; receipts that
/// are believed to be kept beside scripts that keep fewer; and, once the server's clock was
/// set back, receipts that are kept until it has caught up.
#[tokio::test]
async fn a_receipt_is_kept_for_the_longest_deadline() {
    let server = server();
    let mut connection = raw(&server).await;
    run(&mut connection, "HSET haechi:tv:receipts #kept 8").await;
    let store = Builder::new().vault_store(client(&server));
    let hasty = Builder::new().deadline(Duration::ZERO);
    let hasty = hasty.vault_store(client(&server));
    let nothing_read = std::collections::BTreeMap::new();
    let change = diff(&[("a", Some("1"))]);
    let attempt = |number: u8| Attempt {
        begun: ReceiptSeq::new(number.into()),
        ..super::attempt([number; 16], &nothing_read, &change)
    };
    let observed = Observed::default();
    for number in 0..100 {
        let store = if number == 0 { &store } else { &hasty };
        let applied = store.apply(&attempt(number), &observed).await;
        assert!(matches!(applied.unwrap(), Applied::Committed { .. }));
    }
    let second_copy = store.apply(&attempt(0), &observed).await.unwrap();
    assert!(
        matches!(second_copy, Applied::Settled(_)),
        "{second_copy:?}"
    );

    for mark in 0..100_u8 {
        let id = attempt(mark).mutation;
        let mut later = redis::cmd("HSET");
        later.arg("haechi:tv:receipts").arg(format!("#{mark}"));
        later.arg(format!("{id} 99999999999999"));
        later.exec_async(&mut connection).await.unwrap();
    }
    for number in 100..125 {
        let applied = store.apply(&attempt(number), &observed).await;
        assert!(matches!(applied.unwrap(), Applied::Committed { .. }));
    }
    let gone = store.apply(&attempt(90), &observed).await.unwrap();
    assert_eq!(gone, Applied::ReceiptExpired);
    let kept = store.apply(&attempt(101), &observed).await.unwrap();
    assert!(matches!(kept, Applied::Settled(_)), "{kept:?}");

    // Scripts of before have written a receipt.
    run(&mut connection, "HSET haechi:tv:receipts #next 126").await;
    let unsure = store.apply(&attempt(101), &observed).await.unwrap();
    assert_eq!(unsure, Applied::Settled(fate_of(&kept)));
    run(
        &mut connection,
        &format!("HDEL haechi:tv:receipts {}", attempt(101).mutation),
    )
    .await;
    let unsure = store.apply(&attempt(101), &observed).await.unwrap();
    assert_eq!(unsure, Applied::ReceiptExpired);
}

/// Would catch the place of a receipt that was written again, taken for an old one: a
/// mutation that began before it would be unknown.
#[tokio::test]
async fn a_receipt_that_is_written_again_keeps_those_after_it() {
    let server = server();
    let mut connection = raw(&server).await;
    run(&mut connection, "HSET haechi:tv:receipts #kept 2").await;
    let store = Builder::new().vault_store(client(&server));
    let nothing_read = std::collections::BTreeMap::new();
    let change = diff(&[("a", Some("1"))]);
    let attempt = |number: u8| super::attempt([number; 16], &nothing_read, &change);
    let observed = Observed::default();

    let mut whole = attempt(1);
    let open = Load::All {
        intent: Some(whole.mutation),
    };
    let opened = store.load(open, &observed).await.unwrap();
    whole.fence = Fence::Snapshot(opened.version);
    for attempt in [whole, attempt(2), attempt(3), attempt(4), attempt(0)] {
        let applied = store.apply(&attempt, &observed).await.unwrap();
        assert!(matches!(applied, Applied::Committed { .. }), "{applied:?}");
    }
}

fn fate_of(applied: &Applied) -> Fate {
    match applied {
        Applied::Settled(fate) => *fate,
        other => panic!("{other:?}"),
    }
}

/// Would catch a rollback that is not detected: also when the version has grown
/// past the one observed, and when only foreign changes were lost; and one that
/// makes what is left unreadable.
#[tokio::test]
async fn a_rolled_back_vault_is_refused() {
    let server = server();
    let builder = Builder::new();
    let mut connection = raw(&server).await;
    for (name, tampering) in [
        ("lower", &["SET haechi:tv:version 1"][..]),
        (
            "regrown",
            &["DEL haechi:tv:receipts", "SET haechi:tv:version 50"],
        ),
        ("flushed", &["FLUSHALL"]),
    ] {
        run(&mut connection, "FLUSHALL").await;
        let store = builder.token_store(builder.vault_store(client(&server)));
        for value in ["1", "2"] {
            let set = |view: &mut View| view.set(&token("a"), value);
            store.transaction([], set).await.unwrap();
        }
        for words in tampering {
            run(&mut connection, words).await;
        }
        let read = store.read_tokens(&[token("a")]).await;
        assert!(
            matches!(
                read,
                Err(ReadError::Corrupt(Corrupt::VaultRolledBack { seen: 2, .. }))
            ),
            "{name}: {read:?}"
        );
        let set = |view: &mut View| view.set(&token("a"), "3");
        let refused = store.transaction([], set).await.unwrap_err();
        assert!(
            matches!(
                refused,
                MutateError::Corrupt(Corrupt::VaultRolledBack { .. })
            ),
            "{name}: {refused:?}"
        );
        // From then on it is read as it is.
        let read = store.read_tokens(&[token("a")]).await;
        assert!(
            !matches!(
                read,
                Err(ReadError::Corrupt(Corrupt::VaultRolledBack { .. }))
            ),
            "{name}: {read:?}"
        );
    }
}

/// Would catch a rollback to the open receipt of a mutation, taken for that of its end.
#[tokio::test]
async fn a_rollback_to_an_open_receipt_is_detected() {
    let server = server();
    let builder = Builder::new();
    let mut connection = raw(&server).await;
    let store = builder.token_store(builder.vault_store(client(&server)));
    let set = |view: &mut View| view.set(&token("a"), "1");
    store.mutate(set).await.unwrap();
    let last: String = ask(&mut connection, "HGET haechi:tv:receipts #last").await;
    let slot: String = ask(&mut connection, "HGET haechi:tv:receipts #1").await;
    // When this one goes, the mutation's receipt stays, which has another number now.
    let opened: String = ask(&mut connection, "HGET haechi:tv:receipts #0").await;
    assert!(opened.starts_with('~'), "{opened}");
    let (last, _) = last.split_once(' ').unwrap();
    let other = slot.replace(last, "AAAAAAAAAAAAAAAAAAAAAA");
    // The open receipt was the first; another mutation followed the loss.
    let open = ["haechi:tv:receipts", last, "open 0 0", "#1", &other];
    let _: i64 = redis::cmd("HSET")
        .arg(&open)
        .query_async(&mut connection)
        .await
        .unwrap();
    run(&mut connection, "SET haechi:tv:version 50").await;
    let read = store.read_tokens(&[token("a")]).await;
    assert!(
        matches!(
            read,
            Err(ReadError::Corrupt(Corrupt::VaultRolledBack { .. }))
        ),
        "{read:?}"
    );
}

/// Would catch the slot of another mutation that is taken for a receipt's own, and one that is
/// marked as superseded twice, so that who had seen it reports a rollback.
#[tokio::test]
async fn damaged_slots_tell_nothing_wrong() {
    let server = server();
    let builder = Builder::new();
    let mut connection = raw(&server).await;
    let set = |view: &mut View| view.set(&token("a"), "1");
    let tokens = builder.token_store(builder.vault_store(client(&server)));
    tokens.mutate(set).await.unwrap();
    let last: String = ask(&mut connection, "HGET haechi:tv:receipts #last").await;
    let opened: String = ask(&mut connection, "HGET haechi:tv:receipts #0").await;
    let (mutation, written) = last.split_once(' ').unwrap();
    let mut put = async |field: &str, value: &str| {
        let put = redis::cmd("HSET")
            .arg(&["haechi:tv:receipts", field, value])
            .to_owned();
        put.exec_async(&mut connection).await.unwrap();
    };
    let store = builder.vault_store(client(&server));
    let settle = async || {
        let mutation = MutationId::parse(mutation).unwrap();
        let (begun, nothing) = (ReceiptSeq::new(0), Observed::default());
        store.settle(mutation, begun, &nothing).await.unwrap()
    };
    put("#1", &format!("AAAAAAAAAAAAAAAAAAAAAA {written}")).await;
    let ended = settle().await;
    assert!(
        matches!(ended, Some(Fate::Applied { receipt: None, .. })),
        "{ended:?}"
    );
    put(mutation, "open 0 0").await;
    assert_eq!(settle().await, Some(Fate::Dropped));
    let superseded: String = ask(&mut raw(&server).await, "HGET haechi:tv:receipts #0").await;
    assert_eq!(superseded, opened);
}

/// Would catch a stale mutation of the whole vault that is applied because the
/// version is the same again after a failover.
#[tokio::test]
async fn a_repeated_version_is_detected() {
    let server = server();
    let builder = Builder::new();
    let store = builder.vault_store(client(&server));
    let mut connection = raw(&server).await;
    run(&mut connection, "HSET haechi:tv:tokens a 1").await;
    run(&mut connection, "SET haechi:tv:version 7").await;
    let tokens = builder.token_store(store);
    let mut runs = 0;
    let server_url = server.url();
    let done = tokens
        .mutate(|view: &mut View| {
            runs += 1;
            let entries = view.entries();
            if runs == 1 {
                // Meanwhile: a rollback to before the mutation began, and new
                // mutations up to the same version with another content.
                let client = redis::Client::open(server_url.as_str()).unwrap();
                let mut connection = client.get_connection().unwrap();
                redis::pipe()
                    .del("haechi:tv:receipts")
                    .hset("haechi:tv:tokens", "a", "2")
                    .exec(&mut connection)
                    .unwrap();
            }
            let values = entries.iter().map(|(_, value)| value.bytes());
            let sum: u64 = values
                .map(|bytes| String::from_utf8_lossy(bytes).parse::<u64>().unwrap())
                .sum();
            view.set(&token("sum"), sum.to_string());
            sum
        })
        .await
        .unwrap();
    assert_eq!(done.output, 2, "the stale sum must not be written");
}

/// Would catch an unresponsive connection that stays in use because every
/// caller's deadline is before the reply's timeout.
#[tokio::test]
async fn an_unresponsive_connection_is_not_reused() {
    let server = server();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let upstream = format!("127.0.0.1:{}", server.port());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut theirs, _)) = listener.accept().await {
            if silent.is_empty() {
                silent.push(theirs);
                continue;
            }
            let upstream = upstream.clone();
            tokio::spawn(async move {
                let mut ours = tokio::net::TcpStream::connect(upstream).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut theirs, &mut ours).await;
            });
        }
    });
    let builder = Builder::new().deadline(Duration::from_millis(400));
    let store = builder.vault_store(redis::Client::open(url).unwrap());
    let store = builder.token_store(store);
    let set = |view: &mut View| view.set(&token("a"), "1");
    let first = store.transaction([], set).await;
    assert!(
        matches!(first, Err(MutateError::NotApplied(_))),
        "{first:?}"
    );
    store.transaction([], set).await.unwrap();
}
