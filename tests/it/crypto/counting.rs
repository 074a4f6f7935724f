//! Counting of encryptions: before they are made, across restarts and
//! processes, up to the limit.

use std::{collections::BTreeMap, time::Duration};

use haechi_store_redis::crypto::{
    Aad, Changed, Counting, CryptoProvider as _, DecryptError, EncryptError, KeyFile, KeyStorage,
    KeysError, LocalKeys, MemoryKeys, Zeroizing, manage,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Keys, SplitMixEntropy, clock, initialized, over, stored};

fn aad() -> Aad {
    Aad::from_json("{}").unwrap()
}

/// Encryptions counted in the storage, by key, the newest first.
async fn usage(storage: &impl KeyStorage) -> Vec<(String, u64)> {
    let stored = stored(storage).await;
    let count = |key: &Value| {
        let kid = key["kid"].as_str().unwrap().to_owned();
        (kid, key["usage"].as_u64().unwrap_or(0))
    };
    let keys = stored["keys"].as_array().unwrap();
    keys.iter().map(count).collect()
}

async fn encrypt<K: KeyStorage>(keys: &Keys<K>, times: u64) {
    for _ in 0..times {
        keys.encrypt(b"", &aad(), None).await.unwrap();
    }
}

/// Would catch a window that is used before it is written, one that does not
/// grow (a write every thousand encryptions), and a rest that is not returned
/// (a key exhausted by a few thousand short runs).
#[tokio::test]
async fn windows_are_written_first_and_double() {
    let storage = initialized(&SplitMixEntropy::default()).await;
    let keys = over(storage.clone()).await;
    for (more, counted) in [(1, 1024), (1023, 1024), (1, 3072), (2048, 7168)] {
        encrypt(&keys, more).await;
        assert_eq!(usage(&storage).await[0].1, counted, "after {more} more");
    }
    keys.close().await.unwrap();
    assert_eq!(usage(&storage).await[0].1, 3073);
    // Closing again has nothing to return.
    keys.close().await.unwrap();
    assert_eq!(usage(&storage).await[0].1, 3073);
    for run in 1..=20 {
        let keys = over(storage.clone()).await;
        encrypt(&keys, 1).await;
        keys.close().await.unwrap();
        assert_eq!(usage(&storage).await[0].1, 3073 + run);
    }
}

/// A step of a process with keys that others use concurrently.
#[derive(Clone, Copy, Debug)]
enum Step {
    Encrypt(usize, u64),
    /// The process closes its keys, and starts again.
    Close(usize),
    /// The process is killed, and starts again.
    Crash(usize),
    Rotate,
    /// Time passes, and rotations are noticed.
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0..3_usize;
    let times = prop_oneof![Just(1), Just(5), Just(1023), Just(1025)];
    let step = prop_oneof![
        4 => (process.clone(), times).prop_map(|(process, times)| Step::Encrypt(process, times)),
        2 => process.clone().prop_map(Step::Close),
        1 => process.prop_map(Step::Crash),
        1 => Just(Step::Rotate),
        1 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    /// Would catch two processes that use one window, a restart that loses the
    /// count, and a rest that is returned twice or to another key.
    #[test]
    fn the_count_is_never_below_the_encryptions_made(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (clock, entropy) = (super::clock(), SplitMixEntropy::default());
            let storage = initialized(&entropy).await;
            let open = || async {
                let (storage, clock) = (storage.clone(), clock.clone());
                let counting = Counting::Persisted;
                LocalKeys::open(storage, clock, entropy.clone(), counting).await.unwrap()
            };
            let mut processes = vec![open().await, open().await, open().await];
            let mut made: BTreeMap<String, u64> = BTreeMap::new();
            let mut crashed = false;
            for step in steps {
                match step {
                    Step::Encrypt(process, times) => for _ in 0..times {
                        let envelope = processes[process].encrypt(b"", &aad(), None).await;
                        let kid = envelope.unwrap().kid().as_str().to_owned();
                        *made.entry(kid).or_default() += 1;
                    },
                    Step::Close(process) => {
                        processes[process].close().await.unwrap();
                        processes[process] = open().await;
                    }
                    Step::Crash(process) => {
                        crashed = true;
                        processes[process] = open().await;
                    }
                    Step::Rotate => {
                        manage::rotate(&storage, &clock, &entropy).await.unwrap();
                    }
                    Step::Wait => clock.advance(Duration::from_secs(5)),
                }
                for (kid, counted) in usage(&storage).await {
                    assert!(counted >= made.get(&kid).copied().unwrap_or(0), "{step:?}");
                }
            }
            for process in &processes {
                process.close().await.unwrap();
            }
            for (kid, counted) in usage(&storage).await {
                let made = made.get(&kid).copied().unwrap_or(0);
                assert!(counted == made || (crashed && counted > made));
            }
        });
    }
}

