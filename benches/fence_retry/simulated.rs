//! A connection of the production store to the simulated Redis that counts
//! commands and bytes.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use haechi_store_redis::{clock::Clock, redis::Connect};
use redis::{
    Arg, Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike, parse_redis_value,
};
use redis_sim::{Command, Config, Redis, Session};

use crate::virtual_time::{Seeded, VirtualClock};

/// What passed between replicas and Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) round_trips: u64,
    pub(crate) scripts: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

pub(crate) type Counter = Arc<Mutex<Traffic>>;

/// A server, and the clock and randomness of its world.
#[derive(Clone)]
pub(crate) struct World {
    redis: Arc<Mutex<Redis>>,
    pub(crate) clock: VirtualClock,
    pub(crate) entropy: Seeded,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = VirtualClock::default();
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
            entropy: Seeded::default(),
        }
    }

    /// A connection whose traffic is added to `counter`.
    pub(crate) fn connect(&self, counter: &Counter) -> Simulated {
        let session = self.redis.lock().unwrap().connect();
        let Ok(session) = session else {
            unreachable!("no limit of connections is set")
        };
        Simulated {
            world: self.clone(),
            session: Arc::new(Mutex::new(session)),
            counter: counter.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Simulated {
    world: World,
    session: Arc<Mutex<Session>>,
    counter: Counter,
}

impl Simulated {
    /// 40 to 60 µs: were all ways equally long, replicas would go in step, and
    /// the same one would win every time.
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

impl Connect for Simulated {
    type Connection = Self;

    async fn connect(&self) -> RedisResult<Self> {
        Ok(self.clone())
    }
}

impl ConnectionLike for Simulated {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let words = cmd.args_iter().map(|word| match word {
            Arg::Simple(bytes) => bytes.to_vec(),
            _ => b"0".to_vec(),
        });
        let (words, sent) = (words.collect(), cmd.get_packed_command().len());
        let this = self.clone();
        Box::pin(async move {
            this.world.clock.sleep(this.way()).await;
            let reply = this.execute(words, sent);
            this.world.clock.sleep(this.way()).await;
            reply.and_then(Value::extract_error)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async { Err(io::Error::other("the store sends no pipelines").into()) })
    }

    fn get_db(&self) -> i64 {
        0
    }
}
