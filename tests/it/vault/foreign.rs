//! Foreign replicas, which follow the whole-snapshot protocol (lock, read
//! everything, fence on the version alone, try again at most 64 times), on the
//! same vault.

use std::{collections::BTreeMap, time::Duration};

use haechi_store_redis::{
    Builder,
    clock::{Clock, SystemClock},
    redis::{LockPolicy, LockTimes},
    vault::{View, store::VaultStore},
};
use redis::aio::MultiplexedConnection;

use super::{clock_at, token};
use crate::support::{InMemory, ask, client, raw, run, server};

const APPLY: &str = r"
local version = redis.call('GET', KEYS[2]) or '0'
if version ~= ARGV[1] then return 0 end
for place = 3, 2 + 2 * tonumber(ARGV[2]), 2 do
  redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1])
end
redis.call('SET', KEYS[2], tostring(tonumber(version) + 1))
return 1";

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One mutation by the protocol; returns how many conflicts it had, or why it
/// failed.
async fn mutate(connection: &mut MultiplexedConnection, number: u32) -> Result<u32, &'static str> {
    let clock = SystemClock::new();
    let lock = format!("theirs-{number}");
    loop {
        let taken: Option<String> = redis::cmd("SET")
            .arg(&["haechi:tv:lock", &lock, "NX", "PX", "10000"])
            .query_async(connection)
            .await
            .unwrap();
        if taken.is_some() {
            break;
        }
        if clock.now() > Duration::from_secs(5) {
            return Err("no lock");
        }
        clock.sleep(Duration::from_millis(20)).await;
    }
    let mut ended = Err("64 conflicts");
    for conflicts in 0..64 {
        let (tokens, version): (BTreeMap<String, String>, Option<String>) = redis::pipe()
            .atomic()
            .hgetall("haechi:tv:tokens")
            .get("haechi:tv:version")
            .query_async(connection)
            .await
            .unwrap();
        // Parsing a snapshot takes time in the reference.
        clock
            .sleep(Duration::from_micros(10 * tokens.len() as u64))
            .await;
        let applied: u32 = redis::cmd("EVAL")
            .arg(&[APPLY, "2", "haechi:tv:tokens", "haechi:tv:version"])
            .arg(version.unwrap_or_else(|| "0".to_owned()))
            .arg(1)
            .arg(format!("theirs-{number}"))
            .arg("value")
            .query_async(connection)
            .await
            .unwrap();
        if applied == 1 {
            ended = Ok(conflicts);
            break;
        }
    }
    let _: u32 = redis::cmd("EVAL")
        .arg(&[RELEASE, "1", "haechi:tv:lock", &lock])
        .query_async(connection)
        .await
        .unwrap();
    ended
}

/// Would catch writers that starve a foreign replica: by changing the version
/// inside its whole-snapshot window, or by keeping the lock without a pause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_foreign_mutations_beside_full_load_all_succeed() {
    for lock in [LockPolicy::None, LockPolicy::Always(LockTimes::default())] {
        let server = server();
        let mut connection = raw(&server).await;
        for number in 0..1000 {
            let field = format!("old-{number}");
            run(
                &mut connection,
                &format!("HSET haechi:tv:tokens {field} {}", "x".repeat(600)),
            )
            .await;
        }
        let mut writers = Vec::new();
        for replica in 0..2 {
            let builder = Builder::new().lock(lock);
            let store = builder.token_store(builder.vault_store(client(&server)));
            for writer in 0..8 {
                let store = store.clone();
                writers.push(tokio::spawn(async move {
                    let own = token(&format!("own-{replica}-{writer}"));
                    let mut written = 0_u64;
                    loop {
                        let set = |view: &mut View| view.set(&own, written.to_string());
                        store.transaction([own.clone()], set).await.unwrap();
                        written += 1;
                    }
                }));
            }
        }
        let clock = SystemClock::new();
        let mut conflicts = Vec::new();
        for number in 0..10 {
            clock.sleep(Duration::from_millis(50)).await;
            conflicts.push(mutate(&mut connection, number).await);
        }
        let took = clock.now();
        for writer in writers {
            assert!(!writer.is_finished(), "a writer of ours failed");
            writer.abort();
        }
        let version: u64 = ask(&mut connection, "GET haechi:tv:version").await;
        println!(
            "{lock:?}: ten foreign mutations over 1,000 tokens in {} ms, conflicts {conflicts:?}, \
             beside {} mutations of ours",
            took.as_millis(),
            version - 10,
        );
        assert!(conflicts.iter().all(Result::is_ok), "{conflicts:?}");
    }
}

/// Would catch a lock of ours that is granted when a foreign replica is to get
/// it, or that lasts until then.
#[tokio::test]
async fn our_lock_is_free_at_the_begin_of_every_second() {
    let clock = clock_at(1_760_000_000_000);
    let mut times = LockTimes::default();
    times.wait = Duration::ZERO;
    let store = Builder::new()
        .clock(clock.clone())
        .lock(LockPolicy::Always(times))
        .vault_store(InMemory::at(&clock));
    let mut lives = Vec::new();
    for step in [0, 39, 1, 959] {
        clock.advance(Duration::from_millis(step));
        let lease = store.lease().await;
        let mut life = redis::cmd("PTTL");
        life.arg("haechi:tv:lock");
        lives.push(store.link().send(&life).await.unwrap());
        store.release(lease).await;
    }
    // At 0, 39, 40 and 999 ms; -2 without a lock.
    assert_eq!(lives, [-2, -2, 960, 1].map(redis::Value::Int));
}
