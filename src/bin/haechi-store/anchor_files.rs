//! Anchor files that are compared with a chain.

use std::path::PathBuf;

use haechi_store_redis::{audit::read_anchor_file, chain::Anchors};

use crate::exit::Failure;

/// The anchors of all files together.
pub(crate) fn read_anchors(paths: &[PathBuf]) -> Result<Anchors, Failure> {
    let mut anchors = Anchors::new();
    for path in paths {
        read_anchor_file(path, &mut anchors).map_err(|error| {
            Failure::error(format!(
                "the anchor file {} cannot be read: {error}; nothing was done",
                path.display()
            ))
        })?;
    }
    Ok(anchors)
}
