//! A simulated and a real server, asked the same.

use haechi_sim::redis::server::{Open, serve_connection, shared};
use haechi_sim::redis::{Config, Redis};
use haechi_sim::server_process::RedisServer;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reply, parsed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Line(String),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Item>>),
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::Line(text) => write!(f, "{text}"),
            Item::Bulk(None) => write!(f, "nil"),
            Item::Bulk(Some(text)) if text.len() > 300 => write!(f, "\"…{} bytes\"", text.len()),
            Item::Bulk(Some(text)) => write!(f, "\"{}\"", text.escape_ascii()),
            Item::Array(None) => write!(f, "nil array"),
            Item::Array(Some(items)) => f.debug_list().entries(items).finish(),
        }
    }
}

impl Item {
    pub(super) fn part(&self, index: usize) -> &Item {
        match self {
            Item::Array(Some(items)) => &items[index],
            other => other,
        }
    }

    pub(super) fn sort(&mut self) {
        if let Item::Array(Some(items)) = self {
            items.iter_mut().for_each(Item::sort);
            items.sort();
        }
    }

    fn sort_parts(&mut self) {
        if let Item::Array(Some(items)) = self {
            items.iter_mut().for_each(Item::sort);
        }
    }

    /// Equal, but for large numbers that may be a time to live and differ by so much.
    fn is_like(&self, other: &Item, allowance: i64) -> bool {
        let number = |item: &Item| match item {
            Item::Line(text) => text
                .strip_prefix(':')
                .and_then(|text| text.parse::<i64>().ok()),
            _ => None,
        };
        match (self, other) {
            (Item::Array(Some(ours)), Item::Array(Some(theirs))) => {
                let mut pairs = ours.iter().zip(theirs);
                ours.len() == theirs.len()
                    && pairs.all(|(ours, theirs)| ours.is_like(theirs, allowance))
            }
            _ => match (number(self), number(other)) {
                (Some(ours), Some(theirs)) if ours > 400 && theirs > 400 => {
                    (ours - theirs).abs() <= allowance
                }
                _ => self == other,
            },
        }
    }

    fn read(read: &mut dyn FnMut(&mut [u8])) -> Item {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            read(&mut byte);
            line.extend(byte);
        }
        let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        let length = text[1..].parse::<i64>().unwrap_or(-2);
        match text.as_bytes()[0] {
            b'$' => Item::Bulk(usize::try_from(length).ok().map(|length| {
                let mut bulk = vec![0; length + 2];
                read(&mut bulk);
                bulk.truncate(length);
                bulk
            })),
            b'*' => Item::Array(
                usize::try_from(length)
                    .ok()
                    .map(|n| (0..n).map(|_| Item::read(read)).collect()),
            ),
            _ => Item::Line(text),
        }
    }
}

fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        out.extend(format!("${}\r\n", word.len()).as_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

fn show(words: &[impl AsRef<[u8]>]) -> String {
    let word = |word: &[u8]| match word.len() {
        0..400 => word.escape_ascii().to_string(),
        length => format!("…{length} bytes"),
    };
    words
        .iter()
        .map(|text| word(text.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) struct Pair {
    real: TcpStream,
    simulated: TcpStream,
    recent: Vec<String>,
    _server: RedisServer,
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real server's keys expire in real time"
)]
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real server's keys expire in real time"
)]
pub(super) fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Serves the simulated server on a real port, as `haechi-sim serve` does, from a thread of its own.
#[allow(
    clippy::disallowed_methods,
    reason = "a server beside the test, no part of a simulated world"
)]
fn simulated(prepare: impl FnOnce(&mut Redis) + Send + 'static) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::Builder::new()
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let mut redis = Redis::new(Config {
                    now: Some(Arc::new(wall)),
                    ..Config::default()
                });
                prepare(&mut redis);
                let redis = shared(redis);
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(serve_connection(
                        stream,
                        redis.clone(),
                        shared(Open),
                        tokio::time::sleep,
                    ));
                }
            });
        })
        .unwrap();
    port
}

