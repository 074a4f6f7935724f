//! Following a chain on redis-server.

use std::time::Duration;

use haechi_store_redis::{
    Builder,
    audit::{Follow, FollowError, store::AuditStore},
    chain::{Sequence, StoredRecord},
};
use redis_sim::server_process::RedisServer;

use crate::support::{client, event, raw, run, server, store};

async fn append(server: &RedisServer, count: usize) {
    let sink = Builder::new().open_audit(client(server)).await.unwrap();
    let ends: Vec<_> = (0..count).map(|_| sink.record(event("e"))).collect();
    for end in ends {
        end.await.unwrap();
    }
    sink.close(Duration::from_secs(60)).await;
}

/// The sequences of all pages up to an empty one.
async fn read<S: AuditStore>(follow: &mut Follow<'_, S>) -> Vec<u64> {
    let mut sequences = Vec::new();
    loop {
        let page = follow.next().await.unwrap();
        assert!(page.len() <= 512, "the page is not bounded");
        if page.is_empty() {
            return sequences;
        }
        let sequence = |text: &Vec<u8>| StoredRecord::parse(text).unwrap().position.sequence.get();
        sequences.extend(page.iter().map(sequence));
    }
}

/// Would catch a record that is left out or read twice, also where pages meet.
#[tokio::test]
async fn every_record_is_read_once_and_in_order() {
    let server = server();
    let store = store(&server);
    let mut all = Follow::from(&store, Sequence::FIRST);
    assert!(read(&mut all).await.is_empty());
    append(&server, 1200).await;
    let mut new = Follow::from_head(&store).await.unwrap();
    let mut later = Follow::from(&store, Sequence::new(1202).unwrap());
    assert!(read(&mut all).await.into_iter().eq(1..=1200));
    assert!(read(&mut new).await.is_empty() && read(&mut later).await.is_empty());
    append(&server, 3).await;
    assert_eq!(read(&mut all).await, [1201, 1202, 1203]);
    assert_eq!(read(&mut new).await, [1201, 1202, 1203]);
    assert_eq!(read(&mut later).await, [1202, 1203]);
}

/// Would catch a rollback that is only seen in a lower head, or in none: the
/// chain is empty, shorter, and regrown.
#[tokio::test]
async fn a_rollback_of_what_was_read_is_an_error() {
    for regrown in [0, 2, 5] {
        let server = server();
        let store = store(&server);
        append(&server, 3).await;
        let mut readers = [
            Follow::from(&store, Sequence::FIRST),
            Follow::from_head(&store).await.unwrap(),
        ];
        read(&mut readers[0]).await;
        run(&mut raw(&server).await, "FLUSHALL").await;
        append(&server, regrown).await;
        for reader in &mut readers {
            let error = reader.next().await.unwrap_err();
            assert!(
                matches!(&error, FollowError::RolledBack(lost) if lost.seen.sequence.get() == 3),
                "{regrown}: {error:?}"
            );
            assert!(error.to_string().contains("sequence 3 "), "{error}");
        }
    }
}

/// Would catch records that are passed over, or an endless wait for them.
#[tokio::test]
async fn what_was_trimmed_or_replaced_before_it_was_read_is_an_error() {
    let server = server();
    let store = store(&server);
    append(&server, 5).await;
    let mut commands = raw(&server).await;
    let mut reader = Follow::from(&store, Sequence::new(3).unwrap());
    run(&mut commands, "LSET haechi:audit:chain 3 {}").await;
    assert_eq!(reader.next().await.unwrap().len(), 1);
    let error = reader.next().await.unwrap_err();
    assert!(matches!(error, FollowError::Unlinked(4)), "{error:?}");
    run(&mut commands, "LTRIM haechi:audit:chain 4 -1").await;
    let error = reader.next().await.unwrap_err();
    let trimmed = FollowError::Trimmed { next: 4, first: 5 };
    assert_eq!(error.to_string(), trimmed.to_string());
}
