//! What a command is, in the trace: of a script its name, the operations that it serves,
//! and the tokens that it carries.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use bytes::Bytes;
use haechi_history::OpId;
use haechi_store_redis::redis::script::{
    ACQUIRE, APPEND, CONFIRM, PAGE, READY, RELEASE, REPAIR, STATE, Script, TAIL, VAULT_ACQUIRE,
    VAULT_APPLY, VAULT_CONFIRM, VAULT_DUE, VAULT_INDEX, VAULT_LOAD, VAULT_READY, VAULT_SCAN,
    VAULT_SETTLE,
};
use redis_sim::{Command, Reply};

use super::log::Log;

/// The production scripts, and their names here.
const SCRIPTS: [(&str, &str); 18] = [
    ("append", APPEND),
    ("tail", TAIL),
    ("page", PAGE),
    ("ready", READY),
    ("state", STATE),
    ("repair", REPAIR),
    ("confirm", CONFIRM),
    ("acquire", ACQUIRE),
    ("release", RELEASE),
    ("vault load", VAULT_LOAD),
    ("vault apply", VAULT_APPLY),
    ("vault settle", VAULT_SETTLE),
    ("vault due", VAULT_DUE),
    ("vault index", VAULT_INDEX),
    ("vault scan", VAULT_SCAN),
    ("vault confirm", VAULT_CONFIRM),
    ("vault ready", VAULT_READY),
    ("vault acquire", VAULT_ACQUIRE),
];

static NAMES: LazyLock<BTreeMap<Vec<u8>, &str>> =
    LazyLock::new(|| SCRIPTS.map(|(name, text)| (sha1(text), name)).into());

/// Commands whose first argument is a key.
const OF_KEYS: [&str; 12] = [
    "GET", "SET", "DEL", "LRANGE", "LINDEX", "LLEN", "RPUSH", "HGET", "HGETALL", "HSET", "HDEL",
    "WATCH",
];

/// What is said of a script that a planted bug has altered, after its name.
pub(super) const ALTERED: &str = " (altered)";
/// The most tokens that are named.
const NAMED: usize = 6;
/// How much of a record's end is searched for its identity.
const INTEGRITY_BYTES: usize = 400;
const IDENTITY: &[u8] = b"\"appendId\":\"";

/// What EVALSHA names this script by.
pub(super) fn sha1(text: impl Into<Cow<'static, str>>) -> Vec<u8> {
    let call = Script::new(text).call(&[]);
    let sha1 = call.args_iter().nth(1);
    match sha1 {
        Some(redis::Arg::Simple(sha1)) => sha1.to_vec(),
        _ => Vec::new(),
    }
}

/// A command of the client crate; `None` if it has no name.
pub(crate) fn command_of(cmd: &redis::Cmd) -> Option<Command> {
    Command::new(cmd.args_iter().map(|word| match word {
        redis::Arg::Simple(bytes) => Bytes::copy_from_slice(bytes),
        _ => Bytes::new(),
    }))
}

/// The production script that this one, which a planted bug has altered, was.
fn altered(text: &str) -> String {
    let alike = |script: &str| {
        let pairs = script.bytes().zip(text.bytes());
        let ends = script.bytes().rev().zip(text.bytes().rev());
        let begin = pairs.take_while(|(one, other)| one == other).count();
        let end = ends.take_while(|(one, other)| one == other).count();
        (begin + end) * 1000 / script.len().max(text.len())
    };
    let scripts = SCRIPTS.iter().map(|(name, script)| (alike(script), *name));
    match scripts.max() {
        // More than a guard and a few words.
        Some((share, name)) if share > 600 => format!("{name}{ALTERED}"),
        _ => "a script of its own".to_owned(),
    }
}

impl Log {
    /// A command of this process, for people.
    pub(crate) fn describe(&mut self, command: &Command, process: usize) -> String {
        let words = command.words();
        let name = String::from_utf8_lossy(command.name());
        let first = words.get(1).map(|word| String::from_utf8_lossy(word));
        if command.is("EVALSHA") {
            return self.call(words, process);
        }
        let what = match (first, words.get(2)) {
            (Some(sub), Some(text)) if command.is("SCRIPT") && sub.eq_ignore_ascii_case("load") => {
                format!("SCRIPT LOAD {}", self.loaded(text))
            }
            (Some(key), _) if OF_KEYS.iter().any(|of| command.is(of)) => format!("{name} {key}"),
            _ => name.into_owned(),
        };
        format!("{what} of r{process}")
    }

