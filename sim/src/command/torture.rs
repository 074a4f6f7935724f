//! `haechi-sim torture`: the same workloads and checks against real
//! redis-server processes.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use haechi_history::{Durability, Outcome};
use haechi_store_redis::{
    audit::AuditStats,
    clock::{Clock as _, SystemClock},
    vault::VaultStats,
};
use serde_json::{Value, json};

use super::{Exit, ending::ending, progress::Progress, report};
use crate::{
    mutants::Variant,
    plan::{FaultKind, Faults, Workload},
    record::{Losses, Outcomes, RunReport, Verdict},
    torture::{Options, is_supported, rounds, torture as run},
};

/// One more than the most replicas.
const MAX_REPLICAS: u32 = 5;

/// Runs the workloads of the simulated worlds against real redis-server
/// processes, and checks what comes of them
///
/// The replicas are the production store over real sockets. redis-server is
/// killed (SIGKILL), stopped (SIGSTOP) and restarted; a proxy cuts connections
/// before a command runs, after it and in the middle of its reply; replicas
/// are paused and killed, or led to a replica of redis-server that lags.
/// redis-server runs with appendfsync always, so it keeps what it has
/// acknowledged, and everything that holds in a world has to hold. As in worlds,
/// one round in four loses data, once or twice, or each round if there are no
/// other faults (--faults data_loss): a crash without an append-only file, or
/// with one whose end was not synced; a replica that takes the place of the
/// primary; an older snapshot; FLUSHALL; keys that are evicted, deleted, or as
/// they were before. What is lost is in the history, processes that had seen it
/// have to say so, and an operator accepts the loss, repairs the chain, and starts
/// them again. Time is cut into rounds of 5 s of faults, each with a seed and an
/// empty server. Operations and the plan of faults are drawn from the seed;
/// what comes of them is not: two runs of one seed differ.
///
/// Prints {"verdict","violations","ops","faults",…} on stdout, and a summary on
/// stderr. Ends after the first round with a violation. Exit codes: 0 none, 1
/// a violation, 2 there is no redis-server (package redis-server in Debian and
/// Ubuntu, redis elsewhere), or it could not be run.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: a minute, and the history of the last round checked once more
  haechi-sim torture --seconds 60 --history history.jsonl
  haechi-sim check history.jsonl")]
pub struct TortureArgs {
    /// The program
    #[arg(
        long,
        value_name = "PATH",
        env = "REDIS_SERVER",
        hide_env_values = true,
        default_value = "redis-server"
    )]
    pub redis_server: PathBuf,
    /// How long faults strike; starting, healing and judging come on top
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Replicas, in every round; drawn from 2 to 5 if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub replicas: Option<u16>,
    /// What the replicas do: append to the chain, change the vault, or both on
    /// one Redis
    #[arg(
        long,
        value_name = "audit|vault|mixed",
        default_value = "mixed",
        hide_possible_values = true
    )]
    pub workload: Workload,
    /// Faults that strike, as of run; those only in simulated worlds are left
    /// out
    #[arg(long, value_name = "none|all|CLASS,…", default_value = "all")]
    pub faults: Faults,
    /// How durable an append or a mutation must be before it counts: in the memory of the
    /// primary, on its disk (fsync: a server with WAITAOF, that is redis 7.2 or later, or
    /// valkey), or in the memory of N replicas, which are started. What was acknowledged so
    /// must survive a loss of power, or the promotion of a replica
    #[arg(long, value_name = "memory|fsync|replicas:N", default_value = "memory", value_parser = durability)]
    pub durability: Durability,
    /// The seed of the first round; the others have the next ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print a JSON line for every round, and the verdict as the last one
    #[arg(long)]
    pub json: bool,
    /// Write the history of the last round, which is the one with the
    /// violation if there is one
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// The store that is tested: correct, or one with a planted bug (see mutants)
    #[arg(long, value_name = "correct|VARIANT", default_value = "correct")]
    pub store: Variant,
}

