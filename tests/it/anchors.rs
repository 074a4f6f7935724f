//! Anchors: what the sink is given and when, and what callers are told of it.

use std::{
    io,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Cause, Corrupt, ReadError,
    audit::{
        AnchorSink, AnchorStatus, AuditConfig, AuditSink, FileAnchors, read_anchor_file,
        store::{AuditStore, Seen, Tail},
    },
    chain::{Anchor, Anchors, Event, Head, Position, Sequence},
    test_util::{AuditHooks, ChainModel, Hooked, MemoryChain},
};
use tempfile::TempDir;

use crate::support::event;

fn anchored(chain: &MemoryChain, sink: impl AnchorSink + 'static, every: u64) -> AuditSink {
    let every = NonZeroU64::new(every).unwrap();
    Builder::new()
        .anchors(sink, every)
        .audit_sink(chain.clone())
}

async fn append(sink: &AuditSink, count: usize) {
    for _ in 0..count {
        sink.record(event("e")).await.unwrap();
    }
}

async fn end(sink: AuditSink) {
    sink.close(Duration::from_secs(60)).await;
}

/// Appends `count` records without anchors.
async fn append_unanchored(chain: &MemoryChain, count: usize) {
    let sink = Builder::new().audit_sink(chain.clone());
    append(&sink, count).await;
    end(sink).await;
}

/// A file that anchors every record, and a chain of `anchored` records in it and then
/// `missing` ones.
async fn partly_anchored(anchored: usize, missing: usize) -> (TempDir, PathBuf, MemoryChain) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let chain = MemoryChain::new();
    let sink = self::anchored(&chain, FileAnchors::open(&path).unwrap(), 1);
    append(&sink, anchored).await;
    end(sink).await;
    append_unanchored(&chain, missing).await;
    (directory, path, chain)
}

/// The sequences in an anchor file, every one with its record's hash.
fn sequences(path: &Path, chain: &MemoryChain) -> Vec<u64> {
    let mut anchors = Anchors::new();
    read_anchor_file(path, &mut anchors).unwrap();
    assert_eq!(anchors.conflicts().count(), 0);
    let positions: Vec<_> =
        chain.with(|chain| chain.records().iter().map(|r| r.position()).collect());
    positions
        .into_iter()
        .filter(|at: &Position| anchors.get(at.sequence) == Some(at.event_hash))
        .map(|at| at.sequence.get())
        .collect()
}

/// Would catch records without anchors for ever: those that were appended while
/// no anchor file was given, and nothing is appended afterwards.
#[tokio::test]
async fn a_file_catches_up_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let chain = MemoryChain::new();
    append_unanchored(&chain, 2).await;
    let sink = anchored(&chain, FileAnchors::open(&path).unwrap(), 2);
    append(&sink, 3).await;
    end(sink).await;
    // Without a last anchor it starts at the next append.
    assert_eq!(sequences(&path, &chain), [4]);
    append_unanchored(&chain, 1_500).await;
    // A crash in the middle of a line.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{}", &text[..40])).unwrap();
    end(anchored(&chain, FileAnchors::open(&path).unwrap(), 2)).await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 752, "each is written once");
    let expected: Vec<u64> = (2..=752).map(|half| 2 * half).collect();
    assert_eq!(sequences(&path, &chain), expected);
}

/// Would catch a record that is attested although it does not follow from the
/// last anchor.
#[tokio::test]
async fn only_what_links_to_the_last_anchor_is_attested() {
    let (_directory, path, chain) = partly_anchored(1, 1).await;
    // As after the last record, but of another chain.
    let forged = Position {
        sequence: Sequence::new(2).unwrap(),
        event_hash: haechi_store_redis::chain::EventHash::from_bytes([7; 32]),
    };
    let forged = Event::from_json("{}")
        .unwrap()
        .seal(None, &Head::At(forged));
    chain.with(|chain| chain.append_unfenced(&[forged.unwrap()]));
    let sink = anchored(&chain, FileAnchors::open(&path).unwrap(), 1);
    let next = sink.record(event("next")).await.unwrap();
    assert_eq!(next.anchor, AnchorStatus::Written);
    assert_eq!(sink.stats().anchor_failures, 1);
    end(sink).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 4]);
}

/// For the anchors: the chain cannot be read, has lost its end, is trimmed; or, when it is
/// read next, loses its first record, or has other records in place of all but that; or has
/// others in place of all four, once it has so many.
#[derive(Clone, Default)]
struct Unlinked {
    unreadable: Arc<AtomicBool>,
    cut_short: Arc<AtomicBool>,
    trimmed: Arc<AtomicBool>,
    loses_first: Arc<AtomicBool>,
    replaced: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    lost_at_four: Arc<Mutex<Option<ChainModel>>>,
}