    /// The answer to a command where the begin of its reply does not tell it.
    pub(crate) fn answer(&self, command: &Command, reply: &Reply) -> Option<&'static str> {
        if reply.is_error() {
            return None;
        }
        if command.is("INFO") {
            return Some("answered");
        }
        if command.is("SCRIPT") && matches!(reply, Reply::Bulk(_)) {
            return Some("loaded");
        }
        let script = command.is("EVALSHA").then(|| self.script(command.words()));
        let number = match reply {
            Reply::Array(parts) => parts.first(),
            reply => Some(reply),
        };
        let is_done = number == Some(&Reply::Integer(1));
        match script?.trim_end_matches(ALTERED) {
            "acquire" | "vault acquire" if is_done => Some("granted"),
            "acquire" | "vault acquire" => Some("not granted"),
            "release" if is_done => Some("released"),
            "release" => Some("not released"),
            _ => None,
        }
    }

    /// The name of a script that is loaded.
    fn loaded(&mut self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text).into_owned();
        let sha1 = sha1(text.clone());
        if let Some(name) = NAMES.get(&sha1) {
            return (*name).to_owned();
        }
        let name = self.altered.entry(sha1).or_insert_with(|| altered(&text));
        name.clone()
    }

    /// The name of a script that is called.
    fn script(&self, words: &[Bytes]) -> &str {
        let sha1 = words.get(1).map_or(&[][..], |sha1| sha1);
        let name = NAMES.get(sha1).copied();
        let altered = || self.altered.get(sha1).map(String::as_str);
        name.or_else(altered).unwrap_or("EVALSHA")
    }

    /// A call of a script.
    fn call(&self, words: &[Bytes], process: usize) -> String {
        let name = self.script(words);
        let keys = words.get(2).map_or(0, |keys| number(keys));
        let args = words.get(keys.saturating_add(3)..).unwrap_or_default();
        let text = |word: &Bytes| String::from_utf8_lossy(word).into_owned();
        let mut tokens = Vec::new();
        let served: Vec<String> = match name.trim_end_matches(ALTERED) {
            "append" => args.iter().skip(6).filter_map(identity).collect(),
            "vault confirm" => args.iter().map(text).collect(),
            "vault load" => {
                let args = after_observed(args);
                tokens.extend(args.iter().skip(2).map(text));
                args.first().map(text).into_iter().collect()
            }
            "vault settle" => after_observed(args).first().map(text).into_iter().collect(),
            "vault apply" => {
                let args = after_observed(args);
                let counted = |place: usize| {
                    let count = args.get(place).map_or(0, |count| number(count));
                    count.min(args.len())
                };
                let (compared, set, deleted) = (counted(6), counted(7), counted(8));
                let changed = args.get(9 + 3 * compared..).unwrap_or_default();
                let sets = changed.iter().step_by(3).take(set);
                tokens.extend(sets.map(|token| format!("sets {}", text(token))));
                let deletes = changed.iter().skip(3 * set).take(deleted);
                tokens.extend(deletes.map(|token| format!("deletes {}", text(token))));
                args.first().map(text).into_iter().collect()
            }
            _ => Vec::new(),
        };
        let ops = served.iter().filter_map(|name| {
            // Of a call that makes several mutations, the identities know the first operation only.
            self.mutations
                .get(name)
                .or_else(|| self.identities.get(name))
        });
        let ops: Vec<_> = ops.copied().collect();
        let mut said = format!("{name} of r{process}");
        if !ops.is_empty() {
            let ops_or_op = if ops.len() == 1 { "op" } else { "ops" };
            said += &format!(" for {ops_or_op} {}", ranges(&ops));
        }
        if !tokens.is_empty() {
            said += &format!(" ({})", listed(&tokens));
        }
        said
    }
}

