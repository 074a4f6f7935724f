//! What a process has seen of chains and vaults, in a file, so that a rollback is
//! found after a restart, too.
//!
//! It does not know what is concluded from it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    blocking::{RunBlocking, on_thread},
    chain::{Checkpoints, EventHash, Loss, Position, Sequence},
    files::{self, Lock, open_regular, sync_directory},
    sync::{Arc, Mutex, lock},
};

/// A file of what one process has seen. Clones share it.
///
/// Changes are written in the background, the newest whenever the write before
/// has ended: a crash loses those of a few milliseconds, and a rollback of just
/// these is then not found. The file is replaced as a whole, and fsynced. One file
/// may hold several chains and vaults, by their prefixes. Each process needs a
/// file of its own: it is locked, by a file `{name}.lock` beside it.
#[derive(Clone)]
pub struct SeenFile {
    shared: Arc<Shared>,
    /// Held as long as this is.
    _lock: Option<Arc<Lock>>,
}

/// Where a [`SeenFile`] is kept, if not in a file: in memory, for example. Its calls may
/// block.
pub trait SeenMedium: Send + Sync {
    /// What it is, for people.
    fn place(&self) -> String;

    /// What it holds; `None` if nothing was written yet.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read(&self) -> io::Result<Option<String>>;

    /// Holds this from now on, also after a crash; or, if it cannot be written, what it held.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    fn replace(&self, text: &str) -> io::Result<()>;
}

/// A file, which is replaced as a whole.
struct PlainFile(PathBuf);

impl SeenMedium for PlainFile {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn read(&self) -> io::Result<Option<String>> {
        match open_regular(fs::OpenOptions::new().read(true), &self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => io::read_to_string(opened?).map(Some),
        }
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let owner = fs::metadata(&self.0).ok();
        files::replace(&self.0, text, owner.as_ref()).and_then(|()| sync_directory(&self.0))
    }
}

struct Shared {
    medium: Box<dyn SeenMedium>,
    /// Where the medium is used in the background.
    run: RunBlocking,
    is_only_read: bool,
    state: Mutex<State>,
    /// Locked before the state, during a write: what was changed before a call of
    /// `save` is in the file when it returns.
    writing: Mutex<()>,
    changed: Notify,
}

struct State {
    content: Content,
    is_saved: bool,
    failures: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Content {
    chains: BTreeMap<String, Vec<Place>>,
    /// The losses of each chain from which the process went on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    losses: BTreeMap<String, Vec<Loss>>,
    vaults: BTreeMap<String, SeenVault>,
}

impl Content {
    fn places(&self, prefix: &str) -> &[Place] {
        self.chains.get(prefix).map_or(&[], Vec::as_slice)
    }

    fn chain(&self, prefix: &str) -> Checkpoints {
        let places = self.places(prefix).iter();
        let mut seen: Checkpoints = places.filter_map(Place::position).collect();
        for loss in self.losses.get(prefix).into_iter().flatten() {
            seen.went_on(*loss);
        }
        seen
    }
}

/// A position in the form of anchors and heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    sequence: u64,
    event_hash: String,
}

/// What was seen of a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenVault {
    pub(crate) version: u64,
    /// Receipts, in the order in which they were seen: mutation, number and when it was
    /// written, by the server's clock in microseconds.
    #[serde(default)]
    pub(crate) receipts: Vec<(Id, u64, u64)>,
}

/// 16 bytes, as 22 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(pub(crate) [u8; 16]);

impl From<Id> for String {
    fn from(id: Id) -> Self {
        URL_SAFE_NO_PAD.encode(id.0)
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let id = bytes.and_then(|bytes| bytes.try_into().ok());
        id.map(Self).ok_or("not 22 characters of base64url")
    }
}

