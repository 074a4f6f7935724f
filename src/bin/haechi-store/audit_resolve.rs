//! `audit resolve`: what became of an append whose outcome was unknown.

use haechi_store_redis::{Handle, audit::store::AuditStore as _};
use serde_json::json;

use crate::{
    args::Global,
    console::Console,
    exit::{Exit, Failure},
    resolved::{IfOpenArg, resolve_failure, tell},
};

/// Tell what became of an append whose outcome was unknown
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Prints `applied at N`, its sequence, or `not applied`, if it is not in the chain and no copy of it \
that is under way can be any more, or `still open`; exits with 0, 1 or 3. HANDLE is what \
`audit append` printed for an outcome that was unknown, or wrote to its --tickets file.

An append that was sent is open as long as the chain ends where it was sealed onto. One of which \
only a ticket is known is open until it is found: its process may still send it. --settle appends \
a record {\"operation\":\"audit:fence\"} where it would stand, and tells then whether it was applied; \
for a ticket that is final only once the process that took it has ended.

If the chain was rolled back or trimmed since, nothing tells any more: stdout has \
{\"outcome\":\"unknown\", \"handle\"}, and the exit code is 3. So it is if what --settle found out is \
not as durable as --durability asks by the deadline; stderr says what it found.

Example:
  haechi-store audit append --tickets tickets.jsonl < events.jsonl
  haechi-store audit resolve \\
    --settle \"$(tail -n 1 tickets.jsonl | jq -r .handle)\"")]
pub(crate) struct Args {
    /// The handle
    #[arg(value_name = "HANDLE", allow_hyphen_values = true)]
    handle: String,

    #[command(flatten)]
    if_open: IfOpenArg,
}

pub(crate) async fn run(args: Args, global: &Global, console: &Console) -> Result<Exit, Failure> {
    let handle: Handle = args.handle.parse().map_err(|error| {
        Failure::error(format!(
            "{error}; give what `audit append` printed as \"handle\""
        ))
    })?;
    let client = global.client()?;
    let builder = global.comparing_builder()?;
    let tail = global.store(&client).tail(handle.base.position()).await;
    let is_empty = tail.is_ok_and(|tail| tail.head.is_empty()) && handle.base.is_empty();
    args.if_open
        .unless_empty(is_empty, &global.audit_prefix, &handle)?;
    let resolved = builder
        .resolve_append(client.clone(), &handle, args.if_open.into())
        .await
        .map_err(|error| resolve_failure(&client, &handle, &error))?;
    let details = resolved.applied().map(|position| {
        json!({
            "sequence": position.sequence.get(),
            "eventHash": position.event_hash.to_text(),
        })
    });
    let resolved = resolved.map(|position| position.sequence.get());
    tell(resolved, details, console)
}
