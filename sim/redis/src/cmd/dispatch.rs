//! Decides whether a command runs, by the same checks in the same order as
//! redis-server, and runs it.
//!
//! It uses only the [`Spec`] of a command, except for transactions and PING.

use super::lookup;
use super::spec::{ALLOW_BUSY, DENYOOM, LOADING, NO_AUTH, NOSCRIPT, Spec, WRITE};
use crate::durable::ServerKind;
use crate::keyspace::Keyspace;
use crate::modes::text;
use crate::reply::Outcome;
use crate::reply::{Protocol, Reply};
use crate::resp::Command;
use crate::session::Session;
use crate::state::State;
use bytes::Bytes;

/// The server and the connection or script that a command runs in.
pub(crate) struct Ctx<'a> {
    /// Boxed, so that a script can own it while it runs, at the cost of moving a pointer.
    pub(crate) state: &'a mut Box<State>,
    pub(crate) session: &'a mut Session,
}

impl Ctx<'_> {
    pub(crate) fn db(&mut self) -> &mut Keyspace {
        &mut self.state.keyspace
    }
}

/// Runs a command of a connection, or queues it, or refuses it.
pub(crate) fn execute(state: &mut Box<State>, session: &mut Session, command: &Command) -> Reply {
    let words = command.words();
    let admitted = find(state.kind, words).and_then(|spec| match refusal(state, session, spec) {
        Some(refusal) => Err(refusal),
        None => Ok(spec),
    });
    let spec = match admitted {
        Ok(spec) => spec,
        Err(refusal) => {
            // A refused EXEC discards the transaction; any other refused command makes EXEC fail.
            if command.is("exec") {
                session.end_transaction();
                session.watching.clear();
                if let Reply::Error(text) = &refusal {
                    let text = text.strip_prefix(b"ERR ").unwrap_or(text);
                    let text = [
                        b"EXECABORT Transaction discarded because of: ".as_ref(),
                        text,
                    ]
                    .concat();
                    return Reply::error(text);
                }
            }
            session.broken |= session.queue.is_some();
            return refusal;
        }
    };
    if let Some(queue) = &mut session.queue
        && !matches!(
            spec.name,
            "exec" | "discard" | "multi" | "watch" | "quit" | "reset"
        )
    {
        queue.push(command.clone());
        return Reply::Status(Bytes::from_static(b"QUEUED"));
    }
    let before = state.keyspace.changes();
    let reply = run(spec, &mut Ctx { state, session }, words);
    state.has_run(session, before);
    reply
}

pub(super) fn run(spec: &Spec, ctx: &mut Ctx<'_>, words: &[Bytes]) -> Reply {
    let reply = (spec.run)(ctx, words).unwrap_or_else(|refusal| refusal);
    match ctx.session.protocol() {
        Protocol::Resp2 => reply.in_resp2(),
        Protocol::Resp3 => reply,
    }
}

/// The command, or subcommand, of these words, if it takes so many.
pub(super) fn find(kind: ServerKind, words: &[Bytes]) -> Result<&'static Spec, Reply> {
    let Some(spec) = words.first().and_then(|name| lookup(kind, name)) else {
        return Err(unknown(words));
    };
    if !spec.takes(words.len()) {
        return Err(super::args::wrong_arity(spec.name));
    }
    if spec.subs.is_empty() || words.len() == 1 {
        return Ok(spec);
    }
    let word = &words[1];
    let Some(sub) = spec
        .subs
        .iter()
        .find(|sub| super::args::is(word, sub.short_name()))
    else {
        let container = spec.name.to_ascii_uppercase();
        return Err(super::args::echoing(
            "ERR unknown subcommand '",
            &word[..word.len().min(128)],
            &format!("'. Try {container} HELP."),
        ));
    };
    if sub.takes(words.len()) {
        Ok(sub)
    } else {
        Err(super::args::wrong_arity(sub.name))
    }
}

fn unknown(words: &[Bytes]) -> Reply {
    let mut text = b"ERR unknown command '".to_vec();
    let (name, rest) = words
        .split_first()
        .map_or((&[][..], words), |(name, rest)| (name.as_ref(), rest));
    let name = super::args::echo(name);
    text.extend(&name[..name.len().min(128)]);
    text.extend(b"', with args beginning with: ");
    let mut room = 128usize;
    for word in rest {
        if room == 0 {
            break;
        }
        let word = super::args::echo(word);
        let shown = word.len().min(room);
        text.push(b'\'');
        text.extend(&word[..shown]);
        text.extend(b"' ");
        room = room.saturating_sub(shown + 3);
    }
    Reply::error(text)
}

