//! Reading a chain with plain commands: also from a replica of Redis, and under a
//! permission to read only.

use redis::{Client, Cmd, Value, cmd};

use super::{
    audit_store::{PAGE_BYTES, RedisAuditStore},
    connect::Connect,
    keys::AuditKeys,
    ready::text,
    reply::{diverged, strange},
};
use crate::{
    audit::store::{AuditStore, Batch, Reply, Seen, Tail, once_more},
    chain::{EventHash, Head, Position, StoredRecord},
    clock::{Clock, SystemClock},
    entropy::{Entropy, SystemEntropy},
    error::{AttemptError, Cause, Corrupt, ReadError},
    sync::{Mutex, lock},
};

/// What a server says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    /// It takes writes.
    Primary,
    /// It follows a primary, and may be behind.
    Replica,
    /// INFO was denied.
    Unknown,
}

/// A chain that is read with GET, LLEN, LINDEX and LRANGE, from whatever server
/// this is. Nothing may be concluded from it about what a chain lacks: a replica
/// may be behind. It refuses to append.
pub struct ChainReader<N: Connect = Client, C = SystemClock, E = SystemEntropy> {
    store: RedisAuditStore<N, C, E>,
    /// Records in the next page, by the sizes seen so far.
    width: Mutex<u64>,
}

/// Records in the first page, and in the largest.
const WIDTH: (u64, u64) = (16, 512);

/// How often the end is read while writers move it.
const LOOKS: u32 = 20;

impl<N: Connect, C: Clock, E: Entropy> RedisAuditStore<N, C, E> {
    /// What the server says it is: one INFO.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it cannot be reached.
    pub async fn role(&self) -> Result<ServerRole, ReadError> {
        let mut info = cmd("INFO");
        info.arg("replication");
        let reply = match once_more(|| self.link().send(&info)).await {
            Ok(reply) => reply,
            Err(AttemptError::Denied(cause)) if cause.code() == Some("NOPERM") => {
                return Ok(ServerRole::Unknown);
            }
            Err(error) => return Err(error.into()),
        };
        let has =
            |role: &str| text(&reply).is_some_and(|info| info.lines().any(|line| line == role));
        Ok(match (has("role:master"), has("role:slave")) {
            (true, false) => ServerRole::Primary,
            (false, true) => ServerRole::Replica,
            _ => ServerRole::Unknown,
        })
    }

    /// The chain, read with plain commands.
    #[must_use]
    pub fn into_reader(self) -> ChainReader<N, C, E> {
        ChainReader {
            store: self,
            width: Mutex::new(WIDTH.0),
        }
    }
}

impl<N: Connect, C: Clock, E: Entropy> ChainReader<N, C, E> {
    /// The names of its keys.
    #[must_use]
    pub fn keys(&self) -> &AuditKeys {
        self.store.keys()
    }

    /// Sends a command on `key`; names the key if it has another type.
    async fn ask(&self, key: &str, command: &Cmd) -> Result<Value, AttemptError> {
        let link = self.store.link();
        match once_more(|| link.send(command)).await {
            Err(AttemptError::Ambiguous(cause)) if cause.code() == Some("WRONGTYPE") => {
                let mut of_type = cmd("TYPE");
                of_type.arg(key);
                let found = once_more(|| link.send(&of_type)).await?;
                let found = match &found {
                    Value::SimpleString(found) => found.clone(),
                    _ => "key of another type".to_owned(),
                };
                let key = key.to_owned();
                Err(Corrupt::WrongType { key, found }.into())
            }
            reply => reply,
        }
    }

