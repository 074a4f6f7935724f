//! Production scripts with one passage replaced.

use haechi_store_redis::redis::script::Script;
use thiserror::Error;

/// A patch that does not fit the script any more: the bug would not be there,
/// or would be more than one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a patch of the Lua applies {found} times rather than once: {passage:?}")]
pub struct StalePatch {
    passage: &'static str,
    found: usize,
}

/// `script` with `passage` replaced, which must be in it exactly once.
pub(super) fn patched(script: &str, passage: &'static str, by: &str) -> Result<Script, StalePatch> {
    replaced(script, passage, by).map(Script::new)
}

/// The same, as text.
pub(super) fn replaced(
    script: &str,
    passage: &'static str,
    by: &str,
) -> Result<String, StalePatch> {
    match script.matches(passage).count() {
        1 => Ok(script.replacen(passage, by, 1)),
        found => Err(StalePatch { passage, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches a patch that is left out without a word, so that the production
    /// store passes for a broken one.
    #[test]
    fn a_patch_that_does_not_apply_once_is_refused() {
        assert!(patched("return 1", "return 1", "return 2").is_ok());
        for (passage, found) in [("return 3", 0), ("return", 2)] {
            let refused = patched("return 1; return 2", passage, "").unwrap_err();
            assert_eq!(refused, StalePatch { passage, found });
            assert!(refused.to_string().contains(passage));
        }
    }
}
