//! An address that leads to the wrong node first: one of a cluster that does
//! not serve the keys, or a replica.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, Builder, Cause, NotApplied,
    audit::store::AuditStore,
    redis::Connect,
    vault::{Done, MutateError, TokenId, View},
};

use crate::support::{InMemory, event, verified};

/// Leads to one node for some dials, and to another afterwards.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) wrong: InMemory,
    wrong_dials: u64,
    pub(crate) right: InMemory,
    dials: Arc<AtomicU64>,
}

impl Address {
    pub(crate) fn new(wrong: InMemory, wrong_dials: u64) -> Self {
        Self {
            wrong,
            wrong_dials,
            right: InMemory::new(),
            dials: Arc::default(),
        }
    }

    fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }
}

impl Connect for Address {
    type Connection = <InMemory as Connect>::Connection;

    async fn connect(&self) -> redis::RedisResult<Self::Connection> {
        if self.dials.fetch_add(1, Ordering::Relaxed) < self.wrong_dials {
            self.wrong.connect().await
        } else {
            self.right.connect().await
        }
    }
}

/// The nodes that serve no write, and the code by which each refuses it.
fn wrong_nodes() -> [(&'static str, InMemory); 3] {
    let replica = InMemory::new();
    replica.redis().lock().unwrap().modes().readonly = true;
    [
        ("MOVED", InMemory::refusing("MOVED 3999 10.0.0.1:6379")),
        ("ASK", InMemory::refusing("ASK 3999 10.0.0.1:6379")),
        ("READONLY", replica),
    ]
}

fn chain(address: &Address) -> impl AuditStore + use<> {
    Builder::new().audit_store(address.clone())
}

async fn mutate(builder: &Builder, address: &Address) -> Result<Done<()>, MutateError> {
    let tokens = builder.token_store(builder.vault_store(address.clone()));
    let token = TokenId::new("t1").unwrap();
    let set = {
        let token = token.clone();
        move |view: &mut View| view.set(&token, "value")
    };
    tokens.transaction([token], set).await
}

/// Would catch a connection to the wrong node that is kept, and a call that
/// fails although the next dial finds the right one.
#[tokio::test]
async fn the_next_dial_finds_the_right_node() {
    for (code, wrong) in wrong_nodes() {
        let address = Address::new(wrong.clone(), 1);
        let builder = Builder::new();
        let sink = builder.audit_sink(chain(&address));
        sink.record(event("e")).await.unwrap();
        assert_eq!(address.dials(), 2, "{code}");
        assert_eq!(verified(&chain(&address)).await.len(), 1);

        let address = Address::new(wrong, 1);
        mutate(&Builder::new(), &address).await.unwrap();
        assert_eq!(address.dials(), 2, "{code}");
    }
}

fn refused_until_the_deadline(ended: NotApplied) -> Cause {
    match ended {
        NotApplied::Deadline(cause) => cause,
        other => panic!("{other:?}"),
    }
}

/// Would catch a call that ends before its deadline, and a cause that does not
/// name what refused it.
#[tokio::test]
async fn only_wrong_nodes_are_not_applied_at_the_deadline() {
    for (code, wrong) in wrong_nodes() {
        let address = Address::new(wrong, u64::MAX);
        let builder = || Builder::new().deadline(Duration::from_millis(100));
        let sink = builder().audit_sink(chain(&address));
        let ended = sink.record(event("e")).await;
        let Err(AppendError::NotApplied(ended)) = ended else {
            panic!("{code}: {ended:?}");
        };
        assert_eq!(refused_until_the_deadline(ended).code(), Some(code));

        let ended = mutate(&builder(), &address).await;
        let Err(MutateError::NotApplied(ended)) = ended else {
            panic!("{code}: {ended:?}");
        };
        assert_eq!(refused_until_the_deadline(ended).code(), Some(code));
    }
}
