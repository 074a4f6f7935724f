//! Faults that make a real server lose data: what it had before is compared with what it
//! has afterwards, to record what is lost.
//!
//! While data is lost nothing passes between the replicas and the server, so the loss is
//! in the history before any reply that follows it.

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf, time::Duration};

use bytes::Bytes;
use haechi_history::Durability;
use haechi_store_redis::clock::Clock;
use redis::{Connection, FromRedisValue, Pipeline, RedisError, RedisResult, Value};

use super::{
    nemesis::{NO_PRIMARY, Nemesis, misplaced},
    proxy::ProxyLink,
    server::{Server, query},
};
use crate::{
    plan::{Fault, FaultKind, LossFault, ServerFault},
    record::{Contents, StoreKeys, has_taken},
};

/// How long the server may take to answer with all it has.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to write a snapshot or an append-only file, or to evict,
/// and how often that is checked.
const WRITING: Duration = Duration::from_secs(20);
const EVICTING: Duration = Duration::from_secs(1);
const CHECK: Duration = Duration::from_millis(5);

/// For how long the server syncs nothing before it is killed, in milliseconds, at most.
const TAIL_MS: u64 = 400;

/// The key that the nemesis writes.
const PROBE: &str = "torture:probe";

/// The server's files.
const SNAPSHOT_FILE: &str = "dump.rdb";
const AOF_DIRECTORY: &str = "appendonlydir";

/// The server that the replicas reach, and the replicas of it that can take its place.
pub(super) struct Servers {
    pub(super) primary: Server,
    pub(super) standbys: Vec<Server>,
}

/// What was kept for a fault, some time before it.
pub(super) enum Kept {
    /// A snapshot of everything.
    Snapshot(Vec<u8>),
    /// One key's value, if it had one.
    Key(Option<Vec<u8>>),
    /// A standby was cut off.
    Standby,
}

/// How long before a fault something is kept for it, in milliseconds; `None`: nothing is.
pub(super) fn lead_time(kind: LossFault, fault: &Fault) -> Option<u64> {
    let amount = fault.amount.unsigned_abs();
    let keeps = match kind {
        LossFault::CrashWithoutAof => amount > 0,
        LossFault::SnapshotRestored | LossFault::KeyRestored => true,
        // One in three is promoted as it stands.
        LossFault::LaggingReplicaPromoted => !amount.is_multiple_of(3),
        LossFault::UnsyncedTailLost
        | LossFault::SplitBrain
        | LossFault::SentinelFailover
        | LossFault::ClusterFailover
        | LossFault::Flushall
        | LossFault::KeysEvicted
        | LossFault::EvictingRestart
        | LossFault::KeyDeleted => false,
    };
    keeps.then_some(amount)
}

