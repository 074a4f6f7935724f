//! The world that a command reads: by a seed, or from a file.

use std::path::PathBuf;

use clap::Args;

use super::WorldArgs;
use crate::{
    mutants::Variant,
    plan::{Document, Schedule},
};

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
    /// When the file holds none, as text.
    pub fn document(&self, world: &WorldArgs) -> Result<(Document, Variant), String> {
        let Some(path) = &self.schedule else {
            let document = Document {
                store: world.store.name().to_owned(),
                violates: None,
                schedule: Schedule::draw(self.seed.unwrap_or_default(), &world.options()),
            };
            return Ok((document, world.store));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        read(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Reads a schedule, and finds the store that it names.
///
/// # Errors
///
/// When the text is not a schedule, or names an unknown store.
pub(super) fn read(text: &str) -> Result<(Document, Variant), String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let store = document.store.parse();
    let store =
        store.map_err(|error| format!("no schedule that haechi-sim can replay: {error}"))?;
    Ok((document, store))
}