/// Would catch two processes that overwrite each other's count: here two
/// providers over one file, each with its own threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_file_counts_for_all_processes() {
    let directory = tempfile::tempdir().unwrap();
    let file = KeyFile::new(directory.path().join("keys.json"));
    manage::init(&file, &clock(), &SplitMixEntropy::default())
        .await
        .unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let file = file.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let keys = over(file.clone()).await;
                    encrypt(&keys, 3).await;
                    keys.close().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(usage(&file).await[0].1, 8 * 10 * 3);
}

fn key_file(used: u64) -> MemoryKeys {
    let key = json!({
        "kid": "old", "kty": "oct", "alg": "AES-256-GCM", "status": "active",
        "k": "yvU9gT2eJE7loHWtA-mgcgvN9PX06CIXIhstIqwRItc",
        "usage": used, "note": { "by": ["ops", 1.5, null] },
    });
    MemoryKeys::from_text(
        json!({ "version": 1, "createdAt": "2026-01-01T00:00:00.000Z", "keys": [key], "team": "x" })
            .to_string(),
    )
}

/// Would catch a key that exceeds the secure number of encryptions, and one
/// that then does not decrypt.
#[tokio::test]
async fn the_limit_is_never_passed() {
    for counting in [Counting::Persisted, Counting::PerProcess] {
        let storage = key_file((1 << 32) - 3);
        let (clock, entropy) = (super::clock(), SplitMixEntropy::default());
        let open = LocalKeys::open(storage.clone(), clock.clone(), entropy.clone(), counting);
        let keys = open.await.unwrap();
        assert!(keys.is_worn());
        let envelope = keys.encrypt(b"x", &aad(), None).await.unwrap();
        encrypt(&keys, 2).await;
        for _ in 0..2 {
            let refused = keys.encrypt(b"x", &aad(), None).await.unwrap_err();
            assert_eq!(refused, EncryptError::Exhausted { kid: "old".into() });
        }
        assert_eq!(keys.status()[0].used, 1 << 32);
        assert_eq!(
            keys.decrypt(&envelope, &aad()).await.unwrap().as_slice(),
            b"x"
        );
        // A rotation by any process helps.
        manage::rotate(&storage, &clock, &entropy).await.unwrap();
        encrypt(&keys, 1).await;
        assert_eq!(
            keys.decrypt(&envelope, &aad()).await.unwrap().as_slice(),
            b"x"
        );
    }
    for (used, is_worn) in [((1 << 31) - 1, false), (1 << 31, true)] {
        assert_eq!(over(key_file(used)).await.is_worn(), is_worn);
    }
}

/// Would catch a rewrite that drops members written by another version.
#[tokio::test]
async fn members_that_are_not_known_survive() {
    let storage = key_file(7);
    let before = stored(&storage).await;
    let keys = over(storage.clone()).await;
    encrypt(&keys, 1).await;
    manage::rotate(&storage, &clock(), &SplitMixEntropy::default())
        .await
        .unwrap();
    keys.close().await.unwrap();
    let after = stored(&storage).await;
    let mut expected = before["keys"][0].clone();
    expected["usage"] = 8.into();
    expected["status"] = "retired".into();
    assert_eq!(after["keys"][1], expected);
    for member in ["version", "createdAt", "team"] {
        assert_eq!(after[member], before[member], "{member}");
    }
}

