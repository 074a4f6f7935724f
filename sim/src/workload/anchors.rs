//! The medium on which a process keeps its anchors: files in memory, of which a crash
//! leaves what was synced, and perhaps some of the rest.

use std::{
    collections::BTreeMap,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::Arc,
    time::Duration,
};

use haechi_store_redis::{
    RunBlocking, Work,
    audit::AnchorMedium,
    chain::{Anchor, Position},
    clock::Clock,
};
use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::plan::{ProcessFault, TICK_MS};

/// How long writing and syncing take without faults, in milliseconds.
const ACCESS_MS: std::ops::RangeInclusive<u64> = 1..=15;

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Nothing,
    /// A part, which ends in the middle of a line.
    TornLine,
    /// Whatever the seed says.
    Any,
}

/// The medium of one process, which outlives it.
#[derive(Clone)]
pub(crate) struct AnchorMedia(Arc<Mutex<Media>>);

struct Media {
    rng: ChaCha8Rng,
    files: BTreeMap<String, Content>,
    /// How long an access takes at least, in milliseconds.
    delay: u64,
    full: Option<Full>,
    /// The work that is being carried out; others wait until it has returned.
    working: Option<u64>,
    last_work: u64,
    /// How much of a file each work has asked to sync, until it is done.
    syncing: Vec<(u64, String, usize)>,
    /// The faults that something has met since they were last asked for.
    met: Vec<ProcessFault>,
    /// How many accesses wait because of a fault.
    held: usize,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many of them outlive a loss of power.
    durable: usize,
}

struct Full {
    /// Bytes for which there is room.
    room: u64,
    /// Whether what was written cannot be synced either.
    fails_syncs: bool,
}

impl AnchorMedia {
    /// An empty medium.
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self(Arc::new(Mutex::new(Media {
            rng,
            files: BTreeMap::new(),
            delay: 0,
            full: None,
            working: None,
            last_work: 0,
            syncing: Vec::new(),
            met: Vec::new(),
            held: 0,
        })))
    }

    /// From now on each access takes so long, in milliseconds; those under way, too.
    pub(crate) fn delay(&self, millis: u64) {
        self.0.lock().delay = millis;
    }

    /// From now on there is room for so many bytes.
    pub(crate) fn fill(&self, room: u64) {
        self.0.lock().full = Some(Full {
            room,
            fails_syncs: room % 2 == 1,
        });
    }

    /// There is room again.
    pub(crate) fn empty(&self) {
        self.0.lock().full = None;
    }

    /// Whether a loss of power would lose something.
    pub(crate) fn has_unsynced(&self) -> bool {
        let media = self.0.lock();
        media.files.values().any(|file| file.unsynced() > 0)
    }

    /// The process has lost power.
    pub(crate) fn crash(&self, left: Left) {
        let mut media = self.0.lock();
        let media = &mut *media;
        (media.working, media.held) = (None, 0);
        media.syncing.clear();
        for file in media.files.values_mut().filter(|file| file.unsynced() > 0) {
            let unsynced = file.unsynced();
            let kept = match left {
                Left::Nothing => 0,
                // At least one byte of the first line, and not all of it.
                Left::TornLine => {
                    let line = file.bytes[file.durable..].iter();
                    let line = line.take_while(|byte| **byte != b'\n').count();
                    media.rng.random_range(1..line.max(2))
                }
                Left::Any => media.rng.random_range(0..=unsynced),
            };
            file.durable += kept;
            file.bytes.truncate(file.durable);
        }
    }

    /// The files are moved elsewhere, and new ones begun.
    pub(crate) fn set_aside(&self) {
        self.0.lock().files.clear();
    }

    /// The faults that something has met since this was last called.
    pub(crate) fn take_met(&self) -> Vec<ProcessFault> {
        std::mem::take(&mut self.0.lock().met)
    }

    /// What a loss of power would leave of each file.
    pub(crate) fn durable(&self) -> Vec<(String, Vec<u8>)> {
        let media = self.0.lock();
        let files = media.files.iter();
        files
            .map(|(name, file)| (name.clone(), file.bytes[..file.durable].to_vec()))
            .collect()
    }

    /// Whether a loss of power would leave the anchor of this position in the file.
    pub(super) fn is_durable(&self, file: &str, position: Position) -> bool {
        let media = self.0.lock();
        let Some(file) = media.files.get(file) else {
            return false;
        };
        let lines = file.bytes[..file.durable].split(|byte| *byte == b'\n');
        let anchor = lines.rev().filter_map(Anchor::parse);
        let mut same = anchor.filter(|anchor| anchor.sequence == position.sequence);
        same.any(|anchor| anchor.event_hash == position.event_hash)
    }

    /// Whether an access waits because of a fault.
    pub(super) fn is_held(&self) -> bool {
        self.0.lock().held > 0
    }

    /// Opens a file, a new one if there is none.
    pub(super) fn open(&self, name: &str) -> MediaFile {
        self.0.lock().files.entry(name.to_owned()).or_default();
        MediaFile {
            media: self.clone(),
            name: name.to_owned(),
            at: 0,
        }
    }

    /// Carries out what uses the medium at once, and says so when the medium is done: only
    /// then is synced what was to be. It goes on when nobody waits any more, as a thread
    /// would.
    pub(super) fn run_blocking<C: Clock>(&self, clock: C) -> RunBlocking {
        let media = self.clone();
        Arc::new(move |work| {
            let (media, clock) = (media.clone(), clock.clone());
            let working = tokio::spawn(async move {
                let (number, least) = media.carry_out(work);
                media.wait(&clock, least).await;
                media.done(number);
            });
            Box::pin(async move {
                let _ = working.await;
            })
        })
    }

    /// Returns the number of the work, and how long it takes at least.
    fn carry_out(&self, work: Work) -> (u64, u64) {
        let (number, least) = {
            let mut media = self.0.lock();
            media.last_work += 1;
            let number = media.last_work;
            media.working = Some(number);
            (number, media.rng.random_range(ACCESS_MS))
        };
        work();
        self.0.lock().working = None;
        (number, least)
    }

    async fn wait(&self, clock: &impl Clock, least: u64) {
        let began = clock.now();
        let mut is_held = false;
        loop {
            clock.sleep(Duration::from_millis(least.min(TICK_MS))).await;
            let passed = clock.now().saturating_sub(began);
            let mut media = self.0.lock();
            let is_over = |millis| passed >= Duration::from_millis(millis);
            if is_over(least) && is_over(media.delay) {
                media.held -= usize::from(is_held);
                return;
            }
            if is_over(least) && !is_held {
                is_held = true;
                media.held += 1;
                media.met.push(ProcessFault::AnchorMediumSlow);
            }
        }
    }

    fn done(&self, number: u64) {
        let mut media = self.0.lock();
        let media = &mut *media;
        let (synced, others) = media
            .syncing
            .drain(..)
            .partition(|(work, ..)| *work == number);
        media.syncing = others;
        let synced: Vec<(u64, String, usize)> = synced;
        for (_, name, length) in synced {
            if let Some(file) = media.files.get_mut(&name) {
                file.durable = file.durable.max(length.min(file.bytes.len()));
            }
        }
    }
}

