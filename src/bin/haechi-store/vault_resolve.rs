//! `vault resolve`: what became of a mutation whose outcome was unknown.

use haechi_store_redis::vault::{
    ReceiptHandle, Version,
    store::{Load, VaultStore as _},
};
use serde_json::json;

use crate::{
    args::Global,
    console::Console,
    exit::{Exit, Failure},
    resolved::{IfOpenArg, resolve_failure, tell},
    vault_open::store,
};

/// Tell what became of a mutation whose outcome was unknown
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints `applied at N`, the vault's version that it made, or `not applied`, if it was dropped for \
good, or `still open`, if an attempt of it that is under way can still be applied; exits with 0, 1 \
or 3. RECEIPT is the \"handle\" that a command printed for an outcome that was unknown, or that \
`vault tokenize` wrote to its --tickets file.

--settle drops it if it is open, by a receipt of its own, and tells `applied` or `not applied`.

Receipts are kept for as long as any replica's deadline, and the newest 10,000 longer. If the \
receipt may be gone, or the vault was rolled back since, nothing tells any more: stdout has \
{\"outcome\":\"unknown\", \"handle\"}, and the exit code is 3. So it is if what --settle found out is \
not as durable as --durability asks by the deadline; stderr says what it found.

Example:
  haechi-store vault resolve --settle \"$RECEIPT\"")]
pub(crate) struct Args {
    /// The handle of the receipt
    #[arg(value_name = "RECEIPT", allow_hyphen_values = true)]
    receipt: String,

    #[command(flatten)]
    if_open: IfOpenArg,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let handle: ReceiptHandle = args
        .receipt
        .parse()
        .map_err(|error| Failure::error(format!("{error}; give what was printed as \"handle\"")))?;
    let client = global.client()?;
    let builder = global.comparing_builder()?;
    let seen = handle.observed();
    let loaded = store(global, &client).load(Load::Some(&[]), &seen).await;
    let is_empty =
        loaded.is_ok_and(|loaded| loaded.newest.is_none() && loaded.version == Version::default());
    args.if_open
        .unless_empty(is_empty, &global.vault_prefix, &handle)?;
    let resolved = builder
        .resolve_mutation(client.clone(), &handle, args.if_open.into())
        .await
        .map_err(|error| resolve_failure(&client, &handle, &error))?
        .map(Version::get);
    let version = resolved
        .applied()
        .map(|version| json!({ "version": version }));
    tell(resolved, version, console)
}
