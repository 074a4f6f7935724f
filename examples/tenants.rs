//! One chain a tenant, all in one process, on a Redis Cluster. Prints how many records a
//! second they take together, and what each added chain costs the process.
//!
//! ```console
//! $ cargo run --release --features cli --example tenants -- --primaries 3
//! ```
//!
//! It starts the cluster, on this machine; with `--redis URL` it uses a Redis that is there.

use std::{error::Error, fs, time::Duration};

use clap::Parser;
use haechi_store_redis::{
    AppendError, Builder,
    audit::AuditSink,
    chain::Event,
    clock::{Clock, SystemClock},
    redis::{AuditPrefix, Endpoint},
};
use redis_sim::server_process::RedisServer;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Args {
    /// Where Redis is; its chains `{tenant-0}:audit:…` are appended to
    #[arg(long)]
    redis: Option<Endpoint>,
    /// How many primaries the cluster has that is started otherwise
    #[arg(long, default_value_t = 1)]
    primaries: usize,
    /// How many tenants there are, one row each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    tenants: Vec<usize>,
    /// How many tasks record at a time, at least one a tenant
    #[arg(long, default_value_t = 100)]
    callers: usize,
    /// How long they do
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (_servers, endpoint) = match args.redis {
        Some(endpoint) => (Vec::new(), endpoint),
        None => start_cluster(args.primaries)?,
    };
    println!("tenants  records/s  of each added chain: KiB, sockets, tasks");
    let mut tenants = Tenants::default();
    for count in args.tenants {
        let before = Usage::now();
        let added = tenants.open(&endpoint, count).await?;
        let cost = before.each(added);
        let load = Duration::from_secs_f64(args.seconds);
        let records = tenants.load(args.callers, load).await?;
        let rate = records as f64 / args.seconds;
        println!("{count:7}  {rate:9.0}  {cost}");
    }
    tenants.close().await;
    Ok(())
}

/// The hash tag places each tenant's chain on one node of a cluster.
pub(crate) fn prefix(tenant: usize) -> AuditPrefix {
    AuditPrefix::new(format!("{{tenant-{tenant}}}:audit:"))
}

#[derive(Default)]
pub(crate) struct Tenants(Vec<AuditSink>);

impl Tenants {
    /// Opens the chains up to `count`, with a first record each; returns how many were added.
    pub(crate) async fn open(
        &mut self,
        endpoint: &Endpoint,
        count: usize,
    ) -> Result<usize, Box<dyn Error>> {
        let before = self.0.len();
        for tenant in before..count {
            let builder = Builder::new().audit_prefix(prefix(tenant));
            let sink = builder.open_audit(endpoint.clone()).await?;
            sink.record(event()?).await?;
            self.0.push(sink);
        }
        Ok(self.0.len() - before)
    }

    /// Records for so long, as fast as so many callers can; returns how often.
    pub(crate) async fn load(
        &self,
        callers: usize,
        duration: Duration,
    ) -> Result<usize, AppendError> {
        let clock = SystemClock::new();
        let until = clock.now() + duration;
        let mut tasks = JoinSet::new();
        let sinks = self.0.iter().cycle();
        for sink in sinks.take(callers.max(self.0.len())) {
            let (sink, clock) = (sink.clone(), clock.clone());
            tasks.spawn(async move {
                let mut records = 0;
                while clock.now() < until {
                    sink.record(event()?).await?;
                    records += 1;
                }
                Ok::<_, AppendError>(records)
            });
        }
        tasks.join_all().await.into_iter().sum()
    }

    pub(crate) async fn close(self) {
        for sink in self.0 {
            sink.close(Duration::from_secs(10)).await;
        }
    }
}

fn event() -> Result<Event, AppendError> {
    let event = r#"{"operation":"protect","decision":"allow","actor":"service-7"}"#;
    Event::from_json(event).map_err(AppendError::Invalid)
}

/// What this process has, where Linux tells.
pub(crate) struct Usage {
    kib: f64,
    sockets: f64,
    tasks: f64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim_end_matches("kB").trim().parse().ok());
        let files = fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        let sockets = targets.filter(|target| target.to_string_lossy().starts_with("socket:"));
        let runtime = tokio::runtime::Handle::current().metrics();
        Self {
            kib: kib.unwrap_or_default(),
            sockets: sockets.count() as f64,
            tasks: runtime.num_alive_tasks() as f64,
        }
    }

    /// What each of `added` chains has taken since.
    pub(crate) fn each(&self, added: usize) -> String {
        let (now, added) = (Self::now(), added as f64);
        let [kib, sockets, tasks] = [
            now.kib - self.kib,
            now.sockets - self.sockets,
            now.tasks - self.tasks,
        ]
        .map(|more| more / added);
        format!("{kib:.0}, {sockets:.1}, {tasks:.1}")
    }
}

/// A cluster on this machine.
pub(crate) fn start_cluster(
    primaries: usize,
) -> Result<(Vec<RedisServer>, Endpoint), Box<dyn Error>> {
    let servers = RedisServer::start_cluster(primaries, &[])?;
    let hosts: Vec<String> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()))
        .collect();
    let endpoint = format!("redis+cluster://{}", hosts.join(",")).parse()?;
    Ok((servers, endpoint))
}