impl Content {
    fn unsynced(&self) -> usize {
        self.bytes.len() - self.durable
    }
}

/// A file on it.
pub(super) struct MediaFile {
    media: AnchorMedia,
    name: String,
    /// Where it is read.
    at: u64,
}

impl MediaFile {
    fn with<T>(&self, f: impl FnOnce(&mut Media, &str) -> io::Result<T>) -> io::Result<T> {
        f(&mut self.media.0.lock(), &self.name)
    }
}

impl Media {
    fn file(&mut self, name: &str) -> io::Result<&mut Content> {
        self.files
            .get_mut(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Read for MediaFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        let read = self.with(|media, name| {
            let left = media.file(name)?.bytes.get(at..).unwrap_or_default();
            let read = left.len().min(buffer.len());
            buffer[..read].copy_from_slice(&left[..read]);
            Ok(read)
        })?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for MediaFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.with(|media, name| Ok(media.file(name)?.bytes.len() as u64))?;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Write for MediaFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|media, name| {
            let mut taken = bytes.len();
            if let Some(full) = &mut media.full {
                taken = taken.min(usize::try_from(full.room).unwrap_or(usize::MAX));
                full.room -= taken as u64;
                if taken < bytes.len() {
                    media.met.push(ProcessFault::AnchorMediumFull);
                }
            }
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            media.file(name)?.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AnchorMedium for MediaFile {
    fn sync(&mut self) -> io::Result<()> {
        self.with(|media, name| {
            if media.full.as_ref().is_some_and(|full| full.fails_syncs) {
                media.met.push(ProcessFault::AnchorMediumFull);
                return Err(io::ErrorKind::StorageFull.into());
            }
            let length = media.file(name)?.bytes.len();
            if let Some(number) = media.working {
                media.syncing.push((number, name.to_owned(), length));
            }
            Ok(())
        })
    }
}
