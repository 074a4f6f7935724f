//! Known and accepted differences, with their reasons.

use super::Words;
use super::how::name;
use super::wire::WireReply;

/// A command and two replies to it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The real server.
    pub server: &'static str,
    /// The command.
    pub words: &'a [Vec<u8>],
    /// For EXEC, the commands of the transaction.
    pub queue: &'a [Words],
    /// What the simulated server replied.
    pub simulated: &'a WireReply,
    /// What the real server replied.
    pub real: &'a WireReply,
}

/// A known difference.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The server that differs; `*` is any.
    pub server: &'static str,
    /// How it differs.
    pub why: &'static str,
    /// Its effect.
    pub effect: Effect,
    /// Whether it explains this exchange.
    pub applies: fn(&Exchange<'_>) -> bool,
}

/// The effect of a known difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Only the reply differs.
    ReplyOnly,
    /// From then on, the servers contain different data.
    Diverges,
    /// The replies are equal, but from then on the servers contain different
    /// data.
    DivergesSilently,
}

impl Known {
    pub(super) fn applies_to(&self, exchange: &Exchange<'_>) -> bool {
        (self.server == "*" || self.server == exchange.server) && (self.applies)(exchange)
    }
}

impl<'a> Exchange<'a> {
    /// The exchanges within a transaction that both servers ran.
    pub(super) fn parts(&self) -> Option<impl Iterator<Item = Exchange<'a>> + use<'a>> {
        let Exchange {
            server,
            queue,
            simulated,
            real,
            ..
        } = *self;
        let (WireReply::Array(Some(ours)), WireReply::Array(Some(theirs))) = (simulated, real)
        else {
            return None;
        };
        let executed =
            name(self.words) == "exec" && ours.len() == queue.len() && theirs.len() == queue.len();
        executed.then(|| {
            let replies = ours.iter().zip(theirs);
            queue
                .iter()
                .zip(replies)
                .map(move |(words, (simulated, real))| Exchange {
                    server,
                    words,
                    queue: &[],
                    simulated,
                    real,
                })
        })
    }

    fn is(&self, command: &str) -> bool {
        name(self.words) == command
    }

    fn any_error(&self) -> bool {
        self.simulated.is_error() || self.real.is_error()
    }
}

pub(super) const KNOWN: &[Known] = &[
    Known {
        server: "*",
        why: "HELLO within a transaction: the replies around it are written in the protocol that it ends with",
        effect: Effect::ReplyOnly,
        applies: |exchange| {
            exchange.is("exec") && exchange.queue.iter().any(|words| name(words) == "hello")
        },
    },
    Known {
        server: "*",
        why: "EXPIRE GT by the same seconds again: a millisecond later on one server, the same time on another",
        effect: Effect::ReplyOnly,
        applies: |exchange| {
            let last = exchange.words.last();
            exchange.is("expire")
                && last.is_some_and(|word| word.eq_ignore_ascii_case(b"GT"))
                && !exchange.any_error()
        },
    },
    Known {
        server: "*",
        why: "a scan is resumed at another place: cursors are each server's own",
        effect: Effect::ReplyOnly,
        applies: |exchange| resumes_scan(exchange.words) && !exchange.any_error(),
    },
    Known {
        server: "valkey-server",
        why: "LSET takes an index modulo 2^32",
        effect: Effect::Diverges,
        applies: |exchange| {
            exchange.is("lset") && exchange.simulated.is_error() && !exchange.real.is_error()
        },
    },
    Known {
        server: "valkey-server",
        why: "hexadecimal scores and bounds are refused",
        effect: Effect::Diverges,
        applies: |exchange| {
            (exchange.is("zadd") || exchange.is("zrangebyscore"))
                && exchange.real.is_error()
                && exchange.words.iter().any(|word| word.ends_with(b"0x10"))
        },
    },
    Known {
        server: "valkey-server",
        why: "SCAN refuses a TYPE that does not exist",
        effect: Effect::ReplyOnly,
        applies: |exchange| exchange.is("scan") && exchange.real.is_error(),
    },
    Known {
        server: "valkey-server",
        why: "a cursor with a sign is refused",
        effect: Effect::ReplyOnly,
        applies: |exchange| exchange.real.line() == b"-ERR invalid cursor",
    },
    Known {
        server: "valkey-server",
        why: "HELLO names another server, and its modules",
        effect: Effect::ReplyOnly,
        applies: |exchange| exchange.is("hello") && !exchange.any_error(),
    },
    Known {
        server: "valkey-server",
        why: "errors have other texts (their codes are the same)",
        effect: Effect::ReplyOnly,
        applies: |exchange| same_in_valkey_texts(exchange.simulated, exchange.real),
    },
    Known {
        server: "valkey-server",
        why: "doubles are printed with the fewest digits that identify them",
        effect: Effect::ReplyOnly,
        applies: |exchange| same_numbers(exchange.simulated, exchange.real),
    },
    Known {
        server: "valkey-server",
        why: "a MULTI or WATCH within a transaction aborts it",
        effect: Effect::Diverges,
        applies: |exchange| {
            let text = exchange.real.line();
            exchange.is("exec") && text.starts_with(b"-EXECABORT")
        },
    },
];

/// Whether this is a scan that does not begin at cursor 0.
fn resumes_scan(words: &[Vec<u8>]) -> bool {
    let cursor = match &*name(words) {
        "scan" => words.get(1),
        "hscan" => words.get(2),
        _ => None,
    };
    cursor.is_some_and(|cursor| cursor != b"0")
}

/// Texts of redis-server 7.0, and those of valkey-server 9.
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

/// Whether the errors are the same once ours has the texts of valkey-server.
fn same_in_valkey_texts(ours: &WireReply, theirs: &WireReply) -> bool {
    if !ours.is_error() || !theirs.is_error() {
        return false;
    }
    let mut text = String::from_utf8_lossy(ours.line()).into_owned();
    // It leaves out the script's name.
    if let Some(at) = text.find(" script: ")
        && let Some(end) = text[at..].find(", on @user_script:")
    {
        text.replace_range(at + " script: ".len()..at + end + ", ".len(), "");
    }
    for (redis, valkey) in VALKEY_TEXTS {
        text = text.replace(redis, valkey);
    }
    text == String::from_utf8_lossy(theirs.line())
}

/// Whether the replies are equal, except for the format of doubles.
fn same_numbers(ours: &WireReply, theirs: &WireReply) -> bool {
    let number = |reply: &WireReply| -> Option<f64> {
        let text = reply.bulk().or_else(|| reply.line().strip_prefix(b","))?;
        std::str::from_utf8(text).ok()?.parse().ok()
    };
    let (items, others) = (ours.items(), theirs.items());
    if !items.is_empty() && std::mem::discriminant(ours) == std::mem::discriminant(theirs) {
        let mut pairs = items.iter().zip(others);
        return items.len() == others.len() && pairs.all(|(a, b)| same_numbers(a, b));
    }
    ours == theirs
        || matches!((number(ours), number(theirs)), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
}
