//! `haechi-sim serve`: the simulated Redis on a real TCP port.

use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::Exit;
use redis_sim::{Config, Redis, server::Open, tcp};

/// Serves the simulated Redis on a real TCP port, for redis-cli and any client
///
/// It is the server of the simulated worlds, with the wall clock instead of a
/// simulated one and nothing that goes wrong. It keeps its data in memory only
/// and is for tests: it evicts nothing and limits nothing. Prints {"port"} on
/// stdout once it listens. Ends on Ctrl-C and SIGTERM, with exit code 0; exit
/// code 2 if it cannot listen.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: a server on port 7379, and a client of it
  haechi-sim serve --port 7379 &
  redis-cli -p 7379 PING")]
pub struct ServeArgs {
    /// The port to listen on; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = 7379)]
    pub port: u16,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
}

/// Runs the command until it is interrupted.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn serve(args: &ServeArgs) -> io::Result<Exit> {
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
        tcp::serve(listener, redis, Arc::new(Mutex::new(Open)), ended).await;
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

/// Resolves on SIGINT or SIGTERM.
#[cfg(unix)]
pub(super) fn ending() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
pub(super) fn ending() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
