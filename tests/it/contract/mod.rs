//! The contracts of the stores' traits, each run on every implementation:
//! memory, the simulated Redis, and redis-server.

/// The tests of one contract: those that take a store, and those that open
/// several over the same data.
macro_rules! contract {
    ($memory:ident, $redis:ident, $of_one:tt, $of_many:tt) => {
        contract!(@ memory, $of_one, $of_many, {
            let store = $memory::new();
            ((), move || store.clone())
        });
        contract!(@ simulated_redis, $of_one, $of_many, {
            let connect = crate::support::InMemory::new();
            ((), move || Builder::new().$redis(connect.clone()))
        });
        contract!(@ redis_server, $of_one, $of_many, {
            let server = crate::support::server();
            let client = crate::support::client(&server);
            (server, move || Builder::new().$redis(client.clone()))
        });
    };
    (@ $name:ident, [$($one:ident),*], [$($many:ident),*], $start:expr) => {
        mod $name {
            use super::*;

            $(#[tokio::test]
            async fn $one() {
                let (_keep, open) = $start;
                super::$one(open()).await;
            })*

            $(#[tokio::test]
            async fn $many() {
                let (_keep, open) = $start;
                super::$many(open).await;
            })*
        }
    };
}

mod audit_store;
mod vault_store;
