//! `cargo xtask screenshots`: the images of docs/images.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Outcome, process::cargo};

const PAGES: &str = "target/screenshots";
const IMAGES: &str = "docs/images";

/// The largest image, in bytes: all clones of the repository have it.
const LARGEST: u64 = 200_000;

/// A page, and an image of it.
struct Shot {
    image: &'static str,
    /// What of `haechi-sim` makes the page, and the page's name.
    command: &'static str,
    page: &'static str,
    /// What the page is asked to show.
    hash: &'static str,
    size: &'static str,
}

const BUG: &str = "-- replay sim/corpus/no_append_id.json";
/// Of the vault.
const PURGE: &str = "-- replay sim/corpus/purge_again.json";
/// Behind Sentinels.
const DEPOSED: &str = "-- replay sim/corpus/deposed_primary_kept.json";
/// A failover behind Sentinels. Seeds change with the faults: find another if this one has none.
const FAILOVER: &str = "-- replay --seed 5";

const SHOTS: [Shot; 13] = [
    Shot {
        image: "timeline.png",
        command: "-- replay --seed 42",
        page: "timeline",
        hash: "theme=light",
        size: "1200,640",
    },
    Shot {
        image: "planted-bug-light.png",
        command: BUG,
        page: "bug",
        hash: "theme=light&op=3",
        size: "1200,720",
    },
    Shot {
        image: "planted-bug-dark.png",
        command: BUG,
        page: "bug",
        hash: "theme=dark&op=3",
        size: "1200,720",
    },
    Shot {
        image: "failover-light.png",
        command: FAILOVER,
        page: "failover",
        hash: "theme=light",
        size: "1200,640",
    },
    Shot {
        image: "failover-dark.png",
        command: FAILOVER,
        page: "failover",
        hash: "theme=dark",
        size: "1200,640",
    },
    Shot {
        image: "deposed-primary-light.png",
        command: DEPOSED,
        page: "deposed",
        hash: "theme=light&op=2",
        size: "1200,720",
    },
    Shot {
        image: "deposed-primary-dark.png",
        command: DEPOSED,
        page: "deposed",
        hash: "theme=dark&op=2",
        size: "1200,720",
    },
    Shot {
        image: "purge-again-light.png",
        command: PURGE,
        page: "purge",
        hash: "theme=light&op=5",
        size: "1200,720",
    },
    Shot {
        image: "purge-again-dark.png",
        command: PURGE,
        page: "purge",
        hash: "theme=dark&op=5",
        size: "1200,720",
    },
    Shot {
        image: "run.png",
        command: "-- run --seeds 0..1500",
        page: "run",
        hash: "theme=light",
        size: "1200,760",
    },
    Shot {
        image: "naive-lock.png",
        command: "--example naive_lock --",
        page: "naive_lock",
        hash: "theme=light&op=16",
        size: "1200,720",
    },
    Shot {
        image: "job-queue.png",
        command: "--example job_queue -- --removed-first",
        page: "job_queue",
        hash: "theme=light&op=49",
        size: "1200,760",
    },
    Shot {
        image: "redlock-counter.png",
        command: "--example redlock_counter --",
        page: "redlock_counter",
        hash: "theme=light&op=15",
        size: "1200,760",
    },
];

/// Runs the command.
pub(crate) fn run() -> Outcome {
    let Some(chromium) = chromium() else {
        println!("chromium is missing: install it (apt-get install chromium), or set CHROMIUM");
        return Outcome::NotRun;
    };
    for folder in [PAGES, IMAGES] {
        if let Err(error) = fs::create_dir_all(folder) {
            println!("{folder}: {error}");
            return Outcome::NotRun;
        }
    }
    let mut is_made = true;
    for shot in &SHOTS {
        match shot.take(&chromium) {
            Ok(bytes) => {
                println!("{IMAGES}/{}: {bytes} bytes", shot.image);
                is_made &= bytes <= LARGEST;
            }
            Err(error) => {
                println!("{}: {error}", shot.image);
                is_made = false;
            }
        }
    }
    is_made.into()
}

impl Shot {
    /// Makes the page if it is not there from another image, and the image; returns its size.
    fn take(&self, chromium: &Path) -> io::Result<u64> {
        let page = format!("{PAGES}/{}.html", self.page);
        let is_first = SHOTS.iter().find(|shot| shot.page == self.page);
        if is_first.is_some_and(|shot| shot.image == self.image) {
            // That of a planted bug exits with 1.
            let command = self.command;
            cargo(
                &format!("run --release -q -p haechi-sim {command} --report {page}"),
                &[],
            );
        }
        let url = format!(
            "file://{}#{}",
            fs::canonicalize(&page)?.display(),
            self.hash
        );
        let image = format!("{IMAGES}/{}", self.image);
        Command::new(chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={PAGES}/profile"))
            .arg(format!("--window-size={}", self.size))
            .args([
                "--virtual-time-budget=5000",
                &format!("--screenshot={image}"),
                &url,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        Ok(fs::metadata(image)?.len())
    }
}

/// A Chromium: `$CHROMIUM`, or one on the path.
fn chromium() -> Option<PathBuf> {
    let given = env::var_os("CHROMIUM").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut programs = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    given.or_else(|| programs.find(|program| program.is_file()))
}
