//! Error conditions of a server (LOADING, READONLY, OOM, MISCONF, BUSY, NOREPLICAS, NOPERM), with redis-server's texts.
//!
//! `cmd::dispatch` decides when they are checked.

use super::reply::Reply;
use super::session::Session;
use std::collections::{BTreeMap, BTreeSet};

/// Error conditions of the whole server, and who may log in. By default there are none, and everybody may.
#[derive(Clone, Debug, Default)]
pub struct Modes {
    /// `-LOADING`: the data is being loaded; only commands about the connection run.
    pub loading: bool,
    /// `-READONLY`: the server has become a replica. A script is stopped at its first write.
    pub readonly: bool,
    /// `-OOM`: above `maxmemory`. A script is stopped at its first write, unless that frees memory; after a write, never.
    pub oom: bool,
    /// `-MISCONF`: saving to disk fails. A script is stopped at its first write.
    pub misconf: bool,
    /// `-BUSY`: a script of another connection runs for too long.
    pub busy: bool,
    /// `-NOREPLICAS`: fewer replicas than `min-replicas-to-write`.
    pub no_replicas: bool,
    /// `-NOPERM`: commands that no user may run, in lower case; a subcommand as `script|load`. A script is stopped there,
    /// also after a write.
    pub denied: BTreeSet<String>,
    /// The number of connections above which new ones get `-ERR max number of clients reached`.
    pub max_clients: Option<usize>,
    /// The default user's password.
    pub requirepass: Option<String>,
    /// Other users and their passwords.
    pub users: BTreeMap<String, String>,
}

/// The error texts that are needed in more than one place.
pub(super) mod text {
    use super::Reply;

    pub(crate) const READONLY: Reply =
        Reply::fail("READONLY You can't write against a read only replica.");
    pub(crate) const OOM: Reply =
        Reply::fail("OOM command not allowed when used memory > 'maxmemory'.");
    pub(crate) const MISCONF: Reply = Reply::fail(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
         Commands that may modify the data set are disabled, because this instance is configured to report errors \
         during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs \
         for details about the RDB error.",
    );
    pub(crate) const NOREPLICAS: Reply =
        Reply::fail("NOREPLICAS Not enough good replicas to write.");
    pub(crate) const LOADING: Reply = Reply::fail("LOADING Redis is loading the dataset in memory");
    pub(crate) const BUSY: Reply = Reply::fail(
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    );
    pub(crate) const NOAUTH: Reply = Reply::fail("NOAUTH Authentication required.");
    pub(crate) const WRONGPASS: Reply =
        Reply::fail("WRONGPASS invalid username-password pair or user is disabled.");
    pub(crate) const MAX_CLIENTS: Reply = Reply::fail("ERR max number of clients reached");
}

impl Modes {
    /// The error of a client's write, if these conditions refuse it.
    pub(super) fn refuses_write(&self) -> Option<Reply> {
        if self.misconf {
            Some(text::MISCONF)
        } else if self.no_replicas {
            Some(text::NOREPLICAS)
        } else if self.readonly {
            Some(text::READONLY)
        } else {
            None
        }
    }

    /// Whether `command`, as `get` or `script|load`, is denied; denying `script` denies all its subcommands.
    pub(super) fn denies(&self, command: &str) -> bool {
        !self.denied.is_empty()
            && (self.denied.contains(command)
                || command
                    .split_once('|')
                    .is_some_and(|(container, _)| self.denied.contains(container)))
    }

    /// Whether there is such a user.
    pub(super) fn knows(&self, user: &str) -> bool {
        user == "default" || self.users.contains_key(user)
    }

    /// Logs `session` in.
    pub(super) fn log_in(
        &self,
        session: &mut Session,
        user: &[u8],
        password: &[u8],
    ) -> Result<(), Reply> {
        let known = if user == b"default" {
            // Without a password, any password is accepted for the default
            // user.
            self.requirepass
                .as_ref()
                .is_none_or(|expected| expected.as_bytes() == password)
        } else {
            let user = std::str::from_utf8(user).unwrap_or_default();
            self.users
                .get(user)
                .is_some_and(|expected| expected.as_bytes() == password)
        };
        if !known {
            return Err(text::WRONGPASS);
        }
        session.user = String::from_utf8_lossy(user).into_owned();
        session.authenticated = true;
        Ok(())
    }
}
