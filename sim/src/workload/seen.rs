//! Where a process keeps what it has seen: in memory that outlives it.

use std::{io, sync::Arc, time::Duration};

use haechi_store_redis::{RunBlocking, SeenFile, SeenMedium, clock::Clock};
use parking_lot::Mutex;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How long it takes until what is written outlives a crash, in milliseconds.
const WRITE_MS: std::ops::RangeInclusive<u64> = 1..=15;

/// The medium of one process.
#[derive(Clone)]
pub(crate) struct SeenMedia(Arc<Mutex<Media>>);

struct Media {
    rng: ChaCha8Rng,
    durable: Option<String>,
    /// Written, and not durable yet.
    written: Option<String>,
}

impl SeenMedia {
    /// An empty medium.
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self(Arc::new(Mutex::new(Media {
            rng,
            durable: None,
            written: None,
        })))
    }

    /// It is moved elsewhere, and a new one begun.
    pub(crate) fn set_aside(&self) {
        let mut media = self.0.lock();
        (media.durable, media.written) = (None, None);
    }

    /// What outlived the process before, opened; what had not become durable is gone.
    /// `is_read`: whether it begins with that.
    pub(super) fn open<C: Clock>(&self, clock: C, is_read: bool) -> io::Result<SeenFile> {
        self.0.lock().written = None;
        let medium = Opened {
            media: self.clone(),
            is_read,
        };
        SeenFile::over(medium, self.run_blocking(clock))
    }

    /// Carries out at once what writes, and says so when it is durable.
    fn run_blocking<C: Clock>(&self, clock: C) -> RunBlocking {
        let media = self.clone();
        Arc::new(move |work| {
            work();
            let (media, clock) = (media.clone(), clock.clone());
            let takes = media.0.lock().rng.random_range(WRITE_MS);
            let writing = tokio::spawn(async move {
                clock.sleep(Duration::from_millis(takes)).await;
                let mut media = media.0.lock();
                if let Some(written) = media.written.take() {
                    media.durable = Some(written);
                }
            });
            Box::pin(async move {
                let _ = writing.await;
            })
        })
    }
}

/// It, as a process opens it.
struct Opened {
    media: SeenMedia,
    is_read: bool,
}

impl SeenMedium for Opened {
    fn place(&self) -> String {
        "what was seen".to_owned()
    }

    fn read(&self) -> io::Result<Option<String>> {
        let durable = self.media.0.lock().durable.clone();
        Ok(durable.filter(|_| self.is_read))
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        self.media.0.lock().written = Some(text.to_owned());
        Ok(())
    }
}
