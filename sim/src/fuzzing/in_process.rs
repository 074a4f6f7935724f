//! The production store's connection directly to the simulated Redis, without a
//! stream or a runtime: every future is ready at its first poll.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use haechi_store_redis::{clock::Clock, entropy::Entropy, redis::Connect};
use redis::{
    Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike, parse_redis_value,
};

use redis_sim::{Command, Config, Redis, Session};

thread_local! {
    // Creating a Lua engine takes longer than a run.
    static SERVER: RefCell<Option<Redis>> = const { RefCell::new(None) };
}

/// An empty server for one run, reused by the next run of this thread.
pub(super) struct Server(Option<Arc<Mutex<Redis>>>);

impl Server {
    pub(super) fn start() -> Self {
        let mut redis = SERVER
            .take()
            .unwrap_or_else(|| Redis::new(Config::default()));
        let mut session = redis.connect().expect("no limit is set");
        let flushed = redis.execute(&mut session, &command(["FLUSHALL"]));
        assert!(!flushed.is_error(), "{flushed:?}");
        redis.set_now(1_760_000_000_000);
        Self(Some(Arc::new(Mutex::new(redis))))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Redis> {
        self.shared().lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> &Arc<Mutex<Redis>> {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    pub(super) fn connect(&self) -> InProcess {
        let session = self.lock().connect().expect("no limit is set");
        InProcess {
            redis: self.shared().clone(),
            session: Arc::new(Mutex::new(session)),
        }
    }

    /// Runs a command on a separate connection.
    pub(super) fn run<W: Into<Bytes>>(&self, words: impl IntoIterator<Item = W>) {
        let mut redis = self.lock();
        let mut session = redis.connect().expect("no limit is set");
        let reply = redis.execute(&mut session, &command(words));
        redis.disconnect(&session);
        assert!(!reply.is_error(), "{reply:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(redis) = self.0.take().and_then(Arc::into_inner) {
            let redis = redis.into_inner().unwrap_or_else(PoisonError::into_inner);
            SERVER.set(Some(redis));
        }
    }
}

fn command<W: Into<Bytes>>(words: impl IntoIterator<Item = W>) -> Command {
    Command::new(words).expect("a command has a name")
}

#[derive(Clone)]
pub(super) struct InProcess {
    redis: Arc<Mutex<Redis>>,
    session: Arc<Mutex<Session>>,
}

impl Connect for InProcess {
    type Connection = Self;

    async fn connect(&self) -> RedisResult<Self> {
        Ok(self.clone())
    }
}

impl ConnectionLike for InProcess {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let words = cmd.args_iter().map(|word| match word {
            redis::Arg::Simple(bytes) => Bytes::copy_from_slice(bytes),
            _ => Bytes::from_static(b"0"),
        });
        let reply = {
            let mut redis = self.redis.lock().unwrap_or_else(PoisonError::into_inner);
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            redis.execute(&mut session, &command(words))
        };
        let mut encoded = BytesMut::new();
        reply.encode(&mut encoded);
        let value = parse_redis_value(&encoded);
        Box::pin(async move { value.and_then(|value: Value| value.extract_error()) })
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

/// A clock that only sleeping advances.
#[derive(Clone, Default)]
pub(super) struct AutoClock(Arc<AtomicU64>);

impl Clock for AutoClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_760_000_000_000) + self.now()
    }

    async fn sleep(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// A counter instead of randomness.
#[derive(Clone, Default)]
pub(super) struct Counting(Arc<AtomicU64>);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            // Spread out, so that prefixes differ too.
            let mixed = next.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            chunk.copy_from_slice(&mixed[..chunk.len()]);
        }
        Ok(())
    }
}

/// Runs a future that never waits.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the future never becomes ready")
}
