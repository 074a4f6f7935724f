//! Key files on disk: their mode, how they are replaced, and the errors for a
//! broken one.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use haechi_store_redis::{
    crypto::{
        Aad, CryptoProvider as _, KeyFile, KeyStorage as _, KeysError, MemoryKeys, Status, manage,
    },
    entropy::Entropy as _,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{SplitMixEntropy, clock, over, stored};

async fn made(directory: &TempDir) -> KeyFile {
    let file = KeyFile::new(directory.path().join("keys.json"));
    manage::init(&file, &clock(), &SplitMixEntropy::default())
        .await
        .unwrap();
    file
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &TempDir) -> Vec<String> {
    let names = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Would catch a key that other users can read, even briefly, and a file left
/// behind.
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let path = directory.path().join("keys.json");
    manage::rotate(&file, &clock(), &later()).await.unwrap();
    assert_eq!(names(&directory), ["keys.json", "keys.json.lock"]);
    assert_eq!(
        (mode(&path), mode(&directory.path().join("keys.json.lock"))),
        (0o600, 0o600)
    );
    let stored = stored(&file).await;
    assert_eq!(stored["version"], 1);
    assert_eq!(stored["keys"][0]["createdAt"], "2027-01-15T08:00:00.000Z");
    for mode in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = manage::status(&file).await.unwrap_err();
        assert!(matches!(refused, KeysError::Exposed { mode: found, .. } if found == mode));
        let refused = manage::rotate(&file, &clock(), &SplitMixEntropy::default()).await;
        assert!(matches!(refused, Err(KeysError::Exposed { .. })));
    }
}

/// Would catch keys that are overwritten: everything encrypted with them is
/// lost.
#[tokio::test]
async fn keys_that_exist_are_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let path = directory.path().join("keys.json");
    // Nor a file without keys, or with invalid content.
    for text in [
        fs::read_to_string(&path).unwrap(),
        String::new(),
        "x".to_owned(),
    ] {
        fs::write(&path, &text).unwrap();
        let refused = manage::init(&file, &clock(), &SplitMixEntropy::default()).await;
        assert!(matches!(refused, Err(KeysError::Exists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

/// Would catch a rotation after which old ciphertexts do not decrypt, or new
/// ones use the old key.
#[tokio::test]
async fn a_rotation_adds_a_key_and_retires_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let aad = Aad::from_json("{}").unwrap();
    let keys = over(file.clone()).await;
    let old = keys.encrypt(b"x", &aad, None).await.unwrap();
    keys.close().await.unwrap();
    let rotated = manage::rotate(&file, &clock(), &later()).await.unwrap();
    let statuses: Vec<_> = rotated.iter().map(|key| (key.status, key.used)).collect();
    assert_eq!(statuses, [(Status::Active, 0), (Status::Retired, 1)]);
    assert_eq!(manage::status(&file).await.unwrap(), rotated);
    let keys = over(file).await;
    assert_eq!(keys.decrypt(&old, &aad).await.unwrap().as_slice(), b"x");
    let new = keys.encrypt(b"x", &aad, None).await.unwrap();
    assert_eq!((new.kid(), old.kid()), (&rotated[0].kid, &rotated[1].kid));
}

/// A generator that continues after the first key's.
fn later() -> SplitMixEntropy {
    let entropy = SplitMixEntropy::default();
    entropy.fill(&mut [0; 128]).unwrap();
    entropy
}

/// Would catch files left by a crash that prevent every later change, or that
/// are read as the keys.
#[tokio::test]
async fn files_left_by_a_crash_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let before = stored(&file).await;
    let temporary = directory.path().join("keys.json.tmp");
    fs::write(&temporary, "{\"version\":1,\"keys\":[{\"k").unwrap();
    assert_eq!(stored(&file).await, before);
    manage::rotate(&file, &clock(), &later()).await.unwrap();
    assert_eq!(names(&directory), ["keys.json", "keys.json.lock"]);
}

/// Would catch a link that is replaced by a file, while another process goes on
/// counting in its target.
#[tokio::test]
async fn a_link_stays_one() {
    let directory = tempfile::tempdir().unwrap();
    made(&directory).await;
    let link = directory.path().join("link");
    symlink("keys.json", &link).unwrap();
    let inode = fs::metadata(&link).unwrap().ino();
    let keys = over(KeyFile::new(&link)).await;
    keys.encrypt(b"", &Aad::from_json("{}").unwrap(), None)
        .await
        .unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_ne!(fs::metadata(&link).unwrap().ino(), inode);
    assert_eq!(names(&directory), ["keys.json", "keys.json.lock", "link"]);
}

/// Would catch a message that repeats a key, or does not say what is wrong or
/// what to do next, and a broken file that is overwritten.
#[tokio::test]
async fn messages() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let path = directory.path().join("keys.json");
    let whole = stored(&file).await;
    let k = whole["keys"][0]["k"].as_str().unwrap().to_owned();
    let mut told = Vec::new();
    let key = &whole["keys"][0];
    let with = |member: &str, value: Value| {
        let mut changed = whole.clone();
        changed[member] = value;
        changed.to_string()
    };
    let of_key = |member: &str, value: Value| {
        let mut changed = key.clone();
        changed[member] = value;
        with("keys", json!([changed]))
    };
    let text = whole.to_string();
    for (what, text) in [
        ("empty", String::new()),
        ("cut off", text[..text.len() - 7].to_owned()),
        ("a key in the place of an object", format!("\"{k}\"")),
        ("a key that is no member's", format!("{{{k}}}")),
        ("no version", with("version", Value::Null)),
        ("version 2", with("version", 2.into())),
        ("no keys", with("keys", json!([]))),
        ("keys no array", with("keys", json!(k))),
        ("a key no object", with("keys", json!([k]))),
        ("a key twice", with("keys", json!([key, key]))),
        ("no kid", of_key("kid", "".into())),
        ("alg", of_key("alg", json!(k))),
        ("kty", of_key("kty", json!(k))),
        ("status", of_key("status", json!(k))),
        ("k short", of_key("k", k[..42].into())),
        ("k padded", of_key("k", format!("{k}=").into())),
        ("k absent", of_key("k", Value::Null)),
        ("usage", of_key("usage", (-1).into())),
    ] {
        fs::write(&path, &text).unwrap();
        let error = manage::status(&file).await.unwrap_err();
        let rotated = manage::rotate(&file, &clock(), &SplitMixEntropy::default()).await;
        assert_eq!(rotated.unwrap_err(), error);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{what}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&k[..42]), "{shown}");
        told.push(format!("{what}: {error}"));
    }
    fs::write(&path, [0xff, 0x7b]).unwrap();
    let mut tell = |what: &str, error: KeysError| told.push(format!("{what}: {error}"));
    tell("bytes", manage::status(&file).await.unwrap_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    tell("open to others", manage::status(&file).await.unwrap_err());
    let init = manage::init(&file, &clock(), &SplitMixEntropy::default()).await;
    tell("init, open to others", init.unwrap_err());
    fs::remove_file(&path).unwrap();
    tell("absent", manage::status(&file).await.unwrap_err());
    fs::remove_file(directory.path().join("keys.json.lock")).unwrap();
    fs::create_dir(directory.path().join("keys.json.lock")).unwrap();
    let init = manage::init(&file, &clock(), &SplitMixEntropy::default()).await;
    tell("not writable", init.unwrap_err());
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    tell("a directory", manage::status(&file).await.unwrap_err());
    let told = told.join("\n");
    insta::assert_snapshot!(told.replace(directory.path().to_str().unwrap(), "DIR"));
}