fn durability(text: &str) -> Result<Durability, String> {
    match text.parse()? {
        Durability::Replicas(0) | Durability::Replicas(MAX_REPLICAS..) => Err(format!(
            "replicas:N takes a number from 1 to {}",
            MAX_REPLICAS - 1
        )),
        durability => Ok(durability),
    }
}

/// The sum of all rounds.
#[derive(Default)]
struct Total {
    rounds: u64,
    violations: Vec<Value>,
    harness_errors: usize,
    outcomes: Outcomes,
    vault_outcomes: Outcomes,
    faults: BTreeMap<FaultKind, u64>,
    stats: AuditStats,
    vault_stats: VaultStats,
    losses: Losses,
    /// What acknowledgements of appends and mutations promised.
    acknowledged: BTreeMap<String, u64>,
    last: Option<RunReport>,
}

impl Total {
    fn add(&mut self, round: RunReport) {
        self.rounds += 1;
        self.violations.extend(violations(&round));
        self.harness_errors += round.harness_errors.len();
        self.outcomes.add(round.outcomes);
        self.vault_outcomes.add(round.vault_outcomes);
        for (kind, count) in &round.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for operation in round.history.operations() {
            let promised = match &operation.outcome {
                Outcome::Appended(appended) => appended.durability,
                Outcome::Mutated(mutation) => mutation.durability,
                _ => None,
            };
            if let Some(promised) = promised {
                *self.acknowledged.entry(promised.to_string()).or_default() += 1;
            }
        }
        self.stats.add(round.stats);
        self.vault_stats.add(round.vault_stats);
        for (fault, account) in &round.losses {
            self.losses.entry(fault.clone()).or_default().add(*account);
        }
        self.last = Some(round);
    }

    fn verdict(&self) -> Verdict {
        match (self.harness_errors, self.violations.is_empty()) {
            (0, true) => Verdict::Ok,
            (0, false) => Verdict::Violation,
            _ => Verdict::HarnessError,
        }
    }

    fn value(&self) -> Value {
        json!({
            "verdict": report::verdict(self.verdict()),
            "violations": self.violations,
            "ops": self.outcomes,
            "vaultOps": self.vault_outcomes,
            "faults": report::faults(&self.faults),
            "faultsNotSupported": unsupported(),
            "acknowledged": self.acknowledged,
            "losses": report::losses(&self.losses, &self.faults),
            "rounds": self.rounds,
            "conflicts": self.stats.conflicts + self.vault_stats.value_conflicts,
            "retries": self.stats.retries + self.vault_stats.retries,
            "lostReplies": self.stats.lost_replies + self.vault_stats.lost_replies,
            "settledByReading": self.stats.settled_by_reading,
            "settledByReceipt": self.vault_stats.settled_by_receipt,
        })
    }
}

/// The violations of a round, each with its seed.
fn violations(round: &RunReport) -> Vec<Value> {
    let mut violations = report::value(round)["violations"].take();
    let violations = violations.as_array_mut().map(std::mem::take);
    let mut violations = violations.unwrap_or_default();
    for violation in &mut violations {
        violation["seed"] = json!(round.seed);
    }
    violations
}