/// Other records, after the first `kept` ones.
fn replace(chain: &mut ChainModel, kept: usize) -> ChainModel {
    let lost = std::mem::take(chain);
    chain.append_unfenced(&lost.records()[..kept]);
    for _ in kept..lost.records().len() {
        let other = event("other").seal(None, &chain.head()).unwrap();
        chain.append_unfenced(&[other]);
    }
    lost
}

impl AuditHooks<MemoryChain> for Unlinked {
    async fn tail(&self, next: &MemoryChain, seen: Option<Position>) -> Result<Tail, AttemptError> {
        next.with(|chain| {
            let mut lost = self.lost_at_four.lock().unwrap();
            if lost.as_ref().is_some_and(|lost| lost.records().is_empty())
                && chain.records().len() == 4
            {
                *lost = Some(replace(chain, 0));
            }
        });
        let mut tail = next.tail(seen).await?;
        if self.trimmed.load(Ordering::SeqCst) {
            (tail.seen, tail.length) = (Seen::Trimmed, 1);
        }
        tail.length -= self.lost.load(Ordering::SeqCst);
        Ok(tail)
    }

    async fn read(
        &self,
        next: &MemoryChain,
        start: u64,
        end: u64,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        if self.unreadable.load(Ordering::SeqCst) {
            return Err(ReadError::Unavailable(Cause::new("busy")));
        }
        if self.cut_short.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        if self.replaced.swap(false, Ordering::SeqCst) {
            next.with(|chain| replace(chain, 1));
        }
        if self.loses_first.swap(false, Ordering::SeqCst) {
            self.lost.store(1, Ordering::SeqCst);
        }
        let lost = self.lost.load(Ordering::SeqCst);
        next.read(start + lost, end + lost).await
    }
}

/// A sink with that file, over a chain with these faults.
fn reopened(path: &Path, chain: &MemoryChain, unlinked: &Unlinked) -> AuditSink {
    Builder::new()
        .anchors(FileAnchors::open(path).unwrap(), NonZeroU64::MIN)
        .audit_sink(Hooked::new(chain.clone(), unlinked.clone()))
}

/// Would catch anchors that are given up, and not counted, because the server
/// that gave out the records lacked some that the end of the chain was read with.
#[tokio::test]
async fn earlier_anchors_are_not_given_up_when_the_records_end_early() {
    let (_directory, path, chain) = partly_anchored(1, 2).await;
    let unlinked = Unlinked::default();
    unlinked.cut_short.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    let unread = sink.record(event("unread")).await.unwrap();
    let why = "earlier anchors are missing: the chain became shorter while it was read";
    assert_eq!(unread.anchor, AnchorStatus::Missing(why.to_owned()));
    unlinked.cut_short.store(false, Ordering::SeqCst);
    append(&sink, 1).await;
    end(sink).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4, 5]);
}

/// Would catch anchors that are given up, for good, because the list was trimmed between
/// the look at its end and the read of its records.
#[tokio::test]
async fn earlier_anchors_are_not_given_up_when_the_list_moves() {
    let (_directory, path, chain) = partly_anchored(2, 2).await;
    let unlinked = Unlinked::default();
    unlinked.loses_first.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    append(&sink, 2).await;
    end(sink).await;
    assert_eq!(unlinked.lost.load(Ordering::SeqCst), 1);
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4, 5, 6]);
}

/// Would catch anchors of records that took the place of those that the process knows.
#[tokio::test]
async fn what_replaced_the_known_records_is_not_anchored() {
    let (_directory, path, chain) = partly_anchored(1, 2).await;
    let unlinked = Unlinked::default();
    unlinked.replaced.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    while sink.stats().anchor_failures == 0 {
        tokio::task::yield_now().await;
    }
    let lost = sink.record(event("refused")).await;
    assert!(
        matches!(lost, Err(AppendError::Corrupt(Corrupt::RolledBack(_)))),
        "{lost:?}"
    );
    end(sink).await;
    let anchors = std::fs::read_to_string(&path).unwrap();
    assert_eq!(anchors.lines().count(), 1, "{anchors}");
}

/// Would catch earlier anchors that are given up, for good, because the chain was lost, and
/// is restored later.
#[tokio::test]
async fn earlier_anchors_are_not_given_up_when_the_chain_is_lost() {
    let (_directory, path, chain) = partly_anchored(1, 2).await;
    let unlinked = Unlinked::default();
    unlinked.unreadable.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    while sink.stats().anchor_failures == 0 {
        tokio::task::yield_now().await;
    }
    unlinked.unreadable.store(false, Ordering::SeqCst);
    *unlinked.lost_at_four.lock().unwrap() = Some(ChainModel::default());
    let last = sink.record(event("last")).await.unwrap();
    let why = "earlier anchors are missing: the chain lacks the records after them";
    assert_eq!(last.anchor, AnchorStatus::Missing(why.to_owned()));
    end(sink).await;
    chain.with(|chain| *chain = unlinked.lost_at_four.lock().unwrap().take().unwrap());
    end(anchored(&chain, FileAnchors::open(&path).unwrap(), 1)).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4]);
}

