//! A real redis-server as a child process, for what must hold against the original too.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often a free port may turn out taken before giving up.
const ATTEMPTS: usize = 5;

/// One redis-server on a free port of 127.0.0.1, in a directory of its own. Dropping it kills it, and so does the end of
/// this program, however it ends.
///
/// It keeps nothing on disk unless told to. `REDIS_SERVER` names the program; without it, PATH is searched.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    leash: Option<Leash>,
    port: u16,
    directory: PathBuf,
    program: PathBuf,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// `NotFound`, with how to install it, when there is no redis-server; else what starting it met.
    pub fn start() -> io::Result<RedisServer> {
        RedisServer::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["--appendonly", "yes"]`; they overrule the defaults.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_with(args: &[&str]) -> io::Result<RedisServer> {
        let program = std::env::var_os("REDIS_SERVER")
            .map_or_else(|| PathBuf::from("redis-server"), PathBuf::from);
        RedisServer::start_program(&program, args)
    }

    /// Starts this program: valkey-server and other relatives take the same arguments.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_program(program: &Path, args: &[&str]) -> io::Result<RedisServer> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut last = io::Error::other("no attempt was made");
        for attempt in 0..ATTEMPTS {
            let port = free_port()?;
            let directory = std::env::temp_dir().join(format!(
                "haechi-redis-{}-{port}-{attempt}",
                std::process::id()
            ));
            std::fs::create_dir_all(&directory)?;
            let child = spawn(program, port, &directory, &args)?;
            let mut server = RedisServer {
                leash: Leash::on(&child),
                child,
                port,
                directory,
                program: program.to_owned(),
                args: args.clone(),
            };
            match server.wait_until_ready() {
                Ok(()) => return Ok(server),
                // Most likely somebody else took the port meanwhile.
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

    /// The process, for signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory it keeps its files in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills it as a power cut would (`SIGKILL`) and waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.leash = None;
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Stops it where it stands (`SIGSTOP`): its connections stay, and nobody answers.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&self) -> io::Result<()> {
        signal(&self.child, Signal::Stop)
    }

    /// Lets it go on after [`RedisServer::stop`].
    ///
    /// # Errors
    /// What the system says.
    pub fn resume(&self) -> io::Result<()> {
        signal(&self.child, Signal::Continue)
    }

    /// Has it end in good order (`SIGTERM`) and waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn shut_down(&mut self) -> io::Result<()> {
        self.leash = None;
        signal(&self.child, Signal::End)?;
        self.child.wait().map(drop)
    }

    /// Starts it again, on the same port and directory, after [`RedisServer::kill`].
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.child = spawn(&self.program, self.port, &self.directory, &self.args)?;
        self.leash = Leash::on(&self.child);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        // Ten seconds, slept away 10 ms at a time.
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
        // A server that is gone already is what was wanted.
        let _ = self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Kills the server if this program dies without having done so: whatever it dies of, its end of the pipe closes.
#[derive(Debug)]
struct Leash(Child);

impl Leash {
    #[cfg(unix)]
    fn on(server: &Child) -> Option<Self> {
        let pid = server.id().to_string();
        // Without a shell, the server outlives a program that is killed.
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
    fn on(_: &Child) -> Option<Self> {
        None
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // It goes before the server does: another process may get its number.
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

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn spawn(program: &Path, port: u16, directory: &Path, args: &[String]) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(directory);
    command
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(args);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no {} found: install it (Debian: apt-get install redis-server) or name it in REDIS_SERVER",
                program.display()
            ),
        ),
        _ => error,
    })
}

/// Whether the server is past loading its data.
fn answers(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 8];
        let length = stream.read(&mut reply)?;
        // With a password set, being asked for it is an answer too.
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