/// All of them, those in a row as `3-7`.
fn ranges(ops: &[OpId]) -> String {
    let runs = ops.chunk_by(|one, next| next.0 == one.0 + 1);
    let runs = runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        Some(match run.len() {
            1 => first.to_string(),
            _ => format!("{first}-{last}"),
        })
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// The first of them, and how many there are besides.
fn listed(words: &[String]) -> String {
    let named = words.iter().take(NAMED).map(String::as_str);
    let named = named.collect::<Vec<_>>().join(", ");
    match words.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The arguments of a vault's script after those of what its process has observed, and
/// without the receipts of that, which come last.
fn after_observed(args: &[Bytes]) -> &[Bytes] {
    let receipts = args.get(1).map_or(0, |count| number(count));
    let end = args.len().saturating_sub(receipts.saturating_mul(2));
    args.get(3..end).unwrap_or_default()
}

fn number(word: &[u8]) -> usize {
    let text = std::str::from_utf8(word).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// The append identity in a record.
fn identity(record: &Bytes) -> Option<String> {
    let end = &record[record.len().saturating_sub(INTEGRITY_BYTES)..];
    let found = end
        .windows(IDENTITY.len())
        .rposition(|window| window == IDENTITY)?;
    let text = &end[found + IDENTITY.len()..];
    let length = text.iter().position(|byte| *byte == b'"')?;
    Some(String::from_utf8_lossy(&text[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io, sync::Arc, time::UNIX_EPOCH};

    use haechi_history::OpId;
    use haechi_store_redis::{
        chain::AppendId,
        clock::SystemClock,
        entropy::SystemEntropy,
        redis::{Connect, RedisVaultConfig, RedisVaultStore},
        vault::{
            MutationId, Stored, TokenId, Version,
            store::{
                Attempt, Diff, Fence, ForeignLockWait, Load, Observed, ReceiptPosition, ReceiptSeq,
                ServerTime, VaultStore,
            },
        },
    };
    use parking_lot::Mutex;
    use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike};

    use super::*;

    /// A connection that keeps what it is asked, and answers nothing.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<Command>>>);

    impl Connect for Asked {
        type Connection = Self;

        async fn connect(&self) -> RedisResult<Self> {
            Ok(self.clone())
        }
    }

    impl ConnectionLike for Asked {
        fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
            self.0.lock().extend(command_of(cmd));
            Box::pin(async { Err(io::Error::from(io::ErrorKind::ConnectionReset).into()) })
        }

        fn req_packed_commands<'a>(
            &'a mut self,
            _: &'a Pipeline,
            _: usize,
            _: usize,
        ) -> RedisFuture<'a, Vec<Value>> {
            Box::pin(async { Err(io::Error::from(io::ErrorKind::ConnectionReset).into()) })
        }

        fn get_db(&self) -> i64 {
            0
        }
    }

    /// Catches arguments of the vault's scripts that are looked for where the production
    /// store does not send them.
    #[tokio::test]
    async fn calls_of_the_vault_name_their_operation_and_their_tokens() {
        let mutation = MutationId::from_bytes([3; 16]);
        let mut log = Log::new(false);
        log.mutations.insert(mutation.to_string(), OpId(5));
        // The call that drew it began with another operation.
        log.identities.insert(mutation.to_string(), OpId(4));
        let asked = Asked::default();
        let config = RedisVaultConfig::default();
        let vault = RedisVaultStore::new(asked.clone(), config, SystemClock::new(), SystemEntropy);
        let seq = ReceiptSeq::new(1);
        let receipt = |byte| {
            Some(ReceiptPosition {
                mutation: MutationId::from_bytes([byte; 16]),
                seq,
                written: ServerTime::new(UNIX_EPOCH),
            })
        };
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| TokenId::new(name).unwrap());
        let value = || Stored::from(b"value".to_vec());
        let read = BTreeMap::from([(a.clone(), Some(value())), (c.clone(), None)]);
        let mut diff = Diff::new();
        diff.set(a.clone(), value());
        diff.set(b.clone(), value());
        diff.delete(d);
        let attempt = Attempt {
            mutation,
            number: 1,
            begun: seq,
            fence: Fence::Values,
            read: &read,
            diff: &diff,
            foreign_lock_wait: ForeignLockWait::Exhausted,
        };
        for receipts in [[None, None], [receipt(8), None], [receipt(8), receipt(9)]] {
            let observed = Observed {
                version: Version::new(7),
                receipts,
            };
            let intent = Some(mutation);
            let _ = vault
                .load(Load::Some(&[a.clone(), b.clone()]), &observed)
                .await;
            let _ = vault.load(Load::All { intent }, &observed).await;
            let _ = vault.apply(&attempt, &observed).await;
            let _ = vault.settle(mutation, seq, &observed).await;
            let _ = vault.receipt(mutation, seq, &observed).await;
            let _ = vault.confirm(&[mutation]).await;
            let commands = std::mem::take(&mut *asked.0.lock());
            let said = commands.iter().map(|command| log.describe(command, 1));
            let said: Vec<_> = said.collect();
            let expected = [
                "vault load of r1 (a, b)",
                "vault load of r1 for op 5",
                "vault apply of r1 for op 5 (sets a, sets b, deletes d)",
                "vault settle of r1 for op 5",
                "vault settle of r1 for op 5",
                "vault confirm of r1 for op 5",
            ];
            assert_eq!(said, expected, "{observed:?}");
        }
    }

    fn describe(log: &mut Log, words: &[&[u8]]) -> String {
        let command = Command::new(words.iter().map(|word| word.to_vec()));
        log.describe(&command.unwrap(), 1)
    }

    /// Catches an operation that a batch serves and no event names.
    #[test]
    fn every_operation_of_a_batch_is_named() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12].map(OpId)), "3-5, 9, 11-12");
    }

    /// Catches locks that are said to be granted or released and are not, and an error that is
    /// told as an answer.
    #[test]
    fn answers_are_told_in_words() {
        let log = Log::new(false);
        let answer = |script: &'static str, reply: Reply| {
            let words = [
                b"EVALSHA".to_vec(),
                sha1(script),
                b"1".to_vec(),
                b"lock".to_vec(),
            ];
            log.answer(&Command::new(words).unwrap(), &reply)
        };
        let array = |number| Reply::Array(vec![Reply::Integer(number), Reply::text("holder")]);
        assert_eq!(answer(ACQUIRE, array(1)), Some("granted"));
        assert_eq!(answer(VAULT_ACQUIRE, array(0)), Some("not granted"));
        assert_eq!(answer(RELEASE, Reply::Integer(1)), Some("released"));
        assert_eq!(answer(RELEASE, Reply::Integer(0)), Some("not released"));
        assert_eq!(answer(RELEASE, Reply::error("NOSCRIPT")), None);
        assert_eq!(answer(APPEND, array(1)), None);
    }

    /// Catches a script without its name, altered or not, and a call that does not say
    /// whom it serves.
    #[test]
    fn scripts_have_names() {
        let mut log = Log::new(false);
        let id = AppendId::from_bytes([7; 16]).to_string();
        log.identities.insert(id.clone(), OpId(5));
        let record = format!("{{\"auditIntegrity\":{{\"appendId\":\"{id}\"}}}}");
        let mut call: Vec<&[u8]> = vec![b"EVALSHA", b"?", b"1", b"chain"];
        call.extend([&b""[..]; 6]);
        call.push(record.as_bytes());
        let sha1s = [sha1(APPEND), sha1(APPEND.replace("'committed'", "'done'"))];
        call[1] = &sha1s[0];
        assert_eq!(describe(&mut log, &call), "append of r1 for op 5");
        let patched = APPEND.replace("'committed'", "'done'");
        let load = [&b"SCRIPT"[..], b"LOAD", patched.as_bytes()];
        assert_eq!(
            describe(&mut log, &load),
            "SCRIPT LOAD append (altered) of r1"
        );
        call[1] = &sha1s[1];
        assert_eq!(describe(&mut log, &call), "append (altered) of r1 for op 5");
        for (name, script) in SCRIPTS {
            let load = [&b"SCRIPT"[..], b"LOAD", script.as_bytes()];
            let said = describe(&mut log, &load);
            assert_eq!(said, format!("SCRIPT LOAD {name} of r1"));
        }
        assert_eq!(describe(&mut log, &[b"AUTH", b"secret"]), "AUTH of r1");
    }
}
