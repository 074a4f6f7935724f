//! What a process has seen outlives it, so that it finds the rollback.

use haechi_store_redis::{Builder, SeenFile};

use super::{Snapshot, close, is_rolled_back, record, sink};
use crate::support::{client, event, server, store, verified};

/// Would catch a rollback that a restarted process does not notice, and a file
/// that is behind when the sink is closed.
#[tokio::test]
async fn what_was_seen_outlives_the_process() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let before = sink(&server).await;
    record(&before, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = open().open_audit(client(&server)).await.unwrap();
    record(&seen, 2).await;
    close(seen).await;
    snapshot.restore().await;
    record(&sink(&server).await, 4).await;

    let restarted = open().open_audit(client(&server)).await.unwrap();
    assert!(is_rolled_back(&restarted.record(event("late")).await));
    close(restarted).await;
    let reader = Builder::new().audit_store(client(&server));
    assert!(open().check_seen(&reader).await.is_err());
    // Without the file nothing tells of it.
    record(&sink(&server).await, 1).await;
    assert_eq!(verified(&store(&server)).await.len(), 8);
}

/// Would catch a process that only reads, whose file does not follow what it has
/// read.
#[tokio::test]
async fn who_only_reads_has_seen_it_too() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let reader = Builder::new().audit_store(client(&server));
    let look = async || {
        let file = SeenFile::open(&path).unwrap();
        Builder::new().seen_file(file).check_seen(&reader).await
    };
    record(&sink(&server).await, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    record(&sink(&server).await, 1).await;
    look().await.unwrap();
    record(&sink(&server).await, 1).await;
    look().await.unwrap();
    snapshot.restore().await;
    assert!(look().await.is_err());
    assert!(look().await.is_err());
}

/// Would catch a seen file whose rollback is not noticed because a higher position is
/// given, too: from another chain that has regrown.
#[tokio::test]
async fn a_higher_position_does_not_hide_the_file() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let mut snapshot = Snapshot::take(&server).await;
    let first = open().open_audit(client(&server)).await.unwrap();
    record(&first, 5).await;
    close(first).await;
    snapshot.restore().await;
    let head = record(&sink(&server).await, 9).await[8];
    let again = open().seen(head).open_audit(client(&server)).await.unwrap();
    assert!(is_rolled_back(&again.record(event("late")).await));
    close(again).await;
    let reader = Builder::new().audit_store(client(&server));
    assert!(open().seen(head).check_seen(&reader).await.is_err());
    // Nor does it overwrite what the file holds.
    assert!(open().check_seen(&reader).await.is_err());
}

/// Would catch a sink that takes over from another one and overwrites what that one saw last,
/// whose loss nobody finds then; and one whose own last records are not kept for that.
#[tokio::test]
async fn sinks_that_share_a_file_compare_what_the_others_have_seen() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let file = SeenFile::open(directory.path().join("seen.json")).unwrap();
    let open = async || {
        let builder = Builder::new().seen_file(file.clone());
        builder.open_audit(client(&server)).await.unwrap()
    };
    let (first, second) = (open().await, open().await);
    record(&first, 1).await;
    record(&second, 1).await;
    record(&first, 1).await;
    // The second one does not meet the third record as the chain's end.
    record(&sink(&server).await, 1).await;
    let last = record(&second, 1).await;
    close(second).await;
    assert_eq!(file.positions("haechi:audit:").last(), last.last());

    let second = open().await;
    record(&second, 1).await;
    let mut snapshot = Snapshot::take(&server).await;
    record(&first, 2).await;
    close(first).await;
    snapshot.restore().await;
    assert!(is_rolled_back(&second.record(event("late")).await));
    close(second).await;
    assert!(is_rolled_back(&open().await.record(event("late")).await));
}
