//! The production scripts of the vault with one line broken.

use haechi_store_redis::redis::script::{VAULT_APPLY, VAULT_SETTLE};

use super::vault::VaultMutant;

const FENCE: &str = "if moved then return";
const CHANGES: &str = "\
all(redis.call, 'HDEL', KEYS[1], deletes)
all(redis.call, 'HSET', KEYS[1], sets)
";
const BUMP: &str = "local version = redis.call('INCR', KEYS[2])";
const RECEIPT: &str = "if settled(state) then return {'settled', state.receipt} end";
const TOMBSTONE: &str = "local mark = note(state, ARGV[4], 'dropped', {})";

/// The apply script of a variant.
pub(super) fn apply(mutant: Option<VaultMutant>) -> String {
    match mutant {
            Some(VaultMutant::VaultNoFence | VaultMutant::VaultLockTrusted) => {
                broken(VAULT_APPLY, FENCE, "if false then return")
            }
            Some(VaultMutant::DeleteKeepsVersion) => broken(
                VAULT_APPLY,
                BUMP,
                "local version = state.version
                 if #sets > 0 then version = redis.call('INCR', KEYS[2]) end",
            ),
            Some(VaultMutant::DeletesAfterSets) => broken(
                VAULT_APPLY,
                CHANGES,
                "for place = 1, compared do
                   for at = 1, #sets, 2 do
                     if found[place] and sets[at] == ids[place] then deletes[#deletes + 1] = ids[place] end
                   end
                 end
                 all(redis.call, 'HSET', KEYS[1], sets)
                 all(redis.call, 'HDEL', KEYS[1], deletes)
                 ",
            ),
            Some(VaultMutant::ScriptRunTwice) => broken(VAULT_APPLY, RECEIPT, ""),
            _ => VAULT_APPLY.to_owned(),
        }
}

/// A settle script that leaves nothing behind.
pub(super) fn settle_without_tombstone() -> String {
    broken(VAULT_SETTLE, TOMBSTONE, "local mark = 0")
}

/// `script` with `line` replaced: one that is not there any more would leave
/// the production script, which no check would catch.
fn broken(script: &str, line: &str, by: &str) -> String {
    debug_assert!(script.contains(line), "{line:?} is no part of the script");
    script.replace(line, by)
}