impl SeenFile {
    /// Locks and reads the file at `path`, or the one that a link there leads to; an
    /// absent one is made at the first change, with mode 0600. Blocks for as long as
    /// the medium does.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ResourceBusy`] when the file is open already, in this process or
    /// another one. When it cannot be read, or is not one of this kind, or its lock cannot
    /// be made.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = files::resolved(path.as_ref())?;
        let locked = files::try_lock(&path)?.map_err(|lock| {
            let why = format!("a running process keeps it locked ({})", lock.display());
            io::Error::new(io::ErrorKind::ResourceBusy, why)
        });
        let lock = Some(locked?);
        Self::kept(Box::new(PlainFile(path)), on_any_thread(), lock, false)
    }

    /// Over another medium than a file, which is used by `run`, for this process only.
    /// Reads it at once.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds something else.
    pub fn over(medium: impl SeenMedium + 'static, run: RunBlocking) -> io::Result<Self> {
        Self::kept(Box::new(medium), run, None, false)
    }

    /// Reads the file at `path`, also one that a running process has
    /// [opened](Self::open), and never writes it: what is met is compared with what it
    /// holds now, and then forgotten. An absent one holds nothing. Blocks for as long as
    /// the medium does.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not one of this kind.
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = PlainFile(path.as_ref().to_owned());
        Self::kept(Box::new(file), on_any_thread(), None, true)
    }

    fn kept(
        medium: Box<dyn SeenMedium>,
        run: RunBlocking,
        lock: Option<Lock>,
        is_only_read: bool,
    ) -> io::Result<Self> {
        let content = match medium.read()? {
            Some(text) => parsed(&text)?,
            None => Content::default(),
        };
        let state = State {
            content,
            is_saved: true,
            failures: 0,
        };
        let shared = Arc::new(Shared {
            medium,
            run,
            is_only_read,
            state: Mutex::new(state),
            writing: Mutex::new(()),
            changed: Notify::new(),
        });
        Ok(Self {
            shared,
            _lock: lock.map(Arc::new),
        })
    }

    /// Writes the file, changed or not, and so finds out whether that is possible. Blocks
    /// for as long as the medium does.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn rewrite(&self) -> io::Result<()> {
        lock(&self.shared.state).is_saved = false;
        self.save()
    }

    /// Writes what has changed. Blocks for as long as the medium does.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the change is written again next time.
    pub fn save(&self) -> io::Result<()> {
        let _writing = lock(&self.shared.writing);
        let text = {
            let mut state = lock(&self.shared.state);
            if state.is_saved || self.shared.is_only_read {
                return Ok(());
            }
            state.is_saved = true;
            serde_json::to_string(&state.content)?
        };
        let saved = self.shared.medium.replace(&text);
        if saved.is_err() {
            let mut state = lock(&self.shared.state);
            state.is_saved = false;
            state.failures += 1;
        }
        saved
    }

    /// How often the file could not be written.
    #[must_use]
    pub fn failures(&self) -> u64 {
        lock(&self.shared.state).failures
    }

    /// The positions seen of the chain whose keys have this prefix, in order.
    #[must_use]
    pub fn positions(&self, prefix: &str) -> Vec<Position> {
        self.entry(prefix).chain().positions().to_vec()
    }

    /// The identity of the mutation whose receipt was the highest one seen of the vault whose
    /// keys have this prefix.
    #[must_use]
    pub fn newest_receipt(&self, prefix: &str) -> Option<[u8; 16]> {
        let vault = self.entry(prefix).vault()?;
        let newest = vault.receipts.iter().max_by_key(|(_, seq, _)| *seq)?;
        Some(newest.0.0)
    }

    /// What it holds for the keys with this prefix.
    pub(crate) fn entry(&self, prefix: impl Into<String>) -> SeenEntry {
        let prefix = prefix.into();
        let places = lock(&self.shared.state).content.places(&prefix).to_vec();
        SeenEntry {
            file: self.clone(),
            prefix,
            own: Arc::new(Mutex::new(places)),
        }
    }

    /// Has the file written again if `change` says that something is another now.
    fn change(&self, change: impl FnOnce(&mut Content) -> bool) {
        let mut state = lock(&self.shared.state);
        if !change(&mut state.content) {
            return;
        }
        state.is_saved = false;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Writes changes until it is dropped; an unwritten one is retried at the next
    /// change.
    pub(crate) async fn keep(&self) {
        loop {
            self.shared.changed.notified().await;
            // One that is still under way when this is dropped does not hold the lock.
            let unlocked = Self {
                shared: self.shared.clone(),
                _lock: None,
            };
            unlocked.save_last().await;
        }
    }

    /// Begins to write what has changed, where files are written; waiting for it is optional.
    /// Failures are counted.
    pub(crate) fn save_last(&self) -> impl Future<Output = ()> + Send + use<> {
        let file = self.clone();
        (self.shared.run)(Box::new(move || drop(file.save())))
    }
}

/// On a thread for blocking work if there is a runtime.
fn on_any_thread() -> RunBlocking {
    std::sync::Arc::new(on_thread)
}

