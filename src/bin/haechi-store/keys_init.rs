//! `keys init`: a new key file.

use haechi_store_redis::{clock::SystemClock, crypto::manage, entropy::SystemEntropy};

use crate::{
    args::Global,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::{KeyFileArg, ShownKey},
};

/// Make a new key file with one active key
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"kid\", \"status\", \"createdAt\", \"used\", \"limit\"}. A file that exists is refused (exit code 1) \
and not changed: what its keys encrypted could not be decrypted any more.

Example:
  haechi-store keys init --key-file keys.json")]
pub(crate) struct Args {
    #[command(flatten)]
    file: KeyFileArg,
}

pub(crate) async fn run(args: Args, _: &Global, console: &Console) -> Result<Exit, Failure> {
    let file = args.file.open();
    let keys = manage::init(&file, &SystemClock::new(), &SystemEntropy).await?;
    if let Some(key) = keys.first() {
        console::answer(&ShownKey::from(key))?;
        console.note(&format!(
            "made {} with the key {}; keep a copy where only you can read it: \
             without it, no token can be revealed",
            args.file.shown(),
            key.kid
        ));
    }
    Ok(Exit::Success)
}