/// Storage on a disk that cannot be written.
struct ReadOnly(MemoryKeys);

impl KeyStorage for ReadOnly {
    fn place(&self) -> String {
        "a read-only disk".to_owned()
    }

    async fn load(&self) -> Result<Option<Zeroizing<String>>, KeysError> {
        self.0.load().await
    }

    async fn update<R, F>(&self, _: F) -> Result<R, KeysError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static,
    {
        Err(KeysError::NotWritable {
            at: self.place(),
            error: "Read-only file system".to_owned(),
        })
    }
}

/// Would catch an encryption that is not counted, and a count per process that
/// writes nevertheless.
#[tokio::test]
async fn without_a_count_encryption_is_refused_unless_counting_per_process() {
    let keys = over(ReadOnly(key_file(7))).await;
    let refused = keys.encrypt(b"x", &aad(), None).await.unwrap_err();
    assert!(matches!(refused, EncryptError::NotCounted(_)), "{refused}");
    // HMACs need no count.
    keys.hmacs(b"x", "d").await.unwrap();

    let storage = ReadOnly(key_file(7));
    let (clock, entropy) = (super::clock(), SplitMixEntropy::default());
    let open = LocalKeys::open(storage, clock, entropy, Counting::PerProcess);
    let keys = open.await.unwrap();
    encrypt(&keys, 5).await;
    assert_eq!(keys.status()[0].used, 12);
    keys.close().await.unwrap();
}

/// Would catch a process that uses a retired key until its window ends, or
/// whose HMACs lack the new key's.
#[tokio::test]
async fn a_rotation_elsewhere_is_noticed_within_five_seconds() {
    let (clock, entropy) = (super::clock(), SplitMixEntropy::default());
    let storage = initialized(&entropy).await;
    let open = LocalKeys::open(
        storage.clone(),
        clock.clone(),
        entropy.clone(),
        Counting::Persisted,
    );
    let keys = open.await.unwrap();
    encrypt(&keys, 10).await;
    let new = manage::rotate(&storage, &clock, &entropy).await.unwrap();
    clock.advance(Duration::from_secs(5));
    let macs = keys.hmacs(b"x", "d").await.unwrap();
    assert_eq!((macs.len(), &macs[0].kid), (2, &new[0].kid));
    let envelope = keys.encrypt(b"", &aad(), None).await.unwrap();
    assert_eq!(envelope.kid(), &new[0].kid);
    // The rest of the old key's window was returned.
    assert_eq!(usage(&storage).await[1].1, 10);
}

/// Would catch a storage that cannot be read reported as an unknown key: a caller
/// would give up a token that only has to wait.
#[tokio::test]
async fn an_unreadable_storage_is_no_unknown_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (file, entropy) = (KeyFile::new(&path), SplitMixEntropy::default());
    manage::init(&file, &clock(), &entropy).await.unwrap();
    let ours = over(file.clone()).await;
    manage::rotate(&file, &clock(), &entropy).await.unwrap();
    let envelope = over(file).await.encrypt(b"x", &aad(), None).await.unwrap();
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    let refused = ours.decrypt(&envelope, &aad()).await.unwrap_err();
    assert!(matches!(refused, DecryptError::Unavailable(_)), "{refused}");
    std::fs::write(&path, text).unwrap();
    ours.decrypt(&envelope, &aad()).await.unwrap();
}

/// Would catch a process that cannot read what another has encrypted since.
#[tokio::test]
async fn an_unknown_key_is_read_from_storage_at_once() {
    let entropy = SplitMixEntropy::default();
    let storage = initialized(&entropy).await;
    let (ours, clock) = (over(storage.clone()).await, super::clock());
    manage::rotate(&storage, &clock, &entropy).await.unwrap();
    let theirs = over(storage.clone()).await;
    let envelope = theirs.encrypt(b"x", &aad(), None).await.unwrap();
    assert_eq!(
        ours.decrypt(&envelope, &aad()).await.unwrap().as_slice(),
        b"x"
    );
}
