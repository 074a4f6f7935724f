//! Differential tests: the same commands to the simulated server and to real ones, over TCP, and the replies compared.
//!
//! This is how the simulated server is tested, and how users test that their
//! scripts run on it as on redis-server. Replies are compared byte by byte,
//! except for values that always differ ([`How`]) and known differences
//! ([`Known`]).
//!
//! ```no_run
//! use redis_sim::differential::{Comparison, words};
//!
//! let mut comparison = Comparison::start()?;
//! let differences = comparison.send(&[
//!     words("RPUSH list a b"),
//!     words("LPOP list 2"),
//! ])?;
//! assert!(differences.is_empty(), "{}", differences[0]);
//! # std::io::Result::Ok(())
//! ```

mod how;
mod known;
mod wire;

pub use how::How;
pub use known::{Effect, Exchange, Known};
pub use wire::WireReply;

use crate::Config;
use crate::server_process::RedisServer;
use crate::tcp::TcpServer;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

/// A command: its name and its arguments.
pub type Words = Vec<Vec<u8>>;

/// How many preceding commands a [`Difference`] shows.
const SHOWN: usize = 20;

/// A caller's rule for comparing replies to a command.
type Rule = Box<dyn Fn(&[Vec<u8>]) -> Option<How> + Send>;

/// Splits a line at blanks.
pub fn words(line: &str) -> Words {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// The simulated server and those that it is compared with, one connection each.
pub struct Comparison {
    simulated: Peer,
    others: Vec<Peer>,
    rules: Rules,
    recent: VecDeque<Words>,
    summary: Summary,
    _server: TcpServer,
}

/// How replies are compared, and which differences are known.
#[derive(Default)]
struct Rules {
    how: Vec<Rule>,
    known: Vec<Known>,
}

/// A server at the other end of a connection.
struct Peer {
    name: &'static str,
    stream: BufReader<TcpStream>,
    /// The commands of an open transaction.
    queue: Vec<Words>,
    /// Whether its data differs after a known difference: nothing is compared
    /// until [`Comparison::reset`].
    diverged: bool,
    _process: Option<RedisServer>,
}

/// Two replies that should have been equal.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The real server.
    pub server: &'static str,
    /// The command.
    pub words: Words,
    /// What the simulated server replied.
    pub simulated: WireReply,
    /// What the real one replied.
    pub real: WireReply,
    /// The last commands before it.
    pub before: Vec<Words>,
}

/// What has been compared so far.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Commands sent to each server.
    pub commands: usize,
    /// Replies of the simulated server that were errors.
    pub errors: usize,
    /// Known differences that occurred, and how often.
    pub known: BTreeMap<&'static str, usize>,
}

impl Comparison {
    /// Starts a redis-server and a simulated one with the system's clock.
    ///
    /// # Errors
    /// When there is no redis-server, or a server cannot be started or reached.
    pub fn start() -> io::Result<Comparison> {
        Comparison::start_with(&[], Config::wall_clock())
    }

    /// Starts a redis-server with these arguments and a simulated one with
    /// matching settings.
    ///
    /// # Errors
    /// As [`Comparison::start`].
    pub fn start_with(args: &[&str], config: Config) -> io::Result<Comparison> {
        let server = TcpServer::start(config)?;
        let mut comparison = Comparison {
            simulated: Peer::connect("simulated", server.port(), None)?,
            others: Vec::new(),
            rules: Rules::default(),
            recent: VecDeque::new(),
            summary: Summary::default(),
            _server: server,
        };
        comparison.add("redis-server", RedisServer::start_with(args)?)?;
        Ok(comparison)
    }

