//! Classifies an error of a command: did the command run, or not, or is that
//! unknown?
//!
//! The client's errors do not tell, so this module decides from the one fact
//! it has, whether anything was sent, and from the codes that Redis raises
//! before a command's first write.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{AttemptError, Cause};

/// How far a command had got when its error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The connection was not open yet.
    Connecting,
    /// The command had been handed to the connection.
    Sent,
}

/// Codes that Redis raises before the first write of a command or script, and
/// that pass, each with the next step.
const PASSING: [(&str, &str); 9] = [
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
];

/// Codes of the same kind that do not pass by themselves.
const LASTING: [(&str, &str); 7] = [
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
        "MOVED",
        "this is one node of a cluster: point the store at the one that serves its keys",
    ),
    (
        "ASK",
        "this is one node of a cluster: point the store at the one that serves its keys",
    ),
    (
        "NOPROTO",
        "this server does not speak the protocol asked for",
    ),
];

/// What `error`, met at `stage`, says about its command.
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
        // The client drops the server's own code, by which callers tell a
        // refusal from a Redis that cannot be reached.
        let message = format!("{} (check the user and password)", self::said(error));
        return AttemptError::Denied(Cause::of_reply("WRONGPASS", message));
    }
    // A script may have written before it met a missing permission; the
    // scripts ask first where the server can tell, and older servers word
    // the error differently.
    if let Some(hint) = hint(&LASTING) {
        return AttemptError::Denied(said(hint));
    }
    if let Some(hint) = hint(&PASSING) {
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
        // The server no longer knew the script a moment after it was loaded.
        (Stage::Sent, ErrorKind::Server(ServerErrorKind::NoScript)) => {
            AttemptError::Refused(said("something flushes the scripts of this Redis"))
        }
        (Stage::Sent, _) if is_refused_unread(error) => {
            AttemptError::Denied(said("this server cannot run the store's commands"))
        }
        // Also an error reply of no known kind: a proxy may have made it up
        // after the command ran.
        (Stage::Sent, _) => AttemptError::Ambiguous(said("its effect is not known")),
    }
}

/// Whether the connection that gave `error` must not be used again.
pub(crate) fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => {
            // The name may lead to another server by now.
            matches!(
                kind,
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown
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

/// Errors that a server raises over a command it has not begun to run.
fn is_refused_unread(error: &RedisError) -> bool {
    let refused = [
        "unknown command",
        "wrong number of arguments",
        "Protocol error",
    ];
    error
        .detail()
        .is_some_and(|detail| refused.iter().any(|text| detail.starts_with(text)))
}

/// The error in one line. Redis repeats at most the beginning of a command's
/// arguments in its own messages: hashes and the names of keys.
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

    /// Catches "not applied" said of a command that ran: proxies answer errors
    /// of their own after they have passed a command on.
    #[test]
    fn an_error_of_no_known_kind_leaves_the_effect_open() {
        for (code, detail) in [
            ("ERR", "Operation timed out"),
            ("ERR", "upstream failure"),
            ("TIMEOUT", "server did not answer"),
        ] {
            let classified = classified(code, detail);
            assert!(
                matches!(classified, AttemptError::Ambiguous(_)),
                "{classified:?}"
            );
        }
    }

    /// Catches a command that never ran taken for one that may have.
    #[test]
    fn what_redis_refuses_unread_or_before_the_first_write_is_certain() {
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

    /// Catches a code that has lost its row: each is certain, brings its own
    /// next step, and keeps the code by which callers tell it from an outage.
    #[test]
    fn every_known_code_is_told_with_its_hint_at_either_stage() {
        for stage in [Stage::Connecting, Stage::Sent] {
            for (table, passes) in [(&PASSING[..], true), (&LASTING[..], false)] {
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

    /// Catches "may have run" said of a command that was never sent, and
    /// "never ran" said of one whose connection broke.
    #[test]
    fn a_broken_connection_leaves_open_only_what_was_sent() {
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

    /// Catches a wrong password that is reported without a code, and is then
    /// taken for a Redis that cannot be reached.
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

    /// Catches a full server taken for an effect that is not known.
    #[test]
    fn a_server_without_room_for_clients_never_ran_the_command() {
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

    /// Catches a store that stays on a demoted primary, and one that dials
    /// anew after each ordinary refusal.
    #[test]
    fn a_connection_is_spoiled_by_what_another_one_may_not_meet() {
        let server = |kind| of_kind(ErrorKind::Server(kind));
        for spoiling in [
            server(ServerErrorKind::ReadOnly),
            server(ServerErrorKind::MasterDown),
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
