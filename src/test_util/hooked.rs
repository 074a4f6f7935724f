//! A store with hooks: every call goes to a hook, which forwards it unless it
//! is overridden. For recorders, injected faults and planted bugs; it must not
//! know any of them.

use std::{future::Future, time::SystemTime};

use crate::{
    audit::store::{AuditStore, Batch, Reply, Tail},
    chain::Position,
    error::{AttemptError, ReadError},
    vault::{
        MutationId,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, ReceiptSeq,
            VaultStore,
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

/// The calls of an [`AuditStore`], each with the store that it was meant for.
/// What is not overridden is forwarded.
pub trait AuditHooks<S: AuditStore>: Send + Sync + 'static {
    /// Instead of [`AuditStore::append`].
    fn append(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> impl Future<Output = Result<Reply, AttemptError>> + Send {
        next.append(batch)
    }

    /// Instead of [`AuditStore::tail`].
    fn tail(
        &self,
        next: &S,
        seen: Option<Position>,
    ) -> impl Future<Output = Result<Tail, AttemptError>> + Send {
        next.tail(seen)
    }

    /// Instead of [`AuditStore::read`].
    fn read(
        &self,
        next: &S,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, ReadError>> + Send {
        next.read(start, end)
    }

    /// Instead of [`AuditStore::lease`].
    fn lease(&self, next: &S) -> impl Future<Output = S::Lease> + Send {
        next.lease()
    }

    /// Instead of [`AuditStore::release`].
    fn release(&self, next: &S, lease: S::Lease) -> impl Future<Output = ()> + Send {
        next.release(lease)
    }
}

impl<S: AuditStore, H: AuditHooks<S>> AuditStore for Hooked<S, H> {
    type Lease = S::Lease;

    fn append(
        &self,
        batch: &Batch<'_>,
    ) -> impl Future<Output = Result<Reply, AttemptError>> + Send {
        self.hooks.append(&self.store, batch)
    }

    fn tail(
        &self,
        seen: Option<Position>,
    ) -> impl Future<Output = Result<Tail, AttemptError>> + Send {
        self.hooks.tail(&self.store, seen)
    }

    fn read(
        &self,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, ReadError>> + Send {
        self.hooks.read(&self.store, start, end)
    }

    fn lease(&self) -> impl Future<Output = S::Lease> + Send {
        self.hooks.lease(&self.store)
    }

    fn release(&self, lease: S::Lease) -> impl Future<Output = ()> + Send {
        self.hooks.release(&self.store, lease)
    }
}

/// The calls of a [`VaultStore`], each with the store that it was meant for.
/// What is not overridden is forwarded.
pub trait VaultHooks<S: VaultStore>: Send + Sync + 'static {
    /// Instead of [`VaultStore::load`].
    fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Loaded, AttemptError>> + Send {
        next.load(what, observed)
    }

    /// Instead of [`VaultStore::apply`].
    fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Applied, AttemptError>> + Send {
        next.apply(attempt, observed)
    }

    /// Instead of [`VaultStore::settle`].
    fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Option<Fate>, AttemptError>> + Send {
        next.settle(mutation, begun, observed)
    }

    /// Instead of [`VaultStore::due`].
    fn due(
        &self,
        next: &S,
        now: SystemTime,
        limit: usize,
    ) -> impl Future<Output = Result<Due, AttemptError>> + Send {
        next.due(now, limit)
    }

    /// Instead of [`VaultStore::index`].
    fn index(
        &self,
        next: &S,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> impl Future<Output = Result<(), AttemptError>> + Send {
        next.index(tokens, whole)
    }

    /// Instead of [`VaultStore::scan`].
    fn scan(
        &self,
        next: &S,
        cursor: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page, AttemptError>> + Send {
        next.scan(cursor, count)
    }

    /// Instead of [`VaultStore::lease`].
    fn lease(&self, next: &S) -> impl Future<Output = S::Lease> + Send {
        next.lease()
    }

    /// Instead of [`VaultStore::release`].
    fn release(&self, next: &S, lease: S::Lease) -> impl Future<Output = ()> + Send {
        next.release(lease)
    }
}

impl<S: VaultStore, H: VaultHooks<S>> VaultStore for Hooked<S, H> {
    type Lease = S::Lease;

    fn tokens_key(&self) -> &str {
        self.store.tokens_key()
    }

    fn load(
        &self,
        what: Load<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Loaded, AttemptError>> + Send {
        self.hooks.load(&self.store, what, observed)
    }

    fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Applied, AttemptError>> + Send {
        self.hooks.apply(&self.store, attempt, observed)
    }

    fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Option<Fate>, AttemptError>> + Send {
        self.hooks.settle(&self.store, mutation, begun, observed)
    }

    fn due(
        &self,
        now: SystemTime,
        limit: usize,
    ) -> impl Future<Output = Result<Due, AttemptError>> + Send {
        self.hooks.due(&self.store, now, limit)
    }

    fn index(
        &self,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> impl Future<Output = Result<(), AttemptError>> + Send {
        self.hooks.index(&self.store, tokens, whole)
    }

    fn scan(
        &self,
        cursor: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page, AttemptError>> + Send {
        self.hooks.scan(&self.store, cursor, count)
    }

    fn lease(&self) -> impl Future<Output = S::Lease> + Send {
        self.hooks.lease(&self.store)
    }

    fn release(&self, lease: S::Lease) -> impl Future<Output = ()> + Send {
        self.hooks.release(&self.store, lease)
    }
}
