//! A configuration that is read by serde.

use std::{num::NonZeroU32, time::Duration};

use haechi_store_redis::{
    Builder, Durability,
    audit::AuditConfig,
    redis::{AuditPrefix, Endpoint, LockPolicy, LockTimes, SentinelTimes, Timeouts, VaultPrefix},
    vault::VaultConfig,
};
use serde::Deserialize;

use crate::support::{client, event, server};

/// What a service would have for the store.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    endpoint: Endpoint,
    sentinel: SentinelTimes,
    audit_prefix: AuditPrefix,
    vault_prefix: VaultPrefix,
    durability: Durability,
    timeouts: Timeouts,
    lock: LockPolicy,
    audit: AuditConfig,
    vault: VaultConfig,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            endpoint: "redis://127.0.0.1".parse().unwrap(),
            sentinel: SentinelTimes::default(),
            audit_prefix: AuditPrefix::default(),
            vault_prefix: VaultPrefix::default(),
            durability: Durability::default(),
            timeouts: Timeouts::default(),
            lock: LockPolicy::default(),
            audit: AuditConfig::default(),
            vault: VaultConfig::default(),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Would catch a member that is read into another one, or as another unit, and an absent one
/// that does not have its default.
#[tokio::test]
async fn a_whole_configuration_is_read() {
    let text = r#"{
        "endpoint": "redis+sentinel://a:26379,b:26379/group",
        "sentinel": {"every": "2s", "answer": "100 ms", "stop_after": "1m 30s"},
        "audit_prefix": "a:",
        "vault_prefix": "v:",
        "durability": "replicas:2",
        "timeouts": {"connect": "3s", "reply": "PT4S", "durability": "5s"},
        "lock": {"always": {"ttl": "20s", "wait": "0s"}},
        "audit": {"deadline": "6s", "queue_capacity": 1, "queue_bytes": 2, "batch_records": 3, "batch_bytes": 4},
        "vault": {"deadline": "7s", "foreign_lock_wait": "8ms", "at_once": 5, "queue_bytes": 6}
    }"#;
    let read: Configuration = serde_json::from_str(text).unwrap();
    let SentinelTimes {
        every,
        answer,
        stop_after,
        ..
    } = read.sentinel;
    let seconds = (2 * SECOND, Duration::from_millis(100), Some(90 * SECOND));
    assert_eq!((every, answer, stop_after), seconds);
    let never: SentinelTimes = serde_json::from_str(r#"{"stop_after": null}"#).unwrap();
    assert_eq!(never.stop_after, None);
    assert_eq!(
        (read.audit_prefix, read.vault_prefix),
        (AuditPrefix::new("a:"), VaultPrefix::new("v:"))
    );
    assert_eq!(
        read.durability,
        Durability::Replicas(NonZeroU32::new(2).unwrap())
    );
    let Timeouts {
        connect,
        reply,
        durability,
        ..
    } = read.timeouts;
    assert_eq!(
        (connect, reply, durability),
        (3 * SECOND, 4 * SECOND, 5 * SECOND)
    );
    let mut times = LockTimes::default();
    (times.ttl, times.wait) = (20 * SECOND, Duration::ZERO);
    assert_eq!(read.lock, LockPolicy::Always(times));
    let audit = read.audit;
    let sizes = [
        audit.queue_capacity,
        audit.queue_bytes,
        audit.batch_records,
        audit.batch_bytes,
    ];
    assert_eq!((audit.deadline, sizes), (6 * SECOND, [1, 2, 3, 4]));
    let vault = read.vault;
    let sizes = [vault.at_once, vault.queue_bytes];
    assert_eq!((vault.deadline, sizes), (7 * SECOND, [5, 6]));
    assert_eq!(vault.foreign_lock_wait, Duration::from_millis(8));

    let defaults = r#"{"audit": {}, "vault": {}, "timeouts": {}, "lock": "none", "sentinel": {}}"#;
    for text in ["{}", defaults] {
        let read: Configuration = serde_json::from_str(text).unwrap();
        let debugged = |configuration: &Configuration| {
            let Configuration {
                sentinel,
                timeouts,
                lock,
                audit,
                vault,
                ..
            } = configuration;
            format!("{sentinel:?} {timeouts:?} {lock:?} {audit:?} {vault:?}")
        };
        assert_eq!(debugged(&read), debugged(&Configuration::default()));
    }

    let server = server();
    let read: Configuration = serde_json::from_str(r#"{"audit": {"queue_capacity": 7}}"#).unwrap();
    let builder = Builder::new().timeouts(read.timeouts).lock(read.lock);
    let builder = builder.audit_config(read.audit).vault_config(read.vault);
    let sink = builder.open_audit(client(&server)).await.unwrap();
    sink.record(event("1")).await.unwrap();
}

/// Would catch a misspelt member, a number without a unit or a negative duration that is taken
/// for something else.
#[test]
fn what_is_not_understood_is_refused() {
    for (text, why) in [
        (
            r#"{"audit": {"deadlines": "1s"}}"#,
            "unknown field `deadlines`",
        ),
        (
            r#"{"audit": {"telemetry": {}}}"#,
            "unknown field `telemetry`",
        ),
        (r#"{"vault": {"kept": {}}}"#, "unknown field `kept`"),
        (
            r#"{"timeouts": {"replies": "1s"}}"#,
            "unknown field `replies`",
        ),
        (
            r#"{"lock": {"always": {"tt": "1s"}}}"#,
            "unknown field `tt`",
        ),
        (r#"{"lock": "sometimes"}"#, "unknown variant `sometimes`"),
        (r#"{"sentinel": {"each": "1s"}}"#, "unknown field `each`"),
        (r#"{"audit": {"deadline": "10"}}"#, "such as 250ms or 10s"),
        (r#"{"audit": {"deadline": "-10s"}}"#, "such as 250ms or 10s"),
        (r#"{"audit": {"deadline": 10}}"#, "expected a string"),
        (r#"{"audit": {"queue_bytes": -1}}"#, "invalid value"),
    ] {
        let refused = serde_json::from_str::<Configuration>(text)
            .err()
            .unwrap()
            .to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
}