/// Would catch anchors that are given up because Redis could not be read when
/// the process started, and ones that are waited for although the chain was
/// trimmed.
#[tokio::test]
async fn earlier_anchors_are_written_once_the_chain_can_be_read() {
    let (_directory, path, chain) = partly_anchored(1, 2).await;
    let unlinked = Unlinked::default();
    unlinked.unreadable.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    let unread = sink.record(event("unread")).await.unwrap();
    let why = "earlier anchors are missing: Redis could not be read: busy";
    assert_eq!(unread.anchor, AnchorStatus::Missing(why.to_owned()));
    assert_eq!(sequences(&path, &chain), [1]);
    unlinked.unreadable.store(false, Ordering::SeqCst);
    append(&sink, 1).await;
    end(sink).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4, 5]);

    append_unanchored(&chain, 2).await;
    unlinked.trimmed.store(true, Ordering::SeqCst);
    let sink = reopened(&path, &chain, &unlinked);
    let next = sink.record(event("next")).await.unwrap();
    assert_eq!(next.anchor, AnchorStatus::Written);
    assert_eq!(sink.stats().anchor_failures, 1);
    end(sink).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4, 5, 8]);
}

/// Would catch a process that does not count as seen what it has anchored: of records that
/// are lost after they were read for missing anchors, it would say nothing.
#[tokio::test]
async fn what_was_anchored_and_is_lost_is_a_rollback() {
    let (_directory, path, chain) = partly_anchored(1, 4).await;
    let sink = anchored(&chain, FileAnchors::open(&path).unwrap(), 1);
    while sink.stats().anchored < 4 {
        tokio::task::yield_now().await;
    }
    let whole = chain.with(|chain| chain.clone());
    let lose_all_but = |kept: usize| {
        chain.with(|chain| {
            *chain = ChainModel::default();
            chain.append_unfenced(&whole.records()[..kept]);
        });
    };
    lose_all_but(2);
    for _ in 0..2 {
        let Err(AppendError::Corrupt(Corrupt::RolledBack(rolled_back))) =
            sink.record(event("refused")).await
        else {
            panic!("the loss was not told");
        };
        assert_eq!(rolled_back.seen.sequence.get(), 5);
    }
    lose_all_but(5);
    append(&sink, 1).await;
    end(sink).await;
    assert_eq!(sequences(&path, &chain), [1, 2, 3, 4, 5, 6]);
}

/// Would catch an anchor that counts as written before it is durable: what is
/// not a file takes the line, and cannot sync it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_anchor_that_is_not_synced_is_missing() {
    let sink = anchored(
        &MemoryChain::new(),
        FileAnchors::open("/dev/null").unwrap(),
        1,
    );
    let appended = sink.record(event("e")).await.unwrap();
    assert!(
        matches!(appended.anchor, AnchorStatus::Missing(_)),
        "{appended:?}"
    );
}

/// Would catch a full disk that refuses or delays appends, or that is not
/// reported.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_reported_and_appends_go_on() {
    let sink = anchored(
        &MemoryChain::new(),
        FileAnchors::open("/dev/full").unwrap(),
        1,
    );
    for _ in 0..3 {
        let appended = sink.record(event("e")).await.unwrap();
        let AnchorStatus::Missing(why) = appended.anchor else {
            panic!("{appended:?}");
        };
        assert!(why.contains("No space left"), "{why}");
    }
    let stats = sink.stats();
    assert_eq!((stats.anchored, stats.anchor_failures), (0, 3));
}

/// Fails a number of times, then passes anchors on.
struct Failing {
    failures: Arc<AtomicU32>,
    written: mpsc::Sender<u64>,
}

impl AnchorSink for Failing {
    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        let failing = |left: u32| left.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing)
            .is_ok()
        {
            return Err(io::Error::other("the disk is full"));
        }
        self.written.send(anchor.sequence.get()).unwrap();
        Ok(())
    }
}

/// Would catch anchors that are missing for ever after the disk was full for a
/// while, and a file whose last anchor hides that.
#[tokio::test]
async fn anchors_missed_are_written_when_the_sink_works_again() {
    let chain = MemoryChain::new();
    let failures = Arc::new(AtomicU32::new(3));
    let (written, receiver) = mpsc::channel();
    let sink = anchored(&chain, Failing { failures, written }, 2);
    let mut missing = 0;
    for _ in 0..12 {
        let appended = sink.record(event("e")).await.unwrap();
        missing += u32::from(matches!(appended.anchor, AnchorStatus::Missing(_)));
    }
    assert_eq!(missing, 3);
    end(sink).await;
    let mut all: Vec<_> = receiver.iter().collect();
    all.dedup();
    assert_eq!(all, [2, 4, 6, 8, 10, 12]);
}