    async fn text_of(&self, key: &str, command: &Cmd) -> Result<Option<Vec<u8>>, AttemptError> {
        match self.ask(key, command).await? {
            Value::BulkString(text) => Ok(Some(text)),
            Value::Nil => Ok(None),
            _ => Err(strange()),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, AttemptError> {
        self.text_of(key, cmd("GET").arg(key)).await
    }

    async fn element(&self, index: i64) -> Result<Option<Vec<u8>>, AttemptError> {
        let key = &self.store.keys().chain;
        self.text_of(key, cmd("LINDEX").arg(key).arg(index)).await
    }

    /// Head and length, if no writer moved them meanwhile.
    async fn end(&self) -> Result<Option<(Head, u64)>, AttemptError> {
        let keys = self.store.keys();
        let hash = self.get(&keys.head_hash).await?;
        let head = self.get(&keys.head).await?;
        let length = match self.ask(&keys.chain, cmd("LLEN").arg(&keys.chain)).await? {
            Value::Int(length) => u64::try_from(length).unwrap_or_default(),
            _ => return Err(strange()),
        };
        let last = self.element(-1).await?;
        if self.get(&keys.head_hash).await? != hash {
            return Ok(None);
        }
        if length == 0 && head.is_none() && hash.is_none() {
            return Ok(Some((Head::Empty, 0)));
        }
        let hash = hash.and_then(|hash| EventHash::parse(std::str::from_utf8(&hash).ok()?));
        let head = head.and_then(|head| Some(StoredRecord::parse_integrity(&head).ok()?.position));
        let last = last.and_then(|last| Some(StoredRecord::parse(&last).ok()?.position));
        match (head, last) {
            (Some(head), Some(last))
                if head == last
                    && hash == Some(head.event_hash)
                    && head.sequence.get() >= length =>
            {
                Ok(Some((Head::At(head), length)))
            }
            _ => {
                let detail = "read by plain commands, they do not name one record".to_owned();
                Err(diverged(keys, detail).into())
            }
        }
    }

    /// The state of a position.
    async fn seen(&self, seen: Position, head: Head, length: u64) -> Result<Seen, AttemptError> {
        let Some(back) = (head.len() + 1).checked_sub(seen.sequence.get()) else {
            return Ok(Seen::Gone { found: None });
        };
        if back == 0 || back > length {
            return Ok(match back > 0 && length < head.len() {
                true => Seen::Trimmed,
                false => Seen::Gone { found: None },
            });
        }
        let record = self
            .element(-i64::try_from(back).unwrap_or(i64::MAX))
            .await?;
        let found = record.and_then(|text| Some(StoredRecord::parse(&text).ok()?.position));
        Ok(match found {
            Some(found) if found == seen => Seen::Stands,
            found => Seen::Gone {
                found: found.map(|found| found.event_hash),
            },
        })
    }
}

impl<N: Connect, C: Clock, E: Entropy> AuditStore for ChainReader<N, C, E> {
    type Lease = ();

    /// Refuses.
    async fn append(&self, _: &Batch<'_>) -> Result<Reply, AttemptError> {
        let cause = Cause::new("the chain was opened for reading only");
        Err(AttemptError::Denied(cause))
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        for _ in 0..LOOKS {
            let Some((head, length)) = self.end().await? else {
                continue;
            };
            let seen = match seen {
                Some(seen) => self.seen(seen, head, length).await?,
                None => Seen::Stands,
            };
            return Ok(Tail { head, length, seen });
        }
        let cause = "writers move the end of the chain faster than plain commands can read it";
        Err(AttemptError::Refused(Cause::new(cause)))
    }

    async fn read(&self, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let key = &self.store.keys().chain;
        let width = *lock(&self.width);
        let last = end.min(start.saturating_add(width)).saturating_sub(1);
        if start > last {
            return Ok(Vec::new());
        }
        let mut call = cmd("LRANGE");
        call.arg(key).arg(start).arg(last);
        let Value::Array(page) = self.ask(key, &call).await? else {
            return Err(strange().into());
        };
        let page: Vec<_> = page
            .into_iter()
            .filter_map(|record| match record {
                Value::BulkString(text) => Some(text),
                _ => None,
            })
            .collect();
        let bytes = page.iter().map(Vec::len).sum::<usize>().max(1);
        let fitting = page.len() * PAGE_BYTES / bytes;
        let fitting = u64::try_from(fitting).unwrap_or(WIDTH.1);
        *lock(&self.width) = fitting.clamp(1, (width * 2).min(WIDTH.1));
        Ok(page)
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}

impl<N: Connect, C, E> std::fmt::Debug for ChainReader<N, C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChainReader").field(&self.store).finish()
    }
}
