//! Accepting a loss: what is lost, once, and no more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use haechi_store_redis::{
    AppendError, Builder, Corrupt, ResumeError, SeenFile, chain::AcceptedLoss, redis::Connect,
    vault::VaultPolicy,
};
use redis::{
    Cmd, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};

use super::{CHAIN, Keys, Snapshot, close, is_rolled_back, keys, range, record, sink};
use crate::support::{client, event, raw, server, store, verified};

/// Would catch a loss that is accepted though nothing was lost, or another one;
/// and a record that does not tell what was lost.
#[tokio::test]
async fn only_what_was_lost_is_accepted() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let resume = async |lost: &str| {
        let resumed = open().resume::<_, Keys>(client(&server), range(lost), None);
        resumed
            .await
            .map(|appended| appended.position.sequence.get())
    };
    assert!(matches!(
        resume("1..5").await,
        Err(ResumeError::NothingSeen)
    ));
    let first = open().open_audit(client(&server)).await.unwrap();
    record(&first, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    let lost = record(&first, 2).await;
    close(first).await;
    assert!(matches!(
        resume("4..5").await,
        Err(ResumeError::NothingLost(_))
    ));
    snapshot.restore().await;
    for (wrong, expected) in [
        ("4..4", "--accept 4..5"),
        // The range that is named is accepted, whatever was asked for.
        ("2..2", "--accept 4..5"),
        ("1..9", "--accept 4..5"),
        ("4..6", "--accept 4..5"),
        ("3..5", "--accept 4..5"),
        ("5..5", "--accept 4..5"),
    ] {
        let message = resume(wrong).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{wrong}: {message}");
    }
    assert_eq!(verified(&store(&server)).await.len(), 3);
    assert_eq!(resume("4..5").await.unwrap(), 4);
    let chain = redis::cmd("LINDEX")
        .arg("haechi:audit:chain")
        .arg(3)
        .to_owned();
    let text: Vec<u8> = chain.query_async(&mut raw(&server).await).await.unwrap();
    let accepted = AcceptedLoss::of_record(&text).unwrap();
    assert_eq!(accepted.loss.range, range("4..5"));
    assert_eq!(accepted.loss.head_hash, lost[1].event_hash);
    // The file begins with what stands.
    let again = open().open_audit(client(&server)).await.unwrap();
    assert_eq!(record(&again, 1).await[0].sequence.get(), 5);
}

/// Would catch the record of an earlier loss that is taken for the acceptance of a
/// later one, of the same sequences.
#[tokio::test]
async fn each_loss_is_accepted_by_itself() {
    let server = server();
    let keys = keys().await;
    let open = async || {
        let open = Builder::new().open(client(&server), keys.clone(), VaultPolicy::default());
        open.await.unwrap().0
    };
    let replica = open().await;
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 4).await[3];
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume(client(&server), range("3..6"), Some(keys.clone()));
    resumed.await.unwrap();
    let mut snapshot = Snapshot::take(&server).await;
    // One that goes on, and one that starts afterwards.
    let late = open().await;
    record(&replica, 1).await;
    record(&late, 1).await;
    record(&replica, 1).await;
    snapshot.restore().await;
    assert!(is_rolled_back(&replica.record(event("late")).await));
    assert!(is_rolled_back(&late.record(event("late")).await));
}

/// Restores a snapshot before the command with this number, counted from 0.
#[derive(Clone)]
struct LosesMore {
    client: redis::Client,
    left: Arc<AtomicUsize>,
    snapshot: Arc<Mutex<Option<Snapshot>>>,
}

#[derive(Clone)]
struct Losing(MultiplexedConnection, LosesMore);

impl Connect for LosesMore {
    type Connection = Losing;

    async fn connect(&self) -> RedisResult<Losing> {
        let connection = self.client.get_multiplexed_async_connection().await?;
        Ok(Losing(connection, self.clone()))
    }
}

