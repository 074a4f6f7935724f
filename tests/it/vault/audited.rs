//! The audit chain says what happens before it happens, and a second record what of
//! it did not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, DurabilityStatus,
    audit::store::AuditStore,
    clock::{Clock, SystemClock},
    test_util::{Fault, Faults, Hooked, MemoryChain, MemoryVault, VaultHooks},
    vault::{
        Details, Deterministic, DetokenizeError, Identity, InvalidIdentity, MutateError,
        PurgeError, Purged, Retention, RevealPolicy, TokenId, TokenStore, TokenType, VaultPolicy,
        View,
        store::{Load, Loaded, Observed, VaultStore},
    },
};
use serde_json::Value;

use super::{Vault, keys, new_keys};
use crate::support::{client, server};

/// A vault whose tokens live so long, recording in `chain` for at most 1 s: three
/// quarters are longer than the longest wait between two attempts.
async fn over<S: VaultStore>(
    store: S,
    chain: impl AuditStore,
    life: Duration,
) -> Vault<S, SystemClock> {
    let clock = SystemClock::new();
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let mut policy = VaultPolicy::default();
    policy.deterministic = Deterministic::All;
    policy.reveal = RevealPolicy::Allowed("local-dev".to_owned());
    policy.retention = Retention::new(life).unwrap();
    let audit = Builder::new().deadline(Duration::from_secs(1));
    Builder::new().token_vault(store, keys, audit.audit_sink(chain), policy)
}

const DAY: Duration = Duration::from_secs(86_400);

async fn make<S: VaultStore>(vault: &Vault<S, SystemClock>, plaintext: &str) -> TokenId {
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, plaintext, Details::default()).await;
    made.unwrap().token
}

/// Decision, reason, count and number of tokens of every event, and the decision of
/// the event that it corrects.
async fn events(chain: &impl AuditStore) -> Vec<String> {
    let records = chain.read(0, u64::MAX).await.unwrap();
    let parsed = records
        .iter()
        .map(|record| serde_json::from_slice(record).unwrap());
    let events: Vec<Value> = parsed.collect();
    let line = |event: &Value| {
        let mut line = event["decision"].as_str().unwrap().to_owned();
        for member in ["reason", "count"] {
            if !event[member].is_null() {
                line += &format!(", {member} {}", event[member]);
            }
        }
        if let Some(named) = event["tokens"].as_array() {
            line += &format!(", {} named", named.len());
        }
        if let Some(intent) = event.get("intent") {
            let corrected = events.iter().find(|other| other["id"] == *intent);
            let corrected = corrected.unwrap()["decision"].as_str();
            line += &format!(", of a {}", corrected.unwrap());
        }
        line
    };
    events.iter().map(line).collect()
}

