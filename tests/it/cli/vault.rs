//! `vault`.

use std::path::PathBuf;

use redis_sim::server_process::RedisServer;

use super::{Ran, on, program, run, tell};

/// A server, a key file and its directory.
struct Place {
    server: RedisServer,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            server: crate::support::server(),
            directory: tempfile::tempdir().unwrap(),
        };
        place.make_keys();
        place
    }

    fn make_keys(&self) {
        let file = self.key_file();
        let args = ["keys", "init", "--key-file", file.to_str().unwrap()];
        run(program(&args), b"").exits(0);
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("vault.keys")
    }

    /// A vault command that takes a key file.
    fn vault(&self, args: &[&str], input: &[u8]) -> Ran {
        let file = self.key_file();
        let keys = ["--key-file", file.to_str().unwrap()];
        on(&self.server, &[&["vault"], args, &keys].concat(), input)
    }

    fn tokenize(&self, args: &[&str], input: &[u8]) -> Ran {
        let type_ = ["tokenize", "--type", "email"];
        self.vault(&[&type_, args].concat(), input)
    }
}

/// Everything in Redis, as text.
fn everything(server: &RedisServer) -> String {
    let keys = tell(server, &["KEYS", "*"]);
    let redis::Value::Array(keys) = keys else {
        panic!("{keys:?}");
    };
    let mut text = String::new();
    for key in keys {
        let key: String = redis::from_redis_value(key).unwrap();
        for read in [&["HGETALL"][..], &["LRANGE", "0", "-1"], &["GET"]] {
            let mut words = vec![read[0], &key];
            words.extend(&read[1..]);
            let script = "local read = redis.pcall(unpack(ARGV)) \
                if type(read) == 'table' and read.err then return '' end return read";
            let script = ["EVAL", script, "0"];
            text += &format!("{:?}", tell(server, &[&script[..], &words].concat()));
        }
    }
    text
}

