//! When two replies count as the same, and every difference that is known and stays.

use super::corpus::Words;
use super::wire::Item;
use haechi_store_redis::redis::script;

/// The commands that EXEC is about to run, and keeps the queue up to date.
pub(super) fn queued(queue: &mut Vec<Words>, words: &Words, reply: &Item) -> Vec<Words> {
    match &*name(words) {
        "exec" => std::mem::take(queue),
        "discard" | "reset" | "multi" if !reply.is_error() => {
            queue.clear();
            Vec::new()
        }
        _ => {
            if *reply == Item::Line(b"+QUEUED".to_vec()) {
                queue.push(words.clone());
            }
            Vec::new()
        }
    }
}

fn name(words: &Words) -> String {
    String::from_utf8_lossy(&words[0]).to_ascii_lowercase()
}

fn is_script(words: &Words, text: &str) -> bool {
    words.get(1).is_some_and(|word| {
        word == text.as_bytes()
            || *word
                == sha1_smol::Sha1::from(text)
                    .digest()
                    .to_string()
                    .into_bytes()
    })
}

/// Whether the replies are the same, but for what no two servers have in common: the order of keys and of fields, the
/// number of a connection, and moments.
pub(super) fn agree(words: &Words, queue: &[Words], ours: &Item, theirs: &Item) -> bool {
    if ours == theirs {
        return true;
    }
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    match &*name(words) {
        "exec" => {
            let (Item::Array(Some(ours)), Item::Array(Some(theirs))) = (&ours, &theirs) else {
                return false;
            };
            let alike = queue.iter().zip(ours.iter().zip(theirs));
            ours.len() == theirs.len()
                && queue.len() == ours.len()
                && alike
                    .into_iter()
                    .all(|(words, (ours, theirs))| agree(words, &[], ours, theirs))
        }
        "keys" | "scan" | "hgetall" | "hkeys" | "hvals" | "hscan" => sorted(&mut ours, &mut theirs),
        "ttl" => ours.is_like(&theirs, 2),
        "pttl" => ours.is_like(&theirs, 2000),
        "hello" => {
            ours.forget_id();
            theirs.forget_id();
            ours == theirs
        }
        "eval" | "evalsha" if is_script(words, script::VAULT_ACQUIRE) => {
            // It goes by the millisecond that it runs at.
            ours.is_error() == theirs.is_error()
        }
        "eval" | "evalsha" if lists_a_hash(words) => sorted(&mut ours, &mut theirs),
        _ => false,
    }
}

fn lists_a_hash(words: &Words) -> bool {
    is_script(words, script::VAULT_LOAD)
        || is_script(words, script::VAULT_SCAN)
        || words
            .get(1)
            .is_some_and(|text| text.windows(7).any(|part| part == b"HGETALL"))
}

fn sorted(ours: &mut Item, theirs: &mut Item) -> bool {
    ours.sort();
    theirs.sort();
    ours == theirs
}

