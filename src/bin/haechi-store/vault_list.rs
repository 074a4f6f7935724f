//! `vault list`: the metadata of tokens, without a key.

use std::io::Write;

use haechi_store_redis::vault::TokenType;

use crate::{
    args::Global,
    connection::read_failure,
    console::{self, Console},
    exit::{Exit, Failure},
    vault_open::store,
};

/// List live tokens, without their plaintexts; needs no key
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints {\"token\", \"type\", \"createdAt\", \"expiresAt\", \"metadata\"} for each, in the order of their names. \
Fields of the vault that are no token records are named on stderr, and the exit code is 1.

Example:
  haechi-store vault list --type email")]
pub(crate) struct Args {
    /// Only tokens of this type
    #[arg(long = "type", value_name = "T", value_parser = TokenType::new)]
    token_type: Option<TokenType>,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let client = global.client()?;
    let builder = global.comparing_builder()?;
    let tokens = builder.token_store(store(global, &client));
    if global.seen.is_some() {
        let seen = tokens.read_tokens(&[]).await;
        seen.map_err(|error| read_failure(&client, &error))?;
    }
    let listing = tokens.export_metadata(args.token_type.as_ref()).await;
    let listing = listing.map_err(|error| read_failure(&client, &error))?;
    let mut out = console::stdout();
    for token in &listing.tokens {
        console::json_line(&mut out, token)?;
    }
    out.flush()?;
    for field in &listing.quarantined {
        console.warn(&format!(
            "the field {:?} of the vault is not a token record: {}",
            field.field, field.detail
        ));
    }
    if listing.quarantined.is_empty() {
        console.note(&format!("{} tokens", listing.tokens.len()));
        return Ok(Exit::Success);
    }
    Err(Failure::negative(format!(
        "{} fields of the vault are not token records; the {} tokens listed are whole. Restore \
         those fields from a backup, or purge them",
        listing.quarantined.len(),
        listing.tokens.len()
    )))
}