/// Would catch lines that are trimmed, merged or reordered, a plaintext that
/// reaches Redis or stderr, and a call missing in the audit chain.
#[test]
fn tokens_from_tokenizing_to_purging() {
    let place = Place::new();
    let plaintexts = "anna@example.com\n two  words \r\n\nanna@example.com\nlast";
    let made = place.tokenize(&["--deterministic"], plaintexts.as_bytes());
    let made = made.exits(0);
    let tokens: Vec<_> = made.stdout.lines().collect();
    assert_eq!(tokens.len(), 5);
    assert_eq!(tokens[0], tokens[3]);
    assert!(tokens.iter().all(|token| token.starts_with("tok_email_")));

    let restored = place.vault(&["detokenize"], made.stdout.as_bytes());
    let restored = restored.exits(0);
    let texts: Vec<_> = restored
        .json()
        .iter()
        .map(|line| line["plaintext"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        texts,
        [
            "anna@example.com",
            " two  words \r",
            "",
            "anna@example.com",
            "last"
        ]
    );

    let denied = place.vault(&["reveal", tokens[0]], b"").exits(1);
    assert_eq!(denied.stdout, "");
    let allowed = place.vault(&["reveal", tokens[0], "--reveal-policy", "local-dev"], b"");
    assert_eq!(allowed.exits(0).stdout, "anna@example.com\n");

    let listed = on(&place.server, &["vault", "list", "--type", "email"], b"").exits(0);
    assert_eq!(listed.json().len(), 4);
    assert!(!listed.stdout.contains("anna"));

    let purged = place.vault(&["purge", tokens[1]], b"").exits(0);
    assert_eq!(purged.answer()["purged"], true);
    let again = place.vault(&["purge", tokens[1]], b"").exits(0);
    assert_eq!(again.answer()["purged"], false);
    let expired = place.vault(&["purge-expired"], b"").exits(0);
    assert_eq!(expired.answer()["purged"], 0);
    // A plaintext in place of a token is detected, and never repeated.
    let misused = place.vault(
        &["reveal", "4111111111111111", "--reveal-policy", "dev"],
        b"",
    );
    let misused = misused.exits(1);

    let events = on(&place.server, &["audit", "export"], b"").exits(0);
    let decisions: Vec<_> = events
        .json()
        .iter()
        .map(|event| event["decision"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        decisions,
        [
            "detokenize",
            "reveal_denied",
            "reveal_allowed",
            "purge",
            "purge",
            "purge_failed",
            "purge_expired",
            "reveal_failed"
        ]
    );
    on(&place.server, &["audit", "verify"], b"").exits(0);
    let stored = everything(&place.server);
    assert!(
        stored.contains("tok_email_"),
        "there is something to look at"
    );
    for secret in ["anna", "two  words", "4111"] {
        assert!(!stored.contains(secret), "{secret} is in Redis");
        for ran in [&made, &restored, &denied, &misused] {
            assert!(!ran.stderr.contains(secret), "{ran:?}");
        }
    }
}

/// Would catch a bad line that is skipped, later lines that are tried, and
/// partial writes.
#[test]
fn invalid_input_is_not_tokenized() {
    let place = Place::new();
    let long = "x".repeat(10_000_000);
    for (bad, why) in [(long.as_bytes(), "1048576"), (&b"\xff\xfe"[..], "UTF-8")] {
        let input = [b"one\n", bad, b"\nthree\n"].concat();
        let refused = place.tokenize(&[], &input).exits(1);
        assert_eq!(refused.stdout.lines().count(), 1);
        assert!(refused.stderr.contains("line 2"), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    let tokens = on(&place.server, &["vault", "list"], b"").exits(0);
    assert_eq!(tokens.json().len(), 2);
    let key_file = place.key_file();
    for type_ in ["E-Mail", "", "a b", "é"] {
        let args = ["vault", "tokenize", "--type", type_, "--key-file"];
        let args = [&args[..], &[key_file.to_str().unwrap()]].concat();
        on(&place.server, &args, b"x\n").exits(2);
    }
    for days in ["0", "-1", "NaN", "x", "1e9"] {
        place
            .tokenize(&[&format!("--retention-days={days}")], b"x\n")
            .exits(2);
    }
    assert_eq!(on(&place.server, &["vault", "list"], b"").json().len(), 2);
}

/// Would catch errors that do not say what is intact and what to do.
#[test]
fn what_stands_in_the_way_is_named() {
    let place = Place::new();
    let token = place.tokenize(&[], b"anna\n").exits(0).stdout;
    let token = token.trim();
    let mut told = String::new();
    let mut tell_of = |what: &str, ran: Ran| {
        let text = ran.stderr.replace(token, "TOKEN");
        let text = text.replace(place.key_file().to_str().unwrap(), "KEYFILE");
        let text = text.replace(&format!(":{}", place.server.port()), ":PORT");
        let kid = text
            .split("local-")
            .skip(1)
            .filter_map(|rest| rest.get(..16))
            .find(|kid| !kid.starts_with("other"))
            .map(str::to_owned);
        let text = kid.map_or(text.clone(), |kid| text.replace(&kid, "KID"));
        told += &format!("# {what} → {}\n{text}\n", ran.code);
    };
    let reveal = || place.vault(&["reveal", token, "--reveal-policy", "dev"], b"");
    for version in ["abc", "007", "1e14", "100000000000000"] {
        tell(&place.server, &["SET", "haechi:tv:version", version]);
        let refused = place.tokenize(&[], b"x\n");
        tell_of(&format!("a version of {version}"), refused);
    }
    tell(&place.server, &["SET", "haechi:tv:version", "7"]);
    tell(
        &place.server,
        &["HSET", "haechi:tv:tokens", "junk", "garbage"],
    );
    tell_of(
        "a field of garbage",
        on(&place.server, &["vault", "list"], b""),
    );
    tell(&place.server, &["HDEL", "haechi:tv:tokens", "junk"]);
    let stored = ["HGET", "haechi:tv:tokens", token];
    let redis::Value::BulkString(record) = tell(&place.server, &stored) else {
        panic!("the token is there");
    };
    let store = |record: &serde_json::Value| {
        let set = ["HSET", "haechi:tv:tokens", token, &record.to_string()];
        tell(&place.server, &set);
    };
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    for (member, value) in [
        ("v", 3.into()),
        ("alg", "AES-128-GCM".into()),
        ("kid", "local-other".into()),
        ("iv", "AAAAAAAAAAAAAAAA".into()),
        ("ct", "AAAAAA".into()),
        ("tag", "AAAAAAAAAAAAAAAAAAAAAA".into()),
        ("aadHash", "AAAA".into()),
        ("aadEncoding", "other".into()),
        ("expiresAt", "2001-01-01T00:00:00.000Z".into()),
        ("expiresAt", "soon".into()),
    ] {
        let mut changed = record.clone();
        changed["envelope"][member] = value;
        store(&changed);
        let ran = reveal();
        assert_eq!(ran.stdout, "", "{member}");
        tell_of(&format!("an envelope with another {member}"), ran);
    }
    store(&record);
    let whole = std::fs::read_to_string(place.key_file()).unwrap();
    std::fs::remove_file(place.key_file()).unwrap();
    let file = place.key_file();
    place.make_keys();
    tell_of("a wrong key", reveal());
    std::fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    tell_of("a torn key file", reveal());
    tell_of("a torn key file, tokenizing", place.tokenize(&[], b"x\n"));
    std::fs::write(&file, &whole).unwrap();
    reveal().exits(0);
    insta::assert_snapshot!("vault_refusals", told);
}

/// Would catch a plaintext in the wrong place that a usage error repeats, and
/// tokens that are created although they cannot be printed.
#[test]
fn usage_errors_and_a_closed_stdout_disclose_nothing() {
    let place = Place::new();
    for args in [
        &["reveal", "tok_a", "4111111111111111"][..],
        &["tokenize", "--type", "4111 1111"],
        &[
            "tokenize",
            "--type",
            "email",
            "--metadata",
            "{\"note\":\"4111\"",
        ],
    ] {
        let refused = place.vault(args, b"x\n").exits(2);
        assert!(!refused.stderr.contains("4111"), "{refused:?}");
    }
    let mut full = program(&["vault", "tokenize", "--type", "email", "--key-file"]);
    full.arg(place.key_file())
        .env("REDIS_URL", place.server.url());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut input = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut input, b"x\n").unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let output = full.stdin(input).stdout(file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("lines 1 to 1"), "{said}");
}

/// Would catch a vault whose rollback a restart does not notice, and an acceptance
/// that is not audited or not kept.
#[test]
fn a_rolled_back_vault_is_resumed() {
    let place = Place::new();
    let seen = place.directory.path().join("seen.json");
    let seen = ["--seen", seen.to_str().unwrap()];
    place
        .tokenize(&seen, b"anna@example.com\nbert@example.com\n")
        .exits(0);
    let nothing = place.vault(&[&["resume", "--accept", "1..2"], &seen[..]].concat(), b"");
    assert!(nothing.exits(1).stderr.contains("nothing to accept"));
    tell(&place.server, &["FLUSHALL"]);
    let refused = place.tokenize(&seen, b"late@example.com\n").exits(1);
    assert!(
        refused.stderr.contains("vault resume --accept"),
        "{refused:?}"
    );
    let resumed = place.vault(&[&["resume", "--accept", "1..2"], &seen[..]].concat(), b"");
    assert_eq!(resumed.exits(0).answer()["lost"], "1..2");
    place.tokenize(&seen, b"on@example.com\n").exits(0);
    let exported = on(&place.server, &["audit", "export"], b"").exits(0);
    assert!(
        exported.stdout.contains("token-vault:rollback-accepted"),
        "{exported:?}"
    );
    place.vault(&["resume", "--accept", "1..2"], b"").exits(2);
}
