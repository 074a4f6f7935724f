//! `keys rotate`: adds a new active key and retires the others.

use haechi_store_redis::{
    clock::SystemClock,
    crypto::{KeyStatus, manage},
    entropy::SystemEntropy,
};
use serde::Serialize;

use crate::{
    args::Global,
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::{KeyFileArg, ShownKey},
};

/// Make a new active key; the others are retired and still decrypt
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"kid\", \"status\", \"createdAt\", \"used\", \"limit\", \"retired\"}: the new key, and the names of the \
others. Running processes notice within five seconds; copies of the file elsewhere do not.

Example:
  haechi-store keys rotate --key-file keys.json")]
pub(crate) struct Args {
    #[command(flatten)]
    file: KeyFileArg,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    active: ShownKey<'a>,
    retired: Vec<&'a str>,
}

pub(crate) async fn run(args: Args, _: &Global, console: &Console) -> Result<Exit, Failure> {
    let file = args.file.open();
    let keys = manage::rotate(&file, &SystemClock::new(), &SystemEntropy).await?;
    if let [active, retired @ ..] = &keys[..] {
        let name = |key: &'_ KeyStatus| key.kid.to_string();
        let answer = Answer {
            active: active.into(),
            retired: retired.iter().map(|key| key.kid.as_str()).collect(),
        };
        console::answer(&answer)?;
        let names: Vec<_> = retired.iter().map(name).collect();
        console.note(&format!(
            "the key {} is active now; retired, and still needed to decrypt: {}",
            active.kid,
            names.join(", ")
        ));
    }
    Ok(Exit::Success)
}
