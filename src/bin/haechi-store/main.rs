//! The operator's program: append to a chain, verify it, export it; tokenize,
//! reveal, and manage keys; check whether a Redis is ready; benchmarks.
//!
//! One command, one file. Every command is `run(args, global, console)`, prints
//! results on stdout and everything else on stderr, and returns an [`Exit`].
//! Commands do not depend on each other.

mod anchor_files;
mod append_report;
mod args;
mod audit_append;
mod audit_export;
mod audit_follow;
mod audit_head;
mod audit_repair;
mod audit_resolve;
mod audit_resume;
mod audit_verify;
mod bench;
mod bench_audit;
mod bench_sweep;
mod bench_vault;
mod connection;
mod console;
mod contention_plot;
mod documents;
mod exit;
mod input;
mod interrupt;
mod key_file;
mod keys_init;
mod keys_rotate;
mod keys_status;
mod reading;
mod ready;
mod resolved;
mod stored;
mod tickets;
mod vault_detokenize;
mod vault_list;
mod vault_open;
mod vault_purge;
mod vault_resolve;
mod vault_resume;
mod vault_reveal;
mod vault_tokenize;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{AuditCommand, BenchCommand, Cli, Command, Global, KeysCommand, VaultCommand},
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
    // reads and writes use tokio's blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli, &console));
            // A pending read of stdin must not delay the end.
            runtime.shutdown_background();
            outcome.unwrap_or_else(|failure| failure.print(&console))
        }
        Err(error) => Failure::error(format!(
            "no runtime: {error}; free file descriptors or memory, and try again"
        ))
        .print(&console),
    };
    exit.into()
}

async fn run(cli: Cli, console: &Console) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Audit(audit) => match audit.command {
            AuditCommand::Append(args) => audit_append::run(args, global, console).await,
            AuditCommand::Verify(args) => audit_verify::run(args, global, console).await,
            AuditCommand::Export(args) => audit_export::run(args, global, console).await,
            AuditCommand::Head(args) => audit_head::run(args, global, console).await,
            AuditCommand::Resolve(args) => audit_resolve::run(args, global, console).await,
            AuditCommand::Follow(args) => audit_follow::run(args, global, console).await,
            AuditCommand::Repair(args) => audit_repair::run(args, global, console).await,
            AuditCommand::Resume(args) => audit_resume::run(args, global, console).await,
        },
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
        Command::Ready(args) => ready::run(args, global, console).await,
        Command::Bench(bench) => match bench.command {
            BenchCommand::Audit(args) => bench_audit::run(args, global, console).await,
            BenchCommand::Sweep(args) => bench_sweep::run(args, global, console).await,
            BenchCommand::Vault(args) => bench_vault::run(args, global, console).await,
        },
        Command::Vault(vault) => vault_command(vault.command, global, console).await,
        Command::Keys(keys) => match keys.command {
            KeysCommand::Init(args) => keys_init::run(args, global, console).await,
            KeysCommand::Rotate(args) => keys_rotate::run(args, global, console).await,
            KeysCommand::Status(args) => keys_status::run(args, global, console).await,
        },
    }
}

async fn vault_command(
    command: VaultCommand,
    global: &Global,
    console: &Console,
) -> Result<Exit, Failure> {
    match command {
        VaultCommand::Tokenize(args) => vault_tokenize::run(args, global, console).await,
        VaultCommand::Reveal(args) => vault_reveal::run(args, global, console).await,
        VaultCommand::Detokenize(args) => vault_detokenize::run(args, global, console).await,
        VaultCommand::Purge(args) => vault_purge::run(args, global, console).await,
        VaultCommand::PurgeExpired(args) => vault_purge::run_expired(args, global, console).await,
        VaultCommand::Resolve(args) => vault_resolve::run(args, global, console).await,
        VaultCommand::List(args) => vault_list::run(args, global, console).await,
        VaultCommand::Resume(args) => vault_resume::run(args, global, console).await,
    }
}
