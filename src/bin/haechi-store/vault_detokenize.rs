//! `vault detokenize`: many tokens' plaintexts, audited.

use std::io::Write;

use haechi_store_redis::vault::{DetokenizeError, VaultPolicy};
use serde::Serialize;

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    input::Texts,
    key_file::KeyFileArg,
    vault_open::{IdentityArg, Open, append_failure},
};

/// Restore the plaintexts of tokens from stdin; recorded in the audit chain
#[derive(clap::Args, Debug)]
#[command(after_help = "\
One token a line. Prints {\"token\", \"plaintext\"} for each, in the order of the input; null for one \
that is missing, expired or does not decrypt. Tokens are restored, and audited, 256 at a time.

Example:
  haechi-store vault detokenize --key-file vault.keys < tokens.txt")]
pub(crate) struct Args {
    #[command(flatten)]
    who: IdentityArg,

    #[command(flatten)]
    keys: KeyFileArg,
}

/// Tokens restored and audited in one call.
const TOGETHER: usize = 256;

#[derive(Serialize)]
struct Line<'a> {
    token: &'a str,
    plaintext: Option<&'a str>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let open = Open::identified(&args.keys, global, VaultPolicy::default(), &args.who).await?;
    let ended = detokenize(&open, console).await;
    open.close(global, console).await;
    ended
}

async fn detokenize(open: &Open, console: &Console) -> Result<Exit, Failure> {
    let mut texts = Texts::from_stdin();
    let (mut asked, mut restored) = (0_u64, 0_u64);
    let mut bad = None;
    loop {
        let mut tokens = Vec::new();
        while tokens.len() < TOGETHER && bad.is_none() {
            match texts.next().await {
                Ok(Some((_, token))) => tokens.push(token.to_string()),
                Ok(None) => break,
                Err(error) => bad = Some(error),
            }
        }
        if tokens.is_empty() {
            break;
        }
        let lines = open.vault.detokenize(&tokens).await;
        let lines = lines.map_err(|error| match &error {
            DetokenizeError::Read(error) => read_failure(&open.client, error),
            DetokenizeError::Keys(_) | DetokenizeError::Closed | DetokenizeError::Abandoned => {
                Failure::error(error.to_string())
            }
            DetokenizeError::NotAudited(cause) => {
                append_failure(&open.client, cause, &error.to_string())
            }
        })?;
        let mut out = console::stdout();
        for line in &lines {
            let plaintext = line.plaintext.as_ref().map(|plaintext| plaintext.expose());
            asked += 1;
            restored += u64::from(plaintext.is_some());
            let token = &line.token;
            console::json_line(&mut out, &Line { token, plaintext })?;
        }
        out.flush()?;
    }
    console.note(&format!("{restored} of {asked} tokens restored"));
    match bad {
        None => Ok(Exit::Success),
        Some(bad) => Err(Failure::negative(bad.to_string())),
    }
}