/// Why the server in its current state refuses this command; `None` if it does
/// not.
fn refusal(state: &State, session: &Session, spec: &Spec) -> Option<Reply> {
    let modes = &state.modes;
    if !session.authenticated && !spec.has(NO_AUTH) {
        return Some(text::NOAUTH);
    }
    if modes.denies(spec.name) && !spec.has(NO_AUTH) {
        return Some(Reply::error(format!(
            "NOPERM this user has no permissions to run the '{}' command",
            spec.name
        )));
    }
    // EXEC is checked for all commands that it would run.
    let queued = match &session.queue {
        Some(queue) if spec.name == "exec" => queue
            .iter()
            .filter_map(|command| find(state.kind, command.words()).ok())
            .fold(0, |flags, queued| flags | queued.flags),
        _ => 0,
    };
    let flags = spec.flags | queued;
    // Queueing takes memory too.
    let queues =
        session.queue.is_some() && !matches!(spec.name, "exec" | "discard" | "quit" | "reset");
    if modes.oom && (queues || flags & DENYOOM != 0) {
        return Some(text::OOM);
    }
    if (flags & WRITE != 0 || (spec.name == "ping" && modes.misconf))
        && let Some(refusal) = modes.refuses_write()
    {
        return Some(refusal);
    }
    if session.is_subscribed()
        && session.protocol() == Protocol::Resp2
        && !IN_SUBSCRIPTION.contains(&spec.name)
    {
        return Some(Reply::error(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            spec.name
        )));
    }
    if modes.loading && !spec.has(LOADING) {
        return Some(text::LOADING);
    }
    if modes.busy && !spec.has(ALLOW_BUSY) {
        return Some(text::BUSY);
    }
    None
}

/// What a connection with subscriptions may run in RESP2.
const IN_SUBSCRIPTION: &[&str] = &[
    "ping",
    "psubscribe",
    "punsubscribe",
    "quit",
    "reset",
    "subscribe",
    "unsubscribe",
];

/// The script that calls a command.
#[derive(Default)]
pub(crate) struct ScriptCaller {
    pub(crate) session: Session,
    /// Whether it has called a command that writes: from then on only a missing
    /// permission stops it.
    pub(crate) wrote: bool,
    /// Whether it was run by EVAL_RO, or declared `no-writes`.
    pub(crate) read_only: bool,
    /// Whether it declared `allow-oom`.
    pub(crate) allow_oom: bool,
}

const NOT_FROM_SCRIPT: Reply = Reply::fail("ERR This Redis command is not allowed from script");

const WRONG_NUMBER_IN_SCRIPT: Reply =
    Reply::fail("ERR Wrong number of args calling Redis command from script");

/// Runs a command of a script; the error is a refusal, before the command ran. Refusals that redis-server raises
/// without a code get the code `ERR`.
pub(crate) fn execute_in_script(
    state: &mut Box<State>,
    caller: &mut ScriptCaller,
    words: &[Bytes],
) -> Outcome {
    let spec = match find(state.kind, words) {
        Ok(spec) => spec,
        Err(_) => {
            if let Some(arity) = super::not_simulated::in_no_script(words) {
                return Err(match arity.takes(words.len()) {
                    true => NOT_FROM_SCRIPT,
                    false => WRONG_NUMBER_IN_SCRIPT,
                });
            }
            let known = words.first().and_then(|name| lookup(state.kind, name));
            // Within scripts, an unknown subcommand is an unknown command.
            let arity = known.is_some_and(|spec| {
                spec.subs.is_empty() || !spec.takes(words.len()) || sub(spec, words)
            });
            return Err(if arity {
                WRONG_NUMBER_IN_SCRIPT
            } else {
                Reply::fail("ERR Unknown Redis command called from script")
            });
        }
    };
    if spec.has(NOSCRIPT) {
        return Err(NOT_FROM_SCRIPT);
    }
    if state.modes.denies(spec.name) {
        return Err(Reply::fail(
            "ERR The user executing the script can't run this command or subcommand",
        ));
    }
    if spec.has(WRITE) {
        if caller.read_only {
            return Err(Reply::fail(
                "ERR Write commands are not allowed from read-only scripts.",
            ));
        }
        if !caller.wrote {
            let modes = &state.modes;
            // In scripts, READONLY is checked before MISCONF; for clients it is the reverse.
            let refusal = if modes.readonly {
                Some(text::READONLY)
            } else {
                modes.refuses_write()
            };
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
    }
    if state.modes.oom && !caller.wrote && !caller.allow_oom && spec.has(DENYOOM) {
        return Err(text::OOM);
    }
    caller.wrote |= spec.has(WRITE);
    Ok(run(
        spec,
        &mut Ctx {
            state,
            session: &mut caller.session,
        },
        words,
    ))
}

fn sub(spec: &Spec, words: &[Bytes]) -> bool {
    words.get(1).is_some_and(|word| {
        spec.subs
            .iter()
            .any(|sub| super::args::is(word, sub.short_name()))
    })
}

/// Whether the user who runs the script may run this command, with any number
/// of arguments; `None` if there is none.
pub(crate) fn may_run(state: &State, words: &[Bytes]) -> Option<bool> {
    let spec = lookup(state.kind, words.first()?)?;
    let spec = match words.get(1) {
        Some(word) if !spec.subs.is_empty() => spec
            .subs
            .iter()
            .find(|sub| super::args::is(word, sub.short_name()))?,
        _ => spec,
    };
    Some(!state.modes.denies(spec.name))
}