    /// Adds another server to the comparison. Known differences are looked up
    /// by `name`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn add(&mut self, name: &'static str, process: RedisServer) -> io::Result<()> {
        let port = process.port();
        self.others.push(Peer::connect(name, port, Some(process))?);
        Ok(())
    }

    /// Adds valkey-server, if `VALKEY_SERVER` names one or it is in PATH;
    /// returns whether there is one.
    ///
    /// # Errors
    /// When there is one that cannot be started or reached.
    pub fn add_valkey(&mut self) -> io::Result<bool> {
        match RedisServer::start_valkey(&[])? {
            Some(process) => self.add("valkey-server", process).map(|()| true),
            None => Ok(false),
        }
    }

    /// Compares replies to some commands by another rule; where `rule` returns
    /// `None`, nothing changes.
    pub fn compare_by(&mut self, rule: impl Fn(&[Vec<u8>]) -> Option<How> + Send + 'static) {
        self.rules.how.push(Box::new(rule));
    }

    /// Adds a known difference.
    pub fn allow(&mut self, known: Known) {
        self.rules.known.push(known);
    }

    /// Clears all data, scripts and connection states, also of servers that had diverged.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn reset(&mut self) -> io::Result<()> {
        for peer in self.others.iter_mut().chain([&mut self.simulated]) {
            for line in ["RESET", "FLUSHALL", "SCRIPT FLUSH"] {
                peer.send_one(&words(line))?;
            }
            peer.queue.clear();
            peer.diverged = false;
        }
        Ok(())
    }

    /// Sends a batch of commands to all servers, without waiting for replies in between, and compares the replies.
    ///
    /// # Errors
    /// When a connection breaks, or a server is silent for 30 s.
    pub fn send(&mut self, batch: &[Words]) -> io::Result<Vec<Difference>> {
        let replies = self.send_all(batch)?;
        let Some((ours, theirs)) = replies.split_first() else {
            return Ok(Vec::new());
        };
        self.summary.commands += batch.len();
        self.summary.errors += ours.iter().filter(|reply| reply.is_error()).count();
        let mut differences = Vec::new();
        for (index, (words, simulated)) in batch.iter().zip(ours).enumerate() {
            for (peer, replies) in self.others.iter_mut().zip(theirs) {
                let real = &replies[index];
                let queue = peer.track(words, real);
                let exchange = Exchange {
                    server: peer.name,
                    words,
                    queue: &queue,
                    simulated,
                    real,
                };
                if peer.diverged {
                    continue;
                }
                let known = match self.rules.classify(&exchange) {
                    Verdict::Same => continue,
                    Verdict::Known(known) => known,
                    Verdict::Different => {
                        differences.push(Difference {
                            server: peer.name,
                            words: words.clone(),
                            simulated: simulated.clone(),
                            real: real.clone(),
                            before: self.recent.iter().cloned().collect(),
                        });
                        continue;
                    }
                };
                *self.summary.known.entry(known.why).or_default() += 1;
                peer.diverged = known.effect != Effect::ReplyOnly;
            }
            self.recent.push_back(words.clone());
            if self.recent.len() > SHOWN {
                self.recent.pop_front();
            }
        }
        Ok(differences)
    }

    /// Compares the whole data set, key by key.
    ///
    /// # Errors
    /// As [`Comparison::send`].
    pub fn compare_data(&mut self) -> io::Result<Vec<Difference>> {
        let mut differences = self.send(&[words("KEYS *")])?;
        let keys = self.simulated.send_one(&words("KEYS *"))?;
        for key in keys.items().iter().filter_map(WireReply::bulk) {
            let kind = self.simulated.send_one(&[b"TYPE".to_vec(), key.to_vec()])?;
            let (name, arguments): (&str, &[&str]) = match kind.line() {
                b"+string" => ("GET", &[]),
                b"+list" => ("LRANGE", &["0", "-1"]),
                b"+hash" => ("HGETALL", &[]),
                b"+set" => ("SMEMBERS", &[]),
                b"+stream" => ("XRANGE", &["-", "+"]),
                _ => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
            };
            let mut read = vec![name.as_bytes().to_vec(), key.to_vec()];
            read.extend(arguments.iter().map(|word| word.as_bytes().to_vec()));
            let ttl = vec![b"TTL".to_vec(), key.to_vec()];
            let mut batch = vec![read, ttl];
            if kind.line() == b"+stream" {
                let info = |what: &str| vec![b"XINFO".to_vec(), what.into(), key.to_vec()];
                batch.extend(["STREAM", "GROUPS"].map(info));
            }
            differences.extend(self.send(&batch)?);
        }
        Ok(differences)
    }

    /// Sends one command to the simulated server alone.
    ///
    /// # Errors
    /// As [`Comparison::send`].
    pub fn send_simulated(&mut self, words: &[Vec<u8>]) -> io::Result<WireReply> {
        self.simulated.send_one(words)
    }

    /// Sends one command to the first of the real servers alone.
    ///
    /// # Errors
    /// As [`Comparison::send`].
    pub fn send_real(&mut self, words: &[Vec<u8>]) -> io::Result<WireReply> {
        match self.others.first_mut() {
            Some(peer) => peer.send_one(words),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// What has been compared so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The replies of each server, the simulated one first. One thread per
    /// server writes, so that no server blocks on unread replies.
    fn send_all(&mut self, batch: &[Words]) -> io::Result<Vec<Vec<WireReply>>> {
        let peers = || [&self.simulated].into_iter().chain(&self.others);
        let writers = peers()
            .map(|peer| peer.stream.get_ref().try_clone())
            .collect::<io::Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            for mut writer in writers {
                scope.spawn(move || {
                    if batch
                        .iter()
                        .any(|words| writer.write_all(&wire::encode(words)).is_err())
                    {
                        // The reader reports the command.
                        let _ = writer.shutdown(Shutdown::Both);
                    }
                });
            }
            [&mut self.simulated]
                .into_iter()
                .chain(&mut self.others)
                .map(|peer| batch.iter().map(|words| peer.read(words)).collect())
                .collect()
        })
    }
}

