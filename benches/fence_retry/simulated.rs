//! A connection of the production store to the simulated Redis that counts
//! commands and bytes.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use haechi_store_redis::{
    clock::Clock,
    test_util::{Answers, AutoClock, FakeServer, SplitMixEntropy},
};
use redis::{Arg, Cmd, RedisResult, Value, parse_redis_value};
use redis_sim::{Command, Config, Redis, Session};

/// The traffic between replicas and Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) round_trips: u64,
    pub(crate) scripts: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

pub(crate) type Counter = Arc<Mutex<Traffic>>;

/// A server, and its clock and randomness.
#[derive(Clone)]
pub(crate) struct World {
    redis: Arc<Mutex<Redis>>,
    pub(crate) clock: AutoClock,
    pub(crate) entropy: SplitMixEntropy,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = AutoClock::default();
        let server_clock = clock.clone();
        let redis = Redis::new(Config {
            now: Some(Arc::new(move || {
                server_clock
                    .wall()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
            })),
            ..Config::default()
        });
        Self {
            redis: Arc::new(Mutex::new(redis)),
            clock,
            entropy: SplitMixEntropy::default(),
        }
    }

    /// A connection whose traffic is added to `counter`.
    pub(crate) fn connect(&self, counter: &Counter) -> FakeServer<Simulated> {
        let session = self.redis.lock().unwrap().connect();
        let Ok(session) = session else {
            unreachable!("no limit of connections is set")
        };
        FakeServer::new(Simulated {
            world: self.clone(),
            session: Mutex::new(session),
            counter: counter.clone(),
        })
    }
}

/// One session of the server.
pub(crate) struct Simulated {
    world: World,
    session: Mutex<Session>,
    counter: Counter,
}

impl Simulated {
    /// 40 to 60 µs: with equal delays, replicas would run in lockstep, and the
    /// same one would always win.
    fn way(&self) -> Duration {
        Duration::from_nanos(40_000 + self.world.entropy.draw() % 20_001)
    }

    fn execute(&self, words: Vec<Vec<u8>>, sent: usize) -> RedisResult<Value> {
        let is_script = words.first().is_some_and(|name| name == b"EVALSHA");
        let Some(command) = Command::new(words) else {
            return Err(io::Error::other("a command has a name").into());
        };
        let mut redis = self.world.redis.lock().unwrap();
        let mut session = self.session.lock().unwrap();
        let reply = redis.execute(&mut session, &command);
        let mut encoded = Default::default();
        reply.encode(&mut encoded);
        let mut counter = self.counter.lock().unwrap();
        counter.round_trips += 1;
        counter.scripts += u64::from(is_script && !reply.is_error());
        counter.sent += sent as u64;
        counter.received += encoded.len() as u64;
        parse_redis_value(&encoded)
    }
}

impl Answers for Simulated {
    fn open(&self) -> RedisResult<u64> {
        Ok(0)
    }

    async fn answer(&self, _: u64, command: &Cmd) -> RedisResult<Value> {
        let words = command.args_iter().map(|word| match word {
            Arg::Simple(bytes) => bytes.to_vec(),
            _ => b"0".to_vec(),
        });
        let (words, sent) = (words.collect(), command.get_packed_command().len());
        self.world.clock.sleep(self.way()).await;
        let reply = self.execute(words, sent);
        self.world.clock.sleep(self.way()).await;
        reply.and_then(Value::extract_error)
    }
}
