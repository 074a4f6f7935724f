//! `keys status`: the keys and their use.

use haechi_store_redis::crypto::manage;
use serde::Serialize;

use crate::{
    args::Global,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::{KeyFileArg, ShownKey, warn_if_worn},
};

/// Print the keys' names, ages and use; never a key
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"keys\":[{\"kid\", \"status\", \"createdAt\", \"used\", \"limit\"}, …]}, the active key first. \
`used` counts in full what running processes have set aside; `createdAt` is null where the file \
does not say.

Example:
  haechi-store keys status --key-file keys.json")]
pub(crate) struct Args {
    #[command(flatten)]
    file: KeyFileArg,
}

#[derive(Serialize)]
struct Answer<'a> {
    keys: Vec<ShownKey<'a>>,
}

pub(crate) async fn run(args: Args, _: &Global, console: &Console) -> Result<Exit, Failure> {
    let keys = manage::status(&args.file.open()).await?;
    let answer = Answer {
        keys: keys.iter().map(ShownKey::from).collect(),
    };
    console::answer(&answer)?;
    warn_if_worn(&keys, console);
    Ok(Exit::Success)
}