fn parsed(text: &str) -> io::Result<Content> {
    let content: Content = serde_json::from_str(text)?;
    let mut places = content.chains.values().flatten();
    match places.all(|place| place.position().is_some()) {
        true => Ok(content),
        false => Err(io::Error::other("it holds a position that is none")),
    }
}

/// What a [`SeenFile`] holds for the keys with one prefix.
#[derive(Clone, Debug)]
pub(crate) struct SeenEntry {
    pub(crate) file: SeenFile,
    prefix: String,
    /// What this one has found or put there of the chain: anything else is from another
    /// sink of this process.
    own: Arc<Mutex<Vec<Place>>>,
}

impl SeenEntry {
    /// What was seen of the chain.
    pub(crate) fn chain(&self) -> Checkpoints {
        lock(&self.file.shared.state).content.chain(&self.prefix)
    }

    /// What another sink of this process has put there in the meantime, if a sink that has
    /// `seen` this has to compare it. It is replaced from then on.
    pub(crate) fn learn(&self, seen: &Checkpoints) -> Option<Checkpoints> {
        let mut own = lock(&self.own);
        let content = &lock(&self.file.shared.state).content;
        let there = content.places(&self.prefix);
        if there == *own {
            return None;
        }
        *own = there.to_vec();
        let theirs = content.chain(&self.prefix);
        (!seen.covers(&theirs)).then_some(theirs)
    }

    /// Replaces what is there; but not what another sink has seen and this one has not
    /// [learnt](Self::learn) of: the chain may have lost it.
    pub(crate) fn set_chain(&self, seen: &Checkpoints) {
        let mut own = lock(&self.own);
        self.file.change(|content| {
            let there = content.places(&self.prefix);
            if there != *own && !seen.covers(&content.chain(&self.prefix)) {
                return false;
            }
            *own = seen.positions().iter().map(Place::of).collect();
            content.chains.insert(self.prefix.clone(), own.clone());
            if !seen.losses().is_empty() {
                let losses = content.losses.entry(self.prefix.clone()).or_default();
                let more = seen.losses().iter().filter(|loss| !losses.contains(loss));
                losses.extend(more.copied().collect::<Vec<_>>());
            }
            true
        });
    }

    /// What was seen of the vault.
    pub(crate) fn vault(&self) -> Option<SeenVault> {
        let state = lock(&self.file.shared.state);
        state.content.vaults.get(&self.prefix).cloned()
    }

    /// Replaces what was seen of the vault.
    pub(crate) fn update_vault(&self, update: impl FnOnce(Option<&SeenVault>) -> SeenVault) {
        self.file.change(|content| {
            let seen = update(content.vaults.get(&self.prefix));
            let before = content.vaults.insert(self.prefix.clone(), seen.clone());
            before != Some(seen)
        });
    }
}

impl std::fmt::Debug for SeenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SeenFile")
            .field(&self.shared.medium.place())
            .finish()
    }
}

impl Place {
    fn of(position: &Position) -> Self {
        Self {
            sequence: position.sequence.get(),
            event_hash: position.event_hash.to_text(),
        }
    }

