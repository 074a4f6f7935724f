//! The operator's program: append to a chain, verify it, export it; tokenize,
//! reveal, and manage keys; check whether a Redis is ready; benchmarks.
//!
//! One command, one file. Every command is `run(args, global, console)`, puts
//! its results on stdout and everything else on stderr, and ends in an
//! [`Exit`]. No command's file knows another's.

mod append_report;
mod args;
mod audit_append;
mod audit_export;
mod audit_head;
mod audit_verify;
mod bench;
mod bench_audit;
mod bench_vault;
mod connection;
mod console;
mod exit;
mod input;
mod interrupt;
mod key_file;
mod keys_init;
mod keys_rotate;
mod keys_status;
mod not_built;
mod ready;
mod vault_detokenize;
mod vault_list;
mod vault_open;
mod vault_purge;
mod vault_reveal;
mod vault_tokenize;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{AuditCommand, BenchCommand, Cli, Command, KeysCommand, VaultCommand},
    console::Console,
    exit::{Exit, Failure},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return console::usage(&error).into(),
    };
    let console = Console::new(cli.global.json);
    // One thread: a command waits for Redis, not for the processor. Blocking
    // reads and writes of the pipes have tokio's blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli, &console));
            // A read of stdin that waits for input must not hold up the end.
            runtime.shutdown_background();
            outcome.unwrap_or_else(|failure| failure.tell(&console))
        }
        Err(error) => Failure::error(format!(
            "no runtime: {error}; free file descriptors or memory, and try again"
        ))
        .tell(&console),
    };
    exit.into()
}

async fn run(cli: Cli, console: &Console) -> Result<Exit, Failure> {
    let global = &cli.global;
    let built = match cli.command {
        Command::Audit(audit) => match audit.command {
            AuditCommand::Append(args) => Built::Append(args),
            AuditCommand::Verify(args) => Built::Verify(args),
            AuditCommand::Export(args) => Built::Export(args),
            AuditCommand::Head(args) => Built::Head(args),
            AuditCommand::Follow(_) => return Err(not_built::failure("audit follow")),
            AuditCommand::Repair(_) => return Err(not_built::failure("audit repair")),
            AuditCommand::Resolve(_) => return Err(not_built::failure("audit resolve")),
            AuditCommand::Resume(_) => return Err(not_built::failure("audit resume")),
        },
        Command::Ready(args) => Built::Ready(args),
        Command::Bench(bench) => match bench.command {
            BenchCommand::Audit(args) => Built::BenchAudit(args),
            BenchCommand::Vault(args) => Built::BenchVault(args),
        },
        Command::Vault(vault) => match vault.command {
            VaultCommand::Tokenize(args) => Built::Tokenize(args),
            VaultCommand::Reveal(args) => Built::Reveal(args),
            VaultCommand::Detokenize(args) => Built::Detokenize(args),
            VaultCommand::Purge(args) => Built::Purge(args),
            VaultCommand::PurgeExpired(args) => Built::PurgeExpired(args),
            VaultCommand::List(args) => Built::List(args),
        },
        Command::Keys(keys) => match keys.command {
            KeysCommand::Init(args) => Built::KeysInit(args),
            KeysCommand::Rotate(args) => Built::KeysRotate(args),
            KeysCommand::Status(args) => Built::KeysStatus(args),
        },
    };
    global.check()?;
    match built {
        Built::Append(args) => audit_append::run(args, global, console).await,
        Built::Verify(args) => audit_verify::run(args, global, console).await,
        Built::Export(args) => audit_export::run(args, global, console).await,
        Built::Head(args) => audit_head::run(args, global, console).await,
        Built::Ready(args) => ready::run(args, global, console).await,
        Built::BenchAudit(args) => bench_audit::run(args, global, console).await,
        Built::BenchVault(args) => bench_vault::run(args, global, console).await,
        Built::Tokenize(args) => vault_tokenize::run(args, global, console).await,
        Built::Reveal(args) => vault_reveal::run(args, global, console).await,
        Built::Detokenize(args) => vault_detokenize::run(args, global, console).await,
        Built::Purge(args) => vault_purge::run(args, global, console).await,
        Built::PurgeExpired(args) => vault_purge::run_expired(args, global, console).await,
        Built::List(args) => vault_list::run(args, global, console).await,
        Built::KeysInit(args) => keys_init::run(args, global, console).await,
        Built::KeysRotate(args) => keys_rotate::run(args, global, console).await,
        Built::KeysStatus(args) => keys_status::run(args, global, console).await,
    }
}

/// The commands that this version has.
enum Built {
    Append(audit_append::Args),
    Verify(audit_verify::Args),
    Export(audit_export::Args),
    Head(audit_head::Args),
    Ready(ready::Args),
    BenchAudit(bench_audit::Args),
    BenchVault(bench_vault::Args),
    Tokenize(vault_tokenize::Args),
    Reveal(vault_reveal::Args),
    Detokenize(vault_detokenize::Args),
    Purge(vault_purge::Args),
    PurgeExpired(vault_purge::ExpiredArgs),
    List(vault_list::Args),
    KeysInit(keys_init::Args),
    KeysRotate(keys_rotate::Args),
    KeysStatus(keys_status::Args),
}
