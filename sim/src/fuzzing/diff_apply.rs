//! Mutations of a few tokens by a few replicas, with foreign writers in
//! between, lost replies and late commands: the production store over the
//! production Lua in the simulated Redis, compared with a plain map after every
//! command.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use arbitrary::Unstructured;
use haechi_store_redis::{
    AttemptError, Cause,
    redis::{Link, RedisVaultConfig, RedisVaultStore, Timeouts},
    vault::{
        MutateError, MutationId, Stored, TokenId, TokenStore, VaultConfig, View,
        store::{
            Applied, Attempt, Change, Diff, Due, Fate, Fence, ForeignLockWait, Indexed, Load,
            Loaded, Moved, Observed, Page, Receipt, ReceiptSeq, VaultStore,
        },
    },
};

use super::in_process::{AutoClock, Counting, InProcess, Server, block_on};
use redis_sim::{Keyspace, Value};

const REPLICAS: usize = 3;
const TOKENS: u8 = 6;
const STEPS: usize = 6;
/// Runs of one mutation with concurrent writes.
const MAX_DISTURBED: usize = 3;

type Tokens = BTreeMap<TokenId, Stored>;

/// One run on `data`.
pub fn diff_apply(data: &[u8]) {
    let server = Arc::new(Server::start());
    let mut data = Unstructured::new(data);
    let shared = Arc::new(Mutex::new(Shared::default()));
    let (clock, entropy) = (AutoClock::default(), Counting::default());
    let replica = |faulty| {
        let link = Link::new(server.connect(), clock.clone(), Timeouts::default());
        let mut config = RedisVaultConfig::default();
        // The model has no clock: receipts are kept by their number.
        config.deadline = Duration::ZERO;
        let store = Checked {
            inner: RedisVaultStore::over(link, config, clock.clone(), entropy.clone()),
            server: server.clone(),
            shared: shared.clone(),
            faulty,
        };
        let mut config = VaultConfig::default();
        config.deadline = Duration::from_secs(2);
        TokenStore::new(store, clock.clone(), entropy.clone(), config)
    };
    let world = World {
        replicas: (0..REPLICAS).map(|_| replica(true)).collect(),
        rival: replica(false),
        server,
        shared,
    };
    for _ in 0..STEPS {
        if data.is_empty() {
            break;
        }
        world.step(&mut data);
    }
    world.deliver(usize::MAX);
    let shared = world.shared();
    for never in &shared.never {
        assert!(
            !shared.applied.contains_key(never),
            "{never:?} was said never to be applied"
        );
    }
}

/// The state shared by all replicas.
#[derive(Default)]
struct Shared {
    /// The faults of the next calls, the next one last.
    faults: Vec<Fault>,
    /// The fault of every further call of the operation.
    fault: Fault,
    /// The version that each applied mutation made.
    applied: BTreeMap<MutationId, u64>,
    /// Mutations said never to be applied.
    never: BTreeSet<MutationId>,
    /// The mutations that the current operation has attempted.
    tried: Vec<MutationId>,
    /// Attempts not yet delivered.
    late: Vec<Late>,
}

#[derive(Clone, Copy, Default, Debug)]
enum Fault {
    #[default]
    None,
    /// The command never arrives.
    Request,
    /// It runs, but its reply never arrives.
    Reply,
    /// The caller gives up, and it arrives later.
    Delay,
}

/// An attempt that arrives after its sender gave up.
struct Late {
    mutation: MutationId,
    number: u32,
    begun: ReceiptSeq,
    fence: Fence,
    read: BTreeMap<TokenId, Option<Stored>>,
    diff: Diff,
    observed: Observed,
}

struct World {
    replicas: Vec<Replica>,
    /// Writes in between; its calls never fail.
    rival: Replica,
    server: Arc<Server>,
    shared: Arc<Mutex<Shared>>,
}

type Replica = TokenStore<Checked, AutoClock, Counting>;

/// One step of a mutation.
#[derive(Clone, Copy, Debug)]
enum Act {
    Get(u8),
    Set(u8, u8),
    Delete(u8),
    Entries,
    /// A foreign replica writes now.
    Foreign(u8, u8),
    /// Another replica of ours writes now.
    Rival(u8, u8),
}

/// What a step read.
#[derive(Debug, PartialEq, Eq)]
enum Saw {
    Value(Option<Stored>),
    Existed(bool),
    Everything(Vec<(TokenId, Stored)>),
}