    fn position(&self) -> Option<Position> {
        Some(Position {
            sequence: Sequence::new(self.sequence)?,
            event_hash: EventHash::parse(&self.event_hash)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_seen(version: u64) -> SeenVault {
        SeenVault {
            version,
            receipts: Vec::new(),
        }
    }

    fn set_vault(file: &SeenFile, prefix: &str, seen: &SeenVault) {
        file.entry(prefix).update_vault(|_| seen.clone());
    }

    /// Would catch entries that are not read back, a file that others can read, and
    /// a damaged one that counts as nothing seen.
    #[test]
    fn what_was_seen_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.json");
        let file = SeenFile::open(&path).unwrap();
        assert_eq!(file.entry("a:").chain(), Checkpoints::default());
        let position = |sequence| Position {
            sequence: Sequence::new(sequence).unwrap(),
            event_hash: EventHash::from_bytes([7; 32]),
        };
        let seen = SeenVault {
            version: 7,
            receipts: vec![(Id([1; 16]), 9, 1_764_500_000_000_002)],
        };
        let mut chain: Checkpoints = [position(1), position(3)].into_iter().collect();
        chain.went_on(Loss {
            range: "2..9".parse().unwrap(),
            head_hash: EventHash::from_bytes([9; 32]),
        });
        file.entry("a:").set_chain(&chain);
        set_vault(&file, "v:", &seen);
        file.save().unwrap();
        let again = SeenFile::read(&path).unwrap();
        drop(file);
        assert_eq!(again.entry("a:").chain(), chain);
        assert_eq!(again.entry("b:").chain(), Checkpoints::default());
        assert_eq!(again.entry("v:").vault(), Some(seen));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for damaged in [
            "",
            "{}x",
            r#"{"chains":{"a:":[{"sequence":0,"eventHash":""}]},"vaults":{}}"#,
        ] {
            fs::write(&path, damaged).unwrap();
            assert!(SeenFile::open(&path).is_err(), "{damaged}");
        }
    }

    /// Would catch a save that ends before the change is written, because another
    /// save had begun to.
    #[test]
    fn what_was_changed_before_a_save_is_in_the_file_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.json");
        let file = SeenFile::open(&path).unwrap();
        std::thread::scope(|scope| {
            for prefix in ["a:", "b:"] {
                let (file, path) = (&file, &path);
                scope.spawn(move || {
                    for version in 1..50 {
                        let seen = version_seen(version);
                        set_vault(file, prefix, &seen);
                        file.save().unwrap();
                        let read = SeenFile::read(path).unwrap();
                        assert_eq!(read.entry(prefix).vault(), Some(seen));
                    }
                });
            }
        });
    }

    /// Would catch what one sink has seen and is lost, overwritten by another sink of the
    /// process that had not seen it; and what is compared again and again.
    #[test]
    fn what_another_sink_has_seen_stays_until_it_is_learnt() {
        let directory = tempfile::tempdir().unwrap();
        let file = SeenFile::open(directory.path().join("seen.json")).unwrap();
        let seen = |places: &[(u64, u8)]| -> Checkpoints {
            let position = |&(sequence, hash)| Position {
                sequence: Sequence::new(sequence).unwrap(),
                event_hash: EventHash::from_bytes([hash; 32]),
            };
            places.iter().map(position).collect()
        };
        let (one, other) = (file.entry("a:"), file.entry("a:"));
        let lost = seen(&[(1, 1), (4, 4)]);
        one.set_chain(&lost);
        // 2 to 4 are lost, and others take their place.
        let regrown = seen(&[(1, 1), (4, 40)]);
        other.set_chain(&regrown);
        assert_eq!(file.entry("a:").chain(), lost);
        assert_eq!(other.learn(&regrown), Some(lost.clone()));
        assert_eq!(other.learn(&regrown), None);
        other.set_chain(&regrown);
        assert_eq!(file.entry("a:").chain(), regrown);
        // One that has seen as much has nothing to compare.
        let more = seen(&[(1, 1), (4, 40), (5, 5)]);
        assert_eq!(one.learn(&more), None);
        one.set_chain(&more);
        assert_eq!(file.entry("a:").chain(), more);
    }

    /// Would catch a change that is forgotten when it could not be written.
    #[test]
    fn a_change_is_written_once_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen.json");
        let file = SeenFile::open(&path).unwrap();
        file.save().unwrap();
        file.entry("a:").set_chain(&Checkpoints::default());
        let in_the_way = directory.path().join("seen.json.tmp");
        fs::create_dir(&in_the_way).unwrap();
        assert!(file.save().is_err());
        assert_eq!(file.failures(), 1);
        fs::remove_dir(&in_the_way).unwrap();
        file.save().unwrap();
        assert!(path.exists());
    }

    /// Would catch two processes that write over each other's file, also by a link, a
    /// link that is replaced by a file, and a reader that waits, or writes.
    #[cfg(unix)]
    #[test]
    fn a_file_is_for_one_process() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("seen"), directory.path().join("link"));
        std::os::unix::fs::symlink("seen", &link).unwrap();
        let file = SeenFile::open(&link).unwrap();
        let seen = version_seen(1);
        set_vault(&file, "v:", &seen);
        file.save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        for name in [&path, &link] {
            let error = SeenFile::open(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            let reader = SeenFile::read(name).unwrap();
            assert_eq!(reader.entry("v:").vault(), Some(seen.clone()));
            set_vault(&reader, "v:", &version_seen(9));
            reader.save().unwrap();
        }
        drop(file);
        let file = SeenFile::open(&path).unwrap();
        assert_eq!(file.entry("v:").vault(), Some(seen));
    }
}