fn error(item: &Item) -> Option<String> {
    match item {
        Item::Line(text) if item.is_error() => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

/// Whether the errors would be the same if ours said what valkey-server says.
fn valkey_says(ours: &Item, theirs: &Item) -> bool {
    let (Some(mut ours), Some(theirs)) = (error(ours), error(theirs)) else {
        return false;
    };
    // It leaves out the script's name.
    if let Some(at) = ours.find(" script: ")
        && let Some(end) = ours[at..].find(", on @user_script:")
    {
        ours.replace_range(at + " script: ".len()..at + end + ", ".len(), "");
    }
    for (redis, valkey) in VALKEY_TEXTS {
        ours = ours.replace(redis, valkey);
    }
    ours == theirs
}

/// Texts of redis-server 7.0, and what valkey-server 9 says instead.
const VALKEY_TEXTS: &[(&str, &str)] = &[
    (
        "Lua redis lib command arguments must be",
        "Command arguments must be",
    ),
    ("Unknown Redis command called", "Unknown command called"),
    ("This Redis command is not", "This command is not"),
    (
        "No matching script. Please use EVAL.",
        "No matching script.",
    ),
    ("calling Redis command from", "calling command from"),
    (
        "WATCH inside MULTI is not allowed",
        "Command 'watch' not allowed inside a transaction",
    ),
    (
        "MULTI calls can not be nested",
        "Command 'multi' not allowed inside a transaction",
    ),
];

/// Equal, but for doubles that are printed in other ways.
fn same_numbers(ours: &Item, theirs: &Item) -> bool {
    let number = |item: &Item| -> Option<f64> {
        let text = match item {
            Item::Bulk(Some(text)) => text.as_slice(),
            Item::Line(text) => text.strip_prefix(b",")?,
            _ => return None,
        };
        std::str::from_utf8(text).ok()?.parse().ok()
    };
    match (ours, theirs) {
        (Item::Array(Some(ours)), Item::Array(Some(theirs)))
        | (Item::Map(ours), Item::Map(theirs))
        | (Item::Set(ours), Item::Set(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(ours, theirs)| same_numbers(ours, theirs))
        }
        _ => {
            ours == theirs
                || matches!((number(ours), number(theirs)), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
        }
    }
}

/// Whether this is a scan that does not begin at the beginning.
fn resumes_scan(words: &Words) -> bool {
    let cursor = match &*name(words) {
        "scan" => words.get(1),
        "hscan" => words.get(2),
        "eval" | "evalsha" if is_script(words, script::VAULT_SCAN) => words.get(4),
        _ => None,
    };
    cursor.is_some_and(|cursor| cursor != b"0")
}

type Applies = fn(&Words, &[Words], &Item, &Item) -> bool;

/// Server (`*`: any), why it differs, and when that is so.
const KNOWN: &[(&str, &str, Applies)] = &[
    (
        "*",
        "HELLO within a transaction: the replies around it are written in the protocol that it ends with",
        |words, queue: &[Words], _, _| {
            name(words) == "exec" && queue.iter().any(|words: &Words| name(words) == "hello")
        },
    ),
    (
        "*",
        "EXPIRE GT by the same seconds again: later by a millisecond on one server, at the same one on another",
        |words, _, ours: &Item, theirs: &Item| {
            name(words) == "expire"
                && words
                    .last()
                    .is_some_and(|word| word.eq_ignore_ascii_case(b"GT"))
                && !ours.is_error()
                && !theirs.is_error()
        },
    ),
    (
        "*",
        "the simulated server answers every scan whole, whatever the cursor",
        |words, queue: &[Words], _, _| resumes_scan(words) || queue.iter().any(resumes_scan),
    ),
    (
        "valkey-server",
        WRAPPED,
        |words, _, ours: &Item, theirs: &Item| {
            name(words) == "lset" && ours.is_error() && !theirs.is_error()
        },
    ),
    (
        "valkey-server",
        HEXADECIMAL,
        |words, _, _, theirs: &Item| {
            matches!(&*name(words), "zadd" | "zrangebyscore")
                && theirs.is_error()
                && words.iter().any(|word| word.ends_with(b"0x10"))
        },
    ),
    (
        "valkey-server",
        "SCAN refuses a TYPE that there is not",
        |words, _, _, theirs: &Item| name(words) == "scan" && theirs.is_error(),
    ),
    (
        "valkey-server",
        "HELLO names another server, and its modules",
        |words, _, ours, theirs| name(words) == "hello" && !ours.is_error() && !theirs.is_error(),
    ),
    (
        "valkey-server",
        "errors have other texts (their codes are the same)",
        |_, _, ours, theirs| valkey_says(ours, theirs),
    ),
    (
        "valkey-server",
        "doubles are printed with as few digits as tell them apart",
        |_, _, ours, theirs| same_numbers(ours, theirs),
    ),
];

/// Differences after which two servers hold different data: the rest of the body is not compared.
pub(super) const SPOILING: [&str; 4] = [SPOILED, WRAPPED, HEXADECIMAL, LARGE];
const SPOILED: &str = "a MULTI or WATCH within a transaction spoils it";
const WRAPPED: &str = "LSET takes an index modulo 2^32";
const HEXADECIMAL: &str = "hexadecimal scores and bounds are refused";
const LARGE: &str = "a script's number of 2^63 is passed to commands with all its digits";

/// What makes a server hold other data though its reply is the same.
pub(super) fn silently(server: &str, words: &Words, queue: &[Words]) -> Option<&'static str> {
    let large = |words: &Words| {
        words[0].eq_ignore_ascii_case(b"EVAL")
            && words[1]
                .windows(18)
                .any(|part| part == b"tonumber(ARGV[2]))")
            && words.iter().any(|word| word == b"9223372036854775807")
    };
    (server == "valkey-server" && (large(words) || queue.iter().any(large))).then_some(LARGE)
}

/// Why these replies may differ.
pub(super) fn why(
    server: &str,
    words: &Words,
    queue: &[Words],
    ours: &Item,
    theirs: &Item,
) -> Option<&'static str> {
    let known = KNOWN
        .iter()
        .find(|(who, _, applies)| {
            (*who == "*" || *who == server) && applies(words, queue, ours, theirs)
        })
        .map(|(_, why, _)| *why);
    if known.is_some() || name(words) != "exec" {
        return known;
    }
    if server == "valkey-server" && error(theirs).is_some_and(|text| text.starts_with("-EXECABORT"))
    {
        return Some(SPOILED);
    }
    // Of a transaction, the first part that differs decides, and all have to be known.
    let (Item::Array(Some(ours)), Item::Array(Some(theirs))) = (ours, theirs) else {
        return None;
    };
    if ours.len() != theirs.len() || ours.len() != queue.len() {
        return None;
    }
    let mut reasons = queue
        .iter()
        .zip(ours.iter().zip(theirs))
        .filter(|(words, (ours, theirs))| !agree(words, &[], ours, theirs))
        .map(|(words, (ours, theirs))| why(server, words, &[], ours, theirs));
    let first = reasons.next()?;
    if reasons.all(|reason| reason.is_some()) {
        first
    } else {
        None
    }
}
