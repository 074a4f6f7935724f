//! `haechi-sim serve`: the simulated Redis on a real TCP port.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Exit, ending::ending};
use crate::{plan::CountedPlan, served::CountedGate};
use redis_sim::{Config, Redis, tcp};

/// Serves the simulated Redis on a real TCP port, for redis-cli and any client
///
/// It is the server of the simulated worlds, with the wall clock instead of a
/// simulated one. It keeps its data in memory only and is for tests: it evicts
/// nothing and limits nothing. With --faults, commands that it counts are struck
/// by the faults of a plan, and stderr says what was done to which command of
/// which connection. Prints {"port"} on stdout once it listens. Ends on Ctrl-C
/// and SIGTERM, with exit code 0; exit code 2 if it cannot listen, or the plan
/// cannot be read.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: a server on port 7379, and a client of it
  haechi-sim serve --port 7379 &
  redis-cli -p 7379 PING
Example: the plan of a seed, as a file to change
  haechi-sim serve --faults 7 --print-plan > plan.json
  haechi-sim serve --faults plan.json")]
pub struct ServeArgs {
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = 7379)]
    pub port: u16,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// Faults: a seed that a plan is drawn from, or a file with a plan
    #[arg(long, value_name = "SEED|PLAN.json")]
    pub faults: Option<String>,
    /// Prints the plan as JSON, and does not serve
    #[arg(long, requires = "faults")]
    pub print_plan: bool,
}

/// The plan that is asked for: none, a seed's, or a file's.
fn plan(faults: Option<&str>) -> Result<CountedPlan, String> {
    let Some(source) = faults else {
        return Ok(CountedPlan::default());
    };
    if let Ok(seed) = source.parse() {
        return Ok(CountedPlan::draw(seed));
    }
    let text = std::fs::read_to_string(source).map_err(|error| {
        format!("{source} cannot be read: {error}; --faults takes a seed, or a file as --print-plan writes it")
    })?;
    CountedPlan::parse(&text).map_err(|error| {
        format!("{source}: {error}; `haechi-sim serve --faults 1 --print-plan` shows the format")
    })
}

/// Runs the command until it is interrupted.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn serve(args: &ServeArgs) -> io::Result<Exit> {
    let plan = match plan(args.faults.as_deref()) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Error);
        }
    };
    if args.print_plan {
        let text = plan.to_text().map_err(io::Error::other)?;
        io::stdout().write_all(text.as_bytes())?;
        return Ok(Exit::Success);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let ended = match ending() {
            Ok(ended) => ended,
            Err(error) => {
                eprintln!(
                    "error: signals cannot be waited for: {error}; run it in another environment"
                );
                return Ok(Exit::Error);
            }
        };
        let address = SocketAddr::new(args.bind, args.port);
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("error: {}", refusal(address, &error));
                return Ok(Exit::Error);
            }
        };
        let address = listener.local_addr()?;
        eprintln!("listening on {address}");
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", json!({ "port": address.port() }))?;
        stdout.flush()?;
        drop(stdout);
        let redis = Arc::new(Mutex::new(Redis::new(Config::wall_clock())));
        let gate = CountedGate::new(plan, redis.clone(), Box::new(io::stderr()));
        let gate = Arc::new(Mutex::new(gate));
        tcp::serve(listener, redis, gate.clone(), ended).await;
        gate.lock().unwrap_or_else(PoisonError::into_inner).end();
        Ok(Exit::Success)
    })
}

fn refusal(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another program; choose another --port, or --port 0 for a free one"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{address} may not be listened on by this user; choose a --port above 1023")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine; choose another --bind")
        }
        _ => format!("{address} cannot be listened on: {error}; check --bind and --port"),
    }
}
