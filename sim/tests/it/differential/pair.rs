//! A simulated and a real server, asked the same.

use super::wire::{Item, encode, show};
use haechi_sim::command::serve;
use redis_sim::Redis;
use redis_sim::server_process::RedisServer;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
pub(crate) fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Serves the simulated server on a real port, as `haechi-sim serve` does, from a thread of its own.
#[allow(
    clippy::disallowed_methods,
    reason = "a server beside the test, no part of a simulated world"
)]
pub(super) fn simulated(prepare: impl FnOnce(&mut Redis) + Send + 'static) -> u16 {
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
                let mut redis = Redis::new(serve::wall_clock());
                prepare(&mut redis);
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve::listen(listener, redis, std::future::pending()).await;
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
                b"+string" => &[b"GET", &key],
                b"+list" => &[b"LRANGE", &key, b"0", b"-1"],
                b"+hash" => &[b"HGETALL", &key],
                _ => &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
            };
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
            self.check(&words, what);
            self.check(&[b"TTL".to_vec(), key], what);
        }
    }
}