impl Nemesis<'_> {
    /// Keeps what a later fault needs; `None` if the server does not answer.
    pub(super) async fn keep(
        &self,
        servers: &Servers,
        kind: LossFault,
        fault: &Fault,
    ) -> Option<Kept> {
        match kind {
            LossFault::LaggingReplicaPromoted => {
                let cut_off = servers.standbys.first()?.run(&NO_PRIMARY);
                cut_off.ok().map(|_| Kept::Standby)
            }
            LossFault::KeyRestored => {
                let dump = ["DUMP", self.keys.one(fault.amount.unsigned_abs())];
                let dump = servers.primary.run(&dump).ok()?;
                Some(Kept::Key(FromRedisValue::from_redis_value(dump).ok()?))
            }
            _ => self.snapshot(&servers.primary).await.map(Kept::Snapshot),
        }
    }

    /// A snapshot of what the server has.
    async fn snapshot(&self, server: &Server) -> Option<Vec<u8>> {
        server.run(&["BGSAVE"]).ok()?;
        self.wait_for(server, WRITING, |info| {
            info["rdb_bgsave_in_progress"] == "0"
        })
        .await
        .ok()?;
        fs::read(server.directory().join(SNAPSHOT_FILE)).ok()
    }

    /// Carries out a fault that loses data; returns whether it has struck.
    pub(super) async fn lose(
        &self,
        servers: &mut Servers,
        kind: LossFault,
        fault: &Fault,
        kept: Option<Kept>,
    ) -> io::Result<bool> {
        let _alone = self.alone.lock().await;
        let lasts = Duration::from_millis(fault.lasts);
        let one = self.keys.one(fault.amount.unsigned_abs());
        let primary = &mut servers.primary;
        let struck = match (kind, kept) {
            (LossFault::Flushall, _) => self.in_place(primary, kind, &[b"FLUSHALL"]).await,
            (LossFault::KeyDeleted, _) | (LossFault::KeyRestored, Some(Kept::Key(None))) => {
                self.in_place(primary, kind, &[b"DEL", one.as_bytes()])
                    .await
            }
            (LossFault::KeyRestored, Some(Kept::Key(Some(dump)))) => {
                let words = [b"RESTORE", one.as_bytes(), b"0", &dump, b"REPLACE"];
                self.in_place(primary, kind, &words).await
            }
            (LossFault::KeysEvicted, _) => self.evict(primary, kind).await,
            (LossFault::CrashWithoutAof, kept) => {
                let older = match kept {
                    Some(Kept::Snapshot(older)) => Some(older),
                    _ => None,
                };
                self.put_back(primary, kind, older.as_deref(), lasts).await
            }
            (LossFault::SnapshotRestored, Some(Kept::Snapshot(older))) => {
                self.put_back(primary, kind, Some(&older), lasts).await
            }
            (LossFault::UnsyncedTailLost, _) => {
                let tail = fault.amount.unsigned_abs().min(TAIL_MS);
                let tail = Duration::from_millis(tail);
                self.lose_tail(primary, kind, tail, lasts).await
            }
            (LossFault::LaggingReplicaPromoted, kept) => {
                self.promote(servers, kind, kept.is_some()).await
            }
            // What was to be kept could not be.
            (LossFault::KeyRestored | LossFault::SnapshotRestored, _) => Ok(false),
            (
                LossFault::SplitBrain
                | LossFault::SentinelFailover
                | LossFault::ClusterFailover
                | LossFault::EvictingRestart,
                _,
            ) => Err(misplaced(fault)),
        };
        for link in self.links {
            link.open(servers.primary.port());
        }
        struck
    }

    /// Runs a command that loses data, between two looks at all there is.
    async fn in_place(
        &self,
        server: &Server,
        kind: LossFault,
        words: &[&[u8]],
    ) -> io::Result<bool> {
        self.links.iter().for_each(ProxyLink::hold);
        let Ok(connection) = server.connect(ANSWER_TIMEOUT) else {
            return Ok(false);
        };
        let mut transaction = redis::pipe();
        transaction.atomic();
        look(&mut transaction, &self.keys);
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        transaction.add_command(command).ignore();
        look(&mut transaction, &self.keys);
        let both = on(connection, move |connection| {
            transaction.query::<Vec<Value>>(connection)
        });
        let mut looks = both.await.map_err(io::Error::other)?.into_iter();
        let had = seen(&mut looks).map_err(io::Error::other)?;
        let has = seen(&mut looks).map_err(io::Error::other)?;
        self.lost(kind, &had, &has, Vec::new());
        Ok(true)
    }

    /// Fills the server, so that it evicts keys of its own choice.
    async fn evict(&self, server: &Server, kind: LossFault) -> io::Result<bool> {
        let Some(had) = self.cut_all(server).await? else {
            return Ok(false);
        };
        let before = info(server).map_err(io::Error::other)?;
        let used: u64 = before["used_memory"].parse().unwrap_or(2);
        let (evicted, full) = (before["evicted_keys"].clone(), (used - 1).to_string());
        for words in [
            ["CONFIG", "SET", "maxmemory-policy", "allkeys-random"],
            ["CONFIG", "SET", "maxmemory", &full],
        ] {
            server.run(&words).map_err(io::Error::other)?;
        }
        let has_evicted = self
            .wait_for(server, EVICTING, |info| info["evicted_keys"] != evicted)
            .await;
        for words in [
            ["CONFIG", "SET", "maxmemory", "0"],
            ["CONFIG", "SET", "maxmemory-policy", "noeviction"],
        ] {
            server.run(&words).map_err(io::Error::other)?;
        }
        let has = self.contents(server).await.map_err(io::Error::other)?;
        self.lost(kind, &had, &has, Vec::new());
        Ok(has_evicted.is_ok())
    }

    /// The server ends, and starts without an append-only file: on this snapshot, or on
    /// nothing.
    async fn put_back(
        &self,
        server: &mut Server,
        kind: LossFault,
        older: Option<&[u8]>,
        lasts: Duration,
    ) -> io::Result<bool> {
        let Some(had) = self.cut_all(server).await? else {
            return Ok(false);
        };
        server
            .run(&["CONFIG", "SET", "appendonly", "no"])
            .map_err(io::Error::other)?;
        match kind {
            LossFault::CrashWithoutAof => server.kill()?,
            _ => server.shut_down()?,
        }
        let snapshot = server.directory().join(SNAPSHOT_FILE);
        match older {
            Some(older) => fs::write(snapshot, older)?,
            None => match fs::remove_file(snapshot) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        self.clock.sleep(lasts).await;
        server.restart_with(&["--appendonly", "no"])?;
        let has = self.contents(server).await.map_err(io::Error::other)?;
        server
            .run(&["CONFIG", "SET", "appendonly", "yes"])
            .map_err(io::Error::other)?;
        let is_written = |info: &Info| {
            ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .iter()
                .all(|what| info[*what] == "0")
        };
        self.wait_for(server, WRITING, is_written).await?;
        self.lost(kind, &had, &has, Vec::new());
        Ok(true)
    }

    /// The server is killed, and starts without what it had not synced, as after a loss of
    /// power: a kill alone loses nothing that was written to the file.
    async fn lose_tail(
        &self,
        server: &mut Server,
        kind: LossFault,
        tail: Duration,
        lasts: Duration,
    ) -> io::Result<bool> {
        let Ok(mut connection) = server.connect(ANSWER_TIMEOUT) else {
            return Ok(false);
        };
        // From here on it syncs nothing. With everysec, redis 7.4 and valkey 9.1.2 answer WAITAOF
        // before they sync, so that all counts as synced.
        for words in [
            &["CONFIG", "SET", "appendfsync", "no"][..],
            &["SET", PROBE, "1"],
        ] {
            if query(&mut connection, words).is_err() {
                return Ok(false);
            }
        }
        let file = append_only_file(server.directory())?;
        let length = fs::metadata(&file)?.len();
        self.clock.sleep(tail).await;
        self.links.iter().for_each(ProxyLink::cut);
        // What follows the probe is only synced with it.
        if is_synced(&mut connection) {
            self.tally.struck(ServerFault::ClientsKilled.into());
            server
                .run(&["CONFIG", "SET", "appendfsync", "always"])
                .map_err(io::Error::other)?;
            return Ok(false);
        }
        let Some(had) = self.cut_all(server).await? else {
            return Ok(false);
        };
        server.kill()?;
        let file = fs::OpenOptions::new().write(true).open(&file)?;
        file.set_len(length)?;
        self.clock.sleep(lasts).await;
        // It syncs always again.
        server.restart()?;
        let has = self.contents(server).await.map_err(io::Error::other)?;
        self.lost(kind, &had, &has, vec![Durability::Fsync]);
        Ok(true)
    }

    /// The primary is killed, and a standby takes its place: the one that was cut off, or
    /// the one that has received the most. The primary starts again as a standby.
    async fn promote(
        &self,
        servers: &mut Servers,
        kind: LossFault,
        is_cut_off: bool,
    ) -> io::Result<bool> {
        let received = |standby: &Server| {
            let info = info(standby).ok()?;
            // It has no complete data set.
            let syncs = info["master_sync_in_progress"] != "0" || info["loading"] != "0";
            info["slave_repl_offset"]
                .parse::<u64>()
                .ok()
                .filter(|_| !syncs)
        };
        self.links.iter().for_each(ProxyLink::cut);
        let candidates = servers.standbys.iter().enumerate();
        let candidates = candidates.take(if is_cut_off { 1 } else { usize::MAX });
        if candidates
            .clone()
            .all(|(_, standby)| received(standby).is_none())
        {
            return Ok(false);
        }
        servers.primary.kill()?;
        let best = candidates.max_by_key(|(_, standby)| received(standby));
        let best = best.map_or(0, |(place, _)| place);
        let count = u32::try_from(servers.standbys.len()).unwrap_or(u32::MAX);
        let promoted = servers.standbys.swap_remove(best);
        promoted
            .run(&["REPLICAOF", "NO", "ONE"])
            .map_err(io::Error::other)?;
        let mut demoted = std::mem::replace(&mut servers.primary, promoted);
        // It has all that it acknowledged.
        demoted.restart()?;
        let had = self.contents(&demoted).await.map_err(io::Error::other)?;
        let has = self.contents(&servers.primary).await;
        let has = has.map_err(io::Error::other)?;
        // All of them had what so many had, also the promoted one.
        self.lost(kind, &had, &has, vec![Durability::Replicas(count)]);
        servers.standbys.push(demoted);
        servers.follow()?;
        self.primary.send_replace(servers.primary.port());
        Ok(true)
    }

    /// Cuts all connections to the server, so that nothing runs there any more; returns
    /// what it has then, or `None` if it does not answer.
    async fn cut_all(&self, server: &Server) -> io::Result<Option<Contents>> {
        self.links.iter().for_each(ProxyLink::cut);
        if server.run(&["CLIENT", "KILL", "TYPE", "normal"]).is_err() {
            return Ok(None);
        }
        self.contents(server)
            .await
            .map(Some)
            .map_err(io::Error::other)
    }

    async fn contents(&self, server: &Server) -> RedisResult<Contents> {
        let connection = server.connect(ANSWER_TIMEOUT)?;
        let mut transaction = redis::pipe();
        transaction.atomic();
        look(&mut transaction, &self.keys);
        let looked = on(connection, move |connection| {
            transaction.query::<Vec<Value>>(connection)
        });
        seen(&mut looked.await?.into_iter())
    }

    /// Waits until the server says so about itself.
    async fn wait_for(
        &self,
        server: &Server,
        limit: Duration,
        is_so: impl Fn(&Info) -> bool,
    ) -> io::Result<()> {
        let end = self.clock.now() + limit;
        loop {
            if is_so(&info(server).map_err(io::Error::other)?) {
                return Ok(());
            }
            if self.clock.now() > end {
                return Err(io::Error::other(
                    "the server did not do in time what it was told",
                ));
            }
            self.clock.sleep(CHECK).await;
        }
    }

    /// Records what is lost, if anything is. Durabilities that survive the fault are
    /// `covered_by`.
    fn lost(&self, kind: LossFault, had: &Contents, has: &Contents, covered_by: Vec<Durability>) {
        let mut loss = had.lost(has);
        loss.fault = FaultKind::from(kind).name().into();
        loss.key_by_key = kind.strikes_keys();
        loss.covered_by = Some(covered_by);
        if has_taken(&loss) {
            self.recorder.lost(loss, had);
        }
    }
}