impl ConnectionLike for Losing {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let is_due = self.1.left.fetch_sub(1, SeqCst) == 0;
            let snapshot = is_due.then(|| self.1.snapshot.lock().unwrap().take());
            if let Some(mut snapshot) = snapshot.flatten() {
                snapshot.restore().await;
            }
            self.0.req_packed_command(cmd).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Would catch a record that accepts less than is lost, because more was lost after it had
/// been looked at, before whichever command: a replica that had seen the rest would go on.
#[tokio::test]
async fn what_is_lost_meanwhile_is_not_accepted() {
    let mut ends = BTreeMap::new();
    for commands in 0.. {
        let server = server();
        let replica = sink(&server).await;
        record(&replica, 2).await;
        let earlier = Snapshot::named(&server, CHAIN, "earlier").await;
        record(&replica, 2).await;
        let mut later = Snapshot::take(&server).await;
        let seen = record(&replica, 2).await[1];
        later.restore().await;
        let snapshot = Arc::new(Mutex::new(Some(earlier)));
        let connect = LosesMore {
            client: client(&server),
            left: Arc::new(AtomicUsize::new(commands)),
            snapshot: snapshot.clone(),
        };
        let resume = async |lost: &str| {
            let resume = Builder::new().seen(seen);
            resume
                .resume::<_, Keys>(connect.clone(), range(lost), None)
                .await
        };
        let end = match resume("5..6").await {
            Err(ResumeError::NotTheFirst { .. }) => "looked at",
            Err(ResumeError::Append(AppendError::Corrupt(Corrupt::RolledBack(_)))) => "met",
            Ok(_) if snapshot.lock().unwrap().is_some() => break,
            other => panic!("{commands}: {other:?}"),
        };
        *ends.entry(end).or_insert(0) += 1;
        assert_eq!(verified(&store(&server)).await.len(), 2, "{commands}");
        let resumed = resume("3..6").await.unwrap();
        assert_eq!(resumed.position.sequence.get(), 3, "{commands}");
    }
    assert!(ends["looked at"] > 0 && ends["met"] > 1, "{ends:?}");
}

/// Would catch a process that knows of a lost record from two sources, compares one after the
/// other, goes on from its loss, and does not notice that all is lost meanwhile, before
/// whichever command.
#[tokio::test]
async fn what_is_lost_while_a_process_goes_on_is_told() {
    let mut told = 0;
    for commands in 0.. {
        let server = server();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.json");
        let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
        let empty = Arc::new(Mutex::new(Some(
            Snapshot::named(&server, CHAIN, "empty").await,
        )));
        let before = open().open_audit(client(&server)).await.unwrap();
        record(&before, 2).await;
        let mut snapshot = Snapshot::take(&server).await;
        let seen = record(&before, 2).await[1];
        close(before).await;
        snapshot.restore().await;
        let resume = Builder::new().seen(seen);
        let resumed = resume.resume::<_, Keys>(client(&server), range("3..4"), None);
        resumed.await.unwrap();
        let last = record(&sink(&server).await, 2).await[1];

        let connect = LosesMore {
            client: client(&server),
            left: Arc::new(AtomicUsize::new(commands)),
            snapshot: empty.clone(),
        };
        let again = open().seen(seen).accept(range("3..4"));
        let again = again.open_audit(connect).await.unwrap();
        match again.record(event("late")).await {
            // Lost after it was appended, if at all.
            Ok(end) => assert!(end.position.sequence > last.sequence, "{commands}: {end:?}"),
            end => assert!(is_rolled_back(&end), "{commands}: {end:?}"),
        }
        if empty.lock().unwrap().is_some() {
            break;
        }
        told += 1;
    }
    assert!(told > 5, "{told}");
}

/// Would catch a second loss that is taken for the first one, from whose record the process
/// went on, though it has seen what is gone since.
#[tokio::test]
async fn no_loss_is_accepted_twice() {
    let server = server();
    let keys = keys().await;
    let open = Builder::new().open(client(&server), keys.clone(), VaultPolicy::default());
    let replica = open.await.unwrap().0;
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 8).await[7];
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume(client(&server), range("3..10"), Some(keys.clone()));
    resumed.await.unwrap();
    let mut snapshot = Snapshot::take(&server).await;
    record(&replica, 4).await;
    snapshot.restore().await;
    assert!(is_rolled_back(&replica.record(event("late")).await));
}