/// Would catch two keys that both encrypt, keys in another order than the file's,
/// and a file without an active key that cannot be read.
#[tokio::test]
async fn the_first_active_key_encrypts_and_none_is_an_error() {
    let key = |kid: &str, status: &str, k: &str| json!({ "kid": kid, "kty": "oct", "alg": "AES-256-GCM", "status": status, "k": k.repeat(43) });
    let file =
        |keys: Value| MemoryKeys::from_text(json!({ "version": 1, "keys": keys }).to_string());
    let aad = Aad::from_json("{}").unwrap();
    let several = file(json!([
        key("a", "retired", "A"),
        key("d", "retired", "M"),
        key("b", "active", "E"),
        key("c", "active", "I")
    ]));
    let order = |macs: Vec<haechi_store_redis::crypto::KeyedMac>| -> Vec<String> {
        macs.iter().map(|mac| mac.kid.to_string()).collect()
    };
    let keys = over(several).await;
    assert_eq!(
        keys.encrypt(b"", &aad, None).await.unwrap().kid().as_str(),
        "b"
    );
    assert_eq!(
        order(keys.hmacs(b"", "d").await.unwrap()),
        ["b", "a", "d", "c"]
    );
    let none = file(json!([key("a", "retired", "A"), key("b", "retired", "E")]));
    let keys = over(none.clone()).await;
    let refused = keys.encrypt(b"", &aad, None).await.unwrap_err();
    assert!(refused.to_string().contains("keys rotate"), "{refused}");
    assert_eq!(order(keys.hmacs(b"", "d").await.unwrap()), ["a", "b"]);
    manage::rotate(&none, &clock(), &SplitMixEntropy::default())
        .await
        .unwrap();
    keys.encrypt(b"", &aad, None).await.unwrap();
    assert_eq!(none.place(), "memory");
}

/// Would catch a change that waits without limit for a stopped process that has
/// the lock, and one that does not wait at all.
#[tokio::test]
async fn the_wait_for_a_lock_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let file = made(&directory).await;
    let lock = fs::File::open(directory.path().join("keys.json.lock")).unwrap();
    lock.lock().unwrap();
    let rotate = async || manage::rotate(&file, &clock(), &later()).await;
    let refused = rotate().await.unwrap_err();
    assert!(matches!(refused, KeysError::Busy { .. }), "{refused}");
    // Readers never wait.
    assert_eq!(manage::status(&file).await.unwrap().len(), 1);
    let waiting = tokio::join!(rotate(), async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        lock.unlock().unwrap();
    });
    assert_eq!(waiting.0.unwrap().len(), 2);
}
