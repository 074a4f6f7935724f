//! A script that is patched on the way to Redis, for those that no store's hook sends.

use haechi_store_redis::redis::script::{REPAIR, Script};
use redis::Cmd;

use crate::mutants::{
    bug::{PlantedBug, words},
    patch::{StalePatch, patched},
};

/// Repairs by a script with one passage replaced.
pub(in crate::mutants) struct PatchedRepair(Script);

impl PatchedRepair {
    pub(in crate::mutants) fn new(passage: &'static str, by: &str) -> Result<Self, StalePatch> {
        patched(REPAIR, passage, by).map(Self)
    }
}

impl PlantedBug for PatchedRepair {
    fn instead(&self, command: &Cmd) -> Option<Cmd> {
        let production = Script::new(REPAIR).call(&[]);
        let name = *words(&production).get(1)?;
        match words(command)[..] {
            [b"SCRIPT", b"LOAD", text] if text == REPAIR.as_bytes() => Some(self.0.load()),
            [b"EVALSHA", called, count, ref rest @ ..] if called == name => {
                let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
                let (keys, arguments) = rest.split_at_checked(count)?;
                let keys: Result<Vec<&str>, _> =
                    keys.iter().map(|key| std::str::from_utf8(key)).collect();
                let mut call = self.0.call(&keys.ok()?);
                arguments.iter().for_each(|word| _ = call.arg(*word));
                Some(call)
            }
            _ => None,
        }
    }
}
