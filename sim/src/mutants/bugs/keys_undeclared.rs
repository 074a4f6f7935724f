//! Scripts that name only their first key as a key: a node to which a slot is moving runs
//! them as soon as that one has come, or before.

use std::{collections::BTreeMap, sync::Mutex};

use haechi_store_redis::redis::script::Script;
use redis::Cmd;

use super::lock;
use crate::mutants::bug::{PlantedBug, words};

/// What a script begins with whose keys but the first come as arguments, after all others
/// and before the last one, which says how many keys there are.
const TAKE_KEYS: &str =
    "for place = tonumber(table.remove(ARGV)), 2, -1 do KEYS[place] = table.remove(ARGV) end";

/// Holds such scripts, by the names of those in whose place they are.
#[derive(Default)]
pub(in crate::mutants) struct KeysUndeclared(Mutex<BTreeMap<Vec<u8>, Script>>);

impl PlantedBug for KeysUndeclared {
    fn instead(&self, command: &Cmd) -> Option<Cmd> {
        match words(command)[..] {
            [b"SCRIPT", b"LOAD", text] => {
                let text = String::from_utf8(text.to_vec()).ok()?;
                let script = Script::new(format!("{TAKE_KEYS}\n{text}"));
                let load = script.load();
                let call = Script::new(text).call(&[]);
                let name = *words(&call).get(1)?;
                lock(&self.0).insert(name.to_vec(), script);
                Some(load)
            }
            [b"EVALSHA", name, count, ref rest @ ..] => {
                let count: usize = std::str::from_utf8(count).ok()?.parse().ok()?;
                let (keys, arguments) = rest.split_at_checked(count)?;
                let (first, others) = keys.split_first()?;
                let first = std::str::from_utf8(first).ok()?;
                let mut call = lock(&self.0).get(name)?.call(&[first]);
                for word in arguments.iter().chain(others) {
                    call.arg(*word);
                }
                call.arg(count);
                Some(call)
            }
            _ => None,
        }
    }
}