impl Servers {
    /// Makes every standby a replica of the primary.
    pub(super) fn follow(&self) -> io::Result<()> {
        let port = self.primary.port();
        for standby in &self.standbys {
            standby.follow(port).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Adds commands that read everything.
fn look(pipeline: &mut Pipeline, keys: &StoreKeys) {
    let lrange = pipeline.cmd("LRANGE").arg(&keys.audit.chain);
    lrange.arg(0).arg(-1);
    pipeline.cmd("HGETALL").arg(&keys.vault.tokens);
    pipeline.cmd("GET").arg(&keys.vault.version);
    pipeline.cmd("HGETALL").arg(&keys.vault.receipts);
}

/// What those commands replied.
fn seen(replies: &mut impl Iterator<Item = Value>) -> RedisResult<Contents> {
    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
    fn next<T: FromRedisValue>(replies: &mut impl Iterator<Item = Value>) -> RedisResult<T> {
        Ok(T::from_redis_value(replies.next().unwrap_or(Value::Nil))?)
    }
    let list: Vec<Vec<u8>> = next(replies)?;
    let tokens: Pairs = next(replies)?;
    let version: Option<Vec<u8>> = next(replies)?;
    let receipts: Pairs = next(replies)?;
    let pair = |(field, value): (Vec<u8>, Vec<u8>)| (Bytes::from(field), Bytes::from(value));
    Ok(Contents::new(
        list.into_iter().map(Bytes::from),
        tokens.into_iter().map(pair),
        version.as_deref(),
        receipts.into_iter().map(pair),
    ))
}

/// Talks to the server on another thread.
async fn on<T: Send + 'static>(
    mut connection: Connection,
    talk: impl FnOnce(&mut Connection) -> RedisResult<T> + Send + 'static,
) -> RedisResult<T> {
    let talked = tokio::task::spawn_blocking(move || talk(&mut connection)).await;
    talked.map_err(|error| RedisError::from(io::Error::other(error)))?
}

/// What INFO says; what it does not say is empty.
struct Info(BTreeMap<String, String>);

impl std::ops::Index<&str> for Info {
    type Output = String;

    fn index(&self, name: &str) -> &String {
        static NOTHING: String = String::new();
        self.0.get(name).unwrap_or(&NOTHING)
    }
}

fn info(server: &Server) -> RedisResult<Info> {
    let text: String = FromRedisValue::from_redis_value(server.run(&["INFO"])?)?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let owned = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    Ok(Info(owned.collect()))
}

/// Whether the last write of this connection may be synced by now. A server without
/// WAITAOF can tell nobody that it is.
fn is_synced(connection: &mut Connection) -> bool {
    // In a transaction it is answered at once.
    let mut transaction = redis::pipe();
    transaction.atomic().cmd("WAITAOF").arg(1).arg(0).arg(0);
    match transaction.query::<Vec<Vec<i64>>>(connection) {
        Ok(counts) => counts.first().and_then(|counts| counts.first()) != Some(&0),
        Err(error) => error.is_io_error(),
    }
}

/// The file that the server appends to.
fn append_only_file(directory: &Path) -> io::Result<PathBuf> {
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".incr.aof")?;
        name.rsplit('.').next()?.parse::<u64>().ok()
    };
    let files = fs::read_dir(directory.join(AOF_DIRECTORY))?;
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    let numbered = files.filter_map(|path| Some((number(&path)?, path)));
    numbered
        .max()
        .map(|(_, path)| path)
        .ok_or_else(|| io::Error::other("the server has no append-only file"))
}