/// A medium that hangs until it is released, or 20 s.
struct Hanging {
    release: mpsc::Receiver<()>,
    gave_up: Arc<AtomicBool>,
    written: mpsc::Sender<u64>,
}

impl AnchorSink for Hanging {
    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        if self.release.recv_timeout(Duration::from_secs(20))
            == Err(mpsc::RecvTimeoutError::Timeout)
        {
            self.gave_up.store(true, Ordering::SeqCst);
        }
        self.written.send(anchor.sequence.get()).unwrap();
        Ok(())
    }
}

/// Would catch an append that takes longer than its deadline because of the
/// anchor medium, a medium that stops other appends, and anchors out of order.
#[tokio::test]
async fn a_medium_that_hangs_delays_no_append() {
    let chain = MemoryChain::new();
    let (release, receiver) = mpsc::channel();
    let (written, anchors) = mpsc::channel();
    let gave_up = Arc::new(AtomicBool::new(false));
    let hanging = Hanging {
        release: receiver,
        gave_up: gave_up.clone(),
        written,
    };
    let mut config = AuditConfig::default();
    config.deadline = Duration::from_millis(500);
    let sink = Builder::new()
        .audit_config(config)
        .anchors(hanging, NonZeroU64::new(2).unwrap())
        .audit_sink(chain.clone());
    for sequence in 1..=6 {
        let appended = sink.record(event("e")).await.unwrap();
        assert_eq!(appended.position.sequence.get(), sequence);
        if sequence % 2 == 0 {
            let late = AnchorStatus::Missing("it was not written by the deadline".to_owned());
            assert_eq!(appended.anchor, late);
        }
    }
    assert!(!gave_up.load(Ordering::SeqCst), "the caller waited for it");
    drop(release);
    end(sink).await;
    assert_eq!(anchors.iter().collect::<Vec<_>>(), [2, 4, 6]);
}

/// Would catch a medium that hangs and fills the memory, and anchors that are
/// lost because too many waited.
#[tokio::test]
async fn anchors_that_do_not_fit_the_queue_are_written_later() {
    let chain = MemoryChain::new();
    let (release, receiver) = mpsc::channel();
    let (written, anchors) = mpsc::channel();
    let hanging = Hanging {
        release: receiver,
        gave_up: Arc::default(),
        written,
    };
    let mut config = AuditConfig::default();
    config.batch_records = 1;
    let sink = Builder::new()
        .audit_config(config)
        .anchors(hanging, NonZeroU64::MIN)
        .audit_sink(chain.clone());
    let calls: Vec<_> = (0..200).map(|_| sink.record(event("e"))).collect();
    while chain.with(|chain| chain.head().len()) < 200 {
        tokio::task::yield_now().await;
    }
    drop(release);
    let mut missing = 0;
    for call in calls {
        let appended = call.await.unwrap();
        missing += u32::from(appended.anchor != AnchorStatus::Written);
    }
    assert!((1..200).contains(&missing), "{missing}");
    let next = sink.record(event("next")).await.unwrap();
    assert_eq!(next.anchor, AnchorStatus::Written);
    end(sink).await;
    assert!(anchors.iter().eq(1..=201));
}

/// Would catch a sink that is used elsewhere than where it was asked for, and an
/// anchor that is lost with the work that was to write it.
#[tokio::test]
async fn the_sink_is_used_as_it_was_asked_for() {
    let chain = MemoryChain::new();
    let (used, fails) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (counted, failing) = (used.clone(), fails.clone());
    let sink = Builder::new()
        .anchors(|_: &Anchor| Ok(()), NonZeroU64::MIN)
        .blocking(Arc::new(move |work| {
            counted.fetch_add(1, Ordering::SeqCst);
            if failing.load(Ordering::SeqCst) {
                drop(work);
            } else {
                work();
            }
            Box::pin(std::future::ready(()))
        }))
        .audit_sink(chain);
    fails.store(false, Ordering::SeqCst);
    let first = sink.record(event("e")).await.unwrap();
    assert_eq!(first.anchor, AnchorStatus::Written);
    fails.store(true, Ordering::SeqCst);
    let second = sink.record(event("e")).await.unwrap();
    assert!(
        matches!(second.anchor, AnchorStatus::Missing(_)),
        "{second:?}"
    );
    assert_eq!(used.load(Ordering::SeqCst), 2);
    end(sink).await;
}