impl Peer {
    fn connect(name: &'static str, port: u16, process: Option<RedisServer>) -> io::Result<Peer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Peer {
            name,
            stream: BufReader::new(stream),
            queue: Vec::new(),
            diverged: false,
            _process: process,
        })
    }

    fn send_one(&mut self, words: &[Vec<u8>]) -> io::Result<WireReply> {
        self.stream.get_ref().write_all(&wire::encode(words))?;
        self.read(words)
    }

    fn read(&mut self, words: &[Vec<u8>]) -> io::Result<WireReply> {
        let mut read = |buffer: &mut [u8]| self.stream.read_exact(buffer);
        WireReply::read(&mut read).map_err(|error| {
            let text = format!("{}: {}: {error}", self.name, wire::show(words));
            io::Error::new(error.kind(), text)
        })
    }

    /// Tracks the transaction; returns the commands that EXEC has just run.
    fn track(&mut self, words: &Words, reply: &WireReply) -> Vec<Words> {
        match &*how::name(words) {
            "exec" => return std::mem::take(&mut self.queue),
            "discard" | "reset" | "multi" if !reply.is_error() => self.queue.clear(),
            _ if reply.line() == b"+QUEUED" => self.queue.push(words.clone()),
            _ => {}
        }
        Vec::new()
    }
}

enum Verdict {
    Same,
    Known(Known),
    Different,
}

impl Rules {
    fn how(&self, words: &[Vec<u8>]) -> How {
        let ruled = self.how.iter().rev().find_map(|rule| rule(words));
        ruled.unwrap_or_else(|| How::by_name(words))
    }

    fn same(&self, exchange: &Exchange<'_>) -> bool {
        match exchange.parts() {
            Some(mut parts) => parts.all(|part| self.same(&part)),
            None => self
                .how(exchange.words)
                .same(exchange.simulated, exchange.real),
        }
    }

    fn classify(&self, exchange: &Exchange<'_>) -> Verdict {
        let same = self.same(exchange);
        let known = self.known.iter().chain(known::KNOWN).find(|known| {
            (same == (known.effect == Effect::DivergesSilently)) && known.applies_to(exchange)
        });
        if let Some(known) = known {
            return Verdict::Known(*known);
        }
        if same {
            return Verdict::Same;
        }
        // In a transaction the first different part decides, and all
        // differences have to be known.
        let mut first = None;
        for part in exchange.parts().into_iter().flatten() {
            match self.classify(&part) {
                Verdict::Same => {}
                Verdict::Known(known) => first = first.or(Some(known)),
                Verdict::Different => return Verdict::Different,
            }
        }
        first.map_or(Verdict::Different, Verdict::Known)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for words in &self.before {
            // One line each.
            writeln!(f, "   after     {:.160}", wire::show(words))?;
        }
        writeln!(f, "   command   {}", wire::show(&self.words))?;
        writeln!(f, "   simulated {:?}", self.simulated)?;
        write!(f, "   {} {:?}", self.server, self.real)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commands, {} of them answered with an error",
            self.commands, self.errors
        )?;
        for (why, times) in &self.known {
            write!(f, "\n  known to differ, {times} times: {why}")?;
        }
        Ok(())
    }
}