/// Would catch a record that does not name who asked, or names somebody of another call.
#[tokio::test]
async fn records_name_who_asked() {
    let chain = MemoryChain::new();
    let faults = Faults::of_writes([], Fault::None);
    let store = Hooked::new(MemoryVault::new(), faults.clone());
    let vault = over(store, chain.clone(), DAY).await;
    let made = make(&vault, "anna").await;
    let support = vault.on_behalf_of(Identity::new("support-7").unwrap());
    vault.reveal(made.as_str(), None).await.unwrap();
    support.reveal(made.as_str(), None).await.unwrap();
    support.detokenize(&[made.to_string()]).await.unwrap();
    faults.plan([], Fault::Denied);
    support.purge(made.as_str()).await.unwrap_err();
    support.purge_expired().await.unwrap();
    let records = chain.read(0, u64::MAX).await.unwrap();
    let named: Vec<_> = records
        .iter()
        .map(|record| {
            let event: Value = serde_json::from_slice(record).unwrap();
            format!("{}: {}", event["decision"], event["identity"])
        })
        .collect();
    insta::assert_snapshot!(named.join("\n"), @r#"
    "reveal_allowed": null
    "reveal_allowed": "support-7"
    "detokenize": "support-7"
    "purge": "support-7"
    "purge_failed": "support-7"
    "purge_expired": "support-7"
    "#);
    for text in ["", "a\nb", &"x".repeat(257)] {
        assert_eq!(Identity::new(text), Err(InvalidIdentity));
    }
}

/// Would catch a second record that is missing, that says something else, or that is
/// there without reason.
#[tokio::test]
async fn a_purge_has_a_second_record_if_it_did_not_happen() {
    let chain = MemoryChain::new();
    let faults = Faults::of_writes([], Fault::None);
    let store = Hooked::new(MemoryVault::new(), faults.clone());
    let vault = over(store, chain.clone(), DAY).await;
    let made = make(&vault, "anna").await;
    assert!(vault.purge(made.as_str()).await.unwrap().existed);
    assert!(!vault.purge(made.as_str()).await.unwrap().existed);
    assert!(!vault.purge(&"x".repeat(600)).await.unwrap().existed);
    let made = make(&vault, "bob").await;
    faults.plan([], Fault::Denied);
    let denied = vault.purge(made.as_str()).await;
    assert!(
        matches!(denied, Err(PurgeError::Mutate(MutateError::NotApplied(_)))),
        "{denied:?}"
    );
    insta::assert_snapshot!(events(&chain).await.join("\n"));
}

/// Before the second load of a purge, purges one of its tokens and refreshes another
/// one.
struct Beaten {
    other: TokenStore<MemoryVault>,
    loads: Arc<AtomicU32>,
    tokens: [TokenId; 2],
    refreshed: String,
}

impl VaultHooks<MemoryVault> for Beaten {
    async fn load(
        &self,
        next: &MemoryVault,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        if self.loads.fetch_add(1, Ordering::Relaxed) == 1 {
            let [purged, refreshed] = &self.tokens;
            let beat = |view: &mut View| {
                view.delete(purged);
                view.set(refreshed, self.refreshed.as_str());
            };
            self.other.transaction([], beat).await.unwrap();
        }
        next.load(what, observed).await
    }
}

/// Would catch a purge of expired tokens that deletes one which was refreshed
/// meanwhile, counts one that was gone, or says of either that it was purged.
#[tokio::test]
async fn what_others_changed_meanwhile_is_not_purged() {
    let chain = MemoryChain::new();
    let memory = MemoryVault::new();
    let short = over(memory.clone(), MemoryChain::new(), Duration::from_millis(1)).await;
    let mut made = Vec::new();
    for plaintext in ["anna", "bob", "cleo"] {
        made.push(make(&short, plaintext).await);
    }
    let other = Builder::new().token_store(memory.clone());
    let long = over(memory.clone(), MemoryChain::new(), DAY).await;
    let fresh = make(&long, "dora").await;
    let fresh = other.read_tokens(std::slice::from_ref(&fresh)).await;
    let fresh = fresh.unwrap().tokens.into_values().next().unwrap().unwrap();
    SystemClock::new().sleep(Duration::from_millis(5)).await;
    let beaten = Beaten {
        other: other.clone(),
        loads: Arc::default(),
        tokens: [made[0].clone(), made[1].clone()],
        refreshed: String::from_utf8(fresh.bytes().to_vec()).unwrap(),
    };
    let vault = over(Hooked::new(memory, beaten), chain.clone(), DAY).await;
    let purged = vault.purge_expired().await.unwrap();
    let expected = Purged {
        purged: 1,
        disputed: 0,
        durability: DurabilityStatus::AsAsked,
    };
    assert_eq!(purged, expected);
    let left = other.read(View::entries).await.unwrap();
    assert!(left.iter().any(|(token, _)| *token == made[1]));
    insta::assert_snapshot!(events(&chain).await.join("\n"));
}

/// Would catch a purge that the audit chain may state, and that nothing takes back.
#[tokio::test]
async fn a_purge_whose_record_is_unknown_is_withdrawn() {
    let chain = MemoryChain::new();
    let faults = Faults::new([], Fault::RequestLost);
    let recorded = Hooked::new(chain.clone(), faults.clone());
    let vault = over(MemoryVault::new(), recorded, DAY).await;
    let made = make(&vault, "anna").await;
    let purged = vault.purge(made.as_str()).await;
    assert!(
        matches!(
            purged,
            Err(PurgeError::NotAudited(AppendError::Unknown { .. }))
        ),
        "{purged:?}"
    );
    faults.plan([], Fault::None);
    assert!(vault.close(Duration::from_secs(10)).await);
    let left = vault.tokens().read(View::entries).await.unwrap();
    assert_eq!(left.len(), 1);
    let said = events(&chain).await;
    assert_eq!(
        said.last().map(String::as_str),
        Some("purge_failed, reason \"not_applied\", of a purge"),
        "{said:?}"
    );
}

/// Would catch a restore of many tokens that names only some of them, and one whose
/// records were not all written and that is not taken back.
#[tokio::test]
async fn a_restore_names_every_token() {
    let chain = MemoryChain::new();
    let faults = Faults::new([], Fault::None);
    let recorded = Hooked::new(chain.clone(), faults.clone());
    let vault = over(MemoryVault::new(), recorded, DAY).await;
    let made = make(&vault, "anna").await.to_string();
    let mut asked = vec![made; 1001];
    asked.push("tok_email_0000000000000000".to_owned());
    let restored = vault.detokenize(&asked).await.unwrap();
    assert_eq!(restored.len(), 1002);
    faults.plan([Fault::None, Fault::Denied], Fault::None);
    let restored = vault.detokenize(&asked).await;
    assert!(
        matches!(
            restored,
            Err(DetokenizeError::NotAudited(AppendError::NotApplied(_)))
        ),
        "{restored:?}"
    );
    assert!(vault.close(Duration::from_secs(10)).await);
    insta::assert_snapshot!(events(&chain).await.join("\n"));
}

/// Would catch a purge that is stopped because its caller left after the record was
/// sent, and one that is carried out before.
#[tokio::test]
async fn purges_of_callers_that_leave_are_in_the_chain() {
    const PURGES: usize = 400;
    let server = server();
    let builder = Builder::new();
    let chain = || Builder::new().audit_store(client(&server));
    let vault = over(builder.vault_store(client(&server)), chain(), DAY).await;
    let mut made = Vec::new();
    for number in 0..PURGES {
        made.push(make(&vault, &format!("value {number}")).await);
    }
    for (micros, token) in (0..).zip(&made) {
        let purge = tokio::spawn({
            let (vault, token) = (vault.clone(), token.to_string());
            async move { vault.purge(&token).await }
        });
        let patience = Duration::from_micros(micros);
        SystemClock::new().sleep(patience).await;
        purge.abort();
    }
    assert!(vault.close(Duration::from_secs(10)).await);
    let closed = vault.purge(made[0].as_str()).await;
    assert!(matches!(closed, Err(PurgeError::Closed)), "{closed:?}");

    let left = vault.tokens().read(View::entries).await.unwrap().len();
    let said = events(&chain()).await;
    let (gone, records) = (PURGES - left, said.len());
    println!("{gone} tokens are gone; the chain has {records} records");
    assert!(said.iter().all(|event| event == "purge"), "{said:?}");
    assert_eq!(records, gone);
    assert!(gone > 0, "no purge was begun");
}