impl World {
    fn step(&self, data: &mut Unstructured<'_>) {
        let kind: u8 = data.arbitrary().unwrap_or_default();
        let (token, value) = (
            data.arbitrary().unwrap_or_default(),
            data.arbitrary().unwrap_or_default(),
        );
        match kind % 8 {
            0 => foreign(&self.server, token, value),
            1 => self.deliver(usize::from(token % 3) + 1),
            2 => self.read(usize::from(token)),
            _ => self.mutate(usize::from(kind / 8), data),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, replica: usize) {
        let expected = tokens(&self.server);
        let read = block_on(self.replicas[replica % REPLICAS].read(View::entries));
        let read = read.expect("no fault hits a read here");
        assert_eq!(read, expected.into_iter().collect::<Vec<_>>());
    }

    fn mutate(&self, replica: usize, data: &mut Unstructured<'_>) {
        let acts = acts(data);
        let whole = data.arbitrary().unwrap_or_default();
        {
            let mut shared = self.shared();
            shared.tried.clear();
            let hits: u8 = data.int_in_range(0..=4).unwrap_or_default();
            shared.faults = (0..hits).map(|_| fault(data)).collect();
            shared.fault = match data.arbitrary::<u8>().unwrap_or_default() % 16 {
                0 => fault(data),
                _ => Fault::None,
            };
        }
        let store = &self.replicas[replica % REPLICAS];
        let mut runs = 0;
        let run = |view: &mut View| {
            runs += 1;
            let before = tokens(&self.server);
            let saw = acts.iter().filter_map(|act| match act {
                // The number of concurrent writes is bounded.
                Act::Foreign(..) | Act::Rival(..) if runs > MAX_DISTURBED => None,
                act => self.act(view, *act),
            });
            let saw: Vec<_> = saw.collect();
            (before, saw)
        };
        let done: Result<_, MutateError> = if whole {
            block_on(store.mutate(run))
        } else {
            block_on(store.transaction([], run))
        };
        let mut shared = self.shared();
        shared.fault = Fault::None;
        shared.faults.clear();
        let applied: Vec<u64> = shared
            .tried
            .iter()
            .filter_map(|id| shared.applied.get(id).copied())
            .collect();
        match done {
            Ok(done) => {
                let version = done.version.map(|version| version.get());
                assert_eq!(applied, version.into_iter().collect::<Vec<_>>());
                let (before, saw) = done.output;
                assert_eq!(
                    saw,
                    expected(&acts, before),
                    "a view differs from the plain map"
                );
                if version.is_none() {
                    let tried = shared.tried.clone();
                    shared.never.extend(tried);
                }
            }
            Err(MutateError::NotApplied(_)) => {
                assert!(applied.is_empty(), "not applied, and yet it was");
                let tried = shared.tried.clone();
                shared.never.extend(tried);
            }
            Err(MutateError::Unknown { .. }) => assert!(applied.len() <= 1),
            Err(error @ MutateError::Corrupt(_)) => panic!("nothing here is corrupt: {error}"),
        }
    }

    fn act(&self, view: &mut View, act: Act) -> Option<Saw> {
        match act {
            Act::Get(token) => Some(Saw::Value(view.get(&name(token)))),
            Act::Set(token, value) => {
                view.set(&name(token), text(value));
                None
            }
            Act::Delete(token) => Some(Saw::Existed(view.delete(&name(token)))),
            Act::Entries => Some(Saw::Everything(view.entries())),
            Act::Foreign(token, value) => {
                foreign(&self.server, token, value);
                None
            }
            Act::Rival(token, value) => {
                let set = |view: &mut View| view.set(&name(token), text(value));
                let tried = std::mem::take(&mut self.shared().tried);
                block_on(self.rival.transaction([], set)).expect("no faults and no conflict");
                self.shared().tried = tried;
                None
            }
        }
    }

    /// Delivers up to `most` late attempts.
    fn deliver(&self, most: usize) {
        for _ in 0..most {
            let Some(late) = self.shared().late.pop() else {
                return;
            };
            let attempt = Attempt {
                mutation: late.mutation,
                number: late.number,
                begun: late.begun,
                fence: late.fence,
                read: &late.read,
                diff: &late.diff,
                foreign_lock_wait: ForeignLockWait::Exhausted,
            };
            let answer = block_on(self.rival.store().checked(&attempt, &late.observed));
            answer.expect("no faults");
        }
    }
}

/// What the steps read on a plain map.
fn expected(acts: &[Act], mut map: Tokens) -> Vec<Saw> {
    let saw = acts.iter().filter_map(|act| match *act {
        Act::Get(token) => Some(Saw::Value(map.get(&name(token)).cloned())),
        Act::Set(token, value) => {
            map.insert(name(token), text(value));
            None
        }
        Act::Delete(token) => Some(Saw::Existed(map.remove(&name(token)).is_some())),
        Act::Entries => Some(Saw::Everything(map.clone().into_iter().collect())),
        // Concurrent writes do not change the view.
        Act::Foreign(..) | Act::Rival(..) => None,
    });
    saw.collect()
}

/// A foreign replica's mutation, which changes only tokens and version.
fn foreign(server: &Server, token: u8, value: u8) {
    let token = name(token).to_string();
    if value.is_multiple_of(4) {
        server.run(["HDEL", "haechi:tv:tokens", &token].map(str::to_owned));
    } else {
        let value = text(value);
        let value = String::from_utf8_lossy(value.bytes()).into_owned();
        server.run(["HSET", "haechi:tv:tokens", &token, &value].map(str::to_owned));
    }
    server.run(["INCR", "haechi:tv:version"]);
}

fn acts(data: &mut Unstructured<'_>) -> Vec<Act> {
    let count = data.int_in_range(1..=5).unwrap_or(1);
    let mut next = || data.arbitrary::<u8>().unwrap_or_default();
    let acts = (0..count).map(|_| {
        let (kind, token, value) = (next(), next(), next());
        match kind % 16 {
            0..=3 => Act::Get(token),
            4..=8 => Act::Set(token, value),
            9..=11 => Act::Delete(token),
            12 => Act::Entries,
            13 => Act::Foreign(token, value),
            _ => Act::Rival(token, value),
        }
    });
    acts.collect()
}

fn fault(data: &mut Unstructured<'_>) -> Fault {
    match data.arbitrary::<u8>().unwrap_or_default() % 4 {
        0 => Fault::None,
        1 => Fault::Request,
        2 => Fault::Reply,
        _ => Fault::Delay,
    }
}

fn name(token: u8) -> TokenId {
    TokenId::new(&format!("t{}", token % TOKENS)).expect("a short name")
}

/// Few different values, so that old ones recur.
fn text(value: u8) -> Stored {
    match value % 3 {
        0 => format!(
            r#"{{"expiresAt":"2025-10-{:02}T00:00:00.000Z"}}"#,
            value % 28 + 1
        )
        .into(),
        _ => format!("v{}", value % 5).into(),
    }
}

fn tokens(server: &Server) -> Tokens {
    stored_tokens(server.lock().keyspace())
}

fn stored_tokens(keyspace: &Keyspace) -> Tokens {
    match keyspace.peek(b"haechi:tv:tokens") {
        None => Tokens::new(),
        Some(Value::Hash(hash)) => hash
            .iter()
            .map(|(token, value)| {
                let token = std::str::from_utf8(token).expect("only short names are used");
                let token = TokenId::new(token).expect("only short names are used");
                (token, value.to_vec().into())
            })
            .collect(),
        Some(other) => panic!("tokens became a {}", other.type_name()),
    }
}

fn version(server: &Server) -> u64 {
    match server.lock().keyspace().peek(b"haechi:tv:version") {
        None => 0,
        Some(Value::Text(text)) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .expect("only mutations change it"),
        Some(other) => panic!("version became a {}", other.type_name()),
    }
}

fn receipt(server: &Server, mutation: MutationId) -> Option<String> {
    match server.lock().keyspace().peek(b"haechi:tv:receipts") {
        Some(Value::Hash(hash)) => hash
            .get(mutation.to_string().as_bytes())
            .map(|text| String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

/// The production store, with each answer compared with the keys, and some
/// commands and replies lost or late.
struct Checked {
    inner: RedisVaultStore<InProcess, AutoClock, Counting>,
    server: Arc<Server>,
    shared: Arc<Mutex<Shared>>,
    faulty: bool,
}

impl Checked {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_attempt(&self, tried: MutationId) {
        let mut shared = self.shared();
        if !shared.tried.contains(&tried) {
            shared.tried.push(tried);
        }
    }

    fn fault(&self) -> Fault {
        if !self.faulty {
            return Fault::None;
        }
        let mut shared = self.shared();
        let fault = shared.fault;
        shared.faults.pop().unwrap_or(fault)
    }

    /// Applies, and compares the answer with the change of the keys.
    async fn checked(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let (before, before_version) = (tokens(&self.server), version(&self.server));
        let answer = self.inner.apply(attempt, observed).await?;
        let (after, after_version) = (tokens(&self.server), version(&self.server));
        let has_moved = attempt
            .read
            .iter()
            .any(|(token, value)| before.get(token) != value.as_ref());
        let Applied::Committed { version, receipt } = &answer else {
            assert_eq!(after, before, "{answer:?} changed tokens");
            assert_eq!(after_version, before_version, "{answer:?} moved version");
            let is_true = match &answer {
                Applied::Conflict { moved, now } => {
                    let fresh = now
                        .tokens
                        .iter()
                        .all(|(token, value)| before.get(token) == value.as_ref());
                    assert!(fresh, "a conflict returns outdated values");
                    *moved == Moved::Version || has_moved
                }
                Applied::Settled(Fate::Applied { version, .. }) => {
                    self.shared().applied.get(&attempt.mutation) == Some(&version.get())
                }
                Applied::Settled(Fate::Dropped) => {
                    !self.shared().applied.contains_key(&attempt.mutation)
                }
                Applied::ForeignLocked { .. } | Applied::ReceiptExpired => false,
                Applied::Committed { .. } => true,
            };
            assert!(is_true, "{answer:?} is false");
            return Ok(answer);
        };

        let mut whole = before;
        for (token, change) in attempt.diff {
            match change {
                Change::Set(value) => whole.insert(token.clone(), value.clone()),
                Change::Delete => whole.remove(token),
            };
        }
        assert_eq!(after, whole, "a diff was applied in part");
        assert_eq!(after_version, before_version + 1);
        assert_eq!(version.get(), after_version);
        assert!(!has_moved, "applied although a value it read had changed");
        if let Fence::Snapshot(fence) = attempt.fence {
            assert_eq!(fence.get(), before_version);
        }
        let written = self::receipt(&self.server, attempt.mutation);
        let expected = format!("done {version} {} {}", attempt.number, receipt.seq.get());
        assert_eq!(written, Some(expected));
        let twice = self
            .shared()
            .applied
            .insert(attempt.mutation, after_version);
        assert_eq!(twice, None, "a mutation was applied twice");
        Ok(answer)
    }
}

fn lost() -> AttemptError {
    AttemptError::Ambiguous(Cause::new("the reply was lost"))
}

impl VaultStore for Checked {
    type Lease = ();

    fn tokens_key(&self) -> &str {
        self.inner.tokens_key()
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        match self.fault() {
            Fault::None => {}
            Fault::Reply => {
                // The open receipt of a whole-vault mutation is still written.
                self.inner.load(what, observed).await?;
                return Err(lost());
            }
            Fault::Request | Fault::Delay => return Err(lost()),
        }
        let expected = tokens(&self.server);
        let loaded = self.inner.load(what, observed).await?;
        let is_true = loaded
            .tokens
            .iter()
            .all(|(token, value)| expected.get(token) == value.as_ref());
        assert!(is_true, "a read returns wrong values");
        Ok(loaded)
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.record_attempt(attempt.mutation);
        match self.fault() {
            Fault::None => self.checked(attempt, observed).await,
            Fault::Request => Err(lost()),
            Fault::Reply => {
                self.checked(attempt, observed).await?;
                Err(lost())
            }
            Fault::Delay => {
                self.shared().late.push(Late {
                    mutation: attempt.mutation,
                    number: attempt.number,
                    begun: attempt.begun,
                    fence: attempt.fence,
                    read: attempt.read.clone(),
                    diff: attempt.diff.clone(),
                    observed: *observed,
                });
                Err(lost())
            }
        }
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        match self.fault() {
            Fault::None => self.inner.settle(mutation, begun, observed).await,
            Fault::Request | Fault::Delay => Err(lost()),
            Fault::Reply => {
                self.inner.settle(mutation, begun, observed).await?;
                Err(lost())
            }
        }
    }

    async fn receipt(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Receipt, AttemptError> {
        self.inner.receipt(mutation, begun, observed).await
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        self.inner.due(now, limit).await
    }

    async fn index(&self, tokens: &[Indexed], whole: Option<u64>) -> Result<(), AttemptError> {
        self.inner.index(tokens, whole).await
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        self.inner.scan(cursor, count).await
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
