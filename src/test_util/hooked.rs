//! A store with hooks: every call goes to a hook, which forwards it unless
//! overridden. For recorders, injected faults and planted bugs.

use std::{future::Future, time::SystemTime};

use crate::{
    audit::store::{AuditStore, Batch, Reply, Tail},
    chain::Position,
    durability::{Durability, DurabilityStatus},
    error::{AttemptError, ReadError},
    health::Health,
    vault::{
        MutationId,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, Receipt,
            ReceiptSeq, VaultStore,
        },
    },
};

/// A store whose calls go through hooks: an [`AuditStore`] with
/// [`AuditHooks`], a [`VaultStore`] with [`VaultHooks`].
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use haechi_store_redis::{
///     AttemptError, Builder,
///     audit::store::{AuditStore, Batch, Reply},
///     chain::Event,
///     test_util::{AuditHooks, Hooked, MemoryChain},
/// };
///
/// /// Counts the batches.
/// #[derive(Default)]
/// struct Counting(AtomicU32);
///
/// impl<S: AuditStore> AuditHooks<S> for Counting {
///     async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         next.append(batch).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Hooked::new(MemoryChain::new(), Counting::default());
/// let sink = Builder::new().audit_sink(store);
/// sink.record(Event::from_json(r#"{"id":"e1"}"#)?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Hooked<S, H> {
    store: S,
    hooks: H,
}

impl<S, H> Hooked<S, H> {
    /// `store` behind `hooks`.
    pub const fn new(store: S, hooks: H) -> Self {
        Self { store, hooks }
    }

    /// The store behind the hooks.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The hooks.
    pub const fn hooks(&self) -> &H {
        &self.hooks
    }
}

/// A trait of hooks for a store's trait, and the store that calls them.
macro_rules! hooks {
    (
        $(#[$attribute:meta])*
        $hooks:ident for $trait:ident {
            $(fn $call:ident($($name:ident: $type:ty),*) -> $output:ty;)*
        }
        $($also:tt)*
    ) => {
        $(#[$attribute])*
        pub trait $hooks<S: $trait>: Send + Sync + 'static {
            $(
                #[doc = concat!("Instead of [`", stringify!($trait), "::", stringify!($call), "`].")]
                fn $call(
                    &self,
                    next: &S,
                    $($name: $type),*
                ) -> impl Future<Output = $output> + Send {
                    next.$call($($name),*)
                }
            )*
        }

        impl<S: $trait, H: $hooks<S>> $trait for Hooked<S, H> {
            type Lease = S::Lease;

            fn durability(&self) -> Durability {
                self.store.durability()
            }

            fn health(&self) -> Health {
                self.store.health()
            }

            $($also)*

            $(
                fn $call(&self, $($name: $type),*) -> impl Future<Output = $output> + Send {
                    self.hooks.$call(&self.store, $($name),*)
                }
            )*
        }
    };
}

hooks! {
    /// The calls of an [`AuditStore`], each with the store to forward to.
    /// Methods that are not overridden forward.
    AuditHooks for AuditStore {
        fn append(batch: &Batch<'_>) -> Result<Reply, AttemptError>;
        fn tail(seen: Option<Position>) -> Result<Tail, AttemptError>;
        fn read(start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError>;
        fn confirm(position: Position) -> Result<DurabilityStatus, AttemptError>;
        fn lease() -> S::Lease;
        fn release(lease: S::Lease) -> ();
    }
}

hooks! {
    /// The calls of a [`VaultStore`], each with the store to forward to.
    /// Methods that are not overridden forward.
    VaultHooks for VaultStore {
        fn load(what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError>;
        fn apply(attempt: &Attempt<'_>, observed: &Observed) -> Result<Applied, AttemptError>;
        fn settle(
            mutation: MutationId,
            begun: ReceiptSeq,
            observed: &Observed
        ) -> Result<Option<Fate>, AttemptError>;
        fn receipt(
            mutation: MutationId,
            begun: ReceiptSeq,
            observed: &Observed
        ) -> Result<Receipt, AttemptError>;
        fn due(own: SystemTime, limit: usize) -> Result<Due, AttemptError>;
        fn index(tokens: &[Indexed], whole: Option<u64>) -> Result<(), AttemptError>;
        fn scan(cursor: u64, count: usize) -> Result<Page, AttemptError>;
        fn confirm(mutations: &[MutationId]) -> Result<Vec<DurabilityStatus>, AttemptError>;
        fn confirm_dropped(mutation: MutationId) -> Result<DurabilityStatus, AttemptError>;
        fn lease() -> S::Lease;
        fn release(lease: S::Lease) -> ();
    }
    fn tokens_key(&self) -> &str {
        self.store.tokens_key()
    }
}
