//! Classifies an error of a command: it ran, it did not run, or that is
//! unknown.
//!
//! The client's errors do not say, so this is decided by whether anything was
//! sent, and by the codes that Redis raises before a command's first write.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{AttemptError, Cause};

/// How far a command had got when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection was not open yet.
    Connecting,
    /// The command was sent.
    Sent,
}

const ONE_NODE: &str = "this node of a cluster does not serve the keys, or not any more: a URL \
     redis+cluster://HOST:PORT,HOST:PORT finds the one that does";

/// Temporary errors that Redis raises before the first write of a command or
/// script, with the next step.
const TEMPORARY: [(&str, &str); 11] = [
    (
        "READONLY",
        "this is a replica: point the store at the primary",
    ),
    (
        "OOM",
        "Redis is out of memory: raise maxmemory, with maxmemory-policy noeviction",
    ),
    ("MISCONF", "Redis cannot persist: see its log and its disk"),
    ("LOADING", "Redis is loading its data: wait"),
    (
        "BUSY",
        "Redis is running a long script: wait, or SCRIPT KILL it",
    ),
    (
        "NOREPLICAS",
        "too few replicas are connected for min-replicas-to-write",
    ),
    (
        "MASTERDOWN",
        "this replica has lost its primary: point the store at the primary",
    ),
    (
        "CLUSTERDOWN",
        "the cluster does not serve the key's slot: wait for it to heal",
    ),
    ("TRYAGAIN", "the key's slot is being moved: wait"),
    ("MOVED", ONE_NODE),
    ("ASK", ONE_NODE),
];

/// Permanent errors of the same kind.
const PERMANENT: [(&str, &str); 5] = [
    ("NOAUTH", "give a user and password"),
    ("WRONGPASS", "check the user and password"),
    (
        "NOPERM",
        "grant the Redis user what the store needs; the README lists it",
    ),
    (
        "CROSSSLOT",
        "choose a prefix with a hash tag, so that all keys are in one slot",
    ),
    (
        "NOPROTO",
        "this server does not speak the protocol asked for",
    ),
];

/// What a script has raised: servers before 7.0 tell it within another error.
pub(super) fn raised(error: RedisError) -> RedisError {
    let within = |error: &RedisError| {
        let detail = error.detail()?.strip_prefix("Error running script ")?;
        let (_, refusal) = detail.split_once(": -")?;
        let reply = redis::parse_redis_value(format!("-{refusal}\r\n").as_bytes()).ok()?;
        reply.extract_error().err()
    };
    within(&error).unwrap_or(error)
}

/// The class of `error` at `stage`.
pub(crate) fn classify(error: &RedisError, stage: Stage) -> AttemptError {
    let code = error.code().unwrap_or_default();
    let hint = |table: &[(&str, &'static str)]| {
        table
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(_, hint)| *hint)
    };
    let said = |hint: &str| {
        let message = format!("{} ({hint})", said(error));
        match error.code() {
            Some(code) => Cause::of_reply(code, message),
            None => Cause::new(message),
        }
    };

    if error.kind() == ErrorKind::AuthenticationFailed {
        // The client drops the server's code, by which callers distinguish a
        // refusal from an unreachable Redis.
        let message = format!("{} (check the user and password)", self::said(error));
        return AttemptError::Denied(Cause::of_reply("WRONGPASS", message));
    }
    // A script may have written before a missing permission was detected; the
    // scripts check permissions first where the server supports it, and older
    // servers have another error text.
    if let Some(hint) = hint(&PERMANENT) {
        return AttemptError::Denied(said(hint));
    }
    if let Some(hint) = hint(&TEMPORARY) {
        return AttemptError::Refused(said(hint));
    }
    if is_out_of_clients(error) {
        return AttemptError::Refused(said("raise maxclients, or close idle clients"));
    }
    match (stage, error.kind()) {
        (_, ErrorKind::InvalidClientConfig) => {
            AttemptError::Denied(said("correct the connection's settings"))
        }
        (Stage::Connecting, _) => {
            AttemptError::Refused(said("check that Redis runs there and can be reached"))
        }
        // The script was flushed directly after it was loaded.
        (Stage::Sent, ErrorKind::Server(ServerErrorKind::NoScript)) => {
            AttemptError::Refused(said("something flushes the scripts of this Redis"))
        }
        (Stage::Sent, _) if is_refused_unread(error) => {
            AttemptError::Denied(said("this server cannot run the store's commands"))
        }
        // An unknown error reply may come from a proxy, after the command ran.
        (Stage::Sent, _) => AttemptError::Ambiguous(said("its effect is not known")),
    }
}

