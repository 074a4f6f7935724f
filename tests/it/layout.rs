//! The content of Redis after fixed operations, as a snapshot that replicas in
//! other languages depend on.

use std::{
    fmt::Write,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    Builder,
    chain::Event,
    crypto::{Counting, LocalKeys, MemoryKeys},
    entropy::Entropy,
    redis::Connect,
    test_util::ManualClock,
    vault::{Details, Deterministic, JsonObject, RevealPolicy, TokenType, VaultPolicy},
};

use crate::support::InMemory;

/// A counter instead of randomness.
#[derive(Clone, Default)]
struct Numbers(Arc<AtomicU64>);

impl Entropy for Numbers {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        bytes.fill(0);
        for (byte, digit) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *byte = digit;
        }
        Ok(())
    }
}

const KEYS: &str = r#"{"version":1,"createdAt":"2026-01-01T00:00:00.000Z","keys":[{"kid":"local-1","kty":"oct",
"alg":"AES-256-GCM","status":"active","k":"yvU9gT2eJE7loHWtA-mgcgvN9PX06CIXIhstIqwRItc"}]}"#;

/// Would catch a key, a member or a number that is written differently than
/// before.
#[tokio::test]
async fn the_layout() {
    let (clock, entropy) = (
        ManualClock::at(Duration::from_millis(1_760_000_000_120)),
        Numbers::default(),
    );
    let redis = InMemory::at(&clock);
    let builder = || Builder::new().clock(clock.clone()).entropy(entropy.clone());
    let sink = builder().open_audit(redis.clone()).await.unwrap();
    let event = r#"{"id":"e1","operation":"protect","secret":"left out"}"#;
    sink.record(Event::from_json(event).unwrap()).await.unwrap();

    let storage = MemoryKeys::from_text(KEYS);
    let keys = LocalKeys::open(
        storage,
        clock.clone(),
        entropy.clone(),
        Counting::PerProcess,
    );
    let mut policy = VaultPolicy::default();
    policy.deterministic = Deterministic::All;
    policy.reveal = RevealPolicy::Allowed("local-dev".to_owned());
    let store = builder().vault_store(redis.clone());
    let vault = builder().token_vault(store, keys.await.unwrap().into(), sink, policy);
    let email = TokenType::new("email").unwrap();
    let mut details = Details::default();
    details.context = JsonObject::from_json(r#"{"path":"messages[0]"}"#).unwrap();
    details.metadata = JsonObject::from_json(r#"{"source":"layout"}"#).unwrap();
    let kept = vault.tokenize(&email, "anna@example.com", details).await;
    let kept = kept.unwrap().token;
    let gone = vault.tokenize(&email, "bob", Details::default()).await;
    vault.purge(gone.unwrap().token.as_str()).await.unwrap();
    vault.reveal(kept.as_str(), None).await.unwrap();

    let mut connection = redis.connect().await.unwrap();
    let mut text = String::new();
    for (read, key) in [
        ("LRANGE", "haechi:audit:chain"),
        ("GET", "haechi:audit:head"),
        ("GET", "haechi:audit:head:hash"),
        ("HGETALL", "haechi:tv:tokens"),
        ("GET", "haechi:tv:version"),
        ("HGETALL", "haechi:tv:receipts"),
        ("ZRANGE", "haechi:tv:expiry"),
    ] {
        let mut command = redis::cmd(read);
        command.arg(key);
        match read {
            "LRANGE" => drop(command.arg(0).arg(-1)),
            "ZRANGE" => drop(command.arg(0).arg(-1).arg("WITHSCORES")),
            _ => {}
        }
        let value: redis::Value = command.query_async(&mut connection).await.unwrap();
        let mut values: Vec<String> = match value {
            redis::Value::BulkString(_) => vec![redis::from_redis_value(value).unwrap()],
            list => redis::from_redis_value(list).unwrap(),
        };
        if read == "HGETALL" {
            // A hash has no defined order.
            let mut pairs: Vec<_> = values.chunks(2).map(|pair| pair.join(" → ")).collect();
            pairs.sort();
            values = pairs;
        }
        writeln!(text, "# {key}\n{}\n", values.join("\n")).unwrap();
    }
    insta::assert_snapshot!(text);
}
