//! The command line as a whole; each command's own arguments are in its file.

use std::{fmt, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use haechi_store_redis::Durability;

use crate::{
    audit_append, audit_export, audit_follow, audit_head, audit_repair, audit_resolve,
    audit_resume, audit_verify, bench_audit, bench_sweep, bench_vault, documents, keys_init,
    keys_rotate, keys_status, ready, vault_detokenize, vault_list, vault_purge, vault_resolve,
    vault_resume, vault_reveal, vault_tokenize,
};

/// A tamper-evident audit chain and a token vault that any number of replicas share in Redis
#[derive(Debug, Parser)]
#[command(
    name = "haechi-store",
    version,
    max_term_width = 80,
    after_help = "\
Exit codes: 0 success · 1 negative result · 2 usage or I/O error · 3 outcome unknown

Example:
  echo '{\"id\":\"evt-1\",\"operation\":\"protect\"}' | haechi-store audit append
  haechi-store audit verify"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Where Redis is, by default redis://127.0.0.1:6379; rediss:// for TLS, trusting the system's
    /// authorities or those in $SSL_CERT_FILE; redis+sentinel://HOST:PORT,…/NAME for the primary
    /// that Sentinels name, redis+cluster://HOST:PORT,… for a cluster; user and password in the
    /// URL, or in $REDIS_USERNAME and $REDIS_PASSWORD
    #[arg(
        long,
        alias = "url",
        global = true,
        env = "REDIS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) redis: Option<RedisUrl>,

    /// For TLS, trust only the authority of this file, in PEM; read at each connection
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// For TLS, this process's certificate, in PEM; read at each connection
    #[arg(long, global = true, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// For TLS, the key of that certificate, in PEM
    #[arg(long, global = true, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// What the names of the audit chain's keys begin with
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        default_value = "haechi:audit:"
    )]
    pub(crate) audit_prefix: String,

    /// What the names of the token vault's keys begin with
    #[arg(
        long,
        global = true,
        value_name = "PREFIX",
        default_value = "haechi:tv:"
    )]
    pub(crate) vault_prefix: String,

    /// Where a write must be before it counts as done: memory (of Redis), fsync (its disk), or replicas:N
    #[arg(long, global = true, value_name = "LEVEL", default_value = "memory")]
    pub(crate) durability: Durability,

    /// How long one operation may take
    #[arg(long, global = true, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) deadline: Duration,

    /// Keep in this file what this process sees of chain and vault: a rollback is then found after
    /// a restart, too; one file a process
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) seen: Option<PathBuf>,

    /// Print summaries on stdout as well, as JSON lines
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The audit chain: append, verify, export
    Audit(Audit),
    /// The token vault: tokenize, reveal, purge
    Vault(VaultArgs),
    /// The encryption keys of the vault: make, rotate, look at
    Keys(Keys),
    /// Whether this Redis can be written to and trusted with a chain
    Ready(ready::Args),
    /// Measure this Redis, on keys of its own
    Bench(Bench),
    /// Print a shell's completions
    Completions(documents::CompletionsArgs),
    /// Write man pages, one for each command
    Man(documents::ManArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store audit append < events.jsonl
  haechi-store audit verify")]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Append events from stdin, one JSON object a line
    Append(audit_append::Args),
    /// Check every record, link and hash, in Redis or in a file
    Verify(audit_verify::Args),
    /// Print the records as JSON lines
    Export(audit_export::Args),
    /// Print the last record's sequence and hash
    Head(audit_head::Args),
    /// Tell what became of an append whose outcome was unknown
    Resolve(audit_resolve::Args),
    /// Print records as they are appended, until Ctrl-C
    Follow(audit_follow::Args),
    /// Rebuild the head from the verified list, when the keys disagree
    Repair(audit_repair::Args),
    /// Go on after a rollback; leaves a record of what was lost
    Resume(audit_resume::Args),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store keys init --key-file vault.keys
  printf 'anna@example.com\\n' | haechi-store vault tokenize --type email \\
    --key-file vault.keys")]
pub(crate) struct VaultArgs {
    #[command(subcommand)]
    pub(crate) command: VaultCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultCommand {
    /// Turn plaintexts from stdin into tokens
    Tokenize(vault_tokenize::Args),
    /// Print what a token stands for; recorded in the audit chain
    Reveal(vault_reveal::Args),
    /// Restore the plaintexts of tokens from stdin; recorded in the audit chain
    Detokenize(vault_detokenize::Args),
    /// Delete a token; recorded in the audit chain
    Purge(vault_purge::Args),
    /// Delete every token whose retention has ended; recorded in the audit chain
    PurgeExpired(vault_purge::ExpiredArgs),
    /// List live tokens, without their plaintexts; needs no key
    List(vault_list::Args),
    /// Tell what became of a mutation whose outcome was unknown
    Resolve(vault_resolve::Args),
    /// Go on after a rollback of the vault; recorded in the audit chain
    Resume(vault_resume::Args),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store bench audit --replicas 4 --writers 16")]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Replicas that append to one chain at the same time
    Audit(bench_audit::Args),
    /// Replicas that share one vault
    Vault(bench_vault::Args),
    /// What contention costs, by the number of contenders
    Sweep(bench_sweep::Args),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store keys init --key-file keys.json
  haechi-store keys status --key-file keys.json")]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new key file with one active key
    Init(keys_init::Args),
    /// Make a new active key; the others are retired and still decrypt
    Rotate(keys_rotate::Args),
    /// Print the keys' names, ages and use; never a key
    Status(keys_status::Args),
}

/// A URL that may contain a password, so it is never shown.
#[derive(Clone)]
pub(crate) struct RedisUrl(pub(crate) String);

impl From<String> for RedisUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or("give a number of seconds above 0, fractions allowed")
}