/// Whether the connection must not be used again after `error`.
pub(crate) fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => {
            // The host name may point to another server by now.
            matches!(
                kind,
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    // Another node may be in the part of the cluster that goes on.
                    | ServerErrorKind::ClusterDown
                    // The slot may have moved, and need no ASKING any more.
                    | ServerErrorKind::TryAgain
            ) || is_out_of_clients(error)
        }
        ErrorKind::Extension => matches!(error.code(), Some("NOAUTH")),
        _ => true,
    }
}

fn is_out_of_clients(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("max number of clients"))
}

/// Errors for a command that did not begin to run.
fn is_refused_unread(error: &RedisError) -> bool {
    let refused = ["unknown command", "wrong number of arguments"];
    error
        .detail()
        .is_some_and(|detail| refused.iter().any(|text| detail.starts_with(text)))
}

/// The error in one line. Redis repeats at most the beginning of a command's
/// arguments: hashes and names of keys.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    fn classified(code: &str, detail: &str) -> AttemptError {
        let error = make_extension_error(code.to_owned(), Some(detail.to_owned()));
        classify(&error, Stage::Sent)
    }

    /// Would catch "not applied" for a command that ran: proxies return errors
    /// of their own after forwarding a command.
    #[test]
    fn an_unknown_error_is_ambiguous() {
        for (code, detail) in [
            ("ERR", "Operation timed out"),
            ("ERR", "upstream failure"),
            ("TIMEOUT", "server did not answer"),
            ("ERR", "Protocol error: invalid bulk length"),
            (
                "UNBLOCKED",
                "force unblock from blocking operation, instance state changed (master -> replica?)",
            ),
        ] {
            let classified = classified(code, detail);
            assert!(
                matches!(classified, AttemptError::Ambiguous(_)),
                "{classified:?}"
            );
        }
    }

    /// Would catch a refusal of redis-server 6.2 that is taken for an error of the script:
    /// a connection to a replica would be kept, and what was refused be unknown.
    #[test]
    fn what_a_script_raises_is_found_within_its_error() {
        let told = |refusal: &str| {
            let detail = format!(
                "Error running script (call to f_17f8): @user_script:220: @user_script: 220: {refusal}"
            );
            raised(make_extension_error("ERR".to_owned(), Some(detail)))
        };
        let replica = told("-READONLY You can't write against a read only replica.");
        assert!(spoils_connection(&replica), "{replica:?}");
        let refused = classify(&replica, Stage::Sent);
        assert!(matches!(refused, AttemptError::Refused(_)), "{refused:?}");
        // It may have written before.
        let denied = told("The user executing the script can't run this command or subcommand");
        let unknown = classify(&denied, Stage::Sent);
        assert!(matches!(unknown, AttemptError::Ambiguous(_)), "{unknown:?}");
    }

    /// Would catch "may have run" for a command that never ran.
    #[test]
    fn refusals_before_the_first_write_are_definite() {
        let unknown = classified(
            "ERR",
            "unknown command 'EVALSHA', with args beginning with: ",
        );
        assert!(matches!(unknown, AttemptError::Denied(_)), "{unknown:?}");
        let oom = classified("OOM", "command not allowed when used memory > 'maxmemory'.");
        assert!(matches!(oom, AttemptError::Refused(_)), "{oom:?}");
        let auth = classified("NOAUTH", "Authentication required.");
        assert!(matches!(auth, AttemptError::Denied(_)), "{auth:?}");
    }

    fn of_kind(kind: ErrorKind) -> RedisError {
        (kind, "refused", "by the test".to_owned()).into()
    }

    /// Would catch a code without its row: each is definite, has its own hint,
    /// and keeps the code by which callers distinguish it from an outage.
    #[test]
    fn every_known_code_has_its_hint_at_either_stage() {
        for stage in [Stage::Connecting, Stage::Sent] {
            for (table, passes) in [(&TEMPORARY[..], true), (&PERMANENT[..], false)] {
                for (code, hint) in table {
                    let error = make_extension_error((*code).to_owned(), Some("why".to_owned()));
                    let cause = match classify(&error, stage) {
                        AttemptError::Refused(cause) if passes => cause,
                        AttemptError::Denied(cause) if !passes => cause,
                        other => panic!("{code}: {other:?}"),
                    };
                    assert_eq!(cause.to_string(), format!("{code} why ({hint})"));
                    assert_eq!(cause.code(), Some(*code));
                }
            }
        }
    }

    /// Would catch "may have run" for a command that was never sent, and "never
    /// ran" for one whose connection broke.
    #[test]
    fn a_broken_connection_is_ambiguous_only_after_sending() {
        let broken = of_kind(ErrorKind::Io);
        let classified = classify(&broken, Stage::Connecting);
        assert!(
            matches!(classified, AttemptError::Refused(_)),
            "{classified:?}"
        );
        let classified = classify(&broken, Stage::Sent);
        assert!(
            matches!(classified, AttemptError::Ambiguous(_)),
            "{classified:?}"
        );
    }

    /// Would catch a wrong password that is reported without a code, like an
    /// unreachable Redis.
    #[test]
    fn a_refused_password_keeps_its_code() {
        let classified = classify(&of_kind(ErrorKind::AuthenticationFailed), Stage::Connecting);
        let AttemptError::Denied(cause) = classified else {
            panic!("{classified:?}");
        };
        assert_eq!(cause.code(), Some("WRONGPASS"));
        let settings = classify(&of_kind(ErrorKind::InvalidClientConfig), Stage::Connecting);
        assert!(matches!(settings, AttemptError::Denied(_)), "{settings:?}");
    }

    /// Would catch a full server that is classified as ambiguous.
    #[test]
    fn max_clients_is_definite() {
        let classified = classified("ERR", "max number of clients reached");
        let AttemptError::Refused(cause) = &classified else {
            panic!("{classified:?}");
        };
        assert!(cause.to_string().contains("raise maxclients"), "{cause}");
        let script = classify(
            &of_kind(ErrorKind::Server(ServerErrorKind::NoScript)),
            Stage::Sent,
        );
        assert!(matches!(script, AttemptError::Refused(_)), "{script:?}");
    }

    /// Would catch a connection that is kept to a demoted primary, and one that
    /// is replaced after every ordinary refusal.
    #[test]
    fn a_connection_is_replaced_only_where_that_may_help() {
        let server = |kind| of_kind(ErrorKind::Server(kind));
        for spoiling in [
            server(ServerErrorKind::ReadOnly),
            server(ServerErrorKind::MasterDown),
            server(ServerErrorKind::Moved),
            server(ServerErrorKind::Ask),
            server(ServerErrorKind::ClusterDown),
            server(ServerErrorKind::TryAgain),
            RedisError::from((
                ErrorKind::Server(ServerErrorKind::ResponseError),
                "ERR",
                "max number of clients reached".to_owned(),
            )),
            make_extension_error("NOAUTH".to_owned(), None),
            of_kind(ErrorKind::Io),
        ] {
            assert!(spoils_connection(&spoiling), "{spoiling:?}");
        }
        for harmless in [
            server(ServerErrorKind::NoScript),
            server(ServerErrorKind::ResponseError),
            make_extension_error("OOM".to_owned(), None),
        ] {
            assert!(!spoils_connection(&harmless), "{harmless:?}");
        }
    }
}