fn ask(stream: &mut TcpStream, words: &[impl AsRef<[u8]>]) -> Item {
    stream.write_all(&encode(words)).unwrap();
    Item::read(&mut |buffer| {
        stream
            .read_exact(buffer)
            .unwrap_or_else(|error| panic!("{}: {error}", show(words)));
    })
}

impl Pair {
    pub(super) fn start() -> Pair {
        Pair::start_with(&[], |_| {})
    }

    /// Both servers, the real one with arguments and the simulated one prepared to match.
    pub(super) fn start_with(
        args: &[&str],
        prepare: impl FnOnce(&mut Redis) + Send + 'static,
    ) -> Pair {
        let server = RedisServer::start_with(args).unwrap_or_else(|error| panic!("{error}"));
        let connect = |port: u16| {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            stream
        };
        let (real, simulated) = (connect(server.port()), connect(simulated(prepare)));
        Pair {
            real,
            simulated,
            recent: Vec::new(),
            _server: server,
        }
    }

    pub(super) fn ours(&mut self, words: &[&[u8]]) -> Item {
        ask(&mut self.simulated, words)
    }

    pub(super) fn theirs(&mut self, words: &[&[u8]]) -> Item {
        ask(&mut self.real, words)
    }

    /// Asks both and compares nothing.
    pub(super) fn both(&mut self, words: &[&[u8]]) {
        self.ours(words);
        self.theirs(words);
        self.recent.push(show(words));
    }

    /// Asks both, and fails when they answer differently.
    pub(super) fn check(&mut self, words: &[impl AsRef<[u8]>], what: &str) {
        let recent = self.recent.len().saturating_sub(60);
        if let Some(difference) = self.difference(words) {
            let recent = self.recent[recent..].join("\n  ");
            panic!("{what}\n after {recent}\n {difference}");
        }
    }

    /// Asks both; what differs, if anything does.
    pub(super) fn difference(&mut self, words: &[impl AsRef<[u8]>]) -> Option<String> {
        let (mut ours, mut theirs) = (ask(&mut self.simulated, words), ask(&mut self.real, words));
        let name = String::from_utf8_lossy(words[0].as_ref()).to_ascii_lowercase();
        match &*name {
            "keys" | "scan" | "hgetall" | "hkeys" | "hvals" | "hscan" => {
                ours.sort();
                theirs.sort();
            }
            // Any of those may be within.
            "exec" => {
                ours.sort_parts();
                theirs.sort_parts();
            }
            _ => {}
        }
        let allowance = match &*name {
            "ttl" => 2,
            "pttl" | "exec" => 2000,
            _ => 0,
        };
        self.recent.push(format!("{} → {theirs:?}", show(words)));
        let differs = !ours.is_like(&theirs, allowance);
        differs.then(|| {
            format!(
                "{}\n   simulated {ours:?}\n   real      {theirs:?}",
                show(words)
            )
        })
    }

    /// Compares the whole data set.
    pub(super) fn check_all_keys(&mut self, what: &str) {
        self.check(&[b"KEYS".to_vec(), b"*".to_vec()], what);
        let Item::Array(Some(keys)) = self.ours(&[b"KEYS", b"*"]) else {
            panic!("KEYS answers an array")
        };
        for key in keys {
            let Item::Bulk(Some(key)) = key else { continue };
            let Item::Line(kind) = self.ours(&[b"TYPE", &key]) else {
                continue;
            };
            let words: &[&[u8]] = match &*kind {
                "+string" => &[b"GET", &key],
                "+list" => &[b"LRANGE", &key, b"0", b"-1"],
                "+hash" => &[b"HGETALL", &key],
                _ => &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
            };
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
            self.check(&words, what);
            self.check(&[b"TTL".to_vec(), key], what);
        }
    }
}
