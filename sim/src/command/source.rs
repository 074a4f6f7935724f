//! Where commands that look at one world get it from: a seed, or a file.

use std::path::PathBuf;

use clap::Args;

use super::WorldArgs;
use crate::schedule::{Document, Schedule};

/// One world.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Source {
    /// The seed that its schedule is drawn from
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A file with its schedule, as shrink writes it
    #[arg(value_name = "FILE")]
    pub schedule: Option<PathBuf>,
}

impl Source {
    /// The schedule, and the store that runs under it.
    ///
    /// # Errors
    ///
    /// When the file holds none, for people.
    pub fn document(&self, world: &WorldArgs) -> Result<Document, String> {
        let Some(path) = &self.schedule else {
            return Ok(Document {
                store: world.store,
                violates: None,
                schedule: Schedule::draw(self.seed.unwrap_or_default(), &world.options()),
            });
        };
        let at = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{at} cannot be read: {error}"))?;
        Document::parse(&text).map_err(|error| format!("{at}: {error}"))
    }
}