/// The faults that only worlds carry out.
fn unsupported() -> Vec<&'static str> {
    let kinds = FaultKind::all().filter(|kind| !is_supported(*kind));
    kinds.map(FaultKind::name).collect()
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn torture(args: &TortureArgs) -> io::Result<Exit> {
    let options = Options {
        redis_server: args.redis_server.clone(),
        length: Duration::from_secs(args.seconds),
        seed: args.seed,
        replicas: args.replicas.map(usize::from),
        workload: args.workload,
        faults: args.faults.0.clone(),
        durability: (args.durability != Durability::Memory).then_some(args.durability),
        variant: args.store,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut total = Total::default();
    let mut written = Ok(());
    let mut stdout = io::stdout().lock();
    let mut progress = Progress::new(rounds(options.length), "rounds");
    let done = Cell::new(0);
    let ended = runtime.block_on(async {
        let ended = ending()?;
        let each = |round: RunReport| {
            if args.json && written.is_ok() {
                written = writeln!(stdout, "{}", round_line(&round));
            }
            total.add(round);
            done.set(total.rounds);
        };
        let shown = async {
            let clock = SystemClock::new();
            loop {
                clock.sleep(Duration::from_secs(1)).await;
                progress.show(done.get());
            }
        };
        tokio::select! {
            done = Box::pin(run(&options, each)) => done,
            () = ended => Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")),
            () = shown => Ok(()),
        }
    });
    progress.clear();
    written?;
    if let Err(error) = ended {
        eprintln!("error: {error}");
        return Ok(Exit::Error);
    }
    writeln!(stdout, "{}", total.value())?;
    stdout.flush()?;
    print_summary(&total, args)?;
    if let (Some(path), Some(round)) = (&args.history, &total.last) {
        let file = File::create(path);
        let kept = file.and_then(|file| {
            let mut file = BufWriter::new(file);
            haechi_history::write(&round.history, &mut file)?;
            file.flush()
        });
        if let Err(error) = kept {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return Ok(Exit::Error);
        }
    }
    Ok(total.verdict().into())
}

fn round_line(round: &RunReport) -> Value {
    let mut line = report::value(round);
    line.insert("violations".into(), json!(violations(round)));
    line.insert("ops".into(), json!(round.outcomes));
    line.insert("vaultOps".into(), json!(round.vault_outcomes));
    line.insert("faults".into(), report::faults(&round.faults));
    line.into()
}

/// Prints the summary.
fn print_summary(total: &Total, args: &TortureArgs) -> io::Result<()> {
    let mut stderr = io::stderr();
    let ops = total.outcomes;
    let counted = format!(
        "{} rounds, {} operations ({} ok, {} fail, {} unknown)",
        total.rounds,
        ops.total(),
        ops.ok,
        ops.fail,
        ops.unknown
    );
    report::print_wrapped(&mut stderr, 0, &counted)?;
    let counted = format!(
        "{} conflicts, {} retries, {} lost replies, {} outcomes found by reading back, {} by receipts",
        total.stats.conflicts + total.vault_stats.value_conflicts,
        total.stats.retries + total.vault_stats.retries,
        total.stats.lost_replies + total.vault_stats.lost_replies,
        total.stats.settled_by_reading,
        total.vault_stats.settled_by_receipt
    );
    report::print_wrapped(&mut stderr, 0, &counted)?;
    for (durability, count) in &total.acknowledged {
        eprintln!("{count} acknowledged with durability {durability}");
    }
    for (kind, count) in &total.faults {
        eprintln!("  {kind:<24}{count:>8}");
    }
    report::print_losses(&mut stderr, &total.losses, &total.faults)?;
    let unsupported = format!("only in simulated worlds: {}", unsupported().join(", "));
    report::print_wrapped(&mut stderr, 0, &unsupported)?;
    let is_ok = total.verdict() == Verdict::Ok;
    let Some(round) = total.last.as_ref().filter(|_| !is_ok) else {
        eprintln!("no violation");
        return Ok(());
    };
    report::explain(&mut stderr, round)?;
    let mut words = format!(" --workload {}", args.workload);
    if let Some(replicas) = args.replicas {
        words += &format!(" --replicas {replicas}");
    }
    let faults = args.faults.to_string();
    if faults != "all" {
        words += &format!(" --faults {faults}");
    }
    if args.durability != Durability::Memory {
        words += &format!(" --durability {}", args.durability);
    }
    if args.store != Variant::Correct {
        words += &format!(" --store {}", args.store);
    }
    eprintln!("to try it again, which may pass, because the timing is real:");
    // A command is not wrapped, so that it can be copied.
    eprintln!(
        "haechi-sim torture --seconds 5 --seed {}{words} --history FILE",
        round.seed
    );
    Ok(())
}
