//! A real redis-server as a child process: for the tests and benches that
//! hold the simulated one against it.

use std::{
    env,
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A running redis-server on a port and in a directory of its own, without
/// persistence. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl RedisServer {
    /// Starts `$REDIS_SERVER`, or else the `redis-server` found on the path.
    ///
    /// # Errors
    ///
    /// When there is none, with what to do about it, or when it does not
    /// answer within ten seconds.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with further arguments for the server.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> io::Result<Self> {
        // Another process may take the port between our looking and the
        // server's binding; then another one is tried.
        let mut last = io::Error::other("not tried");
        for _ in 0..5 {
            match Self::start_once(arguments) {
                Ok(server) => return Ok(server),
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a real process takes real time to start"
    )]
    fn start_once(arguments: &[&str]) -> io::Result<Self> {
        let program = env::var_os("REDIS_SERVER")
            .map_or_else(|| PathBuf::from("redis-server"), PathBuf::from);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = tempfile::tempdir()?;
        let mut child = Command::new(&program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!(
                        "{} cannot be started: {error}; install redis-server \
                         (apt-get install redis-server) or set REDIS_SERVER to its path",
                        program.display()
                    ),
                )
            })?;
        for _ in 0..1000 {
            if answers(port) {
                return Ok(Self {
                    child,
                    port,
                    _directory: directory,
                });
            }
            if child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().ok();
        child.wait().ok();
        Err(io::Error::other("redis-server did not come up"))
    }

    /// The port it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, as a client wants to be told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The child's process id, for signals.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Whether something that speaks Redis' protocol listens there; a server that
/// wants a password answers too.
fn answers(port: u16) -> bool {
    let ask = || -> io::Result<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    matches!(ask(), Ok(b'+' | b'-'))
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
