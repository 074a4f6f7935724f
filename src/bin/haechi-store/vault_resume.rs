//! `vault resume`: accepts what a rollback of the vault lost; audited.

use std::{ops::RangeInclusive, str::FromStr};

use haechi_store_redis::{
    redis::Endpoint,
    vault::{VaultPolicy, VaultResumeError, Version},
};

use crate::{
    args::Global,
    connection::{place, read_failure},
    console::{self, Console},
    exit::{Exit, Failure},
    key_file::KeyFileArg,
    vault_open::{Open, append_failure},
};

/// Go on after a rollback of the vault; recorded in the audit chain
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"lost\"}. First appends a record to the audit chain: operation \
token-vault:rollback-accepted, lost {from,to}. Then the file of --seen begins with the vault as it is \
now. Other processes go on once they are restarted, those with a file of their own after \
`vault resume` with theirs. If the audit chain was rolled back, too, `audit resume` comes first.

Example:
  haechi-store vault resume --accept 71..90 --seen seen.json \\
    --key-file vault.keys")]
pub(crate) struct Args {
    /// The first and the last lost version, both included
    #[arg(long, value_name = "A..B")]
    accept: Lost,

    #[command(flatten)]
    keys: KeyFileArg,
}

#[derive(Clone, Debug)]
struct Lost(RangeInclusive<Version>);

impl FromStr for Lost {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version = |text: &str| text.parse().ok().map(Version::new);
        text.split_once("..")
            .and_then(|(first, last)| Some(Self(version(first)?..=version(last)?)))
            .filter(|Self(lost)| !lost.is_empty())
            .ok_or("give the first and the last lost version, both included, as in 71..90")
    }
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    if global.seen.is_none() {
        return Err(Failure::error(
            "--seen FILE is needed, the file of what this process has seen: a process without \
             one goes on once it is restarted",
        ));
    }
    let Lost(lost) = args.accept;
    let open = Open::new(&args.keys, global, VaultPolicy::default()).await?;
    let client = open.client.clone();
    let resumed = open.vault.resume(lost.clone()).await;
    open.close(global, console).await;
    resumed.map_err(|error| failure(&client, &error))?;
    console::answer(&serde_json::json!({"lost": format!("{}..{}", lost.start(), lost.end())}))?;
    Ok(Exit::Success)
}

fn failure(client: &Endpoint, error: &VaultResumeError) -> Failure {
    match error {
        VaultResumeError::Read(error) => read_failure(client, error),
        VaultResumeError::NotAudited(cause) => append_failure(client, cause, &error.to_string()),
        error => Failure::negative(format!("Redis at {}: {error}", place(client))),
    }
}
